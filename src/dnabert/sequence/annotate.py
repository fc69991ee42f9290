"""A class for each base of genomic windows, from the intervals of a BED file."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.progress import say
from dnabert.sequence import intervals
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import Genome
from dnabert.sequence.loci import Loci, overlaps, read_bed
from dnabert.sequence.tables import INTERVAL_NAMES, Table

NO_FEATURE = "none"
"""Class of a base that no interval covers."""


def check_annotation(bed: str | os.PathLike[str], genome: str | os.PathLike[str]) -> None:
    """Check that the intervals of a BED file are of a genome; say how many are on contigs that it lacks.

    Parameters
    ----------
    bed, genome : path

    Raises
    ------
    InputError
        If a file cannot be read, an interval leaves its contig or is on one that the genome has under another name, or
        all are on contigs that it lacks.
    """
    read_bed(Path(bed), Genome.open(genome))


def label_bases(table: Table, bed: str | os.PathLike[str]) -> Table:
    """Give each base of a table's windows the name of the interval that covers it, as labels of the rows.

    Parameters
    ----------
    table : Table
        With the columns `chrom`, `start`, `end` and, if there is one, `strand`.
    bed : path
        With names in its fourth column. An interval on the other strand than the window's is left out; without a strand
        it counts on both. Where intervals overlap, the later one in the file counts.

    Returns
    -------
    Table
        With a class for each base, `none` where no interval is, in the order in which the sequence is read.

    Raises
    ------
    InputError
        If the rows are not intervals, the file cannot be read, has no names or such as cannot be classes, or no row
        holds an interval.
    """
    names = [find(table.columns.column_names, (name,)) for name in INTERVAL_NAMES]
    if None in names:
        raise InputError(f"{table.path}: --annotation: rows with chrom, start and end are required, with --genome")
    file = intervals.read(Path(bed))
    read = file.columns
    if "name" not in read.column_names:
        raise InputError(f"{bed}: a fourth column with the class of each interval is required; add it")
    odd = pc.index(pc.match_substring_regex(read["name"], rf"^(\.|{NO_FEATURE})$|\s|^$"), True).as_py()
    if odd >= 0:
        raise InputError(
            f"{intervals.where(file.places, odd)}: a class is one word other than '.' (unknown) and '{NO_FEATURE}' "
            f"(no interval), this is '{read['name'][odd]}'; rename it"
        )
    chrom, start, end = (table.columns[name].to_numpy() for name in names if name)
    column = find(table.columns.column_names, ("strand",))
    minus = np.zeros(table.rows, bool) if column is None else np.array(table.columns[column].to_pylist()) == "-"
    classes = [NO_FEATURE, *dict.fromkeys(read["name"].to_pylist())]
    starts, ends = table.offsets[:-1] - table.offsets[0], table.offsets[1:] - table.offsets[0]
    codes = np.zeros(ends[-1], dtype=np.int64)
    pairs = _overlaps(read, chrom, start, end, minus)
    if not len(pairs):
        raise InputError(f"{bed}: none of its intervals lies in a row of {table.path}; are they of the same genome?")
    of_class = {name: code for code, name in enumerate(classes)}
    first, last, name = (read[column].to_numpy(zero_copy_only=False) for column in ("start", "end", "name"))
    disputed: dict[int, int] = {}  # bases of another class in each interval that covers such
    for row, feature in pairs.tolist():
        inside = slice(max(first[feature] - start[row], 0), min(last[feature], end[row]) - start[row])
        window, code = codes[starts[row] : ends[row]], of_class[name[feature]]
        window = (window[::-1] if minus[row] else window)[inside]
        if other := int(((window != 0) & (window != code)).sum()):
            disputed[feature] = disputed.get(feature, 0) + other
        window[:] = code
    if disputed:
        one = next(iter(disputed))
        say(
            f"Warning: {intervals.where(file.places, one)}: '{name[one]}' covers bases of another class; where "
            f"intervals overlap, the later one counts ({sum(disputed.values()):,} bases)"
        )
    spelled = pa.array(classes).take(pa.array(codes))
    lists = pa.LargeListArray.from_arrays(pa.array(table.offsets - table.offsets[0]), spelled)
    return table._replace(labels=pc.binary_join(lists, " ").cast(pa.large_string()))


def _overlaps(read: pa.Table, chrom: np.ndarray, start: np.ndarray, end: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """Find the rows and the intervals on their strand that overlap, int64, shape (pairs, 2), in the file's order."""
    _, contig = np.unique(np.concatenate([chrom, read["chrom"].to_numpy()]).astype(str), return_inverse=True)
    contig = contig.astype(np.int64)
    rows, features = contig[: len(chrom)], contig[len(chrom) :]
    places = np.lexsort((read["start"].to_numpy(), features))
    first, last = (read[column].to_numpy()[places] for column in ("start", "end"))
    pairs = overlaps(Loci(features[places], first, last, ("",) * len(places)), rows, start, end)
    pairs[:, 1] = places[pairs[:, 1]]
    if "strand" in read.column_names:
        other = np.where(minus, "+", "-")[pairs[:, 0]]
        pairs = pairs[np.array(read["strand"].to_pylist())[pairs[:, 1]] != other]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
