"""Time and peak memory as inputs grow: number of sequences, their length, the size of a genome.

python -m benchmarks.scaling

Each point runs in a process of its own. Time should grow in proportion (with the length, attention adds to that),
memory hardly: by the input itself, not by what is made of it.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.record import record

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def write_sequences(path: Path, rows: int, length: int) -> None:
    """Write a table of random sequences."""
    letters = LETTERS[np.random.default_rng(0).integers(0, 4, (rows, length))]
    with path.open("wb") as out:
        out.write(b"sequence\n")
        out.writelines(row.tobytes() + b"\n" for row in letters)


def write_genome(path: Path, bases: int) -> None:
    """Write a random genome."""
    letters = LETTERS[np.random.default_rng(0).integers(0, 4, bases // 100 * 100)].reshape(-1, 100)
    with path.open("wb") as out:
        out.write(b">contig\n")
        out.writelines(row.tobytes() + b"\n" for row in letters)


def predict(folder: Path, rows: int, length: int) -> float:
    """Predict a table of sequences with `mini`; return the seconds."""
    from benchmarks.inference import random_classifier
    from dnabert.inference.predict import predict_file

    model = random_classifier("mini", folder / "model")
    write_sequences(folder / "warm.csv", 100, length)
    predict_file(model, folder / "warm.csv", folder / "warm.parquet")
    write_sequences(folder / "table.csv", rows, length)
    start = time.perf_counter()
    predict_file(model, folder / "table.csv", folder / "out.parquet")
    return time.perf_counter() - start


def open_genome(folder: Path, bases: int) -> float:
    """Convert a genome and draw 100 batches from it; return the seconds."""
    from benchmarks.training import K
    from dnabert.sequence.genome import Genome
    from dnabert.training import masking
    from dnabert.training.corpus import Corpus, training_batch
    from dnabert.training.regions import region_bounds, split_regions

    write_genome(folder / "warm.fa", 100_000)
    Genome.open(folder / "warm.fa")
    write_genome(folder / "genome.fa", bases)
    start = time.perf_counter()
    genomes = (Genome.open(folder / "genome.fa"),)
    train, _ = split_regions(genomes, (), K)
    bounds = region_bounds(genomes, train, None)
    corpus = Corpus(genomes, train, bounds, K, masking.policy("dnabert"), 0, 4096, 510, 100)
    for i in range(100):
        training_batch(corpus, i)
    return time.perf_counter() - start


def point(what: str, size: int, length: int) -> dict[str, float]:
    """Measure one point in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = open_genome(folder, size) if what == "genome" else predict(folder, size, length)
    return {
        "seconds": round(seconds, 2),
        "peak memory (MB)": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
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
            command = [sys.executable, "-m", "benchmarks.scaling", "--point", f"{what},{size},{length}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[title][f"{length if what == 'length' else size:,}"] = json.loads(done.stdout)
    record("scaling", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--point"]:
        what, size, length = sys.argv[2].split(",")
        print(json.dumps(point(what, int(size), int(length))))
    else:
        typer.run(main)
