"""Labelled sequences from any file that biologists keep them in.

Whatever the file, a table holds its sequences as one Arrow string array: a buffer of letters and offsets that the
k-mer kernels read in place. A million rows never become a million Python strings.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from dnabert.errors import InputError
from dnabert.files import existing_file, replacing
from dnabert.sequence import delimited
from dnabert.sequence.alphabet import CODE_OF_BYTE, LETTERS, describe_foreign
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import Genome, read_fasta
from dnabert.sequence.letters import cut_windows, first_foreign, join_kmers, string_array

SEQUENCE_NAMES = ("sequence", "setence", "seq")
"""Accepted headers of the sequence column; `setence` stands in some files of the original."""
LABEL_NAMES = ("label", "labels", "class")
INTERVAL_NAMES = ("chrom", "start", "end")
FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn", ".fas")
TEXT_SUFFIXES = (".tsv", ".csv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


class Table(NamedTuple):
    """Sequences with or without labels.

    Attributes
    ----------
    path : pathlib.Path
        The file (the first of several).
    sequences : pa.LargeStringArray, length rows
        Raw DNA.
    labels : pa.StringArray or None, length rows
        Labels as they are written in the file.
    columns : pa.Table
        The other columns of the file in their order: what identifies a row. Records of FASTA have a `name`.
    places : tuple of (pathlib.Path, str, int, int)
        File, unit (`line`, `row` or `record`), number of the first row in that file, and rows, for each file.
    """

    path: Path
    sequences: pa.LargeStringArray
    labels: pa.StringArray | None
    columns: pa.Table
    places: tuple[tuple[Path, str, int, int], ...]

    @property
    def rows(self) -> int:
        """The number of sequences."""
        return len(self.sequences)

    @property
    def letters(self) -> np.ndarray:
        """uint8, shape (bytes,): the letters of all sequences, in place."""
        buffer = self.sequences.buffers()[2]
        return np.frombuffer(buffer, dtype=np.uint8) if buffer else np.empty(0, dtype=np.uint8)

    @property
    def offsets(self) -> np.ndarray:
        """int64, shape (rows + 1,): where each sequence starts in `letters`, in place."""
        first = self.sequences.offset
        return np.frombuffer(self.sequences.buffers()[1], dtype=np.int64)[first : first + self.rows + 1]

    def where(self, row: int) -> str:
        """Say where a row stands, for a message: `train.tsv line 18`."""
        for path, unit, first, rows in self.places:
            if row < rows:
                return f"{path} {unit} {first + row}"
            row -= rows
        raise IndexError(row)


def read(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    genome: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> Table:
    """Read sequences and labels.

    Parameters
    ----------
    path : path, or sequence of paths
        TSV, CSV or Parquet with a header: `sequence` and `label` columns, or `chrom`, `start`, `end` (0-based
        half-open), `strand` if there is one, and `label`, with `genome`. The original's files of spaced k-mers are TSV.
        FASTA: unlabelled, or with `labels`. Several FASTA files: one a class, named after the file. Text and FASTA
        files may be compressed with gzip.
    genome : path, optional
        FASTA from which intervals are read.
    labels : path, optional
        TSV or CSV with the columns `name` and `label`, for one FASTA file.

    Returns
    -------
    Table
        Row order is that of the file.

    Raises
    ------
    InputError
        If a file is missing, empty, damaged or of another form, a row is ragged, a sequence is empty or holds foreign
        characters, or an interval does not fit the genome.
    """
    if not isinstance(path, (str, os.PathLike)):
        paths = [Path(one) for one in path]
        if len(paths) > 1:
            return _checked(_read_classes(paths))
        path = paths[0]
    found = existing_file(path, "table or FASTA file")
    kind = _kind(found)
    if kind == "fasta":
        return _checked(_with_labels(_read_fasta(found), labels))
    if labels is not None:
        raise InputError(f"{labels}: a file of labels goes with a FASTA file; {found} brings its own columns")
    content, first, unit = (_read_parquet(found), 1, "row") if kind == "parquet" else (_read_text(found), 2, "line")
    if content.num_rows == 0:
        raise InputError(f"{found}: the table has a header but no rows")
    return _checked(_from_columns(found, content, unit, first, genome))


def from_sequences(sequences: Sequence[str] | pa.Array) -> Table:
    """Make a table of sequences at hand.

    Parameters
    ----------
    sequences : sequence of str, or pyarrow string array
        Raw DNA.

    Returns
    -------
    Table

    Raises
    ------
    InputError
        If a sequence is empty or holds foreign characters.
    """
    array = sequences if isinstance(sequences, pa.Array) else pa.array(list(sequences), pa.large_string())
    array = array.cast(pa.large_string())
    source = Path("the sequences given")
    return _checked(Table(source, array, None, pa.table({}), ((source, "number", 1, len(array)),)))


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise InputError unless a table can be written under this name."""
    if Path(path).suffix.lower() not in (".tsv", ".csv", *PARQUET_SUFFIXES):
        raise InputError(f"{path}: tables are written as .tsv, .csv or .parquet; give a name that ends so")
    if Path(path).is_dir():
        raise InputError(f"{path}: a file is required, but this is a folder; name a file in it")


def write(columns: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write columns as TSV, CSV or Parquet, by the suffix; the file appears whole or not at all."""
    check_output(path)
    suffix = Path(path).suffix.lower()
    with replacing(path) as temporary:
        if suffix in PARQUET_SUFFIXES:
            pyarrow.parquet.write_table(columns, temporary)
        else:
            _write_text(columns, temporary, "\t" if suffix == ".tsv" else ",")


def _write_text(columns: pa.Table, path: Path, delimiter: str) -> None:
    for quoting in (
        "none",
        "needed",
    ):  # Arrow quotes all text or none, and refuses none where a value holds a delimiter
        options = pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style=quoting, quoting_header=quoting)
        try:
            pyarrow.csv.write_csv(columns, path, options)
        except pa.ArrowInvalid:
            continue
        return


def check_lengths(table: Table, k: int, stride: int, longest: int) -> np.ndarray:
    """Check that each sequence has at least one k-mer and fits the model, and return the tokens of each.

    Parameters
    ----------
    table : Table
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.
    longest : int
        k-mers that the model takes at most.

    Returns
    -------
    np.ndarray, int64, shape (rows,)
        Tokens of each sequence, `[CLS]` and `[SEP]` included.

    Raises
    ------
    InputError
        That names the first row that is too short or too long.
    """
    bases = np.diff(table.offsets)
    kmers = bases - k
    kmers //= stride  # in place: a million rows are 8 MB a copy
    kmers += 1
    np.maximum(kmers, 0, out=kmers)
    for bad, rule in (
        (kmers < 1, f"at least {k} are needed for one {k}-mer; leave the row out"),
        (
            kmers > longest,
            f"this model takes at most {(longest - 1) * stride + k} ({longest} {k}-mers); cut the sequence",
        ),
    ):
        if bad.any():
            row = int(bad.argmax())
            more = f" ({int(bad.sum())} rows like this)" if bad.sum() > 1 else ""
            raise InputError(f"{table.where(row)}: the sequence has {bases[row]} bases, {rule}{more}")
    kmers += 2
    return kmers


def batches_of_rows(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Group rows into batches of like length under a budget of tokens, longest first.

    Neighbours of one length share an attention call, and a batch that does not fit into memory fails at once.

    Parameters
    ----------
    lengths : np.ndarray, integer, shape (rows,)
        Tokens of each row.
    tokens : int
        Budget of a batch. A longer row is a batch of its own.

    Yields
    ------
    np.ndarray, int64
        Row numbers of a batch.
    """
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    first = 0
    while first < len(order):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + tokens, side="right")))
        yield order[first:last]
        first = last


def select(table: Table, rows: np.ndarray) -> Table:
    """Take some rows of a table, in the order given. They are named by their place in this selection's first file."""
    taken = pa.array(rows)
    return Table(
        table.path,
        table.sequences.take(taken),
        None if table.labels is None else table.labels.take(taken),
        table.columns.take(taken),
        ((table.path, "selected row", 1, len(rows)),),
    )


def reverse_complemented(table: Table) -> Table:
    """Read every sequence of a table from the other strand; ambiguity codes become N, columns stay as they are."""
    offsets = table.offsets - table.offsets[0]
    codes = CODE_OF_BYTE[table.letters]
    return table._replace(sequences=cut_windows(codes, table.offsets[:-1], offsets, np.ones(table.rows, dtype=bool)))


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bgz"):
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    for kind, known in (("fasta", FASTA_SUFFIXES), ("parquet", PARQUET_SUFFIXES), ("text", (*TEXT_SUFFIXES, ".bed"))):
        if suffix in known:
            return kind
    raise InputError(
        f"{path}: '{suffix}' says no known kind of file; give a name that ends in "
        f"{', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES[:1] + FASTA_SUFFIXES[:3])} (text and FASTA also .gz)"
    )


# --- text and Parquet -------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> pa.Table:
    return delimited.read(path, whole=SEQUENCE_NAMES, integers=INTERVAL_NAMES[1:])


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _from_columns(path: Path, content: pa.Table, unit: str, first: int, genome: str | os.PathLike[str] | None) -> Table:
    names = content.column_names
    places = ((path, unit, first, content.num_rows),)
    label = find(names, LABEL_NAMES)
    labels = None if label is None else content[label].cast(pa.large_string()).combine_chunks()
    if labels is not None and labels.null_count:
        labels = labels.fill_null("")
    sequence = find(names, SEQUENCE_NAMES)
    if sequence is not None:
        values = content[sequence]
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise InputError(f"{path}: the column '{sequence}' holds {values.type}, text is required")
        sequences = _contiguous(values)
        if " " in sequences[0].as_py():
            sequences = _join_kmers(Table(path, sequences, None, content, places))
        return Table(path, sequences, labels, content.drop_columns([n for n in (sequence, label) if n]), places)
    interval = [find(names, (name,)) for name in INTERVAL_NAMES]
    if None in interval:
        raise InputError(
            f"{path}: a column 'sequence', or the columns 'chrom', 'start', 'end' are required; "
            f"this file has {', '.join(repr(name) for name in names)}; rename a column"
        )
    if genome is None:
        raise InputError(f"{path}: the rows are intervals; name the FASTA file they refer to with --genome")
    columns = content.drop_columns([label] if label else [])
    table = Table(path, pa.array([], pa.large_string()), labels, columns, places)
    for name in interval[1:]:
        missing = pc.index(pc.is_null(content[name]), True).as_py()
        if missing >= 0:
            raise InputError(f"{table.where(missing)}: '{name}' is empty; fill it or delete the row")
    chrom, start, end = (content[name] for name in interval if name)
    strand = find(names, ("strand",))
    minus = np.zeros(len(chrom), dtype=bool) if strand is None else pc.equal(content[strand], "-").to_numpy()
    return table._replace(
        sequences=_windows(table, Genome.open(genome), chrom, start.to_numpy(), end.to_numpy(), minus)
    )


def _contiguous(values: pa.ChunkedArray) -> pa.LargeStringArray:
    values = values.cast(pa.large_string())
    whole = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return whole.fill_null("") if whole.null_count else whole


def _windows(
    table: Table, genome: Genome, chrom: pa.ChunkedArray, start: np.ndarray, end: np.ndarray, minus: np.ndarray
) -> pa.LargeStringArray:
    coded = chrom.cast(pa.large_string()).combine_chunks().dictionary_encode()
    used = coded.dictionary.to_pylist()
    first_use = {code: row for row, code in reversed(list(enumerate(coded.indices.to_numpy().tolist())))}
    contigs = np.empty(len(used), dtype=np.int64)
    for code, name in enumerate(used):
        try:
            contigs[code] = genome.contig_index(name)
        except InputError as error:
            raise InputError(f"{table.where(first_use[code])}: {error}") from None
    contig = contigs[coded.indices.to_numpy()]
    outside = (start < 0) | (start >= end) | (end > genome.lengths[contig])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"{table.where(row)}: {used[coded.indices[row].as_py()]}:{start[row]}-{end[row]} does not lie inside its "
            f"contig, which has {genome.lengths[contig[row]]:,} bases in {genome.path.name} "
            "(0-based half-open coordinates); correct the interval"
        )
    offsets = np.concatenate([[0], np.cumsum(end - start)])
    return cut_windows(genome.codes, genome.starts[contig] + start, offsets, minus)


def _join_kmers(table: Table) -> pa.LargeStringArray:
    """Spell the sequences that stand as spaced, overlapping k-mers."""
    joined, bad = join_kmers(table.letters, table.offsets)
    if bad >= 0:
        text = table.sequences[bad].as_py()
        raise InputError(
            f"{table.where(bad)}: overlapping k-mers of one length separated by spaces are required, "
            f"each one base further than the one before; this row reads '{text[:30]}'"
        )
    return joined


# --- FASTA ------------------------------------------------------------------------------------------------------------


def _read_fasta(path: Path) -> Table:
    names: list[str] = []
    lengths: list[int] = []
    letters = bytearray()
    for name, codes in read_fasta(path):
        if name is not None:
            names.append(name)
            lengths.append(0)
        letters += LETTERS[codes].tobytes()
        lengths[-1] += len(codes)
    sequences = string_array(np.frombuffer(letters, dtype=np.uint8), np.concatenate([[0], np.cumsum(lengths)]))
    return Table(path, sequences, None, pa.table({"name": pa.array(names)}), ((path, "record", 1, len(names)),))


def _with_labels(table: Table, labels: str | os.PathLike[str] | None) -> Table:
    if labels is None:
        return table
    path = existing_file(labels, "file of labels")
    content = _read_text(path)
    name, label = find(content.column_names, ("name", "id")), find(content.column_names, LABEL_NAMES)
    if name is None or label is None:
        raise InputError(
            f"{path}: the columns 'name' and 'label' are required; this file has {', '.join(content.column_names)}"
        )
    index = pc.index_in(table.columns["name"].cast(pa.large_string()), content[name].combine_chunks())
    if index.null_count:
        row = pc.index(pc.is_null(index), True).as_py()
        raise InputError(
            f"{table.where(row)}: '{table.columns['name'][row]}' has no label in {path}; add a line for it"
        )
    return table._replace(labels=content[label].take(index).combine_chunks())


def _read_classes(paths: Sequence[Path]) -> Table:
    tables = []
    for path in paths:
        if _kind(existing_file(path, "FASTA file")) != "fasta":
            raise InputError(f"{path}: several files are read as one FASTA file a class; this is no FASTA file")
        tables.append(_read_fasta(path))
    classes = [path.name.split(".")[0] for path in paths]
    if len(set(classes)) < len(classes):
        raise InputError(f"{paths[0]}: classes are named after their files, and two files are named alike; rename one")
    labels = np.repeat(np.array(classes, dtype=object), [table.rows for table in tables])
    return Table(
        paths[0],
        pa.concat_arrays([table.sequences for table in tables]),
        pa.array(labels, pa.large_string()),
        pa.concat_tables([table.columns for table in tables]),
        tuple(itertools.chain.from_iterable(table.places for table in tables)),
    )


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked(table: Table) -> Table:
    lengths = np.diff(table.offsets)
    if (lengths == 0).any():
        row = int((lengths == 0).argmax())
        raise InputError(f"{table.where(row)}: the sequence is empty; fill it or delete the row")
    at = first_foreign(table.letters, table.offsets)
    if at >= 0:
        row = int(np.searchsorted(table.offsets, at, side="right")) - 1
        raise InputError(f"{table.where(row)}: {describe_foreign(int(table.letters[at]))}")
    return table
