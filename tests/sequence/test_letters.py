"""Buffers of letters."""

import numpy as np
import pyarrow as pa

from dnabert.sequence import letters


def test_padded_codes_are_the_letters_and_padding() -> None:
    array = pa.array(["ignored", "acgtu", "N-X", "", "TT"], pa.large_string())[1:]
    buffer, offsets = letters.letters_of(array)
    codes = letters.padded_codes(buffer, offsets[:-1], offsets[1:])
    assert codes.dtype == np.uint8
    assert codes.tolist() == [[0, 2, 3, 1, 1], [4, 4, 4, 5, 5], [5, 5, 5, 5, 5], [1, 1, 5, 5, 5]]
    assert letters.padded_codes(buffer, offsets[:0], offsets[:0]).shape == (0, 0)


def test_a_gap_stands_between_joined_sequences() -> None:
    first, second = (pa.array(part, pa.large_string()) for part in (["ACG", "T"], ["T", "GG"]))
    joined = letters.joined_with_gap(first, second, 2)
    assert joined.to_pylist() == ["ACGNNT", "TNNGG"]
    assert pa.types.is_large_string(joined.type)
