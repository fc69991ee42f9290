"""Evaluation of a finished model."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import special

from dnabert.errors import InputError
from dnabert.files import check_not_input, replacing
from dnabert.inference.predict import Predictor, predict, start
from dnabert.model.checkpoint import in_full
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.annotate import check_annotation, label_bases
from dnabert.sequence.tables import Table
from dnabert.training import metrics, splits, targets
from dnabert.training.data import as_list, resolved
from dnabert.training.metrics import Evaluation, as_json
from dnabert.training.targets import Task


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    genome: str | os.PathLike[str] | None = None,
    length: int | None = None,
    labels: str | os.PathLike[str] | None = None,
    label: str | Sequence[str] = (),
    annotation: str | os.PathLike[str] | None = None,
    strand: str | None = None,
    scan: str | None = None,
    window: int | None = None,
    step: int | None = None,
    dev: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_tokens: int | None = None,
) -> Evaluation:
    """Compare a model's predictions with known labels.

    Parameters
    ----------
    model : path
        The directory of a fine-tuned model or a baseline.
    data : path or sequence of paths
        A labelled table, a FASTA file with `labels`, one FASTA file a class, or a folder: its `test` file.
    out : path, optional
        JSON file to write: the metrics, the `threshold`, and the `settings` that they came of.
    genome, labels : path, optional
    length : int, optional
        As in `dnabert.sequence.tables.read`.
    label : str or sequence of str
        The columns of labels; by default those the model was trained on.
    annotation : path, optional
        As in `dnabert.training.finetune.finetune`.
    strand, scan, window, step : optional
        As in `dnabert.inference.predict.predict`.
    dev : path, optional
        Labelled table on which the threshold of the second class's probability is chosen, by MCC, for a model of two
        classes; 0.5 without it.
    device, precision : str
        As in `dnabert.load`.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If the model or the data is not as required, or a label is none of the model's classes.
    """
    if out is not None:
        check_not_input(out, *as_list(data), genome, labels, annotation, dev)
    started = start(model, device, precision)
    if started.task == "masked-lm":
        raise InputError(f"{model}: a fine-tuned model is required, this one is pre-trained only; run dnabert finetune")
    if annotation is not None and genome is not None:
        check_annotation(annotation, genome)
    table = _labelled(data, genome, length, labels)
    table = table if annotation is None else label_bases(table, annotation)
    columns = _label_columns(tuple(as_list(label)), started) or started.columns
    truth = targets.truth(table, Task(started.task, started.labels, columns))
    outputs = predict(started, table, batch_tokens, strand, scan, window, step).outputs
    threshold = None
    if dev is not None:
        if started.task != "classification" or len(started.labels) != 2:
            raise InputError("--dev chooses the threshold of a model of two classes, which this is not; leave it out")
        held = tables.read(dev, genome=genome, length=length)
        known = predict(started, held, batch_tokens, strand, scan, window, step).outputs
        threshold = best_threshold(known[:, 1], targets.truth(held, Task(started.task, started.labels, columns)).values)
        say(f"The threshold of '{started.labels[1]}' with the best MCC on {held.path}: {threshold:.4f}")
        outputs = moved(outputs, threshold)
    result = metrics.evaluate(outputs, truth)
    if out is not None:
        settings = {
            "model": in_full(model),
            "data": [resolved(path) for path in as_list(data)],
            "dev": resolved(dev),
            "genome": resolved(genome),
            "labels": resolved(labels),
            "annotation": resolved(annotation),
            "label": list(columns),
            "length": length,
            "strand": strand or started.strand,
            "scan": scan,
            "window": window,
            "step": step,
            "place": started.place,
        }
        with replacing(out) as temporary:
            content = as_json(result) | {"threshold": threshold, "settings": settings}
            temporary.write_text(json.dumps(content, indent=2) + "\n")
    say(f"Evaluated {table.rows:,} sequences on {started.place}")
    return result


def _label_columns(given: tuple[str, ...], started: Predictor) -> tuple[str, ...]:
    """Check the columns that the user named against the model's outputs; put those that it knows in its order."""
    several = started.task in ("multilabel", "regression")
    required = len(started.labels) if several else 1
    if given and (len(set(given)) < len(given) or len(given) != required):
        known = f" ({', '.join(started.labels)})" if several else ""
        raise InputError(
            f"--label {' --label '.join(given)}: {required} different column{'s are' if required > 1 else ' is'} "
            f"required, what this model predicts{known}"
        )
    return started.labels if several and set(given) == set(started.labels) else given


def best_threshold(probability: np.ndarray, positive: np.ndarray) -> float:
    """Find the threshold of a probability, in the middle between two of its values, that gives the highest MCC.

    Parameters
    ----------
    probability : np.ndarray, float, shape (rows,)
    positive : np.ndarray, 0 or 1, shape (rows,)

    Returns
    -------
    float
        0.5 where none is better than another.
    """
    order = np.argsort(-probability, kind="stable")
    values = probability[order].astype(np.float64)
    true = np.cumsum(positive[order])[:-1].astype(np.float64)  # with the first 1, 2, ... rows called positive
    called = np.arange(1, len(order))
    positives, rows = float(positive.sum()), len(order)
    above = true * rows - called * positives
    below = np.sqrt(called * (rows - called) * positives * (rows - positives))
    scores = np.divide(above, below, out=np.zeros(len(called)), where=below > 0)
    scores[values[:-1] == values[1:]] = -np.inf  # equal values cannot be parted
    if not len(scores) or scores.max() <= 0:
        return 0.5
    at = int(scores.argmax())
    return float((values[at] + values[at + 1]) / 2)


def moved(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Move probabilities of two classes, in the same order, so that 0.5 stands where the threshold was."""
    with np.errstate(divide="ignore"):
        odds = special.logit(probabilities[:, 1].astype(np.float64)) - special.logit(threshold)
    second = special.expit(odds)
    return np.stack([1 - second, second], axis=1)


def _labelled(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    genome: str | os.PathLike[str] | None,
    length: int | None,
    labels: str | os.PathLike[str] | None,
) -> Table:
    paths = as_list(data)
    folder = Path(paths[0])
    if len(paths) > 1 or not folder.is_dir():
        return tables.read(paths, genome=genome, labels=labels, length=length)
    path = splits.find_file(folder, "test")
    if path is None:
        raise InputError(f"{folder}: the folder has no test file; name a labelled file")
    return tables.read(path, genome=genome, labels=labels, length=length)
