"""`dnabert predict`."""

from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import BatchTokens, Device, GenomeFile, Length, ModelStrand, Precision, Scan, Step, Window


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Fine-tuned model directory.")],
    data: Annotated[Path, typer.Argument(metavar="INPUT", help="Table or FASTA file of sequences.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .tsv, .csv or .parquet.", show_default=False)],
    genome: GenomeFile = None,
    length: Length = None,
    strand: ModelStrand = None,
    scan: Scan = None,
    window: Window = None,
    step: Step = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_tokens: BatchTokens = None,
) -> None:
    """Predict classes, labels or numbers of sequences.

    The output has the input's rows in their order and its columns, the label behind the others; the sequences
    themselves only where nothing but labels stands beside them.
    """
    from dnabert.cli.report import print_counts
    from dnabert.inference import predict as inference

    counts = inference.predict_file(
        model,
        data,
        out,
        genome=genome,
        length=length,
        strand=strand,
        scan=scan,
        window=window,
        step=step,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens,
    )
    if counts:
        print_counts(counts)
    print(f"Predictions: {out}")
