"""Classes of bases from BED; what they are is tested with the tasks that learn them."""

from pathlib import Path

import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables
from dnabert.sequence.annotate import label_bases
from tests.conftest import write_fasta


@pytest.mark.parametrize("name", ["coding exon", ".", "none", ""])
def test_names_that_cannot_be_classes_are_refused(name: str, tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text(f"chr1\t5\t9\tdonor\nchr1\t15\t19\t{name}\n")
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t40\n")
    table = tables.read(tmp_path / "windows.tsv", genome=genome)
    with pytest.raises(InputError, match=rf"sites.bed line 2: a class is one word other than .*, this is '{name}'"):
        label_bases(table, tmp_path / "sites.bed")
