"""Variants from any file that biologists keep them in: VCF and BCF, tables, regions, the original's file of indices.

Whatever the source, it comes in chunks of `Alleles`, in the order of the file; memory holds a chunk at a time.
"""

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
from dnabert.sequence import delimited, tables
from dnabert.sequence.alphabet import LETTERS, UNKNOWN
from dnabert.sequence.genome import Genome
from dnabert.sequence.loci import Loci, parse_region, read_bed
from dnabert.sequence.tables import PARQUET_SUFFIXES, SEQUENCE_NAMES, TEXT_SUFFIXES, Table
from dnabert.sequence.variants import Alleles, screen

VCF_SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
CHROM_NAMES = ("chrom", "chromosome", "chr", "contig")
POS_NAMES = ("pos", "position")
REF_NAMES = ("ref", "reference")
ALT_NAMES = ("alt", "alternate")

_EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""What every whole bgzip file ends in (SAM specification, section 4.1.2)."""


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
        Takes the rows of a chunk and goes through the alleles; can be called again.
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
        by their row, from 0.
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
        contigs = _as_genome(tables.read(sequences))
    else:
        raise InputError(f"{variants or saturation}: the variants are on a genome; name its FASTA file with --genome")
    if path is None:
        return _saturation(str(saturation), contigs, files)
    if is_vcf(path):
        return Source(path, "vcf", contigs, lambda rows: vcf_chunks(path, contigs, rows), (path, *files))
    if path.suffix.lower() not in PARQUET_SUFFIXES and is_index_file(path):
        if sequences is None:
            raise InputError(f"{path}: indices refer to a table of sequences; name it with --sequences")
        return Source(path, "index", contigs, lambda rows: index_chunks(path, contigs, rows), (path, *files))
    return Source(path, "table", contigs, lambda rows: table_chunks(path, contigs, rows), (path, *files))


def _own_sequences(path: Path) -> Source:
    if delimited.find(column_names(path), SEQUENCE_NAMES) is None:
        raise InputError(
            f"{path}: the variants are on a genome; name its FASTA file with --genome (or a table of sequences with "
            "--sequences)"
        )
    table = tables.read(path)
    contigs = _as_genome(table)
    return Source(path, "table", contigs, lambda rows: own_sequence_chunks(table, contigs, rows), (path,))


def column_names(path: Path) -> list[str]:
    """Read the names of a table's columns."""
    return pyarrow.parquet.read_schema(path).names if path.suffix.lower() in PARQUET_SUFFIXES else first_fields(path)


def _saturation(words: str, contigs: Genome, files: tuple[Path, ...]) -> Source:
    path = Path(words)
    is_file = path.is_file()
    if not is_file and path.suffix.lower() in (".bed", ".gz"):
        existing_file(path, "BED file")  # raises
    regions = read_bed(path, contigs) if is_file else parse_region(words, contigs)
    read = (path, *files) if is_file else files
    return Source(path, "saturation", contigs, lambda rows: saturation_chunks(regions, contigs, rows), read, regions)


def _as_genome(table: Table) -> Genome:
    column = delimited.find(table.columns.column_names, ("name", "id", "chrom"))
    names = [str(i) for i in range(table.rows)] if column is None else table.columns[column].to_pylist()
    if len(set(names)) < table.rows:
        names = [str(i) for i in range(table.rows)]
    return Genome.of_letters(table.path, [str(name) for name in names], table.letters, table.offsets)


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

    _check_end(existing_file(path, "VCF file"))
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


def _check_end(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(16)
        if head[:2] == b"\x1f\x8b" and head[12:14] == b"BC":
            file.seek(-min(len(_EOF_BLOCK), path.stat().st_size), os.SEEK_END)
            if file.read() != _EOF_BLOCK:
                raise InputError(f"{path}: the bgzip file is truncated (its last block is missing); fetch it again")


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
        A record without an alternative allele has one row, with `.`.
    """
    columns: list[tuple[str, int, str, str, str, int]] = []
    with opened_vcf(path, drop_samples=True) as file:
        for number, record in enumerate(vcf_records(file, path)):
            chrom, pos, name, ref = record.chrom, record.pos, record.id or ".", record.ref or "."
            columns += [(chrom, pos, name, ref, alt, number) for alt in record.alts or (".",)]
            if len(columns) >= rows:
                yield _vcf_chunk(columns, genome)
                columns = []
    if columns:
        yield _vcf_chunk(columns, genome)


def _vcf_chunk(columns: list[tuple[str, int, str, str, str, int]], genome: Genome) -> Alleles:
    chrom, pos, names, ref, alt, record = zip(*columns, strict=True)
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
        contig = _contigs(content[chrom].cast(pa.large_string()).to_pylist(), genome)
        yield _from_columns(path, content, contig, names, record, genome)
        record += content.num_rows
    if not record:  # a file without a header has no rows either
        _variant_columns(path, column_names(path), CHROM_NAMES, POS_NAMES, REF_NAMES, ALT_NAMES)


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
        places = content[pos].cast(pa.int64())
        refs, alts = (content[name].cast(pa.large_string()).combine_chunks() for name in (ref, alt))
    except pa.ArrowException as error:
        raise InputError(f"{path}: the columns of variants do not read ({str(error).splitlines()[0]})") from error
    if places.null_count:
        row = pc.index(pc.is_null(places), True).as_py()
        raise InputError(f"{path}: '{pos}' is empty in row {first + row + 1}; fill it or delete the row")
    refs, alts = (_or_dot(array) for array in (refs, alts))
    alts = pc.replace_substring_regex(alts, "^-$", "")
    return screen(
        content, contig, places.to_numpy() - 1, refs, alts, np.arange(first, first + content.num_rows), genome
    )


def _or_dot(array: pa.LargeStringArray) -> pa.LargeStringArray:
    return pc.replace_substring_regex(array.fill_null("."), "^$", ".")


def _batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() in PARQUET_SUFFIXES:
        try:
            yield from pyarrow.parquet.ParquetFile(path).iter_batches(rows)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
        return
    if not any(suffix in TEXT_SUFFIXES for suffix in path.suffixes):
        raise InputError(
            f"{path}: variants are read from {', '.join(VCF_SUFFIXES)}, {', '.join(TEXT_SUFFIXES)} (also .gz) or "
            ".parquet; give a name that ends so"
        )
    for batch in delimited.stream(path, integers=POS_NAMES):
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows)


# --- the original's file of indices -----------------------------------------------------------------------------------


def first_fields(path: Path) -> list[str]:
    """Return the fields of the first line of a table, to tell what kind it is."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            line = stream.read(1 << 16).decode("utf-8-sig", "replace").split("\n")[0].rstrip("\r")
    except (EOFError, OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from error
    return line.split("\t" if "\t" in line else ",")


def is_index_file(path: Path) -> bool:
    """Tell the original's file: no header, and three numbers in the first line."""
    fields = first_fields(path)
    return len(fields) in (3, 4) and all(field.isdigit() for field in fields[:3])


def index_chunks(path: Path, genome: Genome, rows: int) -> Iterator[Alleles]:
    """Read the original's file: `index`, `start`, `end` and the allele that replaces these bases, without a header.

    Parameters
    ----------
    path : pathlib.Path
        Separated by tabs. The index is the row of the sequence, from 0; start and end are 0-based half-open; an empty
        allele is a deletion.
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
    with path.open() as lines:
        number = 0
        while chunk := list(itertools.islice(lines, rows)):
            fields = []
            for i, line in enumerate(chunk):
                parts = line.rstrip("\r\n").split("\t")
                if len(parts) not in (3, 4) or not all(part.isdigit() for part in parts[:3]):
                    raise InputError(
                        f"{path} line {number + i + 1}: index, start, end and allele separated by tabs are required, "
                        f"this line reads '{line.strip()[:40]}'"
                    )
                fields.append((*(int(part) for part in parts[:3]), parts[3] if len(parts) == 4 else ""))
            yield _index_chunk(path, fields, number, genome)
            number += len(chunk)


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
