"""Inference on a CPU, sequences of one length, beside transformers' default.

    python -m benchmarks.inference_cpu

The logits' agreement is measured on the model and table given with --model and --data, a fine-tuned one.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.inference import compare, compare_random
from benchmarks.record import record
from dnabert.sequence import tables

THEIRS = {"float32": torch.float32}


def main(
    preset: Annotated[str, typer.Option(help="Size of the model.")] = "base",
    tokens: Annotated[int, typer.Option(help="Tokens of each set of sequences.")] = 9_600,
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 5,
    model: Annotated[Path | None, typer.Option(help="A fine-tuned model, to compare its logits.")] = None,
    data: Annotated[Path | None, typer.Option(help="Table to compare them on.")] = None,
) -> None:
    """Time sequences of 75, 300 and 512 tokens."""
    options: dict[str, Any] = {"device": "cpu", "batch_size": 32, "repeats": repeats, "theirs": THEIRS}
    figures: dict[str, Any] = {
        f"{preset}, {length} tokens": compare_random(preset, [length] * (tokens // length), **options)
        for length in (75, 300, 512)
    }
    if model and data:
        figures[f"fine-tuned model on {data.name}"] = compare(model, tables.read(data), **options)
    record("inference_cpu", figures)


if __name__ == "__main__":
    typer.run(main)
