"""Vectors of sequences."""

import functools

import numpy as np
import torch

from dnabert.errors import InputError
from dnabert.inference.engine import Engine, Given, as_table, run
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.encoder import encode
from dnabert.model.heads import mean_of_kmers
from dnabert.model.packing import PackedBatch

POOLINGS = ("mean", "cls", "max")


def embed(engine: Engine, sequences: Given, pooling: str = "mean", batch_tokens: int | None = None) -> np.ndarray:
    """Turn each sequence into the vector of the last layer.

    Parameters
    ----------
    engine : Engine
        With any model.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    pooling : str
        `mean` or `max` over the k-mers of the sequence, or `cls` for the vector of `[CLS]`.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    np.ndarray, float32, shape (sequences, hidden size)

    Raises
    ------
    InputError
        If there is no such pooling, or a sequence is too short, too long or no DNA.
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling '{pooling}': give one of {', '.join(POOLINGS)}")
    return run(engine, as_table(sequences), functools.partial(pooled, pooling=pooling), batch_tokens, "Embedding")


def pooled(checkpoint: Checkpoint, batch: PackedBatch, pooling: str) -> torch.Tensor:
    """Pool the last layer of a batch, shape (sequences, hidden size), for `engine.run`."""
    bert = checkpoint.model.bert
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
