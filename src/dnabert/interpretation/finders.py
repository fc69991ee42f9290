"""Two ways to motifs: the paper's, from attention, and TF-MoDISco, from contributions."""

import contextlib
import io
from typing import NamedTuple

import numpy as np

from dnabert.errors import InputError
from dnabert.interpretation.enrichment import enrichment
from dnabert.interpretation.merging import count_bases, merge, windows_of
from dnabert.interpretation.regions import find_regions, select_texts, texts_of
from dnabert.sequence.alphabet import ACGT, CODE_OF_BYTE
from dnabert.sequence.tables import Table
from dnabert.threads import launch_numba

MIN_LENGTH, MIN_INSTANCES, WINDOW, LEVEL = 5, 3, 24, 0.005
"""The paper's: bases of a region, windows of a motif, bases of a window, largest corrected p-value of a text."""
MODISCO_BASES = 41
"""Bases that TF-MoDISco's windows take: 21 and 10 on both sides."""


class Finder(NamedTuple):
    """Options of the finder on attention.

    Attributes
    ----------
    min_length, min_instances, window : int
    level : float
    """

    min_length: int = MIN_LENGTH
    min_instances: int = MIN_INSTANCES
    window: int = WINDOW
    level: float = LEVEL


class Found(NamedTuple):
    """A motif as it was found.

    Attributes
    ----------
    counts : np.ndarray, float64, shape (width, 4)
        Of A, C, G, T.
    instances : int
        Windows or seqlets it was made of.
    """

    counts: np.ndarray
    instances: int


class Search(NamedTuple):
    """Motifs, and how many regions, distinct texts and enriched texts they came from."""

    motifs: list[Found]
    steps: dict[str, int]


def find_by_attention(scores: np.ndarray, positives: Table, negatives: Table, options: Finder) -> Search:
    """Find motifs in the regions that a model attends to (Ji et al. 2021, Methods 2.5).

    Regions stand out of their sequence (`find_regions`), their texts are enriched in positives (`enrichment`), like
    texts are merged (`merge`), and windows of one width around them are counted.

    Parameters
    ----------
    scores : np.ndarray, float, shape (positives, longest)
    positives, negatives : Table
    options : Finder

    Returns
    -------
    Search
    """
    regions = find_regions(scores, options.min_length)
    texts = texts_of(positives, regions)
    tested = enrichment(texts, positives, negatives)
    chosen = select_texts(texts, tested.q <= options.level)
    members = merge(chosen, options.min_length)
    windows = windows_of(chosen, members, np.diff(positives.offsets), options.window)
    kept = [one for one in windows if len(one.rows) >= options.min_instances]
    motifs = [Found(count_bases(positives, one, options.window).astype(np.float64), len(one.rows)) for one in kept]
    steps = {
        "regions": len(regions.rows),
        "distinct texts": texts.number,
        "enriched texts": chosen.number,
        "groups": len(members.keys),
    }
    return Search([motif for motif in motifs if motif.counts.sum(axis=1).all()], steps)


def find_by_modisco(contributions: np.ndarray, positives: Table) -> Search:
    """Find motifs in contributions with TF-MoDISco (Shrikumar et al. 2018, arXiv 1811.00416; modisco-lite).

    Parameters
    ----------
    contributions : np.ndarray, float, shape (positives, longest, 4) or (positives, longest)
        Effects of mutations (A, C, G, T), or a contribution a base.
    positives : Table

    Returns
    -------
    Search
        Motifs that raise the logit.

    Raises
    ------
    InputError
        If sequences are shorter than its windows.
    """
    lengths = np.diff(positives.offsets)
    if lengths.max() < MODISCO_BASES:
        raise InputError(
            f"{positives.path}: the longest sequence has {lengths.max()} bases, the finder modisco needs "
            f"{MODISCO_BASES}; give longer ones, or use the finder attention"
        )
    with contextlib.redirect_stdout(io.StringIO()):
        from modiscolite.tfmodisco import TFMoDISco

        launch_numba()
        one_hot = _one_hot(positives)
        patterns, _ = TFMoDISco(one_hot, _hypothetical(contributions, one_hot))
    motifs = [
        Found(np.asarray(one.sequence, dtype=np.float64) * len(one.seqlets), len(one.seqlets)) for one in patterns or []
    ]
    return Search(motifs, {"seqlets": sum(motif.instances for motif in motifs)})


def _one_hot(table: Table) -> np.ndarray:
    out = np.zeros((table.rows, int(np.diff(table.offsets).max()), 4), dtype=np.float32)
    for row, (start, end) in enumerate(zip(table.offsets[:-1], table.offsets[1:], strict=True)):
        out[row, : end - start] = CODE_OF_BYTE[table.letters[start:end]][:, None] == ACGT
    return out


def _hypothetical(contributions: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
    """Say what each base would contribute, float32, shape (sequences, longest, 4), from what is known."""
    values = np.nan_to_num(contributions).astype(np.float32)
    if values.ndim == 3:
        return values - values.mean(axis=2, keepdims=True)
    return one_hot * values[:, :, None]  # a gradient's share is of the base that is there
