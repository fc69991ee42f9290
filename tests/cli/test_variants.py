"""`dnabert variants` as users meet it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import random_dna, run_command, tiny_model, write_fasta


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "genome.fa", {"chr1": random_dna(400, rng)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tiny_model(tmp_path / "model", "classification", labels=("no", "yes"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bases": 31}))
    return folder


def test_a_region_becomes_a_table_and_a_map(genome: Path, model: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "out.tsv", tmp_path / "map.png"
    words = ["variants", model, "--saturation", "chr1:100-120", "--genome", genome, "--out", out, "--figure", figure]
    done = run_command(*words)
    assert re.search(r"scored +60", done.stdout)
    assert f"Scores of 60 alleles of 60 records: {out}" in done.stdout
    assert "Scoring 60 alleles of 60 records in windows of 31 bases on" in done.stderr
    assert len(out.read_text().splitlines()) == 61
    assert figure.is_file()
    # measured effects that are the scores themselves
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    at = header.index("log_odds")
    table = tmp_path / "measured.tsv"
    table.write_text("\n".join("\t".join([*row[:4], row[at]]) for row in [[*header[:at], "effect"], *rows]) + "\n")
    words = ["variants", model, table, "--genome", genome, "--out", tmp_path / "again.tsv", "--measured", "effect"]
    assert "Spearman of -log_odds with effect: -1.000 (n = 60)" in run_command(*words).stdout


def test_bad_input_is_one_line(refused: Callable[..., str], genome: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t5\t.\tA\tC\t.\t.\t.\n"
    )
    line = refused("variants", model, tmp_path / "v.vcf", "--genome", genome, "--out", tmp_path / "out.vcf.gz")
    assert "there is no contig '1'; this genome has chr1; did you mean 'chr1'?" in line
    line = refused("variants", model, tmp_path / "v.vcf", "--genome", genome, "--out", "o.tsv", "--offsets", "a")
    assert "--offsets a: whole numbers separated by commas are required" in line
