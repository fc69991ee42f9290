"""`find_motifs` end to end on planted motifs, whose scores say where they are."""

from pathlib import Path

import numpy as np
import pytest

import dnabert
from dnabert import InputError
from dnabert.interpretation.finders import Finder, find_by_attention, find_by_modisco
from dnabert.interpretation.matching import consensus
from dnabert.interpretation.motifs import FoundMotifs, describe
from dnabert.interpretation.places import place_of
from dnabert.interpretation.scores import Scores, model_fingerprint, read_npz, sequences_fingerprint, write_npz
from dnabert.model import checkpoint
from dnabert.sequence import tables
from dnabert.sequence.alphabet import decode_bases
from dnabert.sequence.motif_files import read_database
from dnabert.sequence.simulate import MOTIFS, draw_instance
from tests.conftest import random_dna, tiny_model, write_fasta

ROWS, BASES = 150, 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), "classification", labels=("0", "1"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Write positives with an E-box each, negatives, and scores that know the sites."""
    folder, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(5)
    positives, values = {}, 0.001 * (1 + rng.random((ROWS, BASES)))
    for row in range(ROWS):
        site, start = decode_bases(draw_instance("E-box", rng)), int(rng.integers(3, 35))
        sequence = random_dna(BASES, rng)
        positives[f"p{row}"] = sequence[:start] + site + sequence[start + len(site) :]
        values[row, start + 2 : start + 8] = 0.3
    write_fasta(folder / "positives.fa", positives)
    write_fasta(folder / "negatives.fa", {f"n{row}": random_dna(BASES, rng) for row in range(ROWS)})
    table = tables.read(folder / "positives.fa")
    weights = model_fingerprint(checkpoint.load(model))
    lengths = np.diff(table.offsets)
    scores = Scores(values.astype(np.float32), lengths, "attention", weights, sequences_fingerprint(table))
    write_npz(scores, folder / "scores.npz")
    lines = []
    for name, motif in MOTIFS.items():
        lines.append(f">{motif.accession} {name}")
        lines += ["\t".join(map(str, row)) for row in motif.counts]
    for i in range(30):
        lines.append(f">random {i}")
        lines += ["\t".join(f"{share:.4f}" for share in row) for row in rng.dirichlet([0.3] * 4, size=9)]
    (folder / "database.pfm").write_text("\n".join(lines) + "\n")
    return folder


def find(model: Path, planted: Path, out: Path, **options: object) -> FoundMotifs:
    chosen: dict[str, object] = {"negatives": planted / "negatives.fa", "scores": planted / "scores.npz"} | options
    return dnabert.find_motifs(model, planted / "positives.fa", out, **chosen)  # type: ignore[arg-type]


def test_the_rows_of_the_class_are_the_positives(model: Path, planted: Path, tmp_path: Path) -> None:
    rows = [
        f"{sequence}\t{label}"
        for name, label in (("positives", 1), ("negatives", 0))
        for sequence in tables.read(planted / f"{name}.fa").sequences.to_pylist()
    ]
    (tmp_path / "both.tsv").write_text("\n".join(["sequence\tlabel", *rows]) + "\n")
    found = dnabert.find_motifs(
        model,
        tmp_path / "both.tsv",
        tmp_path / "out",
        negatives=planted / "negatives.fa",
        scores=planted / "scores.npz",
        target="1",
    )
    assert found.steps == find(model, planted, tmp_path / "same").steps


def test_scores_that_are_of_something_else(model: Path, planted: Path, tmp_path: Path) -> None:
    given = read_npz(planted / "scores.npz")
    zeros = np.zeros((ROWS, BASES, 4), dtype=np.float32)
    write_npz(given._replace(values=zeros, method="ism", target="0"), tmp_path / "ism.npz")
    for options, message in (
        ({"layers": (0,)}, "leave them out with --scores"),
        ({"scores": None, "finder": "modisco", "heads": (0,)}, "--heads chooses attention, and --method ism does not"),
        (
            {"scores": tmp_path / "ism.npz", "method": "attention"},
            "scores of ism, the finder attention needs attention",
        ),
        ({"scores": tmp_path / "ism.npz", "finder": "modisco", "method": "ig"}, "scores of ism, not ig"),
        ({"scores": tmp_path / "ism.npz", "finder": "modisco"}, "these scores explain the class '0', not '1'"),
    ):
        with pytest.raises(InputError, match=message):
            find(model, planted, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()


def test_intervals_of_another_length_are_refused(model: Path, planted: Path, tmp_path: Path) -> None:
    (tmp_path / "wide.tsv").write_text("sequence\tchrom\tstart\tend\nACGTACGTAC\tc\t5\t14\n")
    for run in (
        lambda: dnabert.explain(model, tmp_path / "wide.tsv", tmp_path / "out"),
        lambda: dnabert.find_motifs(model, tmp_path / "wide.tsv", tmp_path / "out", negatives=planted / "negatives.fa"),
        lambda: find(model, planted, tmp_path / "out", negatives=tmp_path / "wide.tsv"),
    ):
        with pytest.raises(InputError, match="the sequence has 10 bases, its interval 5-14 is of another length"):
            run()
        assert not (tmp_path / "out").exists()


def test_a_planted_motif_is_found_named_and_located(model: Path, planted: Path, tmp_path: Path) -> None:
    result = find(model, planted, tmp_path / "out", database=planted / "database.pfm")
    first = result.motifs[0]
    assert first.match is not None
    assert first.match.name == "MA0058.3 E-box"
    assert first.match.q < 0.01
    assert first.positives > 0.5 * ROWS > 10 * first.negatives
    assert [motif.log_p for motif in result.motifs] == sorted(motif.log_p for motif in result.motifs)
    header, line, *_ = (result.folder / "motifs.tsv").read_text().splitlines()
    row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert row["motif"] == "motif_1"
    assert row["consensus"] == first.consensus
    assert float(row["match_q"]) == pytest.approx(first.match.q)
    assert float(row["log10_p"]) == pytest.approx(first.log_p / np.log(10))
    known = read_database(result.folder / "motifs.meme")
    assert list(known) == [motif.name for motif in result.motifs]
    bed = [line.split("\t") for line in (result.folder / "instances.bed").read_text().splitlines()]
    mine = [line for line in bed if line[3] == "motif_1"]
    assert len(mine) == first.instances
    assert len({line[0] for line in mine if line[0].startswith("p")}) == first.positives
    assert all(0 <= int(start) < int(end) <= BASES for _, start, end, *_ in bed)
    assert all((result.folder / f"motif_1.{suffix}").is_file() for suffix in ("png", "svg"))
    assert "MA0058.3 E-box" in (result.folder / "index.html").read_text()


def test_a_motif_that_stands_in_negatives_as_often_is_left_out(planted: Path) -> None:
    table, other = tables.read(planted / "positives.fa"), tables.read(planted / "negatives.fa")
    search = find_by_attention(np.load(planted / "scores.npz")["values"], table, other, Finder())
    motifs, places = describe(search, table, other, None, 0.005)
    assert len(motifs) == len(places) > 0
    assert describe(search, table, table, None, 0.005) == ([], [])


def test_without_a_database_motifs_have_no_names(model: Path, planted: Path, tmp_path: Path) -> None:
    result = find(model, planted, tmp_path / "out")
    assert all(motif.match is None for motif in result.motifs)
    assert result.steps["regions"] == ROWS


def test_the_same_run_is_the_same_answer(model: Path, planted: Path, tmp_path: Path) -> None:
    folders = [find(model, planted, tmp_path / name, database=planted / "database.pfm").folder for name in "ab"]
    for name in ("motifs.tsv", "motifs.meme", "instances.bed", "motif_1.svg"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_labelled_table_brings_its_negatives(model: Path, planted: Path, tmp_path: Path) -> None:
    both = {"1": "positives.fa", "0": "negatives.fa"}
    lines = ["sequence\tlabel"]
    for label, name in both.items():
        lines += [f"{sequence}\t{label}" for sequence in tables.read(planted / name).sequences.to_pylist()]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    result = dnabert.find_motifs(model, tmp_path / "t.tsv", tmp_path / "out", scores=planted / "scores.npz")
    again = find(model, planted, tmp_path / "again")
    assert [motif.consensus for motif in result.motifs] == [motif.consensus for motif in again.motifs]
    assert result.motifs[0].log_p == again.motifs[0].log_p


def test_no_region_is_an_empty_table(model: Path, planted: Path, tmp_path: Path) -> None:
    flat = np.load(planted / "scores.npz")
    np.savez(tmp_path / "flat.npz", **{**flat, "values": np.full((ROWS, BASES), 0.1, dtype=np.float32)})
    result = find(model, planted, tmp_path / "out", scores=tmp_path / "flat.npz", database=planted / "database.pfm")
    assert result.motifs == ()
    assert result.steps["regions"] == 0
    assert (result.folder / "motifs.tsv").read_text().count("\n") == 1
    assert (result.folder / "instances.bed").read_text() == ""
    assert "Table" in (result.folder / "index.html").read_text()


def test_scores_are_computed_where_none_are_given(model: Path, planted: Path, tmp_path: Path) -> None:
    written = dnabert.explain(model, planted / "positives.fa", tmp_path / "scores", figures=0, precision="float32")
    given = find(model, planted, tmp_path / "given", scores=written.scores)
    computed = find(model, planted, tmp_path / "computed", scores=None, precision="float32")
    assert given.steps == computed.steps


def test_instances_of_intervals_lie_on_the_genome(tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chrI": "A" * 200})
    (tmp_path / "t.tsv").write_text("chrom\tstart\tend\tstrand\nchrI\t100\t130\t-\nchrI\t20\t45\t+\n")
    table = tables.read(tmp_path / "t.tsv", genome=genome)
    assert place_of(table, 0, 2, 10, False) == ("chrI", 120, 128, True)
    assert place_of(table, 1, 2, 10, True) == ("chrI", 22, 30, True)


def test_modisco_finds_the_motif_in_contributions() -> None:
    rows, bases, site = 200, 120, "TTCACGTG"
    rng = np.random.default_rng(0)
    sequences, values = [], 0.1 * rng.normal(size=(rows, bases))
    for row in range(rows):
        sequence, start = random_dna(bases, rng), int(rng.integers(25, 85))
        sequences.append(sequence[:start] + site + sequence[start + len(site) :])
        values[row, start : start + len(site)] += 1 + 0.1 * rng.random(len(site))
    motifs, steps = find_by_modisco(values, tables.from_sequences(sequences))
    assert steps["seqlets"] == sum(motif.instances for motif in motifs) > 0
    shares = motifs[0].counts / motifs[0].counts.sum(axis=1, keepdims=True)
    assert site in consensus(shares)
    np.testing.assert_allclose(motifs[0].counts.sum(axis=1), motifs[0].instances, rtol=1e-6)
