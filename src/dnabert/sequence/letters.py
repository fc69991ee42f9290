"""Sequences as one buffer of letters and offsets: what Arrow string arrays are made of."""

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.sequence.alphabet import CODE_OF_BYTE, FOREIGN, LETTERS, UNKNOWN


def string_array(letters: np.ndarray, offsets: np.ndarray) -> pa.LargeStringArray:
    """Wrap letters, uint8, and offsets, int64, shape (rows + 1,), as an Arrow array without a copy."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(letters))


def within(counts: np.ndarray) -> np.ndarray:
    """Number the members of groups that stand one after the other: [2, 3] gives 0, 1, 0, 1, 2."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def positions(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """List `counts[i]` positions from `starts[i]` on, for each i; int64."""
    return np.repeat(starts, counts) + within(counts)


def letters_of(array: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the letters, uint8, and offsets, int64, shape (rows + 1,), of an Arrow array, in place."""
    letters, first = array.buffers()[2], array.offset
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[first : first + len(array) + 1]
    return (np.frombuffer(letters, dtype=np.uint8) if letters else np.empty(0, dtype=np.uint8)), offsets


def cut_windows(codes: np.ndarray, starts: np.ndarray, offsets: np.ndarray, minus: np.ndarray) -> pa.LargeStringArray:
    """Spell windows of a genome.

    Parameters
    ----------
    codes : np.ndarray, uint8, shape (bases,)
        Base codes of the genome.
    starts : np.ndarray, int64, shape (rows,)
        Where each window starts in `codes`.
    offsets : np.ndarray, int64, shape (rows + 1,)
        Cumulative lengths of the windows.
    minus : np.ndarray, bool, shape (rows,)
        Whether to read the reverse complement.

    Returns
    -------
    pa.LargeStringArray, length rows
    """
    letters = np.empty(offsets[-1], dtype=np.uint8)
    _gather(codes, starts, offsets, minus, LETTERS, letters)
    return string_array(letters, offsets)


def reverse_complement_rows(sequences: pa.LargeStringArray) -> pa.LargeStringArray:
    """Spell the other strand of each sequence; letters that are no base read as N."""
    letters, offsets = letters_of(sequences)
    codes = CODE_OF_BYTE[letters[offsets[0] : offsets[-1]]]
    offsets = offsets - offsets[0]
    return cut_windows(codes, offsets[:-1], offsets, np.ones(len(sequences), dtype=bool))


def join_kmers(text: np.ndarray, offsets: np.ndarray) -> tuple[pa.LargeStringArray, int]:
    """Spell the sequences that stand as overlapping k-mers separated by spaces.

    Parameters
    ----------
    text : np.ndarray, uint8, shape (bytes,)
    offsets : np.ndarray, int64, shape (rows + 1,)

    Returns
    -------
    tuple of pa.LargeStringArray, length rows, and int
        The second entry is the first row that is not such a text, -1 if all are; then the array is not to be used.
    """
    letters = np.empty(len(text), dtype=np.uint8)
    ends = np.zeros(len(offsets), dtype=np.int64)
    bad = int(_join_rows(text, offsets, letters, ends))
    return string_array(letters[: ends[-1]].copy(), ends), bad


PADDING = UNKNOWN + 1
"""What `padded_codes` writes behind the end of a sequence."""


def padded_codes(letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Read sequences of one buffer of letters as base codes, uint8, shape (rows, longest), `PADDING` behind each end.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
    starts, ends : np.ndarray, int64, shape (rows,)
        Where each sequence stands, half-open.
    """
    codes = np.full((len(starts), int((ends - starts).max(initial=0))), PADDING, dtype=np.uint8)
    _pad(letters, starts, ends, CODE_OF_BYTE, codes)
    return codes


def joined_with_gap(first: pa.LargeStringArray, second: pa.LargeStringArray, gap: int) -> pa.LargeStringArray:
    """Write the second sequence of each row behind the first, with unknown bases between them."""
    return pc.binary_join_element_wise(first, second, pa.scalar("N" * gap, pa.large_string()))


def first_foreign(letters: np.ndarray, offsets: np.ndarray) -> int:
    """Find the first byte that is no nucleotide letter in sequences; -1 if there is none."""
    return int(_first_foreign(letters, offsets[0], offsets[-1], CODE_OF_BYTE))


@numba.njit(nogil=True, cache=True)
def _pad(letters: np.ndarray, starts: np.ndarray, ends: np.ndarray, table: np.ndarray, codes: np.ndarray) -> None:
    for row in range(len(starts)):
        for i in range(ends[row] - starts[row]):
            codes[row, i] = min(table[letters[starts[row] + i]], UNKNOWN)


@numba.njit(nogil=True, cache=True)
def _gather(
    codes: np.ndarray,
    starts: np.ndarray,
    offsets: np.ndarray,
    minus: np.ndarray,
    alphabet: np.ndarray,
    letters: np.ndarray,
) -> None:
    for row in range(len(starts)):
        length = offsets[row + 1] - offsets[row]
        for i in range(length):
            if minus[row]:
                code = codes[starts[row] + length - 1 - i]
                code = code ^ 1 if code < UNKNOWN else code
            else:
                code = codes[starts[row] + i]
            letters[offsets[row] + i] = alphabet[code]


@numba.njit(nogil=True, cache=True)
def _join_rows(text: np.ndarray, offsets: np.ndarray, out: np.ndarray, out_offsets: np.ndarray) -> int:
    at = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        while end > start and text[end - 1] == 32:
            end -= 1
        k = 0
        while start + k < end and text[start + k] != 32:
            k += 1
        for i in range(k):
            out[at + i] = text[start + i]
        at += k
        position = start + k
        while position < end:
            # a space, k - 1 bases that repeat those before, one new base
            if (
                position + k + 1 > end
                or text[position] != 32
                or (position + k + 1 < end and text[position + k + 1] != 32)
            ):
                return row
            for i in range(k - 1):
                if text[position + 1 + i] != out[at - k + 1 + i]:
                    return row
            out[at] = text[position + k]
            at += 1
            position += k + 1
        out_offsets[row + 1] = at
    return -1


@numba.njit(nogil=True, cache=True)
def _first_foreign(letters: np.ndarray, start: int, end: int, table: np.ndarray) -> int:
    for i in range(start, end):
        if table[letters[i]] == FOREIGN:
            return i
    return -1
