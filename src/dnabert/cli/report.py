"""Results as tables for people."""

import sys
from typing import TYPE_CHECKING

import rich.box
import rich.console
import rich.table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dnabert.inference.variant_run import Summary
    from dnabert.interpretation.motifs import Motif
    from dnabert.training.compare import Compared
    from dnabert.training.leakage import Leakage
    from dnabert.training.metrics import Evaluation

MOST_CLASSES_SHOWN = 12
"""Classes of a confusion matrix that fits a terminal."""

_WORDS = {"f1": "F1", "mcc": "MCC", "r2": "R2", "mse": "MSE", "auroc": "AUROC", "auprc": "AUPRC"}


def print_evaluation(title: str, evaluation: "Evaluation") -> None:
    """Print metrics with their intervals, the confusion matrix of classes, and a warning if all predictions are one."""
    table = rich.table.Table(
        "metric", "value", "95 % interval", box=rich.box.SIMPLE, title=f"{title}, {evaluation.rows:,} rows"
    )
    for name, value in evaluation.metrics.items():
        plain, bracket, of = name.partition("[")
        table.add_row(
            _WORDS.get(plain, plain) + bracket + of, f"{value.value:.3f}", f"{value.low:.3f} to {value.high:.3f}"
        )
    console = plain_console()
    console.print(table)
    if evaluation.confusion is not None and len(evaluation.names) <= MOST_CLASSES_SHOWN:
        confusion = rich.table.Table("true \\ predicted", *evaluation.names, box=rich.box.SIMPLE)
        for name, row in zip(evaluation.names, evaluation.confusion.tolist(), strict=True):
            confusion.add_row(name, *(f"{count:,}" for count in row))
        console.print(confusion)
    if evaluation.one_class is not None and evaluation.confusion is not None:
        warn_one_class(evaluation.one_class, int(evaluation.confusion.sum()), f"{title}: ")


def print_comparison(compared: "Compared") -> None:
    """Print a fine-tuned model beside its baselines, and who is better than whom."""
    title = f"Beside baselines, {compared.part}, {compared.rows:,} rows"
    table = rich.table.Table(box=rich.box.SIMPLE, title=title, padding=0, show_edge=False)  # it fits 80 columns
    for heading in ("model", _WORDS.get(compared.metric, compared.metric), "95 % interval"):
        table.add_column(heading, no_wrap=True)
    for heading in ("difference", "95 % interval", "p", "seconds"):
        table.add_column(heading, no_wrap=True, justify="right")
    for row in compared.models:
        seconds = "-" if row.seconds is None else f"{row.seconds:,.0f}"
        difference = ("", "", "")
        if row.comparison is not None:
            value, low, high = row.comparison.difference
            difference = (f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{row.comparison.p_value:.2g}")
        own = row.metrics[compared.metric]
        shown = (row.name, f"{own.value:.3f}", f"{own.low:.3f} to {own.high:.3f}")
        table.add_row(*shown, *difference, seconds)
    plain_console(wide=True).print(table)
    for sentence in compared.sentences:
        print(sentence, file=sys.stderr if sentence.startswith("WARNING") else sys.stdout)


def print_counts(counts: dict[str, int]) -> None:
    """Print how many sequences got each class, and a warning if all got the same."""
    table = rich.table.Table("class", "sequences", box=rich.box.SIMPLE)
    for label, count in counts.items():
        table.add_row(label, f"{count:,}")
    plain_console().print(table)
    used = [label for label, count in counts.items() if count]
    if len(used) == 1:
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
    plain_console(wide=True).print(table)


def warn_one_class(label: str, predictions: int, where: str = "") -> None:
    """Say loudly that a model predicts nothing but one class; of one prediction nothing is said."""
    if predictions > 1:
        print(
            f"WARNING: {where}all {predictions:,} predictions are '{label}'. The model does not tell the classes apart "
            "(it collapsed in training; a lower learning rate or more rows help), or the input holds one class only.",
            file=sys.stderr,
        )


def print_leakage(found: "Mapping[str, Leakage]") -> None:
    """Print what the splits of data sets share; rows of a split that repeat each other only where there are any."""
    console = plain_console(wide=True)
    table = rich.table.Table(
        box=rich.box.SIMPLE, collapse_padding=True, pad_edge=False, title="Rows of a split that stand in another"
    )
    for heading in ("data", "rows of", "stand in"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "exact", "revcomp", "near", "conflict"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, leakage in found.items():
        repeated = [shared for shared in leakage.within if shared.exact or shared.reverse_complement]
        for shared in (*leakage.across, *repeated):
            counts = (shared.rows, shared.exact, shared.reverse_complement, shared.near, shared.conflicts)
            reference = "itself" if shared.reference == shared.split else shared.reference
            table.add_row(name, shared.split, reference, *("-" if n is None else f"{n:,}" for n in counts))
            name = ""
    console.print(table)


def print_variants(summary: "Summary") -> None:
    """Print how many alleles were scored, why others were not, and what is to be known about scores."""
    table = rich.table.Table("alleles", "", box=rich.box.SIMPLE)
    table.add_row("scored", f"{summary.scored:,}")
    for name, count in summary.flagged.items():
        table.add_row(f"  of them {name}", f"{count:,}")
    for name, count in summary.not_scored.items():
        table.add_row(f"not scored: {name}", f"{count:,}")
    plain_console().print(table)
    print(f"Scores of {summary.alleles:,} alleles of {summary.records:,} records: {summary.out}")


def plain_console(wide: bool = False) -> rich.console.Console:
    """Return a console that shows text as it is: brackets and colons in names are no markup.

    For a wide table a file, which has no width, gets one in which names are not cut.
    """
    console = rich.console.Console(markup=False, emoji=False)
    return console if console.is_terminal or not wide else rich.console.Console(markup=False, emoji=False, width=160)
