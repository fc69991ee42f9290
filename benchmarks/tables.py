"""Reading, tokenising and packing a table of 1,000,000 sequences of 101 bp: seconds and peak memory.

python -m benchmarks.tables
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import record

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


def measure(path: Path) -> None:
    """Do the work in this process, so that its peak memory is that of the work."""
    from dnabert.model.packing import batches_of_rows, pack_rows
    from dnabert.sequence import tables

    start = time.perf_counter()
    table = tables.read(path)
    read = time.perf_counter()
    lengths = tables.check_lengths(table, 6, 1, 510)
    tokens = sum(len(pack_rows(table, rows, 6).input_ids) for rows in batches_of_rows(lengths, 8192))
    packed = time.perf_counter()
    assert tokens == ROWS * (LENGTH - 6 + 1 + 2)
    size = path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    record(
        "tables",
        {
            "file (MB)": round(size, 1),
            "read and check (s)": round(read - start, 2),
            "tokenise and pack (s)": round(packed - read, 2),
            "tokens a second, packed": round(tokens / (packed - read)),
            "peak memory of the process (MB)": round(peak),
            "allowed: 1.5 x file + 300 MB (MB)": round(1.5 * size + 300),
        },
    )


def main() -> None:
    """Write the table, then measure in a fresh process."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    import subprocess

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path)
        subprocess.run([sys.executable, "-m", "benchmarks.tables", str(path)], check=True)


if __name__ == "__main__":
    main()
