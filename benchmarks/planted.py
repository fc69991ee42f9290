"""Known answers: which bases and motifs explanations point at on the simulated tasks, where both were planted.

    python examples/demo.py demo
    python -m benchmarks.planted demo --database JASPAR2022_vertebrates.pfm

The first command trains the models. Average precision is that of ranking all bases of positive test sequences by their
score, planted bases being the right ones; `chance` is their share. A motif is named if TOMTOM's q of a planted motif's
own entry in the database is below 0.01.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sklearn.metrics import average_precision_score

from benchmarks.record import record
from dnabert.inference.predict import predict
from dnabert.interpretation.attribution import contributions
from dnabert.interpretation.explain import Settings, compute, start
from dnabert.interpretation.matching import compare
from dnabert.interpretation.motifs import FINDERS, find_motifs
from dnabert.sequence import tables
from dnabert.sequence.motif_files import read_database
from dnabert.sequence.simulate import MOTIFS
from dnabert.sequence.tables import Table

TASKS: dict[str, dict[str, tuple[str, ...]]] = {
    "ctcf": {"ctcf": ("CTCF",)},
    "core_promoter": {"promoter": ("TATA box", "GC box")},
    "e_box": {"e_box": ("E-box",), "e_box_gc_box": ("E-box", "GC box")},
}
"""The motifs planted in each class of each task."""
METHODS = ("attention", "ism", "ig")
NAMED = 0.01


def planted_bases(table: Table, truth: Path) -> np.ndarray:
    """Mark the bases that were planted, bool, shape (rows, longest)."""
    row_of = {name: row for row, name in enumerate(table.columns["name"].to_pylist())}
    marks = np.zeros((table.rows, int(np.diff(table.offsets).max())), dtype=bool)
    for line in truth.read_text().splitlines():
        name, start, end, *_ = line.split("\t")
        if name in row_of:
            marks[row_of[name], int(start) : int(end)] = True
    return marks


def positives_of(path: Path, label: str, rows: int) -> Table:
    """Read the first rows of a class."""
    table = tables.read(path)
    assert table.labels is not None
    own = np.flatnonzero(np.array(table.labels.to_pylist()) == label)
    return tables.select(table, own[:rows])


def average_precision(model: Path, task: Path, label: str, rows: int, strand: str) -> dict[str, Any]:
    """Score the bases of a class's test sequences by each method."""
    table = positives_of(task / "test.tsv", label, rows)
    marks = planted_bases(table, task / "truth.bed")
    figures: dict[str, Any] = {"sequences": table.rows, "chance": round(float(marks.mean()), 3)}
    started = start(model, "ism")
    figures["predicted rightly"] = round(
        float((predict(started, table).logits.argmax(axis=1) == started.checkpoint.labels.index(label)).mean()), 3
    )
    for method in METHODS:
        settings = Settings(method, label if method != "attention" else None, strand=strand)
        shape = (*marks.shape, 4) if method == "ism" else marks.shape
        values, _ = compute(started, table, settings, partial(_room, shape))
        scores = contributions(values) if method == "ism" else values
        figures[method] = round(float(average_precision_score(marks.ravel(), scores.ravel())), 3)
    return figures


def _room(shape: tuple[int, ...], _: str) -> np.ndarray:
    return np.empty(shape, dtype=np.float32)


def motifs_of(
    model: Path, task: Path, label: str, planted: tuple[str, ...], database: Path, out: Path, options: dict[str, Any]
) -> dict[str, Any]:
    """Find a class's motifs in its training sequences and look for the planted ones among them."""
    found = find_motifs(
        model, task / "train.tsv", out, database=database, target=label, overwrite=True, **options
    ).motifs
    known = read_database(database)
    own = {name: next(entry for entry in known if MOTIFS[name].accession in entry) for name in planted}
    columns = [list(known).index(entry) for entry in own.values()]
    q = (
        compare({motif.name: motif.frequencies for motif in found}, known).q[:, columns]
        if found
        else np.ones((0, len(columns)))
    )
    lowest = q.min(axis=0, initial=1.0)
    false = [motif.consensus for motif, row in zip(found[:5], q, strict=False) if row.min() >= NAMED]
    return {
        "motifs": len(found),
        "q of the planted": {name: float(f"{value:.1e}") for name, value in zip(own, lowest, strict=True)},
        "found and named": sum(bool(value < NAMED) for value in lowest),
        "planted": len(planted),
        "top 5": [f"{motif.consensus} {motif.match.name}" for motif in found[:5] if motif.match],
        "false among the top 5": false,
    }


def main(
    demo: Annotated[Path, typer.Argument(help="Folder of examples/demo.py.")],
    database: Annotated[Path, typer.Option(help="JASPAR's vertebrate motifs.")],
    out: Annotated[Path, typer.Option(help="Folder for the motifs.")] = Path("planted"),
    rows: Annotated[int, typer.Option(help="Test sequences of each class that are scored.")] = 200,
    finder: Annotated[str, typer.Option(help="attention or modisco.")] = FINDERS[0],
    method: Annotated[str | None, typer.Option(help="For modisco: ism or ig.")] = None,
    strand: Annotated[str, typer.Option(help="given or both.")] = "given",
    task: Annotated[list[str] | None, typer.Option(help="Tasks; all by default.")] = None,
) -> None:
    """Rank bases and find motifs on every task."""
    figures: dict[str, Any] = {}
    options: dict[str, Any] = {"finder": finder, "method": method, "strand": strand}
    for name in task or list(TASKS):
        for label, planted in TASKS[name].items():
            folder = demo / "data" / name
            figures[f"{name}: {label}"] = {
                "average precision of bases": average_precision(demo / name, folder, label, rows, strand),
                "motifs": motifs_of(demo / name, folder, label, planted, database, out / f"{name}-{label}", options),
            }
    found = sum(one["motifs"]["found and named"] for one in figures.values())
    total = sum(one["motifs"]["planted"] for one in figures.values())
    false = sum(len(one["motifs"]["false among the top 5"]) for one in figures.values())
    figures["all"] = {"planted": total, "found and named": found, "false among the top 5": false}
    suffix = "" if (finder, strand) == ("attention", "given") else f"_{finder}_{strand}"
    record(f"planted{suffix}", {"finder": finder, "method": method, "strand": strand} | figures)


if __name__ == "__main__":
    typer.run(main)
