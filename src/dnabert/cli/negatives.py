"""`dnabert negatives`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import GenomeFile, Seed


def negatives(
    data: Annotated[Path, typer.Argument(metavar="POSITIVES", help="FASTA file, table, or BED file with --genome.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="shuffle: the positives, dinucleotides kept. genome: windows of like length and GC content.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write: .tsv, .csv or .parquet.", show_default=False)],
    genome: GenomeFile = None,
    length: Annotated[
        int | None, typer.Option("--length", help="Bases of windows around the midpoints of the intervals.", min=1)
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option("--exclude", help="BED file of regions to keep away from; may be repeated.", show_default=False),
    ] = None,
    margin: Annotated[
        int, typer.Option("--margin", help="Bases to keep away from positives and excluded regions.", min=0)
    ] = 0,
    ratio: Annotated[int, typer.Option("--ratio", help="Negatives a positive.", min=1)] = 1,
    gc_tolerance: Annotated[
        float, typer.Option("--gc-tolerance", help="Largest difference in GC content to the positive.", min=0, max=1)
    ] = 0.02,
    overlap: Annotated[bool, typer.Option("--overlap", help="Let windows overlap each other.")] = False,
    seed: Seed = 0,
) -> None:
    """Make negatives for positives and write one labelled table of both, ready for finetune."""
    from dnabert.sequence import negatives as making

    result = making.make_negatives(
        data,
        out,
        method=method,
        genome=genome,
        exclude=exclude or (),
        margin=margin,
        ratio=ratio,
        length=length,
        gc_tolerance=gc_tolerance,
        overlap=overlap,
        seed=seed,
    )
    print(
        f"GC content: positives {result.gc_positives:.3f}, negatives {result.gc_negatives:.3f}, "
        f"largest difference {result.gc_difference:.3f}",
        file=sys.stderr,
    )
    print(f"Table of {result.positives:,} positives and {result.negatives:,} negatives: {out}")
