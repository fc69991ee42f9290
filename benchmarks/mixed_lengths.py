"""Inference on a CPU, sequences of 10 to 510 k-mers in random order, beside transformers' default.

python -m benchmarks.mixed_lengths
"""

from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.inference import compare_random
from benchmarks.record import record


def main(
    preset: Annotated[str, typer.Option(help="Size of the model.")] = "base",
    sequences: Annotated[int, typer.Option(help="How many.")] = 96,
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 3,
) -> None:
    """Time sequences of mixed lengths, transformers' batches padded to their longest."""
    lengths = np.random.default_rng(0).integers(10, 511, sequences) + 2
    options = {"device": "cpu", "batch_size": 16, "repeats": repeats, "theirs": {"float32": torch.float32}}
    figures = compare_random(preset, lengths.tolist(), **options)
    record("mixed_lengths", {f"{preset}, {sequences} sequences of 10 to 510 k-mers": figures})


if __name__ == "__main__":
    typer.run(main)
