"""The commands that make and check data, as users meet them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnabert.sequence import tables
from tests.conftest import random_dna, run_command, tiny_model, write_fasta

Refused = Callable[..., str]


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "genome.fa", {"chr2": random_dna(9000, rng), "chr20": random_dna(9000, rng)})


@pytest.fixture
def peaks(tmp_path: Path) -> Path:
    path = tmp_path / "peaks.bed"
    path.write_text(
        "track name=peaks\n" + "".join(f"chr20\t{300 * i}\t{300 * i + 1}\tpeak{i}\t0\t.\n" for i in range(1, 21))
    )
    return path


def test_from_peaks_to_a_table_to_splits_without_leaks(genome: Path, peaks: Path, tmp_path: Path) -> None:
    out = tmp_path / "data.tsv"
    done = run_command("negatives", peaks, "--method", "genome", "--genome", genome, "--length", 51, "--out", out)
    assert done.stdout == f"Table of 20 positives and 20 negatives: {out}\n"
    assert "GC content: positives 0." in done.stderr
    table = tables.read(out)
    assert set(np.diff(table.offsets).tolist()) == {51}
    shuffled = tmp_path / "shuffled.parquet"
    run_command("negatives", peaks, "--method", "shuffle", "--genome", genome, "--length", 51, "--out", shuffled)
    assert tables.read(shuffled).rows == 40
    lines = out.read_text().splitlines()
    (tmp_path / "splits").mkdir()
    for name, rows in (("train", lines[1:30]), ("test", lines[28:])):
        (tmp_path / f"splits/{name}.tsv").write_text("\n".join([lines[0], *rows]) + "\n")
    done = run_command("check-leakage", tmp_path / "splits", "--out", tmp_path / "rows.csv")
    (line,) = [line.split() for line in done.stdout.splitlines() if "train" in line]
    assert line == ["splits", "test", "train", "13", "2", "0", "0", "0"]
    assert (tmp_path / "rows.csv").read_text().count("\n") == 3
    done = run_command("check-leakage", tmp_path / "splits", "--exact")
    assert [words[-2] for line in done.stdout.splitlines() if "train" in line and (words := line.split())] == ["-"]


def test_a_bed_file_is_predicted(genome: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", "classification", labels=("0", "1"))
    (tmp_path / "r.bed").write_text("chr2\t10\t60\ta\t0\t+\nchr20\t10\t60\tb\t0\t-\n")
    run_command("predict", model, tmp_path / "r.bed", "--genome", genome, "--out", tmp_path / "p.tsv")
    lines = (tmp_path / "p.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:6] == ["chrom", "start", "end", "name", "score", "strand"]
    assert [line.split("\t")[:4] for line in lines[1:]] == [["chr2", "10", "60", "a"], ["chr20", "10", "60", "b"]]


def test_bad_negatives(refused: Refused, genome: Path, peaks: Path, tmp_path: Path) -> None:
    def refuse(data: Path, *arguments: object) -> str:
        return refused("negatives", data, "--genome", genome, "--out", tmp_path / "n.tsv", *arguments)

    (tmp_path / "bare.bed").write_text("20\t5\t60\n")
    line = refuse(tmp_path / "bare.bed", "--method", "genome")
    assert (
        "bare.bed line 1: genome.fa: there is no contig '20'; this genome has chr2, chr20; did you mean 'chr20'?"
        in line
    )
    (tmp_path / "turned.bed").write_text("chr2\t60\t5\n")
    assert "turned.bed line 1: chr2:60-5 is empty" in refuse(tmp_path / "turned.bed", "--method", "genome")
    (tmp_path / "none.bed").write_text("#chrom\tfrom\n")
    assert "none.bed: the file holds no intervals" in refuse(tmp_path / "none.bed", "--method", "genome")
    (tmp_path / "all.bed").write_text("chr2\t0\t9000\nchr20\t0\t9000\n")
    line = refuse(peaks, "--method", "genome", "--length", 51, "--exclude", tmp_path / "all.bed")
    assert "outside the positives and the excluded regions no stretch of 51 bases is left" in line
    assert "--method nothing: one of shuffle, genome is required" in refuse(peaks, "--method", "nothing")
    line = refused("negatives", peaks, "--method", "genome", "--out", tmp_path / "n.tsv")
    assert "--method genome draws windows from a genome; name its FASTA file with --genome" in line


def test_bad_leakage(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "two or three of the files train, dev, test are required" in refused("check-leakage", tmp_path / "empty")
    (tmp_path / "t.csv").write_text("sequence,label\nACGTACGT,1\n")
    assert "name it with --split-column" in refused("check-leakage", tmp_path / "t.csv")
    assert "--similarity 0: a share above 0" in refused("check-leakage", tmp_path / "t.csv", "--similarity", "0")
