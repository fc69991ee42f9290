"""Intervals on contigs: BED files, regions in words, what overlaps what."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnabert.errors import InputError
from dnabert.files import existing_file
from dnabert.sequence.genome import Genome


class Intervals(NamedTuple):
    """Intervals on the contigs of a genome, sorted by contig and start.

    Attributes
    ----------
    contig : np.ndarray, int64, shape (intervals,)
        Place of the contig in `Genome.names`.
    start, end : np.ndarray, int64, shape (intervals,)
        0-based half-open.
    names : tuple of str, length intervals
        The fourth column of BED; empty where there is none.
    """

    contig: np.ndarray
    start: np.ndarray
    end: np.ndarray
    names: tuple[str, ...]


def read_bed(path: Path, genome: Genome) -> Intervals:
    """Read a BED file.

    Parameters
    ----------
    path : pathlib.Path
        Three columns or more, separated by tabs (or spaces), plain or gzip.
    genome : Genome
        Whose contigs the rows are on. Rows on other contigs are left out, unless all are.

    Returns
    -------
    Intervals

    Raises
    ------
    InputError
        If a row has fewer columns, bounds that are no interval inside the contig, or no row is on the genome.
    """
    rows: list[tuple[int, int, int, str]] = []
    foreign = ""
    indices = {name: i for i, name in enumerate(genome.names)}
    for number, line in _lines(existing_file(path, "BED file")):
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3 or not (fields[1].isdigit() and fields[2].isdigit()):
            raise InputError(f"{path} line {number}: contig, start and end are required, this line reads '{line[:40]}'")
        contig, start, end = indices.get(fields[0], -1), int(fields[1]), int(fields[2])
        if contig < 0:
            foreign = foreign or fields[0]
            continue
        if not start < end <= genome.lengths[contig]:
            raise InputError(
                f"{path} line {number}: {fields[0]}:{start}-{end} is no interval inside its contig, which has "
                f"{genome.lengths[contig]:,} bases (0-based half-open coordinates); correct it"
            )
        rows.append((contig, start, end, fields[3] if len(fields) > 3 else ""))
    if not rows and foreign:
        genome.contig_index(foreign)  # raises, naming the contigs there are
    if not rows:
        raise InputError(f"{path}: the BED file has no intervals")
    rows.sort()
    contigs, starts, ends, names = zip(*rows, strict=True)
    bounds = [np.array(part, dtype=np.int64) for part in (contigs, starts, ends)]
    return Intervals(bounds[0], bounds[1], bounds[2], names)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a BED file that are intervals, with their numbers."""
    try:
        with gzip.open(path, "rt") if path.suffix in (".gz", ".bgz") else path.open() as text:
            for number, line in enumerate(text, 1):
                if line.strip() and not line.startswith(("#", "track", "browser")):
                    yield number, line.rstrip("\r\n")
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as BED ({error})") from error


def parse_region(text: str, genome: Genome) -> Intervals:
    """Read a region in words: `chr20:1000-1300` (0-based half-open), or a contig's name for all of it.

    Raises
    ------
    InputError
        If there is no such contig, or the bounds are no interval inside it.
    """
    match = re.fullmatch(r"(.+):([\d,]+)-([\d,]+)", text)
    if match is None or text in genome.names:
        contig = genome.contig_index(text)
        start, end = 0, int(genome.lengths[contig])
    else:
        contig = genome.contig_index(match[1])
        start, end = (int(bound.replace(",", "")) for bound in match.groups()[1:])
        genome.window(match[1], start, end)  # raises where the interval leaves the contig
    return Intervals(np.array([contig]), np.array([start]), np.array([end]), (text,))


def overlaps(intervals: Intervals, contig: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Find the intervals that overlap others.

    Parameters
    ----------
    intervals : Intervals
    contig, start, end : np.ndarray, int64, shape (queries,)

    Returns
    -------
    np.ndarray, int64, shape (pairs, 2)
        Query and interval of each overlap, sorted.
    """
    pairs = np.zeros((len(contig), 2), dtype=np.int64)
    bounds = np.searchsorted(intervals.contig, np.stack([contig, contig + 1]))
    while True:
        count = _overlaps(intervals.start, intervals.end, _furthest(intervals), bounds, start, end, pairs)
        if count <= len(pairs):
            return pairs[:count]
        pairs = np.zeros((count, 2), dtype=np.int64)


def _furthest(intervals: Intervals) -> np.ndarray:
    """Return the largest end among the intervals of the contig up to each, which tells where looking back can stop."""
    span = int(intervals.end.max(initial=0)) + 1
    return np.maximum.accumulate(intervals.end + intervals.contig * span) - intervals.contig * span


@numba.njit(nogil=True, cache=True)
def _overlaps(
    starts: np.ndarray,
    ends: np.ndarray,
    furthest: np.ndarray,
    bounds: np.ndarray,
    query_start: np.ndarray,
    query_end: np.ndarray,
    pairs: np.ndarray,
) -> int:
    count = 0
    for query in range(len(query_start)):
        first, last = bounds[0, query], bounds[1, query]
        at = first + np.searchsorted(starts[first:last], query_end[query]) - 1
        low = at
        while low >= first and furthest[low] > query_start[query]:
            low -= 1
        for i in range(low + 1, at + 1):
            if ends[i] > query_start[query]:
                if count < len(pairs):
                    pairs[count, 0] = query
                    pairs[count, 1] = i
                count += 1
    return count
