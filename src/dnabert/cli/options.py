"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what another run left in --out.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same result.", min=0, max=2**32 - 1)]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA if there is one), cpu, cuda, cuda:1, ...")]
Precision = Annotated[
    str, typer.Option("--precision", help="auto (bfloat16 where the processor computes in it), float32 or bfloat16.")
]
Graphs = Annotated[
    bool,
    typer.Option("--graphs/--no-graphs", help="On a GPU record steps of one shape as CUDA graphs, where it gains."),
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

Keep = Annotated[
    str, typer.Option("--keep", help="Of the pre-trained weights: all, or the embeddings of the kmers alone.")
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        help="What the head reads: mean (of the last layer's k-mers), layers (of each layer's), or cls (as the "
        "original); default: layers if frozen, else mean.",
        show_default=False,
    ),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Take the model's shape but none of its weights.")]
Baselines = Annotated[
    bool,
    typer.Option("--baselines", help="Train CNNs, k-mer regression and the model from scratch too, and compare."),
]
OneBaseline = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        help="One of these alone: from-scratch, deepsea, basset, danq, residual or kmers; repeat for more.",
        show_default=False,
    ),
]
Length = Annotated[
    int | None,
    typer.Option("--length", help="Bases that intervals are widened to, around their midpoints.", min=1),
]
Scan = Annotated[
    str | None,
    typer.Option("--scan", help="Slide windows over longer sequences; take max, mean or second.", show_default=False),
]
Window = Annotated[
    int | None, typer.Option("--window", help="Bases of a window of --scan; default: as in training.", min=1)
]
Step = Annotated[int | None, typer.Option("--step", help="Bases from window to window; default: a sixth.", min=1)]
Annotation = Annotated[
    Path | None,
    typer.Option("--annotation", help="BED file: classes of the bases of intervals.", show_default=False),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option("--label", help="Column of labels; repeat for several (0 and 1, or numbers).", show_default=False),
]
Strand = Annotated[
    str | None,
    typer.Option("--strand", help="given (the default), or both: the mean over the two strands.", show_default=False),
]
ModelStrand = Annotated[
    str | None,
    typer.Option(
        "--strand", help="given, or both: the mean over the two strands; default: as in training.", show_default=False
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="Of attention: all, or numbers, negative from the last; default: by what the head reads.",
        show_default=False,
    ),
]
Heads = Annotated[
    str | None,
    typer.Option("--heads", help="Of attention: all, or numbers from 0; default: all.", show_default=False),
]
ScorePrecision = Annotated[
    str,
    typer.Option(
        "--precision", help="auto (float32 for ism and ig, else bfloat16 where there is some), float32 or bfloat16."
    ),
]


def beside(every: bool, some: list[str] | None) -> bool | tuple[str, ...]:
    """Read `--baselines` and `--baseline`."""
    from dnabert.errors import InputError

    if every and some:
        raise InputError(f"--baseline {some[0]}: --baselines trains all of them; leave one of the two out")
    return every or tuple(some or ())


def numbers(text: str | None, option: str) -> list[float] | None:
    """Read numbers separated by commas."""
    from dnabert.errors import InputError

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: numbers separated by commas are required") from None


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers separated by commas."""
    from dnabert.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: whole numbers separated by commas are required") from None


def some_or_all(text: str | None, option: str) -> tuple[int, ...] | str | None:
    """Read whole numbers separated by commas, or `all`."""
    return text if text is None or text == "all" else whole_numbers(text, option)
