"""Fine-tuning with the package beside transformers' Trainer; the scripts choose data, sizes and devices.

Both ways evaluate dev and keep the checkpoint at each epoch, and load the one with the best MCC on dev at the end.
transformers' way: batches padded to their longest, in float32 unless said.
"""

import contextlib
import io
import json
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sklearn.metrics import matthews_corrcoef

import dnabert
from benchmarks.inputs import padded, unpacked
from benchmarks.training import Items
from dnabert.model import checkpoint
from dnabert.model.packing import pack_rows
from dnabert.sequence.tables import Table
from dnabert.training import splits, targets
from dnabert.training.targets import Task

DROPOUT = 0.1


def items(table: Table, task: Task, k: int) -> Items:
    """Tokenise a table into transformers' items."""
    batch = pack_rows(table, np.arange(table.rows), k)
    truth = targets.truth(table, task).values
    ids = unpacked(batch.input_ids, batch)
    return Items([{"input_ids": one, "labels": int(label)} for one, label in zip(ids, truth, strict=True)])


def collate(parts: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad sequences; labels are one a sequence."""
    return padded([part["input_ids"] for part in parts]) | {"labels": torch.tensor([part["labels"] for part in parts])}


def mcc(predictions: Any) -> dict[str, float]:
    """Matthews' coefficient of a Trainer's predictions."""
    return {"mcc": float(matthews_corrcoef(predictions.label_ids, predictions.predictions.argmax(axis=1)))}


def theirs(
    model: Path, data: Path, settings: dict[str, Any], folder: Path, device: torch.device, bf16: bool = False
) -> dict[str, float]:
    """Train with transformers' Trainer."""
    parts = splits.read_folder(data, None)
    task = targets.infer(parts.train)
    k = checkpoint.load(model).k
    torch.manual_seed(settings["seed"])
    rival = transformers.BertForSequenceClassification.from_pretrained(
        model, num_labels=len(task.names), hidden_dropout_prob=DROPOUT, attention_probs_dropout_prob=DROPOUT
    )
    trainer = transformers.Trainer(
        model=rival,
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            seed=settings["seed"],
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="mcc",
            use_cpu=device.type == "cpu",
            bf16=bf16,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=items(parts.train, task, k),
        eval_dataset=items(parts.dev, task, k),
        data_collator=collate,
        compute_metrics=mcc,
    )
    seconds = trainer.train().metrics["train_runtime"]
    assert parts.test is not None
    return {"seconds": seconds, "test MCC": mcc(trainer.predict(items(parts.test, task, k)))["mcc"]}


def ours(
    model: Path, data: Path, settings: dict[str, Any], folder: Path, device: torch.device, **changes: Any
) -> dict[str, float]:
    """Train as `dnabert finetune` does, with the head that transformers has; tokens/s are those of its log."""
    asked: dict[str, Any] = {"features": "cls", "method": "full", "dropout": DROPOUT, "device": str(device)}
    with contextlib.redirect_stderr(io.StringIO()) as said:
        result = dnabert.finetune(data, model, folder, **asked | settings | changes)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    seconds = next(entry["train_runtime"] for entry in log if "train_runtime" in entry)
    rates = [float(rate.replace(",", "")) for rate in re.findall(r"([\d,]+) tokens/s", said.getvalue())]
    assert result.test is not None
    return {
        "seconds": seconds,
        "tokens/s": statistics.median(rates[1:] or rates),  # what is compiled or recorded is so in the first steps
        "test MCC": result.test.metrics["mcc"].value,
    }
