"""Scores along a genome, for genome browsers: bedGraph and bigWig."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnabert.interpretation.places import interval
from dnabert.sequence.genome import Genome
from dnabert.sequence.tables import Table


class Stretch(NamedTuple):
    """A run of bases with scores: contig, 0-based start, and a value a base, float64, shape (bases,)."""

    contig: str
    start: int
    values: np.ndarray


def write_tracks(table: Table, scores: np.ndarray, genome: Genome, stem: Path) -> tuple[Path, Path]:
    """Write scores of intervals as `.bedgraph` and `.bw`, sorted as the genome is.

    Parameters
    ----------
    table : Table
        Read from intervals: with the columns `chrom`, `start`, `end`, maybe `strand`.
    scores : np.ndarray, float, shape (rows, longest)
        A score a base, in the direction of the sequence: those of the minus strand are turned round.
    genome : Genome
        That the intervals refer to.
    stem : pathlib.Path
        Of the two files.

    Returns
    -------
    tuple of pathlib.Path
        Where intervals overlap, a base has the mean of their scores. Bases without a score (N) are left out.
    """
    import pyBigWig

    graph, big = stem.with_name(f"{stem.name}.bedgraph"), stem.with_name(f"{stem.name}.bw")
    wig = pyBigWig.open(str(big), "w")
    wig.addHeader([(name, int(length)) for name, length in zip(genome.names, genome.lengths, strict=True)])
    with graph.open("w") as out:
        for contig, start, values in stretches(table, scores, genome):
            wig.addEntries(contig, start, values=values, span=1, step=1)
            lines = (f"{contig}\t{start + i}\t{start + i + 1}\t{value:.6g}\n" for i, value in enumerate(values))
            out.writelines(lines)
    wig.close()
    return graph, big


def stretches(table: Table, scores: np.ndarray, genome: Genome) -> Iterator[Stretch]:
    """Put scores of intervals in the order of the genome, overlaps averaged; gaps and NaN end a stretch."""
    places = [interval(table, row) for row in range(table.rows)]
    contigs = np.array([genome.contig_index(contig) for contig, *_ in places])
    starts, ends = (np.array([place[i] for place in places], dtype=np.int64) for i in (1, 2))
    order = np.lexsort((starts, contigs))
    first = 0
    while first < len(order):
        last, reach = first + 1, ends[order[first]]
        while last < len(order) and contigs[order[last]] == contigs[order[first]] and starts[order[last]] < reach:
            reach = max(reach, ends[order[last]])
            last += 1
        begin = int(starts[order[first]])
        total, count = np.zeros(int(reach) - begin), np.zeros(int(reach) - begin)
        for row in order[first:last]:
            values = scores[row, : ends[row] - starts[row]].astype(np.float64)
            values = values[::-1] if places[row][3] == "-" else values
            there = slice(starts[row] - begin, ends[row] - begin)
            total[there] += np.nan_to_num(values)
            count[there] += ~np.isnan(values)
        yield from _known(genome.names[contigs[order[first]]], begin, total, count)
        first = last


def _known(contig: str, begin: int, total: np.ndarray, count: np.ndarray) -> Iterator[Stretch]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], count > 0, [False]])))
    for start, end in edges.reshape(-1, 2):
        yield Stretch(contig, begin + int(start), total[start:end] / count[start:end])
