"""Masking policies at equal compute, judged by what a fine-tuned model reaches.

python -m benchmarks.masking SOURCE... --suite gue --only prom_core_tata --only mouse/2 --rows 500 --method frozen

Each policy pre-trains the same number of steps from the same weights; the models are fine-tuned on the same data sets
with the same seeds. Interrupted, it goes on where it stopped.
"""

import json
from pathlib import Path
from typing import Annotated, Any

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
    rows: Annotated[int | None, typer.Option(help="Fine-tune on this many rows.")] = None,
    method: Annotated[str, typer.Option(help="As of finetune.")] = "auto",
    jobs: Annotated[int, typer.Option(help="Fits at the same time.")] = 1,
) -> None:
    """Pre-train with each policy, fine-tune, write the table."""
    pretrained, results = {}, {}
    for name in policy or ["dnabert", "span", "growing"]:
        model = out / name / "model"
        if not (model / RECORD).is_file():
            begun = last_checkpoint(model) is not None
            dnabert.pretrain(sources, model, mask=name, steps=steps, resume=begun, overwrite=not begun)
        pretrained[name] = json.loads((model / RECORD).read_text())["metrics"]
        options: dict[str, Any] = {"only": only, "seeds": seeds, "rows": rows, "method": method, "jobs": jobs}
        lines = suites.benchmark(suite, model, out / name / "suite", **options)
        results[name] = {
            line.name: {"metric": line.metric, "mean": round(line.mean, 4), "sd": round(line.deviation, 4)}
            for line in lines
        }
    settings = {"steps": steps, "seeds": seeds, "rows": rows, "method": method}
    record("masking", settings | {"pre-trained": pretrained, "fine-tuned": results})


if __name__ == "__main__":
    typer.run(main)
