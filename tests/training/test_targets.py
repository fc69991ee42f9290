"""The task that labels stand for, and their values."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.training import targets
from dnabert.training.targets import Task
from tests.conftest import write_fasta


def labelled(labels: list[str], folder: Path) -> tables.Table:
    path = folder / "t.csv"
    path.write_text("id,sequence,label\n" + "".join(f"{i},ACGTACGT,{label}\n" for i, label in enumerate(labels)))
    return tables.read(path)


def read(text: str, folder: Path) -> tables.Table:
    path = folder / "t.tsv"
    path.write_text(text.replace(" ", "\t"))
    return tables.read(path)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["0", "1", "10", "2"], ("0", "1", "2", "10")), (["yes", "no"], ("no", "yes")), (["-1", "1"], ("-1", "1"))],
)
def test_classes_are_inferred(labels: list[str], classes: tuple[str, ...], tmp_path: Path) -> None:
    table = labelled(labels, tmp_path)
    assert targets.infer(table) == Task("classification", classes)
    assert [classes[code] for code in targets.truth(table, targets.infer(table)).values] == labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["0", "1", "yes"], "t.csv line 4: label 'yes' is a word, other labels are not"),
        (["a", "b", "1"], "t.csv line 4: label '1' is a number, other labels are not"),
        (["0", "0.5"], "t.csv line 3: label '0.5' is no class"),
        (["0.5", "0.25", "high"], "t.csv line 4: label 'high' is a word, other labels are numbers"),
        (["0", "1", "NA"], "t.csv line 4: label 'NA' stands for none; fill it or delete the row"),
        (["0", ""], "t.csv line 3: the label is empty"),
        (["0", "1", "1.0"], "t.csv line 4: label '1.0' is the class '1' written in another way"),
        (["1", "1"], "all 2 rows have the label '1'; two classes or more are required"),
    ],
)
def test_bad_labels_are_refused(labels: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        targets.infer(labelled(labels, tmp_path), kind="classification")


def test_unknown_classes_and_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.csv line 3: label 'z' is none of the classes \(a, b\)"):
        targets.truth(labelled(["a", "z"], tmp_path), Task("classification", ("a", "b")))
    with pytest.raises(InputError, match=r"t.csv line 3: the label is empty; fill it"):
        targets.truth(labelled(["a", ""], tmp_path), Task("classification", ("a", "b")))
    with pytest.raises(InputError, match="a column 'label' is required"):
        targets.infer(tables.from_sequences(["ACGT"]))
    fasta = write_fasta(tmp_path / "p.fa", {"one": "ACGT"})
    with pytest.raises(InputError, match=r"p.fa: labels are required to train or evaluate; give --labels FILE"):
        targets.infer(tables.read(fasta))


def test_a_slip_among_labels_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"ACGT {i % 2} {i % 2}" for i in range(30)]
    table = read("\n".join(["sequence a b", *rows, "ACGT 1 2"]) + "\n", tmp_path)
    assert targets.infer(table, ["a", "b"]).kind == "regression"
    assert "t.tsv line 32: '2' in a column that is nearly all 0 and 1" in capsys.readouterr().err


def test_fractions_and_many_numbers_are_numbers(tmp_path: Path) -> None:
    table = labelled(["0.5", "-1", "2e3"], tmp_path)
    assert targets.infer(table) == Task("regression", ("label",))
    assert targets.truth(table, targets.infer(table)).values.tolist() == [[0.5], [-1], [2000]]
    counts = labelled([str(i) for i in range(60)], tmp_path)
    assert targets.infer(counts).kind == "regression"
    assert targets.infer(counts, kind="classification").names[-1] == "59"


def test_several_columns_are_labels_or_numbers(tmp_path: Path) -> None:
    table = read("sequence a b c\nACGT 0 1 0.5\nACGA 1 1 2\n", tmp_path)
    assert targets.infer(table, ["a", "b"]) == Task("multilabel", ("a", "b"), ("a", "b"))
    assert targets.truth(table, targets.infer(table, ["b", "a"])).values.tolist() == [[True, False], [True, True]]
    assert targets.infer(table, ["a", "c"]).kind == "regression"
    assert targets.truth(table, targets.infer(table, ["c"])).values.tolist() == [[0.5], [2]]
    assert targets.infer(table, ["a", "b"], "regression").kind == "regression"


def test_a_label_as_long_as_its_sequence_is_one_a_base(tmp_path: Path) -> None:
    table = read("sequence label\nACGTA nnDnn\nACG A.n\n", tmp_path)
    task = targets.infer(table)
    assert task == Task("per-base", ("A", "D", "n"))
    truth = targets.truth(table, task)
    assert truth.values.tolist() == [2, 2, 1, 2, 2, 0, -1, 2]
    assert truth.groups is not None
    assert truth.groups.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("form", ["text", "list"])
def test_labels_of_bases_may_be_lists(form: str, tmp_path: Path) -> None:
    lists = [["exon", "exon", "no"], ["no", "exon"]]
    labels = lists if form == "list" else [",".join(one) for one in lists]
    pa.parquet.write_table(pa.table({"sequence": ["ACG", "TT"], "label": labels}), tmp_path / "t.parquet")
    table = tables.read(tmp_path / "t.parquet")
    task = targets.infer(table)
    assert task == Task("per-base", ("exon", "no"))
    assert targets.truth(table, task).values.tolist() == [0, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "columns", "kind", "message"),
    [
        (
            "sequence label\nACGT 1\nACGA nan\nACGA inf",
            (),
            "regression",
            r"line 3: 'label' is nan, .*\(2 rows like this",
        ),
        ("sequence y\nACGT 1\nACGA high", ("y",), "regression", "line 3: 'y' 'high' is not a number"),
        ("sequence label\nACGT 1\nACGA 0", (), "counting", "--task counting: there is no such task; give one of cl"),
        ("sequence label\nACGT 1\nACGA 0", ("lable",), None, "there is no column 'lable' .* the columns are label"),
        (
            "sequence a b\nACGT 1 0\nACGA 0 2",
            ("a", "b"),
            "multilabel",
            "line 3: 'b' is 2, a label of several is 0 or 1",
        ),
        ("sequence a b\nACGT 1 0\nACGA 0 2", ("a", "b"), "classification", "one column of labels is required, 2"),
        ("sequence label\nACGT 1\nACGA 0", (), "multilabel", "needs columns of 0 and 1, one a label"),
        ("sequence label\nACGT nnDn\nACGA nD", (), None, "line 3: 2 labels for a sequence of 4 bases"),
        ("sequence label\nACGT nnnn\nACGA nnnn", (), "per-base", "the labels of all bases are 'n'"),
    ],
)
def test_labels_that_fit_no_task_are_refused(
    text: str, columns: tuple[str, ...], kind: str | None, message: str, tmp_path: Path
) -> None:
    table = read(text, tmp_path)
    with pytest.raises(InputError, match=message):
        targets.truth(table, targets.infer(table, columns, kind))


def test_a_class_of_bases_that_training_lacked_is_refused(tmp_path: Path) -> None:
    table = read("sequence label\nACGT nnDn\nACGT nXDn", tmp_path)
    with pytest.raises(InputError, match=r"line 3: label 'X' of base 2 is none of the classes \(D, n\)"):
        targets.truth(table, Task("per-base", ("D", "n")))
    with pytest.raises(InputError, match=r"all bases are labelled '\.'"):
        targets.truth(read("sequence label\nACGT ....", tmp_path), Task("per-base", ("D", "n")))


def test_strata_are_classes_or_tenths(tmp_path: Path) -> None:
    table = labelled([str(i / 7) for i in range(300)], tmp_path)
    groups, names = targets.strata(table, targets.infer(table))
    assert np.bincount(groups).tolist() == [30] * 10
    assert names[0] == "part 1 of 10 of 'label'"
    # many equal numbers, and few rows, make groups of equal size too
    table = labelled(["0.5"] + ["1.5"] * 60 + [str(i / 7) for i in range(19)], tmp_path)
    groups, names = targets.strata(table, targets.infer(table))
    assert np.bincount(groups).tolist() == [20] * 4
    table = labelled([str(i / 7) for i in range(12)], tmp_path)
    assert targets.strata(table, targets.infer(table))[1] == ("part 1 of 1 of 'label'",)
