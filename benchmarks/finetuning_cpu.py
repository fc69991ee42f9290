"""Fine-tuning on a CPU beside transformers' Trainer: seconds and test MCC at the same data, epochs and rate.

python -m benchmarks.finetuning_cpu --data FOLDER [--model MODEL]

FOLDER holds train, dev and test tables. transformers' way: float32, batches padded to their longest, dev evaluated and
the checkpoint kept at each epoch, the best by dev MCC loaded at the end; the package does the same.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
import transformers
import typer
from sklearn.metrics import matthews_corrcoef

import dnabert
from benchmarks.inputs import padded, random_model, unpacked
from benchmarks.record import record
from benchmarks.training import Items
from dnabert.model import checkpoint
from dnabert.model.packing import pack_rows
from dnabert.sequence import tables
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


def theirs(model: Path, data: Path, settings: dict[str, Any], folder: Path) -> dict[str, float]:
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
            use_cpu=True,
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


def ours(model: Path, data: Path, settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """Train as `dnabert finetune` does."""
    result = dnabert.finetune(data, model, folder, features="cls", dropout=DROPOUT, **settings)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    seconds = next(entry["train_runtime"] for entry in log if "train_runtime" in entry)
    assert result.test is not None
    return {"seconds": seconds, "test MCC": result.test.metrics["mcc"].value}


def shortened(data: Path, rows: int, folder: Path) -> Path:
    """Write the first rows of each table of a folder into another."""
    for name, part in zip(splits.NAMES, splits.read_folder(data, None), strict=True):
        assert part is not None
        assert part.labels is not None
        columns = pa.table({"sequence": part.sequences[:rows], "label": part.labels[:rows]})
        tables.write(columns, folder / f"{name}.csv")
    return folder


def main(
    model: Annotated[Path | None, typer.Option(help="Pre-trained model; without, random weights of --preset.")] = None,
    data: Annotated[Path, typer.Option(help="Folder with train, dev and test tables.")] = Path("data"),
    preset: Annotated[str, typer.Option(help="Size of random weights.")] = "mini",
    epochs: Annotated[int, typer.Option(help="Epochs of each way.")] = 3,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of each way.")] = 2.7e-4,
    seeds: Annotated[int, typer.Option(help="Runs of each way, in turns.")] = 3,
    rows: Annotated[int | None, typer.Option(help="Take the first rows of each table only, to save time.")] = None,
) -> None:
    """Train each way in turns, seed by seed."""
    transformers.utils.logging.set_verbosity_error()
    name = f"finetuning_cpu_{preset}" if model is None else "finetuning_cpu"
    runs: dict[str, list[dict[str, float]]] = {"dnabert": [], "transformers": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = data if rows is None else shortened(data, rows, folder / "data")
        if model is None:
            model = random_model(preset, "masked-lm", folder / f"random {preset}")
        trained = splits.read_folder(source, None).train.rows
        for seed in range(seeds):
            settings = {"epochs": epochs, "batch_size": 32, "learning_rate": learning_rate, "seed": seed}
            for way, train in (("dnabert", ours), ("transformers", theirs)):
                runs[way].append(train(model, source, settings, folder / "run"))
                shutil.rmtree(folder / "run")
    seconds = {way: float(np.median([one["seconds"] for one in ones])) for way, ones in runs.items()}
    mccs = {way: round(float(np.mean([one["test MCC"] for one in ones])), 3) for way, ones in runs.items()}
    record(
        name,
        {
            "model": model.name,
            "data": data.name,
            "training rows": trained,
            "epochs": epochs,
            "seconds, median": {way: round(value, 1) for way, value in seconds.items()},
            "ratio": round(seconds["transformers"] / seconds["dnabert"], 2),
            "test MCC, mean": mccs,
            "runs": runs,
        },
    )


if __name__ == "__main__":
    typer.run(main)
