"""What the rows of a table are to be predicted as: the task, chosen from the labels themselves, and its values."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.tables import LABEL_NAMES, Table
from dnabert.training.metrics import Truth

TASKS = ("classification", "multilabel", "regression", "per-base")
MISSING = ("na", "n/a", "nan", "null", "none", ".", "-", "?")
"""What other programs write where there is no value."""
FEW_ODD = 0.05
"""Share of a column up to which values other than 0 and 1 may be slips."""
MOST_CLASSES = 50
"""Whole numbers of more different values than this are numbers, not classes."""
FEW_CLASSES = 10
"""Whole numbers of more different values than this may be numbers: it is said that they are read as classes."""
LONG_LABEL = 20
"""Labels of more letters or items than this may be classes of bases, of another number than there are bases."""
SHOWN = 9
"""Rows that a message names, at most."""
MOST_LETTERS = 8
"""Different letters in such labels, at most; names of classes have more."""

ROWS_OF_A_GROUP = 20
"""Rows that numbers are put in groups of, at least: a twentieth of each is still a row."""


class Task(NamedTuple):
    """What is predicted.

    Attributes
    ----------
    kind : str
        `classification` (one of two or more classes), `multilabel` (any of several), `regression` or `per-base` (a
        class for each base).
    names : tuple of str
        Classes, labels or outputs, in the order of the model's outputs.
    columns : tuple of str
        The columns of labels; empty for the usual one.
    """

    kind: str
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()


def infer(table: Table, columns: Sequence[str] = (), kind: str | None = None) -> Task:
    """Find the task in the labels of a table.

    One column: labels as long as their sequences are a class for each base; fractions, or whole numbers of more than
    50 different values, are numbers to regress on; other whole numbers and words are classes. Several columns: labels
    if all hold 0 and 1 alone, else numbers. White space around a label does not count.

    Parameters
    ----------
    table : Table
    columns : sequence of str
        The columns of labels; by default `label`.
    kind : str, optional
        One of `TASKS`, to decide what the labels leave open.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        If there are no labels, an empty one, one that stands for a missing value, or none of the tasks fits; or if most
        labels look like classes of bases, of another number than there are bases.
    """
    if kind is not None and kind not in TASKS:
        raise InputError(f"--task {kind}: there is no such task; give one of {', '.join(TASKS)}")
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise InputError(f"--label {twice}: this column is named twice; name it once")
    labels = label_columns(table, columns)
    if kind is None:
        kind = _kind_of(table, labels)
    if len(labels) > 1 and kind in ("classification", "per-base"):
        raise InputError(
            f"--task {kind}: one column of labels is required, {len(labels)} are named ({', '.join(columns)}); name one"
        )
    if len(labels) == 1 and kind == "multilabel":
        raise InputError(
            f"{table.path}: --task multilabel needs columns of 0 and 1, one a label; name them with --label"
        )
    if kind == "classification":
        return Task(kind, _classes(table, labels[0]), tuple(columns))
    if kind == "per-base":
        return Task(kind, _base_classes(table, labels[0]), tuple(columns))
    return Task(kind, tuple(columns) or ("label",), tuple(columns))


def truth(table: Table, task: Task) -> Truth:
    """Read the labels of a table as values of a task.

    Parameters
    ----------
    table : Table
    task : Task

    Returns
    -------
    Truth

    Raises
    ------
    InputError
        That names the first row whose label is missing, none of the classes, not a finite number, or not as long as its
        sequence; or if no base has a class.
    """
    labels = label_columns(table, task.columns)
    if task.kind == "classification":
        return Truth(task.kind, _codes(table, labels[0], task.names), task.names)
    if task.kind == "per-base":
        values, lengths = _base_codes(table, labels[0], task.names)
        if (values < 0).all():
            raise InputError(
                f"{table.path}: all bases are labelled '{UNKNOWN_BASE}', known to be of no class; label some"
            )
        return Truth(task.kind, values, task.names, np.repeat(np.arange(table.rows), lengths))
    numbers = np.stack([_numbers(table, one, name) for one, name in zip(labels, task.names, strict=True)], axis=1)
    if task.kind == "regression":
        return Truth(task.kind, numbers, task.names)
    bad = (numbers != 0) & (numbers != 1)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{table.where(row)}: '{task.names[column]}' is {numbers[row, column]:g}, a label of several is 0 or 1; "
            "correct it, or give --task regression"
        )
    return Truth(task.kind, numbers == 1, task.names)


def strata(table: Table, task: Task) -> tuple[np.ndarray, tuple[str, ...]]:
    """Group rows so that a split can keep the proportions: by class, or by a number, else all in one group.

    By a number: tenths of the rows in its order, fewer parts where they would be smaller than `ROWS_OF_A_GROUP`.

    Returns
    -------
    tuple of np.ndarray, int64, shape (rows,), and the names of the groups
    """
    if task.kind == "classification":
        return truth(table, task).values, tuple(f"class '{name}'" for name in task.names)
    if task.kind == "regression":
        count = min(10, max(1, table.rows // ROWS_OF_A_GROUP))
        order = np.argsort(truth(table, task).values[:, 0], kind="stable")
        groups = np.empty(table.rows, dtype=np.int64)
        groups[order] = np.arange(table.rows) * count // max(table.rows, 1)
        return groups, tuple(f"part {i + 1} of {count} of '{task.names[0]}'" for i in range(count))
    return np.zeros(table.rows, dtype=np.int64), ("the table",)


def label_columns(table: Table, names: Sequence[str]) -> list[pa.LargeStringArray]:
    """Return the columns of labels that are named, by default the usual one; raise InputError where one is missing."""
    if not names:
        if table.labels is None:
            required = (
                "labels are required to train or evaluate; give --labels FILE, or one FASTA file a class"
                if tables.is_fasta(table.path)
                else "a column 'label' is required to train or evaluate; add one, or name yours with --label"
            )
            raise InputError(f"{table.path}: {required}")
        return [pc.utf8_trim_whitespace(table.labels)]
    found = []
    for name in names:
        if name in table.columns.column_names:
            found.append(tables.label_text(table.columns[name], f"{table.path}: the column '{name}'"))
        elif table.labels is not None and name.lower() in LABEL_NAMES:
            found.append(table.labels)
        else:
            there = ", ".join([*table.columns.column_names, *(["label"] if table.labels is not None else [])]) or "none"
            raise InputError(
                f"{table.path}: there is no column '{name}' (--label); the columns are {there}; name one of them, or "
                "leave --label out"
            )
    return [pc.utf8_trim_whitespace(one) for one in found]


def _kind_of(table: Table, labels: Sequence[pa.LargeStringArray]) -> str:
    if len(labels) == 1 and _as_long_as(table, labels[0]):
        return "per-base"
    kinds = [_kinds(one) for one in labels]
    if len(labels) > 1:
        others = [set(one) - {"0", "1", "0.0", "1.0"} for one in kinds]
        for column, other in zip(labels, others, strict=True):
            few = pc.is_in(column, value_set=pa.array(sorted(other), column.type))
            if 0 < pc.sum(few).as_py() <= FEW_ODD * len(column):
                row = int(pc.index(few, True).as_py())
                say(
                    f"Warning: {table.where(row)}: '{column[row]}' in a column that is nearly all 0 and 1 makes "
                    "numbers of what may be labels; correct it if it is a slip"
                )
        return "regression" if any(others) else "multilabel"
    if "fraction" in kinds[0].values() and "word" not in kinds[0].values():
        return "regression"
    if set(kinds[0].values()) == {"number"} and len(kinds[0]) > FEW_CLASSES:
        if len(kinds[0]) > MOST_CLASSES:
            return "regression"
        say(
            f"{table.path}: labels of {len(kinds[0])} different whole numbers are read as classes; give --task "
            "regression to read them as numbers"
        )
    return "classification"


def _kinds(labels: pa.LargeStringArray) -> dict[str, str]:
    """Say of each distinct label whether it is empty, a whole number, a fraction or a word."""
    return {label: _kind_of_label(label) for label in pc.unique(labels).to_pylist()}


def _kind_of_label(label: str) -> str:
    if not label:
        return "empty"
    try:
        value = float(label)
    except ValueError:
        return "word"
    return "number" if value.is_integer() else "fraction"


def _first_row(labels: pa.LargeStringArray, label: str) -> int:
    return int(pc.index(labels, label).as_py())


# --- classes ----------------------------------------------------------------------------------------------------------


_EMPTY = "the label is empty; fill it or delete the row"
_NO_CLASSES = ("empty", "word", "fraction")
"""Kinds of labels of which some may be no class."""


def _classes(table: Table, labels: pa.LargeStringArray) -> tuple[str, ...]:
    """List the classes: whole numbers in their order, else words in theirs."""
    kinds = _kinds(labels)
    distinct = list(kinds)
    empty, words, fractions = ([label for label in distinct if kinds[label] == kind] for kind in _NO_CLASSES)
    named = any(label.lower() not in MISSING for label in words)
    classes = [name for name, known in (("none", named), ("-", "+" in distinct)) if known]  # donor, acceptor, none
    gaps = [label for label in distinct if label.lower() in MISSING and label.lower() not in classes]
    slips = words if fractions and len(words) <= len(distinct) / 2 else []
    for some, rule in (
        (empty, _EMPTY),
        (gaps, "label '{}' stands for none; delete the rows that have it, or rename it if it is a class"),
        (slips, "label '{}' is a word, other labels are numbers; correct it or delete the row"),
        (fractions, "label '{}' is no class: whole numbers or words are required; bin it, or give --task regression"),
    ):
        if some:
            raise InputError(f"{table.where(_first_row(labels, some[0]))}: {rule.format(some[0])}")
    if len(set(kinds.values())) > 1:
        fewer = min(("number", "word"), key=lambda kind: sum(kinds[label] == kind for label in distinct))
        odd = next(label for label in distinct if kinds[label] == fewer)
        others = ", ".join(repr(label) for label in distinct if kinds[label] != fewer)
        raise InputError(
            f"{table.where(_first_row(labels, odd))}: label '{odd}' is a {fewer}, other labels are not "
            f"({others[:60]}); give all classes as whole numbers or all as words"
        )
    if len(distinct) < 2:
        raise InputError(
            f"{table.path}: all {table.rows} rows have the label '{distinct[0]}'; two classes or more are required"
        )
    _warn_of_cases(table, labels, distinct)
    numbers = kinds[distinct[0]] == "number"
    if numbers:
        spelled: dict[float, str] = {}
        for label in distinct:
            first = spelled.setdefault(float(label), label)
            if first != label:
                raise InputError(
                    f"{table.where(_first_row(labels, label))}: label '{label}' is the class '{first}' written in "
                    "another way; write one class alike in all rows"
                )
    return tuple(sorted(distinct, key=lambda label: int(float(label)) if numbers else label))


def _warn_of_cases(table: Table, labels: pa.LargeStringArray, distinct: Sequence[str]) -> None:
    """Warn where classes differ by nothing but capitals."""
    first: dict[str, str] = {}
    alike = [(one, label) for label in distinct if (one := first.setdefault(label.casefold(), label)) != label]
    if alike:
        more = f" ({len(alike)} pairs like this)" if len(alike) > 1 else ""
        say(
            f"Warning: {table.where(_first_row(labels, alike[0][1]))}: '{alike[0][1]}' and '{alike[0][0]}' are two "
            f"classes{more}; write them alike if they are one"
        )


def _none_of(classes: Sequence[str]) -> str:
    return (
        f"is none of the classes ({', '.join(classes)}), which are those of the training rows; correct it, or give the "
        "training rows some of this class (move rows, or divide them in another way)"
    )


def _codes(table: Table, labels: pa.LargeStringArray, classes: Sequence[str]) -> np.ndarray:
    codes = pc.index_in(labels, value_set=pa.array(list(classes), labels.type))
    if codes.null_count:
        row = int(pc.index(pc.is_null(codes), True).as_py())
        if not labels[row].as_py():
            raise InputError(f"{table.where(row)}: {_EMPTY}")
        raise InputError(f"{table.where(row)}: label '{labels[row]}' {_none_of(classes)}")
    return codes.to_numpy().astype(np.int64)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(table: Table, labels: pa.LargeStringArray, name: str) -> np.ndarray:
    try:
        values = labels.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        kinds = _kinds(labels)
        odd = next(label for label in kinds if not _reads_as_number(label))
        shown = f"'{odd}' is not a number" if odd else "is empty"
        raise InputError(
            f"{table.where(_first_row(labels, odd))}: '{name}' {shown}; correct it, or delete the row"
        ) from None
    bad = ~np.isfinite(values)
    if bad.any():
        rows = np.nonzero(bad)[0]
        others = ", ".join(table.where(row).rpartition(" ")[2] for row in rows[1:SHOWN].tolist())
        more = f" ({len(rows)} rows like this, the next at {others})" if others else ""
        raise InputError(
            f"{table.where(int(rows[0]))}: '{name}' is {labels[int(rows[0])]}, a finite number is required; delete the "
            f"row{more}"
        )
    return values


def _reads_as_number(label: str) -> bool:
    """Say whether Arrow reads a number, which is stricter than Python: 1_000 is none."""
    try:
        pa.scalar(label).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


# --- a class for each base --------------------------------------------------------------------------------------------

UNKNOWN_BASE = "."
"""Label of a base of which nothing is known: not trained on, not counted."""


def _as_long_as(table: Table, labels: pa.LargeStringArray) -> bool:
    """Say whether most of the first labels have one class for each base; `truth` names those that have not.

    Most may have another number of them: raise InputError where they can be nothing else.
    """
    few = labels.slice(0, 20)
    parts, lengths = _split(few)
    bases = np.diff(table.offsets[: len(few) + 1])
    if np.mean((lengths == bases) & (bases > 1)) >= 0.5:
        return True
    listed = _are_lists(few)
    alike = (lengths > LONG_LABEL) & (listed | (np.abs(lengths - bases) <= bases / 10))
    texts = set(pc.unique(parts.filter(pa.array(np.repeat(alike, lengths)))).to_pylist())
    if (
        np.mean(alike) >= 0.5
        and len(texts) <= (MOST_CLASSES if listed else MOST_LETTERS)
        and not any(_kind_of_label(label) == "fraction" for label in few.to_pylist())
        # DNA that names a class, such as a barcode, comes again
        and not (texts <= set("ACGTUNacgtun") and 2 * pc.count_distinct(labels).as_py() <= len(labels))
    ):
        row = int((lengths != bases).argmax())
        raise InputError(
            f"{_other_length(table, row, lengths[row], bases[row])}; if labels are names of classes, give --task "
            "classification"
        )
    return False


def _other_length(table: Table, row: int, labels: int, bases: int) -> str:
    return (
        f"{table.where(row)}: {labels} labels for a sequence of {bases} bases; one a base is required: correct the row "
        "or delete it"
    )


def _are_lists(labels: pa.LargeStringArray) -> bool:
    return len(labels) > 0 and re.search(r"[,\s]", labels[0].as_py()) is not None


def _split(labels: pa.LargeStringArray) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Cut labels into one text a base, at spaces and commas if there are any, else after each letter.

    Lists may stand in brackets and their items in quotation marks, as pandas writes them.

    Returns
    -------
    tuple of pa.DictionaryArray and np.ndarray
        The texts of all rows, one after the other, and how many each row has.
    """
    if _are_lists(labels):
        # a bracket that stands alone is an item: of the structure of an RNA, for one
        bare = pc.replace_substring_regex(labels, r"(?s)^[\[(](.*[^,\s])[\])]$", r"\1")
        lists = pc.ascii_split_whitespace(pc.utf8_trim_whitespace(pc.replace_substring(bare, ",", " ")))
        items = lists.flatten().dictionary_encode()
        texts = pc.replace_substring_regex(items.dictionary, r"""^(?:'(.*)'|"(.*)")$""", r"\1\2")
        return pa.DictionaryArray.from_arrays(items.indices, texts), np.diff(lists.offsets.to_numpy())
    offsets = np.frombuffer(labels.buffers()[1], dtype=np.int64)[labels.offset : labels.offset + len(labels) + 1]
    letters = np.frombuffer(labels.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    return pa.DictionaryArray.from_arrays(pa.array(letters), pa.array([chr(code) for code in range(256)])), np.diff(
        offsets
    )


def _base_classes(table: Table, labels: pa.LargeStringArray) -> tuple[str, ...]:
    parts, _ = _split(labels)
    classes = sorted({part for part in pc.unique(parts).to_pylist() if part != UNKNOWN_BASE})
    if len(classes) < 2:
        raise InputError(
            f"{table.path}: the labels of all bases are '{classes[0] if classes else UNKNOWN_BASE}'; two classes or "
            "more are required"
        )
    if len(classes) > MOST_CLASSES:
        raise InputError(
            f"{table.path}: labels for each base have {len(classes)} different values, at most {MOST_CLASSES} classes "
            "are possible; bin them"
        )
    return tuple(classes)


def _base_codes(table: Table, labels: pa.LargeStringArray, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    parts, lengths = _split(labels)
    bases = np.diff(table.offsets)
    wrong = lengths != bases
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(_other_length(table, row, lengths[row], bases[row]))
    position = {name: i for i, name in enumerate(classes)} | {UNKNOWN_BASE: -1}
    codes = np.array([position.get(text, -2) for text in parts.dictionary.to_pylist()], dtype=np.int64)
    values = codes[parts.indices.to_numpy()]
    if (values == -2).any():
        at = int((values == -2).argmax())
        row = int(np.searchsorted(np.cumsum(lengths), at, side="right"))
        base = at - int(np.cumsum(lengths)[row] - lengths[row])
        raise InputError(f"{table.where(row)}: label '{parts[at]}' of base {base + 1} {_none_of(classes)}")
    return values, bases
