"""Classes of sequences."""

import os
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from dnabert.errors import InputError
from dnabert.inference import engine
from dnabert.inference.engine import Engine, Sequences, as_table, run
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import describe
from dnabert.model.packing import PackedBatch
from dnabert.progress import say
from dnabert.sequence import tables


class Predictions(NamedTuple):
    """What a classifier says.

    Attributes
    ----------
    probabilities : np.ndarray, float32, shape (sequences, classes)
    logits : np.ndarray, float32, shape (sequences, classes)
    labels : tuple of str, length classes
        The classes, in the order of the columns.
    """

    probabilities: np.ndarray
    logits: np.ndarray
    labels: tuple[str, ...]


def predict(started: Engine, sequences: Sequences, batch_tokens: int | None = None) -> Predictions:
    """Predict the class of each sequence.

    Parameters
    ----------
    started : Engine
        With a fine-tuned classifier.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    batch_tokens : int, optional
        Tokens computed at a time. Results do not depend on it beyond rounding.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        If the model is no classifier, or a sequence is too short, too long or no DNA.
    """
    if started.checkpoint.task != "classification":
        raise InputError(
            "predictions need a classifier, this model is pre-trained only; run 'dnabert finetune' on it first"
        )
    logits = run(started, as_table(sequences), logits_of, batch_tokens)
    logits = logits.reshape(len(logits), len(started.checkpoint.labels))
    return Predictions(softmax(logits), logits, started.checkpoint.labels)


def logits_of(checkpoint: Checkpoint, batch: PackedBatch) -> torch.Tensor:
    """Compute the logits of a batch, shape (sequences, classes), for `engine.run`."""
    logits: torch.Tensor = checkpoint.model(*batch).logits
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def predict_file(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_tokens: int | None = None,
) -> dict[str, int]:
    """Predict the class of each sequence in a file and write a table.

    Parameters
    ----------
    model : path
        A fine-tuned model directory.
    data : path
        Table or FASTA file, as in `dnabert.sequence.tables.read`. Labels are not needed.
    out : path
        `.tsv`, `.csv` or `.parquet`: the input's columns in its order (the sequence only where nothing else names a
        row), then `prediction` and one `probability_CLASS` a class.
    genome : path, optional
        FASTA file that intervals refer to.
    device, precision : str
        As in `dnabert.load`.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    dict of str to int
        Sequences of each predicted class.

    Raises
    ------
    InputError
        If the model or a file is not as required.
    """
    tables.check_output(out)
    started = engine.start(model, device, precision)
    table = tables.read(data, genome=genome)
    result = predict(started, table, batch_tokens)
    choice = result.probabilities.argmax(axis=1)
    columns = table.columns
    if not columns.num_columns:
        columns = pa.table({"sequence": table.sequences})
    if table.labels is not None:
        columns = columns.append_column("label", table.labels)
    columns = columns.append_column("prediction", pa.array(result.labels).take(pa.array(choice)))
    for label, probabilities in zip(result.labels, result.probabilities.T, strict=True):
        columns = columns.append_column(f"probability_{label}", pa.array(probabilities))
    tables.write(columns, out)
    say(f"Predicted {table.rows:,} sequences on {describe(started.device, started.precision)}")
    return dict(zip(result.labels, np.bincount(choice, minlength=len(result.labels)).tolist(), strict=True))
