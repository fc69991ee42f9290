"""`dnabert finetune`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dnabert import processes
from dnabert.cli.options import (
    Annotation,
    Baselines,
    Device,
    Features,
    FromScratch,
    GenomeFile,
    Graphs,
    Keep,
    LabelColumns,
    LabelsFile,
    Length,
    OneBaseline,
    Out,
    Overwrite,
    Precision,
    Resume,
    Seed,
    Strand,
    beside,
    numbers,
)


def finetune(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folder with train, dev and test files; or with --split one table, or one FASTA file a class.",
        ),
    ],
    model: Annotated[Path, typer.Option("--model", help="Pre-trained model directory.", show_default=False)],
    out: Out,
    split: Annotated[
        str | None, typer.Option("--split", help="Shares of train, dev and test rows, e.g. 0.8,0.1,0.1.")
    ] = None,
    split_by: Annotated[
        str, typer.Option("--split-by", help="What --split keeps together: rows (nothing), contig or similarity.")
    ] = "rows",
    genome: GenomeFile = None,
    length: Length = None,
    labels: LabelsFile = None,
    label: LabelColumns = None,
    annotation: Annotation = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="classification, multilabel, regression or per-base; default: what the labels look like.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Train on this many rows alone.", min=1)] = None,
    strand: Strand = None,
    features: Features = None,
    long: Annotated[
        str | None,
        typer.Option(
            "--long",
            help="For sequences longer than the model takes: how windows are pooled, mean, attention, lstm or concat.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[int | None, typer.Option("--window", help="Bases of a window of --long.", min=1)] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="full, lora (small matrices), frozen (logistic regression on vectors), or auto: full, with few rows "
            "also frozen, and the better one on dev.",
        ),
    ] = "auto",
    rank: Annotated[int, typer.Option("--rank", help="Rows of the matrices of lora.", min=1)] = 8,
    keep: Keep = "all",
    from_scratch: FromScratch = False,
    baselines: Baselines = False,
    baseline: OneBaseline = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the rows; default: 6 to 30, by their number.", min=1)
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences a step.", min=1)] = 32,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Peak rate; default: by the model's size.", min=0.0)
    ] = None,
    class_weights: Annotated[bool, typer.Option("--class-weights", help="Let all classes count alike.")] = False,
    layer_decay: Annotated[
        float, typer.Option("--layer-decay", help="Factor on the rate from layer to layer, down.", min=0.1, max=1.0)
    ] = 1.0,
    dropout: Annotated[float, typer.Option("--dropout", help="On hidden states.", min=0.0, max=0.9)] = 0.1,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: Precision = "auto",
    log_every: Annotated[int, typer.Option("--log-every", help="Steps between log lines.", min=1)] = 50,
    graphs: Graphs = True,
) -> None:
    """Fine-tune a model on labelled sequences; keep the checkpoint that is best on dev."""
    from dnabert.cli.report import print_comparison, print_evaluation
    from dnabert.training import finetune as training

    result = training.finetune(
        data,
        model,
        out,
        genome=genome,
        labels=labels,
        label=label or (),
        annotation=annotation,
        task=task,
        rows=rows,
        strand=strand,
        features=features,
        long=long,
        window=window,
        class_weights=class_weights,
        layer_decay=layer_decay,
        split=numbers(split, "--split"),
        split_by=split_by,
        length=length,
        method=method,
        rank=rank,
        keep=keep,
        from_scratch=from_scratch,
        baselines=beside(baselines, baseline),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        device=device,
        precision=precision,
        log_every=log_every,
        graphs=graphs,
    )
    if not result.finished:
        print("Stopped; go on with the same command and --resume.", file=sys.stderr)
        raise typer.Exit(130)
    if not processes.is_first():
        return
    for name, evaluation in (("dev", result.dev), ("test", result.test)):
        if evaluation is not None:
            print_evaluation(name, evaluation)
    if result.compared is not None:
        print_comparison(result.compared)
    print(f"Model and metrics.json: {result.folder}")
