"""The networks of `--baselines` on rows of one length, with CUDA graphs and without."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.finetuning import LENGTH, written
from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.record import record, write
from dnabert.model import baselines
from dnabert.training import splits, targets
from dnabert.training.baselines import train
from dnabert.training.data import labelled

WAYS = {"graphs": True, "without graphs": False}


def main(out: Out, smoke: Smoke = False) -> None:
    """Train each network in turns."""
    where = device(smoke)
    rows, passes, turns, names = (40, 1, 1, ["basset"]) if smoke else (2000, 20, 3, baselines.NETWORKS)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        parts = splits.read_folder(written(Path(folder), rows))
    read = labelled(parts, targets.infer(parts.train))
    for name in names:
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for seed in range(turns):
            for way, graphs in WAYS.items():
                start = time.perf_counter()
                found = train(name, read, seed=seed, device=where, passes=passes, graphs=graphs).record
                if seed or smoke:  # in the first turn libraries are loaded
                    runs[way].append(found | {"seconds": round(time.perf_counter() - start, 3)})
        seconds = {way: statistics.median(one["seconds"] for one in ones) for way, ones in runs.items()}
        figures[name] = {
            "rows": parts.train.rows,
            "bases": LENGTH,
            "passes": passes,
            "seconds, median": seconds,
            "ratio": round(seconds["without graphs"] / seconds["graphs"], 2),
            "runs": runs,
        }
        write("gpu_networks", figures, out)
    record("gpu_networks", figures, out)
    for name, one in figures.items():
        for recorded, plain in zip(*one["runs"].values(), strict=True):
            same = abs(recorded["loss"] - plain["loss"]) < 0.1 * plain["loss"] + 0.01
            assert same, f"{name}: steps that are replayed learn something else"
            tried = recorded["learning_rate"] == plain["learning_rate"]
            assert tried, f"{name}: one way was begun anew with another rate, so that seconds do not compare"


if __name__ == "__main__":
    run(main)
