"""Random inputs of the benchmarks: genomes, tables, models; and batches as transformers takes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dnabert.model import checkpoint, presets
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.packing import PackedBatch
from dnabert.sequence import tables
from dnabert.sequence.alphabet import decode_bases
from dnabert.sequence.genome import Genome
from dnabert.sequence.kmers import PAD
from dnabert.sequence.tables import Table
from dnabert.training import masking
from dnabert.training.corpus import Corpus
from dnabert.training.regions import region_bounds, split_regions

K = 6
LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def write_genome(path: Path, bases: int) -> Path:
    """Write a random genome of one contig, 100 bases a line."""
    letters = LETTERS[np.random.default_rng(0).integers(0, 4, bases // 100 * 100)].reshape(-1, 100)
    with path.open("wb") as out:
        out.write(b">contig\n")
        out.writelines(row.tobytes() + b"\n" for row in letters)
    return path


def write_sequences(path: Path, rows: int, length: int) -> None:
    """Write a table of random sequences."""
    letters = LETTERS[np.random.default_rng(0).integers(0, 4, (rows, length))]
    with path.open("wb") as out:
        out.write(b"sequence\n")
        out.writelines(row.tobytes() + b"\n" for row in letters)


def corpus(fasta: Path, tokens: int, batches: int) -> Corpus:
    """Make a corpus on a whole genome, with the paper's lengths and masks."""
    genomes = (Genome.open(fasta),)
    train, _ = split_regions(genomes, (), K)
    bounds = region_bounds(train, None, len(genomes), K, 510)
    return Corpus(genomes, train, bounds, K, masking.policy("dnabert"), 0, tokens, 510, batches)


def random_table(tokens: Sequence[int], seed: int = 0) -> Table:
    """Draw sequences whose packed lengths, `[CLS]` and `[SEP]` included, are `tokens`."""
    rng = np.random.default_rng(seed)
    return tables.from_sequences([decode_bases(rng.integers(0, 4, n + K - 3).astype(np.uint8)) for n in tokens])


def random_model(preset: str, task: str, folder: Path, **entries: str) -> Path:
    """Write a model of two classes, or a masked language model, with random weights: speed does not depend on them.

    `entries` are more of its configuration.
    """
    labels = ("0", "1") if task == "classification" else ()
    model = presets.new_model(presets.configuration(presets.preset(preset), K, **entries), task, K, 0)
    checkpoint.save(Checkpoint(model, task, K, 1, labels), folder, {})
    return folder


def unpacked(tokens: torch.Tensor, batch: PackedBatch) -> list[torch.Tensor]:
    """Cut what a packed batch holds for each token into its sequences."""
    return list(torch.tensor_split(tokens, batch.cu_seqlens[1:-1].long()))


def padded(sequences: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pad token ids to the longest sequence, with their mask."""
    ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=PAD)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}
