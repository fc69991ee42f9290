"""BED intervals, and tables read from them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from dnabert.errors import InputError
from dnabert.sequence import intervals, tables
from dnabert.sequence.genome import Genome
from tests.conftest import write_fasta

REAL = (
    'browser position chr1:1-100\ntrack name="peaks" description="some peaks"\n#chrom start end\n'
    "chr1\t2\t6\tp1\t900\t+\n\nchr1\t0\t4\tp2\t0\t-\n# between\ntrack_contig\t1\t3\tp3\t5\t.\n"
)
CONTIGS = {"chr1": "AACCGGTTNN", "track_contig": "ACGT"}


@pytest.mark.parametrize("name", ["t.bed", "t.bed.gz", "crlf.bed", "spaces.bed", "noend.bed"])
def test_reads_bed_as_it_is(name: str, tmp_path: Path) -> None:
    text = REAL
    if name == "crlf.bed":
        text = text.replace("\n", "\r\n")
    if name == "spaces.bed":
        text = text.replace("\t", "  ")
    if name == "noend.bed":
        text = text.rstrip("\n")
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    bed = intervals.read(path)
    assert bed.columns.to_pydict() == {
        "chrom": ["chr1", "chr1", "track_contig"],
        "start": [2, 0, 1],
        "end": [6, 4, 3],
        "name": ["p1", "p2", "p3"],
        "score": ["900", "0", "5"],
        "strand": ["+", "-", "."],
    }
    assert [intervals.where(bed.places, row) for row in range(3)] == [f"{path} line {line}" for line in (4, 6, 8)]
    table = tables.read(path, genome=write_fasta(tmp_path / "g.fa", CONTIGS))
    assert table.sequences.to_pylist() == ["CCGG", "GGTT", "CG"]
    assert table.labels is None
    assert table.where(2) == f"{path} line 8"


@pytest.mark.parametrize(
    ("name", "row", "last"),
    [
        ("b3.bed", "chr1\t1\t2", "end"),
        ("b4.bed", "chr1\t1\t2\tx", "name"),
        ("b9.bed", "chr1\t1\t2\tx\t0\t+\t1\t2\t0,0,0", "item_rgb"),
        ("b12.bed", "chr1\t1\t2\tx\t0\t+\t1\t2\t0,0,0\t1\t1\t0", "block_starts"),
        ("encode.bed", "chr1\t1\t2\tx\t0\t.\t7.1\t-1\t-1\t0", "peak"),
        ("p.narrowPeak", "chr1\t1\t2\tx\t0\t.\t7.1\t-1\t-1\t0", "peak"),
        ("p.broadPeak", "chr1\t1\t2\tx\t0\t.\t7.1\t-1\t-1", "q_value"),
    ],
)
def test_columns_are_named_by_their_place(name: str, row: str, last: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(row + "\n")
    assert intervals.read(tmp_path / name).columns.column_names[-1] == last
    genome = write_fasta(tmp_path / "g.fa", CONTIGS)
    assert tables.read(tmp_path / name, genome=genome).sequences.to_pylist() == ["A"]


def test_a_bed_with_a_header_is_a_table(tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", CONTIGS)
    for header in ("chrom\tstart\tend\tlabel", "#chrom\tstart\tend\tlabel"):
        (tmp_path / "t.bed").write_text(f"{header}\nchr1\t0\t4\tyes\n")
        table = tables.read(tmp_path / "t.bed", genome=genome)
        assert table.labels is not None
        assert (table.sequences.to_pylist(), table.labels.to_pylist()) == (["AACC"], ["yes"])


def test_windows_around_midpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, end = np.array([10, 10, 10]), np.array([11, 20, 21])
    assert intervals.centred(start, end, 5)[0].tolist() == [8, 13, 13]  # midpoints 10, 15, 15
    assert intervals.centred(start, end, 4)[0].tolist() == [8, 13, 13]
    path = tmp_path / "t.bed"
    path.write_text("chr1\t3\t4\nchr1\t1\t2\nchr1\t5\t6\n")
    genome = write_fasta(tmp_path / "g.fa", CONTIGS)
    table = tables.read(path, genome=genome, length=5)
    assert table.sequences.to_pylist() == ["ACCGG", "CGGTT"]
    assert table.columns["start"].to_pylist() == [1, 3]
    assert table.columns["end"].to_pylist() == [6, 8]
    assert "1 of 3 windows of 5 bases leave their contig and are left out" in capsys.readouterr().err
    assert table.where(1) == f"{path} line 3"
    with pytest.raises(InputError, match="no contig has room for a window of 50 bases"):
        tables.read(path, genome=genome, length=50)
    with pytest.raises(InputError, match="--length 0: a number of bases from 1 on is required"):
        tables.read(path, genome=genome, length=0)
    (tmp_path / "s.csv").write_text("sequence\nACGT\n")
    for name in ("s.csv", "g.fa"):
        with pytest.raises(InputError, match=f"{name}: --length widens intervals, and this file holds sequences"):
            tables.read(tmp_path / name, length=5)


def test_intervals_are_merged() -> None:
    start, end = intervals.merged(np.array([50, 1, 3, 9, 20]), np.array([60, 5, 4, 12, 50]))
    assert (start.tolist(), end.tolist()) == ([1, 9, 20], [5, 12, 60])
    assert len(intervals.merged(np.empty(0, np.int64), np.empty(0, np.int64))[0]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.bed: this table or FASTA file is empty"),
        ("# nothing\ntrack name=x\n", "t.bed: the file holds no intervals"),
        ("chr1\t5\n", "t.bed line 1: 3 to 12 columns separated by tabs are required .* this line has 2; is it BED"),
        ("chr1" + "\t5" * 13 + "\n", "t.bed line 1: 3 to 12 columns .* this line has 14"),
        ("#x\nchr1\t1\t5\nchr1\t1\n", "t.bed line 3: 3 columns are required as in the first line, this line has 2"),
        ("contig\tfrom\tto\nchr1\t1\t5\n", "t.bed line 1: 'start' must be a whole number from 0 on, this is 'from'"),
        ("chr1\t1\t5\nchr1\t-1\t5\n", "t.bed line 2: 'start' must be a whole number from 0 on, this is '-1'"),
        ("chr1\t1\t5\nchr1\t1\t5.5\n", "t.bed line 2: 'end' must be a whole number"),
        ("chr1\t1\t5\n\nchr1\t5\t5\n", r"t.bed line 3: chr1:5-5 is empty: start must be below end"),
        ("chr1\t1\t5\nchr1\t7\t3\n", "t.bed line 2: chr1:7-3 is empty: start must be below end"),
        ("chr1\t1\t5\tx\t0\tplus\n", r"t.bed line 1: the strand must be '\+', '-' or '.', this is 'plus'"),
        ("chr1\t1\t5\nchr1\t1\t11\n", "t.bed line 2: chr1:1-11 does not lie inside its contig, which has 10 bases"),
        ("chr1\t1\t5\n1\t1\t5\n", r"t.bed line 2: g.fa: there is no contig '1'; .*; did you mean 'chr1'\?"),
        ("chr1\t1\t5\n\xff\t1\t5\n", "t.bed"),
    ],
)
def test_bad_bed_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.bed"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        tables.read(path, genome=write_fasta(tmp_path / "g.fa", CONTIGS))


def test_bed_needs_a_genome(tmp_path: Path) -> None:
    (tmp_path / "t.bed").write_text("chr1\t1\t5\n")
    with pytest.raises(InputError, match="the rows are intervals; name the FASTA file they refer to with --genome"):
        tables.read(tmp_path / "t.bed")
    (tmp_path / "t.bed.gz").write_bytes(gzip.compress(b"chr1\t1\t5\n" * 99)[:30])
    with pytest.raises(InputError, match="cannot be read as BED"):
        tables.read(tmp_path / "t.bed.gz", genome=tmp_path / "g.fa")


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [
        ({"chr20", "chr2"}, "20", "'chr20'"),
        ({"20", "2"}, "chr20", "'20'"),
        ({"chrXIV"}, "chr14", "'chrXIV'"),
        ({"chrM"}, "MT", "'chrM'"),
        ({"scaffold_117"}, "scafold_117", "'scaffold_117'"),
    ],
)
def test_a_missing_contig_names_what_is_like_it(names: set[str], asked: str, found: str, tmp_path: Path) -> None:
    genome = Genome.open(write_fasta(tmp_path / "g.fa", dict.fromkeys(names, "ACGT")))
    with pytest.raises(InputError, match=rf"there is no contig '{asked}'; .*did you mean {found}\?"):
        genome.contig_index(asked)


@pytest.mark.real_data
def test_the_real_binding_sites(real_data: Path) -> None:
    genome = real_data / "saccer3/sacCer3.fa.gz"
    for name, rows in (("Reb1", 1078), ("Abf1", 724)):
        path = real_data / f"saccer3/chipexo/{name}.bed"
        assert set(tables.read(path, genome=genome).offsets[1:] - tables.read(path, genome=genome).offsets[:-1]) == {1}
        table = tables.read(path, genome=genome, length=101)
        assert table.rows == rows
        midpoints = intervals.read(path).columns["start"].to_numpy()
        assert (table.columns["start"].to_numpy() + 50 == midpoints).all()
