"""Where the training, dev and test rows come from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.sequence.tables import Table

NAMES = ("train", "dev", "test")
ALIASES = {"train": ("train", "training"), "dev": ("dev", "valid", "validation", "val"), "test": ("test",)}


class Splits(NamedTuple):
    """Tables to train on, to choose the best checkpoint by, and to report on (may be missing)."""

    train: Table
    dev: Table
    test: Table | None


def read_folder(folder: Path, genome: str | os.PathLike[str] | None = None) -> Splits:
    """Read the files `train`, `dev` and `test` (the last may be missing) of a folder, whatever their format.

    Raises
    ------
    InputError
        If train or dev is missing, or two files could be one of them.
    """
    files = {name: find_file(folder, name) for name in NAMES}
    for name in NAMES[:2]:
        if files[name] is None:
            there = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"
            raise InputError(
                f"{folder}: a file '{name}' (.tsv, .csv, .parquet or FASTA) is required, the folder holds {there}; "
                "add it, or give one file and --split"
            )
    train, dev, test = (None if path is None else tables.read(path, genome=genome) for path in files.values())
    assert train is not None
    assert dev is not None
    return Splits(train, dev, test)


def find_file(folder: Path, name: str) -> Path | None:
    """Find the file of a split in a folder, under its name or a usual other one (`valid` for `dev`).

    Raises
    ------
    InputError
        If two files could be it.
    """
    files = [path for alias in ALIASES[name] for path in sorted(folder.glob(f"{alias}.*")) if path.is_file()]
    if len(files) > 1:
        raise InputError(f"{folder}: {files[0].name} and {files[1].name} could both be '{name}'; keep one")
    return files[0] if files else None


def split_rows(table: Table, shares: Sequence[float], seed: int) -> Splits:
    """Divide a table at random, each class in the same proportions.

    Parameters
    ----------
    table : Table
        With labels.
    shares : sequence of 3 floats
        Of train, dev and test; the last may be 0.
    seed : int

    Returns
    -------
    Splits

    Raises
    ------
    InputError
        If the shares do not add up to 1, or a class has too few rows for its share.
    """
    if len(shares) != 3 or min(shares) < 0 or min(shares[:2]) == 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"--split {','.join(f'{share:g}' for share in shares)}: three numbers that add up to 1 are required, "
            "for train, dev and test (0.8,0.1,0.1; test may be 0)"
        )
    coded = pc.dictionary_encode(table.labels)
    codes = coded.indices.to_numpy()
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for code, label in enumerate(coded.dictionary.to_pylist()):
        rows = rng.permutation(np.nonzero(codes == code)[0])
        cuts = np.round(np.cumsum(shares)[:2] * len(rows)).astype(int)
        pieces = np.split(rows, cuts)
        if any(len(piece) == 0 and share > 0 for piece, share in zip(pieces, shares, strict=True)):
            raise InputError(f"{table.path}: the {len(rows)} rows of class '{label}' are too few for --split; add rows")
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
    train, dev, test = (np.sort(np.concatenate(part)) for part in parts)
    return Splits(
        tables.select(table, train), tables.select(table, dev), tables.select(table, test) if len(test) else None
    )


def classes_of(table: Table) -> tuple[str, ...]:
    """Infer the classes from the labels of a table: whole numbers in their order, else words in theirs.

    Raises
    ------
    InputError
        If there are no labels, an empty one, numbers beside words, fractions, or one class only.
    """
    if table.labels is None:
        raise InputError(f"{table.path}: a column 'label' is required to train or evaluate; add one")
    distinct = pc.unique(table.labels).to_pylist()
    kinds = {label: _kind_of_label(label) for label in distinct}
    for kind, rule in (
        ("empty", "the label is empty; fill it or delete the row"),
        ("fraction", "is no class: whole numbers or words are required; bin the values into classes"),
    ):
        odd = next((label for label in distinct if kinds[label] == kind), None)
        if odd is not None:
            words = rule if kind == "empty" else f"label '{odd}' {rule}"
            raise InputError(f"{table.where(_first_row(table, odd))}: {words}")
    if len(set(kinds.values())) > 1:
        fewer = min(("number", "word"), key=lambda kind: sum(kinds[label] == kind for label in distinct))
        odd = next(label for label in distinct if kinds[label] == fewer)
        others = ", ".join(repr(label) for label in distinct if kinds[label] != fewer)
        raise InputError(
            f"{table.where(_first_row(table, odd))}: label '{odd}' is a {fewer}, other labels are not ({others[:60]}); "
            "give all classes as whole numbers or all as words"
        )
    if len(distinct) < 2:
        raise InputError(
            f"{table.path}: all {table.rows} rows have the label '{distinct[0]}'; two classes or more are required"
        )
    numbers = kinds[distinct[0]] == "number"
    return tuple(sorted(distinct, key=lambda label: int(float(label)) if numbers else label))


def class_codes(table: Table, classes: Sequence[str]) -> np.ndarray:
    """Turn labels into positions in `classes`.

    Returns
    -------
    np.ndarray, int64, shape (rows,)

    Raises
    ------
    InputError
        If a row has a label that is no class, or there are no labels.
    """
    if table.labels is None:
        raise InputError(f"{table.path}: a column 'label' is required to evaluate; add one")
    codes = pc.index_in(table.labels, value_set=pa.array(list(classes), table.labels.type))
    if codes.null_count:
        row = int(pc.index(pc.is_null(codes), True).as_py())
        raise InputError(
            f"{table.where(row)}: label '{table.labels[row]}' is none of the classes ({', '.join(classes)}); correct it"
        )
    return codes.to_numpy().astype(np.int64)


def _kind_of_label(label: str) -> str:
    if not label.strip():
        return "empty"
    try:
        value = float(label)
    except ValueError:
        return "word"
    return "number" if value.is_integer() else "fraction"


def _first_row(table: Table, label: str) -> int:
    return int(pc.index(table.labels, label).as_py())
