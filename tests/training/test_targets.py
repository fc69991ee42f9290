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
    [
        (["0", "1", "10", "2"], ("0", "1", "2", "10")),
        (["yes", "no"], ("no", "yes")),
        (["-1", "1"], ("-1", "1")),
        (["+", "-"], ("+", "-")),
    ],
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
        (["0", "1", "NA"], "t.csv line 4: label 'NA' stands for none; delete the rows that have it, or rename it"),
        (["pos", "neg", "NA"], "t.csv line 4: label 'NA' stands for none; delete the rows that have it, or rename it"),
        (["pos", "nan", "neg"], "t.csv line 3: label 'nan' stands for none"),
        (["pos", "-"], "t.csv line 3: label '-' stands for none"),
        (["0", ""], "t.csv line 3: the label is empty"),
        (["0", "1", "1.0"], "t.csv line 4: label '1.0' is the class '1' written in another way"),
        (["1", "1"], "all 2 rows have the label '1'; two classes or more are required"),
    ],
)
def test_bad_labels_are_refused(labels: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        targets.infer(labelled(labels, tmp_path), kind="classification")


def test_unknown_classes_and_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.csv line 3: label 'z' is none of the classes \(a, b\), .* training rows"):
        targets.truth(labelled(["a", "z"], tmp_path), Task("classification", ("a", "b")))
    with pytest.raises(InputError, match=r"t.csv line 3: the label is empty; fill it"):
        targets.truth(labelled(["a", ""], tmp_path), Task("classification", ("a", "b")))
    with pytest.raises(InputError, match="a column 'label' is required"):
        targets.infer(tables.from_sequences(["ACGT"]))
    fasta = write_fasta(tmp_path / "p.fa", {"one": "ACGT"})
    with pytest.raises(InputError, match=r"p.fa: labels are required to train or evaluate; give --labels FILE"):
        targets.infer(tables.read(fasta))


def test_labels_are_trimmed(tmp_path: Path) -> None:
    table = labelled(["yes sir", "yes sir ", " no"], tmp_path)
    task = targets.infer(table)
    assert task == Task("classification", ("no", "yes sir"))
    assert targets.truth(table, task).values.tolist() == [1, 1, 0]


def test_none_is_a_class_beside_words(tmp_path: Path) -> None:
    assert targets.infer(labelled(["donor", "none", "acceptor"], tmp_path)).names == ("acceptor", "donor", "none")
    with pytest.raises(InputError, match=r"t.csv line 3: label 'none' stands for none"):
        targets.infer(labelled(["1", "none", "0"], tmp_path))


def test_classes_that_differ_by_case_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert targets.infer(labelled(["Neg", "Pos", "neg"], tmp_path)).names == ("Neg", "Pos", "neg")
    assert "t.csv line 4: 'neg' and 'Neg' are two classes; write them alike" in capsys.readouterr().err
    targets.infer(labelled(["Neg", "Pos"], tmp_path))
    assert not capsys.readouterr().err


def test_many_whole_numbers_as_classes_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for count, told in ((11, True), (10, False)):
        table = labelled([str(i) for i in range(count)], tmp_path)
        assert targets.infer(table).kind == "classification"
        assert ("11 different whole numbers are read as classes" in capsys.readouterr().err) == told
        targets.infer(table, kind="classification")
        assert not capsys.readouterr().err


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
    ("first", "second"),
    [
        ("[0, 1, .]", "[1, 0]"),
        ("['0', '1', '.']", "['1', '0']"),
        ("(0, 1, .)", '[""1"", ""0""]'),
        ("[0 1 .]", "[ 1  0]"),
        ("0 1 . ", "1 0"),
        ("0, 1, .", " 1,0,"),
    ],
)
def test_labels_of_bases_may_be_written_as_lists(first: str, second: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'sequence,label\nACG,"{first}"\nTT,"{second}"\n')
    table = tables.read(path)
    task = targets.infer(table)
    assert task == Task("per-base", ("0", "1"))
    assert targets.truth(table, task).values.tolist() == [0, 1, -1, 1, 0]


@pytest.mark.parametrize("label", ["((..))", "( ( . . ) )", "(,(,.,.,),)"])
def test_brackets_may_be_labels_of_bases(label: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'sequence,label\nACGTAC,"{label}"\n')
    table = tables.read(path)
    assert targets.truth(table, targets.infer(table)).values.tolist() == [0, 0, -1, -1, 1, 1]


def of_forty_bases(labels: list[str], folder: Path) -> tables.Table:
    path = folder / "t.tsv"
    path.write_text("sequence\tlabel\n" + "".join(f"{'ACGT' * 10}\t{label}\n" for label in labels))
    return tables.read(path)


@pytest.mark.parametrize(
    ("label", "number"),
    [("01" * 19 + "0", 39), ("ADN" * 12 + "NN", 38), ("N" * 42, 42), ("CN" * 18, 36), (str([0, 1] * 15), 30)],
)
def test_labels_of_bases_that_mostly_have_another_length_are_refused(label: str, number: int, tmp_path: Path) -> None:
    right = "ADN" * 13 + "A" if label.isalpha() else "01" * 20
    labels = [", ".join(right)] if label.startswith("[") else [right]
    table = of_forty_bases([*labels, label, label[::-1] if label.isalnum() else label], tmp_path)
    message = rf"t.tsv line 3: {number} labels for a sequence of 40 bases; .* --task classification"
    with pytest.raises(InputError, match=message):
        targets.infer(table)
    assert targets.infer(table, kind="classification").kind == "classification"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["long_terminal_repeat_of_retrovirus", "short_interspersed_nuclear_element"], "classification"),
        (["ACGT" * 9, "GGCA" * 9, "ACGT" * 9, "GGCA" * 9], "classification"),  # barcodes
        (["01" * 10, "10" * 10], "classification"),  # too short
        (["[0, 1, 0]", "[1, 1, 0]"], "classification"),
        (["1." + "3" * 36, "2." + "1" * 36], "regression"),
        (["1.3436424411240122e+38", "1.5436424411240122e+38"] * 30, "classification"),
    ],
)
def test_other_long_labels_keep_their_task(labels: list[str], kind: str, tmp_path: Path) -> None:
    assert targets.infer(of_forty_bases(labels, tmp_path)).kind == kind


@pytest.mark.parametrize(
    ("text", "columns", "kind", "message"),
    [
        (
            "sequence label\nACGT 1\nACGA nan\nACGA inf\nACGA 2\nACGA -inf",
            (),
            "regression",
            r"line 3: 'label' is nan, .*\(3 rows like this, the next at 4, 6\)",
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
    with pytest.raises(
        InputError, match=r"line 3: label 'X' of base 2 is none of the classes \(D, n\), .* training rows"
    ):
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
