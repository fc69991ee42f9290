"""Which texts stand in more positive than negative sequences than chance allows."""

from typing import NamedTuple

import numba
import numpy as np
from scipy import stats

from dnabert.interpretation.regions import Texts
from dnabert.sequence.alphabet import CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.tables import Table


class Enrichment(NamedTuple):
    """How often texts stand in two sets of sequences.

    Attributes
    ----------
    positives, negatives : np.ndarray, int64, shape (texts,)
        Sequences that hold the text at least once.
    p : np.ndarray, float64, shape (texts,)
        Chance of so many positives or more (hypergeometric).
    q : np.ndarray, float64, shape (texts,)
        The same, corrected for the number of texts (Benjamini and Hochberg).
    """

    positives: np.ndarray
    negatives: np.ndarray
    p: np.ndarray
    q: np.ndarray


def enrichment(texts: Texts, positives: Table, negatives: Table) -> Enrichment:
    """Test each text for enrichment in positives, each sequence counted once.

    Parameters
    ----------
    texts : Texts
    positives, negatives : Table

    Returns
    -------
    Enrichment
    """
    found = [count_sequences(texts, table) for table in (positives, negatives)]
    p = np.exp(log_p(found[0], found[1], positives.rows, negatives.rows))
    return Enrichment(found[0], found[1], p, stats.false_discovery_control(p) if len(p) else p)


def log_p(found: np.ndarray, found_in_negatives: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    """Compute the log of the chance to find something in so many of the positives or more.

    Parameters
    ----------
    found, found_in_negatives : np.ndarray, int64, shape (things,)
        Positive and negative sequences it was found in.
    positives, negatives : int
        Sequences there are.

    Returns
    -------
    np.ndarray, float64, shape (things,)
        Natural log of P(X >= found), X hypergeometric: draws without replacement.
    """
    if not len(found):
        return np.empty(0)
    # many things are found equally often, and each sum is over thousands of terms
    pairs, back = np.unique(np.stack([found, found + found_in_negatives]), axis=1, return_inverse=True)
    logs = stats.hypergeom.logsf(pairs[0] - 1, positives + negatives, positives, pairs[1])
    return np.minimum(logs, 0.0)[back.ravel()]


def count_sequences(texts: Texts, table: Table) -> np.ndarray:
    """Count the sequences that hold each text, in one pass over the sequences (Aho and Corasick 1975).

    Parameters
    ----------
    texts : Texts
    table : Table

    Returns
    -------
    np.ndarray, int64, shape (texts,)
    """
    counts = np.zeros(texts.number, dtype=np.int64)
    _count(*_automaton(texts.codes, texts.offsets), table.letters, table.offsets, CODE_OF_BYTE, counts)
    return counts


@numba.njit(cache=True)
def _automaton(codes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the states: next state a base, the text that ends in a state (-1: none), the next shorter such state."""
    following = np.zeros((len(codes) + 1, 4), dtype=np.int32)
    ends = np.full(len(codes) + 1, -1, dtype=np.int32)
    states = 1
    for text in range(len(offsets) - 1):
        state = 0
        for base in codes[offsets[text] : offsets[text + 1]]:
            if following[state, base] == 0:
                following[state, base] = states
                states += 1
            state = following[state, base]
        ends[state] = text
    suffix = np.zeros(states, dtype=np.int32)
    shorter = np.zeros(states, dtype=np.int32)
    queue = np.empty(states, dtype=np.int32)
    first, last = 0, 0
    for base in range(4):
        if following[0, base] != 0:
            queue[last] = following[0, base]
            last += 1
    while first < last:
        state = queue[first]
        first += 1
        fallen = suffix[state]
        shorter[state] = fallen if ends[fallen] >= 0 else shorter[fallen]
        for base in range(4):
            child = following[state, base]
            if child == 0:
                following[state, base] = following[fallen, base]
            else:
                suffix[child] = following[fallen, base]
                queue[last] = child
                last += 1
    return following, ends, shorter


@numba.njit(cache=True, nogil=True)
def _count(
    following: np.ndarray,
    ends: np.ndarray,
    shorter: np.ndarray,
    letters: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    counts: np.ndarray,
) -> None:
    seen = np.full(len(counts), -1, dtype=np.int64)
    for row in range(len(offsets) - 1):
        state = 0
        for i in range(offsets[row], offsets[row + 1]):
            base = table[letters[i]]
            if base >= UNKNOWN:
                state = 0
                continue
            state = following[state, base]
            hit = state if ends[state] >= 0 else shorter[state]
            while hit != 0:
                text = ends[hit]
                if seen[text] != row:
                    seen[text] = row
                    counts[text] += 1
                hit = shorter[hit]
