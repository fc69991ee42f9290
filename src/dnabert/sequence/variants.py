"""Variants as plain columns: one row an alternative allele, whatever file they came from."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.sequence.alphabet import CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.genome import Genome

REASONS = (
    "",
    "no_alt",
    "symbolic",
    "breakend",
    "spanning_deletion",
    "not_dna",
    "unknown_contig",
    "outside_contig",
    "long_allele",
    "short_contig",
)
"""Why an allele is not scored; the first entry is that of those that are."""
NO_ALT, SYMBOLIC, BREAKEND, SPANNING, NOT_DNA, UNKNOWN_CONTIG, OUTSIDE, LONG_ALLELE, SHORT_CONTIG = range(1, 10)


class Alleles(NamedTuple):
    """Alternative alleles, one a row.

    Attributes
    ----------
    columns : pa.Table
        What names a row in a table of results: `chrom`, `pos` (1-based), `ref`, `alt`, or the input's own columns.
    contig : np.ndarray, int64, shape (rows,)
        Place of the contig in `Genome.names`; -1 where the genome has none of this name.
    start : np.ndarray, int64, shape (rows,)
        First base of the reference allele, 0-based.
    ref, alt : pa.LargeStringArray, length rows
        Letters of the alleles; an empty one is a deletion or insertion without an anchor.
    record : np.ndarray, int64, shape (rows,)
        Record of the file, from 0; alternative alleles of one site share it.
    reason : np.ndarray, int8, shape (rows,)
        Index in `REASONS`: 0 where the allele can be scored.
    """

    columns: pa.Table
    contig: np.ndarray
    start: np.ndarray
    ref: pa.LargeStringArray
    alt: pa.LargeStringArray
    record: np.ndarray
    reason: np.ndarray

    @property
    def rows(self) -> int:
        """The number of alternative alleles."""
        return len(self.start)


class Letters(NamedTuple):
    """Base codes of several alleles: flat, uint8, and where each starts, int64, shape (rows + 1,)."""

    codes: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64, shape (rows,): bases of each allele."""
        return np.diff(self.offsets)


def allele_codes(array: pa.LargeStringArray) -> Letters:
    """Turn alleles into base codes."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    buffer = array.buffers()[2]
    letters = np.frombuffer(buffer, dtype=np.uint8) if buffer else np.empty(0, dtype=np.uint8)
    return Letters(np.minimum(CODE_OF_BYTE[letters[offsets[0] : offsets[-1]]], UNKNOWN), offsets - offsets[0])


def screen(
    columns: pa.Table,
    contig: np.ndarray,
    start: np.ndarray,
    ref: pa.LargeStringArray,
    alt: pa.LargeStringArray,
    record: np.ndarray,
    genome: Genome,
) -> Alleles:
    """Say of each allele why it cannot be scored, if so: by its kind, its letters, its place."""
    reason = np.zeros(len(start), dtype=np.int8)
    ends = start + np.diff(allele_codes(ref).offsets)
    known = np.maximum(contig, 0)
    # the last that applies stands: what the allele is tells more than where it is
    for applies, why in (
        ((start < 0) | (ends > genome.lengths[known]), OUTSIDE),
        (contig < 0, UNKNOWN_CONTIG),
        (_matches(ref, "[^ACGTacgt]") | _matches(alt, "[^ACGTacgt]"), NOT_DNA),
        (_matches(alt, r"^\*$"), SPANNING),
        (_matches(alt, r"[\[\]]|^\.[A-Za-z]|[A-Za-z]\.$"), BREAKEND),
        (_matches(alt, "^<"), SYMBOLIC),
        (_matches(alt, r"^\.$"), NO_ALT),
    ):
        reason[applies] = why
    return Alleles(columns, contig, start, ref, alt, record, reason)


def _matches(array: pa.LargeStringArray, pattern: str) -> np.ndarray:
    return pc.match_substring_regex(array, pattern).to_numpy(zero_copy_only=False)


def disagreeing(alleles: Alleles, genome: Genome) -> np.ndarray:
    """Mark the alleles whose reference allele is not what the genome has there.

    Returns
    -------
    np.ndarray, bool, shape (rows,)
        False for alleles that cannot be scored.
    """
    (rows,) = np.nonzero(alleles.reason == 0)
    wrong = np.zeros(alleles.rows, dtype=bool)
    stated = allele_codes(alleles.ref.take(pa.array(rows)))
    lengths = stated.lengths
    within = np.arange(stated.offsets[-1]) - np.repeat(stated.offsets[:-1], lengths)
    places = np.repeat(genome.starts[alleles.contig[rows]] + alleles.start[rows], lengths) + within
    differs = np.concatenate([[0], np.cumsum(genome.codes[places] != stated.codes)])
    wrong[rows] = differs[stated.offsets[1:]] > differs[stated.offsets[:-1]]
    return wrong
