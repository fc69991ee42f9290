"""Sequences as the model takes them: whole, in pairs, or cut into windows; which fit, and which go together."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from dnabert.errors import InputError
from dnabert.sequence.letters import letters_of, positions, within
from dnabert.sequence.tables import Table


class Windows(NamedTuple):
    """Windows of the rows of a table, those of one row one after the other. Nothing is copied.

    Attributes
    ----------
    table : Table
    starts, ends : np.ndarray, int64, shape (windows,)
        Where each stands in the table's `letters`, half-open.
    row : np.ndarray, int64, shape (windows,)
        The row each is of.
    """

    table: Table
    starts: np.ndarray
    ends: np.ndarray
    row: np.ndarray

    @property
    def rows(self) -> int:
        """The number of windows."""
        return len(self.starts)

    @property
    def letters(self) -> np.ndarray:
        """uint8: the table's letters."""
        return self.table.letters

    @property
    def second(self) -> pa.LargeStringArray | None:
        """None: windows are not pairs."""
        return None

    @property
    def counts(self) -> np.ndarray:
        """int64, shape (table rows,): windows of each row."""
        return np.bincount(self.row, minlength=self.table.rows)

    def where(self, window: int) -> str:
        """Say where a window's row stands, for a message."""
        return self.table.where(int(self.row[window]))


Sequences: TypeAlias = Table | Windows


def cut(table: Table, bases: int, step: int) -> Windows:
    """Cut each row into windows, the last one flush with its end; a row that fits is one window.

    Parameters
    ----------
    table : Table
    bases : int
        Length of a window.
    step : int
        Bases between the starts of neighbouring windows.

    Returns
    -------
    Windows
    """
    lengths = table.ends - table.starts
    counts = np.maximum(-(-(lengths - bases) // step), 0) + 1
    row = np.repeat(np.arange(table.rows), counts)
    starts = table.starts[row] + np.minimum(within(counts) * step, np.maximum(lengths - bases, 0)[row])
    return Windows(table, starts, np.minimum(starts + bases, table.ends[row]), row)


def counts_of(windows: Windows, rows: np.ndarray) -> np.ndarray:
    """Count the windows of some rows, without a look at those of all others; int64, shape (rows,)."""
    return np.searchsorted(windows.row, rows, side="right") - np.searchsorted(windows.row, rows)


def of_rows(windows: Windows, rows: np.ndarray) -> Windows:
    """Take the windows of some rows, int64, in the order given, of windows in the order of their rows."""
    chosen = positions(np.searchsorted(windows.row, rows), counts_of(windows, rows))
    return Windows(windows.table, windows.starts[chosen], windows.ends[chosen], windows.row[chosen])


def own_bases(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Share each row's bases out among its windows: an overlap is divided in its middle.

    Returns
    -------
    tuple of two np.ndarray, int64, shape (windows,)
        First base and end of what belongs to each window, counted from the window's start.
    """
    same = windows.row[1:] == windows.row[:-1]
    middle = (windows.starts[1:] + windows.ends[:-1] + 1) // 2
    first, end = windows.starts.copy(), windows.ends.copy()
    first[1:][same] = middle[same]
    end[:-1][same] = middle[same]
    return first - windows.starts, end - windows.starts


def check_lengths(table: Sequences, k: int, stride: int, longest: int, long: bool = True) -> np.ndarray:
    """Check that each sequence has at least one k-mer and fits the model, and return the tokens of each.

    Parameters
    ----------
    table : Table or Windows
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.
    longest : int
        k-mers that the model takes at most.
    long : bool
        Name `--long` as a remedy: what the rows are for can read them in windows.

    Returns
    -------
    np.ndarray, int64, shape (rows,)
        Tokens of each sequence, `[CLS]` and `[SEP]` included.

    Raises
    ------
    InputError
        That names the first row that is too short or too long.
    """
    bases = table.ends - table.starts
    kmers = _kmers(bases, k, stride)
    fewest, came, has = bases, bases, "the sequence has {} bases"
    room = f"{(longest - 1) * stride + k} ({longest} {k}-mers); cut the sequence" + ", or fine-tune with --long" * long
    if table.second is not None:
        others = np.diff(letters_of(table.second)[1])
        fewest = np.minimum(bases, others)
        kmers = kmers + _kmers(others, k, stride) + 1  # and the [SEP] between them
        came, has = kmers - 1, "its two sequences make {} k-mers"
        room = f"{longest - 1} {k}-mers of both; cut them"
    needed = f"at least {k} are needed for one {k}-mer; leave the row out"
    for bad, number, words in (
        (fewest < k, fewest, f"the sequence has {{}} bases, {needed}"),
        (kmers > longest, came, f"{has}, this model takes at most {room}"),
    ):
        if bad.any():
            row = int(bad.argmax())
            more = f" ({int(bad.sum())} rows like this)" if bad.sum() > 1 else ""
            raise InputError(f"{table.where(row)}: {words.format(number[row])}{more}")
    kmers += 2
    return kmers


def _kmers(bases: np.ndarray, k: int, stride: int) -> np.ndarray:
    kmers = bases - k
    kmers //= stride  # in place: a million rows are 8 MB a copy
    kmers += 1
    return np.maximum(kmers, 0, out=kmers)


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
