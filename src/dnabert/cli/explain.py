"""`dnabert explain`."""

from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import (
    BatchTokens,
    Device,
    GenomeFile,
    Heads,
    Layers,
    ModelStrand,
    Out,
    Overwrite,
    ScorePrecision,
    some_or_all,
)


def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model directory.")],
    sequences: Annotated[Path, typer.Argument(metavar="SEQUENCES", help="FASTA, table, or BED with --genome.")],
    out: Out,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="attention (the paper's with cls), ism (every mutation), ig (integrated gradients) or context "
            "(attention to --position).",
        ),
    ] = "attention",
    genome: GenomeFile = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="For ism and ig: the class explained; the second of two, else the predicted one.",
            show_default=False,
        ),
    ] = None,
    layers: Layers = None,
    heads: Heads = None,
    rollout: Annotated[
        bool, typer.Option("--rollout", help="For attention: follow it through the layers up to the one chosen.")
    ] = False,
    position: Annotated[
        int | None,
        typer.Option("--position", help="For context: the base attended to, from 0.", show_default=False),
    ] = None,
    row: Annotated[int, typer.Option("--row", help="For context: the sequence whose whole map is drawn, from 0.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="For ig: points of the path.", min=1)] = 32,
    strand: ModelStrand = None,
    file_format: Annotated[str, typer.Option("--format", help="Of the scores: npz or parquet.")] = "npz",
    original: Annotated[
        bool,
        typer.Option("--export-original", help="Write atten.npy and pred_results.npy for DNABERT's tools, too."),
    ] = False,
    figures: Annotated[int, typer.Option("--figures", help="Sequences drawn one by one, the first ones.", min=0)] = 3,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: ScorePrecision = "auto",
    batch_tokens: BatchTokens = None,
) -> None:
    """Score each base by what it means to a model, and draw it: scores, tracks and figures in a folder."""
    from dnabert.interpretation import explain as interpretation

    result = interpretation.explain(
        model,
        sequences,
        out,
        method=method,
        genome=genome,
        target=target,
        layers=some_or_all(layers, "--layers"),
        heads=some_or_all(heads, "--heads"),
        rollout=rollout,
        position=position,
        row=row,
        steps=steps,
        strand=strand,
        file_format=file_format,
        original=original,
        figures=figures,
        overwrite=overwrite,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens,
    )
    if result.completeness is not None:
        print(f"Completeness error: {result.completeness:.1%} of the logit's difference (median of the sequences)")
    print(f"Scores: {result.scores}")
    print(f"Figures: {result.folder / 'index.html'}")
