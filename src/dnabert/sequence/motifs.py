"""Position weight matrices: databases of motifs, and what a variant does to their best match."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnabert.errors import InputError
from dnabert.sequence.allele_windows import changed
from dnabert.sequence.alphabet import UNKNOWN
from dnabert.sequence.genome import Genome
from dnabert.sequence.motif_files import read_database
from dnabert.sequence.variants import Letters

PSEUDO = 0.01
"""Share of the background (a fourth each) in every column, so that no base is impossible."""
HIT = 0.8
"""Part of the way from a motif's lowest to its highest score from which a match counts (JASPAR's relative score)."""

_AS_CODES = [0, 3, 1, 2]
"""Columns A, C, G, T in the order of base codes A, T, C, G."""


class Motifs(NamedTuple):
    """Motifs as log-odds.

    Attributes
    ----------
    names : tuple of str, length motifs
    weights : np.ndarray, float32, shape (positions of all motifs, 4)
        log2 of the frequency of A, T, C, G over a fourth.
    offsets : np.ndarray, int64, shape (motifs + 1,)
        Where each motif starts in `weights`.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray


class Disruption(NamedTuple):
    """What alleles do to motifs.

    Attributes
    ----------
    motif : np.ndarray, int64, shape (sites,)
        The motif whose best match changes most; -1 where none matches.
    ref, alt : np.ndarray, float32, shape (sites,)
        Its best log-odds (bits) over both strands and all windows that touch what differs.
    """

    motif: np.ndarray
    ref: np.ndarray
    alt: np.ndarray


def read_motifs(path: Path) -> Motifs:
    """Read a database of motifs, as in `motif_files.read_database`, as log-odds."""
    database = read_database(path)
    weights, offsets = [], [0]
    for shares in database.values():
        weights.append(np.log2(4 * (1 - PSEUDO) * shares + PSEUDO)[:, _AS_CODES])
        offsets.append(offsets[-1] + len(shares))
    return Motifs(tuple(database), np.concatenate(weights).astype(np.float32), np.array(offsets, dtype=np.int64))


def named(motifs: Motifs, name: str) -> list[int]:
    """Find the motifs of a name: all of it, or a part (`CTCF` in `MA0139.1 CTCF`, `MA0139.1.CTCF`, `CTCF.H13CORE`)."""
    wanted = name.casefold()
    return [i for i, full in enumerate(motifs.names) if wanted in _parts(full.casefold())]


def _parts(name: str) -> set[str]:
    words = re.split(r"[\s_|]+", name)
    versioned = (re.split(r"(?<=\d)\.(?=[a-z])", word) for word in words)  # MA0139.1.CTCF
    return {name, *words, *(part for parts in versioned for part in parts), *(word.split(".")[0] for word in words)}


def choose(motifs: Motifs, names: Sequence[str]) -> Motifs:
    """Keep the motifs of some names, or raise InputError for a name that none has."""
    kept: list[int] = []
    for name in names:
        found = named(motifs, name)
        if not found:
            shown = ", ".join(motifs.names[:5])
            raise InputError(f"--motif {name}: no motif is called so; the file has {shown}, … ({len(motifs.names)})")
        kept += [i for i in found if i not in kept]
    bounds = [slice(*motifs.offsets[i : i + 2]) for i in kept]
    weights = np.concatenate([motifs.weights[bound] for bound in bounds])
    offsets = np.concatenate([[0], np.cumsum([bound.stop - bound.start for bound in bounds])])
    return Motifs(tuple(motifs.names[i] for i in kept), weights, offsets)


def disruption(
    motifs: Motifs,
    genome: Genome,
    contig: np.ndarray,
    start: np.ndarray,
    ref: Letters,
    alt: Letters,
    threshold: float,
    allowed: np.ndarray | None = None,
) -> Disruption:
    """Find the motif whose best match an allele changes most.

    Parameters
    ----------
    motifs : Motifs
    genome : Genome
    contig, start : np.ndarray, int64, shape (sites,)
        Where the reference allele begins.
    ref, alt : Letters, length sites
    threshold : float
        Relative score, 0 to 1, that the better allele must reach for a motif to count; below 0 all count.
    allowed : np.ndarray, bool, shape (sites, motifs), optional
        Which motifs are looked at; all by default.

    Returns
    -------
    Disruption
    """
    differs = changed(ref, alt)
    count = len(start)
    found = Disruption(np.full(count, -1), *(np.full(count, np.nan, dtype=np.float32) for _ in range(2)))
    span = np.array(
        [
            [motifs.weights[a:b].min(axis=1).sum(), motifs.weights[a:b].max(axis=1).sum()]
            for a, b in zip(motifs.offsets[:-1], motifs.offsets[1:], strict=True)
        ]
    )
    least = span[:, 0] + threshold * (span[:, 1] - span[:, 0])
    if allowed is None:
        allowed = np.ones((1, len(motifs.names)), dtype=bool)
    first = genome.starts[contig] + start + differs[:, 0]
    bounds = genome.starts[contig], genome.starts[contig + 1]
    _disruption(
        genome.codes, first, *bounds, *differs.T[1:], alt.codes, alt.offsets[:-1] + differs[:, 0],
        motifs.weights, motifs.offsets, least, allowed, *found,
    )  # fmt: skip
    return found


@numba.njit(nogil=True, cache=True)
def _disruption(
    genome: np.ndarray,
    first: np.ndarray,
    contig_start: np.ndarray,
    contig_end: np.ndarray,
    n_ref: np.ndarray,
    n_alt: np.ndarray,
    alt_codes: np.ndarray,
    alt_first: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    least: np.ndarray,
    allowed: np.ndarray,
    motif: np.ndarray,
    ref_score: np.ndarray,
    alt_score: np.ndarray,
) -> None:
    flank = np.max(np.diff(offsets)) - 1
    for site in range(len(first)):
        left = min(flank, first[site] - contig_start[site])
        after = first[site] + n_ref[site]
        right = min(flank, contig_end[site] - after)
        of_ref = genome[first[site] - left : after + right]
        of_alt = np.concatenate(
            (
                genome[first[site] - left : first[site]],
                alt_codes[alt_first[site] : alt_first[site] + n_alt[site]],
                genome[after : after + right],
            )
        )
        most = -1.0
        for i in range(len(offsets) - 1):
            if not allowed[site % len(allowed), i]:
                continue
            matrix = weights[offsets[i] : offsets[i + 1]]
            in_ref = _best(of_ref, left, n_ref[site], matrix)
            in_alt = _best(of_alt, left, n_alt[site], matrix)
            change = abs(in_alt - in_ref)
            if np.isfinite(change) and max(in_ref, in_alt) >= least[i] and change > most:
                most = change
                motif[site] = i
                ref_score[site] = in_ref
                alt_score[site] = in_alt


@numba.njit(nogil=True, cache=True)
def _best(codes: np.ndarray, left: int, size: int, matrix: np.ndarray) -> float:
    """Score the best window, on either strand, that touches `size` bases behind `left`; of none, their junction."""
    width = len(matrix)
    best = -np.inf
    for start in range(max(0, left - width + 1), min(left + max(size, 0), len(codes) - width + 1)):
        if start + width <= left:
            continue
        forward = 0.0
        backward = 0.0
        for j in range(width):
            code = codes[start + j]
            if code >= UNKNOWN:
                forward = -np.inf
                backward = -np.inf
                break
            forward += matrix[j, code]
            backward += matrix[width - 1 - j, code ^ 1]
        best = max(best, forward, backward)
    return best
