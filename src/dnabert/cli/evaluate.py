"""`dnabert evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import (
    Annotation,
    BatchTokens,
    Device,
    GenomeFile,
    LabelColumns,
    LabelsFile,
    Length,
    ModelStrand,
    Precision,
    Scan,
    Step,
    Window,
)


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Fine-tuned model directory.")],
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Labelled table, FASTA files, or folder with a test file.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write.", show_default=False)] = None,
    genome: GenomeFile = None,
    length: Length = None,
    labels: LabelsFile = None,
    label: LabelColumns = None,
    annotation: Annotation = None,
    strand: ModelStrand = None,
    scan: Scan = None,
    window: Window = None,
    step: Step = None,
    dev: Annotated[
        Path | None,
        typer.Option("--dev", help="Labelled file that sets the threshold of two classes.", show_default=False),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_tokens: BatchTokens = None,
) -> None:
    """Compare a model's predictions with known labels."""
    from dnabert.cli.report import print_evaluation
    from dnabert.training import evaluate as evaluation

    result = evaluation.evaluate(
        model,
        data,
        out=out,
        genome=genome,
        length=length,
        labels=labels,
        label=label or (),
        annotation=annotation,
        strand=strand,
        scan=scan,
        window=window,
        step=step,
        dev=dev,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens,
    )
    print_evaluation(str(data[0]), result)
    if out is not None:
        print(f"Metrics: {out}")
