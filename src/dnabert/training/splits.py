"""Where the training, dev and test rows come from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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


def split_rows(table: Table, shares: Sequence[float], seed: int, strata: np.ndarray, names: Sequence[str]) -> Splits:
    """Divide a table at random, each stratum in the same proportions.

    Parameters
    ----------
    table : Table
    shares : sequence of 3 floats
        Of train, dev and test; the last may be 0.
    seed : int
    strata : np.ndarray, int64, shape (rows,)
        The stratum of each row, for example its class.
    names : sequence of str
        What the strata are, for the message.

    Returns
    -------
    Splits

    Raises
    ------
    InputError
        If the shares do not add up to 1, or a stratum has too few rows for its share.
    """
    if len(shares) != 3 or min(shares) < 0 or min(shares[:2]) == 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"--split {','.join(f'{share:g}' for share in shares)}: three numbers that add up to 1 are required, "
            "for train, dev and test (0.8,0.1,0.1; test may be 0)"
        )
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for stratum, name in enumerate(names):
        rows = rng.permutation(np.nonzero(strata == stratum)[0])
        cuts = np.round(np.cumsum(shares)[:2] * len(rows)).astype(int)
        pieces = np.split(rows, cuts)
        if any(len(piece) == 0 and share > 0 for piece, share in zip(pieces, shares, strict=True)):
            raise InputError(f"{table.path}: the {len(rows)} rows of {name} are too few for --split; add rows")
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
    train, dev, test = (np.sort(np.concatenate(part)) for part in parts)
    return Splits(
        tables.select(table, train), tables.select(table, dev), tables.select(table, test) if len(test) else None
    )
