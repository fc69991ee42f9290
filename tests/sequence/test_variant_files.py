"""Variants from files: what they are on, and every form that a table takes."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from dnabert.errors import InputError
from dnabert.sequence.variant_files import open_source
from dnabert.sequence.variants import Alleles
from tests.conftest import write_fasta

HEADER = "chrom\tpos\tref\talt\n"


def only_chunk(path: Path, **options: Any) -> Alleles:
    (chunk,) = open_source(path, **options).chunks(100)
    return chunk


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 25, "2": "ACGT" * 25})


def sequences(path: Path, header: str, names: list[str]) -> Path:
    """Write different sequences that are called so."""
    rows = [f"{name}\t{'ACGT'[i % 4] * 20}\n" for i, name in enumerate(names)]
    path.write_text(f"{header}\tsequence\n" + "".join(rows))
    return path


@pytest.mark.parametrize(("header", "names"), [("name", "1 2 1"), ("id", "a b b"), ("Name", "x x"), ("chrom", "1 1 2")])
def test_sequences_of_one_name_are_refused(header: str, names: str, tmp_path: Path) -> None:
    """Called by their row instead, another sequence would answer to '1'."""
    table = sequences(tmp_path / "s.tsv", header, names.split())
    (tmp_path / "v.tsv").write_text(HEADER + "1\t5\tC\tA\n")
    with pytest.raises(InputError, match=rf"s.tsv.*: the name '.' in '{header}' stands for an earlier sequence too"):
        open_source(tmp_path / "v.tsv", sequences=table)


def test_windows_of_a_contig_are_called_by_their_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = sequences(tmp_path / "s.tsv", "chrom", ["chr1", "chr1", "chr2"])
    (tmp_path / "v.tsv").write_text(HEADER + "1\t5\tC\tA\n")
    assert only_chunk(tmp_path / "v.tsv", sequences=table).contig.tolist() == [1]
    assert "s.tsv: names in 'chrom' repeat; its sequences are called by their row, 0 to 2" in capsys.readouterr().err


def test_the_originals_file_and_own_sequences_need_no_names(tmp_path: Path) -> None:
    table = sequences(tmp_path / "s.tsv", "name", ["a", "a"])
    (tmp_path / "m.txt").write_text("1\t5\t6\tA\n")
    chunk = only_chunk(tmp_path / "m.txt", sequences=table)
    assert (chunk.contig.tolist(), chunk.ref.to_pylist()) == ([1], ["C"])
    (tmp_path / "own.tsv").write_text("name\tsequence\tpos\tref\talt\na\tACGT\t2\tC\tA\na\tTTTT\t2\tT\tA\n")
    assert only_chunk(tmp_path / "own.tsv").contig.tolist() == [0, 1]


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_a_column_label_is_kept_like_any_other(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    columns: dict[str, Any] = {"Label": [0.5, 2.0], "sequence": ["ACGT"] * 2, "pos": [1, 2], "ref": ["A", "C"]}
    columns |= {"alt": ["T", "T"], "gene": ["x", "y"]}
    if suffix == ".tsv":
        rows = ["\t".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(["\t".join(columns), *rows]) + "\n")
    else:
        pyarrow.parquet.write_table(pa.table(columns), path)
    found = only_chunk(path).columns
    assert found.column_names == ["Label", "pos", "ref", "alt", "gene"]
    assert found["Label"].to_pylist() == (["0.5", "2.0"] if suffix == ".tsv" else [0.5, 2.0])


@pytest.mark.parametrize(
    ("chrom", "pos"),
    [
        ([2, 2], [5, 9]),
        ([2.0, 2.0], [5.0, 9.0]),
        (["2", "2"], ["5", "9"]),
        (["2", "2"], ["5.0", " 9. "]),
        (pa.array(["2", "2"]).dictionary_encode(), pa.array([5, 9], pa.uint32())),
    ],
)
def test_numbers_of_any_type(chrom: Any, pos: Any, genome: Path, tmp_path: Path) -> None:
    columns = {"chrom": chrom, "pos": pos, "ref": ["A", "A"], "alt": ["C", "C"]}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "v.parquet")
    chunk = only_chunk(tmp_path / "v.parquet", genome=genome)
    assert chunk.contig.tolist() == [1, 1]
    assert chunk.start.tolist() == [4, 8]
    assert pa.types.is_integer(chunk.columns["pos"].type)
    assert (chunk.reason == 0).all()


@pytest.mark.parametrize(
    ("chrom", "pos", "message"),
    [
        (["2", None], [5, 9], r"'chrom' is empty in row 2; fill it or delete the row"),
        ([2, None], [5, 9], r"'chrom' is empty in row 2"),
        (["2", ""], [5, 9], r"'chrom' is empty in row 2"),
        (["2", "2"], [5, None], r"'pos' is empty in row 2"),
        (["2", "2"], [5, float("nan")], r"'pos' is empty in row 2"),
        (["2", "2"], ["5", ""], r"'pos' is empty in row 2"),
        (["2", "2"], [5.0, 9.5], r"'pos' must be a whole number, in row 2 it is '9.5'"),
        (["2", "2"], ["5", "9.5"], r"'pos' must be a whole number, in row 2 it is '9.5'"),
        (["2", "2"], ["5", "x"], r"'pos' must be a whole number, in row 2 it is 'x'"),
    ],
)
def test_what_is_missing_or_no_number(chrom: Any, pos: Any, message: str, genome: Path, tmp_path: Path) -> None:
    columns = {"chrom": chrom, "pos": pos, "ref": ["A", "A"], "alt": ["C", "C"]}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=rf"v.parquet: {message}"):
        only_chunk(tmp_path / "v.parquet", genome=genome)


@pytest.mark.parametrize("options", [{}, {"genome": "g.fa"}])
def test_a_file_that_is_no_parquet(
    options: dict[str, str], genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(genome.parent)
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"bad.parquet: cannot be read as Parquet"):
        only_chunk(tmp_path / "bad.parquet", **options)


def test_a_header_in_quotes(genome: Path, tmp_path: Path) -> None:
    """As R's write.csv spells it."""
    (tmp_path / "v.csv").write_text('"chrom","pos","ref","alt"\n"chr1",5,"A","C"\n')
    assert only_chunk(tmp_path / "v.csv", genome=genome).start.tolist() == [4]
    (tmp_path / "own.csv").write_text('"sequence","pos","ref","alt","label"\n"ACGT",2,"C","A",1\n')
    chunk = only_chunk(tmp_path / "own.csv")
    assert chunk.start.tolist() == [1]
    assert chunk.columns.column_names == ["pos", "ref", "alt", "label"]


@pytest.mark.parametrize("content", [b"0\t1\t2\tA\n1\t3\t3\tG\n", b"0\t1\t2\tA\r\n1\t3\t3\tG\r\n\r\n\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_every_form_of_the_originals_file(content: bytes, start: bytes, suffix: str, tmp_path: Path) -> None:
    table = sequences(tmp_path / "s.tsv", "name", ["a", "b"])
    path = tmp_path / f"m{suffix}"
    path.write_bytes(gzip.compress(start + content) if suffix.endswith(".gz") else start + content)
    chunk = only_chunk(path, sequences=table)
    np.testing.assert_array_equal(chunk.start, [1, 3])
    assert chunk.alt.to_pylist() == ["A", "G"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0\t1\t2\tA\n\n0\t1\t2\tA\n", "m.txt line 2: index, start, end and allele separated by tabs"),
        (b"0\t1\t2\tA\n0\t1\t2\t\xff\n", "m.txt: cannot be read as text"),
    ],
)
def test_an_originals_file_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    table = sequences(tmp_path / "s.tsv", "name", ["a", "b"])
    (tmp_path / "m.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        only_chunk(tmp_path / "m.txt", sequences=table)


def test_pairs_have_no_variants(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("sequence,sequence2,pos,ref,alt\nACGT,ACGT,2,C,T\n")
    with pytest.raises(InputError, match="variants are of one sequence a row, these rows have two"):
        open_source(tmp_path / "v.csv")
