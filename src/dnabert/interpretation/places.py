"""Where the rows of a table lie: on a genome, or in themselves."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.sequence.delimited import find
from dnabert.sequence.tables import INTERVAL_NAMES, Table


def has_places(table: Table) -> bool:
    """Say whether the rows of a table are intervals on a genome."""
    return all(find(table.columns.column_names, (name,)) for name in INTERVAL_NAMES)


def interval(table: Table, row: int) -> tuple[str, int, int, str]:
    """Read a row's contig, start, end (0-based half-open) and strand (`.` where there is none)."""

    def value(name: str) -> Any:
        column = find(table.columns.column_names, (name,))
        return "." if column is None else table.columns[column][row].as_py()

    return str(value("chrom")), int(value("start")), int(value("end")), str(value("strand"))


def check_places(table: Table) -> None:
    """Raise InputError unless intervals beside sequences are as long as these: else every place would be another."""
    if not has_places(table):
        return
    start, end = (table.columns[str(find(table.columns.column_names, (name,)))] for name in ("start", "end"))
    try:
        lengths = pc.subtract(end.cast(pa.int64()), start.cast(pa.int64())).fill_null(-1).to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"{table.path}: 'start' and 'end' are no whole numbers ({error})") from error
    other = lengths != np.diff(table.offsets)
    if other.any():
        row = int(other.argmax())
        bases = int(np.diff(table.offsets)[row])
        raise InputError(
            f"{table.where(row)}: the sequence has {bases} bases, its interval {start[row]}-{end[row]} is of another "
            "length (0-based half-open coordinates are required); correct it, or leave the columns out"
        )


def place_of(table: Table, row: int, start: int, end: int, minus: bool) -> tuple[str, int, int, bool]:
    """Say where a part of a row's sequence lies: contig, start, end, and whether on the minus strand.

    Rows that are no intervals are their own contigs, under their names.
    """
    if not has_places(table):
        return label(table, row).replace(" ", "_"), start, end, minus
    contig, first, last, strand = interval(table, row)
    if strand == "-":
        return contig, last - end, last - start, not minus
    return contig, first + start, first + end, minus


def label(table: Table, row: int) -> str:
    """Name a row for a person: its interval, its name, or its number."""
    if has_places(table):
        contig, start, end, strand = interval(table, row)
        return f"{contig}:{start:,}-{end:,}" + (f" ({strand})" if strand in ("+", "-") else "")
    return str(table.columns["name"][row].as_py()) if "name" in table.columns.column_names else f"sequence {row + 1}"


def first_position(table: Table, row: int) -> int:
    """Number a row's first base: on the contig where it is read forwards, else from 0."""
    if not has_places(table) or interval(table, row)[3] == "-":
        return 0
    return interval(table, row)[1]
