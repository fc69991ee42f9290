"""Pre-training on a CPU, on the paper's lengths, beside transformers' Trainer as it comes.

python -m benchmarks.training_cpu
"""

from typing import Annotated

import typer

from benchmarks.record import record
from benchmarks.training import compare


def main(
    presets: Annotated[str, typer.Option(help="Sizes, separated by commas.")] = "mini,base",
    steps: Annotated[int, typer.Option(help="Timed steps of each run.")] = 3,
    turns: Annotated[int, typer.Option(help="Runs of each way.")] = 1,
) -> None:
    """Time steps of 16 padded sequences and of as many tokens packed."""
    for preset in presets.split(","):
        ways = {way: {"way": way} for way in ("dnabert", "transformers")}
        figures = compare(ways, turns, preset=preset, device="cpu", tokens=6144, size=16, steps=steps)
        record(f"training_cpu_{preset}", figures)


if __name__ == "__main__":
    typer.run(main)
