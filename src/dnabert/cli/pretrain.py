"""`dnabert pretrain`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dnabert import processes
from dnabert.cli.options import Device, Out, Overwrite, Precision, Resume, Seed, numbers


def pretrain(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="FASTA files, or tables of sequences (labels ignored).")
    ],
    out: Out,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="Pre-trained model to go on from, with --steps; default: a new one.", show_default=False
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", help="Bases per token of a new model, 1 to 8 [6].", show_default=False)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Size of a new model: mini (4 layers x 256) [mini], small (6 x 512) or base (12 x 768, the paper's).",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            help="dnabert (hide single bases), span (1 to 10 in a row), growing (from 1 up to 10) or original (the "
            "original's code).",
        ),
    ] = "dnabert",
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Share of the bases read from each file, e.g. 1,0.5; default: what it holds."),
    ] = None,
    tell_apart: Annotated[
        float | None,
        typer.Option(
            "--tell-apart",
            help="Weight of learning also which file each window is from; default: 1 with several tables, else 0.",
            show_default=False,
        ),
    ] = None,
    holdout: Annotated[
        list[str] | None,
        typer.Option("--holdout", help="Contig to evaluate on (repeat for more), or a fraction of all [0.02]."),
    ] = None,
    max_length: Annotated[int, typer.Option("--max-length", help="k-mers of the longest window, up to 510.")] = 510,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps; default: the preset's.", min=1)] = None,
    batch_tokens: Annotated[
        int | None, typer.Option("--batch-tokens", help="Tokens a batch; default: the preset's.", min=1)
    ] = None,
    accumulate: Annotated[int, typer.Option("--accumulate", help="Batches a step.", min=1)] = 1,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Peak rate; default: the preset's.", min=0.0)
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Annotated[
        int | None, typer.Option("--workers", help="Loader processes; default: 0 on a CPU, 4 for a GPU.", min=0)
    ] = None,
    checkpoint_activations: Annotated[
        bool, typer.Option("--checkpoint-activations", help="Less memory for a third more work.")
    ] = False,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Train through torch.compile [on one GPU in bfloat16].",
        ),
    ] = None,
    log_every: Annotated[int, typer.Option("--log-every", help="Steps between log lines.", min=1)] = 50,
    save_every: Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.", min=1)] = 500,
) -> None:
    """Pre-train BERT over k-mer tokens on genomes and sequences."""
    from dnabert.training import pretrain as training

    result = training.pretrain(
        sources,
        out,
        model=model,
        k=k,
        preset=preset,
        mask=mask,
        weights=numbers(weights, "--weights"),
        tell_apart=tell_apart,
        holdout=tuple(holdout) if holdout else ("0.02",),
        max_length=max_length,
        steps=steps,
        batch_tokens=batch_tokens,
        accumulate=accumulate,
        learning_rate=learning_rate,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        device=device,
        precision=precision,
        workers=workers,
        checkpoint_activations=checkpoint_activations,
        compile=compile,
        log_every=log_every,
        save_every=save_every,
    )
    if not result.finished:
        print(f"Stopped at step {result.steps:,}; go on with the same command and --resume.", file=sys.stderr)
        raise typer.Exit(130)
    if not processes.is_first():
        return
    print(f"model\t{result.folder}")
    for name, value in result.metrics.items():
        print(f"{name}\t{value:.6g}")
