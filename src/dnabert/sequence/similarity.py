"""Sequences that are the same, or nearly so, on either strand.

The same: a sequence and its reverse complement have one identity, two hashes of 64 bits.

Nearly the same: the similarity of two sequences is the share of the 11-mers of the shorter one that the longer one has
too, each k-mer as often as it stands there, on either strand. A base that differs costs the 11 k-mers that touch it:
two sequences of 70 bases (60 k-mers) that differ in one base have 0.82, windows of a genome that overlap by half 0.42;
0.5 is about 94 % identity. A fragment of a longer sequence has 1.

Only pairs that share a seed are compared. Seeds are minimisers (Roberts et al. 2004, Bioinformatics 20:3363): of each
run of neighbouring k-mers the one with the smallest hash, so that two sequences with a long enough stretch in common
share one. The stretch is 19 bases where the shortest sequence has up to 239 bases, and grows to 49 for 1,200 bases. A
seed that stands in very many sequences does not make all pairs of them: sorted by the seeds on both sides, each is
compared with the 16 that follow it. So the work grows with the number of bases, not with that of pairs; what is missed
are some pairs within large families (repeats, constructs with common flanks), whose members are compared with 16 others
a seed. What is reported has been compared: the threshold holds for every pair.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dnabert.progress import track_items
from dnabert.sequence.alphabet import CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.shuffle import mix

K = 11
"""Bases of the k-mers by which sequences are compared."""
SHORTEST_SEED = 15
"""Bases of the k-mers by which short sequences are found."""
NEAR = 0.5
"""Similarity from which sequences are near duplicates, where nothing else is said."""

_WINDOWS = (5, 30)
"""Fewest and most neighbouring k-mers of which one is a seed."""
_BASES_A_WINDOW = 40
_FOLLOWING = 16
"""Partners of a row at one seed."""
_LOOKED_AT = 256
"""Rows looked at for these partners."""
_SLAB = 1 << 20
"""Seeds whose pairs are compared at a time: at most 16 times as many pairs of 8 bytes."""
_CONTEXT_BITS = np.uint64(24)
"""Of the 64 bits of a seed 40 are its hash, 16 that of the seeds on both sides, 8 that of the row: to sort by."""


class Pairs(NamedTuple):
    """Pairs of rows: two arrays of row numbers, int64, `left` below `right`, and their similarity, float32."""

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray


class StrandHashes(NamedTuple):
    """Hashes of sequences as they stand and of their reverse complements, uint64, shape (rows,) each."""

    forward: np.ndarray
    reverse: np.ndarray

    @property
    def either(self) -> np.ndarray:
        """uint64, shape (rows,): the same for a sequence and its reverse complement."""
        return np.minimum(self.forward, self.reverse)


def strand_hashes(letters: np.ndarray, offsets: np.ndarray) -> StrandHashes:
    """Hash sequences on both strands.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
        The letters of all sequences; case is ignored, U reads as T, everything ambiguous as N.
    offsets : np.ndarray, int64, shape (rows + 1,)
        Where each sequence starts in `letters`.

    Returns
    -------
    StrandHashes
        Among a million different sequences two agree by chance with a probability of 3e-8.
    """
    forward, reverse = np.empty(len(offsets) - 1, np.uint64), np.empty(len(offsets) - 1, np.uint64)
    _hash_rows(letters, offsets, CODE_OF_BYTE, forward, reverse)
    return StrandHashes(forward, reverse)


def near_pairs(
    letters: np.ndarray, offsets: np.ndarray, threshold: float = NEAR, *, groups: np.ndarray | None = None
) -> Pairs:
    """Find pairs of sequences that are nearly the same on either strand.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
    offsets : np.ndarray, int64, shape (rows + 1,)
        As in `strand_hashes`.
    threshold : float
        Similarity from which a pair is reported, above 0, at most 1 (see the head of this module).
    groups : np.ndarray, integer, shape (rows,), optional
        Report only pairs of rows of different groups (splits).

    Returns
    -------
    Pairs
        Each pair once. Sequences that are the same are pairs too. Sequences shorter than 15 bases have none.

    Notes
    -----
    Takes about 35 bytes a seed (a fifteenth to a third as many seeds as bases), 8 bytes a pair that is compared, and up
    to 0.5 GB beside.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
    rows = len(offsets) - 1
    group = np.arange(rows) if groups is None else np.asarray(groups, dtype=np.int64)
    seeds, owners = _seeds(letters, offsets)
    order = np.argsort(seeds)
    seeds, owners = seeds[order] >> _CONTEXT_BITS, owners[order]
    del order
    table = np.zeros(4**K, dtype=np.int32)
    compared = np.empty(0, dtype=np.uint64)
    found = [np.empty(0, dtype=np.uint64)]
    values = [np.empty(0, dtype=np.float32)]
    with track_items("Comparing sequences", len(seeds), "seeds") as advance:
        for first, last in _slabs(seeds):
            keys = np.empty((last - first) * _FOLLOWING, dtype=np.uint64)
            keys = np.unique(keys[: _pairs(seeds[first:last], owners[first:last], group, keys)])
            keys = keys[~_among(keys, compared)]
            compared = np.sort(np.concatenate([compared, keys]))
            similarity = np.empty(len(keys), dtype=np.float32)
            _compare(letters, offsets, CODE_OF_BYTE, keys, threshold, table, similarity)
            found.append(keys[similarity >= threshold])
            values.append(similarity[similarity >= threshold])
            advance(last - first)
    keys = np.concatenate(found)
    order = np.argsort(keys)
    return Pairs(
        (keys[order] >> np.uint64(32)).astype(np.int64),
        (keys[order] & np.uint64(0xFFFFFFFF)).astype(np.int64),
        np.concatenate(values)[order],
    )


def clusters(letters: np.ndarray, offsets: np.ndarray, threshold: float = NEAR) -> np.ndarray:
    """Gather sequences that are the same or nearly the same on either strand, directly or through others.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
    offsets : np.ndarray, int64, shape (rows + 1,)
    threshold : float
        As in `near_pairs`; at 1 only what is the same (or contained) is gathered.

    Returns
    -------
    np.ndarray, int64, shape (rows,)
        The cluster of each row, counted from 0 in the order of their first rows.
    """
    rows = len(offsets) - 1
    _, firsts, same = np.unique(strand_hashes(letters, offsets).either, return_index=True, return_inverse=True)
    kept_letters, kept_offsets = _take(letters, offsets, firsts)
    pairs = near_pairs(kept_letters, kept_offsets, threshold)
    graph = coo_array((np.ones(len(pairs.left), dtype=np.int8), (pairs.left, pairs.right)), shape=(len(firsts),) * 2)
    _, component = connected_components(graph, directed=False)
    found = component[same].astype(np.int64)
    _, first_rows, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first_rows), dtype=np.int64)
    rank[np.argsort(first_rows)] = np.arange(len(first_rows))
    return rank[inverse] if rows else np.empty(0, dtype=np.int64)


def _take(letters: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.diff(offsets)[rows]
    taken = np.concatenate([[0], np.cumsum(lengths)])
    out = np.empty(taken[-1], dtype=np.uint8)
    _copy_rows(letters, offsets, rows, taken, out)
    return out, taken


def _seeds(letters: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the minimisers of all sequences: numbers to sort by, uint64, and rows, uint32."""
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    low, high = _WINDOWS
    window = int(np.clip(np.diff(offsets).min() // _BASES_A_WINDOW, low, high)) if len(counts) else low
    k = SHORTEST_SEED + (window - low) // 5
    _minimisers(letters, offsets, CODE_OF_BYTE, k, window, counts, np.empty(0, np.uint64), np.empty(0, np.uint32))
    total = int(counts.sum())
    seeds, owners = np.empty(total, dtype=np.uint64), np.empty(total, dtype=np.uint32)
    _minimisers(letters, offsets, CODE_OF_BYTE, k, window, counts, seeds, owners)
    return seeds, owners


def _among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell which keys stand in a sorted array, bool."""
    if len(known) == 0:
        return np.zeros(len(keys), dtype=bool)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    there: np.ndarray = known[at] == keys
    return there


def _slabs(seeds: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut sorted seeds into stretches that part no seed."""
    first = 0
    while first < len(seeds):
        last = min(first + _SLAB, len(seeds))
        if last < len(seeds):
            last = int(np.searchsorted(seeds, seeds[last - 1], side="right"))
        yield first, last
        first = last


# --- kernels ----------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _hash_rows(
    letters: np.ndarray, offsets: np.ndarray, table: np.ndarray, forward: np.ndarray, reverse: np.ndarray
) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        ahead = back = np.uint64(end - start)
        for i in range(end - start):
            code = min(table[letters[start + i]], np.uint8(UNKNOWN))
            ahead = mix((ahead << np.uint64(3)) ^ (ahead >> np.uint64(61)) ^ np.uint64(code + 1))
            code = min(table[letters[end - 1 - i]], np.uint8(UNKNOWN))
            code = code ^ np.uint8(1) if code < UNKNOWN else code
            back = mix((back << np.uint64(3)) ^ (back >> np.uint64(61)) ^ np.uint64(code + 1))
        forward[row], reverse[row] = ahead, back


@numba.njit(nogil=True, cache=True)
def _copy_rows(letters: np.ndarray, offsets: np.ndarray, rows: np.ndarray, taken: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(rows)):
        out[taken[i] : taken[i + 1]] = letters[offsets[rows[i]] : offsets[rows[i] + 1]]


@numba.njit(nogil=True, cache=True)
def _canonical(letters: np.ndarray, table: np.ndarray, k: int, kmers: np.ndarray) -> int:
    """Write the canonical k-mers of a sequence without those that touch N, and return their number."""
    mask = np.uint64((1 << (2 * k)) - 1)
    high = np.uint64(2 * (k - 1))
    ahead = back = np.uint64(0)
    known = count = 0
    for i in range(len(letters)):
        code = table[letters[i]]
        if code >= UNKNOWN:
            known = 0
            continue
        ahead = ((ahead << np.uint64(2)) | np.uint64(code)) & mask
        back = (back >> np.uint64(2)) | (np.uint64(code ^ 1) << high)
        known += 1
        if known >= k:
            kmers[count] = min(ahead, back)
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _minimisers(
    letters: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    k: int,
    window: int,
    counts: np.ndarray,
    seeds: np.ndarray,
    owners: np.ndarray,
) -> None:
    """Count the distinct neighbouring minimisers of each row, and write them where there is room."""
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest + 1, dtype=np.uint64)
    chosen = np.empty(longest + 1, dtype=np.uint64)
    at = 0
    for row in range(len(offsets) - 1):
        total = _canonical(letters[offsets[row] : offsets[row + 1]], table, k, hashes)
        for i in range(total):
            hashes[i] = mix(hashes[i])
        count = 0
        smallest = -1
        for first in range(max(1, total - window + 1) if total else 0):
            last = min(first + window, total)
            if smallest < first:
                smallest = first
                for i in range(first + 1, last):
                    if hashes[i] < hashes[smallest]:
                        smallest = i
            elif hashes[last - 1] < hashes[smallest]:
                smallest = last - 1
            if count == 0 or chosen[count - 1] != hashes[smallest]:
                chosen[count] = hashes[smallest]
                count += 1
        counts[row] = count
        if len(seeds):
            tail = mix(np.uint64(row)) >> np.uint64(56)
            for i in range(count):
                before = chosen[i - 1] if i else np.uint64(0)
                after = chosen[i + 1] if i + 1 < count else np.uint64(0)
                context = mix(before ^ after) >> np.uint64(48)
                head = chosen[i] >> _CONTEXT_BITS << _CONTEXT_BITS
                seeds[at + i] = head | (context << np.uint64(8)) | tail
                owners[at + i] = row
            at += count


@numba.njit(nogil=True, cache=True)
def _pairs(seeds: np.ndarray, owners: np.ndarray, group: np.ndarray, keys: np.ndarray) -> int:
    """Write the pairs of rows that share a seed as numbers `left << 32 | right`, and return how many there are."""
    count = 0
    for i in range(len(seeds)):
        partners = 0
        for j in range(i + 1, min(i + 1 + _LOOKED_AT, len(seeds))):
            if seeds[j] != seeds[i] or partners == _FOLLOWING:
                break
            if group[owners[i]] == group[owners[j]]:
                continue
            left, right = min(owners[i], owners[j]), max(owners[i], owners[j])
            keys[count] = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
            count += 1
            partners += 1
    return count


@numba.njit(nogil=True, cache=True)
def _compare(
    letters: np.ndarray,
    offsets: np.ndarray,
    codes: np.ndarray,
    keys: np.ndarray,
    threshold: float,
    table: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Compute the similarity of pairs sorted by their left row, 0 where it is sure to stay below the threshold.

    `table` counts the k-mers of the left row; it comes and goes with zeros.
    """
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    left_kmers = np.empty(longest + 1, dtype=np.uint64)
    right_kmers = np.empty(longest + 1, dtype=np.uint64)
    current = -1
    lefts = 0
    for p in range(len(keys)):
        left = int(keys[p] >> np.uint64(32))
        right = int(keys[p] & np.uint64(0xFFFFFFFF))
        if left != current:
            for i in range(lefts):
                table[left_kmers[i]] = 0
            lefts = _canonical(letters[offsets[left] : offsets[left + 1]], codes, K, left_kmers)
            for i in range(lefts):
                table[left_kmers[i]] += 1
            current = left
        rights = _canonical(letters[offsets[right] : offsets[right + 1]], codes, K, right_kmers)
        shared = seen = 0
        needed = threshold * min(lefts, rights)
        while seen < rights and shared + rights - seen >= needed:
            if table[right_kmers[seen]] > 0:
                shared += 1
            table[right_kmers[seen]] -= 1
            seen += 1
        for i in range(seen):
            table[right_kmers[i]] += 1
        similarity[p] = shared / max(1, min(lefts, rights)) if seen == rights else 0.0
    for i in range(lefts):
        table[left_kmers[i]] = 0
