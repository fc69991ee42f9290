"""k-mers against the plain way: cut strings, look them up."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnabert.sequence import kmers
from dnabert.sequence.alphabet import decode_bases, encode_bases
from tests.conftest import random_dna


def plainly(sequence: str, k: int, stride: int) -> list[int]:
    """Encode by cutting strings and looking them up."""
    ids = {token: i for i, token in enumerate(kmers.vocabulary(k))}
    words = [sequence[i : i + k] for i in range(0, len(sequence) - k + 1, stride)]
    return [ids.get(word, kmers.UNK) for word in words]


@given(st.text("ATCGN", max_size=60), st.integers(1, 8), st.integers(1, 9))
def test_encode_equals_looking_up_strings(sequence: str, k: int, stride: int) -> None:
    assert kmers.encode(encode_bases(sequence), k, stride).tolist() == plainly(sequence, k, stride)


@pytest.mark.parametrize("k", [1, 6, 8])
@pytest.mark.parametrize("stride", [1, 6])
def test_parallel_encoding_equals_serial(k: int, stride: int, rng: np.random.Generator) -> None:
    codes = rng.integers(0, 4, 7_000_000).astype(np.uint8)
    codes[rng.integers(0, len(codes), 1000)] = 4
    ids = kmers.encode(codes, k, stride)
    assert len(ids) >= 1 << 20  # parallel
    serial = np.empty_like(ids)
    kmers.encode_into(codes, k, stride, serial)
    np.testing.assert_array_equal(ids, serial)


@given(st.text("ATCG", min_size=8, max_size=60), st.integers(1, 8), st.integers(1, 8))
def test_decode_gives_the_bases_back(sequence: str, k: int, stride: int) -> None:
    stride = min(stride, k)
    ids = kmers.encode(encode_bases(sequence), k, stride)
    decoded = decode_bases(kmers.decode(ids, k, stride))
    assert sequence.startswith(decoded)
    assert len(decoded) == (len(ids) - 1) * stride + k


def test_a_masked_token_hides_only_what_no_neighbour_spells() -> None:
    ids = kmers.encode(encode_bases("ACGTACGTACGT"), 3)
    ids[4] = kmers.MASK
    assert decode_bases(kmers.decode(ids, 3)) == "ACGTACGTACGT"
    ids[5], ids[6] = kmers.MASK, kmers.MASK
    assert decode_bases(kmers.decode(ids, 3)) == "ACGTACNTACGT"


@pytest.mark.real_data
@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_vocabularies_equal_the_originals(k: int, real_data: Path) -> None:
    original = (real_data / f"dnabert_original/config/bert-config-{k}/vocab.txt").read_text()
    assert "\n".join(kmers.vocabulary(k)) == original.rstrip("\n")


def test_ids_of_known_kmers() -> None:
    assert kmers.vocabulary(3)[:8] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "AAA", "AAT", "AAC")
    assert kmers.vocabulary(6)[-1] == "GGGGGG"
    assert len(kmers.vocabulary(8)) == 4**8 + 5
    assert kmers.k_of_vocabulary(4101) == 6
    assert kmers.k_of_vocabulary(30522) is None


def test_fold_to_bases_averages_the_tokens_over_each_base() -> None:
    np.testing.assert_allclose(kmers.fold_to_bases(np.array([1.0, 2.0, 6.0]), 2), [1, 1.5, 4, 6])
    np.testing.assert_allclose(kmers.fold_to_bases(np.array([1.0, 2.0]), 2, 3), [1, 1, 0, 2, 2])


def test_encode_rows_equals_encode(rng: np.random.Generator) -> None:
    sequences = [random_dna(length, rng) for length in (10, 3, 50, 7)] + ["ACGTNACGTACGT"]
    letters = np.frombuffer("".join(sequences).lower().encode(), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, sequences)])
    rows = np.array([2, 0, 4, 1])
    tokens = kmers.encode_rows(letters, offsets[rows], offsets[rows + 1], 4)
    expected = [[kmers.CLS, *plainly(sequences[row], 4, 1), kmers.SEP] for row in rows]
    assert tokens.lengths.tolist() == [len(ids) for ids in expected]
    assert tokens.input_ids.tolist() == [i for ids in expected for i in ids]


@pytest.mark.parametrize(("k", "stride"), [(0, 1), (9, 1), (6, 0)])
def test_impossible_k_and_stride_are_refused(k: int, stride: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        kmers.encode(np.zeros(20, dtype=np.uint8), k, stride)


@pytest.mark.parametrize("k", range(1, 6))
def test_canonical_kmers_are_shared_by_the_two_strands_and_by_no_others(k: int) -> None:
    numbers = kmers.canonical_kmers(k)
    words = kmers.vocabulary(k)[kmers.FIRST_KMER :]
    pairs: dict[int, set[str]] = {}
    for word, number in zip(words, numbers.tolist(), strict=True):
        pairs.setdefault(number, set()).add(word)
    assert sorted(pairs) == list(range(len(pairs)))
    for pair in pairs.values():
        word = next(iter(pair))
        assert pair == {word, word[::-1].translate(str.maketrans("ACGT", "TGCA"))}
