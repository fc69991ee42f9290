"""Labelled sequences from any file that biologists keep them in.

Whatever the file, a table holds its sequences as one Arrow string array: a buffer of letters and offsets that the
k-mer kernels read in place. A million rows never become a million Python strings.
"""

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from dnabert.errors import InputError
from dnabert.files import existing_file, replacing
from dnabert.progress import say
from dnabert.sequence import delimited, intervals
from dnabert.sequence.alphabet import LETTERS, describe_foreign
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import Genome, read_fasta
from dnabert.sequence.letters import (
    cut_windows,
    first_foreign,
    join_kmers,
    letters_of,
    reverse_complement_rows,
    string_array,
)

SEQUENCE_NAMES = ("sequence", "setence", "seq")
"""Accepted headers of the sequence column; `setence` stands in some files of the original."""
SECOND_NAMES = ("sequence2", "sequence_2", "seq2")
"""Accepted headers of the second sequence of rows that are pairs."""
LABEL_NAMES = ("label", "labels", "class")
INTERVAL_NAMES = ("chrom", "start", "end")
STRANDS = ("+", "-", ".", "")
"""What may stand in a column `strand`; all but `-` read forward."""
FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn", ".fas")
TEXT_SUFFIXES = (".tsv", ".csv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
_BARE_SEQUENCE = re.compile("[ACGTUNacgtun]{8,}")
"""What in a first line says that it is no header."""


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
    second : pa.LargeStringArray or None, length rows
        The second sequence of each row, where rows are pairs.
    places : tuple of (pathlib.Path, str, int, int)
        File, unit (`line`, `row` or `record`), number of the first row in that file, and rows, for each file.
    chosen : np.ndarray or None, int64, shape (rows,)
        Which of the rows that `places` counts these are, where they are a selection.
    """

    path: Path
    sequences: pa.LargeStringArray
    labels: pa.StringArray | None
    columns: pa.Table
    places: tuple[tuple[Path, str, int, int], ...]
    second: pa.LargeStringArray | None = None
    chosen: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """The number of sequences."""
        return len(self.sequences)

    @property
    def letters(self) -> np.ndarray:
        """uint8, shape (bytes,): the letters of all sequences, in place."""
        return letters_of(self.sequences)[0]

    @property
    def offsets(self) -> np.ndarray:
        """int64, shape (rows + 1,): where each sequence starts in `letters`, in place."""
        return letters_of(self.sequences)[1]

    @property
    def starts(self) -> np.ndarray:
        """int64, shape (rows,): where each sequence starts in `letters`."""
        return self.offsets[:-1]

    @property
    def ends(self) -> np.ndarray:
        """int64, shape (rows,): where each sequence ends in `letters`."""
        return self.offsets[1:]

    def where(self, row: int) -> str:
        """Say where a row stands, for a message: `train.tsv line 18`."""
        row = row if self.chosen is None else int(self.chosen[row])
        path, unit, first, _ = self.places[0]
        if unit == "line" and len(self.places) == 1:
            return f"{path} line {delimited.line_of(path, first, row)}"
        return intervals.where(self.places, row)


def read(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    genome: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    length: int | None = None,
) -> Table:
    """Read sequences and labels.

    Parameters
    ----------
    path : path, or sequence of paths
        TSV, CSV or Parquet with a header: `sequence` and `label` columns (a text file whose first line holds a sequence
        has no header, and these columns), or `chrom`, `start`, `end` (0-based
        half-open), `strand` if there is one, and `label`, with `genome`. A column `sequence2` makes rows pairs. The
        original's files of spaced k-mers are TSV. BED (3 to 12 columns, no header), with `genome`. FASTA: unlabelled,
        or with `labels`. Several FASTA files: one a class, named after the file. Text, BED and FASTA files may be
        compressed with gzip.
    genome : path, optional
        FASTA from which intervals are read.
    labels : path, optional
        TSV or CSV with the columns `name` and `label`, for one FASTA file.
    length : int, optional
        Read windows of this length around the midpoints of the intervals instead of the intervals. Windows that would
        leave their contig are left out, and their number is said on stderr.

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
    if length is not None and length < 1:
        raise InputError(f"--length {length}: a number of bases from 1 on is required")
    if not isinstance(path, (str, os.PathLike)):
        paths = [Path(one) for one in path]
        if len(paths) > 1:
            for option, value in (("--labels", labels), ("--length", length)):
                if value is not None:
                    raise InputError(f"{paths[0]}: several FASTA files, one a class, take no {option}; leave it out")
            return _checked(_read_classes(paths))
        path = paths[0]
    found = existing_file(path, "table or FASTA file")
    kind = _kind(found)
    if kind == "fasta":
        if length is not None:
            raise InputError(f"{found}: --length widens intervals, and this file holds sequences; leave it out")
        return _checked(_with_labels(_read_fasta(found), labels))
    if labels is not None:
        raise InputError(f"{labels}: a file of labels goes with a FASTA file; {found} brings its own columns")
    if kind == "bed" and not intervals.has_header(found):
        bed = intervals.read(found)
        return _checked(_from_columns(found, bed.columns, bed.places, genome, length))
    names = _names_without_header(found) if kind == "text" else ()
    content = _read_parquet(found) if kind == "parquet" else _read_text(found, names)
    if content.num_rows == 0:
        raise InputError(f"{found}: the table has a header but no rows")
    unit, first = ("row", 1) if kind == "parquet" else ("line", 1 if names else 2)
    table = _checked(_from_columns(found, content, ((found, unit, first, content.num_rows),), genome, length))
    if names:
        _say_without_header(found, names)
    return table


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


def label_text(column: pa.ChunkedArray, what: str) -> pa.LargeStringArray:
    """Write a column as text: missing values empty, lists with spaces between their entries.

    Parameters
    ----------
    column : pa.ChunkedArray
    what : str
        Which column of which file this is, for the message.

    Returns
    -------
    pa.LargeStringArray

    Raises
    ------
    InputError
        If there is no such text.
    """
    try:
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), " ")
        text = column.cast(pa.large_string()).combine_chunks()
    except pa.ArrowException as error:
        raise InputError(f"{what} holds {column.type}; text, numbers or lists of these are required") from error
    return text.fill_null("") if text.null_count else text


def joined(table: Table) -> Table:
    """Write each pair of sequences as one, an N between them; a table without pairs is returned as it is."""
    if table.second is None:
        return table
    whole = pc.binary_join_element_wise(table.sequences, table.second, pa.scalar("N", pa.large_string()))
    return table._replace(sequences=whole, second=None)


def is_table(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is a table by its name."""
    return _suffix(Path(path)) in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES)


def is_fasta(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is FASTA by its name."""
    return _suffix(Path(path)) in FASTA_SUFFIXES


def stem(path: str | os.PathLike[str]) -> str:
    """Return the name of a file without what says its kind and compression."""
    name = Path(path).name
    return name[: name.lower().rindex(_suffix(Path(path)))]


def check_output(path: str | os.PathLike[str]) -> None:
    """Raise InputError unless a table can be written under this name."""
    if Path(path).suffix.lower() not in (".tsv", ".csv", *PARQUET_SUFFIXES):
        raise InputError(f"{path}: tables are written as .tsv, .csv or .parquet; give a name that ends so")
    if Path(path).is_dir():
        raise InputError(f"{path}: a file is required, but this is a folder; name a file in it")


def check_columns(columns: pa.Schema, path: str | os.PathLike[str]) -> None:
    """Raise InputError where a file of this name cannot hold columns: lists in text, two columns of one name."""
    twice = next((name for i, name in enumerate(columns.names) if name in columns.names[:i]), None)
    if twice is not None:
        raise InputError(f"{path}: two columns would be called '{twice}'; rename the one of the input")
    if Path(path).suffix.lower() in PARQUET_SUFFIXES:
        return
    for field in columns:
        if pa.types.is_nested(field.type):
            raise InputError(
                f"{path}: the column '{field.name}' holds {field.type}, which text cannot; "
                "give a name that ends in .parquet, or leave the column out"
            )


def write(columns: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write columns as TSV, CSV or Parquet, by the suffix; the file appears whole or not at all."""
    write_parts(lambda: [columns], path, columns)


def write_parts(parts: Callable[[], Iterable[pa.Table]], path: str | os.PathLike[str], empty: pa.Table) -> None:
    """Write tables of the same columns one after the other into one file, holding one at a time.

    Parameters
    ----------
    parts : callable
        Goes through the tables; may be called again.
    path : path
        As in `write`.
    empty : pa.Table
        Says the columns where there are no parts.
    """
    check_output(path)
    suffix = Path(path).suffix.lower()
    schema = next(iter(parts()), empty).schema
    check_columns(schema, path)
    with replacing(path) as temporary:
        if suffix in PARQUET_SUFFIXES:
            with pyarrow.parquet.ParquetWriter(temporary, schema) as file:
                for part in parts():
                    file.write_table(part)
        else:
            _write_text(parts, schema, temporary, "\t" if suffix == ".tsv" else ",")


def _write_text(parts: Callable[[], Iterable[pa.Table]], schema: pa.Schema, path: Path, delimiter: str) -> None:
    def attempt(quoting: str) -> None:
        options = pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style=quoting, quoting_header=quoting)
        with pyarrow.csv.CSVWriter(path, schema, write_options=options) as file:
            for part in parts():
                file.write(part)

    try:
        attempt("none")
    except pa.ArrowInvalid:  # a value holds a delimiter; Arrow quotes all text or none
        attempt("needed")


def select(table: Table, rows: np.ndarray) -> Table:
    """Take some rows of a table, in the order given."""
    taken = pa.array(rows)
    return Table(
        table.path,
        table.sequences.take(taken),
        None if table.labels is None else table.labels.take(taken),
        table.columns.take(taken),
        table.places,
        None if table.second is None else table.second.take(taken),
        rows if table.chosen is None else table.chosen[rows],
    )


def reverse_complemented(table: Table) -> Table:
    """Read every sequence of a table from the other strand; ambiguity codes become N, columns stay as they are."""
    second = table.second
    return table._replace(
        sequences=reverse_complement_rows(table.sequences),
        second=None if second is None else reverse_complement_rows(second),
    )


def _suffix(path: Path) -> str:
    """Return what the name of a file ends in, compression aside, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bgz"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _kind(path: Path) -> str:
    suffix = _suffix(path)
    for kind, known in (
        ("fasta", FASTA_SUFFIXES),
        ("parquet", PARQUET_SUFFIXES),
        ("text", TEXT_SUFFIXES),
        ("bed", intervals.BED_SUFFIXES),
    ):
        if suffix in known:
            return kind
    raise InputError(
        f"{path}: '{suffix}' says no known kind of file; give a name that ends in "
        f"{', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES[:1] + ('.bed',) + FASTA_SUFFIXES[:3])} (text and FASTA also .gz)"
    )


# --- text and Parquet -------------------------------------------------------------------------------------------------


def _read_text(path: Path, names: Sequence[str] = ()) -> pa.Table:
    return delimited.read(path, whole=SEQUENCE_NAMES, integers=INTERVAL_NAMES[1:], names=names)


def _names_without_header(path: Path) -> tuple[str, ...]:
    """Name the columns of a file whose first line holds a sequence, not names; none if it has a header."""
    _, cells = delimited.split(delimited.first_lines(path))
    named = any(cell.lower() in (*SEQUENCE_NAMES, *INTERVAL_NAMES, *LABEL_NAMES, "name", "id") for cell in cells)
    if named or not _BARE_SEQUENCE.fullmatch(cells[0]):
        return ()
    sequences = [bool(_BARE_SEQUENCE.fullmatch(cell)) for cell in cells]
    for names, form in (
        ((SEQUENCE_NAMES[0],), [True]),
        ((SEQUENCE_NAMES[0], LABEL_NAMES[0]), [True, False]),
        ((SEQUENCE_NAMES[0], SECOND_NAMES[0], LABEL_NAMES[0]), [True, True, False]),
    ):
        if sequences == form:
            return names
    raise InputError(
        f"{path} line 1: a sequence stands where the names of columns are required; without a header a file holds a "
        f"sequence a row, or a sequence and its label, or two and a label, and this line has {len(cells)} columns; "
        "write a header"
    )


@functools.cache
def _say_without_header(path: Path, names: tuple[str, ...]) -> None:
    """Say it once a file, however often it is read."""
    say(f"{path}: no header; the columns are read as {', '.join(names)}")


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _from_columns(
    path: Path,
    content: pa.Table,
    places: tuple[tuple[Path, str, int, int], ...],
    genome: str | os.PathLike[str] | None,
    length: int | None,
) -> Table:
    names = content.column_names
    label = find(names, LABEL_NAMES)
    labels = None if label is None else label_text(content[label], f"{path}: the column '{label}'")
    sequence = find(names, SEQUENCE_NAMES)
    if sequence is not None:
        if length is not None:
            raise InputError(f"{path}: --length widens intervals, and this file holds sequences; leave it out")
        values = content[sequence]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise InputError(f"{path}: the column '{sequence}' holds {values.type}, text is required")
        sequences = _contiguous(values)
        if " " in sequences[0].as_py():
            sequences = _join_kmers(Table(path, sequences, None, content, places))
        second = find(names, SECOND_NAMES)
        columns = content.drop_columns([name for name in (sequence, label, second) if name])
        return Table(path, sequences, labels, columns, places, None if second is None else _contiguous(content[second]))
    interval = [find(names, (name,)) for name in INTERVAL_NAMES]
    if None in interval:
        raise InputError(
            f"{path}: a column 'sequence', or the columns 'chrom', 'start', 'end' are required; "
            f"this file has {', '.join(repr(name) for name in names)}; rename a column, or write a header"
        )
    if genome is None:
        raise InputError(f"{path}: the rows are intervals; name the FASTA file they refer to with --genome")
    columns = content.drop_columns([label] if label else [])
    table = Table(path, pa.array([], pa.large_string()), labels, columns, places)
    chrom, start, end = (str(name) for name in interval)
    for name, kind in ((chrom, pa.large_string()), (start, pa.int64()), (end, pa.int64())):
        table = table._replace(columns=_filled(table, name, kind))
    return _with_windows(table, Genome.open(genome), (chrom, start, end), length)


def _filled(table: Table, name: str, kind: pa.DataType) -> pa.Table:
    """Bring a column to a type, and check that no row leaves it empty."""
    column = table.columns[name]
    missing = pc.index(pc.is_null(column, nan_is_null=True), True).as_py()
    if missing >= 0:
        raise InputError(f"{table.where(missing)}: '{name}' is empty; fill it or delete the row")
    try:
        column = column.cast(kind)
    except pa.ArrowException as error:
        what = "whole numbers are" if pa.types.is_integer(kind) else "text is"
        raise InputError(f"{table.path}: the column '{name}' holds {column.type}, {what} required ({error})") from error
    return table.columns.set_column(table.columns.column_names.index(name), name, column)


def _with_windows(table: Table, genome: Genome, names: Sequence[str], length: int | None) -> Table:
    """Read the intervals of a table's columns, or windows around their midpoints, from the genome."""
    start, end = (table.columns[name].to_numpy() for name in names[1:])
    contig = contigs_of(table, genome, names[0])
    if length is not None:
        start, end = intervals.centred(start, end, length)
        inside = (start >= 0) & (end <= genome.lengths[contig])
        if not inside.any():
            raise InputError(
                f"{table.path}: no contig has room for a window of {length} bases; give a smaller --length"
            )
        for name, values in zip(names[1:], (start, end), strict=True):
            at = table.columns.column_names.index(name)
            table = table._replace(columns=table.columns.set_column(at, name, pa.array(values)))
        if not inside.all():
            left = f"{int((~inside).sum()):,} of {len(inside):,}"
            say(f"{table.path}: {left} windows of {length} bases leave their contig and are left out")
            kept = pa.array(inside)
            start, end, contig = start[inside], end[inside], contig[inside]
            table = table._replace(
                columns=table.columns.filter(kept),
                labels=None if table.labels is None else table.labels.filter(kept),
                chosen=np.flatnonzero(inside),
            )
    outside = (start < 0) | (start >= end) | (end > genome.lengths[contig])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"{table.where(row)}: {table.columns[names[0]][row]}:{start[row]}-{end[row]} does not lie inside its "
            f"contig, which has {genome.lengths[contig[row]]:,} bases in {genome.path.name} "
            "(0-based half-open coordinates); correct the interval"
        )
    strand = find(table.columns.column_names, ("strand",))
    minus = np.zeros(len(start), dtype=bool)
    if strand is not None:
        values = label_text(table.columns[strand], f"{table.path}: the column '{strand}'")
        known = pc.is_in(values, pa.array(STRANDS, pa.large_string())).to_numpy(zero_copy_only=False)
        if not known.all():
            row = int((~known).argmax())
            raise InputError(
                f"{table.where(row)}: '{strand}' is '{values[row]}', one of {', '.join(STRANDS[:3])} is required"
            )
        minus = pc.equal(values, "-").to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(end - start)])
    return table._replace(sequences=cut_windows(genome.codes, genome.starts[contig] + start, offsets, minus))


def contigs_of(table: Table, genome: Genome, name: str) -> np.ndarray:
    """Find the contig of each row of a column among those of a genome, int64, shape (rows,), or raise InputError."""
    coded = table.columns[name].cast(pa.large_string()).combine_chunks().dictionary_encode()
    used = coded.dictionary.to_pylist()
    codes = coded.indices.to_numpy()
    contigs = np.empty(len(used), dtype=np.int64)
    for code, contig in enumerate(used):
        try:
            contigs[code] = genome.contig_index(contig)
        except InputError as error:
            raise InputError(f"{table.where(int((codes == code).argmax()))}: {error}") from None
    return contigs[codes]


def _contiguous(values: pa.ChunkedArray) -> pa.LargeStringArray:
    values = values.cast(pa.large_string())
    whole = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return whole.fill_null("") if whole.null_count else whole


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
    for what, values in ((str(path), content[name]), (str(table.path), table.columns["name"])):
        counts = pc.value_counts(values.combine_chunks())
        twice = pc.index(pc.greater(counts.field("counts"), 1), True).as_py()
        if twice >= 0:
            raise InputError(f"{what}: '{counts.field('values')[twice]}' stands twice; names with labels are unique")
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
    for name, sequences in (("the sequence", table.sequences), ("the second sequence", table.second)):
        if sequences is None:
            continue
        letters, offsets = letters_of(sequences)
        lengths = np.diff(offsets)
        if (lengths == 0).any():
            row = int((lengths == 0).argmax())
            raise InputError(f"{table.where(row)}: {name} is empty; fill it or delete the row")
        at = first_foreign(letters, offsets)
        if at >= 0:
            row = int(np.searchsorted(offsets, at, side="right")) - 1
            raise InputError(f"{table.where(row)}: {describe_foreign(int(letters[at]))}")
    return table
