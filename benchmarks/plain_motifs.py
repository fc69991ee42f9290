"""The paper's motif finder step by step, as one would write it down: what the fast one is measured against.

From a score a base to merged groups of texts: regions above the mean and 10 times the minimum, a hypergeometric test of
each text, Benjamini and Hochberg, and merging by ungapped alignment of every pair.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import hypergeom

BASES = "ATCG"
"""The order in which texts of one length are taken, the package's own."""


class Plain(NamedTuple):
    """What the finder found.

    Attributes
    ----------
    regions : list of (int, int, int)
        Row, start, end.
    p, q : dict of str to float
        Of each text.
    groups : list of list of (str, int)
        Texts of each group and where its first text starts in them.
    windows : list of list of (int, int)
        Row and start of each group's windows.
    """

    regions: list[tuple[int, int, int]]
    p: dict[str, float]
    q: dict[str, float]
    groups: list[list[tuple[str, int]]]
    windows: list[list[tuple[int, int]]]


def find(
    scores: Sequence[np.ndarray],
    positives: Sequence[str],
    negatives: Sequence[str],
    min_length: int = 5,
    level: float = 0.005,
    width: int = 24,
) -> Plain:
    """Run all steps on one array of scores a positive sequence."""
    regions = regions_of(scores, min_length)
    where: dict[str, list[tuple[int, int]]] = {}
    for row, start, end in regions:
        text = positives[row][start:end]
        if set(text) <= set(BASES):
            where.setdefault(text, []).append((row, start))
    p = {text: p_value(text, positives, negatives) for text in where}
    q = benjamini_hochberg(p)
    groups = merge([text for text in where if q[text] <= level], min_length)
    return Plain(regions, p, q, groups, [windows(group, where, positives, width) for group in groups])


def regions_of(scores: Sequence[np.ndarray], min_length: int) -> list[tuple[int, int, int]]:
    """List the runs of bases above the mean and 10 times the minimum."""
    regions = []
    for row, score in enumerate(scores):
        mean, lowest, start = score.mean(), score.min(), None
        for i in range(len(score) + 1):
            above = i < len(score) and score[i] > mean and score[i] > 10 * lowest
            if above and start is None:
                start = i
            if not above and start is not None:
                if i - start >= min_length:
                    regions.append((row, start, i))
                start = None
    return regions


def p_value(text: str, positives: Sequence[str], negatives: Sequence[str]) -> float:
    """Test one text: sequences that hold it, counted once each."""
    found = sum(text in sequence for sequence in positives)
    all_found = found + sum(text in sequence for sequence in negatives)
    return float(hypergeom.sf(found - 1, len(positives) + len(negatives), len(positives), all_found))


def benjamini_hochberg(p: dict[str, float]) -> dict[str, float]:
    """Correct p-values for their number: the smallest p * n / rank of this rank and those after it."""
    ranked = sorted(p, key=lambda text: p[text])
    q, lowest = {}, 1.0
    for rank in range(len(ranked), 0, -1):
        lowest = min(lowest, p[ranked[rank - 1]] * len(ranked) / rank)
        q[ranked[rank - 1]] = lowest
    return q


def align(text: str, key: str) -> tuple[int, int]:
    """Return the most matching bases of two texts at any shift, and the leftmost such shift."""
    best, place = -1, 0
    for shift in range(-len(key) + 1, len(text)):
        pairs = [(text[i], key[i - shift]) for i in range(len(text)) if 0 <= i - shift < len(key)]
        score = sum(one == other for one, other in pairs)
        if score > best:
            best, place = score, shift
    return best, place


def merge(texts: Sequence[str], min_length: int) -> list[list[tuple[str, int]]]:
    """Group texts, shortest first, each with the groups whose first text it matches best."""
    groups: list[list[tuple[str, int]]] = []
    for text in sorted(texts, key=lambda text: (len(text), [BASES.index(base) for base in text])):
        alike = []
        for group in groups:
            key = group[0][0]
            score, shift = align(text, key)
            if score >= max(min_length - 1, 0.5 * min(len(text), len(key))):
                alike.append((score, shift, group))
        best = max((score for score, _, _ in alike), default=None)
        for score, shift, group in alike:
            if score == best:
                group.append((text, shift))
        if best is None:
            groups.append([(text, 0)])
    return groups


def windows(
    group: list[tuple[str, int]], where: dict[str, list[tuple[int, int]]], sequences: Sequence[str], width: int
) -> list[tuple[int, int]]:
    """Place windows around the regions of a group, its first text in the middle."""
    before = (width - len(group[0][0])) // 2
    found = {(row, start + shift - before) for text, shift in group for row, start in where[text]}
    return sorted((row, start) for row, start in found if start >= 0 and start + width <= len(sequences[row]))
