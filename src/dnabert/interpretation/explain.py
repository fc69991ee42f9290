"""Scores per base of a file of sequences, with tracks and figures: what `dnabert explain` does."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnabert.errors import InputError
from dnabert.files import check_apart, claim_folder, replacing_files
from dnabert.inference import engine
from dnabert.inference.attention import Chosen, attention
from dnabert.inference.engine import Engine
from dnabert.inference.predict import STRANDS, predict
from dnabert.interpretation import plots
from dnabert.interpretation.attribution import STEPS, contributions, integrated_gradients, ism, target_class
from dnabert.interpretation.context import attention_map, context
from dnabert.interpretation.pages import Entry, write_index
from dnabert.interpretation.places import check_places, first_position, has_places, label
from dnabert.interpretation.scores import (
    ROWS,
    Scores,
    export_original,
    model_fingerprint,
    sequences_fingerprint,
    write_npz,
    write_parquet,
)
from dnabert.interpretation.tracks import write_tracks
from dnabert.model.device import describe
from dnabert.progress import say
from dnabert.sequence import tables, windows
from dnabert.sequence.genome import Genome
from dnabert.sequence.tables import Table

OF_A_CLASS = ("ism", "ig")
"""Methods that explain the logit of a class."""
METHODS = ("attention", *OF_A_CLASS, "context")
UNITS = {
    "attention": "attention (unit norm)",
    "ism": "contribution (logit)",
    "ig": "contribution (logit)",
    "context": "attention to the position",
}
FORMATS = ("npz", "parquet")


class Settings(NamedTuple):
    """How scores are computed; each method takes what it knows. As the options of `explain`."""

    method: str = "attention"
    target: str | None = None
    layers: Chosen = None
    heads: Chosen = None
    rollout: bool = False
    position: int | None = None
    steps: int = STEPS
    strand: str = "given"
    batch_tokens: int | None = None


class Explained(NamedTuple):
    """What `explain` wrote.

    Attributes
    ----------
    folder : pathlib.Path
    scores : pathlib.Path
        The file of scores.
    sequences : int
    completeness : float or None
        Of integrated gradients: the median over sequences of the completeness error, as a share of the difference of
        logits that the scores add up to.
    """

    folder: Path
    scores: Path
    sequences: int
    completeness: float | None


def explain(
    model: str | os.PathLike[str],
    sequences: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    method: str = "attention",
    genome: str | os.PathLike[str] | None = None,
    target: str | None = None,
    layers: Chosen = None,
    heads: Chosen = None,
    rollout: bool = False,
    position: int | None = None,
    row: int = 0,
    steps: int = STEPS,
    strand: str | None = None,
    file_format: str = "npz",
    original: bool = False,
    figures: int = 3,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_tokens: int | None = None,
) -> Explained:
    """Score each base of the sequences in a file by what it means to a model, and draw it.

    Parameters
    ----------
    model : path
        A model directory. `ism` and `ig` need a classifier.
    sequences : path
        Table, FASTA file or intervals, as in `dnabert.sequence.tables.read`.
    out : path
        A folder for the scores, tracks, figures and `index.html`.
    method : str
        `attention` (of `[CLS]`, the paper's), `ism` (in-silico mutagenesis), `ig` (integrated gradients) or `context`
        (attention to one position).
    genome : path, optional
        FASTA file that intervals refer to; tracks are written for intervals.
    target : str, optional
        For `ism` and `ig`: the class whose logit is explained; by default the second of two, else the predicted one.
    layers, heads : sequence of int or `all`, optional
        For `attention` and `context`: which, from 0 (negative from the last). All heads by default; the last layer, but
        for `attention` all layers where the head reads the mean of the k-mers.
    rollout : bool
        For `attention`: follow it through all layers.
    position : int, optional
        For `context`: the position attended to, 0-based.
    row : int
        For `context`: the sequence whose whole map is drawn, from 0.
    steps : int
        For `ig`: points of the path.
    strand : str
        `given`, or `both`: the mean of a sequence's scores and those of its reverse complement, for labels that do
        not depend on the strand. By default what the model was trained for; `context` is always of one strand.
    file_format : str
        `npz` or `parquet`.
    original : bool
        For `attention`: write `atten.npy` and `pred_results.npy` too.
    figures : int
        How many sequences, the first ones, are drawn one by one.
    overwrite : bool
        Replace what another run left in `out`.
    device, precision : str
        As in `dnabert.load`; `auto` is float32 for `ism` and `ig`, which compute small differences.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    Explained

    Raises
    ------
    InputError
        If the model, a file or an option is not as required.
    """
    settings = Settings(method, target, layers, heads, rollout, position, steps, strand or "given", batch_tokens)
    _check(settings, file_format, original, figures)
    check_apart(out, model, sequences, genome)
    folder = claim_folder(out, overwrite)
    started = start(model, method, device, precision)
    if strand is None and method != "context":
        settings = settings._replace(strand=started.strand)
    table = tables.read(sequences, genome=genome)
    places = Genome.open(genome) if genome is not None and has_places(table) else None
    check_places(table)
    loaded = started.checkpoint
    column = target_class(loaded, target) if method in OF_A_CLASS else None
    if method in OF_A_CLASS and column is None and settings.strand == "both":
        raise InputError(
            f"--strand both: say which class is explained, --target {' or '.join(loaded.labels)}; or --strand given"
        )
    windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    if original and loaded.task != "classification":
        raise InputError(
            f"--export-original writes probabilities of classes, and this model is of {loaded.task}; leave it out"
        )
    say(f"Explaining {table.rows:,} sequences ({method}) on {describe(started.device, started.precision)}")
    with replacing_files(folder) as temporary:
        values, extra = _compute_on_disk(started, table, settings, temporary)
        scores = Scores(
            values,
            np.diff(table.offsets),
            method,
            model_fingerprint(loaded),
            sequences_fingerprint(table),
            "" if column is None else loaded.labels[column],
        )
        written = temporary / f"scores.{file_format}"
        if file_format == "npz":
            write_npz(scores, written)
        else:
            write_parquet(scores, table, written, extra)
        bases = contributions_in_place(values, temporary) if method == "ism" else values
        if places is not None:
            write_tracks(table, bases, places, temporary / "scores")
        if original:
            export_original(values, predict(started, table, batch_tokens).probabilities, temporary)
        entries = _draw(started, table, values, bases, settings, row, figures, temporary)
        summary = {"sequences": table.rows} | _summary(extra)
        facts = {"model": str(model), "data": str(sequences)} | summary
        write_index(temporary / "index.html", f"{method} of {Path(sequences).name}", facts, entries)
        record = {"command": "explain", "arguments": sys.argv, "settings": settings._asdict()} | facts
        (temporary / "run.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
        for left in temporary.glob("*.working.npy"):
            left.unlink()
    return Explained(folder, folder / written.name, table.rows, _summary(extra).get("median completeness error"))


def start(model: str | os.PathLike[str], method: str, device: str = "auto", precision: str = "auto") -> Engine:
    """Load a model for a method: in float32 where it computes small differences of logits, unless told otherwise."""
    small = precision == "auto" and method in OF_A_CLASS
    return engine.start(model, device, "float32" if small else precision)


def compute(
    started: Engine, table: Table, settings: Settings, room: Callable[[str], np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Compute scores of a table's sequences by any method.

    Parameters
    ----------
    started : Engine
    table : Table
    settings : Settings
    room : callable
        Gives an array to write to, of the shape of the scores, for a name.

    Returns
    -------
    tuple of np.ndarray and dict of str to np.ndarray
        Scores, float32, shape (sequences, longest) or, of `ism`, (sequences, longest, 4); and what else the method
        says of each sequence.
    """
    values, extra = _one_strand(started, table, settings, room("scores"))
    if settings.strand == "given":
        return values, extra
    other, _ = _one_strand(started, tables.reverse_complemented(table), settings, room("reverse"))
    for row, length in enumerate(np.diff(table.offsets)):
        turned = other[row, :length][::-1]
        mean = (
            values[row, :length] + (turned[:, ::-1] if values.ndim == 3 else turned)
        ) / 2  # A, C, G, T -> T, G, C, A
        if settings.method == "attention":
            mean /= np.linalg.norm(mean) or 1.0
        values[row, :length] = mean
    return values, extra


def _one_strand(
    started: Engine, table: Table, settings: Settings, out: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    tokens = settings.batch_tokens
    layers, heads = settings.layers, settings.heads
    if settings.method == "attention":
        rollout = settings.rollout
        attention(started, table, layers=layers, heads=heads, rollout=rollout, batch_tokens=tokens, out=out)
    elif settings.method == "ism":
        ism(started, table, settings.target, tokens, out)
    elif settings.method == "ig":
        result = integrated_gradients(started, table, settings.target, settings.steps, tokens, out)
        return out, {"completeness_error": result.errors, "logit_difference": result.differences}
    else:
        assert settings.position is not None
        context(started, table, settings.position, layers=layers, heads=heads, batch_tokens=tokens, out=out)
    return out, {}


def _compute_on_disk(
    started: Engine, table: Table, settings: Settings, folder: Path
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    longest = int(np.diff(table.offsets).max())
    shape = (table.rows, longest, 4) if settings.method == "ism" else (table.rows, longest)
    return compute(started, table, settings, functools.partial(_room, folder=folder, shape=shape))


def _room(name: str, folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map a new file into memory: what is written to it does not stay there."""
    return np.lib.format.open_memmap(folder / f"{name}.working.npy", mode="w+", dtype=np.float32, shape=shape)


def contributions_in_place(effects: np.ndarray, folder: Path) -> np.ndarray:
    """Turn effects of mutations into a score a base, in a file mapped into memory, float32, shape (rows, longest)."""
    out = _room("contributions", folder, effects.shape[:2])
    for first in range(0, len(effects), ROWS):
        out[first : first + ROWS] = contributions(effects[first : first + ROWS])
    return out


def _summary(extra: dict[str, np.ndarray]) -> dict[str, float]:
    if "completeness_error" not in extra:
        return {}
    shares = np.abs(extra["completeness_error"]) / np.maximum(np.abs(extra["logit_difference"]), 1e-6)
    return {"median completeness error": float(np.median(shares)), "largest": float(shares.max())}


def _check(settings: Settings, file_format: str, original: bool, figures: int) -> None:
    method = settings.method
    for option, value, known in (
        ("--method", method, METHODS),
        ("--strand", settings.strand, STRANDS),
        ("--format", file_format, FORMATS),
    ):
        if value not in known:
            raise InputError(f"{option} {value}: give one of {', '.join(known)}")
    if (method == "context") != (settings.position is not None):
        raise InputError("--position says which base is attended to: the method context needs it, others have none")
    if method == "context" and settings.strand == "both":
        raise InputError("--strand both: context is of one strand; leave it out")
    for option, given in (("--export-original", original), ("--rollout", settings.rollout)):
        if given and method != "attention":
            raise InputError(f"{option} goes with --method attention, not {method}")
    check_layers(settings)
    if settings.target is not None and method not in OF_A_CLASS:
        raise InputError(f"--target goes with --method ism or ig, not {method}: attention is of no class")
    if settings.steps < 1 or figures < 0:
        raise InputError("--steps of 1 or more and --figures of 0 or more are required")


def check_layers(settings: Settings) -> None:
    """Raise InputError if layers or heads are chosen for a method that does not read attention."""
    for option, chosen in (("--layers", settings.layers), ("--heads", settings.heads)):
        if chosen is not None and settings.method in OF_A_CLASS:
            raise InputError(
                f"{option} chooses attention, and --method {settings.method} does not read it; leave it out"
            )


def _draw(
    started: Engine,
    table: Table,
    values: np.ndarray,
    bases: np.ndarray,
    settings: Settings,
    row: int,
    figures: int,
    folder: Path,
) -> list[Entry]:
    """Draw the set and the first sequences; what the index shows."""
    method, unit = settings.method, UNITS[settings.method]
    mark = None if settings.position is None else settings.position % values.shape[1]
    entries = []

    def add(figure: Any, name: str, words: str) -> None:
        png, svg = plots.save(figure, folder / name)
        entries.append(Entry(png.name, svg.name, words))

    title = f"{table.path.name}, {table.rows:,} sequences"
    add(plots.landscape(bases, unit=unit, title=title, mark=mark), "landscape", "All sequences, and their mean on top.")
    if method == "context":
        weights = attention_map(started, table, row, layers=settings.layers, heads=settings.heads)
        add(
            plots.context_map(weights, title=label(table, row), mark=mark),
            "map",
            f"All attention in {label(table, row)}.",
        )
        return entries
    for i in range(min(figures, table.rows)):
        sequence = table.sequences[i].as_py()
        name, start = label(table, i), first_position(table, i)
        add(
            plots.track(bases[i, : len(sequence)], sequence, start=start, unit=unit.split(" (")[0], title=name),
            f"track-{i + 1}",
            f"{name}: letters as high as their scores.",
        )
        if method == "ism":
            part = values[i, : len(sequence)]
            add(
                plots.mutation_map(part, sequence, start=start, title=name),
                f"mutations-{i + 1}",
                f"{name}: what each other base would change.",
            )
    return entries
