"""Vectors of sequences."""

import functools

import numpy as np
import torch

from dnabert.errors import InputError
from dnabert.inference.engine import Engine, Given, as_table, run
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.encoder import encode
from dnabert.model.heads import mean_of_kmers, means_of_layers
from dnabert.model.packing import PackedBatch

POOLINGS = ("mean", "layers", "cls", "max")


def embed(engine: Engine, sequences: Given, pooling: str = "mean", batch_tokens: int | None = None) -> np.ndarray:
    """Turn each sequence into a vector.

    Parameters
    ----------
    engine : Engine
        With any model.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    pooling : str
        `mean` or `max` over the k-mers of the sequence in the last layer, `cls` for its vector of `[CLS]`, or `layers`,
        the means of the embeddings and of each layer, side by side.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    np.ndarray, float32, shape (sequences, hidden size), or (sequences, (layers + 1) x hidden size) for `layers`

    Raises
    ------
    InputError
        If there is no such pooling, or a sequence is too short, too long or no DNA.
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling '{pooling}': give one of {', '.join(POOLINGS)}")
    return run(engine, as_table(sequences), functools.partial(pooled, pooling=pooling), batch_tokens, "Embedding")


def pooled(checkpoint: Checkpoint, batch: PackedBatch, pooling: str) -> torch.Tensor:
    """Pool a batch, shape (sequences, size), for `engine.run`."""
    bert = checkpoint.model.bert
    if pooling == "layers":
        return means_of_layers(bert, batch)
    if pooling == "cls":
        return encode(bert, batch, batch.cu_seqlens[:-1].long())
    hidden = encode(bert, batch)  # (tokens, hidden size)
    if pooling == "mean":
        return mean_of_kmers(hidden, batch)
    kmers = batch.kmers
    sequence = batch.of_sequence[kmers]
    target = torch.zeros(batch.sequences, hidden.shape[1], device=hidden.device)
    index = sequence[:, None].expand(-1, hidden.shape[1])
    return target.scatter_reduce(0, index, hidden[kmers].float(), "amax", include_self=False)
