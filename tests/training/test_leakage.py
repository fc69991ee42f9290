"""Rows that stand in more than one split."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import dnabert
from dnabert import check_leakage
from dnabert.errors import InputError
from dnabert.sequence import delimited, tables
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement
from dnabert.sequence.tables import Table
from dnabert.training import leakage, splits
from dnabert.training.leakage import Shared
from tests.conftest import random_dna, tiny_model


def other_strand(sequence: str) -> str:
    return decode_bases(reverse_complement(encode_bases(sequence)))


def table(rows: list[tuple[str, str]]) -> Table:
    sequences, labels = zip(*rows, strict=True)
    return tables.from_sequences(list(sequences))._replace(labels=pa.array(labels, pa.large_string()))


@pytest.fixture
def parts(rng: np.random.Generator) -> dict[str, Table]:
    """Splits with known faults: see the test below."""
    s = [random_dna(80, rng) for _ in range(20)]
    near = s[3][:40] + ("A" if s[3][40] != "A" else "C") + s[3][41:]
    return {
        "train": table([(s[0], "1"), (s[1], "0"), (s[2], "1"), (s[3], "0"), (s[0], "0"), (s[4], "1"), (s[4], "1")]),
        "dev": table([(s[5], "1"), (s[1].lower(), "1"), (other_strand(s[2]), "0"), (s[6], "0")]),
        "test": table([(other_strand(near), "0"), (s[6], "0"), (s[0], "1"), (s[7], "1"), (s[7], "1")]),
    }


def test_every_fault_is_found(parts: dict[str, Table]) -> None:
    found = leakage.check(parts, near=0.5)
    assert found.across == (
        Shared("dev", "train", 4, 1, 1, 0, 1),
        Shared("test", "train", 5, 1, 0, 1, 1),
        Shared("test", "dev", 5, 1, 0, 0, 0),
    )
    assert found.within == (
        Shared("train", "train", 7, 2, 0, None, 2),
        Shared("dev", "dev", 4, 0, 0, None, 0),
        Shared("test", "test", 5, 1, 0, None, 0),
    )
    quick = leakage.check(splits.Splits(**parts))
    assert [one.near for one in quick.across] == [None] * 3
    assert [one[:5] for one in quick.across] == [one[:5] for one in found.across]
    assert leakage.check({name: one._replace(labels=None) for name, one in parts.items()}).across[0].conflicts == 0


def test_any_of_several_columns_of_labels_is_in_conflict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = {
        "train": ["ACGTACGTAA,1,0,5.1,skin", "CCGTACGTAA,1,1,6.2,gut", "GGGTACGTAA,0,1,7.3,", "GGGTACGTAA,0,1,8.4,"],
        "dev": ["ACGTACGTAA,1,1,5.1,skin", "CCGTACGTAA,1,1,9.5,bone", "TTGTACGTAA,0,0,4.6,gut"],
    }
    for part, lines in rows.items():
        (data / f"{part}.csv").write_text("\n".join(["sequence,heart,liver,score,tissue", *lines]) + "\n")
    for label, across, within in (
        ((), 0, 0),  # a table without a column of the usual name
        ("heart", 0, 0),
        (("heart", "liver"), 1, 0),
        (("heart", "liver", "score"), 1, 0),  # numbers are in no conflict
        ("score", 0, 0),
        (("tissue", "heart"), 1, 0),  # words
    ):
        (found,) = check_leakage(data, tmp_path / "out.tsv", label=label, near=None).values()
        assert [one.conflicts for one in (*found.across, *found.within)] == [across, within, 0]
        assert found.across[0].exact == 2
    check_leakage(data, tmp_path / "out.tsv", label=["heart", "liver"], near=None)
    assert tables.read(tmp_path / "out.tsv").columns["other_label"].to_pylist() == ["1,0", "1,1"]
    with pytest.raises(InputError, match=r"train\.csv: there is no column 'lung' \(--label\)"):
        check_leakage(data, label="lung")
    # a fine-tuning looks at the columns that it learns
    model = tiny_model(tmp_path / "model")
    dnabert.finetune(data, model, tmp_path / "fit", label=["heart", "liver"], method="frozen", device="cpu")
    assert "of 3 dev rows 2 as they are (1 with another label) stand in train" in capsys.readouterr().err


def test_one_line_says_it(parts: dict[str, Table]) -> None:
    line = leakage.warning(leakage.check(parts, near=0.5))
    assert line == (
        "WARNING: of 4 dev rows 1 as they are (1 with another label), 1 as reverse complement stand in train; "
        "of 5 test rows 1 as they are (1 with another label), 1 nearly stand in train; "
        "of 5 test rows 1 as they are stand in dev; "
        "2 train rows have the sequence of another train row and another label. dnabert check-leakage lists them"
    )
    clean = splits.Splits(
        tables.select(parts["train"], np.array([0, 1])), tables.select(parts["dev"], np.array([0])), None
    )
    assert leakage.warning(leakage.check(clean)) is None


def write_splits(folder: Path, parts: dict[str, Table]) -> None:
    folder.mkdir(parents=True)
    for name, part in parts.items():
        tables.write(pa.table({"sequence": part.sequences, "label": part.labels}), folder / f"{name}.csv")


def test_folders_and_tables(parts: dict[str, Table], tmp_path: Path) -> None:
    write_splits(tmp_path / "many/a", parts)
    write_splits(tmp_path / "many/deep/b", {name: parts[name] for name in ("dev", "test")})
    write_splits(tmp_path / "many/alone", {"test": parts["test"]})
    found = check_leakage(tmp_path / "many", tmp_path / "rows.tsv")
    assert list(found) == ["a", "deep/b"]
    assert found["a"] == leakage.check(parts, near=0.5)
    assert check_leakage(tmp_path / "many/a", near=None) == {"a": leakage.check(parts)}
    listed = pyarrow.csv.read_csv(tmp_path / "rows.tsv", parse_options=pyarrow.csv.ParseOptions(delimiter="\t"))
    assert listed.num_rows == 2 + 2 + 1 + 2 + 1
    first = listed.to_pylist()[0]
    folder = tmp_path / "many/a"
    assert first["row"] == f"{folder}/train.csv line 2"
    assert first["other_row"] == f"{folder}/train.csv line 6"
    assert (first["label"], first["other_label"], first["kind"], first["conflict"]) == (1, 0, "exact", True)
    kinds = [(row["split"], row["other_split"], row["kind"]) for row in listed.to_pylist() if row["data"] == "a"]
    assert kinds.count(("test", "train", "near")) == 1
    assert kinds.count(("dev", "train", "reverse complement")) == 1
    pieces = [
        pa.table({"sequence": part.sequences, "label": part.labels, "Split": [alias] * part.rows})
        for alias, part in zip(("training", "valid", "test"), parts.values(), strict=True)
    ]
    tables.write(pa.concat_tables(pieces[::-1]), tmp_path / "one.csv")
    (one,) = check_leakage(tmp_path / "one.csv").values()
    assert [shared[2:] for shared in one.across] == [shared[2:] for shared in found["a"].across]
    assert [shared.reference for shared in one.across] == ["training", "training", "valid"]


def test_bad_input(parts: dict[str, Table], tmp_path: Path) -> None:
    write_splits(tmp_path / "alone", {"test": parts["test"]})
    with pytest.raises(InputError, match="two or three of the files train, dev, test are required"):
        check_leakage(tmp_path / "alone")
    with pytest.raises(
        InputError, match=r"a column that names each row's split is required \(split, set, .*--split-column"
    ):
        check_leakage(tmp_path / "alone/test.csv")
    (tmp_path / "t.csv").write_text("sequence,fold\nACGT,1\nACGT,1\n")
    with pytest.raises(InputError, match="the column 'fold' names 1 split; two or more are required"):
        check_leakage(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"\(part\); this table has fold"):
        check_leakage(tmp_path / "t.csv", split_column="part")
    with pytest.raises(InputError, match="--similarity 0: a share above 0 and at most 1 is required"):
        check_leakage(tmp_path / "t.csv", near=0)
    with pytest.raises(InputError, match=r"written as .tsv, .csv or .parquet"):
        check_leakage(tmp_path / "t.csv", tmp_path / "rows.xlsx")
    (tmp_path / "own.csv").write_text("sequence,fold\nACGTACGT,1\nACGTACGT, 2\nACGTACGT,\nACCTACGT,2 \n")
    with pytest.raises(InputError, match=r"own.csv: this is an input; name another --out"):
        check_leakage(tmp_path / "own.csv", tmp_path / "own.csv")
    with pytest.raises(InputError, match="nowhere: no such table or FASTA file"):
        check_leakage(tmp_path / "nowhere")


@pytest.mark.real_data
def test_the_leaks_of_gue(real_data: Path) -> None:
    (prom,) = check_leakage(real_data / "gue/prom/prom_core_all", near=None).values()
    assert {(one.split, one.reference): one.exact for one in prom.across}["test", "train"] == 43
    parts = dict(leakage.data_sets(real_data / "gue/splice"))["reconstructed"]
    ((pair, matches), *_) = [item for item in leakage.find_matches(parts).items() if item[0] == ("test", "dev")]
    rows = np.flatnonzero(matches.kind)
    assert pair == ("test", "dev")
    # 32 rows of test, of which two repeat another: 30 sequences stand in both
    assert len(rows) == 32
    assert len(set(parts["test"].sequences.take(pa.array(rows)).to_pylist())) == 30


def test_of_pairs_both_sequences_count(rng: np.random.Generator) -> None:
    first, second, other = (random_dna(60, rng) for _ in range(3))

    def pairs(rows: list[tuple[str, str]]) -> Table:
        one, two = zip(*rows, strict=True)
        return tables.from_sequences(list(one))._replace(second=pa.array(two, pa.large_string()))

    train = pairs([(first, second), (first, random_dna(60, rng))])
    turned = (other_strand(first), other_strand(second))
    dev = pairs([(first, second), (first, other), turned, (second, first), (other_strand(second), other_strand(first))])
    found = leakage.check({"train": train, "dev": dev}, near=0.8)
    assert found.across == (Shared("dev", "train", 5, 1, 1, 2, 0),)  # near: the same two in the other order
    # the same first sequence, a quarter of what there is, does not keep rows together
    table = pairs([(first, random_dna(180, rng)) for _ in range(30)] + [(first, random_dna(180, rng))] * 10)
    parts = splits.split_by_similarity(table, (0.5, 0.25, 0.25))
    assert parts.train.rows == 20


def test_splits_in_a_column_keep_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = "ACGTTGCAACGGTTACGATC" * 2, "GGATCCATTTGCAGCATTAC" * 2
    rows = [f"{two},train", f"{one}, train", f"{two[::-1]},", f"{one},test", f"{two[::-1]},test "]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,fold", *rows]) + "\n")
    check_leakage(tmp_path / "t.csv", tmp_path / "rows.csv")
    assert "1 rows with nothing in 'fold' are left out" in capsys.readouterr().err
    listed = delimited.read(tmp_path / "rows.csv")
    assert [value.rsplit(" ", 2)[-2:] for name in ("row", "other_row") for value in listed[name].to_pylist()] == [
        ["line", "5"],
        ["line", "3"],
    ]


def test_numbers_are_in_no_conflict(rng: np.random.Generator) -> None:
    """A sequence that was measured twice has two numbers."""
    sequences = [random_dna(60, rng) for _ in range(70)]
    for labels, conflicts in (
        ([f"{i / 7:.3f}" for i in range(70)], 0),  # fractions
        ([str(i) for i in range(70)], 0),  # whole numbers, more than there are classes
        ([str(i % 40) for i in range(70)], 1),
        (["high", *(["low", "none"] * 35)][:70], 1),
        (["high"] * 70, 1),  # no task, but a class
    ):
        train = table(list(zip(sequences, labels, strict=True)))
        dev = table([(sequences[3], "1" if labels[3] != "1" else "2"), (sequences[4], labels[4])])
        (found,) = leakage.check({"train": train, "dev": dev}).across
        assert found == Shared("dev", "train", 2, 2, 0, None, conflicts), labels[:3]


def test_the_list_replaces_no_split(parts: dict[str, Table], tmp_path: Path) -> None:
    write_splits(tmp_path / "data/a", parts)
    before = (tmp_path / "data/a/test.csv").read_bytes()
    with pytest.raises(InputError, match=r"test.csv: this is an input, a file in .*data; name another --out"):
        check_leakage(tmp_path / "data", tmp_path / "data/a/test.csv")
    assert (tmp_path / "data/a/test.csv").read_bytes() == before
    check_leakage(tmp_path / "data", tmp_path / "data/rows.csv")


def test_finetuning_reads_the_task_once(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "dev"):
        rows = [f"{random_dna(20, rng)},{i % 11}\n" for i in range(33)]
        (data / f"{name}.csv").write_text("sequence,label\n" + "".join(rows))
    dnabert.finetune(data, tiny_model(tmp_path / "model"), tmp_path / "out", method="frozen", device="cpu")
    assert capsys.readouterr().err.count("whole numbers are read as classes") == 1
