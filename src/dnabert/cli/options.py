"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what another run left in --out.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same result.", min=0)]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA if there is one), cpu, cuda, cuda:1, ...")]
Precision = Annotated[
    str, typer.Option("--precision", help="auto (bfloat16 where the processor computes in it), float32 or bfloat16.")
]
BatchTokens = Annotated[
    int | None, typer.Option("--batch-tokens", help="Tokens computed at a time: fewer take less memory.", min=1)
]
GenomeFile = Annotated[
    Path | None, typer.Option("--genome", help="FASTA file that chrom, start and end refer to.", show_default=False)
]
LabelsFile = Annotated[
    Path | None, typer.Option("--labels", help="TSV with name and label, for a FASTA file.", show_default=False)
]


def numbers(text: str | None, option: str) -> list[float] | None:
    """Read numbers separated by commas."""
    from dnabert.errors import InputError

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: numbers separated by commas are required") from None


def whole_numbers(text: str, option: str) -> tuple[int, ...] | None:
    """Read whole numbers separated by commas; None for `all`."""
    from dnabert.errors import InputError

    if text == "all":
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: 'all', or whole numbers separated by commas are required") from None
