"""Which stretches of genomes are trained on and which are held out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnabert.errors import InputError
from dnabert.sequence.alphabet import reverse_complement
from dnabert.sequence.genome import Genome, fraction_unknown
from dnabert.sequence.kmers import encode

SHORTEST = 5
"""k-mers of the shortest training sequence (Ji et al. 2021: lengths 5 to 510)."""

MOSTLY_UNKNOWN = 0.5
"""Windows with a larger share of N are skipped."""


class Region(NamedTuple):
    """A stretch of a genome that windows are drawn from, in coordinates of `Genome.codes`, 0-based half-open."""

    genome: int
    start: int
    end: int


def split_regions(
    genomes: Sequence[Genome], holdout: Sequence[str], k: int
) -> tuple[tuple[Region, ...], tuple[Region, ...]]:
    """Divide genomes into stretches to train on and stretches to evaluate on.

    Parameters
    ----------
    genomes : sequence of Genome
    holdout : sequence of str
        Names of contigs, or one fraction: then the middle of each contig is held out. Empty holds out nothing.
    k : int
        Bases per token: stretches shorter than a window of 5 k-mers are left out.

    Returns
    -------
    tuple of two tuples of Region
        For training, for evaluation.

    Raises
    ------
    InputError
        If no genome has a named contig, or nothing is left to train on.
    """
    fraction = _fraction(holdout)
    if fraction is None:
        for name in holdout:
            if not any(name in genome.names for genome in genomes):
                genomes[0].contig_index(name)  # raises, naming the contigs
    train: list[Region] = []
    held: list[Region] = []
    for g, genome in enumerate(genomes):
        for name, start, end in zip(genome.names, genome.starts[:-1].tolist(), genome.starts[1:].tolist(), strict=True):
            if fraction is None:
                (held if name in holdout else train).append(Region(g, start, end))
                continue
            length = round((end - start) * fraction)
            middle = start + (end - start - length) // 2
            held.append(Region(g, middle, middle + length))
            train += [Region(g, start, middle), Region(g, middle + length, end)]
    shortest = SHORTEST + k - 1
    kept = tuple(region for region in train if region.end - region.start >= shortest)
    if not kept:
        raise InputError(f"--holdout {' '.join(holdout)}: nothing is left to train on; hold out less")
    return kept, tuple(region for region in held if region.end > region.start)


def region_bounds(genomes: Sequence[Genome], regions: Sequence[Region], weights: Sequence[float] | None) -> np.ndarray:
    """Compute the cumulative probabilities of regions: by their bases within a genome, by `weights` between genomes.

    Returns
    -------
    np.ndarray, float64, shape (regions,)
        The last entry is 1.
    """
    if weights is not None and (len(weights) != len(genomes) or min(weights) < 0 or sum(weights) <= 0):
        raise InputError(
            f"--weights {','.join(f'{w:g}' for w in weights)}: {len(genomes)} numbers are required, one a genome, "
            "none negative and not all 0"
        )
    bases = np.array([region.end - region.start for region in regions], dtype=np.float64)
    if weights is not None:
        owner = np.array([region.genome for region in regions])
        total = np.bincount(owner, weights=bases, minlength=len(genomes))
        bases *= np.asarray(weights, dtype=np.float64)[owner] / total[owner]
    bounds = np.cumsum(bases) / bases.sum()
    bounds[-1] = 1.0
    return bounds


def tile(genome: Genome, regions: Sequence[Region], k: int, kmers: int) -> list[np.ndarray]:
    """Cut regions into neighbouring windows, forwards and backwards in turn.

    Parameters
    ----------
    genome : Genome
    regions : sequence of Region
        Stretches of this genome.
    k : int
        Bases per token.
    kmers : int
        k-mers of a window. Shorter ends and windows that are mostly N are left out.

    Returns
    -------
    list of np.ndarray, int32, shape (kmers,)
    """
    bases = kmers + k - 1
    windows: list[np.ndarray] = []
    for region in regions:
        for start in range(region.start, region.end - bases + 1, bases):
            codes = genome.codes[start : start + bases]
            if fraction_unknown(codes) <= MOSTLY_UNKNOWN:
                windows.append(encode(reverse_complement(codes) if len(windows) % 2 else np.asarray(codes), k))
    return windows


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
