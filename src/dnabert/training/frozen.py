"""The cheapest fine-tuning: the encoder as it is, and a linear model on its vectors by scikit-learn."""

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from dnabert.inference.engine import Engine, run
from dnabert.inference.predict import OUTPUTS, as_read, batch_vectors
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import Windows
from dnabert.training import linear, metrics
from dnabert.training.data import Labelled
from dnabert.training.items import calibrate
from dnabert.training.linear import Linear
from dnabert.training.metrics import MAIN
from dnabert.training.trainer import Metrics

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty that are tried; dev chooses."""


def fit(engine: Engine, read: Labelled, both: bool) -> list[Metrics]:
    """Fit a linear head on the vectors of a frozen encoder and put it into the model.

    Parameters
    ----------
    engine : Engine
        With a model whose configuration says `features: layers` or `mean`.
    read : Labelled
        Rows whose task is not `per-base`; those of test are not looked at.
    both : bool
        Learn from both strands, and choose by the mean of both.

    Returns
    -------
    list of dict
        The main metric on dev for each strength of the penalty.
    """
    task, (of_train, of_dev, _) = read.task.kind, read.truths
    strands = [
        [vectors(engine, table) for table in ((part, tables.reverse_complemented(part)) if both else (part,))]
        for part in (read.parts.train, read.parts.dev)
    ]
    scaler = StandardScaler().fit(np.concatenate(strands[0]))
    features = np.concatenate([scaler.transform(one) for one in strands[0]])
    truth = of_train._replace(values=np.concatenate([of_train.values] * len(strands[0])))
    given = engine.checkpoint.model.class_weights
    weights = None if given is None else given.cpu().numpy()
    log: list[Metrics] = []
    best: Linear | None = None
    for strength in STRENGTHS:
        fitted = _into_raw(linear.solve(features, truth, strength, weights), scaler)
        logits = np.mean([one @ fitted.weight.T + fitted.bias for one in strands[1]], axis=0)
        score = float(np.nan_to_num(metrics.values_of(OUTPUTS[task](logits), of_dev)[MAIN[task]]))
        say(f"penalty 1/{strength:g} · held out: {MAIN[task]} {score:.3f}")
        if best is None or score > max(entry[f"eval_{MAIN[task]}"] for entry in log):
            best, outputs = fitted, OUTPUTS[task](logits)
        log.append({"strength": strength, f"eval_{MAIN[task]}": score})
    assert best is not None
    layer = engine.checkpoint.model.classifier
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(best.weight))
        layer.bias.copy_(torch.from_numpy(best.bias))
    if task == "regression":
        calibrate(layer, outputs, of_dev)
    return log


def vectors(engine: Engine, table: Table) -> np.ndarray:
    """Compute the vector of each row, float32, shape (rows, features): the mean over its windows."""
    read = as_read(engine.checkpoint, table)
    found = run(engine, read, batch_vectors, description="Embedding")
    if not isinstance(read, Windows):
        return found
    counts = read.counts  # every row has a window, and a row's windows stand together
    return np.add.reduceat(found, np.cumsum(counts) - counts) / counts[:, None].astype(np.float32)


def _into_raw(fitted: Linear, scaler: StandardScaler) -> Linear:
    """Fold the standardisation of features into the layer."""
    weight = fitted.weight / scaler.scale_
    return Linear(weight, fitted.bias - weight @ scaler.mean_)
