"""Rows that stand in more than one split: what makes a test score better than the model.

Of each pair of splits, and within each split: rows with the same sequence, rows with the reverse complement of one,
rows that are nearly the same (`dnabert.sequence.similarity`), and rows with the same sequence but another label.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.files import check_not_input
from dnabert.progress import say
from dnabert.sequence import similarity, tables
from dnabert.sequence.delimited import find
from dnabert.sequence.similarity import NEAR, StrandHashes
from dnabert.sequence.tables import Table
from dnabert.training import splits, targets
from dnabert.training.data import as_list
from dnabert.training.splits import Splits

SPLIT_NAMES = ("split", "set", "partition", "fold")
"""Accepted headers of the column that names a row's split."""

KINDS = ("none", "exact", "reverse complement", "near")
_EXACT, _REVERSE, _NEAR = range(1, 4)


class Shared(NamedTuple):
    """Rows of one split that stand in another.

    Attributes
    ----------
    split : str
        The split whose rows are counted.
    reference : str
        The split they also stand in. The same as `split`: rows that repeat an earlier row.
    rows : int
        Rows of `split`.
    exact, reverse_complement : int
        Rows whose sequence stands in the reference as it is; only as its reverse complement.
    near : int or None
        Rows that have a near duplicate in the reference, and are none of the above. None: not looked for.
    conflicts : int
        Rows whose sequence stands in the reference as it is with another label.
    """

    split: str
    reference: str
    rows: int
    exact: int
    reverse_complement: int
    near: int | None
    conflicts: int


class Leakage(NamedTuple):
    """What splits share.

    Attributes
    ----------
    across : tuple of Shared
        Each split against those before it: dev in train, test in train, test in dev.
    within : tuple of Shared
        Each split against itself; near duplicates are not looked for.
    """

    across: tuple[Shared, ...]
    within: tuple[Shared, ...]


class Matches(NamedTuple):
    """For each row of a split, what it is in another.

    Attributes
    ----------
    kind : np.ndarray, uint8, shape (rows,)
        Position in `KINDS`; the first that applies.
    partner : np.ndarray, int64, shape (rows,)
        A row of the other split: the first with the same sequence, the most similar; -1 if there is none.
    similarity : np.ndarray, float32, shape (rows,)
        1 for the same sequence on either strand, 0 if there is no partner.
    conflict : np.ndarray, bool, shape (rows,)
        The same sequence stands there with another label.
    """

    kind: np.ndarray
    partner: np.ndarray
    similarity: np.ndarray
    conflict: np.ndarray


def check(
    parts: Splits | Mapping[str, Table],
    near: float | None = None,
    numbers: bool | None = None,
    label: Sequence[str] = (),
) -> Leakage:
    """Count the rows that stand in more than one split.

    Parameters
    ----------
    parts : Splits, or mapping of str to Table
        In the order train, dev, test: the rows of the later ones are counted.
    near : float, optional
        Count near duplicates across splits too, from this similarity on (`dnabert.sequence.similarity.NEAR` is usual).
        Without it a million rows of 100 bp take some seconds.
    numbers : bool, optional
        Labels are numbers, of which none are in conflict; by default that is read from the labels.
    label : sequence of str
        The columns of labels; rows conflict where one of them differs. By default `label`, if there is one.

    Returns
    -------
    Leakage
    """
    return _counts(find_matches(parts, near, numbers, label), near)


def check_leakage(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    genome: str | os.PathLike[str] | None = None,
    split_column: str | None = None,
    label: str | Sequence[str] = (),
    near: float | None = NEAR,
) -> dict[str, Leakage]:
    """Count the rows that stand in more than one split, of one data set or of many.

    Parameters
    ----------
    data, genome, split_column
        As in `data_sets`.
    out : path, optional
        `.tsv`, `.csv` or `.parquet` that lists these rows, as in `pairs_table`.
    label : str or sequence of str
        The columns of labels, as in `check`.
    near : float, optional
        Similarity from which rows are near duplicates; None looks for none.

    Returns
    -------
    dict of str to Leakage
        By data set.

    Raises
    ------
    InputError
        If the data or the threshold is not as required.
    """
    if near is not None and not 0 < near <= 1:
        raise InputError(f"--similarity {near:g}: a share above 0 and at most 1 is required")
    if out is not None:
        tables.check_output(out)
        check_not_input(out, data, genome)
    label = as_list(label)
    result, listed = {}, []
    for name, parts in data_sets(data, genome=genome, split_column=split_column):
        found = find_matches(parts, near, label=label)
        result[name] = _counts(found, near)
        if out is not None:
            listed.append(pairs_table(name, parts, found, label))
    if out is not None:
        tables.write(pa.concat_tables(listed), out)
    return result


def warning(leakage: Leakage) -> str | None:
    """Say in one line what stands on both sides, or return None if nothing does."""
    told = []
    for shared in leakage.across:
        conflicts = f" ({shared.conflicts:,} with another label)" if shared.conflicts else ""
        counts = (
            (shared.exact, f"as they are{conflicts}"),
            (shared.reverse_complement, "as reverse complement"),
            (shared.near or 0, "nearly"),
        )
        words = [f"{count:,} {how}" for count, how in counts if count]
        if words:
            told.append(f"of {shared.rows:,} {shared.split} rows {', '.join(words)} stand in {shared.reference}")
    within = [(one.conflicts, one.split) for one in leakage.within if one.conflicts]
    told += [
        f"{count:,} {split} rows have the sequence of another {split} row and another label" for count, split in within
    ]
    if not told:
        return None
    return f"WARNING: {'; '.join(told)}. dnabert check-leakage lists them"


def find_matches(
    parts: Splits | Mapping[str, Table],
    near: float | None = None,
    numbers: bool | None = None,
    label: Sequence[str] = (),
) -> dict[tuple[str, str], Matches]:
    """Find for each row of each split the same sequence in those before it and in itself.

    Parameters
    ----------
    parts, near, numbers, label
        As in `check`.

    Returns
    -------
    dict of (str, str) to Matches
        By the split whose rows are looked up and the one they are looked up in.
    """
    named = _named(parts)
    whole = {name: tables.joined(table) for name, table in named.items()}
    hashes = {name: _hashes(table, whole[name]) for name, table in named.items()}
    labels = _labels(named, numbers, label)
    found = {}
    for at, split in enumerate(named):
        for reference in list(named)[: at + 1]:
            found[split, reference] = _same(
                hashes[split], hashes[reference], labels[split], labels[reference], split == reference
            )
    if near is not None:
        _add_near(found, whole, hashes, near)
    return found


def _hashes(table: Table, whole: Table) -> StrandHashes:
    """Hash rows, written as one, on both strands; of a pair, both sequences turn round and keep their places."""
    hashes = similarity.strand_hashes(whole.letters, whole.offsets)
    if table.second is None:
        return hashes
    turned = tables.joined(tables.reverse_complemented(table))
    return hashes._replace(reverse=similarity.strand_hashes(turned.letters, turned.offsets).forward)


def _labels(parts: Mapping[str, Table], numbers: bool | None, label: Sequence[str]) -> dict[str, np.ndarray | None]:
    """Number the labels of several tables alike, of all columns but numbers to regress on; None where none is left."""
    first = next(iter(parts.values()))
    columns = [name for name in label or ("label",) if not (_are_numbers(first, name) if numbers is None else numbers)]
    texts = [_label_texts(table, label and columns, "\0") for table in parts.values()]
    if not columns or None in texts:
        return dict.fromkeys(parts)
    codes = pc.dictionary_encode(pa.concat_arrays(texts)).indices.to_numpy().astype(np.int64)
    ends = np.cumsum([table.rows for table in parts.values()])
    return dict(zip(parts, np.split(codes, ends[:-1]), strict=True))


def _label_texts(table: Table, label: Sequence[str], separator: str = ",") -> pa.LargeStringArray | None:
    """Write the labels of each row as one text; None where there are none."""
    if not label and table.labels is None:
        return None
    columns = (column.cast(pa.large_string()) for column in targets.label_columns(table, label))
    return pc.binary_join_element_wise(*columns, pa.scalar(separator, pa.large_string()))


def _are_numbers(table: Table, label: str) -> bool:
    """Say whether labels are numbers, which differ where one sequence was measured twice."""
    try:
        return targets.infer(table, (label,)).kind == "regression"
    except InputError:  # what fits no task is for fine-tuning to say
        return False


# --- reading ----------------------------------------------------------------------------------------------------------


def data_sets(
    path: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    split_column: str | None = None,
) -> Iterator[tuple[str, dict[str, Table]]]:
    """Read the splits of one data set or of many.

    Parameters
    ----------
    path : path
        A folder with two or three of the files train, dev, test; a folder of such folders, however deep; or a table
        with a column that names each row's split.
    genome : path, optional
        FASTA that intervals refer to.
    split_column : str, optional
        That column; by default `split`, `set`, `partition` or `fold`.

    Yields
    ------
    tuple of str and dict of str to Table
        Name of the data set (its folder, from `path` on), and its splits.

    Raises
    ------
    InputError
        If there are no two splits, or a file is not as required.
    """
    root = Path(path)
    if not root.is_dir():
        yield root.name, _by_column(tables.read(root, genome=genome), split_column)
        return
    folders = [root, *sorted(folder for folder in root.rglob("*") if folder.is_dir())]
    sets = {folder: _files(folder) for folder in folders}
    usable = {folder: files for folder, files in sets.items() if len(files) > 1}
    if not usable:
        raise InputError(
            f"{root}: two or three of the files train, dev, test are required, in this folder or in folders in it; "
            "there are none. Name a folder of splits, or a table with a column 'split'"
        )
    for folder, files in usable.items():
        name = str(folder.relative_to(root)) if folder != root else root.resolve().name
        yield name, {split: tables.read(file, genome=genome) for split, file in files.items()}


def _files(folder: Path) -> dict[str, Path]:
    files = {name: splits.find_file(folder, name) for name in splits.NAMES}
    return {name: file for name, file in files.items() if file is not None}


def _by_column(table: Table, column: str | None) -> dict[str, Table]:
    names = table.columns.column_names
    found = find(names, SPLIT_NAMES if column is None else (column.lower(),))
    if found is None:
        raise InputError(
            f"{table.path}: a column that names each row's split is required "
            f"({column or ', '.join(SPLIT_NAMES)}); this table has {', '.join(names) or 'none beside the sequence'}; "
            "name it with --split-column, or give a folder with train, dev and test"
        )
    values = pc.utf8_trim_whitespace(tables.label_text(table.columns[found], f"{table.path}: the column '{found}'"))
    none = pc.sum(pc.equal(values, "")).as_py()
    if none:
        say(f"{table.path}: {none:,} rows with nothing in '{found}' are left out")
    present = pc.unique(values).to_pylist()
    usual = {alias: name for name in splits.NAMES for alias in splits.ALIASES[name]}
    known = [value for name in splits.NAMES for value in present if value and usual.get(value.lower()) == name]
    ordered = known + sorted(value for value in present if value and value not in known)
    if len(ordered) < 2:
        raise InputError(f"{table.path}: the column '{found}' names {len(ordered)} split; two or more are required")
    return {value: tables.select(table, np.flatnonzero(pc.equal(values, value))) for value in ordered}


def pairs_table(
    name: str, parts: Mapping[str, Table], found: Mapping[tuple[str, str], Matches], label: Sequence[str] = ()
) -> pa.Table:
    """List the rows that stand in another split, each kind of row with one partner.

    Parameters
    ----------
    name : str
        Of the data set, for the first column.
    parts : mapping of str to Table
    found : mapping
        From `find_matches`.
    label : sequence of str
        The columns of labels, as in `check`.

    Returns
    -------
    pa.Table
        `data`, `split`, `row`, `sequence`, `label` (several with commas between), the same of the other row, `kind`,
        `similarity`, `conflict`. Rows are named by their file and line. Rows that repeat an earlier one of their own
        split stand there only where the labels differ.
    """
    pieces = []
    texts = {part: _label_texts(table, label) for part, table in parts.items()}
    for (split, reference), matches in found.items():
        rows = np.flatnonzero(matches.conflict if split == reference else matches.kind)
        one, other = parts[split], parts[reference]
        partners = matches.partner[rows]
        columns: dict[str, Any] = {"data": [name] * len(rows)}
        for prefix, table, which, at in (("", one, split, rows), ("other_", other, reference, partners)):
            columns[f"{prefix}split"] = [which] * len(rows)
            columns[f"{prefix}row"] = [table.where(row) for row in at.tolist()]
            columns[f"{prefix}sequence"] = table.sequences.take(pa.array(at))
            labels = texts[which]
            columns[f"{prefix}label"] = [None] * len(at) if labels is None else labels.take(pa.array(at))
        kinds = np.where(matches.conflict[rows], _EXACT, matches.kind[rows])
        columns["kind"] = [KINDS[kind] for kind in kinds.tolist()]
        columns["similarity"] = matches.similarity[rows].astype(np.float64).round(3)
        columns["conflict"] = matches.conflict[rows]
        pieces.append(pa.table(columns).cast(_SCHEMA))
    return pa.concat_tables(pieces) if pieces else _SCHEMA.empty_table()


_SCHEMA = pa.schema(
    [("data", pa.string())]
    + [
        (prefix + name, kind)
        for prefix in ("", "other_")
        for name, kind in (
            ("split", pa.string()),
            ("row", pa.string()),
            ("sequence", pa.large_string()),
            ("label", pa.string()),
        )
    ]
    + [("kind", pa.string()), ("similarity", pa.float64()), ("conflict", pa.bool_())]
)


# --- counting ---------------------------------------------------------------------------------------------------------


def _named(parts: Splits | Mapping[str, Table]) -> dict[str, Table]:
    pairs = parts.items() if isinstance(parts, Mapping) else zip(parts._fields, parts, strict=True)
    return {name: table for name, table in pairs if isinstance(table, Table)}


def _counts(found: Mapping[tuple[str, str], Matches], near: float | None) -> Leakage:
    counts = [_count(split, reference, matches, near) for (split, reference), matches in found.items()]
    return Leakage(
        tuple(one for one in counts if one.split != one.reference),
        tuple(one for one in counts if one.split == one.reference),
    )


def _count(split: str, reference: str, matches: Matches, near: float | None) -> Shared:
    counts = np.bincount(matches.kind, minlength=len(KINDS)).tolist()
    looked = near is not None and split != reference
    return Shared(
        split,
        reference,
        len(matches.kind),
        counts[_EXACT],
        counts[_REVERSE],
        counts[_NEAR] if looked else None,
        int(matches.conflict.sum()),
    )


def _same(
    rows: StrandHashes, others: StrandHashes, labels: np.ndarray | None, other_labels: np.ndarray | None, itself: bool
) -> Matches:
    """Look rows up in others by their hashes; within one split, in the rows before them."""
    found = _look_up(rows.forward, others.forward, itself)
    turned = np.where(found < 0, _look_up(rows.reverse, others.forward, itself), -1)
    kind = np.where(found >= 0, _EXACT, np.where(turned >= 0, _REVERSE, 0)).astype(np.uint8)
    partner = np.maximum(found, turned)
    conflict = np.zeros(len(kind), dtype=bool)
    if labels is not None and other_labels is not None:
        conflict, odd = _conflicts(rows.forward, others.forward, labels, other_labels)
        partner = np.where(conflict, odd, partner)
    return Matches(kind, partner, (kind > 0).astype(np.float32), conflict)


def _look_up(keys: np.ndarray, others: np.ndarray, itself: bool) -> np.ndarray:
    """Find the first row of `others` with each key, int64, -1 if there is none; in itself, an earlier row."""
    distinct, firsts = np.unique(others, return_index=True)
    if len(distinct) == 0:
        return np.full(len(keys), -1)
    at = np.minimum(np.searchsorted(distinct, keys), len(distinct) - 1)
    there = distinct[at] == keys
    first = firsts[at]
    if itself:
        there &= first < np.arange(len(keys))
    return np.where(there, first, -1)


def _conflicts(
    keys: np.ndarray, others: np.ndarray, labels: np.ndarray, other_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mark rows whose key stands in others with another label, and name such a row."""
    order = np.lexsort((other_labels, others))
    others = others[order]
    low = np.searchsorted(others, keys, side="left")
    high = np.searchsorted(others, keys, side="right")
    there = high > low
    if not len(order):
        return there, np.full(len(keys), -1)
    lowest, highest = order[np.where(there, low, 0)], order[np.where(there, high - 1, 0)]
    odd = np.where(other_labels[lowest] != labels, lowest, highest)
    return there & (other_labels[odd] != labels), odd


def _add_near(
    found: dict[tuple[str, str], Matches],
    named: Mapping[str, Table],
    hashes: Mapping[str, StrandHashes],
    threshold: float,
) -> None:
    """Add near duplicates to the matches across splits; of equal sequences one row of each split is compared."""
    firsts, places = {}, {}
    for name in named:
        _, firsts[name], places[name] = np.unique(hashes[name].either, return_index=True, return_inverse=True)
    sequences = pa.concat_arrays([named[name].sequences.take(pa.array(firsts[name])) for name in named])
    pooled = tables.Table(Path(), sequences, None, pa.table({}), ())
    counts = [len(firsts[name]) for name in named]
    begin = np.concatenate([[0], np.cumsum(counts)])
    group = np.repeat(np.arange(len(counts)), counts)
    pairs = similarity.near_pairs(pooled.letters, pooled.offsets, threshold, groups=group)
    for (split, reference), matches in found.items():
        if split == reference:
            continue
        one, other = list(named).index(split), list(named).index(reference)
        chosen = np.flatnonzero((group[pairs.right] == one) & (group[pairs.left] == other))
        chosen = chosen[np.argsort(pairs.similarity[chosen], kind="stable")]  # the most similar is written last
        best, value = np.full(counts[one], -1), np.zeros(counts[one], dtype=np.float32)
        best[pairs.right[chosen] - begin[one]] = firsts[reference][pairs.left[chosen] - begin[other]]
        value[pairs.right[chosen] - begin[one]] = pairs.similarity[chosen]
        best, value = best[places[split]], value[places[split]]
        new = (matches.kind == 0) & (best >= 0)
        found[split, reference] = Matches(
            np.where(new, _NEAR, matches.kind).astype(np.uint8),
            np.where(new, best, matches.partner),
            np.where(new, value, matches.similarity),
            matches.conflict,
        )
