"""Shuffles, near duplicates, leakage and negatives: seconds on one core, and memory.

python -m benchmarks.data_hygiene
python -m benchmarks.data_hygiene --rows 1000     a small run of all parts; nothing is saved
"""

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.inputs import LETTERS, write_genome
from benchmarks.record import median_seconds, peak_memory, record
from dnabert.sequence.letters import string_array
from dnabert.sequence.negatives import make_negatives
from dnabert.sequence.shuffle import shuffle_dinucleotides
from dnabert.sequence.similarity import clusters
from dnabert.sequence.tables import Table, from_sequences
from dnabert.training import leakage


def families(rows: int, length: int, members: int = 2) -> Table:
    """Draw families of sequences whose members differ from a common base at 1 % of the places."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 4, (rows // members, length), dtype=np.uint8)
    codes = np.repeat(base, members, axis=0)
    for part in np.array_split(codes, 20):
        places = rng.random(part.shape, dtype=np.float32) < 0.01
        part[places] = rng.integers(0, 4, int(places.sum()), dtype=np.uint8)
    offsets = np.arange(len(codes) + 1, dtype=np.int64) * length
    return from_sequences(string_array(LETTERS[codes].ravel(), offsets))


def check(table: Table) -> leakage.Leakage:
    """Look for exact and reverse-complement duplicates between two halves of a table."""
    half = table.rows // 2
    parts = {
        name: table._replace(sequences=table.sequences[first : first + half])
        for name, first in (("train", 0), ("test", half))
    }
    return leakage.check(parts)


def write_peaks(folder: Path, peaks: int) -> tuple[Path, Path]:
    """Write a random genome of 20 Mb and peaks on it."""
    genome = write_genome(folder / "genome.fa", 20_000_000)
    starts = np.sort(np.random.default_rng(1).choice(19_000, peaks, replace=False)) * 1000 + 200
    (folder / "peaks.bed").write_text("".join(f"contig\t{start}\t{start + 1}\n" for start in starts.tolist()))
    return folder / "peaks.bed", genome


def main() -> None:
    """Measure each part at its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    figures: dict[str, float] = {}

    def measure(name: str, function: Callable[[], object]) -> None:
        figures[f"{name} (s)"] = round(median_seconds(function, 3), 2)

    short = families(rows, 100)
    measure(f"shuffle, {rows:,} x 100 bp", lambda: shuffle_dinucleotides(short.letters, short.offsets, 0))
    measure(f"exact and reverse complement, {rows:,} x 100 bp", lambda: check(short))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DNABERT_CACHE"] = folder
        peaks, genome = write_peaks(Path(folder), rows // 100)
        draw = functools.partial(make_negatives, peaks, method="genome", genome=genome, length=101)
        measure(f"negatives, {rows // 100:,} of 101 bp", draw)
    for length in (70, 1000):
        table = families(rows // 10, length)
        measure(f"clusters, {rows // 10:,} x {length:,} bp", functools.partial(clusters, table.letters, table.offsets))
    figures["peak memory, data included (MB)"] = round(peak_memory())
    if rows == 1_000_000:
        record("data_hygiene", figures)
    else:
        print(figures)


if __name__ == "__main__":
    main()
