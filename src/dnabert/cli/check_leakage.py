"""`dnabert check-leakage`."""

from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import GenomeFile


def check_leakage(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with train, dev and test files, a folder of such folders, or a table with a split column.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="List the rows: .tsv, .csv or .parquet.", show_default=False),
    ] = None,
    genome: GenomeFile = None,
    split_column: Annotated[
        str | None,
        typer.Option("--split-column", help="Column of a table; default: split, set, partition or fold."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Column of labels; repeat for several.", show_default=False),
    ] = None,
    similarity: Annotated[
        float,
        typer.Option("--similarity", help="Share of 11-mers in common from which rows are near duplicates.", max=1.0),
    ] = 0.5,
    exact: Annotated[bool, typer.Option("--exact", help="Do not look for near duplicates.")] = False,
) -> None:
    """Count the rows of each split that stand in another: exact, reverse complement, near; and conflicting labels."""
    from dnabert.cli.report import print_leakage
    from dnabert.training import leakage

    result = leakage.check_leakage(
        data, out, genome=genome, split_column=split_column, label=label or (), near=None if exact else similarity
    )
    print_leakage(result)
    if out is not None:
        print(f"Rows: {out}")
