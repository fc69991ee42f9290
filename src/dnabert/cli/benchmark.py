"""`dnabert benchmark`."""

import itertools
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnabert.cli.options import (
    Baselines,
    Device,
    Features,
    FromScratch,
    Graphs,
    Keep,
    LabelColumns,
    OneBaseline,
    Out,
    Overwrite,
    Precision,
    beside,
)

if TYPE_CHECKING:
    from dnabert.training.suite import Summary


def benchmark(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE", help="Folder with data sets in folders of train, dev and test files.")
    ],
    model: Annotated[Path, typer.Option("--model", help="Pre-trained model directory.", show_default=False)],
    out: Out,
    protocol: Annotated[str, typer.Option("--protocol", help="gue, or dream: tables of numbers.")] = "gue",
    seeds: Annotated[int, typer.Option("--seeds", help="Fits of each data set.", min=1)] = 3,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Part of a data set's name; repeat for more.", show_default=False)
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Train on this many rows alone.", min=1)] = None,
    label: LabelColumns = None,
    strand: Annotated[
        str | None,
        typer.Option(
            "--strand", help="given, or both; default: as known of GUE's sets, else given.", show_default=False
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="auto, full, lora or frozen, as in finetune.")] = "auto",
    features: Features = None,
    keep: Keep = "all",
    from_scratch: FromScratch = False,
    baselines: Baselines = False,
    baseline: OneBaseline = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="As in finetune.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="As in finetune.", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="As in finetune.", min=0.0)] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", help="Fits and baselines at a time; a small model leaves much of a GPU idle.", min=1),
    ] = 1,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: Precision = "auto",
    graphs: Graphs = True,
) -> None:
    """Fine-tune on every data set of a folder and print one table; run it again to go on where it stopped."""
    from dnabert.training import suite as training

    chosen = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    try:
        lines = training.benchmark(
            suite,
            model,
            out,
            protocol=protocol,
            seeds=seeds,
            only=only or (),
            rows=rows,
            label=label or (),
            strand=strand,
            jobs=jobs,
            overwrite=overwrite,
            method=method,
            features=features,
            keep=keep,
            from_scratch=from_scratch,
            baselines=beside(baselines, baseline),
            device=device,
            precision=precision,
            graphs=graphs,
            **{name: value for name, value in chosen.items() if value is not None},
        )
    except KeyboardInterrupt:
        without = ", without --overwrite," * overwrite
        print(f"Stopped; the same command{without} goes on from here.", file=sys.stderr)
        raise typer.Exit(130) from None
    _print(lines, dream=protocol == "dream")
    print(f"Results: {out / training.RESULTS}")


def _print(lines: "list[Summary]", dream: bool) -> None:
    import rich.box
    import rich.table

    from dnabert.cli.report import plain_console
    from dnabert.training import published
    from dnabert.training.suite import ahead, heading

    table = rich.table.Table(box=rich.box.SIMPLE, collapse_padding=True)
    table.add_column("data set", overflow="fold")  # a long name gives way to the numbers
    ranked = [] if all(math.isnan(line.spearman) for line in lines) else ["spearman"]  # of numbers alone
    for column in ("mean", "sd", "95 % interval", *ranked, "seeds"):
        table.add_column(column, justify="right", no_wrap=True)
    for (name, share, metric), group in itertools.groupby(lines, key=lambda line: (line.name, line.share, line.metric)):
        table.add_row(f"{heading(name, share)}: {metric}")
        for line in group:
            interval = f"{_number(line.low)} to {_number(line.high)}"
            numbers = [_number(line.mean), _number(line.deviation), interval]
            table.add_row(f"  {line.model}", *numbers, *(_number(line.spearman) for _ in ranked), str(line.seeds))
        known = published.gue(name) if metric == "mcc" else {}
        best = max(known, key=lambda model: known[model], default=None)
        for model in dict.fromkeys(name for name in (*published.SHOWN, best) if name in known):
            table.add_row(f"  {model}, published", f"{known[model]:.4f}")
        if metric == "mcc" and (own := published.first(name)) is not None:
            table.add_row(f"  {published.FIRST}, published", f"{own:.4f}")
        table.add_section()
    console = plain_console()
    console.print(table)
    names = {line.name for line in lines if line.metric == "mcc"}
    if any(map(published.gue, names)):
        console.print(f"Published: {published.SOURCE}", highlight=False)
    if any(map(published.first, names)):
        console.print(f"{published.FIRST}: {published.FIRST_SOURCE}", highlight=False)
    if dream:
        print(published.DREAM)
    if sentence := ahead(lines):
        print(sentence)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
