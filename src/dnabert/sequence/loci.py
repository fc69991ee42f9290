"""Intervals on the contigs of a genome: from BED files or regions in words, and what overlaps what."""

import re
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.progress import say
from dnabert.sequence import intervals
from dnabert.sequence.genome import Genome, same_contig


class Loci(NamedTuple):
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


def read_bed(path: Path, genome: Genome) -> Loci:
    """Read a BED file.

    Parameters
    ----------
    path : pathlib.Path
        Three columns or more, separated by tabs (or spaces), plain or gzip.
    genome : Genome
        Whose contigs the rows are on. Rows on other contigs are left out, unless all are.

    Returns
    -------
    Loci

    Raises
    ------
    InputError
        If a row has fewer columns, bounds that are no interval inside the contig, or a contig that the genome has under
        another name, or no row is on the genome.
    """
    read = intervals.read(path)
    columns = read.columns
    coded = columns["chrom"].combine_chunks().dictionary_encode()
    indices = {name: i for i, name in enumerate(genome.names)}
    used = coded.dictionary.to_pylist()
    contig = np.array([indices.get(name, -1) for name in used], dtype=np.int64)[coded.indices.to_numpy()]
    start, end = columns["start"].to_numpy(), columns["end"].to_numpy()
    outside = (contig >= 0) & (end > genome.lengths[contig])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"{intervals.where(read.places, row)}: {columns['chrom'][row]}:{start[row]}-{end[row]} is no interval "
            f"inside its contig, which has {genome.lengths[contig[row]]:,} bases (0-based half-open coordinates); "
            "correct it"
        )
    for name in used:
        if name not in indices and ((contig < 0).all() or same_contig(name, genome.names)):
            row = pc.index(columns["chrom"], name).as_py()
            try:
                genome.contig_index(name)
            except InputError as error:
                raise InputError(f"{intervals.where(read.places, row)}: {error}") from None
    names = np.array(columns["name"].to_pylist() if "name" in columns.column_names else [""] * len(start), dtype=object)
    kept = np.flatnonzero(contig >= 0)
    if len(kept) < len(contig):
        say(f"{path}: {len(contig) - len(kept):,} intervals on contigs that {genome.path.name} lacks are left out")
    order = kept[np.lexsort((end[kept], start[kept], contig[kept]))]
    return Loci(contig[order], start[order], end[order], tuple(names[order].tolist()))


def parse_region(text: str, genome: Genome) -> Loci:
    """Read a region in words: `chr20:1000-1300` (0-based half-open), or a contig's name for all of it.

    Raises
    ------
    InputError
        If there is no such contig, or the bounds are no interval inside it.
    """
    match = re.fullmatch(r"(.+):(\d[\d,]*)-(\d[\d,]*)", text)
    if match is None or text in genome.names:
        contig = genome.contig_index(text)
        start, end = 0, int(genome.lengths[contig])
    else:
        contig = genome.contig_index(match[1])
        start, end = (int(bound.replace(",", "")) for bound in match.groups()[1:])
        genome.window(match[1], start, end)  # raises where the interval leaves the contig
    return Loci(np.array([contig]), np.array([start]), np.array([end]), (text,))


def overlaps(loci: Loci, contig: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Find the intervals that overlap others.

    Parameters
    ----------
    loci : Loci
    contig, start, end : np.ndarray, int64, shape (queries,)

    Returns
    -------
    np.ndarray, int64, shape (pairs, 2)
        Query and interval of each overlap, sorted.
    """
    pairs = np.zeros((len(contig), 2), dtype=np.int64)
    bounds = np.searchsorted(loci.contig, np.stack([contig, contig + 1]))
    while True:
        count = _overlaps(loci.start, loci.end, _furthest(loci), bounds, start, end, pairs)
        if count <= len(pairs):
            return pairs[:count]
        pairs = np.zeros((count, 2), dtype=np.int64)


def _furthest(loci: Loci) -> np.ndarray:
    """Return the largest end among the intervals of the contig up to each, which tells where looking back can stop."""
    span = int(loci.end.max(initial=0)) + 1
    return np.maximum.accumulate(loci.end + loci.contig * span) - loci.contig * span


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
