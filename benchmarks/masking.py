"""Masking policies at equal compute, judged by what a fine-tuned model reaches.

python -m benchmarks.masking SOURCE... --suite gue --only prom_core_tata --only tf/0 --only mouse/2

Each policy pre-trains the same number of steps from the same weights; the models are fine-tuned on the same data sets
with the same seeds. Interrupted, it goes on where it stopped.
"""

from pathlib import Path
from typing import Annotated

import typer

import dnabert
from benchmarks.record import record
from dnabert.model.checkpoint import RECORD
from dnabert.training import suite as suites
from dnabert.training.trainer import last_checkpoint


def main(
    sources: Annotated[list[Path], typer.Argument(help="FASTA files and tables to pre-train on.")],
    suite: Annotated[Path, typer.Option(help="Folder of data sets.")],
    only: Annotated[list[str], typer.Option(help="Data sets of it.")],
    out: Annotated[Path, typer.Option(help="Folder for models and fits.")] = Path("masking"),
    policy: Annotated[list[str] | None, typer.Option(help="Policies.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of pre-training.")] = 5000,
    seeds: Annotated[int, typer.Option(help="Fits of each data set.")] = 3,
) -> None:
    """Pre-train with each policy, fine-tune, write the table."""
    results = {}
    for name in policy or ["dnabert", "span", "growing"]:
        model = out / name / "model"
        if not (model / RECORD).is_file():
            begun = last_checkpoint(model) is not None
            dnabert.pretrain(sources, model, mask=name, steps=steps, resume=begun, overwrite=not begun)
        lines = suites.benchmark(suite, model, out / name / "suite", only=only, seeds=seeds)
        results[name] = {
            line.name: {"metric": line.metric, "mean": round(line.mean, 4), "sd": round(line.deviation, 4)}
            for line in lines
        }
    record("masking", {"steps": steps, "seeds": seeds, "fine-tuned": results})


if __name__ == "__main__":
    typer.run(main)
