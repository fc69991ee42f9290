"""Tasks beyond the suites: promoters of other organisms, splice sites, splice sites base by base.

    python -m benchmarks.tasks data --model yeast --model multi --task ecoli --baseline from-scratch --out tasks

- `ecoli`, `mouse`: promoters against non-promoters of E. coli (81 bases) and mouse (TATA promoters, 251 bases), divided
  by similarity;
- `splice`: GUE's splice sites, three classes (400 bases); its dev rows are divided to train on, its test rows are the
  test, without those that stand in dev too;
- `bases`: donor (the first two bases of an intron), acceptor (its last two) or neither, for every base of
  exon-intron-exon stretches of Arabidopsis, divided by gene; of the exons, all 50 bases long, 10 to 50 are kept, so
  that no place in a row says what it is.

Models that are there already are not trained again.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from pyarrow import csv

import dnabert
from benchmarks.record import RESULTS, record
from dnabert.sequence import tables
from dnabert.training import compare

ROWS = 4000
"""Rows of `bases` to train on; a quarter as many for dev, half as many for the test."""


def promoters(negatives: str, positives: str) -> Callable[[Path, Path], dict[str, Any]]:
    """Take two FASTA files, one a class, divided by similarity."""

    def prepare(data: Path, _: Path) -> dict[str, Any]:
        files = [data / "promoters" / name for name in (negatives, positives)]
        return {"data": files, "split": (0.8, 0.1, 0.1), "split_by": "similarity"}

    return prepare


def splice(data: Path, folder: Path) -> dict[str, Any]:
    """Divide the dev rows into nine tenths to train on and one to choose the epoch by."""
    source = data / "gue" / "splice" / "reconstructed"
    dev, test = (csv.read_csv(source / f"{name}.csv") for name in ("dev", "test"))
    order = np.random.default_rng(0).permutation(dev.num_rows)
    known = set(dev["sequence"].to_pylist())
    fresh = np.array([sequence not in known for sequence in test["sequence"].to_pylist()])
    parts = {"train": dev.take(order[len(order) // 10 :]), "dev": dev.take(order[: len(order) // 10])}
    return {"data": write(parts | {"test": test.filter(pa.array(fresh))}, folder)}


def bases(data: Path, folder: Path) -> dict[str, Any]:
    """Label the bases of introns' ends; a gene's stretches are all in one part."""
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "dev": [], "test": []}
    most = {"train": ROWS, "dev": ROWS // 4, "test": ROWS // 2}
    rng = np.random.default_rng(0)
    with gzip.open(data / "splice" / "eie.at.txt.gz", "rt") as lines:
        for line in lines:
            left, intron, right, _, gene = line.split()
            left, right = left[rng.integers(41) :], right[: 50 - rng.integers(41)]
            labels = "N" * len(left) + "DD" + "N" * (len(intron) - 4) + "AA" + "N" * len(right)
            name = ("dev", "test")[zlib.crc32(gene.encode()) % 2] if zlib.crc32(gene.encode()) % 10 < 4 else "train"
            if len(parts[name]) < most[name]:
                parts[name].append((left + intron + right, labels))
    columns = {
        name: pa.table({"sequence": [row[0] for row in rows], "label": [row[1] for row in rows]})
        for name, rows in parts.items()
    }
    return {"data": write(columns, folder)}


def write(parts: dict[str, pa.Table], folder: Path) -> Path:
    """Write tables as train, dev and test."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        tables.write(part, folder / f"{name}.tsv")
    return folder


TASKS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "ecoli": promoters("Ecoli_non_prom.fa", "Ecoli_prom.fa"),
    "mouse": promoters("Mouse_nonprom.fa", "Mouse_tata.fa"),
    "splice": splice,
    "bases": bases,
}


def main(
    data: Annotated[Path, typer.Argument(help="Folder of the data sets.")],
    model: Annotated[list[Path], typer.Option(help="Pre-trained models; repeat for more.")],
    out: Annotated[Path, typer.Option(help="Folder for the models.")],
    task: Annotated[list[str] | None, typer.Option(help="Tasks; all by default.")] = None,
    seeds: Annotated[int, typer.Option(help="Fits of each.")] = 1,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Baselines beside the first model; repeat for more.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Fine-tune each model on each task; write the metrics of the test rows, a file a task."""
    for name in task or list(TASKS):
        given = TASKS[name](data, out / name / "data")
        figures: dict[str, list[dict[str, Any]]] = {}
        for start in model:
            beside = (baseline or []) if start == model[0] else []
            for seed in range(seeds):
                place = out / name / start.name / f"seed{seed}"
                made = (place / "metrics.json").is_file()
                if not made or beside:
                    options: dict[str, Any] = {"seed": seed, "baselines": beside, "resume": made, "overwrite": not made}
                    dnabert.finetune(**given, model=start, out=place, **options)
                figures.setdefault(start.name, []).append(json.loads((place / "metrics.json").read_text())["test"])
                for other in compare.read_table(place)[1:] if beside else []:
                    metrics = {key: value for key, value in other.items() if key in figures[start.name][-1]["metrics"]}
                    figures.setdefault(other["name"], []).append({"metrics": metrics})
        record(f"task_{name}", figures, folder)


if __name__ == "__main__":
    typer.run(main)
