"""Reading, tokenising and packing a table of 1,000,000 sequences of 101 bp: seconds and peak memory.

python -m benchmarks.tables
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.record import peak_memory, record

ROWS, LENGTH = 1_000_000, 101


def write_table(path: Path) -> None:
    """Write random sequences with labels."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ATCG", dtype=np.uint8)
    with path.open("wb") as out:
        out.write(b"sequence,label\n")
        for _ in range(100):
            block = np.empty((ROWS // 100, LENGTH + 3), dtype=np.uint8)
            block[:, :LENGTH] = letters[rng.integers(0, 4, (len(block), LENGTH))]
            block[:, LENGTH] = ord(",")
            block[:, LENGTH + 1] = ord("0") + rng.integers(0, 2, len(block))
            block[:, LENGTH + 2] = ord("\n")
            out.write(block.tobytes())


def flat(path: Path) -> dict[str, float]:
    """Read and turn into flat runs of tokens with boundaries, as the sequence floor does: torch is never imported."""
    from dnabert.sequence import kmers, tables

    return work(
        path, tables, lambda table, rows: kmers.encode_rows(table.letters, table.starts[rows], table.ends[rows], 6)[0]
    )


def tensors(path: Path) -> dict[str, float]:
    """Do the same up to the batches of tensors that a model takes."""
    from dnabert.model.packing import pack_rows
    from dnabert.sequence import tables

    return work(path, tables, lambda table, rows: pack_rows(table, rows, 6).input_ids)


def work(path: Path, tables: Any, pack: Callable[[Any, np.ndarray], Any]) -> dict[str, float]:
    """Read, tokenise and pack in this process, so that its peak memory is that of the work."""
    pack(tables.from_sequences(["ACGTACGT"]), np.array([0]))  # compiled code is loaded
    from dnabert.sequence import windows

    before = peak_memory()
    start = time.perf_counter()
    table = tables.read(path)
    read = time.perf_counter()
    lengths = windows.check_lengths(table, 6, 1, 510)
    tokens = sum(len(pack(table, rows)) for rows in windows.batches_of_rows(lengths, 8192))
    packed = time.perf_counter()
    assert tokens == ROWS * (LENGTH - 6 + 1 + 2)
    return {
        "read and check (s)": round(read - start, 2),
        "tokenise and pack (s)": round(packed - read, 2),
        "tokens a second, packed": round(tokens / (packed - read)),
        "peak memory with no data: interpreter and libraries (MB)": round(before),
        "peak memory (MB)": round(peak_memory()),
    }


def main(
    way: Annotated[str | None, typer.Argument(help="Measure this way alone, in this process.", hidden=True)] = None,
    table: Annotated[Path | None, typer.Argument(help="On this table.", hidden=True)] = None,
) -> None:
    """Write the table, then measure each way in a fresh process."""
    if way and table:
        print(json.dumps({"flat": flat, "tensors": tensors}[way](table)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path)
        size = path.stat().st_size / 1e6
        figures: dict[str, Any] = {
            "file (MB)": round(size, 1),
            "allowed: 1.5 x file + 300 MB (MB)": round(1.5 * size + 300),
        }
        for way in ("flat", "tensors"):
            command = [sys.executable, "-m", "benchmarks.tables", way, str(path)]
            figures[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        record("tables", figures)


if __name__ == "__main__":
    typer.run(main)
