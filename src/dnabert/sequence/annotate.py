"""A class for each base of genomic windows, from the intervals of a BED file."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from dnabert.errors import InputError
from dnabert.sequence import intervals
from dnabert.sequence.delimited import find
from dnabert.sequence.tables import Table

NO_FEATURE = "none"
"""Class of a base that no interval covers."""


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
        If the rows are not intervals, the file cannot be read or has no names, or no row holds an interval.
    """
    names = [find(table.columns.column_names, (name,)) for name in ("chrom", "start", "end")]
    if None in names:
        raise InputError(f"{table.path}: --annotation: rows with chrom, start and end are required, with --genome")
    read = intervals.read(Path(bed)).columns
    if "name" not in read.column_names:
        raise InputError(f"{bed}: a fourth column with the class of each interval is required; add it")
    chrom, start, end = (table.columns[name].to_pylist() for name in names if name)
    column = find(table.columns.column_names, ("strand",))
    minus = [False] * table.rows if column is None else [strand == "-" for strand in table.columns[column].to_pylist()]
    classes = [NO_FEATURE, *dict.fromkeys(read["name"].to_pylist())]
    features = _by_contig(read, classes)
    labels, found = [], False
    for row in range(table.rows):
        codes = np.zeros(end[row] - start[row], dtype=np.int64)
        of_contig = features.get(chrom[row])
        if of_contig is not None:
            found |= _paint(codes, of_contig, start[row], end[row], minus[row])
        labels.append(" ".join(classes[code] for code in (codes[::-1] if minus[row] else codes).tolist()))
    if not found:
        raise InputError(f"{bed}: none of its intervals lies in a row of {table.path}; are they of the same genome?")
    return table._replace(labels=pa.array(labels, pa.large_string()))


def _by_contig(read: pa.Table, classes: list[str]) -> dict[str, np.ndarray]:
    """Sort intervals by contig and start: start, end, class, strand (0 for both, 1, -1), place in the file."""
    strands = {"+": 1, "-": -1}
    given = read["strand"].to_pylist() if "strand" in read.column_names else ["."] * read.num_rows
    code = {name: i for i, name in enumerate(classes)}
    rows = np.stack(
        [
            read["start"].to_numpy(),
            read["end"].to_numpy(),
            np.array([code[name] for name in read["name"].to_pylist()]),
            np.array([strands.get(strand, 0) for strand in given]),
            np.arange(read.num_rows),
        ],
        axis=1,
    )
    chrom = np.array(read["chrom"].to_pylist(), dtype=object)
    return {name: rows[chrom == name][np.argsort(rows[chrom == name, 0], kind="stable")] for name in set(chrom)}


def _paint(codes: np.ndarray, features: np.ndarray, start: int, end: int, minus: bool) -> bool:
    """Write the classes of the intervals that overlap a window; say whether there is one."""
    longest = int((features[:, 1] - features[:, 0]).max())
    first, last = np.searchsorted(features[:, 0], [start - longest, end])
    near = features[first:last]
    near = near[(near[:, 1] > start) & (near[:, 3] != (1 if minus else -1))]
    for feature_start, feature_end, code, _, _ in near[np.argsort(near[:, 4])].tolist():
        codes[max(feature_start - start, 0) : feature_end - start] = code
    return len(near) > 0
