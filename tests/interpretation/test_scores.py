"""Scores in files: round trips, what they belong to, tracks, the original's arrays."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from dnabert import InputError
from dnabert.interpretation import scores as files
from dnabert.interpretation.scores import Scores
from dnabert.interpretation.tracks import write_tracks
from dnabert.model import checkpoint
from dnabert.sequence import tables
from dnabert.sequence.genome import Genome
from dnabert.sequence.tables import Table
from tests.conftest import random_dna, tiny_model, write_fasta


@pytest.fixture
def table() -> Table:
    return tables.from_sequences(["ACGTACGT", "acguN"])._replace(columns=pa.table({"name": ["one", "two"]}))


def scores_of(table: Table, model: str = "", *more: int) -> Scores:
    values = np.arange(table.rows * 8 * max(1, *more, 1), dtype=np.float32).reshape(table.rows, 8, *more)
    values[1, 5:] = np.nan
    return Scores(values, np.diff(table.offsets), "attention", model, files.sequences_fingerprint(table))


@pytest.mark.parametrize("more", [(), (4,)])
def test_scores_round_trip(table: Table, more: tuple[int, ...], tmp_path: Path) -> None:
    scores = scores_of(table, "m", *more)
    files.write_npz(scores, tmp_path / "scores.npz")
    again = files.read_npz(tmp_path / "scores.npz")
    np.testing.assert_array_equal(again.values, scores.values)
    np.testing.assert_array_equal(again.lengths, [8, 5])
    assert again[2:] == scores[2:]


@pytest.mark.parametrize("more", [(), (4,)])
def test_parquet_has_a_list_a_sequence(
    table: Table, more: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROWS", 1)
    scores = scores_of(table, "m", *more)
    files.write_parquet(scores, table, tmp_path / "s.parquet", {"error": np.array([0.5, 1.5])})
    content = pyarrow.parquet.read_table(tmp_path / "s.parquet")
    assert content.column_names == ["name", "sequence", "scores", "error"]
    assert content["sequence"].to_pylist() == ["ACGTACGT", "acguN"]
    for row, length in enumerate([8, 5]):
        np.testing.assert_array_equal(np.array(content["scores"][row].as_py()), scores.values[row, :length])


def test_files_that_hold_no_scores(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.npz: no such file of scores"):
        files.read_npz(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no numbers")
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    np.save(tmp_path / "plain.npy", np.zeros(3))
    for name in ("text.npz", "other.npz", "plain.npy"):
        with pytest.raises(InputError, match=f"{name}: this is no file of scores; give the scores.npz"):
            files.read_npz(tmp_path / name)


def test_scores_of_something_else(table: Table, tmp_path: Path) -> None:
    model = checkpoint.load(tiny_model(tmp_path / "model", "classification", labels=("0", "1")))
    other = checkpoint.load(tiny_model(tmp_path / "other", "classification", labels=("0", "1"), seed=4))
    scores = scores_of(table, files.model_fingerprint(model))
    files.check_belongs(scores, "s.npz", model, table)
    same = tables.from_sequences(["acgtacgt", "ACGTR"])  # case and ambiguity codes are one to a model
    files.check_belongs(scores, "s.npz", model, same)
    with pytest.raises(InputError, match=r"s.npz: these scores are another model's"):
        files.check_belongs(scores, "s.npz", other, table)
    for sequences, message in (
        (["ACGTACGT"], r"s.npz: scores of 2 sequences do not fit .* with 1"),
        (["ACGTACGT", "ACGTAC"], r"s.npz: .* number 2 has 6 bases, its scores 5"),
        (["ACGTACGT", "ACGTT"], r"s.npz: these scores are of other sequences"),
    ):
        with pytest.raises(InputError, match=message):
            files.check_belongs(scores, "s.npz", model, tables.from_sequences(sequences))


def test_the_originals_arrays_have_no_gap(tmp_path: Path) -> None:
    values = np.array([[0.5, 0.25, 0.25], [1, np.nan, np.nan]], dtype=np.float32)
    files.export_original(values, np.array([[0.1, 0.9], [0.8, 0.2]]), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "atten.npy"), [[0.5, 0.25, 0.25], [1, 0, 0]])
    np.testing.assert_array_equal(np.load(tmp_path / "pred_results.npy"), [0.9, 0.2])
    files.export_original(values, np.full((2, 3), 1 / 3), tmp_path)
    assert np.load(tmp_path / "pred_results.npy").shape == (2, 3)


def test_tracks_lie_on_the_genome(tmp_path: Path, rng: np.random.Generator) -> None:
    import pyBigWig

    genome = Genome.open(write_fasta(tmp_path / "g.fa", {"chrB": random_dna(100, rng), "chrA": random_dna(50, rng)}))
    bed = "chrom\tstart\tend\tstrand\nchrA\t10\t14\t+\nchrB\t20\t25\t-\nchrB\t23\t27\t+\nchrB\t27\t29\t+\n"
    (tmp_path / "t.tsv").write_text(bed)
    table = tables.read(tmp_path / "t.tsv", genome=genome.path)
    values = np.full((4, 5), np.nan)
    values[0, :4] = [1, 2, np.nan, 4]
    values[1] = [5, 6, 7, 8, 9]  # from the minus strand: base 24 comes first
    values[2, :4] = [1, 2, 3, 4]
    values[3, :2] = [-1, -2]
    graph, big = write_tracks(table, values, genome, tmp_path / "scores")
    expected = {("chrB", 20 + i): value for i, value in enumerate([9, 8, 7, (6 + 1) / 2, (5 + 2) / 2, 3, 4, -1, -2])}
    expected |= {("chrA", 10): 1, ("chrA", 11): 2, ("chrA", 13): 4}
    lines = [line.split("\t") for line in graph.read_text().splitlines()]
    assert {(chrom, int(start)): float(value) for chrom, start, _, value in lines} == pytest.approx(expected)
    assert all(int(end) == int(start) + 1 for _, start, end, _ in lines)
    assert [line[0] for line in lines] == ["chrB"] * 9 + ["chrA"] * 3  # in the genome's order
    with pyBigWig.open(str(big)) as wig:
        assert wig.chroms() == {"chrB": 100, "chrA": 50}
        for (chrom, start), value in expected.items():
            assert wig.values(chrom, start, start + 1)[0] == pytest.approx(value)
        assert np.isnan(wig.values("chrA", 12, 13)[0])
