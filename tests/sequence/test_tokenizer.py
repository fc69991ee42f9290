"""The tokenizer as transformers' users call it."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from dnabert import KmerTokenizer
from dnabert.errors import InputError
from dnabert.sequence.tokenizer import spaced_kmers
from tests.conftest import random_dna


@pytest.fixture
def tokenizer() -> KmerTokenizer:
    return KmerTokenizer(k=4)


def test_raw_dna_and_spaced_kmers_give_the_same_ids(tokenizer: KmerTokenizer) -> None:
    raw = "ACGTTGCANACG"
    assert tokenizer(raw)["input_ids"] == tokenizer(spaced_kmers(raw, 4))["input_ids"]
    assert tokenizer("acguugca")["input_ids"] == tokenizer("ACGTTGCA")["input_ids"]


def test_special_tokens_frame_the_sequence(tokenizer: KmerTokenizer) -> None:
    encoded = tokenizer("ACGTA")
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == ["[CLS]", "ACGT", "CGTA", "[SEP]"]
    assert encoded["attention_mask"] == [1, 1, 1, 1]
    assert tokenizer("ACGTN ".strip())["input_ids"][2] == tokenizer.unk_token_id


def test_mask_and_pairs(tokenizer: KmerTokenizer) -> None:
    masked = tokenizer("ACGT [MASK] GTAC")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(masked) == ["[CLS]", "ACGT", "[MASK]", "GTAC", "[SEP]"]
    pair = tokenizer("ACGT", "GGGG")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"]) == ["[CLS]", "ACGT", "[SEP]", "GGGG", "[SEP]"]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]


def test_a_batch_equals_one_by_one(tokenizer: KmerTokenizer, rng: np.random.Generator) -> None:
    sequences = [random_dna(int(length), rng) for length in rng.integers(1, 60, 40)]
    alone = [tokenizer(sequence, truncation=True, max_length=30) for sequence in sequences]
    batch = tokenizer(sequences, truncation=True, max_length=30)
    assert batch["input_ids"] == [one["input_ids"] for one in alone]
    padded = tokenizer(sequences, truncation=True, max_length=30, padding=True, return_tensors="pt")
    for row, mask, one in zip(padded["input_ids"], padded["attention_mask"], alone, strict=True):
        assert row[mask.bool()].tolist() == one["input_ids"]
        assert not row[~mask.bool()].any()
    widest = tokenizer(sequences[:2], padding="max_length", max_length=70, return_tensors="np")
    assert widest["input_ids"].shape == (2, 70)


def test_saved_and_loaded_by_both_names(tokenizer: KmerTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    for loader in (KmerTokenizer, AutoTokenizer):
        loaded = loader.from_pretrained(tmp_path)
        assert isinstance(loaded, KmerTokenizer)
        assert (loaded.k, loaded.stride) == (4, 1)
        assert loaded("ACGTTGCA") == tokenizer("ACGTTGCA")


@pytest.mark.parametrize("stride", [1, 3])
def test_decode_and_spell(stride: int) -> None:
    tokenizer = KmerTokenizer(k=3, stride=stride)
    ids = tokenizer("ACGTTGNAA")["input_ids"]
    expected = {1: "[CLS] ACG CGT GTT TTG [UNK] [UNK] [UNK] [SEP]", 3: "[CLS] ACG TTG [UNK] [SEP]"}
    assert tokenizer.decode(ids) == expected[stride]
    assert tokenizer.spell(ids) == "ACGTTGNNN"


@pytest.mark.real_data
@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_reads_the_originals_directories(k: int, real_data: Path, tmp_path: Path) -> None:
    original = real_data / f"dnabert_original/config/bert-config-{k}"
    tokenizer = KmerTokenizer.from_pretrained(original)
    assert tokenizer.k == k
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "vocab.txt").read_text().split() == (original / "vocab.txt").read_text().split()


def test_what_is_no_dna_is_refused(tokenizer: KmerTokenizer) -> None:
    with pytest.raises(InputError, match="'E' is not a nucleotide"):
        tokenizer("ACGE")
    with pytest.raises(InputError, match="sequence 2 of 2"):
        tokenizer(["ACGT", "ACGL"])
    with pytest.raises(InputError, match="4-mers"):
        tokenizer("ACGTA CGTAC")


def test_a_foreign_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
    with pytest.raises(InputError, match="not a DNABERT vocabulary"):
        KmerTokenizer(str(tmp_path / "vocab.txt"))
    KmerTokenizer(k=3).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="k=3, but k=4"):
        KmerTokenizer(str(tmp_path / "vocab.txt"), k=4)
