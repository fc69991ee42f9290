"""Masked batches produced by one process beside the rate at which the mini model trains on them.

python -m benchmarks.data_pipeline GENOME.fa.gz
"""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.inputs import corpus
from benchmarks.record import median_seconds, record
from benchmarks.training import measure
from dnabert.training.corpus import training_batch
from dnabert.training.pretrain import RECIPES


def main(genome: Annotated[Path, typer.Argument(help="FASTA file.")]) -> None:
    """Time the corpus alone, and training steps."""
    tokens = RECIPES["mini"].batch_tokens
    items = corpus(genome, tokens, 50)
    produced = 50 * tokens / median_seconds(lambda: [training_batch(items, i) for i in range(50)])
    eaten = measure("dnabert", "mini", "cpu", tokens, size=0, steps=15)["tokens/s"]
    record(
        "data_pipeline",
        {
            "produced by one process (tokens/s)": round(produced),
            "eaten by the mini model in training (tokens/s)": round(eaten),
            "ratio": round(produced / eaten, 1),
        },
    )


if __name__ == "__main__":
    typer.run(main)
