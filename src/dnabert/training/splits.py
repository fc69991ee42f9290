"""Where the training, dev and test rows come from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.sequence import intervals, similarity, tables
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import meant
from dnabert.sequence.similarity import NEAR
from dnabert.sequence.tables import Table

NAMES = ("train", "dev", "test")
ALIASES = {"train": ("train", "training"), "dev": ("dev", "valid", "validation", "val"), "test": ("test",)}


class Splits(NamedTuple):
    """Tables to train on, to choose the best checkpoint by, and to report on (may be missing)."""

    train: Table
    dev: Table
    test: Table | None


def read_folder(folder: Path, genome: str | os.PathLike[str] | None = None, length: int | None = None) -> Splits:
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
    train, dev, test = (
        None if path is None else tables.read(path, genome=genome, length=length) for path in files.values()
    )
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
    named = [path for alias in ALIASES[name] for path in sorted(folder.glob(f"{alias}.*"))]
    files = [path for path in named if path.is_file() and _is_rows(path)]
    if len(files) > 1:
        raise InputError(f"{folder}: {files[0].name} and {files[1].name} could both be '{name}'; keep one")
    return files[0] if files else None


def _is_rows(path: Path) -> bool:
    """Say whether a file holds rows by its name: `train.csv.bak` does not."""
    whole = path.name.lower().removesuffix(".gz").removesuffix(".bgz")
    return tables.is_table(path) or tables.is_fasta(path) or whole.endswith(intervals.BED_SUFFIXES)


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
    check_shares(shares)
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for name, of_stratum in zip(names, _members(strata, len(names)), strict=True):
        rows = rng.permutation(of_stratum)
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


def draw_rows(table: Table, rows: int, seed: int, strata: np.ndarray, names: Sequence[str]) -> Table:
    """Draw some rows at random, each stratum in its proportion and with one row at least.

    Raises
    ------
    InputError
        If fewer rows than strata are asked for.
    """
    if rows < len(names):
        shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        raise InputError(f"{table.path}: --rows {rows}: {len(names)} or more are required, one each of {shown}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(table.rows)
    place = np.empty(table.rows)  # of each row in its stratum, 0 to 1, the first of each before all others
    for members in _members(strata[order], len(names)):
        place[order[members]] = np.arange(len(members)) / max(len(members), 1)
    return tables.select(table, np.sort(np.argsort(place, kind="stable")[:rows]))


def _members(strata: np.ndarray, count: int) -> list[np.ndarray]:
    """List the rows of each stratum in their order."""
    return np.split(np.argsort(strata, kind="stable"), np.cumsum(np.bincount(strata, minlength=count))[:-1])


# --- splits that keep together what belongs together ------------------------------------------------------------------

TOLERANCE = 0.05
"""How far the share of rows in a part may be from the share asked for, where whole groups are kept on one side."""
_TRIES = 100


def split_by_contig(
    table: Table,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    *,
    strata: np.ndarray | None = None,
    dev: Sequence[str] = (),
    test: Sequence[str] = (),
) -> Splits:
    """Divide a table by chromosome: all rows of a contig go to one part.

    Parameters
    ----------
    table : Table
        With a column `chrom`.
    shares : sequence of 3 floats, optional
        Of train, dev and test rows; the last may be 0. Contigs are dealt out so that the shares, over all rows and in
        each class, come as close as 100 tries with random orders bring them.
    seed : int
        Of these orders.
    strata : np.ndarray, int64, shape (rows,), optional
        The stratum of each row, for example its class.
    dev, test : sequence of str, optional
        Names of contigs, instead of shares; train gets the others.

    Returns
    -------
    Splits
        Rows in the table's order.

    Raises
    ------
    InputError
        If there is no column `chrom`, no row has a contig that is named, one is named twice, nothing is left to train
        on, there are fewer contigs than parts, or the shares cannot be met within 0.05.
    """
    name = find(table.columns.column_names, ("chrom",))
    if name is None:
        raise InputError(
            f"{table.path}: a column 'chrom' is required to split by contig; give intervals, or split by similarity"
        )
    coded = pc.dictionary_encode(table.columns[name].cast(pa.large_string()).combine_chunks(), null_encoding="encode")
    contigs = [contig or "" for contig in coded.dictionary.to_pylist()]
    group = coded.indices.to_numpy().astype(np.int64)
    if shares is not None:
        if dev or test:
            raise InputError("give shares of rows or the names of contigs for dev and test, not both")
        check_shares(shares)
        what = f"contigs ({', '.join(contigs[:6])}{', …' if len(contigs) > 6 else ''})"
        part = _deal(table, group, shares, seed, strata, what)
        return _parts(table, part)
    both = sorted(set(dev) & set(test))
    if both or not dev:
        raise InputError(
            f"{both[0]}: this contig is named for dev and for test; name it once"
            if both
            else "no contig is named for dev, by which the best checkpoint is chosen; name one"
        )
    part = np.zeros(table.rows, dtype=np.int64)
    for which, wanted in ((1, dev), (2, test)):
        for contig in wanted:
            if contig not in contigs:
                advice = meant(contig, contigs) or "use their names"
                shown = ", ".join(contigs[:8]) + (f", … ({len(contigs)} in all)" if len(contigs) > 8 else "")
                raise InputError(f"{table.path}: no row lies on the contig '{contig}'; there are {shown}; {advice}")
            part[group == contigs.index(contig)] = which
    if not (part == 0).any():
        raise InputError(
            f"{table.path}: all contigs are named for dev and test, nothing is left to train on; name fewer"
        )
    return _parts(table, part)


def split_by_similarity(
    table: Table,
    shares: Sequence[float],
    seed: int = 0,
    *,
    strata: np.ndarray | None = None,
    threshold: float = NEAR,
) -> Splits:
    """Divide a table so that sequences that are the same or nearly so, on either strand, stay on one side.

    Parameters
    ----------
    table : Table
    shares : sequence of 3 floats
        Of train, dev and test rows, each stratum in the same proportions as far as whole clusters allow; the last may
        be 0.
    seed : int
    strata : np.ndarray, int64, shape (rows,), optional
        The stratum of each row, for example its class.
    threshold : float
        As in `dnabert.sequence.similarity.near_pairs`.

    Returns
    -------
    Splits
        Rows in the table's order.

    Raises
    ------
    InputError
        If the shares do not add up to 1, there are fewer clusters than parts, or the shares cannot be met within 0.05
        because one cluster is too large.
    """
    check_shares(shares)
    whole = tables.joined(table)
    group = similarity.clusters(whole.letters, whole.offsets, threshold)
    what = f"clusters of sequences with a similarity from {threshold:g}"
    return _parts(table, _deal(table, group, shares, seed, strata, what))


def check_shares(shares: Sequence[float]) -> None:
    """Raise InputError unless these are shares of train, dev and test."""
    if len(shares) != 3 or min(shares) < 0 or min(shares[:2]) == 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise InputError(
            f"--split {','.join(f'{share:g}' for share in shares)}: three numbers that add up to 1 are required, "
            "for train, dev and test (0.8,0.1,0.1; test may be 0)"
        )


def _parts(table: Table, part: np.ndarray) -> Splits:
    train, dev, test = (tables.select(table, np.flatnonzero(part == which)) for which in range(3))
    return Splits(train, dev, test if test.rows else None)


def _deal(
    table: Table, group: np.ndarray, shares: Sequence[float], seed: int, strata: np.ndarray | None, what: str
) -> np.ndarray:
    """Deal whole groups out to train, dev and test; int64, shape (rows,), the part of each row."""
    strata = np.zeros(table.rows, dtype=np.int64) if strata is None else strata
    groups = int(group.max()) + 1
    counts = np.zeros((groups, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(counts, (group, strata), 1)
    wanted = sum(share > 0 for share in shares)
    if groups < wanted:
        raise InputError(f"{table.path}: the {table.rows} rows make {groups} {what}; {wanted} or more are required")
    rng = np.random.default_rng(seed)
    target = np.asarray(shares)[:, None] * counts.sum(axis=0)
    best = (True, 0, np.inf)  # not usable, strata that train lacks, how far off
    part = np.zeros(groups, dtype=np.int64)
    # the second time by size alone: a stratum that few groups hold can draw all orders to one division
    for sizes, aims in ((counts, target), (counts.sum(axis=1, keepdims=True), target.sum(axis=1, keepdims=True))):
        for _ in range(_TRIES if groups < 1000 else 1):  # groups of one row are many, and any order of them will do
            order = rng.permutation(groups)
            order = order[np.argsort(-counts[order].sum(axis=1) * rng.uniform(0.5, 1, groups), kind="stable")]
            new = _fill(sizes, order, aims)
            reached = np.stack([counts[new == which].sum(axis=0) for which in range(3)])
            off = float(np.abs(reached.sum(axis=1) / table.rows - shares).max())
            if off <= TOLERANCE and all(reached[which].any() for which in range(3) if shares[which]):
                lacking = int((reached[0] == 0).sum())
                rank = (False, lacking, off * 10 + float(np.abs(reached - target).sum()) / table.rows)
            else:
                rank = (True, 0, off)
            if rank < best:
                best, part = rank, new
        if best[:2] == (False, 0):
            break
    if best[0]:
        got = np.array([counts[part == which].sum() for which in range(3)]) / table.rows
        raise InputError(
            f"{table.path}: {groups} {what} cannot be divided into {', '.join(f'{share:g}' for share in shares)}: the "
            f"nearest is {', '.join(f'{share:.2f}' for share in got)}, and the largest holds "
            f"{counts.sum(axis=1).max()} of {table.rows} rows; ask for shares nearer to these"
        )
    return part[group]


@numba.njit(nogil=True, cache=True)
def _fill(counts: np.ndarray, order: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give each group, in an order, to the part that lacks most of what it holds, by the part's own size."""
    part = np.zeros(len(counts), dtype=np.int64)
    have = np.zeros(target.shape)
    for group in order:
        best = -np.inf
        for which in range(len(target)):
            size = target[which].sum()
            if size == 0:
                continue
            lack = 0.0
            for stratum in range(counts.shape[1]):
                lack += counts[group, stratum] * (target[which, stratum] - have[which, stratum]) / size
            if lack > best:
                best = lack
                part[group] = which
        have[part[group]] += counts[group]
    return part
