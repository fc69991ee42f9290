"""Fine-tuning on rows of one length, with CUDA graphs and without, beside transformers' Trainer in bfloat16."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.finetuning import ours, theirs
from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.inputs import random_model
from benchmarks.record import record, write
from dnabert.sequence import simulate, tables
from dnabert.training import splits
from dnabert.training.trainer import LOG

LENGTH = 70
DIFFERENCE = "largest difference of a loss, with and without graphs"


def written(folder: Path, rows: int) -> Path:
    """Write a simulated task, cut to `LENGTH` bases around the motifs, with no more than `rows` rows a part."""
    simulate.simulate(folder / "simulated")
    start = simulate.TSS - LENGTH + 10
    for name, part in zip(splits.NAMES, splits.read_folder(folder / "simulated" / "core_promoter"), strict=True):
        assert part is not None
        assert part.labels is not None
        sequences = [one[start : start + LENGTH] for one in part.sequences[:rows].to_pylist()]
        table = pa.table({"sequence": sequences, "label": part.labels[:rows]})
        (folder / "data").mkdir(exist_ok=True)
        tables.write(table, folder / "data" / f"{name}.csv")
    return folder / "data"


def largest(folder: Path, preset: str) -> float:
    """Compare the losses that the first run of each way logged."""
    logs = (
        (folder / f"{preset} {way} 0" / LOG).read_text().splitlines() for way in ("dnabert", "dnabert without graphs")
    )
    ours, others = ([entry["loss"] for line in log if "loss" in (entry := json.loads(line))] for log in logs)
    return float(np.abs(np.subtract(ours, others)).max())


def main(out: Out, smoke: Smoke = False) -> None:
    """Time each way in turns, for a small and a large model."""
    where = device(smoke)
    rows, epochs, turns, sizes = (40, 1, 1, ["mini"]) if smoke else (2000, 2, 3, ["mini", "base"])
    every = {"log_every": 5 if smoke else 50}
    ways: dict[str, tuple[Callable[..., dict[str, float]], dict[str, Any]]] = {
        "dnabert": (ours, every),
        "dnabert without graphs": (ours, every | {"graphs": False}),
        "transformers": (theirs, {"bf16": where.type == "cuda"}),
    }
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = written(folder, rows)
        trained = splits.read_folder(data).train.rows
        for preset in sizes:
            model = random_model(preset, "masked-lm", folder / preset)
            runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for seed in range(turns):
                settings = {"epochs": epochs, "batch_size": 32 if rows > 40 else 8, "learning_rate": 5e-5, "seed": seed}
                for way, (train, options) in ways.items():
                    place = folder / f"{preset} {way} {seed}"
                    found = train(model, data, settings, place, where, **options)
                    if seed or smoke:  # in the first turn libraries are loaded
                        runs[way].append(found)
            seconds = {way: float(np.median([one["seconds"] for one in ones])) for way, ones in runs.items()}
            figures[preset] = {
                "rows": trained,
                "bases": LENGTH,
                "epochs": epochs,
                "seconds, median": {way: round(value, 2) for way, value in seconds.items()},
                "tokens/s, median, evaluation left out": {
                    way: float(np.median([one["tokens/s"] for one in ones]))
                    for way, ones in runs.items()
                    if "tokens/s" in ones[0]
                },
                "ratio of seconds": {way: round(value / seconds["dnabert"], 2) for way, value in seconds.items()},
                DIFFERENCE: largest(folder, preset),
                "runs": runs,
            }
            write("gpu_finetuning", figures, out)
    record("gpu_finetuning", figures, out)
    for preset, one in figures.items():
        assert one[DIFFERENCE] < 0.01, f"{preset}: steps that are replayed learn something else"


if __name__ == "__main__":
    run(main)
