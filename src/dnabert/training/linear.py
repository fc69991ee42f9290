"""Linear models of any task by scikit-learn, as weights and biases of a linear layer."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from dnabert.training.items import standardise
from dnabert.training.metrics import Truth

MOST_ITERATIONS = 500
"""Weak penalties end early at these; dev judges what they found."""


class Linear(NamedTuple):
    """A linear layer: weights, shape (outputs, features), and bias, shape (outputs,), both float64."""

    weight: np.ndarray
    bias: np.ndarray


def solve(features: Any, truth: Truth, strength: float, weights: np.ndarray | None = None) -> Linear:
    """Fit a linear model: logistic regression for classes and labels, ridge regression for numbers.

    Parameters
    ----------
    features : np.ndarray or scipy.sparse.csr_array, shape (rows, features)
    truth : Truth
        Not `per-base`.
    strength : float
        Inverse strength of the L2 penalty.
    weights : np.ndarray, optional
        Of each class, or of each label's 1 against its 0, as `items.weights_of` computes them.

    Returns
    -------
    Linear
        Numbers in their units; of two classes each has half of the log-odds, with its sign.
    """
    if truth.task == "regression":
        scale = standardise(truth)
        solver = {"solver": "sparse_cg", "tol": 1e-5} if scipy.sparse.issparse(features) else {}
        ridge = Ridge(alpha=1 / strength, **solver).fit(features, (truth.values - scale.mean) / scale.deviation)
        coefficients = np.reshape(ridge.coef_, (len(truth.names), -1))
        return Linear(coefficients * scale.deviation[:, None], ridge.intercept_ * scale.deviation + scale.mean)
    if truth.task == "multilabel":
        each = [
            _logistic(features, truth.values[:, i], strength, None if weights is None else {1: float(weights[i])})
            for i in range(len(truth.names))
        ]
        return Linear(np.concatenate([one.weight for one in each]), np.concatenate([one.bias for one in each]))
    present = np.unique(truth.values)
    of_class = None if weights is None else {int(i): float(weights[i]) for i in present}
    if len(present) == 1:
        weight, bias = np.zeros((1, features.shape[1])), np.zeros(1)
    else:
        weight, bias = _logistic(features, truth.values, strength, of_class)
    if len(present) == 2:  # one logit, of the second class, shared out between the two
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    if len(present) == len(truth.names):
        return Linear(weight, bias)
    # classes that no row to train on has: as unlikely as the rows allow to say
    every = np.zeros((len(truth.names), weight.shape[1]))
    biases = np.full(len(truth.names), -math.log(len(truth.values) + 1))
    every[present], biases[present] = weight, bias
    return Linear(every, biases)


def _logistic(features: Any, values: np.ndarray, strength: float, weights: dict[int, float] | None) -> Linear:
    """Fit a logistic regression; values that are all the same need no weights, a bias is enough."""
    if (values == values[0]).all():
        bias = math.log(len(values) + 1) * (1 if values[0] else -1)
        return Linear(np.zeros((1, features.shape[1])), np.array([bias]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS, class_weight=weights)
        model.fit(features, values.astype(np.int64))
    return Linear(model.coef_, model.intercept_)
