"""What simple context models know about a base: the references for the loss per hidden base.

Counts of (context, base) on the training contigs, both strands, one added to each count; the mean negative log
probability of each base of the held-out contig, both strands, in nats.

    python -m benchmarks.markov GENOME.fa.gz chrIV
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.record import record
from dnabert.sequence.genome import Genome

CONTEXTS = {
    "order 0": (0, 0),
    "five bases to the left": (5, 0),
    "two bases around": (1, 1),
    "four bases around": (2, 2),
    "six bases around": (3, 3),
    "eight bases around": (4, 4),
}


def contexts_and_bases(codes: np.ndarray, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """List the number of the context and the base in its middle, for each place where all bases are known."""
    count = len(codes) - left - right
    offsets = [*range(left), *range(left + 1, left + right + 1)]
    context = np.zeros(count, dtype=np.int64)
    known = codes[left : left + count] < 4
    for offset in offsets:
        part = codes[offset : offset + count]
        context = context * 4 + (part & 3)
        known &= part < 4
    return context[known], codes[left : left + count][known].astype(np.int64)


def main(
    fasta: Annotated[Path, typer.Argument(help="FASTA file.")],
    held_out: Annotated[str, typer.Argument(help="Contig to measure on.")],
) -> None:
    """Fit on all contigs but one, measure on that one."""
    genome = Genome.open(fasta)
    strands = {
        name: [np.asarray(genome.window(name, 0, int(length), strand)) for strand in "+-"]
        for name, length in zip(genome.names, genome.lengths, strict=True)
    }
    figures = {}
    for title, (left, right) in CONTEXTS.items():
        counts = np.ones((4 ** (left + right), 4))
        for name, pair in strands.items():
            if name != held_out:
                for codes in pair:
                    context, base = contexts_and_bases(codes, left, right)
                    counts += np.bincount(context * 4 + base, minlength=counts.size).reshape(counts.shape)
        surprise = -np.log(counts / counts.sum(axis=1, keepdims=True))
        losses = np.concatenate([surprise[contexts_and_bases(codes, left, right)] for codes in strands[held_out]])
        figures[title] = round(float(losses.mean()), 4)
    record("markov", {f"nats per base of {held_out}": figures})


if __name__ == "__main__":
    typer.run(main)
