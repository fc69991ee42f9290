"""Fine-tuning on a CPU beside transformers' Trainer: seconds and test MCC at the same data, epochs and rate.

python -m benchmarks.finetuning_cpu --data FOLDER [--model MODEL]

FOLDER holds train, dev and test tables.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import torch
import transformers
import typer

from benchmarks.finetuning import ours, theirs
from benchmarks.inputs import random_model
from benchmarks.record import record
from dnabert.sequence import tables
from dnabert.training import splits


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
                runs[way].append(train(model, source, settings, folder / "run", torch.device("cpu")))
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
