"""Evaluation of a finished model."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from dnabert.errors import InputError
from dnabert.files import replacing
from dnabert.inference.predict import predict, start
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.tables import Table
from dnabert.training import metrics, splits, targets
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
    label: Sequence[str] = (),
    strand: str | None = None,
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
        JSON file to write.
    genome, labels : path, optional
    length : int, optional
        As in `dnabert.sequence.tables.read`.
    label : sequence of str
        The columns of labels; by default those the model was trained on.
    strand : str, optional
        As in `dnabert.inference.predict.predict`.
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
    started = start(model, device, precision)
    if started.task == "masked-lm":
        raise InputError(f"{model}: a fine-tuned model is required, this one is pre-trained only; run dnabert finetune")
    table = _labelled(data, genome, length, labels)
    columns = tuple(label) or started.columns
    truth = targets.truth(table, Task(started.task, started.labels, columns))
    result = metrics.evaluate(predict(started, table, batch_tokens, strand).outputs, truth)
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(as_json(result), indent=2) + "\n")
    say(f"Evaluated {table.rows:,} sequences on {started.place}")
    return result


def _labelled(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    genome: str | os.PathLike[str] | None,
    length: int | None,
    labels: str | os.PathLike[str] | None,
) -> Table:
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    folder = Path(paths[0])
    if len(paths) > 1 or not folder.is_dir():
        return tables.read(paths, genome=genome, labels=labels, length=length)
    path = splits.find_file(folder, "test")
    if path is None:
        raise InputError(f"{folder}: the folder has no test file; name a labelled file")
    return tables.read(path, genome=genome, labels=labels, length=length)
