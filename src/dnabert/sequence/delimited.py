"""Columns of delimited text, plain or compressed, read in a stream by Arrow."""

import codecs
import functools
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from dnabert.errors import InputError
from dnabert.sequence.letters import string_array

_BLOCK_BYTES = 1 << 20
_BLOCKS_HELD = 16
"""Blocks after which the allocator gives back what it keeps of those read: without this, half of the file again."""


def read(path: Path, *, whole: Sequence[str] = (), integers: Sequence[str] = (), names: Sequence[str] = ()) -> pa.Table:
    """Read a table.

    Parameters
    ----------
    path : pathlib.Path
        Columns separated by tabs or commas, plain or compressed.
    whole : sequence of str
        Column names (any case); the first that the file has becomes one contiguous array, in memory once.
    integers : sequence of str
        Names of columns (any case) that hold integers. All others are text.
    names : sequence of str
        The columns of a file whose first line is a row; by default the first line is the header.

    Returns
    -------
    pa.Table

    Raises
    ------
    InputError
        If the file cannot be read, semicolons separate its columns, a column name stands twice, a row is ragged, or
        (tabs between the columns) a quotation mark is opened and not closed.
    """
    with _opened(path, integers, names) as (schema, batches):
        return _collect(schema, batches, find(schema.names, whole), path.stat().st_size)


def stream(path: Path) -> Iterator[pa.RecordBatch]:
    """Read a table with a header piece by piece, all columns as text; errors are those of `read`."""
    with _opened(path, ()) as (_, batches):
        yield from batches


@contextmanager
def _opened(
    path: Path, integers: Sequence[str], given: Sequence[str] = ()
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    header = 0 if given else 1  # lines
    ragged: list[pyarrow.csv.InvalidRow] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    try:
        head = first_lines(path)
        delimiter, names = (split(head)[0], list(given)) if given else dialect(path, head)
        types = {name: pa.int64() if name.lower() in integers else pa.large_string() for name in names}
        if len(head) <= header:  # Arrow wants the end of the header's line
            yield pa.schema(list(types.items())), iter(())
            return
        with open_text(path) as stream:
            batches = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names, skip_rows=header, use_threads=False, block_size=_BLOCK_BYTES
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=keep),
                convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
            )
            yield batches.schema, _closed(path, batches, header + 1) if delimiter == "\t" else batches
    except (EOFError, OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    if ragged:
        row = ragged[0]
        raise InputError(
            f"{path} line {line_of(path, 1, row.number - 1)}: {row.expected_columns} columns are required "
            f"({', '.join(names)}), this line has {row.actual_columns}; fill or delete it"
        )


def line_of(path: Path, first: int, row: int) -> int:
    """Find the line of a row of a file, for a message: empty lines are no rows.

    Parameters
    ----------
    path : pathlib.Path
    first : int
        Line of the first row, from 1.
    row : int
        From 0.

    Returns
    -------
    int
    """
    try:
        stat = path.stat()
        empty = _empty_lines(path, stat.st_mtime_ns, stat.st_size)
    except OSError:  # it is gone since it was read
        return first + row
    empty = empty[empty >= first]
    return first + row + int(np.searchsorted(empty - np.arange(len(empty)), first + row, side="right"))


@functools.lru_cache(maxsize=4)
def _empty_lines(path: Path, _changed: int, _size: int) -> np.ndarray:
    """Find the empty lines of a file as it was last changed, int64; Arrow leaves them out without a word."""
    with open_text(path) as stream:
        lines = enumerate(io.BufferedReader(stream, _BLOCK_BYTES), 1)
        return np.array([number for number, line in lines if line in (b"\n", b"\r\n")], dtype=np.int64)


def open_text(path: Path) -> pa.NativeFile:
    """Open a file, decompressed where its first bytes (gzip) or its name say so."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return pa.input_stream(str(path), compression="gzip" if packed else "detect")


def first_lines(path: Path) -> list[str]:
    """Read the lines that a file begins with, the first one to its end; raise InputError if it cannot be read."""
    head = b""
    try:
        with open_text(path) as stream:
            while b"\n" not in head and (block := stream.read(1 << 16)):
                head += block
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(f"{path}: this is UTF-16 text; save it as UTF-8")
        return head.decode("utf-8-sig", "replace").splitlines()
    except (EOFError, OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    for sign, words in (
        ("UTF8", "it is no UTF-8 text; save it as UTF-8"),
        ("compressed", "it is cut off or damaged; fetch it again"),
        ("zlib", "it is not compressed as its name says, or damaged; rename it, or fetch it again"),
    ):
        if sign in reason:
            reason = words
    return InputError(f"{path}: cannot be read as a table ({reason})")


def dialect(path: Path, head: Sequence[str]) -> tuple[str, list[str]]:
    """Find the delimiter and the column names in the first lines of a file.

    Raise InputError if a name stands twice, or semicolons stand between them.
    """
    delimiter, names = split(head)
    if len(names) == 1 and ";" in names[0]:
        raise InputError(
            f"{path} line 1: columns separated by tabs or commas are required, these are separated by semicolons; "
            "write the table with tabs"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path} line 1: a column name stands twice ({', '.join(names)}); rename one")
    return delimiter, names


def split(head: Sequence[str]) -> tuple[str, list[str]]:
    """Find the delimiter in the first lines of a file, and what stands between in the first."""
    header = head[0] if head else ""
    first_row = head[1] if len(head) > 1 else ""
    delimiter = next((d for d in ("\t", ",") if d in header), None) or ("\t" if "\t" in first_row else ",")
    names = [name.strip().strip('"') for name in header.lstrip("#").split(delimiter)]
    if len(names) == 1 and 1 < len(header.split()) == first_row.count(delimiter) + 1:
        names = header.split()  # some of the original's files separate the names by spaces and the columns by tabs
    return delimiter, names


def find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Find the column that is called one of the names wanted, whatever its case; the earlier of them wins."""
    return next((name for want in wanted for name in names if name.lower() == want), None)


def _closed(path: Path, batches: Iterable[pa.RecordBatch], line: int) -> Iterator[pa.RecordBatch]:
    """Check that no value runs over lines: behind a quotation mark that is not closed, rows would be lost in it."""
    for batch in batches:
        for column in batch.columns:
            # all letters at once: value by value takes longer than to read the file
            if not (pa.types.is_large_string(column.type) and re.search(b"\n", column.buffers()[2] or b"")):
                continue
            at = pc.index(pc.match_substring(column, "\n"), True).as_py()
            if at >= 0:
                raise InputError(
                    f"{path} line {line_of(path, line, at)}: a quotation mark is opened and closed on another line; "
                    "delete it, or double it and quote the value"
                )
        line += len(batch)
        yield batch


def _collect(schema: pa.Schema, batches: Iterable[pa.RecordBatch], whole: str | None, size: int) -> pa.Table:
    """Gather a file's batches; one column goes straight into one buffer, so that it stands in memory once."""
    if whole is None:
        return pa.Table.from_batches(list(batches), schema)
    letters = np.empty(size, dtype=np.uint8)  # room for the whole file; pages that stay empty cost nothing
    offsets = [np.zeros(1, dtype=np.int64)]
    others = []
    filled = 0
    for count, batch in enumerate(batches):
        column = batch.column(whole)
        bounds = np.frombuffer(column.buffers()[1], dtype=np.int64)[column.offset : column.offset + len(column) + 1]
        part = np.frombuffer(column.buffers()[2] or b"", dtype=np.uint8)[bounds[0] : bounds[-1]]
        if filled + len(part) > len(letters):  # a compressed file holds more than its size
            letters = np.concatenate([letters[:filled], np.empty(filled + len(part), dtype=np.uint8)])
        letters[filled : filled + len(part)] = part
        offsets.append(bounds[1:] - bounds[0] + filled)
        filled += len(part)
        others.append(batch.drop_columns([whole]))
        if count % _BLOCKS_HELD == 0:
            pa.default_memory_pool().release_unused()
    rest = pa.Table.from_batches(others, pa.schema([field for field in schema if field.name != whole]))
    column = string_array(letters[:filled], np.concatenate(offsets))
    if not rest.num_columns:
        return pa.table({whole: column})
    return rest.append_column(whole, column)
