"""Shuffles that keep every dinucleotide: negatives that only the order beyond neighbours tells from the positives.

A sequence is a walk through its letters, and a shuffle that keeps the dinucleotides is another walk over the same steps
(Altschul & Erickson 1985, Mol Biol Evol 2:526). Such a walk is drawn exactly uniformly: the last steps out of the
letters are a random tree towards the last letter of the sequence, drawn by loop-erased random walks (Wilson 1996,
STOC 28:296), and the other steps out of each letter are taken in random order.
"""

import numba
import numpy as np
import pyarrow as pa

from dnabert.sequence.alphabet import CODE_OF_BYTE, LETTERS, UNKNOWN
from dnabert.sequence.letters import string_array

_LETTERS = UNKNOWN + 1

# SplitMix64 (Steele, Lea & Flood 2014, OOPSLA 49:453): output i of a stream is a function of its key and i
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def shuffle_dinucleotides(
    letters: np.ndarray, offsets: np.ndarray, seed: int, *, copies: int = 1, first: int = 0
) -> pa.LargeStringArray:
    """Shuffle sequences so that the number of each dinucleotide stays.

    All sequences with the same dinucleotides, first and last base are equally likely, the given one included: one with
    little freedom (a run of one base, a short repeat) may come back as it was.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
        The letters of all sequences, any case. What is not A, C, G, T or U reads as N, and N counts as a letter of its
        own: dinucleotides with N stay too.
    offsets : np.ndarray, int64, shape (sequences + 1,)
        Where each sequence starts in `letters`.
    seed : int
        The same seed gives the same shuffles, whatever stands beside a sequence.
    copies : int
        Shuffles of each sequence.
    first : int
        Number of the first sequence, where these are a part of more.

    Returns
    -------
    pa.LargeStringArray, length sequences * copies
        The shuffles of the first sequence, then those of the second, and so on, in upper case.
    """
    lengths = np.repeat(np.diff(offsets), copies)
    out_offsets = np.concatenate([[0], np.cumsum(lengths)])
    out = np.empty(out_offsets[-1], dtype=np.uint8)
    _shuffle_rows(letters, offsets, np.uint64(seed), copies, first, CODE_OF_BYTE, LETTERS, out_offsets, out)
    return string_array(out, out_offsets)


@numba.njit(nogil=True, cache=True)
def mix(value: np.uint64) -> np.uint64:
    """Mix the bits of a number: the output function of SplitMix64."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def key_of(seed: np.uint64, row: int, copy: int) -> np.uint64:
    """Make the key of a stream of random numbers that belongs to a row alone."""
    return mix(mix(mix(seed + _STEP) + np.uint64(row) * _STEP) + np.uint64(copy) * _STEP)


@numba.njit(nogil=True, cache=True)
def draw_next(state: np.ndarray) -> np.uint64:
    """Draw 64 random bits. `state`, uint64, shape (1,), starts as the key of a stream and is moved on."""
    state[0] += _STEP
    return mix(state[0])


@numba.njit(nogil=True, cache=True)
def draw_below(state: np.ndarray, bound: int) -> int:
    """Draw a whole number from 0 to below a bound (under 2**32), without bias (Lemire 2019, doi 10.1145/3230636)."""
    wide = np.uint64(bound)
    half = np.uint64(32)
    low = np.uint64(0xFFFFFFFF)
    product = (draw_next(state) >> half) * wide
    if (product & low) < wide:
        threshold = (np.uint64(1 << 32) - wide) % wide
        while (product & low) < threshold:
            product = (draw_next(state) >> half) * wide
    return int(product >> half)


@numba.njit(nogil=True, cache=True)
def _shuffle_rows(
    letters: np.ndarray,
    offsets: np.ndarray,
    seed: np.uint64,
    copies: int,
    first: int,
    table: np.ndarray,
    alphabet: np.ndarray,
    out_offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    codes = np.empty(longest, dtype=np.uint8)
    steps = np.empty(longest, dtype=np.uint8)
    state = np.empty(1, dtype=np.uint64)
    for row in range(len(offsets) - 1):
        length = offsets[row + 1] - offsets[row]
        for i in range(length):
            code = table[letters[offsets[row] + i]]
            codes[i] = min(code, np.uint8(UNKNOWN))
        for copy in range(copies):
            state[0] = key_of(seed, first + row, copy)
            at = out_offsets[row * copies + copy]
            _shuffle(codes[:length], steps, state, alphabet, out[at : at + length])


@numba.njit(nogil=True, cache=True)
def _shuffle(codes: np.ndarray, steps: np.ndarray, state: np.ndarray, alphabet: np.ndarray, out: np.ndarray) -> None:
    length = len(codes)
    if length < 4:  # nothing can move
        for i in range(length):
            out[i] = alphabet[codes[i]]
        return
    # the steps out of each letter, one letter after the other: `steps[begin[a] : begin[a + 1]]` are the letters after a
    begin = np.zeros(_LETTERS + 1, dtype=np.int64)
    for i in range(length - 1):
        begin[codes[i] + 1] += 1
    for a in range(_LETTERS):
        begin[a + 1] += begin[a]
    filled = begin[:_LETTERS].copy()
    for i in range(length - 1):
        steps[filled[codes[i]]] = codes[i + 1]
        filled[codes[i]] += 1
    _draw_last_steps(steps, begin, codes[length - 1], state)
    end = codes[length - 1]
    for a in range(_LETTERS):
        free = begin[a + 1] - begin[a] - (0 if a == end else 1)
        for i in range(free - 1, 0, -1):
            j = draw_below(state, i + 1)
            steps[begin[a] + i], steps[begin[a] + j] = steps[begin[a] + j], steps[begin[a] + i]
    taken = begin[:_LETTERS].copy()
    letter = codes[0]
    out[0] = alphabet[letter]
    for i in range(1, length):
        taken[letter] += 1
        letter = steps[taken[letter] - 1]
        out[i] = alphabet[letter]


@numba.njit(nogil=True, cache=True)
def _draw_last_steps(steps: np.ndarray, begin: np.ndarray, end: int, state: np.ndarray) -> None:
    """Put a random tree towards `end` into the last place among the steps out of each other letter."""
    in_tree = np.zeros(_LETTERS, dtype=np.bool_)
    chosen = np.zeros(_LETTERS, dtype=np.int64)
    in_tree[end] = True
    for a in range(_LETTERS):
        if begin[a + 1] == begin[a]:
            continue
        letter = a
        while not in_tree[letter]:  # a later visit overwrites the choice of an earlier one: that erases the loop
            chosen[letter] = begin[letter] + draw_below(state, begin[letter + 1] - begin[letter])
            letter = steps[chosen[letter]]
        letter = a
        while not in_tree[letter]:
            in_tree[letter] = True
            letter = steps[chosen[letter]]
    for a in range(_LETTERS):
        if a != end and begin[a + 1] > begin[a]:
            last = begin[a + 1] - 1
            steps[chosen[a]], steps[last] = steps[last], steps[chosen[a]]
