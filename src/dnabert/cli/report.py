"""Results as tables for people."""

import sys
from typing import TYPE_CHECKING

import rich.box
import rich.console
import rich.table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dnabert.interpretation.motifs import Motif
    from dnabert.training.metrics import Evaluation

_WORDS = {"f1": "F1", "mcc": "MCC", "auroc": "AUROC", "auprc": "AUPRC"}


def print_evaluation(title: str, evaluation: "Evaluation") -> None:
    """Print metrics with their intervals and the confusion matrix, and a warning if all predictions are one class."""
    table = rich.table.Table(
        "metric", "value", "95 % interval", box=rich.box.SIMPLE, title=f"{title}, {evaluation.rows:,} rows"
    )
    for name, value in evaluation.metrics.items():
        table.add_row(_WORDS.get(name, name), f"{value.value:.3f}", f"{value.low:.3f} to {value.high:.3f}")
    confusion = rich.table.Table("true \\ predicted", *evaluation.labels, box=rich.box.SIMPLE)
    for label, row in zip(evaluation.labels, evaluation.confusion.tolist(), strict=True):
        confusion.add_row(label, *(f"{count:,}" for count in row))
    console = rich.console.Console()
    console.print(table)
    console.print(confusion)
    if evaluation.one_class is not None:
        warn_one_class(evaluation.one_class, evaluation.rows)


def print_counts(counts: dict[str, int]) -> None:
    """Print how many sequences got each class, and a warning if all got the same."""
    table = rich.table.Table("class", "sequences", box=rich.box.SIMPLE)
    for label, count in counts.items():
        table.add_row(label, f"{count:,}")
    rich.console.Console().print(table)
    used = [label for label, count in counts.items() if count]
    if len(used) == 1 and sum(counts.values()) > 1:
        warn_one_class(used[0], sum(counts.values()))


def print_motifs(motifs: "Sequence[Motif]", shown: int = 10) -> None:
    """Print the first motifs with their enrichment and match."""
    table = rich.table.Table(
        "motif", "consensus", "positives", "negatives", "match", "q", box=rich.box.SIMPLE, title=f"{len(motifs)} motifs"
    )
    for motif in motifs[:shown]:
        match = motif.match
        named = (match.name, f"{match.q:.1e}") if match else ("", "")
        table.add_row(motif.name, motif.consensus, f"{motif.positives:,}", f"{motif.negatives:,}", *named)
    rich.console.Console().print(table)


def warn_one_class(label: str, rows: int) -> None:
    """Say loudly that a model predicts nothing but one class."""
    print(
        f"WARNING: all {rows:,} predictions are '{label}'. The model does not tell the classes apart: it collapsed in "
        "training (try a lower --learning-rate or more --epochs) or the input holds one class only.",
        file=sys.stderr,
    )
