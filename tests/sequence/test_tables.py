"""Labelled sequences from every kind of file, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from dnabert.errors import InputError
from dnabert.sequence import tables, windows
from dnabert.sequence.tokenizer import spaced_kmers
from tests.conftest import random_dna, write_fasta


def content(table: tables.Table) -> list[tuple[str, str | None]]:
    labels = [None] * table.rows if table.labels is None else table.labels.to_pylist()
    return list(zip(table.sequences.to_pylist(), labels, strict=True))


EXPECTED = [("ACGTACGT", "1"), ("GGGTTTAA", "0"), ("ACGTN", "1")]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.tsv.gz", "t.parquet", "header.tsv", "setence.tsv", "kmers.tsv"])
def test_reads_every_kind_of_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    rows = [(f"r{i}", *pair) for i, pair in enumerate(EXPECTED)]
    if name == "t.parquet":
        columns = dict(zip(("id", "sequence", "label"), map(list, zip(*rows, strict=True)), strict=True))
        columns["label"] = [int(label) for label in columns["label"]]
        pyarrow.parquet.write_table(pa.table(columns), path)
    else:
        delimiter = "," if name.endswith("csv") else "\t"
        header = ["id", "setence" if "setence" in name else "sequence", "label"]
        lines = ["  ".join(header) if name == "header.tsv" else delimiter.join(header)]
        lines += [
            delimiter.join((first, spaced_kmers(sequence, 3) if name == "kmers.tsv" else sequence, label))
            for first, sequence, label in rows
        ]
        text = "\r\n".join(lines) + "\r\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = tables.read(path)
    assert content(table) == EXPECTED
    assert table.columns.column_names == ["id"]
    assert table.columns["id"].to_pylist() == ["r0", "r1", "r2"]


@pytest.mark.parametrize("delimiter", ["", ",", "\t"])
def test_reads_quoted_text(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [("sequence", "note"), ("ACGTAC", "a"), ("GGCC", "b")]
    lines = [delimiter.join(f'"{value}"' for value in (row if delimiter else row[:1])) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    assert content(tables.read(path)) == [("ACGTAC", None), ("GGCC", None)]


@pytest.mark.parametrize(
    ("name", "text", "pairs", "label"),
    [
        ("t.tsv", "ACGTACGTAC\t13.25\nGGCCNNAC\t11\n", [("ACGTACGTAC", None), ("GGCCNNAC", None)], ["13.25", "11"]),
        ("t.tsv.gz", "ACGTACGTAC\t13.25\nGG\t11\n", [("ACGTACGTAC", None), ("GG", None)], ["13.25", "11"]),
        ("t.csv", "acgtacgu,1", [("acgtacgu", None)], ["1"]),
        ("t.tsv", f"{'ACGT' * 20_000}\tlong\n", [("ACGT" * 20_000, None)], ["long"]),
        ("t.csv", "ACGTACGT,ACGTACGT,1\n", [("ACGTACGT", "ACGTACGT")], ["1"]),
        ("t.txt", "ACGTACGT\nGGCC\n", [("ACGTACGT", None), ("GGCC", None)], None),
        ("t.tsv", "ACGTACGT\tTTTTTTTT\tx\nAC\tGT\ty\n", [("ACGTACGT", "TTTTTTTT"), ("AC", "GT")], ["x", "y"]),
    ],
)
def test_a_first_line_with_a_sequence_is_no_header(
    name: str,
    text: str,
    pairs: list[tuple[str, str | None]],
    label: list[str] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = tables.read(path)
    second = [None] * table.rows if table.second is None else table.second.to_pylist()
    assert list(zip(table.sequences.to_pylist(), second, strict=True)) == pairs
    assert (None if table.labels is None else table.labels.to_pylist()) == label
    assert table.where(table.rows - 1) == f"{path} line {len(pairs)}"
    tables.read(path)
    assert capsys.readouterr().err.count(f"{path}: no header; the columns are read as sequence") == 1  # not each time


@pytest.mark.parametrize("header", ["sequence\tAAAAAAAA", "AAAAAAAA\tsequence", "AAAAAAAA\tseq\tTTTTTTTT"])
def test_a_column_of_a_kmer_is_none_of_a_sequence(header: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(header + "\n" + "\t".join("ACGT" for _ in header.split()) + "\n")
    table = tables.read(path)
    assert content(table) == [("ACGT", None)]
    assert table.columns.column_names == [name for name in header.split() if name not in ("sequence", "seq")]


def test_reads_intervals_with_a_genome(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"chrI": "AACCGGTTNN", "chrII": "ACGT"})
    path = tmp_path / "t.tsv"
    path.write_text("chrom\tstart\tend\tstrand\tlabel\nchrI\t0\t4\t+\ta\nchrI\t0\t4\t-\tb\nchrI\t6\t9\t.\ta\n")
    table = tables.read(path, genome=fasta)
    assert content(table) == [("AACC", "a"), ("GGTT", "b"), ("TTN", "a")]
    assert table.columns.column_names == ["chrom", "start", "end", "strand"]


def test_reads_fasta_in_three_ways(tmp_path: Path) -> None:
    first = write_fasta(tmp_path / "tata.fa", {"p1": "ACGTACGT", "p2": "GGGG"}, width=3)
    second = write_fasta(tmp_path / "other.fa", {"n1": "TTTT"})
    assert content(tables.read(first)) == [("ACGTACGT", None), ("GGGG", None)]
    classes = tables.read([first, second])
    assert content(classes) == [("ACGTACGT", "tata"), ("GGGG", "tata"), ("TTTT", "other")]
    assert classes.where(2) == f"{second} record 1"
    labels = tmp_path / "labels.tsv"
    labels.write_text("name\tlabel\np2\tno\np1\tyes\n")
    assert content(tables.read(first, labels=labels)) == [("ACGTACGT", "yes"), ("GGGG", "no")]
    labels.write_text("name\tlabel\np2\tno\n")
    with pytest.raises(InputError, match=r"tata.fa record 1: 'p1' has no label"):
        tables.read(first, labels=labels)


@pytest.mark.real_data
def test_reads_the_real_files(real_data: Path) -> None:
    prom = tables.read(real_data / "dnabert_original/prom-core_6/dev.tsv")
    assert prom.rows == 5919
    assert set(np.diff(prom.offsets)) == {70}
    tfbs = tables.read(real_data / "dnabert_original/tfbs_6/dev.tsv")
    assert (tfbs.rows, len(tfbs.letters)) == (1000, 101_000)
    gue = tables.read(real_data / "gue/prom/prom_core_tata/train.csv")
    assert gue.rows == 4904
    assert sorted(set(gue.labels.to_pylist())) == ["0", "1"]  # type: ignore[union-attr]


def test_rows_read_as_tokens_without_strings(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "t.csv"
    sequences = [random_dna(50, rng) for _ in range(100)]
    path.write_text("sequence,label\n" + "".join(f"{sequence},{i % 2}\n" for i, sequence in enumerate(sequences)))
    table = tables.read(path)
    assert table.letters.tobytes().decode() == "".join(sequences)
    assert not table.letters.flags.owndata  # Arrow's buffer, not a copy
    chosen = tables.select(table, np.array([5, 3]))
    assert content(chosen) == [(sequences[5], "1"), (sequences[3], "1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("sequence,label\n", "a header but no rows"),
        ("seqs,label\nACGT,1\n", "a column 'sequence', or the columns 'chrom', 'start', 'end' are required"),
        ("sequence,label\nACGT,1\nACGT\nACGT,0\n", "line 3: 2 columns are required .* this line has 1"),
        ("sequence,label\nACGT,1\nACGT,1,2\n", "line 3: 2 columns are required .* this line has 3"),
        ("sequence,label\nACGT,1\n,0\n", "line 3: the sequence is empty"),
        ("sequence,label\nACGT,1\nACGT,1\nMKVL,0\n", "line 4: 'L' is not a nucleotide"),
        ("sequence,label,label\nACGT,1,1\n", "a column name stands twice"),
        ("sequence,label\nACG CGT GTA,1\nACG CGT GTA TAC GGG,1\n", "line 3: overlapping k-mers"),
        ("ACGTACGT,1,2\nACGT,1,2\n", "line 1: a sequence stands where the names of columns are required.* 3 columns"),
        ("ACGTACGT,1,1\nACGT,1,2\n", "line 1: a sequence stands where the names of columns are required"),
        ("AAAAAAAA,NNNNNNNN\nACGT,NNNN\n", "line 1: a sequence stands where the names of columns are required"),
        ("p1,ACGTACGT\np2,ACGT\n", "this file has 'p1', 'ACGTACGT'; rename a column, or write a header"),
        ("ACGTACGT,1\nACGT\n", "line 2: 2 columns are required .sequence, label., this line has 1"),
        ("ACGTACGT,1\nMKVL,0\n", "line 2: 'L' is not a nucleotide"),
        ("chrom,start,end,label\nchrI,0,4,1\n", "name the FASTA file they refer to with --genome"),
        ("chrom,start,end,label\nchrI,zero,4,1\n", "cannot be read as a table"),
        ("sequence;label\nACGT;0,5\n", "line 1: columns separated by tabs or commas are required, .* by semicolons"),
    ],
)
def test_bad_tables_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        tables.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_are_no_rows_but_count(name: str, end: str, tmp_path: Path) -> None:
    def write(*lines: str) -> Path:
        text = "".join(line + end for line in lines)
        text = text.replace(",", "\t") if name == "t.tsv" else text
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        return tmp_path / name

    table = tables.read(write("sequence,label", "", "ACGT,1", "", "", "ACGG,0", "ACGC,1", "", ""))
    assert content(table) == [("ACGT", "1"), ("ACGG", "0"), ("ACGC", "1")]
    lines = (3, 6, 7)
    assert [table.where(row) for row in range(3)] == [f"{tmp_path / name} line {line}" for line in lines]
    assert tables.select(table, np.array([2])).where(0).endswith(f"{name} line 7")
    table = tables.read(write("ACGTACGT,1", "", "", "ACGG,0", "ACGC,1"))  # the file changed, and has no header
    assert [table.where(row)[-1] for row in range(3)] == ["1", "4", "5"]
    with pytest.raises(InputError, match=rf"{name} line 7: 2 columns are required"):
        tables.read(write("sequence,label", "", "ACGT,1", "", "", "ACGG,0", "ACGT,1,2"))
    if name == "t.tsv":
        with pytest.raises(InputError, match=r"t.tsv line 5: a quotation mark is opened"):
            tables.read(write("sequence,label", "ACGT,1", "", "", 'ACGG,"0', 'ACGG,1"'))


def test_bad_intervals_are_refused(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"chrXIV": "ACGTACGT"})
    path = tmp_path / "t.tsv"
    path.write_text("chrom\tstart\tend\tlabel\nchrXIV\t0\t4\t1\nchr14\t0\t4\t1\n")
    with pytest.raises(InputError, match=r"t.tsv line 3: g.fa: there is no contig 'chr14'; this genome has chrXIV"):
        tables.read(path, genome=fasta)
    path.write_text("chrom\tstart\tend\tlabel\nchrXIV\t0\t4\t1\nchrXIV\t\t4\t1\n")
    with pytest.raises(InputError, match=r"t.tsv line 3: 'start' is empty"):
        tables.read(path, genome=fasta)
    path.write_text("chrom\tstart\tend\tlabel\nchrXIV\t0\t4\t1\nchrXIV\t6\t9\t1\n")
    with pytest.raises(InputError, match=r"t.tsv line 3: chrXIV:6-9 does not lie inside its contig, which has 8 bases"):
        tables.read(path, genome=fasta)


@pytest.mark.parametrize("kind", [pa.float64(), pa.uint32(), pa.string()])
def test_intervals_of_any_type_are_numbers(kind: pa.DataType, tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"1": "ACGTACGT"})
    columns = {"chrom": pa.array([1, 1]), "start": pa.array([0, 2]).cast(kind), "end": pa.array([4, 6]).cast(kind)}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert tables.read(tmp_path / "t.parquet", genome=fasta).sequences.to_pylist() == ["ACGT", "GTAC"]
    assert tables.read(tmp_path / "t.parquet", genome=fasta, length=2).sequences.to_pylist() == ["CG", "TA"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": [0.0, 2.5]}, "the column 'start' holds double, whole numbers are required"),
        ({"start": [0.0, float("nan")]}, "row 2: 'start' is empty"),
        ({"start": ["0", "two"]}, "the column 'start' holds string, whole numbers are required"),
        ({"chrom": ["c", None]}, "row 2: 'chrom' is empty"),
        ({"chrom": [["c"], ["c"]]}, "the column 'chrom' holds list.*, text is required"),
        ({"strand": ["-", "minus"]}, "row 2: 'strand' is 'minus', one of \\+, -, \\. is required"),
        ({"strand": [1, -1]}, "row 1: 'strand' is '1', one of"),
        ({"label": [{"a": 1}, {"a": 2}]}, "the column 'label' holds struct"),
    ],
)
def test_parquet_of_other_types_is_refused(change: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"c": "ACGTACGT"})
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"chrom": ["c", "c"], "start": [0, 2], "end": [4, 6]} | change), path)
    with pytest.raises(InputError, match=message):
        tables.read(path, genome=fasta)


def test_strands_may_be_unknown(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa", {"c": "AACC"})
    content = {"chrom": ["c"] * 4, "start": [0] * 4, "end": [4] * 4, "strand": ["+", "-", ".", None]}
    pyarrow.parquet.write_table(pa.table(content), tmp_path / "t.parquet")
    read = tables.read(tmp_path / "t.parquet", genome=fasta)
    assert read.sequences.to_pylist() == ["AACC", "GGTT", "AACC", "AACC"]


def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('sequence\tlabel\nACGT\tx\nACGT\t"promoter\nACGG\tenhancer\nACCG\tother\n')
    with pytest.raises(InputError, match=r"t.tsv line 3: a quotation mark is opened and closed on another line"):
        tables.read(path)
    path.write_text('sequence\tlabel\nACGT\t"a promoter"\n')
    assert content(tables.read(path)) == [("ACGT", "a promoter")]


def test_names_with_labels_are_unique(tmp_path: Path) -> None:
    (tmp_path / "s.fa").write_text(">a\nACGT\n>b\nACGG\n")
    (tmp_path / "l.tsv").write_text("name\tlabel\na\t1\na\t0\nb\t1\n")
    with pytest.raises(InputError, match=r"l.tsv: 'a' stands twice"):
        tables.read(tmp_path / "s.fa", labels=tmp_path / "l.tsv")
    (tmp_path / "l.tsv").write_text("name\tlabel\na\t1\nb\t1\n")
    (tmp_path / "s.fa").write_text(">a\nACGT\n>b\nACGG\n>b\nACCC\n")
    with pytest.raises(InputError, match=r"s.fa: 'b' stands twice"):
        tables.read(tmp_path / "s.fa", labels=tmp_path / "l.tsv")


def test_selected_rows_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence\n" + "ACGT\n" * 9)
    some = tables.select(tables.read(tmp_path / "t.csv"), np.array([7, 2, 4]))
    assert some.where(0).endswith("t.csv line 9")
    assert tables.select(some, np.array([2])).where(0).endswith("t.csv line 6")


def test_unknown_missing_and_damaged_files_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="no such table"):
        tables.read(tmp_path / "none.csv")
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(InputError, match="says no known kind of file"):
        tables.read(tmp_path / "t.xlsx")
    (tmp_path / "t.parquet").write_text("x")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        tables.read(tmp_path / "t.parquet")
    (tmp_path / "header.csv").write_text("sequence,label")  # and no line end
    with pytest.raises(InputError, match="a header but no rows"):
        tables.read(tmp_path / "header.csv")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(b"sequence,label\nACGT,1\n"))  # by its content
    assert content(tables.read(tmp_path / "packed.csv")) == [("ACGT", "1")]
    rows = "".join(f"{random_dna(80, rng)},1\n" for _ in range(2000))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(f"sequence,label\n{rows}".encode())[:9000])
    for name, content_, message in (
        ("t.csv.gz", None, r"cannot be read as a table \(it is cut off or damaged; fetch it again\)"),
        ("plain.csv.gz", b"sequence,label\nACGT,1\n", "it is not compressed as its name says"),
        ("wide.csv", "sequence,label\nACGT,1\n".encode("utf-16"), "this is UTF-16 text; save it as UTF-8"),
        ("latin.csv", "sequence,label\nACGT,m\xe4nnlich\n".encode("latin-1"), "it is no UTF-8 text; save it as UTF-8"),
    ):
        if content_ is not None:
            (tmp_path / name).write_bytes(content_)
        with pytest.raises(InputError, match=message):
            tables.read(tmp_path / name)
    encoded = pa.table({"sequence": pa.array(["ACGT", "ACGT"]).dictionary_encode(), "label": ["a", "b"]})
    pa.parquet.write_table(encoded, tmp_path / "encoded.parquet")
    assert content(tables.read(tmp_path / "encoded.parquet")) == [("ACGT", "a"), ("ACGT", "b")]


def test_lengths_are_checked_against_the_model() -> None:
    table = tables.from_sequences(["ACGTAC", "ACGTACGTAC", "ACG"])
    assert windows.check_lengths(tables.from_sequences(["ACGTAC", "ACGT"]), 4, 1, 510).tolist() == [5, 3]
    with pytest.raises(InputError, match="number 3: the sequence has 3 bases, at least 4 are needed for one 4-mer"):
        windows.check_lengths(table, 4, 1, 510)
    with pytest.raises(
        InputError, match=r"number 2: the sequence has 10 bases, this model takes at most 8 \(5 4-mers\)"
    ):
        windows.check_lengths(tables.from_sequences(["ACGTAC", "ACGTACGTAC"]), 4, 1, 5)


def test_written_tables_read_back(tmp_path: Path) -> None:
    columns = pa.table({"name": ["a", "b"], "value": [0.5, 1.0]})
    for name in ("t.tsv", "t.csv", "t.parquet"):
        tables.write(columns, tmp_path / name)
    assert (tmp_path / "t.tsv").read_text() == "name\tvalue\na\t0.5\nb\t1\n"
    assert (tmp_path / "t.csv").read_text() == "name,value\na,0.5\nb,1\n"
    tables.write(pa.table({"name": ["a,b"], "note": ["plain"]}), tmp_path / "q.csv")
    assert (tmp_path / "q.csv").read_text() == '"name","note"\n"a,b","plain"\n'
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").equals(columns)
    with pytest.raises(InputError, match=r"written as .tsv, .csv or .parquet"):
        tables.write(columns, tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"n.tsv: the column 'tags' holds list<item: string>, which text cannot"):
        tables.write(pa.table({"tags": [["a"]]}), tmp_path / "n.tsv")
    assert not (tmp_path / "n.tsv").exists()


def test_batches_of_rows_keep_the_budget_and_every_row(rng: np.random.Generator) -> None:
    lengths = rng.integers(5, 200, 500)
    batches = list(windows.batches_of_rows(lengths, 1000))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(lengths[rows].sum() <= 1000 for rows in batches)
    assert all((np.diff(lengths[rows]) <= 0).all() for rows in batches)
    assert [rows.tolist() for rows in windows.batches_of_rows(np.array([5000, 10]), 1000)] == [[0], [1]]


def test_windows_of_some_rows_are_theirs() -> None:
    cut = windows.cut(tables.from_sequences(["ACGTAC", "ACG", "ACGTACGTAC", "A" * 7]), 4, 3)
    rows = np.array([2, 0, 2, 1])
    assert windows.counts_of(cut, rows).tolist() == cut.counts[rows].tolist() == [3, 2, 3, 1]
    some = windows.of_rows(cut, rows)
    assert some.row.tolist() == [2, 2, 2, 0, 0, 2, 2, 2, 1]
    assert some.starts.tolist() == [9, 12, 15, 0, 2, 9, 12, 15, 6]
