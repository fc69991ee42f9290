"""Regions that a model looks at: where scores stand out of their sequence."""

from typing import NamedTuple

import numpy as np

from dnabert.sequence.alphabet import CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.tables import Table

ABOVE_MINIMUM = 10
"""A region's scores are above its sequence's mean, and above this many times its minimum (Ji et al. 2021)."""
QUARTILE = 0.75
"""Share of a sequence's bases that mean attention has to exceed to count at all."""


class Regions(NamedTuple):
    """Regions of sequences, in the order of the rows.

    Attributes
    ----------
    rows, starts, ends : np.ndarray, int64, shape (regions,)
        Row of the sequence, and the 0-based half-open interval in it.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Texts(NamedTuple):
    """Distinct texts of regions, and where each stands.

    Attributes
    ----------
    codes : np.ndarray, uint8, shape (bases,)
        Base codes of all texts, one after the other; none is unknown.
    offsets : np.ndarray, int64, shape (texts + 1,)
        Where each text starts in `codes`. Shorter texts come first, those of one length in the order of their codes.
    region_rows, region_starts : np.ndarray, int64, shape (regions,)
        Row and start of each region, sorted by text.
    region_offsets : np.ndarray, int64, shape (texts + 1,)
        Which regions spell each text.
    """

    codes: np.ndarray
    offsets: np.ndarray
    region_rows: np.ndarray
    region_starts: np.ndarray
    region_offsets: np.ndarray

    @property
    def number(self) -> int:
        """The number of texts."""
        return len(self.offsets) - 1


def above_quartile(scores: np.ndarray) -> np.ndarray:
    """Take from each score the upper quartile of its sequence, 0 where that is more.

    The mean attention of many tokens never comes near 0, so that no score is ten times the least one, or all are near
    the mean. What stands out is what exceeds the quartile.

    Parameters
    ----------
    scores : np.ndarray, float, shape (sequences, longest)
        NaN after the end of a shorter sequence.

    Returns
    -------
    np.ndarray, float, shape (sequences, longest)
    """
    known = np.isfinite(scores).sum(axis=1, keepdims=True)
    at = np.maximum(np.ceil(QUARTILE * known).astype(np.int64) - 1, 0)
    quartile = np.take_along_axis(np.sort(scores, axis=1), at, axis=1)  # NaN comes last
    return np.maximum(scores - quartile, 0)


def find_regions(scores: np.ndarray, min_length: int) -> Regions:
    """Find the runs of bases that score above their sequence's mean and 10 times its minimum.

    Parameters
    ----------
    scores : np.ndarray, float, shape (sequences, longest)
        NaN after the end of a shorter sequence.
    min_length : int
        Bases of the shortest region.

    Returns
    -------
    Regions
    """
    found = []
    for first in range(0, len(scores), 4096):  # scores may lie on disk
        part = scores[first : first + 4096].astype(np.float64)
        mean, lowest = np.nanmean(part, axis=1, keepdims=True), np.nanmin(part, axis=1, keepdims=True)
        above = (part > mean) & (part > ABOVE_MINIMUM * lowest)
        edges = np.diff(np.pad(above, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        rows, starts = np.nonzero(edges == 1)
        _, ends = np.nonzero(edges == -1)
        kept = ends - starts >= min_length
        found.append(np.stack([rows[kept] + first, starts[kept], ends[kept]]))
    return Regions(*np.concatenate(found, axis=1)) if found else Regions(*np.empty((3, 0), dtype=np.int64))


def texts_of(table: Table, regions: Regions) -> Texts:
    """Read what regions spell. Regions with an unknown base (N) are left out.

    Parameters
    ----------
    table : Table
        The sequences that the regions' rows count.
    regions : Regions

    Returns
    -------
    Texts
    """
    codes = CODE_OF_BYTE[table.letters]
    begins, ends = table.offsets[regions.rows] + regions.starts, table.offsets[regions.rows] + regions.ends
    where: dict[bytes, list[int]] = {}
    for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        where.setdefault(codes[begin:end].tobytes(), []).append(i)
    known = sorted((text for text in where if max(text) < UNKNOWN), key=lambda text: (len(text), text))
    order = np.array([i for text in known for i in where[text]], dtype=np.int64)
    return Texts(
        np.frombuffer(b"".join(known), dtype=np.uint8),
        np.cumsum([0, *map(len, known)], dtype=np.int64),
        regions.rows[order],
        regions.starts[order],
        np.cumsum([0, *(len(where[text]) for text in known)], dtype=np.int64),
    )


def select_texts(texts: Texts, chosen: np.ndarray) -> Texts:
    """Keep some texts, bool, shape (texts,), with their regions, in the same order."""
    lengths, regions = np.diff(texts.offsets), np.diff(texts.region_offsets)
    kept = np.repeat(chosen, regions)
    return Texts(
        texts.codes[np.repeat(chosen, lengths)],
        np.concatenate([[0], np.cumsum(lengths[chosen])]),
        texts.region_rows[kept],
        texts.region_starts[kept],
        np.concatenate([[0], np.cumsum(regions[chosen])]),
    )
