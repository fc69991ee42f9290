"""Time and peak memory as inputs grow: number of sequences, their length, the size of a genome.

python -m benchmarks.scaling

Each point runs in a process of its own. Time should grow in proportion (with the length, attention adds to that),
memory hardly: by the input itself, not by what is made of it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.inputs import corpus, random_model, write_genome, write_sequences
from benchmarks.record import peak_memory, record
from dnabert.inference.predict import predict_file
from dnabert.sequence.genome import Genome
from dnabert.training.corpus import training_batch


def predict(folder: Path) -> float:
    """Predict a table of sequences; return the seconds."""
    predict_file(folder / "model", folder / "warm.csv", folder / "warm.parquet")
    start = time.perf_counter()
    predict_file(folder / "model", folder / "table.csv", folder / "out.parquet")
    return time.perf_counter() - start


def open_genome(folder: Path) -> float:
    """Convert a genome and draw 100 batches from it; return the seconds."""
    Genome.open(folder / "warm.fa")
    start = time.perf_counter()
    drawn = corpus(folder / "genome.fa", 4096, 100)
    for i in range(100):
        training_batch(drawn, i)
    return time.perf_counter() - start


def point(what: str, size: int, length: int) -> dict[str, float]:
    """Make the input of one point, and measure it in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "genome":
            write_genome(folder / "warm.fa", 100_000)
            write_genome(folder / "genome.fa", size)
        else:
            random_model("mini", "classification", folder / "model")
            write_sequences(folder / "warm.csv", 100, length)
            write_sequences(folder / "table.csv", size, length)
        command = [sys.executable, "-m", "benchmarks.scaling", "--point", what, name]
        environment = os.environ | {"DNABERT_CACHE": str(folder / "cache")}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(what: str, folder: Path) -> dict[str, float]:
    """Measure one point in this process."""
    seconds = open_genome(folder) if what == "genome" else predict(folder)
    return {
        "seconds": round(seconds, 2),
        "peak memory (MB)": round(peak_memory()),
    }


def main(
    scale: Annotated[float, typer.Option(help="Factor on the sizes.")] = 1.0,
) -> None:
    """Measure all points."""
    figures: dict[str, Any] = {}
    for title, what, points in (
        ("sequences of 100 bp", "rows", [(rows, 100) for rows in (5_000, 10_000, 20_000, 40_000)]),
        ("2,000 sequences, bp of each", "length", [(2_000, length) for length in (64, 128, 256, 512)]),
        ("bases of the genome", "genome", [(bases, 0) for bases in (10**7, 2 * 10**7, 4 * 10**7, 8 * 10**7)]),
    ):
        figures[title] = {}
        for size, length in points:
            size = int(size * scale)
            figures[title][f"{length if what == 'length' else size:,}"] = point(what, size, length)
    record("scaling", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--point"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
    else:
        typer.run(main)
