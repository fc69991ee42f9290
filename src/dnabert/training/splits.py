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
from dnabert.sequence import similarity, tables
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import similar_names
from dnabert.sequence.similarity import NEAR
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
    check_shares(shares)
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


# --- splits that keep together what belongs together ------------------------------------------------------------------

TOLERANCE = 0.05
"""How far the share of rows in a part may be from the share asked for, where whole groups are kept on one side."""
_TRIES = 100
_MOST_STRATA = 100


def split_by_contig(
    table: Table,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    *,
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
        part = _deal(
            table, group, shares, seed, f"contigs ({', '.join(contigs[:6])}{', …' if len(contigs) > 6 else ''})"
        )
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
                alike = similar_names(contig, contigs)
                advice = f"did you mean {' or '.join(map(repr, alike))}?" if alike else "use their names"
                shown = ", ".join(contigs[:8]) + (f", … ({len(contigs)} in all)" if len(contigs) > 8 else "")
                raise InputError(f"{table.path}: no row lies on the contig '{contig}'; there are {shown}; {advice}")
            part[group == contigs.index(contig)] = which
    if not (part == 0).any():
        raise InputError(
            f"{table.path}: all contigs are named for dev and test, nothing is left to train on; name fewer"
        )
    return _parts(table, part)


def split_by_similarity(table: Table, shares: Sequence[float], seed: int = 0, threshold: float = NEAR) -> Splits:
    """Divide a table so that sequences that are the same or nearly so, on either strand, stay on one side.

    Parameters
    ----------
    table : Table
    shares : sequence of 3 floats
        Of train, dev and test rows, each class in the same proportions as far as whole clusters allow; the last may
        be 0.
    seed : int
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
    group = similarity.clusters(table.letters, table.offsets, threshold)
    return _parts(
        table, _deal(table, group, shares, seed, f"clusters of sequences with a similarity from {threshold:g}")
    )


def check_shares(shares: Sequence[float]) -> None:
    """Raise InputError unless these are shares of train, dev and test."""
    if len(shares) != 3 or min(shares) < 0 or min(shares[:2]) == 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"--split {','.join(f'{share:g}' for share in shares)}: three numbers that add up to 1 are required, "
            "for train, dev and test (0.8,0.1,0.1; test may be 0)"
        )


def label_codes(parts: Sequence[Table]) -> list[np.ndarray | None]:
    """Number the labels of several tables alike, whatever they are: text, numbers, several columns.

    Returns
    -------
    list of np.ndarray, int64, shape (rows,), or of None
        None for all tables if one has no labels.
    """
    columns = [_label_columns(table) for table in parts]
    if not columns or any(len(one) != len(columns[0]) or not one for one in columns):
        return [None] * len(parts)
    codes = []
    for same in zip(*columns, strict=True):
        texts = pa.concat_arrays([column.cast(pa.large_string()) for column in same])
        codes.append(pc.dictionary_encode(texts, null_encoding="encode").indices.to_numpy().astype(np.int64))
    whole = codes[0]
    if len(codes) > 1:
        whole = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()
    return list(np.split(whole, np.cumsum([table.rows for table in parts])[:-1]))


def label_texts(table: Table, rows: np.ndarray) -> list[str | None]:
    """Write the labels of some rows, several separated by commas; None without labels."""
    columns = [column.take(pa.array(rows)).to_pylist() for column in _label_columns(table)]
    return [",".join(map(str, values)) for values in zip(*columns, strict=True)] if columns else [None] * len(rows)


def _label_columns(table: Table) -> list[pa.Array]:
    labels = table.labels
    if labels is None:
        return []
    if isinstance(labels, np.ndarray):
        return [pa.array(column) for column in labels.reshape(len(labels), -1).T]
    if isinstance(labels, pa.Table):
        return [column.combine_chunks() for column in labels.columns]
    if isinstance(labels, pa.ChunkedArray):
        return [labels.combine_chunks()]
    if pa.types.is_nested(labels.type):
        return [pa.array(map(str, labels.to_pylist()), pa.large_string())]
    return [labels]


def _parts(table: Table, part: np.ndarray) -> Splits:
    train, dev, test = (tables.select(table, np.flatnonzero(part == which)) for which in range(3))
    return Splits(train, dev, test if test.rows else None)


def _deal(table: Table, group: np.ndarray, shares: Sequence[float], seed: int, what: str) -> np.ndarray:
    """Deal whole groups out to train, dev and test; int64, shape (rows,), the part of each row."""
    (codes,) = label_codes([table])
    strata = np.zeros(table.rows, dtype=np.int64) if codes is None or codes.max() >= _MOST_STRATA else codes
    groups = int(group.max()) + 1
    counts = np.zeros((groups, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(counts, (group, strata), 1)
    wanted = sum(share > 0 for share in shares)
    if groups < wanted:
        raise InputError(f"{table.path}: the {table.rows} rows make {groups} {what}; {wanted} or more are required")
    rng = np.random.default_rng(seed)
    target = np.asarray(shares)[:, None] * counts.sum(axis=0)
    # groups of one row are many, and any order of them will do
    best: tuple[float, np.ndarray] | None = None
    for _ in range(_TRIES if groups < 1000 else 1):
        order = rng.permutation(groups)
        order = order[np.argsort(-counts[order].sum(axis=1) * rng.uniform(0.5, 1, groups), kind="stable")]
        part = _fill(counts, order, target)
        reached = np.stack([counts[part == which].sum(axis=0) for which in range(3)])
        off = float(
            np.abs(reached.sum(axis=1) / table.rows - shares).max() * 10 + np.abs(reached - target).sum() / table.rows
        )
        if all(reached[which].sum() for which in range(3) if shares[which]) and (best is None or off < best[0]):
            best = (off, part)
    part = best[1] if best is not None else part
    got = np.array([counts[part == which].sum() for which in range(3)]) / table.rows
    if best is None or np.abs(got - shares).max() > TOLERANCE:
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
