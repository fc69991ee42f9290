"""`dnabert motifs`."""

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


def motifs(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Fine-tuned model directory.")],
    positives: Annotated[
        Path,
        typer.Argument(metavar="POSITIVES", help="FASTA, table (labels may say which rows), or BED."),
    ],
    out: Out,
    negatives: Annotated[
        Path | None, typer.Option("--negatives", help="Sequences to compare with, of like length.", show_default=False)
    ] = None,
    database: Annotated[
        Path | None, typer.Option("--database", help="Known motifs: MEME, JASPAR or TRANSFAC.", show_default=False)
    ] = None,
    finder: Annotated[str, typer.Option("--finder", help="attention (as in the paper) or modisco.")] = "attention",
    method: Annotated[str | None, typer.Option("--method", help="For modisco: ism or ig.", show_default="ism")] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", help="scores.npz of 'dnabert explain' for these positives.", show_default=False),
    ] = None,
    genome: GenomeFile = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="The class whose motifs to find; the second of two.", show_default=False),
    ] = None,
    strand: ModelStrand = None,
    layers: Layers = None,
    heads: Heads = None,
    min_length: Annotated[int, typer.Option("--min-length", help="For attention: bases of the shortest region.")] = 5,
    min_instances: Annotated[int, typer.Option("--min-instances", help="For attention: fewest sites of a motif.")] = 3,
    window: Annotated[int, typer.Option("--window", help="For attention: bases of a window.")] = 24,
    level: Annotated[
        float, typer.Option("--level", help="Largest corrected p-value of enrichment in positives.")
    ] = 0.005,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: ScorePrecision = "auto",
    batch_tokens: BatchTokens = None,
) -> None:
    """Find the motifs a model uses, name them by a database, and locate them: a table, logos, MEME and BED files."""
    from dnabert.cli.report import print_motifs
    from dnabert.interpretation import motifs as interpretation

    result = interpretation.find_motifs(
        model,
        positives,
        out,
        negatives=negatives,
        database=database,
        finder=finder,
        method=method,
        scores=scores,
        genome=genome,
        target=target,
        strand=strand,
        layers=some_or_all(layers, "--layers"),
        heads=some_or_all(heads, "--heads"),
        min_length=min_length,
        min_instances=min_instances,
        window=window,
        level=level,
        overwrite=overwrite,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens,
    )
    print_motifs(result.motifs)
    print(f"Motifs: {result.folder / 'motifs.tsv'}")
    print(f"Figures: {result.folder / 'index.html'}")
