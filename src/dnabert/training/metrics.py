"""How good predictions are, with intervals.

Each metric is computed from weights of the rows: ones give its value, the counts of bootstrap samples its interval. So
a thousand samples are a few products of arrays, two models are compared on the same samples, all tasks in one way.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

RESAMPLES = 1000
"""Bootstrap samples; fewer, but 100 at least, where rows times outputs are more than two million."""

MAIN = {"classification": "mcc", "multilabel": "auroc", "regression": "pearson", "per-base": "f1"}
"""The metric of each task that chooses the best checkpoint and decides comparisons."""

CHANCE = {"mcc": 0.0, "auroc": 0.5, "pearson": 0.0, "f1": 0.0}
"""What a model that knows nothing reaches of these; F1 at worst."""

ROUNDING = 1e-12
"""What is less than this share of the terms that it is the difference of is 0."""

_CHUNK = 2_000_000
"""Weights, or cells of confusion matrices, of the samples that are scored at a time: 16 MB each of a few arrays."""

Scores = dict[str, np.ndarray]
"""Metrics of bootstrap samples, each of shape (samples,); NaN where a sample leaves one undefined."""


class Interval(NamedTuple):
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Truth(NamedTuple):
    """What predictions are compared with.

    Attributes
    ----------
    task : str
        `classification`, `multilabel`, `regression` or `per-base`.
    values : np.ndarray
        classification: int64, shape (rows,), positions in `names`; multilabel: bool, shape (rows, labels); regression:
        float64, shape (rows, outputs); per-base: int64, shape (bases,), -1 where nothing is known.
    names : tuple of str
        Classes, labels or outputs.
    groups : np.ndarray, int64, shape (bases,), optional
        per-base: the row of each base. Rows, not bases, are resampled.
    """

    task: str
    values: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """The number of sequences."""
        return len(self.values) if self.groups is None else int(self.groups.max(initial=-1)) + 1


class Evaluation(NamedTuple):
    """Metrics of predictions on one set of sequences.

    Attributes
    ----------
    task : str
    metrics : dict of str to Interval
        classification and per-base: `accuracy`; `precision`, `recall`, `f1` (macro: the mean over classes); `mcc`;
        `auroc`, `auprc` (of the second class where there are two, else the mean over classes, each against the rest);
        with more than two classes also `f1[CLASS]` and `auprc[CLASS]`. multilabel: `accuracy`, `mcc`, `f1`, `auroc`,
        `auprc` of each label, `NAME[LABEL]`, and their means. regression: `pearson`, `spearman`, `r2`, `mse` in the
        user's units, of each output and their means.
    names : tuple of str
        The classes, labels or outputs.
    rows : int
        Sequences evaluated.
    confusion : np.ndarray or None, int64, shape (classes, classes)
        Rows are true classes, columns predicted ones.
    one_class : str or None
        The class, if the model predicted a single one for every sequence.
    """

    task: str
    metrics: dict[str, Interval]
    names: tuple[str, ...]
    rows: int
    confusion: np.ndarray | None
    one_class: str | None


class Comparison(NamedTuple):
    """The difference of two models' main metric on the same rows, with its paired bootstrap interval and p-value."""

    difference: Interval
    p_value: float


def evaluate(outputs: np.ndarray, truth: Truth, seed: int = 0, resamples: int = RESAMPLES) -> Evaluation:
    """Compare predictions with the truth.

    Parameters
    ----------
    outputs : np.ndarray, float
        Probabilities of shape (rows or bases, classes or labels), or predicted numbers of shape (rows, outputs).
    truth : Truth
    seed : int
        Of the bootstrap.
    resamples : int
        Bootstrap samples of rows (percentile intervals: Efron 1979).

    Returns
    -------
    Evaluation
    """
    values = values_of(outputs, truth)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for weights in _samples(truth, outputs.shape[1], seed, resamples):
        for name, part in _scores(outputs, truth, weights).items():
            drawn[name].append(part)
    intervals = {name: _interval(values[name], np.concatenate([*drawn[name], np.empty(0)])) for name in values}
    if truth.task not in ("classification", "per-base"):
        return Evaluation(truth.task, intervals, truth.names, truth.rows, None, None)
    predicted = outputs.argmax(axis=1)
    known = truth.values >= 0
    classes = len(truth.names)
    confusion = np.bincount(truth.values[known] * classes + predicted[known], minlength=classes**2)
    seen = np.unique(predicted)
    one_class = truth.names[seen[0]] if len(seen) == 1 else None
    return Evaluation(truth.task, intervals, truth.names, truth.rows, confusion.reshape(classes, classes), one_class)


def values_of(outputs: np.ndarray, truth: Truth) -> dict[str, float]:
    """Compute all metrics, without intervals."""
    return {name: float(value[0]) for name, value in _scores(outputs, truth, np.ones((1, truth.rows))).items()}


def compare(one: np.ndarray, other: np.ndarray, truth: Truth, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """Test whether two models differ in the main metric: paired bootstrap, both on the same resampled rows.

    Parameters
    ----------
    one, other : np.ndarray, float
        Outputs of the two models, as in `evaluate`.
    truth : Truth
    seed : int
    resamples : int

    Returns
    -------
    Comparison
        `one` minus `other`; where the metric is defined for one of them alone (a correlation is not, of predictions
        that are all the same), the other counts as chance. The p-value is two-sided: twice the smaller share of samples
        on one side of 0, with one sample added to each side (Davison and Hinkley 1997, section 4.2), so it is never 0.
    """
    name = MAIN[truth.task]

    def difference(weights: np.ndarray) -> np.ndarray:
        both = np.stack([_scores(outputs, truth, weights)[name] for outputs in (one, other)])
        defined = np.isfinite(both)
        first, second = np.where(defined.any(axis=0) & ~defined, CHANCE[name], both)
        return np.asarray(first - second)

    value = float(difference(np.ones((1, truth.rows)))[0])
    drawn = [difference(weights) for weights in _samples(truth, one.shape[1], seed, resamples)]
    differences = np.concatenate([*drawn, np.empty(0)])
    differences = differences[np.isfinite(differences)]
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    p_value = min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
    return Comparison(_interval(value, differences), float(p_value))


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Turn an evaluation into what JSON can hold."""
    return {
        "task": evaluation.task,
        "rows": evaluation.rows,
        "names": list(evaluation.names),
        "metrics": {
            name: {key: None if math.isnan(number) else number for key, number in value._asdict().items()}
            for name, value in evaluation.metrics.items()
        },
        "confusion": None if evaluation.confusion is None else evaluation.confusion.tolist(),
        "one_class": evaluation.one_class,
    }


def _interval(value: float, drawn: np.ndarray) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def _samples(truth: Truth, outputs: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Draw how often each row stands in each bootstrap sample, in chunks of shape (samples, rows)."""
    entries = max(1, len(truth.values) * outputs)
    count = min(resamples, max(100, 2_000_000 * RESAMPLES // entries))
    rng = np.random.default_rng(seed)
    cells = len(truth.names) ** 2 if truth.task in ("classification", "per-base") else 1
    chunk = max(1, _CHUNK // max(1, len(truth.values), cells))
    for first in range(0, count, chunk):
        rows = (rng.integers(0, truth.rows, truth.rows) for _ in range(min(chunk, count - first)))
        yield np.stack([np.bincount(drawn, minlength=truth.rows) for drawn in rows]).astype(np.float64)


def _scores(outputs: np.ndarray, truth: Truth, weights: np.ndarray) -> Scores:
    """Compute the metrics of each sample; `weights` has shape (samples, rows)."""
    if truth.task == "regression":
        each = [
            _of_numbers(outputs[:, i].astype(np.float64), truth.values[:, i], weights) for i in range(outputs.shape[1])
        ]
        return _with_means(each, truth.names)
    if truth.task == "multilabel":
        each = []
        for i in range(outputs.shape[1]):
            probability, true = outputs[:, i], truth.values[:, i].astype(np.int64)
            tables = _confusions(true, (probability >= 0.5).astype(np.int64), 2, weights)
            scores = {name: score(tables) for name, score in _FROM_CONFUSION.items() if name in ("accuracy", "mcc")}
            scores["f1"] = _f1_of_classes(tables)[:, 1]
            each.append(scores | _of_ranking(probability, true == 1, weights))
        return _with_means(each, truth.names)
    values = truth.values
    if truth.groups is not None:
        known = values >= 0
        outputs, values, weights = outputs[known], values[known], weights[:, truth.groups[known]]
    return _of_classes(outputs, values, truth.names, weights)


def _with_means(each: list[Scores], names: tuple[str, ...]) -> Scores:
    if len(each) == 1:
        return each[0]
    scores = {name: _mean([one[name] for one in each]) for name in each[0]}
    return scores | {f"{key}[{name}]": one[key] for name, one in zip(names, each, strict=True) for key in one}


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    """Average over outputs, leaving out those that are undefined."""
    stacked = np.stack(parts)
    defined = np.isfinite(stacked)
    total, count = np.where(defined, stacked, 0).sum(axis=0), defined.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _of_classes(probabilities: np.ndarray, truth: np.ndarray, names: tuple[str, ...], weights: np.ndarray) -> Scores:
    classes = len(names)
    tables = _confusions(truth, probabilities.argmax(axis=1), classes, weights)
    tables[weights.sum(axis=1) == 0] = np.nan  # samples of rows without a known base
    scores = {name: score(tables) for name, score in _FROM_CONFUSION.items()}
    if classes == 2:
        return scores | _of_ranking(probabilities[:, 1], truth == 1, weights)
    ranked = [_of_ranking(probabilities[:, c], truth == c, weights) for c in range(classes)]
    scores |= {name: _mean([one[name] for one in ranked]) for name in ("auroc", "auprc")}
    f1 = _f1_of_classes(tables)
    for c, name in enumerate(names):
        scores |= {f"f1[{name}]": f1[:, c], f"auprc[{name}]": ranked[c]["auprc"]}
    return scores


def _of_ranking(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> Scores:
    """Compute AUROC and average precision of each sample; equal scores count as one threshold."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.concatenate([[0], np.nonzero(np.diff(ranked))[0] + 1])
    drawn = weights[:, order]
    is_positive = positive[order]
    above = np.add.reduceat(drawn * is_positive, starts, axis=1)  # (samples, distinct scores)
    below = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
    true, false = np.cumsum(above, axis=1), np.cumsum(below, axis=1)
    positives, negatives = true[:, -1], false[:, -1]
    beaten = (above * (negatives[:, None] - false + below / 2)).sum(axis=1)
    precise = (above * _ratio(true, true + false)).sum(axis=1)
    return {
        "auroc": _ratio(beaten, positives * negatives, np.nan),
        "auprc": np.where(negatives > 0, _ratio(precise, positives, np.nan), np.nan),
    }


def _of_numbers(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray) -> Scores:
    rows = weights.sum(axis=1)
    squared = weights @ (predicted - true) ** 2
    ranks = _correlation(_ranks(predicted, weights), _ranks(true, weights), weights)
    # numbers far from 0 lose none of their digits
    predicted, true = predicted - predicted.mean(), true - true.mean()
    total = weights @ true**2
    spread = total - (weights @ true) ** 2 / rows
    spread[spread < ROUNDING * total] = 0  # samples of one number
    return {
        "pearson": _correlation(predicted[None], true[None], weights),
        "spearman": ranks,
        "r2": 1 - _ratio(squared, spread, np.nan),
        "mse": squared / rows,
    }


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank the rows of each sample, equal ones in the middle; shape (samples, rows)."""
    _, group = np.unique(values, return_inverse=True)
    counts = weights @ scipy.sparse.csr_array((np.ones(len(group)), (np.arange(len(group)), group)))
    last = np.cumsum(counts, axis=1)
    return (last - (counts - 1) / 2)[:, group]


def _correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows = weights.sum(axis=1)
    mean_one, mean_other = (weights * one).sum(axis=1) / rows, (weights * other).sum(axis=1) / rows
    one, other = one - mean_one[:, None], other - mean_other[:, None]
    together = (weights * one * other).sum(axis=1)
    spread = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    return _ratio(together, spread, np.nan)


# Each takes confusion matrices (samples, true, predicted) and returns (samples,): a thousand resamples in one go.


def _confusions(true: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    cells = true * classes + predicted
    member = scipy.sparse.csr_array((np.ones(len(cells)), (np.arange(len(cells)), cells)), (len(cells), classes**2))
    return np.asarray(weights @ member).reshape(len(weights), classes, classes)


def _ratio(above: np.ndarray, below: np.ndarray, undefined: float = 0.0) -> np.ndarray:
    shape = np.broadcast(above, below).shape
    return np.divide(above, below, out=np.full(shape, undefined), where=below != 0)


def _right(tables: np.ndarray) -> np.ndarray:
    return np.diagonal(tables, axis1=1, axis2=2)


def _accuracy(tables: np.ndarray) -> np.ndarray:
    return _right(tables).sum(axis=1) / tables.sum(axis=(1, 2))


def _precision(tables: np.ndarray) -> np.ndarray:
    return _ratio(_right(tables), tables.sum(axis=1)).mean(axis=1)


def _recall(tables: np.ndarray) -> np.ndarray:
    return _ratio(_right(tables), tables.sum(axis=2)).mean(axis=1)


def _f1_of_classes(tables: np.ndarray) -> np.ndarray:
    return _ratio(2 * _right(tables), tables.sum(axis=1) + tables.sum(axis=2))


def _f1(tables: np.ndarray) -> np.ndarray:
    return _f1_of_classes(tables).mean(axis=1)


def _mcc(tables: np.ndarray) -> np.ndarray:
    """Gorodkin's correlation of K classes (2004, doi 10.1016/j.compbiolchem.2004.09.006); Matthews' for two."""
    total, right = tables.sum(axis=(1, 2)), _right(tables).sum(axis=1)
    true, predicted = tables.sum(axis=2), tables.sum(axis=1)
    above = right * total - (true * predicted).sum(axis=1)
    below = np.sqrt(total**2 - (predicted**2).sum(axis=1)) * np.sqrt(total**2 - (true**2).sum(axis=1))
    return _ratio(above, below)


_FROM_CONFUSION = {"accuracy": _accuracy, "precision": _precision, "recall": _recall, "f1": _f1, "mcc": _mcc}
