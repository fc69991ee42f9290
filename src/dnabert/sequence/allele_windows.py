"""Windows of a genome that hold one allele or the other.

Both windows of a variant have one length and one left flank; what an indel takes or leaves is made up on the right.
Bases to be guessed are spelled `.`, so that a window with hidden bases is a string like any other: two that are equal
are computed once, whichever alleles they stand for.
"""

from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa

from dnabert.sequence.alphabet import LETTERS, UNKNOWN
from dnabert.sequence.genome import Genome
from dnabert.sequence.letters import positions, string_array
from dnabert.sequence.variants import LONG_ALLELE, SHORT_CONTIG, Alleles, Letters, allele_codes

HIDDEN = ord(".")


class Sites(NamedTuple):
    """Where alleles lie in their windows; one row an allele that can be scored.

    Attributes
    ----------
    rows : np.ndarray, int64, shape (sites,)
        Rows of the `Alleles`.
    start : np.ndarray, int64, shape (sites,)
        First base of the window, in coordinates of `Genome.codes`.
    left : np.ndarray, int64, shape (sites,)
        Bases of the window before the reference allele.
    length : np.ndarray, int64, shape (sites,)
        Bases of the window, the same for both alleles.
    shift : np.ndarray, int64, shape (sites,)
        Bases that the alternative's window starts right of the reference's: 0, so that an indel takes more or less
        flank on the right, but where the contig ends there, and it takes them on the left.
    moved : np.ndarray, bool, shape (sites,)
        Whether the end of the contig moved or shortened the window.
    """

    rows: np.ndarray
    start: np.ndarray
    left: np.ndarray
    length: np.ndarray
    shift: np.ndarray
    moved: np.ndarray


class Windows(NamedTuple):
    """Windows as sequences, each that occurs once.

    Attributes
    ----------
    sequences : pa.LargeStringArray, length distinct
        The distinct windows.
    windows : np.ndarray, int64, shape (2, sites)
        Which of them is the reference allele's (0) and the alternative's (1) window of each site.
    hidden : np.ndarray, int64, shape (distinct, 2)
        First hidden base of each and the first after them; equal where none is hidden.
    alleles : tuple of Letters, length 2
        The bases that are hidden in each site's window, in the order in which the window spells them.
    unknown : np.ndarray, bool, shape (sites,)
        Whether a window holds unknown bases (N).
    """

    sequences: pa.LargeStringArray
    windows: np.ndarray
    hidden: np.ndarray
    alleles: tuple[Letters, Letters]
    unknown: np.ndarray


def place(alleles: Alleles, genome: Genome, window: int, offset: int, shortest: int) -> tuple[Sites, np.ndarray]:
    """Lay a window around each allele that can be scored.

    The middle of the reference allele lies `offset` bases right of the window's middle. Where the contig ends the
    window is moved, on a contig that is shorter it is shortened. Both windows start at the same base, or, where the
    contig ends, end at the same base.

    Parameters
    ----------
    alleles : Alleles
    genome : Genome
    window : int
        Bases of a window.
    offset : int
        Bases; negative for left.
    shortest : int
        Bases that a model needs.

    Returns
    -------
    tuple of Sites and np.ndarray, int8, shape (rows,)
        The second entry is `Alleles.reason` with those that fit into no window.
    """
    reason = alleles.reason.copy()
    n_ref, n_alt = (allele_codes(part).lengths for part in (alleles.ref, alleles.alt))
    contig = np.maximum(alleles.contig, 0)
    bases, first = genome.lengths[contig], genome.starts[contig]
    lost, gained = np.maximum(n_ref - n_alt, 0), np.maximum(n_alt - n_ref, 0)
    length = np.minimum(window, bases - lost)
    longer = np.maximum(n_ref, n_alt)
    wanted = (length - n_ref) // 2 + offset
    at = alleles.start - np.clip(wanted, 0, length - longer)
    start = np.clip(at, 0, bases - lost - length)
    other = np.clip(alleles.start - np.clip(wanted, gained, length - n_ref), lost, bases - length)
    left = alleles.start - other
    turned = (start < at) & (left >= gained) & (left + n_ref <= length)
    start, shift = np.where(turned, other, start), np.where(turned, n_alt - n_ref, 0)
    left = alleles.start - start
    reason[(reason == 0) & (length < shortest)] = SHORT_CONTIG
    reason[(reason == 0) & ((longer > length) | (~turned & (left + longer > length)))] = LONG_ALLELE
    moved = (start != at) | (length < window)
    (rows,) = np.nonzero(reason == 0)
    return Sites(rows, (first + start)[rows], left[rows], length[rows], shift[rows], moved[rows]), reason


def spell(
    sites: Sites, ref: Letters, alt: Letters, genome: Genome, minus: bool, hide: tuple[np.ndarray, np.ndarray] | None
) -> Windows:
    """Spell both windows of each site.

    Parameters
    ----------
    sites : Sites
    ref, alt : Letters, length sites
        The alleles.
    genome : Genome
    minus : bool
        Read the reverse complement.
    hide : tuple of two np.ndarray, int64, shape (sites, 2), optional
        First and last + 1 base to hide in the window of the reference and of the alternative, on the plus strand.

    Returns
    -------
    Windows
    """
    count = len(sites.rows)
    spans = hide or (np.zeros((count, 2), dtype=np.int64),) * 2
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([sites.length, sites.length]))])
    letters = np.empty(offsets[-1], dtype=np.uint8)
    unknown = np.zeros(count, dtype=bool)
    hidden_alleles = []
    for which, (allele, span, shift) in enumerate(zip((ref, alt), spans, (0, sites.shift), strict=True)):
        bounds = np.concatenate([[0], np.cumsum(span[:, 1] - span[:, 0])])
        bases = np.empty(bounds[-1], dtype=np.uint8)
        at = offsets[which * count :]
        place_of = (sites.start + shift, sites.left - shift, sites.length, ref.lengths)
        _spell(genome.codes, *place_of, *allele, minus, span, LETTERS, at, letters, bounds, bases, unknown)
        hidden_alleles.append(Letters(bases, bounds))
    coded = string_array(letters, offsets).dictionary_encode()
    index = coded.indices.to_numpy().astype(np.int64)
    _, first_use = np.unique(index, return_index=True)
    both = np.concatenate(spans)
    if minus:
        both = np.concatenate([sites.length, sites.length])[:, None] - both[:, ::-1]
    return Windows(
        coded.dictionary, index.reshape(2, count), both[first_use], (hidden_alleles[0], hidden_alleles[1]), unknown
    )


@numba.njit(nogil=True, cache=True)
def _spell(
    genome: np.ndarray,
    starts: np.ndarray,
    lefts: np.ndarray,
    lengths: np.ndarray,
    replaced: np.ndarray,
    codes: np.ndarray,
    bounds: np.ndarray,
    minus: bool,
    spans: np.ndarray,
    alphabet: np.ndarray,
    offsets: np.ndarray,
    letters: np.ndarray,
    hidden_bounds: np.ndarray,
    hidden: np.ndarray,
    unknown: np.ndarray,
) -> None:
    for row in range(len(starts)):
        left, length, size = lefts[row], lengths[row], bounds[row + 1] - bounds[row]
        after = starts[row] + replaced[row] - size  # plus i: the base at place i, behind the allele
        first, last = spans[row, 0], spans[row, 1]
        for i in range(length):
            if i < left:
                code = genome[starts[row] + i]
            elif i < left + size:
                code = codes[bounds[row] + i - left]
            else:
                code = genome[after + i]
            if code >= UNKNOWN:
                unknown[row] = True
            elif minus:
                code ^= 1
            inside = first <= i < last
            if inside:
                j = last - 1 - i if minus else i - first
                hidden[hidden_bounds[row] + j] = code
            at = offsets[row] + (length - 1 - i if minus else i)
            letters[at] = HIDDEN if inside else alphabet[code]


def changed(ref: Letters, alt: Letters) -> np.ndarray:
    """Find what differs between two alleles: without the bases that they share at their ends.

    Parameters
    ----------
    ref, alt : Letters, length rows

    Returns
    -------
    np.ndarray, int64, shape (rows, 3)
        Bases shared at the start, bases of the reference and of the alternative that differ.
    """
    found = np.empty((len(ref.offsets) - 1, 3), dtype=np.int64)
    _changed(*ref, *alt, found)
    return found


@numba.njit(nogil=True, cache=True)
def _changed(
    ref: np.ndarray, ref_bounds: np.ndarray, alt: np.ndarray, alt_bounds: np.ndarray, found: np.ndarray
) -> None:
    for row in range(len(found)):
        r0, r1, a0, a1 = ref_bounds[row], ref_bounds[row + 1], alt_bounds[row], alt_bounds[row + 1]
        while r1 > r0 and a1 > a0 and ref[r1 - 1] == alt[a1 - 1]:
            r1 -= 1
            a1 -= 1
        while r1 > r0 and a1 > a0 and ref[r0] == alt[a0]:
            r0 += 1
            a0 += 1
        found[row, 0] = r0 - ref_bounds[row]
        found[row, 1] = r1 - r0
        found[row, 2] = a1 - a0


def hidden_spans(sites: Sites, ref: Letters, alt: Letters) -> tuple[np.ndarray, np.ndarray]:
    """Choose the bases to hide in each allele's window: those that differ, and beside an indel one more on each side.

    Parameters
    ----------
    sites : Sites
    ref, alt : Letters, length sites

    Returns
    -------
    tuple of two np.ndarray, int64, shape (sites, 2)
        First and last + 1 base in the window of the reference and of the alternative.
    """
    before, n_ref, n_alt = changed(ref, alt).T
    flank = (n_ref != n_alt).astype(np.int64)
    first = sites.left + before
    places = ((first, n_ref), (first - sites.shift, n_alt))
    spans = (np.stack([start - flank, start + size + flank], axis=1) for start, size in places)
    of_ref, of_alt = (np.clip(span, 0, sites.length[:, None]) for span in spans)
    return of_ref, of_alt


def take(letters: Letters, rows: np.ndarray) -> Letters:
    """Take the alleles of some rows."""
    lengths = letters.lengths[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Letters(letters.codes[positions(letters.offsets[rows], lengths)], offsets)
