"""Simulated data: what truth.bed says is what was planted."""

from pathlib import Path

import numpy as np
import pytest

from dnabert.errors import InputError
from dnabert.sequence import simulate as sim
from dnabert.sequence import tables
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement
from dnabert.sequence.genome import Genome


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> sim.Simulated:
    return sim.simulate(tmp_path_factory.mktemp("sim") / "data", seed=3)


def log_odds(sites: list[str], motif: str) -> float:
    """Mean log-odds of sites under a motif against equal bases."""
    counts = np.array(sim.MOTIFS[motif].counts, dtype=float) + 1
    weights = np.log(counts / counts.sum(axis=1, keepdims=True) / 0.25)
    return float(np.mean([sum(weights[i, "ACGT".index(base)] for i, base in enumerate(site)) for site in sites]))


def bed(path: Path) -> list[tuple[str, int, int, str, str]]:
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [(name, int(start), int(end), motif.split(" ", 1)[1], strand) for name, start, end, motif, _, strand in rows]


def oriented(sequence: str, strand: str) -> str:
    return sequence if strand == "+" else decode_bases(reverse_complement(encode_bases(sequence)))


def test_planted_sites_carry_their_motif(data: sim.Simulated) -> None:
    for folder in data.tasks.values():
        sequences: dict[str, str] = {}
        for part in sim.ROWS:
            table = tables.read(folder / f"{part}.tsv")
            sequences |= dict(zip(table.columns["name"].to_pylist(), table.sequences.to_pylist(), strict=True))
        sites: dict[str, list[str]] = {}
        for name, start, end, motif, strand in bed(folder / "truth.bed"):
            sites.setdefault(motif, []).append(oriented(sequences[name][start:end], strand))
        for motif, found in sites.items():
            assert len(found) > 400
            assert log_odds(found, motif) > 3


def test_classes_differ_in_order_not_in_composition(data: sim.Simulated) -> None:
    for folder in data.tasks.values():
        table = tables.read(folder / "train.tsv")
        labels = np.array(table.labels.to_pylist())  # type: ignore[union-attr]
        gc = np.array([(text.count("G") + text.count("C")) / len(text) for text in table.sequences.to_pylist()])
        shares = [gc[labels == label].mean() for label in np.unique(labels)]
        if folder.name != "e_box":  # there one class has a second box
            assert max(shares) - min(shares) < 0.01
        assert table.rows == 2000
        assert {len(text) for text in table.sequences.to_pylist()} == {sim.LENGTH}


def test_promoters_keep_their_spacing(data: sim.Simulated) -> None:
    starts = [start for _, start, _, motif, _ in bed(data.tasks["core_promoter"] / "truth.bed") if motif == "TATA box"]
    assert {sim.TSS - start for start in starts} == set(range(28, 34))


def test_the_genome_carries_its_motifs(data: sim.Simulated) -> None:
    genome = Genome.open(data.genome)
    assert dict(zip(genome.names, genome.lengths.tolist(), strict=True)) == sim.CONTIGS
    sites = [row for row in bed(data.genome.parent / "genome.truth.bed") if row[3] == "CTCF"]
    found = [decode_bases(genome.window(name, start, end, strand)) for name, start, end, _, strand in sites]
    assert log_odds(found, "CTCF") > 8


def test_the_background_is_the_stated_markov_model(rng: np.random.Generator) -> None:
    codes = sim.background(200_000, rng).astype(int)
    counts = np.bincount(codes[:-1] * 4 + codes[1:], minlength=16).reshape(4, 4)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), sim.BACKGROUND, atol=0.01)


@pytest.mark.real_data
def test_counts_are_those_of_jaspar(real_data: Path) -> None:
    blocks = (real_data / "motifs/JASPAR2022_vertebrates.pfm").read_text().split(">")
    for motif in sim.MOTIFS.values():
        block = next(block for block in blocks if block.startswith(motif.accession))
        rows = [[round(float(value)) for value in line.split()] for line in block.splitlines()[1:] if line.strip()]
        assert [tuple(row) for row in rows] == list(motif.counts)


def test_the_same_seed_writes_the_same_files(data: sim.Simulated, tmp_path: Path) -> None:
    again = sim.simulate(tmp_path / "again", seed=3)
    other = sim.simulate(tmp_path / "other", seed=4)
    for name in ("ctcf/train.tsv", "genome.fa", "e_box/truth.bed"):
        content = (data.genome.parent / name).read_bytes()
        assert (again.genome.parent / name).read_bytes() == content
        assert (other.genome.parent / name).read_bytes() != content


def test_a_taken_folder_is_refused(data: sim.Simulated, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="already holds a run"):
        sim.simulate(data.genome.parent)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="this one holds something else"):
        sim.simulate(tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
