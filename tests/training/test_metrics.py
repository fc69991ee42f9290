"""Metrics against scikit-learn, intervals against theory."""

import numpy as np
import pytest
from sklearn import metrics as sk

from dnabert.training import metrics


@pytest.mark.parametrize("classes", [2, 4])
def test_values_equal_scikit_learn(classes: int, rng: np.random.Generator) -> None:
    truth = rng.integers(0, classes, 300)
    scores = rng.random((300, classes)) + 0.4 * np.eye(classes)[truth]
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    result = metrics.evaluate(probabilities, truth, tuple("abcd"[:classes]), resamples=50)
    macro = {"average": "macro", "zero_division": 0}
    expected = {
        "accuracy": sk.accuracy_score(truth, predicted),
        "precision": sk.precision_score(truth, predicted, **macro),
        "recall": sk.recall_score(truth, predicted, **macro),
        "f1": sk.f1_score(truth, predicted, **macro),
        "mcc": sk.matthews_corrcoef(truth, predicted),
        "auroc": sk.roc_auc_score(truth, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr"),
    }
    for name, value in expected.items():
        assert result.metrics[name].value == pytest.approx(value, abs=1e-12), name
        assert result.metrics[name].low < value < result.metrics[name].high
    assert result.confusion.tolist() == sk.confusion_matrix(truth, predicted).tolist()
    assert metrics.mcc(probabilities, truth) == pytest.approx(expected["mcc"])
    assert result.one_class is None


def test_the_interval_of_accuracy_is_the_binomial_one(rng: np.random.Generator) -> None:
    truth = np.zeros(1000, dtype=int)
    truth[:500] = 1
    probabilities = np.eye(2)[np.where(rng.random(1000) < 0.8, truth, 1 - truth)]
    interval = metrics.evaluate(probabilities, truth, ("a", "b"), resamples=2000).metrics["accuracy"]
    error = np.sqrt(interval.value * (1 - interval.value) / 1000)
    assert interval.low == pytest.approx(interval.value - 1.96 * error, abs=0.005)
    assert interval.high == pytest.approx(interval.value + 1.96 * error, abs=0.005)


def test_one_class_predictions_are_seen() -> None:
    probabilities = np.tile([0.9, 0.1], (20, 1))
    result = metrics.evaluate(probabilities, np.arange(20) % 2, ("no", "yes"), resamples=10)
    assert result.one_class == "no"
    assert result.metrics["mcc"].value == 0
    assert metrics.as_json(result)["one_class"] == "no"


def test_ranking_metrics_are_missing_where_a_class_is() -> None:
    result = metrics.evaluate(np.tile([0.4, 0.6], (5, 1)), np.ones(5, dtype=int), ("no", "yes"), resamples=10)
    assert np.isnan(result.metrics["auroc"].value)
    assert metrics.as_json(result)["metrics"]["auroc"] == {"value": None, "low": None, "high": None}
