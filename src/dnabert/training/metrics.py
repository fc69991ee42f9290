"""How good a classifier is, with intervals."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

RESAMPLES = 1000


class Interval(NamedTuple):
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Evaluation(NamedTuple):
    """Metrics of a classifier on one set of sequences.

    Attributes
    ----------
    metrics : dict of str to Interval
        `accuracy`; `precision`, `recall`, `f1` (macro: the mean over classes); `mcc`; `auroc`, `auprc` (of the second
        class where there are two, else the mean over classes, each against the rest).
    confusion : np.ndarray, int64, shape (classes, classes)
        Rows are true classes, columns predicted ones.
    labels : tuple of str
        The classes.
    rows : int
        Sequences evaluated.
    one_class : str or None
        The class, if the model predicted a single one for every sequence.
    """

    metrics: dict[str, Interval]
    confusion: np.ndarray
    labels: tuple[str, ...]
    rows: int
    one_class: str | None


def evaluate(
    probabilities: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], seed: int = 0, resamples: int = RESAMPLES
) -> Evaluation:
    """Compare predictions with the truth.

    Parameters
    ----------
    probabilities : np.ndarray, float, shape (rows, classes)
    truth : np.ndarray, integer, shape (rows,)
        True classes, as columns of `probabilities`.
    labels : tuple of str
        Names of the classes.
    seed : int
        Of the bootstrap.
    resamples : int
        Bootstrap samples of rows (percentile intervals: Efron 1979). Samples that lack a class leave AUROC and AUPRC
        out.

    Returns
    -------
    Evaluation
    """
    predicted = probabilities.argmax(axis=1)
    confusion = _confusion(truth, predicted, len(labels))
    rng = np.random.default_rng(seed)
    samples = [rng.integers(0, len(truth), len(truth)) for _ in range(resamples)]
    tables = np.array([_confusion(truth[rows], predicted[rows], len(labels)) for rows in samples])
    values = {
        name: _interval(float(score(confusion[None])[0]), score(tables) if resamples else np.empty(0))
        for name, score in _FROM_CONFUSION.items()
    }
    rankings: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "auroc": sk.roc_auc_score,
        "auprc": sk.average_precision_score,
    }
    for name, score in rankings.items():
        whole = _ranked(score, truth, probabilities)
        drawn = [_ranked(score, truth[rows], probabilities[rows]) for rows in samples]
        values[name] = _interval(whole, np.array(drawn))
    seen = np.unique(predicted)
    return Evaluation(values, confusion, labels, len(truth), labels[seen[0]] if len(seen) == 1 else None)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Turn an evaluation into what JSON can hold."""
    return {
        "rows": evaluation.rows,
        "labels": list(evaluation.labels),
        "metrics": {
            name: {key: None if math.isnan(number) else number for key, number in value._asdict().items()}
            for name, value in evaluation.metrics.items()
        },
        "confusion": evaluation.confusion.tolist(),
        "one_class": evaluation.one_class,
    }


def mcc(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Compute Matthews' correlation of the most probable classes with the truth (0 where undefined)."""
    classes = probabilities.shape[1]
    return float(_mcc(_confusion(truth, probabilities.argmax(axis=1), classes)[None])[0])


def _confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _interval(value: float, drawn: np.ndarray) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def _ranked(score: Callable[[np.ndarray, np.ndarray], float], truth: np.ndarray, probabilities: np.ndarray) -> float:
    classes = probabilities.shape[1]
    if len(np.unique(truth)) < classes:
        return float("nan")
    if classes == 2:
        return float(score(truth, probabilities[:, 1]))
    indicators = label_binarize(truth, classes=np.arange(classes))
    return float(np.mean([score(indicators[:, c], probabilities[:, c]) for c in range(classes)]))


# Each takes confusion matrices (samples, true, predicted) and returns (samples,): a thousand resamples in one go.


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below != 0)


def _right(tables: np.ndarray) -> np.ndarray:
    return np.diagonal(tables, axis1=1, axis2=2)


def _accuracy(tables: np.ndarray) -> np.ndarray:
    return _right(tables).sum(axis=1) / tables.sum(axis=(1, 2))


def _precision(tables: np.ndarray) -> np.ndarray:
    return _ratio(_right(tables), tables.sum(axis=1)).mean(axis=1)


def _recall(tables: np.ndarray) -> np.ndarray:
    return _ratio(_right(tables), tables.sum(axis=2)).mean(axis=1)


def _f1(tables: np.ndarray) -> np.ndarray:
    return _ratio(2 * _right(tables), tables.sum(axis=1) + tables.sum(axis=2)).mean(axis=1)


def _mcc(tables: np.ndarray) -> np.ndarray:
    """Gorodkin's correlation of K classes (2004, doi 10.1016/j.compbiolchem.2004.09.006); Matthews' for two."""
    tables = tables.astype(np.float64)
    total, right = tables.sum(axis=(1, 2)), _right(tables).sum(axis=1)
    true, predicted = tables.sum(axis=2), tables.sum(axis=1)
    above = right * total - (true * predicted).sum(axis=1)
    below = np.sqrt(total**2 - (predicted**2).sum(axis=1)) * np.sqrt(total**2 - (true**2).sum(axis=1))
    return _ratio(above, below)


_FROM_CONFUSION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "mcc": _mcc,
}
