"""Genomes from FASTA, and what is refused."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pysam
import pytest

from dnabert.errors import InputError
from dnabert.sequence import genome as genome_module
from dnabert.sequence.alphabet import decode_bases
from dnabert.sequence.genome import Genome
from tests.conftest import random_dna, write_fasta


@pytest.fixture
def contigs(rng: np.random.Generator) -> dict[str, str]:
    return {"chrI": random_dna(1000, rng), "chrII": "NNNN" + random_dna(333, rng).lower(), "chrM": "ACGTU"}


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_reads_every_kind_of_file(kind: str, contigs: dict[str, str], tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "genome.fa", contigs)
    if kind == "gzip":
        packed = tmp_path / "genome.fa.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    elif kind == "bgzip":
        pysam.tabix_compress(str(path), str(tmp_path / "genome.fa.bgz"))
        path = tmp_path / "genome.fa.bgz"
    genome = Genome.open(path)
    assert genome.names == tuple(contigs)
    assert genome.lengths.tolist() == [len(sequence) for sequence in contigs.values()]
    for name, sequence in contigs.items():
        whole = genome.window(name, 0, len(sequence))
        assert decode_bases(whole) == sequence.upper().replace("U", "T")


def test_windows_and_strands(contigs: dict[str, str], tmp_path: Path) -> None:
    genome = Genome.open(write_fasta(tmp_path / "genome.fa", contigs))
    assert decode_bases(genome.window("chrM", 1, 4)) == "CGT"
    assert decode_bases(genome.window("chrM", 1, 5, "-")) == "AACG"
    with pysam.FastaFile(str(tmp_path / "genome.fa")) as reference:
        assert decode_bases(genome.window("chrI", 100, 200)) == reference.fetch("chrI", 100, 200)


def test_small_blocks_give_the_same_genome(
    contigs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_fasta(tmp_path / "genome.fa", contigs)
    whole = Genome.open(path)
    monkeypatch.setattr(genome_module, "_READ_SIZE", 7)
    monkeypatch.setenv("DNABERT_CACHE", str(tmp_path / "cache"))
    again = Genome.open(path)
    assert again.names == whole.names
    np.testing.assert_array_equal(again.codes, whole.codes)


def test_a_cached_genome_is_mapped_and_a_changed_file_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNABERT_CACHE", str(tmp_path / "cache"))
    path = write_fasta(tmp_path / "genome.fa", {"a": "ACGT"})
    Genome.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(genome_module, "read_fasta", None)  # reading again would fail
        assert isinstance(Genome.open(path).codes, np.memmap)
    write_fasta(path, {"a": "ACGTT"})
    assert Genome.open(path).lengths.tolist() == [5]
    assert not list((tmp_path / "cache" / "genomes").glob(".*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("ACGT\nACGT\n", "line 1: a FASTA file starts with a '>' header"),
        (">a\nACGT\n>b\nMKVE\n", "line 4, contig b: 'E' is not a nucleotide letter"),
        (">a\nACGT\nAC1T\n", "line 3, contig a: '1' is not a nucleotide letter"),
        (">a\nACGT\n>b\nAC\n>a\nGG\n", "the contig name 'a' stands twice"),
        (">a\nACGT\n>\nAC\n", "line 3: the header has no name"),
        (">a\n>b\n", "headers but no sequence"),
        (">a", "ends in a header without a sequence"),
    ],
)
def test_bad_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Genome.open(path)
    assert str(path) in str(caught.value)


def test_missing_and_truncated_files_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="no such FASTA file"):
        Genome.open(tmp_path / "none.fa")
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(f">a\n{random_dna(100_000, rng)}\n".encode())[:9000])
    with pytest.raises(InputError, match="truncated"):
        Genome.open(path)


def test_a_bgzip_file_cut_between_blocks_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "genome.fa.gz"
    pysam.tabix_compress(str(write_fasta(tmp_path / "genome.fa", {"a": random_dna(200_000, rng)})), str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int.from_bytes(whole[16:18], "little") + 1])  # the first block alone
    with pytest.raises(InputError, match=r"genome.fa.gz: the bgzip file is truncated \(its last block is missing\)"):
        Genome.open(path)


@pytest.mark.parametrize(
    ("name", "names", "same"),
    [
        ("4", ["chrIII", "chrIV"], ["chrIV"]),
        ("chrIV", ["3", "4"], ["4"]),
        ("10", ["chrIX", "chrX"], ["chrX"]),
        ("chrX", ["chr10"], []),
        ("chr10", ["chr1", "chrX"], []),
        ("X", ["chr10", "chrX"], ["chrX"]),
        ("MT", ["chr1", "chrM"], ["chrM"]),
    ],
)
def test_contigs_that_are_the_same_in_another_style(name: str, names: list[str], same: list[str]) -> None:
    assert genome_module.same_contig(name, names) == same


def test_bad_intervals_are_refused(contigs: dict[str, str], tmp_path: Path) -> None:
    genome = Genome.open(write_fasta(tmp_path / "genome.fa", contigs))
    with pytest.raises(InputError, match="no contig 'chr1'; this genome has chrI, chrII, chrM"):
        genome.window("chr1", 0, 10)
    for start, end in ((990, 1001), (-1, 5), (5, 5)):
        with pytest.raises(InputError, match="does not lie inside its contig, which has 1,000 bases"):
            genome.window("chrI", start, end)


def test_other_processes_map_the_file_themselves(tmp_path: Path, rng: np.random.Generator) -> None:
    genome = Genome.open(write_fasta(tmp_path / "g.fa", {"a": random_dna(50_000, rng), "b": "ACGT"}))
    sent = pickle.dumps(genome)
    assert len(sent) < 5000
    for one, size in ((genome, 50_004), (genome._replace(codes=genome.codes[:50_000]), 50_000)):
        other = pickle.loads(pickle.dumps(one))
        assert (other.path, other.names, other.starts.tolist()) == (genome.path, ("a", "b"), [0, 50_000, 50_004])
        np.testing.assert_array_equal(other.codes, genome.codes[:size])
