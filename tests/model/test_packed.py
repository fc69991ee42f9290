"""Packed models against transformers' own padded ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from dnabert.model import checkpoint
from dnabert.model.encoder import encode
from dnabert.model.packing import PackedBatch, pack, pack_rows
from dnabert.sequence import kmers, tables
from tests.conftest import random_dna, tiny_model

LENGTHS = {"equal": [40] * 6, "mixed": [5, 80, 33, 33, 7, 61, 4, 33], "single": [50]}


def padded(batch: PackedBatch) -> dict[str, torch.Tensor]:
    """Lay a packed batch out as transformers' models take it."""
    sequences = torch.tensor_split(batch.input_ids, batch.cu_seqlens[1:-1].long())
    ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids != kmers.PAD).long()}


@pytest.fixture(params=list(LENGTHS))
def batch(request: pytest.FixtureRequest, rng: np.random.Generator) -> PackedBatch:
    """A batch of random sequences."""
    return pack([rng.integers(5, 261, length) for length in LENGTHS[request.param]])


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_encoder_and_masked_lm_equal_transformers(batch: PackedBatch, implementation: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    ours = checkpoint.load(folder).model.eval()
    theirs = transformers.BertForMaskedLM.from_pretrained(folder, attn_implementation=implementation).eval()
    inputs = padded(batch)
    inside = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**inputs).logits[inside]
        hidden = theirs.bert(**inputs).last_hidden_state[inside]
        rows = torch.arange(len(batch.input_ids)).flip(0)
        torch.testing.assert_close(encode(ours.bert, batch), hidden, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours(*batch, rows=rows).logits, expected.flip(0), atol=1e-5, rtol=0)


def test_the_loss_of_telling_sources_apart_is_added(batch: PackedBatch, tmp_path: Path) -> None:
    model = checkpoint.load(tiny_model(tmp_path)).model.eval()
    rows = torch.arange(0, len(batch.input_ids), 3)
    labels, sources = batch.input_ids[rows], torch.arange(batch.sequences) % 3
    bounds = batch.cu_seqlens[1:-1].long()
    with torch.no_grad():
        alone = model(*batch, rows=rows, labels=labels, sources=sources)
        assert alone.source_logits is None
        model.tell_apart(3, 2.0)
        at_start = model(*batch, rows=rows, labels=labels, sources=sources)
        torch.testing.assert_close(at_start.loss, alone.loss + 2 * np.log(3))  # the new head knows nothing
        torch.nn.init.normal_(model.source_head.weight)
        output = model(*batch, rows=rows, labels=labels, sources=sources)
        means = [part[1:-1].mean(dim=0) for part in encode(model.bert, batch).tensor_split(bounds)]
    told = model.source_head(torch.stack(means))
    torch.testing.assert_close(output.source_logits, told, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.logits, alone.logits, atol=1e-5, rtol=0)
    expected = alone.loss + 2 * torch.nn.functional.cross_entropy(told, sources)
    torch.testing.assert_close(output.loss, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_classifier_equals_transformers(batch: PackedBatch, classes: int, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, "classification", labels=tuple("abc"[:classes]))
    ours = checkpoint.load(folder).model.eval()
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    labels = torch.arange(batch.sequences) % classes
    with torch.no_grad():
        expected = theirs(**padded(batch), labels=labels)
        output = ours(*batch, labels=labels)
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.loss, expected.loss, atol=1e-5, rtol=0)


def test_gradients_equal_transformers(batch: PackedBatch, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    ours = checkpoint.load(folder).model.eval()
    theirs = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    inputs = padded(batch)
    labels = torch.where(inputs["attention_mask"].bool(), inputs["input_ids"], -100)
    theirs(**inputs, labels=labels).loss.backward()
    ours(*batch, rows=torch.arange(len(batch.input_ids)), labels=batch.input_ids).loss.backward()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=0, msg=name)


def test_rows_of_a_table_pack_like_their_kmers(rng: np.random.Generator) -> None:
    sequences = [random_dna(length, rng) for length in (12, 30, 7)]
    table = tables.from_sequences(sequences)
    packed = pack_rows(table, np.array([2, 0]), 5)
    expected = pack(
        [
            np.array([kmers.vocabulary(5).index(sequences[row][i : i + 5]) for i in range(len(sequences[row]) - 4)])
            for row in (2, 0)
        ]
    )
    assert packed.input_ids.tolist() == expected.input_ids.tolist()
    assert packed.cu_seqlens.tolist() == [0, 5, 15]
    assert packed.position_ids.tolist() == [*range(5), *range(10)]
    assert packed.max_seqlen == 10
