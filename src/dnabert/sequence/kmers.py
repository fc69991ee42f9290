"""Base codes to token ids and back, for k from 1 to 8 and any stride.

The id of a k-mer is `5 + sum(base[i] * 4**(k-1-i))`; a k-mer that touches an unknown base is `[UNK]`. With `stride=1`
the tokens overlap (DNABERT's), with `stride=k` they do not.
"""

import functools
import itertools
from typing import NamedTuple

import numba
import numpy as np

from dnabert.sequence.alphabet import BASES, CODE_OF_BYTE, UNKNOWN
from dnabert.threads import launch_numba

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FIRST_KMER = len(SPECIAL_TOKENS)
K_RANGE = range(1, 9)

_PARALLEL_FROM = 1 << 20
"""Tokens from which starting threads pays."""

_BLOCK = 1 << 13
"""Tokens of one block: 24 KB of scratch, inside the first-level cache."""


def vocabulary_size(k: int) -> int:
    """Count the tokens of a model over k-mers, special ones included: 4**k + 5."""
    return FIRST_KMER + 4**k


def k_of_vocabulary(size: int) -> int | None:
    """Return the k whose vocabulary has `size` tokens, or None if there is none."""
    return next((k for k in K_RANGE if vocabulary_size(k) == size), None)


def token_count(bases: int, k: int, stride: int = 1) -> int:
    """Count the k-mers of a sequence: bases left over at its end make none."""
    return max(0, (bases - k) // stride + 1)


def middle_offset(k: int) -> int:
    """Return the offset in a k-mer at which a hidden base is asked for: k // 2, 0-based."""
    return k // 2


@functools.cache
def vocabulary(k: int) -> tuple[str, ...]:
    """List the tokens of a model over k-mers in the order of their ids.

    Parameters
    ----------
    k : int
        Bases per token, 1 to 8.

    Returns
    -------
    tuple of str, length 4**k + 5
        The special tokens, then all k-mers with the bases in the order A, T, C, G.
    """
    check_k(k)
    return SPECIAL_TOKENS + tuple("".join(kmer) for kmer in itertools.product(BASES, repeat=k))


def check_k(k: int, stride: int = 1) -> None:
    """Raise ValueError unless k is 1 to 8 and the stride is 1 or more."""
    if k not in K_RANGE:
        raise ValueError(f"k must be {K_RANGE[0]} to {K_RANGE[-1]}, not {k}")
    if stride < 1:
        raise ValueError(f"the stride must be 1 or more, not {stride}")


def encode(codes: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Turn base codes into token ids.

    Parameters
    ----------
    codes : np.ndarray, uint8, shape (bases,)
        Base codes, 0 to 4.
    k : int
        Bases per token, 1 to 8.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    np.ndarray, int32, shape (tokens,)
        `tokens = (bases - k) // stride + 1`, none if the sequence is shorter than k.
    """
    check_k(k, stride)
    ids = np.empty(token_count(len(codes), k, stride), dtype=np.int32)
    if len(ids) >= _PARALLEL_FROM:
        launch_numba()
        _encode_parallel(codes, k, stride, ids)
    else:
        encode_into(codes, k, stride, ids)
    return ids


@numba.njit(nogil=True, cache=True)
def encode_into(codes: np.ndarray, k: int, stride: int, ids: np.ndarray) -> None:
    """Write the ids of `encode` into `ids`, for callers that are compiled themselves."""
    if stride == 1:
        _encode_overlapping(codes, k, ids)
        return
    for i in range(len(ids)):
        kmer = 0
        seen = 0
        for j in range(i * stride, i * stride + k):
            kmer = (kmer << 2) | (codes[j] & 3)
            seen |= codes[j]
        ids[i] = FIRST_KMER + kmer if seen < UNKNOWN else UNK


@numba.njit(nogil=True, cache=True)
def _encode_overlapping(codes: np.ndarray, k: int, ids: np.ndarray) -> None:
    # One pass an offset over a block that stays in the first-level cache: each pass is a loop without a carried value,
    # so it becomes vector instructions; a rolling k-mer in one pass is 2.4 times slower.
    kmers = np.empty(_BLOCK, dtype=np.uint16)
    seen = np.empty(_BLOCK, dtype=np.uint8)
    for first in range(0, len(ids), _BLOCK):
        count = min(_BLOCK, len(ids) - first)
        block = codes[first : first + count + k - 1]
        for i in range(count):
            kmers[i] = block[i] & 3
            seen[i] = block[i]
        for offset in range(1, k):
            for i in range(count):
                kmers[i] = (kmers[i] << 2) | (block[i + offset] & 3)
                seen[i] |= block[i + offset]
        for i in range(count):
            ids[first + i] = np.int32(kmers[i]) + FIRST_KMER if seen[i] < UNKNOWN else UNK


@numba.njit(nogil=True, cache=True, parallel=True)
def _encode_parallel(codes: np.ndarray, k: int, stride: int, ids: np.ndarray) -> None:
    share = 1 << 18
    for s in numba.prange((len(ids) + share - 1) // share):
        first = s * share
        last = min(first + share, len(ids))
        encode_into(codes[first * stride : (last - 1) * stride + k], k, stride, ids[first:last])


class RowTokens(NamedTuple):
    """Tokens of several sequences: flat ids, int32, and the number of tokens of each sequence, int64."""

    input_ids: np.ndarray
    lengths: np.ndarray


def encode_rows(text: np.ndarray, starts: np.ndarray, ends: np.ndarray, k: int, stride: int = 1) -> RowTokens:
    """Turn sequences that stand in one buffer of letters into token ids, each `[CLS] ... [SEP]`.

    Parameters
    ----------
    text : np.ndarray, uint8, shape (bytes,)
        The letters of all sequences. Characters that are no nucleotide letters read as unknown bases.
    starts, ends : np.ndarray, int64, shape (rows,)
        Where each sequence to encode stands in `text`, half-open.
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    RowTokens
    """
    check_k(k, stride)
    lengths = np.maximum((ends - starts - k) // stride + 1, 0) + 2
    tokens = np.cumsum(lengths)
    input_ids = np.empty(int(tokens[-1]) if len(tokens) else 0, dtype=np.int32)
    _encode_rows(text, starts, ends, k, stride, CODE_OF_BYTE, tokens - lengths, lengths, input_ids)
    return RowTokens(input_ids, lengths)


@numba.njit(nogil=True, cache=True)
def _encode_rows(
    text: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    k: int,
    stride: int,
    table: np.ndarray,
    firsts: np.ndarray,
    lengths: np.ndarray,
    input_ids: np.ndarray,
) -> None:
    for i in range(len(starts)):
        first = firsts[i]
        last = first + lengths[i] - 1
        input_ids[first] = CLS
        input_ids[last] = SEP
        letters = text[starts[i] : ends[i]]
        codes = np.empty(len(letters), dtype=np.uint8)
        for j in range(len(letters)):
            codes[j] = table[letters[j]]
        encode_into(codes, k, stride, input_ids[first + 1 : last])


@functools.cache
def canonical_kmers(k: int) -> np.ndarray:
    """Number the k-mers so that one and its reverse complement have the same number.

    Parameters
    ----------
    k : int
        Bases per token, 1 to 8.

    Returns
    -------
    np.ndarray, int64, shape (4**k,)
        By token id less `FIRST_KMER`; numbers from 0 on without gaps.
    """
    check_k(k)
    kmers = np.arange(4**k)
    other = np.zeros_like(kmers)
    for i in range(k):
        other = (other << 2) | (((kmers >> (2 * i)) & 3) ^ 1)
    numbers = np.unique(np.minimum(kmers, other), return_inverse=True)[1]
    numbers.flags.writeable = False
    return numbers


def decode(ids: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Turn token ids into base codes.

    Parameters
    ----------
    ids : np.ndarray, integer, shape (tokens,)
        Ids of neighbouring tokens without `[CLS]` and `[SEP]`. A token that is no k-mer (`[UNK]`, `[MASK]`) spells
        nothing: its bases are unknown unless a neighbour spells them.
    k : int
        Bases per token, 1 to 8.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    np.ndarray, uint8, shape ((tokens - 1) * stride + k,)
        Base codes, 0 to 4. Bases between tokens (`stride` above k) are unknown.
    """
    check_k(k, stride)
    if len(ids) == 0:
        return np.empty(0, dtype=np.uint8)
    codes = np.full((len(ids) - 1) * stride + k, UNKNOWN, dtype=np.uint8)
    (known,) = np.nonzero(np.asarray(ids) >= FIRST_KMER)
    kmers = np.asarray(ids, dtype=np.int64)[known] - FIRST_KMER
    for offset in range(k):
        codes[known * stride + offset] = (kmers >> (2 * (k - 1 - offset))) & 3
    return codes


def fold_to_bases(values: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Average a score per token over the bases that the tokens cover.

    Parameters
    ----------
    values : np.ndarray, float, shape (..., tokens)
        One score a token, without `[CLS]` and `[SEP]`.
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    np.ndarray, float64, shape (..., (tokens - 1) * stride + k)
        The mean over the tokens that cover each base; 0 where none does.
    """
    check_k(k, stride)
    tokens = values.shape[-1]
    if tokens == 0:
        return np.empty((*values.shape[:-1], 0))
    bases = (tokens - 1) * stride + k
    starts = np.arange(tokens) * stride
    total, covering = np.zeros((*values.shape[:-1], bases)), np.zeros(bases)
    for offset in range(k):
        total[..., starts + offset] += values
        covering[starts + offset] += 1
    return total / np.maximum(covering, 1)
