"""Variants from any file that biologists keep them in: VCF and BCF, tables, regions, the original's file of indices.

Whatever the source, it comes in chunks of `Alleles`, in the order of the file; memory holds a chunk at a time.
"""

import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from dnabert.errors import InputError
from dnabert.files import existing_file
from dnabert.progress import say
from dnabert.sequence import delimited, tables
from dnabert.sequence.alphabet import LETTERS, UNKNOWN
from dnabert.sequence.genome import Genome, check_bgzip_end
from dnabert.sequence.loci import Loci, parse_region, read_bed
from dnabert.sequence.tables import LABEL_NAMES, PARQUET_SUFFIXES, SEQUENCE_NAMES, TEXT_SUFFIXES, Table
from dnabert.sequence.variants import Alleles, screen

VCF_SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
CHROM_NAMES = ("chrom", "chromosome", "chr", "contig")
POS_NAMES = ("pos", "position")
REF_NAMES = ("ref", "reference")
ALT_NAMES = ("alt", "alternate")


class Source(NamedTuple):
    """Where variants come from.

    Attributes
    ----------
    path : pathlib.Path
        The file; for regions in words, what they read.
    kind : str
        `vcf`, `table`, `index` or `saturation`.
    genome : Genome
        What the variants are on.
    chunks : callable
        Takes the rows of a chunk and goes through the alleles, at least one chunk, which may have no rows; can be
        called again.
    files : tuple of pathlib.Path
        The files read, the genome's among them.
    regions : Loci or None
        Of `saturation`.
    """

    path: Path
    kind: str
    genome: Genome
    chunks: Callable[[int], Iterator[Alleles]]
    files: tuple[Path, ...]
    regions: Loci | None = None


def open_source(
    variants: str | os.PathLike[str] | None,
    *,
    genome: str | os.PathLike[str] | None = None,
    sequences: str | os.PathLike[str] | None = None,
    saturation: str | None = None,
) -> Source:
    """Find out what variants come from and on what they are.

    Parameters
    ----------
    variants : path, optional
        VCF or BCF; a table with `chrom`, `pos`, `ref`, `alt`, or with `sequence`, `pos`, `ref`, `alt`; the original's
        file of `index`, `start`, `end` and allele. None with `saturation`.
    genome : path, optional
        FASTA file.
    sequences : path, optional
        Table or FASTA of sequences that stand in for a genome: contigs named by a column `name`, `id` or `chrom`, else
        by their row, from 0. The rows of a column `chrom` in which names repeat are called by their row too; the
        original's file names rows by their number, and then any names may repeat.
    saturation : str, optional
        Region (`chr20:1000-1300`, 0-based half-open, or a contig's name) or BED file: all substitutions there.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If a file is missing or of another form, or what is given does not go together.
    """
    if (variants is None) == (saturation is None):
        raise InputError("give either a file of variants, or regions to change every base of with --saturation")
    if genome is not None and sequences is not None:
        raise InputError("--genome and --sequences: variants are on one or the other, give one")
    path = None if variants is None else existing_file(variants, "file of variants")
    if path is not None and not is_vcf(path) and genome is None and sequences is None:
        return _own_sequences(path)
    if genome is not None:
        files: tuple[Path, ...] = (Path(genome),)
        contigs = Genome.open(genome)
    elif sequences is not None:
        files = (Path(sequences),)
        contigs = _as_genome(tables.read(sequences), path is not None and is_index_file(path))
    else:
        raise InputError(f"{variants or saturation}: the variants are on a genome; name its FASTA file with --genome")
    if path is None:
        return _saturation(str(saturation), contigs, files)
    if is_vcf(path):
        return Source(path, "vcf", contigs, lambda rows: vcf_chunks(path, contigs, rows), (path, *files))
    if is_index_file(path):
        if sequences is None:
            raise InputError(f"{path}: indices refer to a table of sequences; name it with --sequences")
        return Source(path, "index", contigs, lambda rows: index_chunks(path, contigs, rows), (path, *files))
    return Source(path, "table", contigs, lambda rows: table_chunks(path, contigs, rows), (path, *files))


def _own_sequences(path: Path) -> Source:
    names = column_names(path)
    if delimited.find(names, SEQUENCE_NAMES) is None:
        raise InputError(
            f"{path}: the variants are on a genome; name its FASTA file with --genome (or a table of sequences with "
            "--sequences)"
        )
    table = tables.read(path)
    if table.second is not None:
        raise InputError(f"{path}: variants are of one sequence a row, these rows have two; leave one out")
    contigs = _by_row(table)
    label = delimited.find(names, LABEL_NAMES)
    if label is not None:  # a column like any other here
        columns = table.columns.append_column(label, _own_labels(table, label))
        table = table._replace(columns=columns.select([name for name in names if name in columns.column_names]))
    return Source(path, "table", contigs, lambda rows: own_sequence_chunks(table, contigs, rows), (path,))


def _own_labels(table: Table, name: str) -> pa.Array | pa.ChunkedArray:
    """Return the labels of a table as its file has them; lists as text."""
    if table.path.suffix.lower() in PARQUET_SUFFIXES:
        column = pyarrow.parquet.read_table(table.path, columns=[name])[name]
        if not pa.types.is_nested(column.type):
            return column
    return table.labels


def column_names(path: Path) -> list[str]:
    """Read the names of a table's columns."""
    if path.suffix.lower() not in PARQUET_SUFFIXES:
        return delimited.dialect(path, delimited.first_lines(path))[1]
    try:
        return pyarrow.parquet.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _saturation(words: str, contigs: Genome, files: tuple[Path, ...]) -> Source:
    path = Path(words)
    is_file = path.is_file()
    if not is_file and path.suffix.lower() in (".bed", ".gz"):
        existing_file(path, "BED file")  # raises
    regions = read_bed(path, contigs) if is_file else parse_region(words, contigs)
    read = (path, *files) if is_file else files
    return Source(path, "saturation", contigs, lambda rows: saturation_chunks(regions, contigs, rows), read, regions)


def _as_genome(table: Table, by_row: bool) -> Genome:
    """Hold sequences as contigs; `by_row` says that variants name rows by their number, so that names may repeat."""
    column = delimited.find(table.columns.column_names, ("name", "id", "chrom"))
    if column is None:
        return _by_row(table)
    names = [str(name) for name in table.columns[column].to_pylist()]
    first: dict[str, int] = {}
    again = next((i for i, name in enumerate(names) if first.setdefault(name, i) != i), None)
    if again is None:
        return Genome.of_letters(table.path, names, table.letters, table.offsets)
    if not by_row and (column.lower() != "chrom" or first.keys() & set(_by_row(table).names)):
        raise InputError(
            f"{table.where(again)}: the name '{names[again]}' in '{column}' stands for an earlier sequence too; "
            "variants find their sequence by its name: give each one of its own"
        )
    say(f"{table.path}: names in '{column}' repeat; its sequences are called by their row, 0 to {table.rows - 1:,}")
    return _by_row(table)


def _by_row(table: Table) -> Genome:
    return Genome.of_letters(table.path, [str(i) for i in range(table.rows)], table.letters, table.offsets)


def is_vcf(path: str | os.PathLike[str]) -> bool:
    """Tell a VCF or BCF file by its name."""
    return str(path).lower().endswith(VCF_SUFFIXES)


def _contigs(names: Sequence[str], genome: Genome) -> np.ndarray:
    """Return the place of each name in the genome, -1 for names it does not have."""
    coded = pa.array(names, pa.large_string()).dictionary_encode()
    places = {name: i for i, name in enumerate(genome.names)}
    found = np.array([places.get(name, -1) for name in coded.dictionary.to_pylist()] or [-1], dtype=np.int64)
    return found[coded.indices.to_numpy()] if len(coded) else np.empty(0, dtype=np.int64)


def _text(values: Sequence[str]) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


# --- VCF and BCF ------------------------------------------------------------------------------------------------------


@contextmanager
def opened_vcf(path: Path, drop_samples: bool = False) -> Iterator[Any]:
    """Open a VCF or BCF file, plain or bgzip, and keep htslib's own lines off stderr.

    Parameters
    ----------
    path : pathlib.Path
    drop_samples : bool
        Read no genotypes, which takes most of the time of a file of many samples.

    Yields
    ------
    pysam.VariantFile
    """
    import pysam

    check_bgzip_end(existing_file(path, "VCF file"))
    with quiet_htslib():
        try:
            file = pysam.VariantFile(str(path), drop_samples=drop_samples)
        except NotImplementedError as error:
            raise InputError(
                f"{path}: this is gzip; VCF is compressed with bgzip (gunzip -c FILE | bgzip > OTHER.vcf.gz)"
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read as VCF or BCF; is it one, with its header ('##fileformat=VCF...')?"
            ) from error
        try:
            yield file
        finally:
            with suppress(OSError):  # of a damaged file, said where it was read
                file.close()


@contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib's own lines off stderr: what is to be said is raised."""
    import pysam

    verbosity = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(verbosity)


def vcf_records(file: Any, path: Path) -> Iterator[Any]:
    """Go through the records of an open VCF file; InputError that says which one htslib cannot read."""
    for number in itertools.count(1):
        try:
            record = next(file, None)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: record {number:,} cannot be read ({reason}); is the file whole?") from error
        if record is None:
            return
        yield record


def vcf_chunks(path: Path, genome: Genome, rows: int) -> Iterator[Alleles]:
    """Read a VCF or BCF file; samples are ignored.

    Parameters
    ----------
    path : pathlib.Path
    genome : Genome
    rows : int
        Alleles of a chunk; a record is never divided.

    Yields
    ------
    Alleles
        A record without an alternative allele has one row, with `.`. Of a file without records, one chunk without rows.
    """
    columns: list[tuple[str, int, str, str, str, int]] = []
    number = -1
    with opened_vcf(path, drop_samples=True) as file:
        for number, record in enumerate(vcf_records(file, path)):
            chrom, pos, name, ref = record.chrom, record.pos, record.id or ".", record.ref or "."
            columns += [(chrom, pos, name, ref, alt, number) for alt in record.alts or (".",)]
            if len(columns) >= rows:
                yield _vcf_chunk(columns, genome)
                columns = []
    if columns or number < 0:
        yield _vcf_chunk(columns, genome)


def _vcf_chunk(columns: list[tuple[str, int, str, str, str, int]], genome: Genome) -> Alleles:
    chrom, pos, names, ref, alt, record = zip(*columns, strict=True) if columns else ((),) * 6
    places = np.array(pos, dtype=np.int64)
    chroms, refs, alts = _text(chrom), _text(ref), _text(alt)
    table = pa.table({"chrom": chroms, "pos": places, "id": _text(names), "ref": refs, "alt": alts})
    return screen(table, _contigs(chrom, genome), places - 1, refs, alts, np.array(record, dtype=np.int64), genome)


# --- tables -----------------------------------------------------------------------------------------------------------


def table_chunks(path: Path, genome: Genome, rows: int) -> Iterator[Alleles]:
    """Read a table of `chrom`, `pos` (1-based, as in VCF), `ref` and `alt`; `-` in `alt` is a deletion of all of `ref`.

    Parameters
    ----------
    path : pathlib.Path
        TSV or CSV (also gzip) or Parquet, with a header. Other columns are kept.
    genome : Genome
    rows : int
        Rows of a chunk.

    Yields
    ------
    Alleles
    """
    record = 0
    for batch in _batches(existing_file(path, "table of variants"), rows):
        content = pa.Table.from_batches([batch])
        chrom, *names = _variant_columns(path, content.column_names, CHROM_NAMES, POS_NAMES, REF_NAMES, ALT_NAMES)
        contig = _contigs(_filled(path, content[chrom].cast(pa.large_string()), chrom, record).to_pylist(), genome)
        yield _from_columns(path, content, contig, names, record, genome)
        record += content.num_rows


def own_sequence_chunks(table: Table, genome: Genome, rows: int) -> Iterator[Alleles]:
    """Read variants that stand beside their own sequences: columns `sequence`, `pos` (1-based), `ref` and `alt`.

    Parameters
    ----------
    table : Table
        As `tables.read` gives it.
    genome : Genome
        Its sequences as contigs.
    rows : int
        Rows of a chunk.

    Yields
    ------
    Alleles
    """
    names = _variant_columns(table.path, table.columns.column_names, POS_NAMES, REF_NAMES, ALT_NAMES)
    for first in range(0, table.rows, rows):
        content = table.columns.slice(first, rows)
        contig = np.arange(first, first + content.num_rows)
        yield _from_columns(table.path, content, contig, names, first, genome)


def _variant_columns(path: Path, names: Sequence[str], *wanted: Sequence[str]) -> list[str]:
    found = [delimited.find(names, one) for one in wanted]
    missing = [one[0] for one, name in zip(wanted, found, strict=True) if name is None]
    if missing:
        raise InputError(
            f"{path}: a table of variants has the columns chrom, pos, ref and alt (or sequence, pos, ref and alt); "
            f"{' and '.join(missing)} not found among {', '.join(repr(name) for name in names)}; rename a column"
        )
    return [name for name in found if name is not None]


def _from_columns(
    path: Path, content: pa.Table, contig: np.ndarray, names: Sequence[str], first: int, genome: Genome
) -> Alleles:
    pos, ref, alt = names
    try:
        places = _whole_numbers(path, _filled(path, content[pos], pos, first), pos, first)
        refs, alts = (content[name].cast(pa.large_string()).combine_chunks() for name in (ref, alt))
    except pa.ArrowException as error:
        raise InputError(f"{path}: the columns of variants do not read ({str(error).splitlines()[0]})") from error
    if not pa.types.is_integer(content[pos].type):
        content = content.set_column(content.column_names.index(pos), pos, places)
    refs, alts = (_or_dot(array) for array in (refs, alts))
    alts = pc.replace_substring_regex(alts, "^-$", "")
    return screen(
        content, contig, places.to_numpy() - 1, refs, alts, np.arange(first, first + content.num_rows), genome
    )


def _filled(path: Path, column: pa.ChunkedArray, name: str, first: int) -> pa.ChunkedArray:
    """Raise InputError where a value is missing, or is a text without a letter."""
    missing = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        missing = pc.or_kleene(missing, pc.equal(column, ""))
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise InputError(f"{path}: '{name}' is empty in row {first + row + 1}; fill it or delete the row")
    return column


def _whole_numbers(path: Path, column: pa.ChunkedArray, name: str, first: int) -> pa.ChunkedArray:
    """Read numbers or text as int64; `100.0` is a whole number too."""
    if pa.types.is_floating(column.type):
        whole = pc.equal(column, pc.trunc(column))
    else:
        column = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
        whole = pc.match_substring_regex(column, r"^-?[0-9]{1,18}(\.0*)?$")
    row = pc.index(whole, False).as_py()
    if row >= 0:
        raise InputError(f"{path}: '{name}' must be a whole number, in row {first + row + 1} it is '{column[row]}'")
    if not pa.types.is_floating(column.type):
        column = pc.replace_substring_regex(column, r"\.0*$", "")
    return column.cast(pa.int64())


def _or_dot(array: pa.LargeStringArray) -> pa.LargeStringArray:
    return pc.replace_substring_regex(array.fill_null("."), "^$", ".")


def _batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """Read a table in pieces; one without rows is a piece without rows, which says the columns."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        try:
            file = pyarrow.parquet.ParquetFile(path)
            yield from file.iter_batches(rows)
            if not file.metadata.num_rows:
                yield pa.RecordBatch.from_pylist([], file.schema_arrow)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
        return
    if not any(suffix in TEXT_SUFFIXES for suffix in path.suffixes):
        raise InputError(
            f"{path}: variants are read from {', '.join(VCF_SUFFIXES)}, {', '.join(TEXT_SUFFIXES)} (also .gz) or "
            ".parquet; give a name that ends so"
        )
    empty = True
    for batch in delimited.stream(path):
        for first in range(0, batch.num_rows, rows):
            empty = False
            yield batch.slice(first, rows)
    if empty:
        yield pa.RecordBatch.from_pylist([], pa.schema([(name, pa.large_string()) for name in column_names(path)]))


# --- the original's file of indices -----------------------------------------------------------------------------------


def is_index_file(path: Path) -> bool:
    """Tell the original's file: no header, and three numbers in the first line."""
    if is_vcf(path) or path.suffix.lower() in PARQUET_SUFFIXES:
        return False
    line = next(iter(delimited.first_lines(path)), "")
    fields = line.split("\t" if "\t" in line else ",")
    return len(fields) in (3, 4) and all(field.isdigit() for field in fields[:3])


def index_chunks(path: Path, genome: Genome, rows: int) -> Iterator[Alleles]:
    """Read the original's file: `index`, `start`, `end` and the allele that replaces these bases, without a header.

    Parameters
    ----------
    path : pathlib.Path
        Separated by tabs, plain or gzip. The index is the row of the sequence, from 0; start and end are 0-based
        half-open; an empty allele is a deletion.
    genome : Genome
        The sequences as contigs.
    rows : int
        Rows of a chunk.

    Yields
    ------
    Alleles

    Raises
    ------
    InputError
        If a line is of another form.
    """
    lines = _index_lines(path)
    number = 0
    while chunk := list(itertools.islice(lines, rows)):
        fields = []
        for i, line in enumerate(chunk):
            parts = line.split("\t")
            if len(parts) not in (3, 4) or not all(part.isdigit() for part in parts[:3]):
                raise InputError(
                    f"{path} line {number + i + 1}: index, start, end and allele separated by tabs are required, "
                    f"this line reads '{line.strip()[:40]}'"
                )
            fields.append((*(int(part) for part in parts[:3]), parts[3] if len(parts) == 4 else ""))
        yield _index_chunk(path, fields, number, genome)
        number += len(chunk)


def _index_lines(path: Path) -> Iterator[str]:
    """Go through the lines of a file, but for blank ones at its end."""
    blank = 0
    try:
        with delimited.open_text(path) as stream:
            for line in io.TextIOWrapper(stream, encoding="utf-8-sig"):
                if not line.strip():
                    blank += 1
                    continue
                yield from [""] * blank
                blank = 0
                yield line.rstrip("\r\n")
    except (EOFError, OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as text ({str(error).splitlines()[0]})") from error


def _index_chunk(path: Path, fields: list[tuple[Any, ...]], first: int, genome: Genome) -> Alleles:
    index, start, end, alleles = zip(*fields, strict=True)
    row, starts, ends = (np.array(part, dtype=np.int64) for part in (index, start, end))
    for i in np.flatnonzero(row >= len(genome.names))[:1]:
        raise InputError(
            f"{path} line {first + i + 1}: there is no sequence {row[i]}, {genome.path.name} has {len(genome.names)} "
            "(the first has index 0)"
        )
    bad = (starts > ends) | (ends > genome.lengths[row])
    for i in np.flatnonzero(bad)[:1]:
        raise InputError(
            f"{path} line {first + i + 1}: {starts[i]}-{ends[i]} does not lie inside sequence {row[i]}, which has "
            f"{genome.lengths[row[i]]} bases (0-based half-open)"
        )
    refs = _text(
        [
            LETTERS[genome.codes[at : at + n]].tobytes().decode()
            for at, n in zip((genome.starts[row] + starts).tolist(), (ends - starts).tolist(), strict=True)
        ]
    )
    alts = _text(alleles)
    columns = pa.table({"index": row, "start": starts, "end": ends, "ref": refs, "allele": alts})
    return screen(columns, row, starts, refs, alts, np.arange(first, first + len(row)), genome)


# --- saturation -------------------------------------------------------------------------------------------------------


def saturation_chunks(regions: Loci, genome: Genome, rows: int) -> Iterator[Alleles]:
    """List every substitution of every base in regions; unknown bases have none.

    Parameters
    ----------
    regions : Loci
    genome : Genome
    rows : int
        Alleles of a chunk, at least 3.

    Yields
    ------
    Alleles
        Three a base, in the order A, C, G, T of the alternative.
    """
    alphabetical = np.array([0, 2, 3, 1], dtype=np.uint8)
    bases = max(1, rows // 3)
    first = 0
    for contig, begin, finish in zip(regions.contig, regions.start, regions.end, strict=True):
        for at in range(int(begin), int(finish), bases):
            places = np.arange(at, min(at + bases, int(finish)))
            codes = genome.codes[genome.starts[contig] + places]
            places, codes = places[codes < UNKNOWN], codes[codes < UNKNOWN]
            place, alt = (part.ravel() for part in np.meshgrid(places, alphabetical, indexing="ij"))
            ref = np.repeat(codes, 4)
            changes = ref != alt
            place, ref, alt = place[changes], ref[changes], alt[changes]
            refs, alts = (_text(list(LETTERS[part].tobytes().decode())) for part in (ref, alt))
            names = pa.array([genome.names[contig]] * len(place), pa.large_string())
            columns = pa.table({"chrom": names, "pos": place + 1, "ref": refs, "alt": alts})
            where = np.full(len(place), contig)
            yield Alleles(
                columns, where, place, refs, alts, first + np.arange(len(place)), np.zeros(len(place), dtype=np.int8)
            )
            first += len(place)
