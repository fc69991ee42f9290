"""Masked batches produced by one process beside the rate at which the mini model trains on them.

python -m benchmarks.data_pipeline GENOME.fa.gz
"""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.record import median_seconds, record
from dnabert.model import presets
from dnabert.model.device import choose_precision, computing
from dnabert.sequence.genome import Genome
from dnabert.training import masking
from dnabert.training.corpus import Corpus, training_batch
from dnabert.training.pretrain import RECIPES
from dnabert.training.regions import region_bounds, split_regions


def main(genome_file: Annotated[Path, typer.Argument(help="FASTA file.")]) -> None:
    """Time the corpus alone and the training steps alone."""
    genome = Genome.open(genome_file)
    train, _ = split_regions((genome,), (), 6)
    tokens = RECIPES["mini"].batch_tokens
    bounds = region_bounds((genome,), train, None)
    corpus = Corpus((genome,), train, bounds, 6, masking.policy("dnabert"), 0, tokens, 510, 10**6)
    produced = 50 * tokens / median_seconds(lambda: [training_batch(corpus, i) for i in range(50)])

    model = presets.new_model(presets.configuration(presets.preset("mini"), 6), "masked-lm", 6, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    device = torch.device("cpu")
    batches = [training_batch(corpus, i) for i in range(8)]

    def steps() -> None:
        for item in batches:
            with computing(device, choose_precision("auto", device)):
                loss = model(*item.batch, rows=item.rows, labels=item.labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    start = time.perf_counter()
    eaten = 8 * tokens / median_seconds(steps, 3)
    record(
        "data_pipeline",
        {
            "produced by one process (tokens/s)": round(produced),
            "eaten by the mini model in training (tokens/s)": round(eaten),
            "ratio": round(produced / eaten, 1),
            "seconds": round(time.perf_counter() - start),
        },
    )


if __name__ == "__main__":
    typer.run(main)
