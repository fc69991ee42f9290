"""`dnabert explain` and `dnabert motifs` as users meet them, bad input included."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnabert import InputError
from dnabert.cli import app
from tests.conftest import random_dna, run_command, tiny_model, write_fasta

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Run a command that must be refused in this process: InputError of one line, nothing written. Returns the line."""

    def check(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError) as error:
            app([str(argument) for argument in arguments], standalone_mode=False)
        assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()] == []
        assert "\n" not in str(error.value)
        return str(error.value)

    return check


def test_bad_input_is_one_line_and_exit_code_2(model: Path, tmp_path: Path) -> None:
    for command in ("explain", "motifs"):
        done = run_command(command, model, tmp_path / "none.fa", "--out", tmp_path / "out", expect=2)
        assert done.stderr.startswith("dnabert: error: ")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model", "classification", labels=("0", "1"))


@pytest.fixture
def positives(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "p.fa", {f"p{i}": random_dna(50, rng) for i in range(6)})


@pytest.fixture
def negatives(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "n.fa", {f"n{i}": random_dna(50, rng) for i in range(6)})


@pytest.fixture
def database(tmp_path: Path, rng: np.random.Generator) -> Path:
    lines = []
    for i in range(30):
        lines.append(f">known {i}")
        lines += ["\t".join(f"{share:.4f}" for share in row) for row in rng.dirichlet([0.3] * 4, size=9)]
    (tmp_path / "d.pfm").write_text("\n".join(lines) + "\n")
    return tmp_path / "d.pfm"


def test_explain_and_motifs_run_and_say_where_things_are(
    model: Path, positives: Path, negatives: Path, database: Path, tmp_path: Path
) -> None:
    done = run_command("explain", model, positives, "--out", tmp_path / "why", "--layers", "all", "--heads", "0,1")
    assert re.search(r"Scores: .*why/scores.npz\nFigures: .*why/index.html", done.stdout)
    assert "Explaining 6 sequences (attention) on cpu in" in done.stderr
    words = ["motifs", model, positives, "--negatives", negatives, "--database", database]
    done = run_command(*words, "--out", tmp_path / "motifs")
    assert "0 motifs" in done.stdout
    assert re.search(r"No motif: [\d,]+ regions, .* 0 enriched texts, 0 groups, 0 motifs", done.stderr)
    assert (tmp_path / "motifs" / "motifs.tsv").read_text().startswith("motif\tconsensus\tsites\tinstances\t")


def test_gradients_say_how_complete_they_are(
    model: Path, positives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", model, positives, "--method", "ig", "--steps", "4", "--out", tmp_path / "out"]
    app(list(map(str, words)), standalone_mode=False)
    assert re.search(r"Completeness error: \d+\.\d% of the logit's difference", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["explain", "motifs"])
def test_input_that_both_refuse(
    command: str, refused: Refused, model: Path, negatives: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    more = ["--negatives", negatives] if command == "motifs" else []

    def line(path: Path) -> str:
        return refused(command, model, path, "--out", tmp_path / "out", *more)

    assert "none.fa: no such table or FASTA file" in line(tmp_path / "none.fa")
    (tmp_path / "empty.fa").write_text("")
    assert "empty.fa: this table or FASTA file is empty" in line(tmp_path / "empty.fa")
    (tmp_path / "header.tsv").write_text("sequence\tlabel\n")
    assert "header.tsv: the table has a header but no rows" in line(tmp_path / "header.tsv")
    long = write_fasta(tmp_path / "long.fa", {"ok": random_dna(60, rng), "long": random_dna(600, rng)})
    assert "long.fa record 2: the sequence has 600 bases, this model takes at most 513" in line(long)
    short = write_fasta(tmp_path / "short.fa", {"short": "ACG"})
    assert "short.fa record 1: the sequence has 3 bases, at least 4 are needed" in line(short)


def test_explain_refuses_a_taken_folder_and_numbers_that_are_none(
    refused: Refused, model: Path, positives: Path, tmp_path: Path
) -> None:
    taken = tiny_model(tmp_path / "taken")
    assert "already holds a run; name another --out" in refused("explain", model, positives, "--out", taken)
    assert "is in this folder; name another" in refused("explain", model, positives, "--out", model, "--overwrite")
    line = refused("explain", model, positives, "--out", tmp_path / "out", "--layers", "last")
    assert "--layers last: whole numbers separated by commas are required" in line
    line = refused("explain", model, positives, "--out", tmp_path / "out", "--layers", "7")
    assert "there is no layer 7: this model has 2, 0 to 1" in line


def test_motifs_need_negatives_where_the_finder_compares(
    refused: Refused, model: Path, positives: Path, tmp_path: Path
) -> None:
    line = refused("motifs", model, positives, "--out", tmp_path / "out")
    assert "p.fa: the finder attention compares positives with negatives; name them with --negatives" in line


def test_motifs_need_positives(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("sequence\tlabel\nACGTACGTAC\tno\nACGTACGTAC\tmaybe\n")
    line = refused("motifs", model, tmp_path / "t.tsv", "--out", tmp_path / "out")
    assert "t.tsv: no row has the label '1', so there are no positives" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "d.meme: no such database of motifs"),
        ("", "d.meme: this database of motifs is empty"),
        ("MEME version 4\n\nALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "motifs of DNA (ALPHABET= ACGT) are required"),
        ("some words\n", "'some words' is no part of a motif"),
    ],
)
def test_motifs_refuse_a_database_before_computing(
    content: str | None,
    message: str,
    refused: Refused,
    model: Path,
    positives: Path,
    negatives: Path,
    tmp_path: Path,
) -> None:
    if content is not None:
        (tmp_path / "d.meme").write_text(content)
    words = [model, positives, "--negatives", negatives, "--out", tmp_path / "out"]
    assert message in refused("motifs", *words, "--database", tmp_path / "d.meme")


def test_motifs_refuse_scores_of_something_else(
    refused: Refused, model: Path, positives: Path, negatives: Path, tmp_path: Path
) -> None:
    app(
        ["explain", str(model), str(positives), "--out", str(tmp_path / "why"), "--figures", "0"], standalone_mode=False
    )
    scores = tmp_path / "why" / "scores.npz"
    other = tiny_model(tmp_path / "other", "classification", labels=("0", "1"), seed=9)
    more = ["--negatives", negatives, "--scores", scores, "--out", tmp_path / "out"]
    assert "these scores are another model's" in refused("motifs", other, positives, *more)
    assert "these scores are of other sequences than" in refused("motifs", model, negatives, *more)
    shorter = write_fasta(tmp_path / "short.fa", {f"s{i}": "ACGTACGT" * 4 for i in range(6)})
    assert "short.fa record 1 has 32 bases, its scores 50" in refused("motifs", model, shorter, *more)
    assert "scores of attention, the finder modisco needs ism or ig" in refused(
        "motifs", model, positives, *more, "--finder", "modisco"
    )
    more[3] = positives
    assert "p.fa: this is no file of scores" in refused("motifs", model, positives, *more)


def test_motifs_refuse_options_that_do_not_go(
    refused: Refused, model: Path, positives: Path, negatives: Path, tmp_path: Path
) -> None:
    words = [model, positives, "--negatives", negatives, "--out", tmp_path / "out"]
    for option, value, message in (
        ("--finder", "homer", "--finder homer: give one of attention, modisco"),
        ("--method", "ism", "--method ism: the finder attention takes attention"),
        ("--min-length", 1, "--min-length of 2 or more"),
        ("--window", 4, "--window of --min-length or more"),
        ("--level", 0, "--level 0.0: a p-value above 0"),
        ("--target", "9", "--target 9: this model has 0, 1"),
        ("--strand", "up", "--strand up: give one of given, both"),
    ):
        assert message in refused("motifs", *words, option, value)
    assert "effects on a logit need a classifier" in refused("motifs", tiny_model(tmp_path / "pre"), *words[1:])
    three = tiny_model(tmp_path / "three", "classification", labels=("a", "b", "c"))
    assert "say which class's motifs to find: --target a or b or c" in refused("motifs", three, *words[1:])
    short = write_fasta(tmp_path / "short.fa", {"s": "ACGTACGTACGT"})
    line = refused("motifs", model, short, "--finder", "modisco", "--method", "ig", "--out", tmp_path / "out")
    assert "the longest sequence has 12 bases, the finder modisco needs 41" in line
