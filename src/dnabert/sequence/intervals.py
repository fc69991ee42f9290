"""Intervals of a genome from BED files, as plain columns.

BED has no header: 3 to 12 columns whose meaning follows from their place, separated by tabs or spaces; comments and the
lines `track ...` and `browser ...` carry no interval. ENCODE's narrowPeak and broadPeak are BED with other columns from
the seventh on.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from dnabert.errors import InputError
from dnabert.files import existing_file

BED_NAMES = (
    "chrom",
    "start",
    "end",
    "name",
    "score",
    "strand",
    "thick_start",
    "thick_end",
    "item_rgb",
    "block_count",
    "block_sizes",
    "block_starts",
)
PEAK_NAMES = (*BED_NAMES[:6], "signal_value", "p_value", "q_value", "peak")
PEAK_SUFFIXES = (".narrowpeak", ".broadpeak")
BED_SUFFIXES = (".bed", *PEAK_SUFFIXES)
FEWEST_COLUMNS = 3
STRAND_COLUMN = 5

_NO_INTERVAL = (b"track", b"browser")


class Intervals(NamedTuple):
    """Intervals of a BED file.

    Attributes
    ----------
    path : pathlib.Path
    columns : pa.Table
        `chrom` (text), `start`, `end` (int64, 0-based half-open), then the file's other columns as text.
    places : tuple of (pathlib.Path, str, int, int)
        Stretches of neighbouring lines: file, `line`, number of the first line, and lines.
    """

    path: Path
    columns: pa.Table
    places: tuple[tuple[Path, str, int, int], ...]


def read(path: Path) -> Intervals:
    """Read a BED file.

    Parameters
    ----------
    path : pathlib.Path
        3 to 12 columns, plain or gzip. Files of 10 columns and those named `.narrowPeak` or `.broadPeak` are peaks.

    Returns
    -------
    Intervals
        Rows in the file's order.

    Raises
    ------
    InputError
        If the file cannot be read, holds no interval, a row is ragged, a coordinate is no whole number, `start` is
        negative or not below `end`, or the strand is none of `+`, `-` and `.`.
    """
    text = _text(existing_file(path, "BED file"))
    places, kept = _interval_lines(path, text)
    if not places:
        raise InputError(f"{path}: the file holds no intervals; lines 'chrom<TAB>start<TAB>end' are required")
    if b"\t" not in kept[0].split(b"\n", 1)[0]:
        kept = [b"\t".join(line.split()) + b"\n" for part in kept for line in part.splitlines()]
    columns = _parse(path, b"".join(kept), places)
    _check(columns, places)
    return Intervals(path, columns, places)


def centred(start: np.ndarray, end: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace intervals by windows of one length around their midpoints.

    Parameters
    ----------
    start, end : np.ndarray, int64, shape (rows,)
        0-based half-open. The midpoint is the base `(start + end) // 2`; of an interval of 1 bp it is that base.
    length : int
        Bases of a window. Of an odd length the midpoint is the middle base; of an even one the base after the middle,
        on either strand.

    Returns
    -------
    tuple of np.ndarray, int64, shape (rows,)
        Start and end. A window near the end of a contig may leave it.
    """
    first = (start + end) // 2 - length // 2
    return first, first + length


def merged(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join intervals that overlap or touch.

    Parameters
    ----------
    start, end : np.ndarray, int64, shape (intervals,)
        In any order.

    Returns
    -------
    tuple of np.ndarray, int64, shape (stretches,)
        Start and end, sorted, with at least one base between neighbours.
    """
    if len(start) == 0:
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    new = np.concatenate([[True], start[1:] > reach[:-1]])
    return start[new], reach[np.concatenate([new[1:], [True]])]


def where(places: tuple[tuple[Path, str, int, int], ...], row: int) -> str:
    """Say where a row stands, for a message: `train.tsv line 18`."""
    for path, unit, first, rows in places:
        if row < rows:
            return f"{path} {unit} {first + row}"
        row -= rows
    raise IndexError(row)


def has_header(path: Path) -> bool:
    """Tell whether the first line of a file names the columns `chrom`, `start` and `end`, as no BED does."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            head = stream.read(1 << 12)
    except (EOFError, OSError, pa.ArrowException, zlib.error):
        return False
    words = head.split(b"\n", 1)[0].lower().lstrip(b"#").replace(b",", b" ").split()
    return set(words) >= {b"chrom", b"start", b"end"}


def _text(path: Path) -> bytes:
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            return bytes(stream.read())
    except (EOFError, OSError, pa.ArrowException, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as BED ({str(error).splitlines()[0]})") from error


def _interval_lines(path: Path, text: bytes) -> tuple[tuple[tuple[Path, str, int, int], ...], list[bytes]]:
    """Find the stretches of lines that carry intervals, and their text."""
    places, kept = [], []
    for first, last, start, end in _stretches(text):
        places.append((path, "line", first, last - first))
        kept.append(text[start:end] if text[end - 1 : end] == b"\n" else text[start:end] + b"\n")
    return tuple(places), kept


def _stretches(text: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield first line (1-based), line after the last, first byte and byte after the last of each stretch."""
    raw = np.frombuffer(text, dtype=np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(raw == ord("\n")) + 1])
    starts = starts[starts < len(raw)]
    heads = raw[starts]
    skipped = np.isin(heads, np.frombuffer(b"#\r\n", dtype=np.uint8))
    for line in np.flatnonzero(np.isin(heads, np.frombuffer(b" \ttb", dtype=np.uint8))):
        words = text[starts[line] : starts[line + 1] if line + 1 < len(starts) else len(text)].split(None, 1)
        skipped[line] = not words or words[0] in _NO_INTERVAL
    bounds = np.append(starts, len(raw))
    edges = np.flatnonzero(np.diff(np.concatenate([[True], skipped, [True]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2).tolist():
        yield first + 1, last + 1, int(bounds[first]), int(bounds[last])


def _parse(path: Path, text: bytes, places: tuple[tuple[Path, str, int, int], ...]) -> pa.Table:
    count = text.split(b"\n", 1)[0].rstrip(b"\r").count(b"\t") + 1
    if not FEWEST_COLUMNS <= count <= len(BED_NAMES):
        raise InputError(
            f"{where(places, 0)}: {FEWEST_COLUMNS} to {len(BED_NAMES)} columns separated by tabs are required "
            f"(chrom, start, end, ...), this line has {count}; is it BED?"
        )
    peaks = count == len(PEAK_NAMES) or any(suffix.lower() in PEAK_SUFFIXES for suffix in path.suffixes)
    names = PEAK_NAMES[:count] if peaks else BED_NAMES[:count]
    ragged: list[pyarrow.csv.InvalidRow] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    try:
        columns = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=keep),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise InputError(f"{path}: cannot be read as BED ({str(error).splitlines()[0]})") from error
    if ragged:
        row = ragged[0]
        raise InputError(
            f"{where(places, row.number - 1)}: {row.expected_columns} columns are required as in the first line, "
            f"this line has {row.actual_columns}; fill or delete it"
        )
    for at in (1, 2):
        columns = columns.set_column(at, names[at], _whole_numbers(columns[names[at]], names[at], places))
    return columns


def _whole_numbers(values: pa.ChunkedArray, name: str, places: tuple[tuple[Path, str, int, int], ...]) -> pa.Array:
    whole = values.combine_chunks()
    odd = pc.index(pc.match_substring_regex(whole, r"^[0-9]{1,18}$"), False).as_py()
    if odd >= 0:
        raise InputError(
            f"{where(places, odd)}: '{name}' must be a whole number from 0 on, this is '{whole[odd]}'; "
            "BED has no header and the columns chrom, start, end, in this order"
        )
    return whole.cast(pa.int64())


def _check(columns: pa.Table, places: tuple[tuple[Path, str, int, int], ...]) -> None:
    start, end = columns["start"].to_numpy(), columns["end"].to_numpy()
    if (start >= end).any():
        row = int((start >= end).argmax())
        raise InputError(
            f"{where(places, row)}: {columns['chrom'][row]}:{start[row]}-{end[row]} is empty: start must be below end "
            "(0-based half-open); correct the interval"
        )
    if columns.num_columns > STRAND_COLUMN:
        known = pc.is_in(columns["strand"], value_set=pa.array(["+", "-", "."], pa.large_string()))
        row = pc.index(known, False).as_py()
        if row >= 0:
            raise InputError(
                f"{where(places, row)}: the strand must be '+', '-' or '.', this is '{columns['strand'][row]}'"
            )
