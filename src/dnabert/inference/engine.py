"""One way to run a model over sequences: packed, sorted by length, on the device and in the precision chosen here."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import torch

from dnabert.errors import InputError
from dnabert.inference.prepared import prepare
from dnabert.model import checkpoint
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import DeviceMemoryError, choose_device, choose_precision, computing, within_memory
from dnabert.model.encoder import Encoder, layers_from
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.progress import say, track_items
from dnabert.sequence import tables
from dnabert.sequence.tables import Table

BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
"""Tokens of a batch where the caller does not say: more bring no speed, only memory."""

Sequences: TypeAlias = Table | pa.Array | Sequence[str]


class Engine(NamedTuple):
    """A model on a device.

    Attributes
    ----------
    checkpoint : Checkpoint
    device : torch.device
    precision : torch.dtype
        What products are computed in; weights stay float32.
    prepared : Encoder, optional
        The layers laid out for a CPU: a second copy of their weights, in `precision`.
    """

    checkpoint: Checkpoint
    device: torch.device
    precision: torch.dtype
    prepared: Encoder | None = None


def start(path: str | os.PathLike[str] | Checkpoint, device: str = "auto", precision: str = "auto") -> Engine:
    """Load a model for inference.

    Parameters
    ----------
    path : path or Checkpoint
        A model directory, or what `checkpoint.load` returned.
    device : str
        `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ...
    precision : str
        `auto` (bfloat16 where the processor computes in it, else float32), `float32` or `bfloat16`.

    Returns
    -------
    Engine
    """
    loaded = path if isinstance(path, Checkpoint) else checkpoint.load(path)
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    loaded.model.to(where).eval()
    return Engine(loaded, where, dtype, prepare(loaded.model.bert, dtype) if where.type == "cpu" else None)


def as_table(sequences: Sequences) -> Table:
    """Turn strings into a table; a table stays what it is."""
    if isinstance(sequences, Table):
        return sequences
    if isinstance(sequences, str):  # a sequence of one-letter sequences to Python, a mistake to us
        raise InputError("a list of sequences is required, not one string; write [sequence]")
    return tables.from_sequences(sequences)


def run(
    engine: Engine,
    table: Table,
    compute: Callable[[Checkpoint, PackedBatch], torch.Tensor],
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
) -> np.ndarray:
    """Compute something of one shape for each sequence of a table.

    Parameters
    ----------
    engine, table, compute, batch_tokens, description
        As in `stream`.

    Returns
    -------
    np.ndarray, float32, shape (rows, ...)
        In the order of the table, whatever the batches were.
    """
    results = np.empty((0,), dtype=np.float32)

    def keep(rows: np.ndarray, values: np.ndarray) -> None:
        nonlocal results
        if not len(results):
            results = np.empty((table.rows, *values.shape[1:]), dtype=np.float32)
        results[rows] = values

    stream(engine, table, compute, keep, batch_tokens, description)
    return results


def stream(
    engine: Engine,
    table: Table,
    compute: Callable[[Checkpoint, PackedBatch], torch.Tensor],
    keep: Callable[[np.ndarray, np.ndarray], None],
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
) -> None:
    """Compute something for each sequence of a table and hand it over batch by batch.

    Parameters
    ----------
    engine : Engine
    table : Table
    compute : callable
        Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...).
    keep : callable
        Takes row numbers, int64, shape (sequences,), and what was computed for them, float32, shape (sequences, ...).
        The longest sequences come first. Where memory runs short, rows come a second time.
    batch_tokens : int, optional
        Budget of a batch. Where the device has no memory for it, half of it is tried.
    description : str, optional
        Title of the progress bar; None shows none.

    Raises
    ------
    InputError
        If a sequence is too short or too long, or the device has no memory for half of the budget either.
    """
    loaded = engine.checkpoint
    loaded.model.eval()
    lengths = tables.check_lengths(table, loaded.k, loaded.stride, loaded.longest)
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    try:
        with within_memory(f"{engine.device} has no memory for batches of {budget:,} tokens (--batch-tokens)"):
            return _stream(engine, table, lengths, compute, keep, budget, description)
    except DeviceMemoryError as error:
        say(f"Warning: {error}; trying half")
    with within_memory(
        f"{engine.device} has no memory for batches of {budget // 2:,} tokens either; compute fewer at a time "
        "(--batch-tokens) or on another --device"
    ):
        return _stream(engine, table, lengths, compute, keep, budget // 2, description)


def _stream(
    engine: Engine,
    table: Table,
    lengths: np.ndarray,
    compute: Callable[[Checkpoint, PackedBatch], torch.Tensor],
    keep: Callable[[np.ndarray, np.ndarray], None],
    budget: int,
    description: str | None,
) -> None:
    loaded = engine.checkpoint
    with (
        torch.inference_mode(),
        computing(engine.device, engine.precision),
        layers_from(engine.prepared),
        track_items(description or "", table.rows, "sequences", shown=description is not None) as advance,
    ):
        for rows in tables.batches_of_rows(lengths, budget):
            batch = pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device)
            keep(rows, compute(loaded, batch).float().cpu().numpy())
            advance(len(rows))
