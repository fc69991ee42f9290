"""How long short commands take: `dnabert --help`, and `dnabert predict` on ten sequences with its profile.

python -m benchmarks.startup
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import typer

from benchmarks.inputs import random_model, write_sequences
from benchmarks.record import median_seconds, record

PACKAGES = ("torch", "transformers", "numba", "pyarrow", "numpy", "dnabert")


def seconds_of_imports(command: list[str]) -> dict[str, float]:
    """Sum the time that a command spends in importing each package's own modules, by `python -X importtime`."""
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    times: dict[str, float] = dict.fromkeys((*PACKAGES, "other"), 0.0)
    for line in done.stderr.splitlines():
        found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        if found:
            package = found[2].split(".")[0]
            times[package if package in PACKAGES else "other"] += int(found[1]) / 1e6
    return {name: round(seconds, 2) for name, seconds in times.items()}


def main() -> None:
    """Time the installed command and an empty Python."""
    command = shutil.which("dnabert", path=str(Path(sys.executable).parent)) or "dnabert"

    def seconds(arguments: list[str], repeats: int) -> float:
        return round(median_seconds(lambda: subprocess.run(arguments, capture_output=True, check=True), repeats), 3)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = random_model("mini", "classification", folder / "model")
        write_sequences(folder / "ten.csv", 10, 100)
        predict = ["predict", str(model), str(folder / "ten.csv"), "--out", str(folder / "out.tsv")]
        record(
            "startup",
            {
                "dnabert --help (s)": seconds([command, "--help"], 15),
                "python -c pass (s)": seconds([sys.executable, "-c", "pass"], 15),
                "dnabert predict, mini, 10 sequences (s)": seconds([command, *predict], 7),
                "of these, imports, by package (s, with the profiler's own time)": seconds_of_imports(
                    ["-m", "dnabert", *predict]
                ),
            },
        )


if __name__ == "__main__":
    typer.run(main)
