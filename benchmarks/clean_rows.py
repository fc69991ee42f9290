"""Training rows of a suite that nobody will be tested on: what may be pre-trained on.

    python -m benchmarks.clean_rows gue --out sources --only tf --only mouse --only prom_core --most 6000

Writes the sequences of each data set to a file of its own, without labels, and without the rows that share 31 bases, on
either strand, with a dev or test row of any data set of the suite: the same stretch may stand in longer rows elsewhere.
Rows in which no 31 bases in a row are known are left out, because nothing could be said of them.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from dnabert.sequence import tables
from dnabert.sequence.alphabet import CODE_OF_BYTE
from dnabert.sequence.tables import Table

WORD = 31
"""Bases: two bits each fill 62 of an integer's 64."""


def words(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """List a table's stretches of 31 known bases, the same number for both strands, and the row that each is of."""
    codes = CODE_OF_BYTE[table.letters].astype(np.uint64)
    count = max(len(codes) - WORD + 1, 0)
    forward, reverse = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    known = np.ones(count, bool)
    for i in range(WORD):
        forward = forward * np.uint64(4) + codes[i : i + count]
        reverse = reverse * np.uint64(4) + (codes[WORD - 1 - i : WORD - 1 - i + count] ^ np.uint64(1))
        known &= codes[i : i + count] < 4
    row = np.repeat(np.arange(table.rows), np.diff(table.offsets))
    inside = known & (row[:count] == row[len(row) - count :])
    return np.minimum(forward, reverse)[inside], row[:count][inside]


def main(
    suite: Annotated[Path, typer.Argument(help="Folder of data sets.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    only: Annotated[list[str] | None, typer.Option(help="Part of a data set's name; repeat for more.")] = None,
    most: Annotated[int | None, typer.Option(help="At most so many rows of each data set, drawn at random.")] = None,
) -> None:
    """Write a file of sequences for each data set that has rows to train on."""
    held = [path for name in ("dev", "test") for path in sorted(suite.rglob(f"{name}.csv"))]
    if not held:
        raise SystemExit(f"{suite}: dev.csv or test.csv files are required, to know what to leave out")
    known = np.unique(np.concatenate([words(tables.read(path))[0] for path in held]))
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(suite.rglob("train.csv")):
        name = str(path.parent.relative_to(suite))
        if only and not any(part in name for part in only):
            continue
        table = tables.read(path)
        found, rows = words(table)
        seen = np.bincount(rows[np.isin(found, known)], minlength=table.rows) > 0
        seen |= np.bincount(rows, minlength=table.rows) == 0
        kept = np.random.default_rng(0).permutation(np.flatnonzero(~seen))[:most]
        sequences = tables.select(table, np.sort(kept)).sequences
        tables.write(pa.table({"sequence": sequences}), out / f"{name.replace('/', '_')}.csv")
        print(f"{name}\t{table.rows} rows, {seen.sum()} left out, {len(kept)} written")


if __name__ == "__main__":
    typer.run(main)
