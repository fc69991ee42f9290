"""Base codes."""

import numpy as np
import pytest

from dnabert.errors import InputError
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement


def test_codes_are_those_of_the_original_vocabulary() -> None:
    assert encode_bases("ATCGN").tolist() == [0, 1, 2, 3, 4]
    assert encode_bases("atcgu").tolist() == [0, 1, 2, 3, 1]


def test_iupac_ambiguity_counts_as_n() -> None:
    assert decode_bases(encode_bases("ARYSWKMBDHVNT-.")) == "ANNNNNNNNNNNTNN"


def test_reverse_complement_keeps_unknown_bases() -> None:
    assert decode_bases(reverse_complement(encode_bases("AACGTN"))) == "NACGTT"


def test_reverse_complement_twice_is_the_sequence(rng: np.random.Generator) -> None:
    codes = rng.integers(0, 5, 1000).astype(np.uint8)
    np.testing.assert_array_equal(reverse_complement(reverse_complement(codes)), codes)


@pytest.mark.parametrize(("text", "character"), [("ACGE", "'E'"), ("AC1T", "'1'"), ("AC\x00", "byte 0"), ("Aé", "'é'")])
def test_foreign_characters_are_refused(text: str, character: str) -> None:
    with pytest.raises(InputError, match=character):
        encode_bases(text)
