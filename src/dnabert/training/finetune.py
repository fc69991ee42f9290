"""Fine-tuning: from labelled sequences to a classifier."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainingArguments

from dnabert import processes
from dnabert.errors import InputError
from dnabert.files import claim_folder, replacing_files
from dnabert.inference.engine import Engine, run
from dnabert.inference.predict import logits_of, softmax
from dnabert.model import checkpoint, presets
from dnabert.model.device import choose_precision, describe, within_memory
from dnabert.model.packing import pack_rows
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.tables import Table
from dnabert.training import metrics, splits
from dnabert.training.metrics import Evaluation
from dnabert.training.splits import Splits
from dnabert.training.trainer import (
    Metrics,
    PackedTrainer,
    Reporter,
    StopOnInterrupt,
    finish_run,
    start_run,
    train_to_end,
    training_arguments,
    training_device,
)

Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

WARMUP = 0.1
FEWEST_STEPS = 1500
"""Epochs are added to small sets up to this many steps: a few hundred steps leave a new head near its start, which is
how the original collapses to one class."""


class Finetuned(NamedTuple):
    """What a fine-tuning run leaves.

    Attributes
    ----------
    folder : pathlib.Path
        The model directory.
    labels : tuple of str
        The classes.
    dev, test : Evaluation or None
        Of the best checkpoint; `test` is None without test rows, both are None if the run was interrupted.
    finished : bool
        False if the user interrupted the run; it goes on with `resume`.
    """

    folder: Path
    labels: tuple[str, ...]
    dev: Evaluation | None
    test: Evaluation | None
    finished: bool


def finetune(
    data: Data,
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    split: Sequence[float] | None = None,
    from_scratch: bool = False,
    epochs: int | None = None,
    batch_size: int = 32,
    learning_rate: float | None = None,
    dropout: float = 0.1,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    log_every: int = 50,
) -> Finetuned:
    """Fine-tune a model on labelled sequences; keep the checkpoint with the best MCC on dev.

    Parameters
    ----------
    data : path or sequence of paths
        A folder with files `train`, `dev` and (optional) `test`; or with `split` one table, or one FASTA a class.
    model : path
        A pre-trained model directory.
    out : path
        The model directory to write.
    genome, labels : path, optional
        As in `dnabert.sequence.tables.read`.
    split : sequence of 3 floats, optional
        Shares of train, dev and test, drawn with the same proportions of classes.
    from_scratch : bool
        Take the shape of `model`, but none of its weights: what pre-training is worth is the difference.
    epochs : int, optional
        By default at least 3, and as many as make 1,500 steps, 30 at most.
    batch_size : int
        Sequences a step and process.
    learning_rate : float, optional
        Peak rate; by default 3e-5 for a hidden size of 768, larger for smaller models in inverse proportion to the
        square of the size.
    dropout : float
        On hidden states.
    seed : int
        Of the split, the new head, the order of rows and dropout.
    resume, overwrite, device, precision
        As in `dnabert.pretrain`.
    log_every : int
        Steps between log lines.

    Returns
    -------
    Finetuned

    Raises
    ------
    InputError
        If the data, an option, the model or the output folder is not as required.
    """
    if not overwrite and processes.is_first():
        claim_folder(out, resume=resume)  # a taken folder is refused before anything is read
    parts = read_splits(data, genome, labels, split, seed)
    classes = splits.classes_of(parts.train)
    loaded = checkpoint.load(
        model, labels=classes, seed=seed, hidden_dropout_prob=dropout, attention_probs_dropout_prob=0.0
    )
    if from_scratch:
        loaded = loaded._replace(model=presets.new_model(loaded.model.config, "classification", loaded.k, seed))
    for part in parts:
        if part is not None:  # each raises for what training would stumble over
            splits.class_codes(part, classes)
            tables.check_lengths(part, loaded.k, loaded.stride, loaded.longest)
    steps_an_epoch = math.ceil(parts.train.rows / (batch_size * processes.count()))
    settings: dict[str, Any] = {
        "data": [str(Path(path).resolve()) for path in _as_paths(data)],
        "model": str(model),
        "from_scratch": from_scratch,
        "split": None if split is None else list(split),
        "epochs": epochs or min(30, max(3, math.ceil(FEWEST_STEPS / steps_an_epoch))),
        "batch_size": batch_size,
        "learning_rate": learning_rate or 3e-5 * (768 / loaded.model.config.hidden_size) ** 2,
        "dropout": dropout,
        "seed": seed,
        "processes": processes.count(),
    }
    where = training_device(device)
    engine = Engine(loaded, where, choose_precision(precision, where))
    folder = start_run(out, settings, resume, overwrite)
    arguments = training_arguments(
        folder,
        where,
        engine.precision,
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=batch_size,
        learning_rate=settings["learning_rate"],
        warmup_steps=math.ceil(WARMUP * steps_an_epoch * settings["epochs"]),
        seed=seed,
        logging_steps=log_every,
        save_strategy="epoch",
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="mcc",
        greater_is_better=True,
    )
    stop = StopOnInterrupt()
    trainer = _trainer(engine, arguments, parts, classes, stop)
    say(
        f"Fine-tuning {'from scratch' if from_scratch else model} on {parts.train.rows:,} rows of {len(classes)} "
        f"classes ({', '.join(classes[:6])}{', …' if len(classes) > 6 else ''}), {settings['epochs']} epochs, "
        f"peak rate {settings['learning_rate']:.2g}; {describe(where, engine.precision)}"
    )
    with within_memory(
        f"{where} has no memory for --batch-size {batch_size}; give {max(batch_size // 2, 1)} and a new --out"
    ):
        completed = train_to_end(trainer, folder, stop, resume)
    if not completed:
        return Finetuned(folder, classes, None, None, finished=False)
    if not processes.is_first():
        return Finetuned(folder, classes, None, None, finished=True)
    dev = _evaluate(engine, parts.dev, classes)
    test = None if parts.test is None else _evaluate(engine, parts.test, classes)
    record = {
        "data": [_fingerprint(Path(path)) for path in settings["data"]],
        "settings": settings,
        "rows": {name: 0 if part is None else part.rows for name, part in zip(splits.NAMES, parts, strict=True)},
        "sequence_length": int(np.median(np.diff(parts.train.offsets))),
    }
    checkpoint.save(loaded, folder, record)
    write_evaluations(folder, {"dev": dev, "test": test})
    finish_run(trainer, folder)
    return Finetuned(folder, classes, dev, test, finished=True)


def _trainer(
    engine: Engine, arguments: TrainingArguments, parts: Splits, classes: Sequence[str], stop: StopOnInterrupt
) -> PackedTrainer:
    loaded = engine.checkpoint
    truth = splits.class_codes(parts.dev, classes)

    def dev_metrics(_: torch.nn.Module) -> Metrics:
        probabilities = softmax(run(engine, parts.dev, logits_of))
        accuracy = float((probabilities.argmax(axis=1) == truth).mean())
        return {"mcc": metrics.mcc(probabilities, truth), "accuracy": accuracy}

    return PackedTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=_Rows(parts.train.rows),
        eval_dataset=_Rows(parts.dev.rows),  # only named: the evaluation function holds it
        data_collator=_Packer(parts.train, splits.class_codes(parts.train, classes), loaded.k, loaded.stride),
        evaluation=dev_metrics,
        in_order=False,
        callbacks=[Reporter(lambda log: f"loss {log['loss']:.3f}", _dev_words), stop],
    )


def _evaluate(engine: Engine, part: Table, classes: tuple[str, ...]) -> Evaluation:
    return metrics.evaluate(softmax(run(engine, part, logits_of)), splits.class_codes(part, classes), classes)


def read_splits(
    data: Data,
    genome: str | os.PathLike[str] | None,
    labels: str | os.PathLike[str] | None,
    split: Sequence[float] | None,
    seed: int,
) -> Splits:
    """Read a folder of splits, or read one set and divide it.

    Raises
    ------
    InputError
        If neither is given, or both.
    """
    paths = _as_paths(data)
    if len(paths) == 1 and Path(paths[0]).is_dir():
        if split is not None:
            raise InputError(f"{paths[0]}: a folder brings its own splits; leave --split out, or name one file")
        return splits.read_folder(Path(paths[0]), genome)
    table = tables.read(paths, genome=genome, labels=labels)
    if split is None:
        raise InputError(f"{paths[0]}: one set of rows has to be divided; give --split 0.8,0.1,0.1, or a folder")
    splits.classes_of(table)
    return splits.split_rows(table, split, seed)


def write_evaluations(folder: Path, evaluations: dict[str, Evaluation | None]) -> None:
    """Write `metrics.json`: the evaluation of each part of the data."""
    with replacing_files(folder) as temporary:
        content = {name: metrics.as_json(one) for name, one in evaluations.items() if one is not None}
        (temporary / "metrics.json").write_text(json.dumps(content, indent=2) + "\n")


class _Rows(Dataset[int]):
    """Row numbers: the collator reads the rows themselves from the table's buffers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, i: int) -> int:
        return i


class _Packer:
    """Turn row numbers into a packed batch with labels, rows of like length side by side."""

    def __init__(self, table: Table, truth: np.ndarray, k: int, stride: int) -> None:
        self.table, self.truth, self.k, self.stride = table, truth, k, stride
        self.lengths = np.diff(table.offsets)

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        order = np.array(rows, dtype=np.int64)
        order = order[np.argsort(-self.lengths[order], kind="stable")]
        batch = pack_rows(self.table, order, self.k, self.stride)
        return batch._asdict() | {"labels": torch.from_numpy(self.truth[order])}


def _dev_words(entry: Metrics) -> str:
    return f"MCC {entry['mcc']:.3f}, accuracy {entry['accuracy']:.1%}"


def _as_paths(data: Data) -> list[str | os.PathLike[str]]:
    return [data] if isinstance(data, (str, os.PathLike)) else list(data)


def _fingerprint(path: Path) -> dict[str, Any]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {"path": str(path), "files": {file.name: file.stat().st_size for file in files if file.is_file()}}
