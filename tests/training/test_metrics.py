"""Metrics against scikit-learn, intervals against theory."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from dnabert.training import metrics
from dnabert.training.metrics import Truth


@pytest.mark.parametrize("classes", [2, 4])
def test_values_equal_scikit_learn(classes: int, rng: np.random.Generator) -> None:
    truth = rng.integers(0, classes, 300)
    scores = rng.random((300, classes)) + 0.4 * np.eye(classes)[truth]
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    known = Truth("classification", truth, tuple("abcd"[:classes]))
    result = metrics.evaluate(probabilities, known, resamples=50)
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
    assert result.confusion is not None
    assert result.confusion.tolist() == sk.confusion_matrix(truth, predicted).tolist()
    assert metrics.values_of(probabilities, known)["mcc"] == pytest.approx(expected["mcc"])
    assert result.one_class is None


def test_the_interval_of_accuracy_is_the_binomial_one(rng: np.random.Generator) -> None:
    truth = np.zeros(1000, dtype=int)
    truth[:500] = 1
    probabilities = np.eye(2)[np.where(rng.random(1000) < 0.8, truth, 1 - truth)]
    interval = metrics.evaluate(probabilities, Truth("classification", truth, ("a", "b")), resamples=2000).metrics[
        "accuracy"
    ]
    error = np.sqrt(interval.value * (1 - interval.value) / 1000)
    assert interval.low == pytest.approx(interval.value - 1.96 * error, abs=0.005)
    assert interval.high == pytest.approx(interval.value + 1.96 * error, abs=0.005)


def test_one_class_predictions_are_seen() -> None:
    probabilities = np.tile([0.9, 0.1], (20, 1))
    result = metrics.evaluate(probabilities, Truth("classification", np.arange(20) % 2, ("no", "yes")), resamples=10)
    assert result.one_class == "no"
    assert result.metrics["mcc"].value == 0
    assert metrics.as_json(result)["one_class"] == "no"


def test_ranking_metrics_are_missing_where_a_class_is() -> None:
    result = metrics.evaluate(
        np.tile([0.4, 0.6], (5, 1)), Truth("classification", np.ones(5, dtype=int), ("no", "yes")), resamples=10
    )
    assert np.isnan(result.metrics["auroc"].value)
    assert metrics.as_json(result)["metrics"]["auroc"] == {"value": None, "low": None, "high": None}


def test_numbers_are_compared_as_scipy_does(rng: np.random.Generator) -> None:
    true = np.round(rng.normal(5, 2, (200, 2)), 1)  # with ties
    predicted = np.round(true + rng.normal(0, 1, true.shape), 1)
    result = metrics.evaluate(predicted, Truth("regression", true, ("one", "two")), resamples=200)
    for i, name in enumerate(("one", "two")):
        expected = {
            "pearson": stats.pearsonr(predicted[:, i], true[:, i])[0],
            "spearman": stats.spearmanr(predicted[:, i], true[:, i])[0],
            "r2": sk.r2_score(true[:, i], predicted[:, i]),
            "mse": sk.mean_squared_error(true[:, i], predicted[:, i]),
        }
        for metric, value in expected.items():
            interval = result.metrics[f"{metric}[{name}]"]
            assert interval.value == pytest.approx(value, abs=1e-12), metric
            assert interval.low < value < interval.high
    assert result.metrics["pearson"].value == pytest.approx(
        np.mean([result.metrics[f"pearson[{name}]"].value for name in ("one", "two")])
    )
    assert (result.confusion, result.one_class) == (None, None)


def test_a_bootstrap_sample_scores_as_its_rows_do(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 60, 60)
    weights = np.bincount(rows, minlength=60)[None].astype(float)
    true, predicted = np.round(rng.normal(size=60), 1), np.round(rng.normal(size=60), 1)
    numbers = metrics._scores(predicted[:, None], Truth("regression", true[:, None], ("y",)), weights)
    assert numbers["spearman"][0] == pytest.approx(stats.spearmanr(predicted[rows], true[rows])[0])
    assert numbers["pearson"][0] == pytest.approx(stats.pearsonr(predicted[rows], true[rows])[0])
    assert numbers["r2"][0] == pytest.approx(sk.r2_score(true[rows], predicted[rows]))
    classes = rng.integers(0, 2, 60)
    chance = np.round(rng.random(60), 1)
    two = metrics._scores(np.stack([1 - chance, chance], axis=1), Truth("classification", classes, ("a", "b")), weights)
    assert two["auroc"][0] == pytest.approx(sk.roc_auc_score(classes[rows], chance[rows]))
    assert two["auprc"][0] == pytest.approx(sk.average_precision_score(classes[rows], chance[rows]))


def test_labels_are_judged_one_by_one(rng: np.random.Generator) -> None:
    true = rng.random((300, 3)) < [0.5, 0.2, 0.8]
    chance = np.clip(true * 0.3 + rng.random((300, 3)) * 0.7, 0, 1)
    result = metrics.evaluate(chance, Truth("multilabel", true, ("a", "b", "c")), resamples=50)
    for i, name in enumerate("abc"):
        assert result.metrics[f"auroc[{name}]"].value == pytest.approx(sk.roc_auc_score(true[:, i], chance[:, i]))
        assert result.metrics[f"f1[{name}]"].value == pytest.approx(sk.f1_score(true[:, i], chance[:, i] >= 0.5))
        assert result.metrics[f"mcc[{name}]"].value == pytest.approx(
            sk.matthews_corrcoef(true[:, i], chance[:, i] >= 0.5)
        )
    assert result.metrics["auroc"].value == pytest.approx(sk.roc_auc_score(true, chance))


def test_bases_are_judged_together_but_drawn_by_sequence(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(40), 25)
    of_row = rng.integers(0, 3, 40)
    true = of_row[groups].copy()
    true[::50] = -1  # nothing is known of these
    right = rng.random(40) < 0.7  # whole sequences are right or wrong: bases of one are no independent samples
    predicted = np.where(right[groups], of_row[groups], (of_row[groups] + 1) % 3)
    truth = Truth("per-base", true, ("donor", "acceptor", "no"), groups)
    result = metrics.evaluate(np.eye(3)[predicted], truth, resamples=400)
    known = true >= 0
    assert result.rows == 40
    assert result.metrics["accuracy"].value == pytest.approx((predicted == true)[known].mean())
    for i, name in enumerate(truth.names):
        expected = sk.f1_score(true[known] == i, predicted[known] == i)
        assert result.metrics[f"f1[{name}]"].value == pytest.approx(expected)
    interval = result.metrics["accuracy"]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 40), rel=0.35)
    assert result.confusion is not None
    assert result.confusion.sum() == known.sum()


def test_two_models_are_compared_on_the_same_rows(rng: np.random.Generator) -> None:
    classes = rng.integers(0, 2, 400)
    truth = Truth("classification", classes, ("a", "b"))
    good = np.eye(2)[np.where(rng.random(400) < 0.9, classes, 1 - classes)]
    poor = np.eye(2)[np.where(rng.random(400) < 0.7, classes, 1 - classes)]
    better = metrics.compare(good, poor, truth)
    assert better.p_value < 0.01
    assert better.difference.low > 0
    same = metrics.compare(good, good, truth)
    assert (same.p_value, same.difference.value) == (1.0, 0.0)
    worse = metrics.compare(poor, good, truth)
    assert worse.p_value == better.p_value
    assert worse.difference.value == pytest.approx(-better.difference.value)


def test_a_constant_prediction_counts_as_chance(rng: np.random.Generator) -> None:
    true = rng.normal(size=(100, 1))
    truth = Truth("regression", true, ("level",))
    good, constant = true + 0.1 * rng.normal(size=true.shape), np.ones_like(true)
    assert np.isnan(metrics.values_of(constant, truth)["pearson"])
    better = metrics.compare(good, constant, truth)
    assert better.difference.value == pytest.approx(metrics.values_of(good, truth)["pearson"])
    assert better.difference.low > 0.9
    assert better.p_value < 0.01
    assert np.isnan(metrics.compare(constant, constant, truth).difference.value)


def test_numbers_far_from_zero_keep_their_digits(rng: np.random.Generator) -> None:
    near = rng.normal(size=(300, 1))
    guesses = near + 0.5 * rng.normal(size=(300, 1))
    values = [metrics.values_of(guesses + far, Truth("regression", near + far, ("y",)))["r2"] for far in (0.0, 1e8)]
    assert values[1] == pytest.approx(values[0], abs=1e-6)
    assert values[0] == pytest.approx(sk.r2_score(near, guesses))


def test_samples_of_one_number_say_nothing() -> None:
    truth = Truth("regression", np.array([[5.0], [5.3], [5.1]]), ("y",))
    interval = metrics.evaluate(truth.values + np.array([[0.1], [-0.1], [0.0]]), truth).metrics["r2"]
    assert -100 < interval.low < interval.value < interval.high <= 1


def test_samples_without_a_known_base_say_nothing() -> None:
    truth = Truth("per-base", np.array([0, 1, -1, -1, -1, -1]), ("no", "yes"), np.array([0, 0, 1, 1, 2, 2]))
    right = np.eye(2)[[0, 1, 0, 0, 0, 0]]
    found = metrics.evaluate(right, truth).metrics
    assert all(interval == pytest.approx((1, 1, 1)) for interval in found.values()), found


@pytest.mark.parametrize("classes", [2, 300])
def test_few_samples_are_scored_at_a_time(classes: int, rng: np.random.Generator) -> None:
    known = Truth("classification", rng.integers(0, classes, 600), tuple(map(str, range(classes))))
    most = max(len(weights) for weights in metrics._samples(known, classes, 0, 1000))
    assert most * max(600, classes**2) <= metrics._CHUNK
