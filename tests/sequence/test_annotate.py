"""Classes of bases from BED; what they are is tested with the tasks that learn them."""

from pathlib import Path

import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.sequence.annotate import check_annotation, label_bases
from dnabert.training.data import read_splits
from dnabert.training.evaluate import evaluate
from tests.conftest import tiny_model, write_fasta


@pytest.mark.parametrize("name", ["coding exon", ".", "none", ""])
def test_names_that_cannot_be_classes_are_refused(name: str, tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text(f"chr1\t5\t9\tdonor\nchr1\t15\t19\t{name}\n")
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t40\n")
    table = tables.read(tmp_path / "windows.tsv", genome=genome)
    with pytest.raises(InputError, match=rf"sites.bed line 2: a class is one word other than .*, this is '{name}'"):
        label_bases(table, tmp_path / "sites.bed")


@pytest.mark.parametrize(
    ("bed", "message"),
    [
        ("chr1\t5\t9\tdonor\nchr1\t78\t81\tdonor\n", "sites.bed line 2: chr1:78-81 is no interval .* has 80 bases"),
        ("chr1\t5\t9\tdonor\n2\t5\t9\tdonor\n", "sites.bed line 2: .* no contig '2'; .* did you mean 'chr2'"),
        ("chrM\t5\t9\tdonor\nscaffold\t5\t9\tdonor\n", "sites.bed line 1: .* no contig 'chrM'"),
    ],
)
def test_intervals_that_do_not_fit_the_genome_are_refused(bed: str, message: str, tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 20, "chr2": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text(bed)
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t40\n")
    with pytest.raises(InputError, match=message):
        check_annotation(tmp_path / "sites.bed", genome)
    with pytest.raises(InputError, match=message):
        read_splits(tmp_path / "windows.tsv", genome=genome, annotation=tmp_path / "sites.bed", split=(0.5, 0.5))


def test_intervals_on_some_contigs_that_the_genome_lacks_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text("chr1\t5\t9\tdonor\nchrM\t5\t9\tdonor\nchrM\t15\t19\tdonor\n")
    check_annotation(tmp_path / "sites.bed", genome)
    assert "sites.bed: 2 intervals on contigs that g.fa lacks are left out" in capsys.readouterr().err


def test_evaluating_refuses_intervals_that_do_not_fit_the_genome(tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text("chr1\t5\t9\tdonor\nchr1\t78\t81\tdonor\n")
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t40\n")
    model = tiny_model(tmp_path / "m", "per-base", labels=("donor", "none"))
    with pytest.raises(InputError, match=r"sites.bed line 2: chr1:78-81 is no interval"):
        evaluate(model, tmp_path / "windows.tsv", genome=genome, annotation=tmp_path / "sites.bed")
