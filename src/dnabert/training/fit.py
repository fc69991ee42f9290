"""How a model that is given learns the rows that are given: one run of a fine-tuning, from its first step to disk."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dnabert import processes
from dnabert.files import replacing, replacing_files
from dnabert.inference.engine import Engine
from dnabert.inference.predict import OUTPUTS, predict
from dnabert.model import adapters, checkpoint
from dnabert.model.device import within_memory
from dnabert.model.norms import narrow
from dnabert.progress import say
from dnabert.sequence.tables import Table
from dnabert.training import frozen, metrics, splits
from dnabert.training.data import Labelled
from dnabert.training.items import Packer, Rows, Scale, calibrate, into_units, standardise
from dnabert.training.metrics import MAIN, Evaluation, Truth
from dnabert.training.trainer import (
    Metrics,
    PackedTrainer,
    Reporter,
    StopOnInterrupt,
    content_of,
    delete_checkpoints,
    train_to_end,
    training_arguments,
    write_log,
)

WARMUP = 0.1
TOKENS_AT_ONCE = {"cpu": 16_384, "cuda": 131_072}
"""Tokens of a training batch that stand in memory together; larger batches are added up from parts."""


class Run(NamedTuple):
    """What a run works on: the model on its device, the rows and what they are to be predicted as, where it goes."""

    engine: Engine
    read: Labelled
    settings: dict[str, Any]
    folder: Path


def train(run: Run, resume: bool, log_every: int, graphs: bool, share: int = 1) -> list[Metrics] | None:
    """Train to the end and return the log; None if the user interrupted it.

    Of the rows that usually stand in memory together one in `share` does; where they have no room, raises
    DeviceMemoryError.
    """
    settings, loaded, where = run.settings, run.engine.checkpoint, run.engine.device
    (rows, dev, _), (truth, of_dev, _), _ = run.read
    scale = standardise(truth) if truth.task == "regression" else None
    packer = Packer(rows, truth, loaded, settings["strand"] == "both", scale, settings["seed"])
    size = settings["batch_size"]
    at_once = max(1, TOKENS_AT_ONCE.get(where.type, TOKENS_AT_ONCE["cpu"]) // packer.longest)
    at_once = max(1, min(size, at_once) // share)
    accumulate = parts_of_a_batch(size, at_once)
    if accumulate >= 2 * math.ceil(size / at_once):
        say(
            f"Warning: {at_once} sequences of this length fit at a time, but --batch-size {size} divides into "
            f"{accumulate} parts of {size // accumulate} alone; {at_once * round(size / at_once)} would be faster"
        )
    steps = math.ceil(rows.rows / (size * processes.count())) * settings["epochs"]
    arguments = training_arguments(
        run.folder,
        where,
        run.engine.precision,
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=size // accumulate,
        gradient_accumulation_steps=accumulate,
        learning_rate=settings["learning_rate"],
        warmup_steps=math.ceil(WARMUP * steps),
        seed=settings["seed"],
        logging_steps=log_every,
        save_strategy="epoch",
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model=MAIN[truth.task],
        greater_is_better=True,
    )
    adapted = None
    if settings["method"] == "lora":
        adapted = adapters.add(loaded.model, settings["model"], settings["rank"], settings["seed"])
    narrow(loaded.model, where, run.engine.precision)
    decay = settings["layer_decay"]
    stop = StopOnInterrupt()
    trainer = PackedTrainer(
        model=adapted or loaded.model,
        args=arguments,
        train_dataset=Rows(rows.rows),
        eval_dataset=Rows(dev.rows),  # only named: the evaluation function holds it
        data_collator=packer,
        evaluation=lambda _: _on_dev(run.engine, dev, of_dev, scale),
        in_order=False,
        rate_of=None if decay == 1 else _layer_rates(loaded.model.config.num_hidden_layers, decay),
        graphs=graphs and _can_be_recorded(run, accumulate),
        callbacks=[Reporter(lambda log: f"loss {log['loss']:.3f}", _dev_words), stop],
    )
    epochs = settings["epochs"]
    say(f"{epochs} epoch{'s' * (epochs > 1)}, batches of {size}, peak rate {settings['learning_rate']:.2g}")
    with within_memory(
        f"{where} has no memory for {size // accumulate} sequences of {packer.longest} tokens at a time"
    ):
        if not train_to_end(trainer, run.folder, stop, resume):
            return None
    if scale is not None:
        head = loaded.model.classifier
        last = head.modules_to_save["default"] if adapted else head
        into_units(last, scale)
        calibrate(last, predict(run.engine, dev).outputs, of_dev)
    if adapted is not None:
        is_base = settings["keep"] == "all" and not settings["from_scratch"]  # else what they were added to is nowhere
        if is_base and processes.is_first():
            _write_adapters(run, adapted)
        adapters.merge(adapted)
    return list(trainer.state.log_history)


def _can_be_recorded(run: Run, accumulate: int) -> bool:
    """Whether steps can be CUDA graphs: on one GPU, a whole batch a step, and nothing in them waits for the GPU, as
    attention in float32 does for the lengths, and heads for the number of windows or bases."""
    one_gpu = run.engine.device.type == "cuda" and processes.count() == 1
    known = not run.settings["long"] and run.settings["task"] != "per-base"
    return one_gpu and accumulate == 1 and known and run.engine.precision == torch.bfloat16


def parts_of_a_batch(size: int, at_once: int) -> int:
    """Divide a batch into as few equal parts as are no larger than `at_once`."""
    return next(parts for parts in range(math.ceil(size / at_once), size + 1) if size % parts == 0)


def head_alone(run: Run) -> list[Metrics]:
    """Fit the head alone on the encoder as it is; return the log."""
    return frozen.fit(run.engine, run.read, run.settings["strand"] == "both")


def finish(run: Run, log: list[Metrics], seconds: float) -> dict[str, Evaluation | None]:
    """Evaluate the model, write it and what is known of it, delete the checkpoints."""
    parts, truths, _ = run.read
    evaluations = {
        name: None if part is None or truth is None else metrics.evaluate(predict(run.engine, part).outputs, truth)
        for name, part, truth in list(zip(splits.NAMES, parts, truths, strict=True))[1:]
    }
    record = {
        "data": content_of(run.folder, "data"),
        "settings": run.settings,
        "training": {"seconds": round(seconds, 3)},
        "rows": {name: 0 if part is None else part.rows for name, part in zip(splits.NAMES, parts, strict=True)},
    }
    _write_evaluations(run.folder, evaluations)
    write_log(log, run.folder)
    # last, because its record says that the run is complete
    checkpoint.save(run.engine.checkpoint, run.folder, record)
    delete_checkpoints(run.folder)
    return evaluations


def _write_adapters(run: Run, adapted: Any) -> None:
    """Write the adapters alone beside the merged model: a hundredth of its size."""
    loaded, config = run.engine.checkpoint, run.engine.checkpoint.model.config
    record = {
        "base": checkpoint.in_full(run.settings["model"]),
        "task": loaded.task,
        "labels": list(loaded.labels),
        "config": {name: getattr(config, name) for name in checkpoint.READ_BY_HEAD if hasattr(config, name)},
    }
    with replacing(run.folder / "adapter") as temporary:
        temporary.mkdir()
        adapters.write(adapted, temporary, record)


def _write_evaluations(folder: Path, evaluations: dict[str, Evaluation | None]) -> None:
    """Write `metrics.json`: the evaluation of each part of the data."""
    with replacing_files(folder) as temporary:
        content = {name: metrics.as_json(one) for name, one in evaluations.items() if one is not None}
        (temporary / "metrics.json").write_text(json.dumps(content, indent=2) + "\n")


def _on_dev(engine: Engine, dev: Table, truth: Truth, scale: Scale | None) -> Metrics:
    outputs = OUTPUTS[truth.task](predict(engine, dev).logits)
    if scale is not None:
        outputs = outputs * scale.deviation + scale.mean
    scores = metrics.values_of(outputs, truth)
    main = MAIN[truth.task]
    return {main: float(np.nan_to_num(scores[main])), _SECOND[truth.task]: scores[_SECOND[truth.task]]}


_SECOND = {"classification": "accuracy", "multilabel": "auprc", "regression": "r2", "per-base": "accuracy"}


def _layer_rates(layers: int, decay: float) -> Callable[[str], float]:

    def rate_of(name: str) -> float:
        if ".encoder.layer." in name:
            return decay ** (layers - int(name.split(".encoder.layer.")[1].split(".")[0]))
        return decay ** (layers + 1) if ".embeddings." in name else 1.0

    return rate_of


def _dev_words(entry: Metrics) -> str:
    shown = ((name.upper() if name in ("mcc", "auroc", "auprc") else name, value) for name, value in entry.items())
    return ", ".join(f"{name} {value:.3f}" for name, value in shown)
