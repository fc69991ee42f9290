"""Pre-training on a CPU, on the paper's lengths, beside transformers' Trainer as it comes.

python -m benchmarks.training_cpu
"""

from typing import Annotated, Any

import typer

from benchmarks.training import compare


def main(
    presets: Annotated[str, typer.Option(help="Sizes, separated by commas.")] = "mini,base",
    steps: Annotated[int, typer.Option(help="Timed steps of each run.")] = 3,
    turns: Annotated[int, typer.Option(help="Runs of each way.")] = 1,
) -> None:
    """Time steps of 16 padded sequences and of as many tokens packed."""
    for preset in presets.split(","):
        ways = {way: {"way": way} for way in ("dnabert", "transformers")}
        options: dict[str, Any] = {"preset": preset, "device": "cpu", "tokens": 6144, "size": 16, "steps": steps}
        compare(f"training_cpu_{preset}", ways, turns, **options)


if __name__ == "__main__":
    typer.run(main)
