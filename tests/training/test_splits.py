"""Splits."""

from pathlib import Path

import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.training import splits, targets


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
    (tmp_path / "dev.tsv").write_text("sequence\tlabel\nACGTAC\t1\n")
    with pytest.raises(InputError, match=r"dev.tsv and valid.csv could both be 'dev'"):
        splits.read_folder(tmp_path)
    (tmp_path / "valid.csv").unlink()
    (tmp_path / "train.csv").unlink()
    with pytest.raises(InputError, match=r"a file 'train' .* is required, the folder holds dev.tsv"):
        splits.read_folder(tmp_path)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1)])
def test_bad_shares_are_refused(shares: tuple[float, ...], tmp_path: Path) -> None:
    table = labelled(["a", "b"] * 20, tmp_path)
    with pytest.raises(InputError, match="three numbers that add up to 1"):
        divided(table, shares, 0)
    with pytest.raises(InputError, match="the 1 rows of class 'b' are too few"):
        divided(labelled(["a"] * 30 + ["b"], tmp_path), (0.8, 0.1, 0.1), 0)
