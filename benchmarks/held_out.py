"""The loss per hidden base of a pre-trained model on a contig, over several draws of the masks.

python -m benchmarks.held_out MODEL GENOME.fa.gz chrIV

One draw hides a fortieth of the bases; the standard error shrinks with the draws. The model should not have seen the
contig in training.
"""

import math
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.record import record
from dnabert.inference import engine
from dnabert.sequence.genome import Genome
from dnabert.training import hidden, masking
from dnabert.training.corpus import HeldOut, evaluation_batches
from dnabert.training.regions import read_window, split_regions, tile


def main(
    model: Annotated[Path, typer.Argument(help="Pre-trained model directory.")],
    genome: Annotated[Path, typer.Argument(help="FASTA file.")],
    contig: Annotated[str, typer.Argument(help="Contig that was held out.")],
    mask: Annotated[str, typer.Option(help="Masking policy.")] = "dnabert",
    draws: Annotated[int, typer.Option(help="Draws of the masks.")] = 10,
    name: Annotated[str, typer.Option(help="Name of the result.")] = "held_out",
) -> None:
    """Measure each draw on all windows of the contig."""
    started = engine.start(model)
    loaded = started.checkpoint
    opened = Genome.open(genome)
    _, held = split_regions((opened,), (contig,), loaded.k)
    places = tile((opened,), held, loaded.k, loaded.longest)
    windows = tuple(read_window((opened,), places, i, loaded.k) for i in range(len(places.source)))
    results = [
        hidden.evaluate(
            loaded.model,
            evaluation_batches(HeldOut(windows, loaded.k, masking.policy(mask), seed, 8192)),
            loaded.k,
            started.device,
            started.precision,
        )
        for seed in range(draws)
    ]
    bases = sum(one["hidden_bases"] for one in results)

    def mean(figure: str) -> float:
        return sum(one[figure] * one["hidden_bases"] for one in results) / bases

    spread = sum((one["base_loss_se"] * one["hidden_bases"]) ** 2 for one in results)
    record(
        name,
        {
            "contig": contig,
            "mask": mask,
            "draws": draws,
            "hidden bases": bases,
            "nats per token": round(mean("token_loss"), 4),
            "nats per hidden base": round(mean("base_loss"), 5),
            "its standard error": round(math.sqrt(spread) / bases, 5),
            "right": round(mean("base_accuracy"), 4),
            "of each draw": [round(one["base_loss"], 5) for one in results],
        },
    )


if __name__ == "__main__":
    typer.run(main)
