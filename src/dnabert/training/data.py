"""The rows of a fine-tuning: read, labelled, divided, and thinned out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dnabert.errors import InputError
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.annotate import check_annotation, label_bases
from dnabert.sequence.tables import Table
from dnabert.training import splits, targets
from dnabert.training.metrics import Truth
from dnabert.training.splits import Splits
from dnabert.training.targets import Task

Named = TypeVar("Named", str, str | os.PathLike[str])
Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A folder of splits, or the files of one set."""
SPLITS_BY = ("rows", "contig", "similarity")
READ_BY = (
    *("genome", "labels", "label", "annotation", "task"),
    *("split", "split_by", "length", "rows", "share", "seed"),
)
"""Options that say which rows there are and what they are to be predicted as."""


def read_splits(
    data: Data,
    *,
    genome: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    label: Sequence[str] = (),
    annotation: str | os.PathLike[str] | None = None,
    task: str | None = None,
    split: Sequence[float] | None = None,
    split_by: str = "rows",
    length: int | None = None,
    rows: int | None = None,
    share: float = 1.0,
    seed: int = 0,
) -> tuple[Splits, Task]:
    """Read a folder of splits, or read one set and divide it; find the task. Parameters are those of `finetune`.

    Raises
    ------
    InputError
        If neither is given, or both, or the labels are not as required.
    """
    if split_by not in SPLITS_BY:
        raise InputError(f"--split-by {split_by}: give one of {', '.join(SPLITS_BY)}")
    if annotation is not None and genome is not None:
        check_annotation(annotation, genome)
    paths = as_list(data)
    if len(paths) == 1 and Path(paths[0]).is_dir():
        for option, value in (("--split", split), ("--split-by", None if split_by == "rows" else split_by)):
            if value is not None:
                raise InputError(f"{paths[0]}: a folder brings its own splits; leave {option} out, or name one file")
        if labels is not None:
            raise InputError(f"{paths[0]}: a folder brings its own labels; leave --labels out, or name one FASTA file")
        parts = splits.read_folder(Path(paths[0]), genome, length)
        if annotation is not None:
            parts = Splits(
                label_bases(parts.train, annotation),
                label_bases(parts.dev, annotation),
                None if parts.test is None else label_bases(parts.test, annotation),
            )
        found = targets.infer(parts.train, label, task)
    else:
        table = tables.read(paths, genome=genome, labels=labels, length=length)
        if split is None:
            raise InputError(f"{paths[0]}: one set of rows has to be divided; give --split 0.8,0.1,0.1, or a folder")
        table = table if annotation is None else label_bases(table, annotation)
        found = targets.infer(table, label, task)
        parts = _divide(table, found, split, split_by, seed)
    if rows is not None and rows > parts.train.rows:
        say(f"Warning: {parts.train.path}: --rows {rows}, but {parts.train.rows} are all there are to train on")
    if rows is not None or share != 1:
        few = round(share * min(rows or parts.train.rows, parts.train.rows))
        parts = parts._replace(train=splits.draw_rows(parts.train, few, seed, *targets.strata(parts.train, found)))
    return parts, found


class Truths(NamedTuple):
    """What stands in the labels of each part (`test` is None where that part is)."""

    train: Truth
    dev: Truth
    test: Truth | None


class Labelled(NamedTuple):
    """The rows of a fine-tuning, what stands in their labels, and the task.

    Attributes
    ----------
    parts : Splits
    truths : Truths
    task : Task
    """

    parts: Splits
    truths: Truths
    task: Task


def read_labelled(options: Mapping[str, Any]) -> Labelled:
    """Read the rows and their labels as options of `finetune` say.

    Raises
    ------
    InputError
        As `read_splits` does, or if no training row is of one of the classes.
    """
    parts, task = read_splits(options["data"], **{name: options[name] for name in READ_BY})
    read = labelled(parts, task)
    _check_classes(read)
    return read


def labelled(parts: Splits, task: Task) -> Labelled:
    """Read the labels of rows for a task."""
    train, dev = targets.truth(parts.train, task), targets.truth(parts.dev, task)
    return Labelled(parts, Truths(train, dev, None if parts.test is None else targets.truth(parts.test, task)), task)


def _check_classes(read: Labelled) -> None:
    """Raise InputError where no training row is of a class: dividing rows, or drawing some, may leave it out."""
    train, dev, test = read.truths
    if read.task.kind not in ("classification", "per-base"):
        return
    counts = np.bincount(train.values[train.values >= 0], minlength=len(train.names))
    if counts.all():
        return
    lacking = int(counts.argmin())
    others = sum(_rows_of(one, lacking) for one in (dev, test) if one is not None)
    raise InputError(
        f"{read.parts.train.path}: none of the {train.rows} training rows holds the class '{train.names[lacking]}', "
        f"and {others} of dev and test; add rows of it, delete those there are, or divide otherwise (--split, "
        "--split-by, --seed)"
    )


def _rows_of(truth: Truth, code: int) -> int:
    """Count the rows of a class, or with a base of it."""
    found = truth.values == code
    return int(found.sum()) if truth.groups is None else len(np.unique(truth.groups[found]))


def _divide(table: Table, task: Task, split: Sequence[float], split_by: str, seed: int) -> Splits:
    strata, names = targets.strata(table, task)
    if split_by == "contig":
        return splits.split_by_contig(table, split, seed, strata=strata)
    if split_by == "similarity":
        return splits.split_by_similarity(table, split, seed, strata=strata)
    return splits.split_rows(table, split, seed, strata, names)


def files_of(settings: Mapping[str, Any]) -> list[str]:
    """List the files that hold rows and labels, by the settings of a run (`finetune.settings_asked`)."""
    files = []
    for path in map(Path, settings["data"]):
        found = (splits.find_file(path, name) for name in splits.NAMES) if path.is_dir() else (path,)
        files += [str(file.resolve()) for file in found if file is not None]
    return [*files, *(settings[name] for name in ("genome", "labels", "annotation") if settings.get(name))]


def resolved(path: str | os.PathLike[str] | None) -> str | None:
    """Write a path in full, for the record of a run; None stays None."""
    return None if path is None else str(Path(path).resolve())


def as_list(given: Named | Sequence[Named]) -> list[Named]:
    """Make a list of what may be one path or name."""
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)
