"""Which stretches of DNA are trained on and which are held out."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.sequence.alphabet import reverse_complement
from dnabert.sequence.genome import Genome, fraction_unknown
from dnabert.sequence.kmers import encode

SHORTEST = 5
"""k-mers of the shortest training sequence (Ji et al. 2021: lengths 5 to 510)."""

MOSTLY_UNKNOWN = 0.5
"""Windows with a larger share of N are skipped."""


class Regions(NamedTuple):
    """Stretches that windows are drawn from, 0-based half-open; each array int64, shape (regions,).

    Attributes
    ----------
    source : np.ndarray
        Which of the sources it lies in.
    start, end : np.ndarray
        In coordinates of that source's `codes`.
    """

    source: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64, shape (regions,): bases of each."""
        return self.end - self.start


class Window(NamedTuple):
    """A stretch as it is read: the ids of its k-mers, integer, shape (kmers,), and which of the sources it is of."""

    ids: np.ndarray
    source: int


def open_source(path: str | os.PathLike[str]) -> Genome:
    """Open what is trained on: a FASTA file, or a table whose rows stand in for contigs and have no names.

    Parameters
    ----------
    path : path
        FASTA as in `Genome.open`, or TSV, CSV or Parquet with a column `sequence`, whose labels are not looked at.

    Raises
    ------
    InputError
        If the file is neither, or not as required.
    """
    if not tables.is_table(path):
        return Genome.open(path)
    table = tables.read(path)
    return Genome.of_letters(table.path.resolve(), (), table.letters, table.offsets)


def split_regions(sources: Sequence[Genome], holdout: Sequence[str], k: int) -> tuple[Regions, Regions]:
    """Divide sources into stretches to train on and stretches to evaluate on.

    Parameters
    ----------
    sources : sequence of Genome
    holdout : sequence of str
        Names of contigs, or one fraction, unless a contig is called like it: then the middle of each contig and, evenly
        spread, this share of a table's rows are held out. Empty holds out nothing.
    k : int
        Bases per token: stretches shorter than a window of 5 k-mers are left out.

    Returns
    -------
    tuple of two Regions
        For training, for evaluation.

    Raises
    ------
    InputError
        If no genome has a named contig, or nothing is left to train on.
    """
    fraction = None if any(name in source.names for name in holdout for source in sources) else _fraction(holdout)
    if fraction is None:
        for name in holdout:
            if not any(name in source.names for source in sources):
                genomes = [source for source in sources if source.names]
                if not genomes:
                    raise InputError(f"--holdout {name}: rows of a table have no names; give a fraction")
                genomes[0].contig_index(name)  # raises, naming the contigs
    train: list[Regions] = []
    held: list[Regions] = []
    for i, source in enumerate(sources):
        start, end = source.starts[:-1], source.starts[1:]
        if fraction is None or not source.names:
            share = np.arange(len(start) + 1) * (fraction or 0)
            out = np.isin(source.names, holdout) if fraction is None and source.names else np.diff(np.floor(share)) > 0
            held.append(_regions(i, start[out], end[out]))
            train.append(_regions(i, start[~out], end[~out]))
            continue
        length = np.round((end - start) * fraction).astype(np.int64)
        middle = start + (end - start - length) // 2
        held.append(_regions(i, middle, middle + length))
        train.append(_regions(i, start, middle))
        train.append(_regions(i, middle + length, end))
    shortest = SHORTEST + k - 1
    kept, apart = _of_length(train, shortest), _of_length(held, shortest)
    if not len(kept.source):
        raise InputError(f"--holdout {' '.join(holdout)}: nothing is left to train on; hold out less")
    return kept, apart


def _regions(source: int, start: np.ndarray, end: np.ndarray) -> Regions:
    return Regions(np.full(len(start), source, dtype=np.int64), start, end)


def _of_length(parts: Sequence[Regions], shortest: int) -> Regions:
    joined = Regions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return Regions(*(column[joined.lengths >= shortest] for column in joined))


def region_bounds(regions: Regions, weights: Sequence[float] | None, sources: int, k: int, kmers: int) -> np.ndarray:
    """Compute the cumulative probabilities with which windows come from regions.

    Each base is read equally often: a region's share is the number of windows that cover it, so short rows, of which a
    window reads no more than there is, are drawn more often.

    Parameters
    ----------
    regions : Regions
    weights : sequence of float, optional
        Relative share of the bases read from each source; by default what each source holds.
    sources : int
        How many there are.
    k : int
        Bases per token.
    kmers : int
        k-mers of the longest window.

    Returns
    -------
    np.ndarray, float64, shape (regions,)
        The last entry is 1.

    Raises
    ------
    InputError
        If there is not one weight a source, or none is positive.
    """
    bases = regions.lengths.astype(np.float64)
    if weights is not None:
        given = f"--weights {','.join(f'{w:g}' for w in weights)}"
        if len(weights) != sources or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise InputError(f"{given}: {sources} numbers are required, one a file, none negative and not all 0")
        wanted = np.asarray(weights, dtype=np.float64)[regions.source]
        if not wanted.any():
            raise InputError(
                f"{given}: the files whose weight is above 0 are held out whole, nothing is left to train on; hold out "
                "less"
            )
        bases *= wanted / np.bincount(regions.source, weights=bases, minlength=sources)[regions.source]
    bounds = np.cumsum(bases / _mean_window(regions.lengths, k, kmers))
    bounds /= bounds[-1]
    return bounds


def _mean_window(lengths: np.ndarray, k: int, kmers: int) -> np.ndarray:
    """Average the bases that a window takes of a region: half have the full length, half one drawn up to it."""
    longest = kmers + k - 1
    drawn = np.arange(SHORTEST + k - 1, longest + 1)
    of_region = np.minimum(np.arange(longest + 1)[:, None], drawn).mean(axis=1)
    cut = np.minimum(lengths, longest)
    return 0.5 * cut + 0.5 * of_region[cut]


def tile(sources: Sequence[Genome], regions: Regions, k: int, kmers: int) -> Regions:
    """Cut regions into neighbouring windows.

    Parameters
    ----------
    sources : sequence of Genome
    regions : Regions
    k : int
        Bases per token.
    kmers : int
        k-mers of a window. A shorter region is one window, shorter ends and windows that are mostly N are left out.

    Returns
    -------
    Regions
    """
    bases = kmers + k - 1
    windows = [
        (source, start, min(start + bases, end))
        for source, first, end in zip(*(column.tolist() for column in regions), strict=True)
        for start in range(first, max(end - bases, first) + 1, bases)
        if fraction_unknown(sources[source].codes[start : min(start + bases, end)]) <= MOSTLY_UNKNOWN
    ]
    return Regions(*np.array(windows, dtype=np.int64).reshape(-1, 3).T)


def read_window(sources: Sequence[Genome], windows: Regions, i: int, k: int) -> Window:
    """Read one of neighbouring windows: those at even places forwards, the others backwards."""
    source, start, end = (int(column[i]) for column in windows)
    codes = np.asarray(sources[source].codes[start:end])
    return Window(encode(reverse_complement(codes) if i % 2 else codes, k), source)


def _fraction(holdout: Sequence[str]) -> float | None:
    if len(holdout) != 1:
        return None
    try:
        fraction = float(holdout[0])
    except ValueError:
        return None
    if not 0 <= fraction < 1:
        raise InputError(f"--holdout {holdout[0]}: a fraction from 0 to below 1, or names of contigs are required")
    return fraction
