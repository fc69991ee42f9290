"""Effects of bases on a logit, beside the obvious ways to compute them."""

from pathlib import Path

import numpy as np
import pytest

from dnabert import InputError, load
from dnabert.inference import engine
from dnabert.inference.engine import Engine
from dnabert.inference.predict import predict
from dnabert.interpretation import attribution
from dnabert.sequence.tables import Table
from tests.conftest import random_dna, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), "classification", labels=("no", "yes"))


@pytest.fixture(scope="module")
def started(folder: Path) -> Engine:
    return engine.start(folder, precision="float32")


def test_mutagenesis_is_predicting_every_variant(folder: Path, started: Engine, rng: np.random.Generator) -> None:
    sequences = [random_dna(12, rng), random_dna(7, rng), "ACGTNACGT"]
    effects = attribution.ism(started, sequences)
    assert effects.shape == (3, 12, 4)
    model = load(folder, precision="float32")
    for sequence, effect in zip(sequences, effects, strict=True):
        own = model.predict([sequence]).logits[0, 1]
        for i, base in enumerate(sequence):
            for j, other in enumerate("ACGT"):
                if base == "N":
                    assert np.isnan(effect[i, j])
                elif base == other:
                    assert effect[i, j] == 0
                else:
                    changed = model.predict([sequence[:i] + other + sequence[i + 1 :]]).logits[0, 1]
                    assert effect[i, j] == pytest.approx(changed - own, abs=2e-5)
        assert np.isnan(effect[len(sequence) :]).all()


def test_mutagenesis_computes_each_sequence_once(started: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []

    def counted(_: Engine, table: Table, *__: object) -> np.ndarray:
        rows.append(table.rows)
        return np.zeros((table.rows, 2))

    monkeypatch.setattr(attribution, "run", counted)
    attribution.ism(started, ["ACGTACGTAC"] * 3 + ["ACGTA"])
    assert rows == [3 * (1 + 3 * 10) + 1 + 3 * 5]
    rows.clear()
    monkeypatch.setattr(attribution, "VARIANT_ROWS", 40)
    attribution.ism(started, ["ACGTACGTAC"] * 3 + ["ACGTA"])
    assert rows == [31, 31, 31, 16]


def test_mutagenesis_does_not_depend_on_parts(
    started: Engine, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [random_dna(length, rng) for length in (20, 9, 14, 20)]
    effects = attribution.ism(started, sequences)
    monkeypatch.setattr(attribution, "VARIANT_ROWS", 1)
    np.testing.assert_allclose(attribution.ism(started, sequences, batch_tokens=64), effects, atol=2e-5)


def test_the_class_is_chosen(started: Engine, tmp_path: Path, rng: np.random.Generator) -> None:
    sequences = [random_dna(10, rng) for _ in range(2)]
    np.testing.assert_array_equal(attribution.ism(started, sequences), attribution.ism(started, sequences, "yes"))
    assert not np.allclose(attribution.ism(started, sequences, "no"), attribution.ism(started, sequences, "yes"))
    with pytest.raises(InputError, match="--target maybe: this model has no, yes"):
        attribution.ism(started, sequences, "maybe")
    three = engine.start(tiny_model(tmp_path / "three", "classification", labels=("a", "b", "c")), precision="float32")
    predicted = load(tmp_path / "three", precision="float32").predict(sequences).logits.argmax(axis=1)
    for i, label in enumerate(predicted):
        own = attribution.ism(three, sequences[i : i + 1], "abc"[label])[0]
        np.testing.assert_allclose(attribution.ism(three, sequences)[i], own, atol=2e-5)


def test_effects_need_a_classifier(tmp_path: Path) -> None:
    started = engine.start(tiny_model(tmp_path / "pretrained"))
    for method in (attribution.ism, attribution.integrated_gradients):
        with pytest.raises(InputError, match="effects on a logit need a classifier"):
            method(started, ["ACGTACGT"])


def test_gradients_add_up_to_the_logit(folder: Path, started: Engine, rng: np.random.Generator) -> None:
    sequences = [random_dna(length, rng) for length in (20, 9, 20, 20)]
    result = attribution.integrated_gradients(started, sequences, steps=64)
    assert result.scores.shape == (4, 20)
    assert np.abs(result.errors).max() < 0.05 * np.abs(result.differences).max()
    np.testing.assert_allclose(np.nansum(result.scores, axis=1), result.differences + result.errors, atol=1e-4)
    coarse = attribution.integrated_gradients(started, sequences, steps=2)
    assert np.abs(coarse.errors).mean() > np.abs(result.errors).mean()
    np.testing.assert_allclose(coarse.differences, result.differences, atol=1e-3)
    # the difference is that of the two ends: the sequence's own logit, and one that all sequences of a length share
    logits = load(folder, precision="float32").predict(sequences).logits[:, 1]
    ends = (logits - result.differences)[[0, 2, 3]]
    np.testing.assert_allclose(ends, ends[0], atol=1e-3)


def test_gradients_do_not_depend_on_batches(started: Engine, rng: np.random.Generator) -> None:
    sequences = [random_dna(length, rng) for length in (20, 9, 20, 20)]
    whole = attribution.integrated_gradients(started, sequences, steps=8)
    alone = attribution.integrated_gradients(started, sequences, steps=8, batch_tokens=1)
    np.testing.assert_allclose(alone.scores, whole.scores, atol=1e-5)


def test_a_contribution_is_the_mean_fall(rng: np.random.Generator) -> None:
    effects = rng.normal(size=(2, 3, 4))
    effects[..., 1] = 0
    np.testing.assert_allclose(attribution.contributions(effects), -effects[..., [0, 2, 3]].mean(axis=-1))


def test_numbers_and_labels_are_explained_by_name(tmp_path: Path, rng: np.random.Generator) -> None:
    sequences = [random_dna(12, rng)]
    one = engine.start(tiny_model(tmp_path / "one", "regression", labels=("level",)), precision="float32")
    two = engine.start(tiny_model(tmp_path / "two", "multilabel", labels=("a", "b")), precision="float32")
    effects = attribution.ism(one, sequences)[0]
    changed = sequences[0][:5] + "T" + sequences[0][6:]
    expected = np.diff(predict(one, [sequences[0], changed]).outputs[:, 0])[0]
    assert effects[5, 3] == pytest.approx(expected, abs=1e-5)  # in the units of the prediction
    assert not np.allclose(attribution.ism(two, sequences, "a"), attribution.ism(two, sequences, "b"), equal_nan=True)
    with pytest.raises(InputError, match="say which output is explained: --target a or b"):
        attribution.ism(two, sequences)
    bases = engine.start(tiny_model(tmp_path / "bases", "per-base", labels=("a", "b")), precision="float32")
    with pytest.raises(InputError, match="one output a sequence, this model has one a base"):
        attribution.ism(bases, sequences)
