"""Predictions and embeddings: against transformers, and whatever the batches are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

import dnabert
from dnabert.errors import InputError
from dnabert.inference import embed as embed_module
from dnabert.inference import engine
from dnabert.inference import predict as predict_module
from tests.conftest import random_dna, tiny_model


@pytest.fixture
def sequences(rng: np.random.Generator) -> list[str]:
    return [random_dna(int(length), rng) for length in rng.integers(4, 90, 30)]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "classifier", "classification", labels=("a", "b", "c"))


def test_predictions_equal_transformers(classifier: Path, sequences: list[str]) -> None:
    result = dnabert.load(classifier, precision="float32").predict(sequences)
    theirs = transformers.BertForSequenceClassification.from_pretrained(classifier).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier)
    with torch.no_grad():
        expected = torch.cat([theirs(**tokenizer(one, return_tensors="pt")).logits for one in sequences])
    np.testing.assert_allclose(result.logits, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(result.probabilities, expected.softmax(dim=1).numpy(), atol=1e-5)
    assert result.labels == ("a", "b", "c")


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_embeddings_equal_transformers(classifier: Path, sequences: list[str], pooling: str) -> None:
    vectors = dnabert.load(classifier, precision="float32").embed(sequences, pooling)
    theirs = transformers.BertModel.from_pretrained(classifier, add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier)
    for vector, sequence in zip(vectors, sequences, strict=True):
        with torch.no_grad():
            hidden = theirs(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0]
        expected = {"cls": hidden[0], "mean": hidden[1:-1].mean(dim=0), "max": hidden[1:-1].amax(dim=0)}[pooling]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 64, 300, 100_000])
def test_batch_size_and_order_change_nothing(classifier: Path, sequences: list[str], batch_tokens: int) -> None:
    started = engine.start(classifier, precision="float32")
    reference = predict_module.predict(started, sequences).logits
    logits = predict_module.predict(started, sequences, batch_tokens).logits
    np.testing.assert_allclose(logits, reference, atol=1e-5)
    backwards = predict_module.predict(started, sequences[::-1], batch_tokens).logits
    np.testing.assert_allclose(backwards[::-1], reference, atol=1e-5)
    vectors = embed_module.embed(started, sequences, "mean", batch_tokens)
    np.testing.assert_allclose(vectors, embed_module.embed(started, sequences, "mean"), atol=1e-5)


def test_bfloat16_stays_close(classifier: Path, sequences: list[str]) -> None:
    full, half = (dnabert.load(classifier, precision=name).predict(sequences) for name in ("float32", "bfloat16"))
    assert np.abs(full.probabilities - half.probabilities).max() < 0.05


def test_arrow_strings_and_lists_are_alike(classifier: Path, sequences: list[str]) -> None:
    model = dnabert.load(classifier, precision="float32")
    np.testing.assert_array_equal(model.predict(pa.array(sequences)).logits, model.predict(sequences).logits)


def test_what_cannot_be_predicted_is_refused(classifier: Path, tmp_path: Path) -> None:
    model = dnabert.load(classifier)
    with pytest.raises(InputError, match="number 2: 'E' is not a nucleotide"):
        model.predict(["ACGTACGT", "MKVE"])
    with pytest.raises(InputError, match=r"at most 513 \(510 4-mers\)"):
        model.predict(["A" * 514])
    with pytest.raises(InputError, match="not one string"):
        model.predict("ACGT")
    with pytest.raises(InputError, match="give one of mean, cls, max"):
        model.embed(["ACGT"], "median")
    pretrained = dnabert.load(tiny_model(tmp_path / "pretrained"))
    with pytest.raises(InputError, match="run 'dnabert finetune' on it first"):
        pretrained.predict(["ACGT"])
    assert "masked-lm k=4" in repr(pretrained)
    for option, message in (({"device": "tpu9"}, "--device tpu9"), ({"precision": "int1"}, "--precision int1")):
        with pytest.raises(InputError, match=message):
            dnabert.load(classifier, **option)
