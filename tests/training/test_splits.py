"""Splits."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.training import leakage, splits, targets
from dnabert.training.data import Labelled, read_labelled
from dnabert.training.finetune import defaults
from dnabert.training.leakage import Shared
from tests.conftest import random_dna


def labelled(labels: list[str], folder: Path) -> tables.Table:
    path = folder / "t.csv"
    path.write_text("id,sequence,label\n" + "".join(f"{i},ACGTACGT,{label}\n" for i, label in enumerate(labels)))
    return tables.read(path)


def divided(table: tables.Table, shares: tuple[float, ...], seed: int) -> splits.Splits:
    return splits.split_rows(table, shares, seed, *targets.strata(table, targets.infer(table)))


def test_a_random_split_keeps_proportions_and_every_row(tmp_path: Path) -> None:
    table = labelled(["a"] * 100 + ["b"] * 50 + ["c"] * 20, tmp_path)
    parts = divided(table, (0.8, 0.1, 0.1), 1)
    counts = []
    for part in parts:
        assert part is not None
        assert part.labels is not None
        counts.append([part.labels.to_pylist().count(label) for label in "abc"])
    assert counts == [[80, 40, 16], [10, 5, 2], [10, 5, 2]]
    rows = [part.columns["id"].to_pylist() for part in parts if part is not None]
    assert sorted(int(row) for part in rows for row in part) == list(range(170))
    again = divided(table, (0.8, 0.1, 0.1), 1)
    assert again.dev.columns["id"].to_pylist() == rows[1]
    assert divided(table, (0.8, 0.1, 0.1), 2).dev.columns["id"].to_pylist() != rows[1]
    assert divided(table, (0.8, 0.2, 0), 1).test is None


def test_a_folder_of_splits(tmp_path: Path) -> None:
    for name in ("train.csv", "valid.csv"):
        (tmp_path / name).write_text("sequence,label\nACGTAC,1\nACGTAA,0\n")
    parts = splits.read_folder(tmp_path)
    assert (parts.train.rows, parts.dev.rows, parts.test) == (2, 2, None)
    for name in ("train.csv.bak", "valid.csv~", "train.xlsx"):
        (tmp_path / name).touch()
    assert splits.read_folder(tmp_path).train.rows == 2
    for name in ("test.bed", "test.narrowPeak.gz", "test.fa.gz", "test.pq", "test.txt"):
        (tmp_path / name).touch()
        assert splits.find_file(tmp_path, "test") == tmp_path / name
        (tmp_path / name).unlink()
    (tmp_path / "dev.tsv").write_text("sequence\tlabel\nACGTAC\t1\n")
    with pytest.raises(InputError, match=r"dev.tsv and valid.csv could both be 'dev'"):
        splits.read_folder(tmp_path)
    (tmp_path / "valid.csv").unlink()
    (tmp_path / "train.csv").unlink()
    with pytest.raises(InputError, match=r"a file 'train' .* is required, the folder holds dev.tsv, train.csv.bak"):
        splits.read_folder(tmp_path)


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1), (0.8, math.nan, 0.2)]
)
def test_bad_shares_are_refused(shares: tuple[float, ...], tmp_path: Path) -> None:
    table = labelled(["a", "b"] * 20, tmp_path)
    with pytest.raises(InputError, match="three numbers that add up to 1"):
        divided(table, shares, 0)
    with pytest.raises(InputError, match="the 1 rows of class 'b' are too few"):
        divided(labelled(["a"] * 30 + ["b"], tmp_path), (0.8, 0.1, 0.1), 0)


def with_contigs(counts: dict[str, int], rng: np.random.Generator) -> tables.Table:
    chrom = [name for name, count in counts.items() for _ in range(count)]
    table = tables.from_sequences([random_dna(60, rng) for _ in chrom])
    labels = pa.array(rng.integers(0, 2, len(chrom)).astype(str), pa.large_string())
    return table._replace(columns=pa.table({"chrom": chrom, "id": range(len(chrom))}), labels=labels)


YEAST = {
    f"chr{i + 1}": count for i, count in enumerate((23, 81, 32, 153, 58, 27, 109, 56, 44, 75, 67, 108, 92, 78, 109))
}


def test_a_split_by_named_contigs(rng: np.random.Generator) -> None:
    table = with_contigs(YEAST, rng)
    parts = splits.split_by_contig(table, dev=["chr2", "chr3"], test=["chr9"])
    assert parts.test is not None
    assert (parts.dev.rows, parts.test.rows) == (113, 44)
    assert set(parts.dev.columns["chrom"].to_pylist()) == {"chr2", "chr3"}
    rows = [row for part in (parts.train, parts.dev, parts.test) for row in part.columns["id"].to_pylist()]
    assert sorted(rows) == list(range(table.rows))
    assert splits.split_by_contig(table, dev=["chr2"]).test is None


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.9, 0.1, 0)])
def test_contigs_are_dealt_out_by_shares(shares: tuple[float, ...], rng: np.random.Generator) -> None:
    table = with_contigs(YEAST, rng)
    parts = splits.split_by_contig(table, shares, seed=1)
    found = [part for part in parts if part is not None]
    for part, share in zip(found, shares, strict=False):
        assert abs(part.rows / table.rows - share) <= 0.02
    chroms = [set(part.columns["chrom"].to_pylist()) for part in found]
    assert sum(map(len, chroms)) == len(YEAST)
    again = splits.split_by_contig(table, shares, seed=1)
    assert again.dev.columns.equals(parts.dev.columns)


def test_bad_splits_by_contig(rng: np.random.Generator) -> None:
    table = with_contigs({"chr1": 90, "chr20": 10}, rng)
    for options, message in (
        ({"dev": ["20"]}, r"no row lies on the contig '20'; there are chr1, chr20; did you mean 'chr20'\?"),
        ({"dev": ["chr1", "chr20"]}, "nothing is left to train on"),
        ({"dev": ["chr1"], "test": ["chr1"]}, "chr1: this contig is named for dev and for test"),
        ({"test": ["chr1"]}, "no contig is named for dev"),
        ({"shares": (0.8, 0.1, 0.1)}, r"make 2 contigs \(chr1, chr20\); 3 or more are required"),
        (
            {"shares": (0.5, 0.5, 0)},
            r"cannot be divided into 0.5, 0.5, 0: the nearest is 0.\d+, .* largest holds 90 of 100",
        ),
        ({"shares": (0.5, 0.6, 0)}, "three numbers that add up to 1"),
        ({"shares": (0.9, 0.1, 0), "dev": ["chr1"]}, "not both"),
    ):
        with pytest.raises(InputError, match=message):
            splits.split_by_contig(table, **options)
    with pytest.raises(InputError, match="a column 'chrom' is required to split by contig"):
        splits.split_by_contig(tables.from_sequences(["ACGT"]), (0.8, 0.1, 0.1))


def test_a_split_by_similarity_keeps_families_together(rng: np.random.Generator) -> None:
    bases = [random_dna(90, rng) for _ in range(150)]
    sizes = rng.integers(1, 6, 150)
    family = np.repeat(np.arange(150), sizes)
    sequences = [bases[i][:45] + "ACGT"[int(rng.integers(4))] + bases[i][46:] for i in family]
    order = rng.permutation(len(sequences))
    table = tables.from_sequences([sequences[i] for i in order])
    table = table._replace(
        labels=pa.array((family[order] % 3 == 0).astype(int).astype(str), pa.large_string()),
        columns=pa.table({"family": family[order]}),
    )
    strata, _ = targets.strata(table, targets.infer(table))
    parts = splits.split_by_similarity(table, (0.7, 0.15, 0.15), seed=2, strata=strata)
    families = [set(part.columns["family"].to_pylist()) for part in parts if part is not None]
    assert sum(map(len, families)) == len(set().union(*families)) == 150
    positive = np.mean(family % 3 == 0)
    for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
        assert part is not None
        assert part.labels is not None
        assert abs(part.rows / table.rows - share) < 0.01
        assert abs(np.mean(np.array(part.labels.to_pylist()) == "1") - positive) < 0.03
    assert leakage.check(parts, near=0.5).across == tuple(
        Shared(split, reference, part.rows, 0, 0, 0, 0)
        for split, reference, part in (
            ("dev", "train", parts.dev),
            ("test", "train", parts.test),
            ("test", "dev", parts.test),
        )
        if part is not None
    )
    unlabelled = splits.split_by_similarity(table._replace(labels=None), (0.8, 0.2, 0))
    assert abs(unlabelled.train.rows / table.rows - 0.8) < 0.01


def test_bad_splits_by_similarity(rng: np.random.Generator) -> None:
    base = random_dna(80, rng)
    one = tables.from_sequences([base] * 60 + [random_dna(80, rng) for _ in range(40)])
    with pytest.raises(
        InputError, match=r"41 clusters .* cannot be divided into 0.5, 0.25, 0.25: .* largest holds 60 of 100"
    ):
        splits.split_by_similarity(one, (0.5, 0.25, 0.25))
    with pytest.raises(InputError, match=r"the 60 rows make 1 clusters .*; 2 or more are required"):
        splits.split_by_similarity(tables.select(one, np.arange(60)), (0.9, 0.1, 0))
    with pytest.raises(InputError, match="three numbers that add up to 1"):
        splits.split_by_similarity(one, (0.9, 0.2, 0))


def test_contigs_of_equal_size_are_dealt_out_whatever_classes_they_hold(rng: np.random.Generator) -> None:
    table = with_contigs({"chr1": 20, "chr2": 20, "chr3": 20}, rng)
    strata = np.array([0, 1] * 20 + [2] * 20)
    parts = splits.split_by_contig(table, (0.34, 0.33, 0.33), strata=strata)
    assert [part.rows for part in parts if part is not None] == [20, 20, 20]
    with pytest.raises(InputError, match=r"the nearest is 0\.67, 0\.33, 0\.00"):
        splits.split_by_contig(table, (0.66, 0.33, 0.01), strata=strata)


def test_a_division_leaves_train_its_classes_where_it_can(rng: np.random.Generator) -> None:
    sizes = {"chr1": 30, "chr2": 10, "chr3": 10, "chr4": 5, "chr5": 5}
    table = with_contigs(sizes, rng)
    strata = np.repeat([0, 0, 0, 1, 0], list(sizes.values()))
    parts = splits.split_by_contig(table, (0.6, 0.2, 0.2), strata=strata)
    assert "chr4" in parts.train.columns["chrom"].to_pylist()


def read(path: Path, lines: list[str], **options: object) -> Labelled:
    path.write_text("\n".join(["chrom,sequence,label", *lines]) + "\n")
    return read_labelled(defaults() | {"data": path, "split": (0.8, 0.1, 0.1)} | options)


def test_a_class_that_no_training_row_holds_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    some = [f"chr{i},{random_dna(20, rng)},{'ab'[n % 2]}" for i in range(8) for n in range(10)]
    rare = [f"{name},{random_dna(20, rng)},c" for name in ("chr8", "chr9") for _ in range(10)]
    advice = "add rows of it, delete those there are, or divide otherwise"
    path = tmp_path / "t.csv"
    found = read(path, some + rare, split_by="contig")
    assert set(found.truths.train.values.tolist()) == {0, 1, 2}
    shares = {"split": (0.34, 0.33, 0.33), "split_by": "contig"}
    thirds = [f"chr{i},{random_dna(20, rng)},{label}" for i, label in enumerate("abc") for _ in range(20)]
    with pytest.raises(
        InputError, match=rf"t.csv: none of the 20 training rows holds the class '.', and 20 of dev and test; {advice}"
    ):
        read(path, thirds, **shares)
    bases = [f"chr{i},ACGTACGT,{label * 8}" for i, label in enumerate("ndd") for _ in range(20)]
    with pytest.raises(InputError, match=r"none of the 20 training rows holds the class 'n', and 20 of dev and test"):
        read(path, bases, **shares)


def test_more_rows_than_there_are_is_said(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"chr1,{random_dna(20, rng)},{i % 2}" for i in range(50)]
    for asked, taken, said in (
        (1000, 40, "--rows 1000, but 40 are all there are to train on"),
        (40, 40, ""),
        (9, 9, ""),
    ):
        assert read(tmp_path / "t.csv", lines, rows=asked).parts.train.rows == taken
        warned = capsys.readouterr().err
        assert ("Warning" in warned) == bool(said)
        assert said in warned.replace("\n", "")
