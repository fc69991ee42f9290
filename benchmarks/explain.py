"""Attention for many sequences: peak memory, and seconds against prediction alone.

    python -m benchmarks.explain

Scores go to a file mapped into memory, as in `dnabert explain`. The original keeps sequences x heads x tokens x tokens
in float64.
"""

import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.inputs import K, random_model, random_table
from benchmarks.record import RESULTS, interleaved, peak_memory, rate, record
from dnabert.inference import engine
from dnabert.inference.attention import attention
from dnabert.inference.predict import predict

HEADS = 12


def main(
    preset: Annotated[str, typer.Option(help="Size of the model.")] = "base",
    sequences: Annotated[int, typer.Option(help="Sequences.")] = 10_000,
    bases: Annotated[int, typer.Option(help="Bases of each.")] = 300,
    timed: Annotated[int, typer.Option(help="Sequences of the timed turns.")] = 512,
    features: Annotated[str, typer.Option(help="What the head reads: mean or cls.")] = "mean",
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Time prediction and attention in turns on some sequences, then compute attention for all."""
    tokens = bases - K + 3
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(preset, "classification", Path(folder) / "model", features=features)
        started = engine.start(model, device, precision)
        some = random_table([tokens] * timed)
        ways: dict[str, Callable[[], object]] = {
            "prediction": partial(predict, started, some),
            "attention, last layer": partial(attention, started, some, layers=(-1,)),
            "attention, all layers": partial(attention, started, some, layers="all"),
            "rollout": partial(attention, started, some, rollout=True),
        }
        seconds = interleaved(ways, repeats)
        alone = np.median(seconds["prediction"])
        figures: dict[str, object] = {
            name: {
                "sequences/s": rate(timed, times),
                "times prediction": round(float(np.median(times) / alone), 3),
            }
            for name, times in seconds.items()
        }
        many = random_table([tokens] * sequences)
        before = peak_memory()
        out = np.lib.format.open_memmap(
            Path(folder) / "scores.npy", mode="w+", dtype=np.float32, shape=(sequences, bases)
        )
        attention(started, many, out=out)
        figures[f"{sequences:,} sequences of {bases} bp"] = {
            "peak memory of the process before (MB)": round(before),
            "peak memory of the process after (MB)": round(peak_memory()),
            "scores on disk (MB)": round(out.nbytes / 1e6, 1),
            "the original's array, computed (MB)": round(sequences * HEADS * tokens**2 * 8 / 1e6),
            "processor time (s)": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime),
        }
    facts = {"preset": preset, "features": features, "device": str(started.device), "precision": str(started.precision)}
    record(f"explain_{preset}_{features}", facts | figures, folder=results)


if __name__ == "__main__":
    typer.run(main)
