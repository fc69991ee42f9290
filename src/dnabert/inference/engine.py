"""One way to run a model over sequences: packed, sorted by length, on the device and in the precision chosen here."""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
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

Advance: TypeAlias = Callable[[float], None]

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
    description: str = "Predicting",
    advance: Advance | None = None,
) -> np.ndarray:
    """Compute something for each sequence of a table.

    Parameters
    ----------
    engine : Engine
    table : Table
    compute : callable
        Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...).
    batch_tokens : int, optional
        Budget of a batch. Where the device has no memory for it, half of it is tried.
    description : str
        Title of the progress bar.
    advance : callable, optional
        Takes the number of rows just done; then no bar is shown here.

    Returns
    -------
    np.ndarray, float32, shape (rows, ...)
        In the order of the table, whatever the batches were.

    Raises
    ------
    InputError
        If a sequence is too short or too long, or the device has no memory for half of the budget either.
    """
    loaded = engine.checkpoint

    def of_rows(rows: np.ndarray) -> torch.Tensor:
        return compute(loaded, pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device))

    lengths = tables.check_lengths(table, loaded.k, loaded.stride, loaded.longest)
    return run_rows(engine, lengths, of_rows, batch_tokens, description, advance)


def run_rows(
    engine: Engine,
    lengths: np.ndarray,
    compute: Callable[[np.ndarray], torch.Tensor],
    batch_tokens: int | None = None,
    description: str = "Predicting",
    advance: Advance | None = None,
) -> np.ndarray:
    """Compute something for each of some rows that the caller packs.

    Parameters
    ----------
    engine : Engine
    lengths : np.ndarray, int64, shape (rows,)
        Tokens of each row, `[CLS]` and `[SEP]` included.
    compute : callable
        Takes row numbers, int64, and returns a tensor of shape (rows given, ...).
    batch_tokens, description, advance
        As in `run`.

    Returns
    -------
    np.ndarray, float32, shape (rows, ...)

    Raises
    ------
    InputError
        If the device has no memory for half of the budget either.
    """
    engine.checkpoint.model.eval()
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    try:
        with within_memory(f"{engine.device} has no memory for batches of {budget:,} tokens (--batch-tokens)"):
            return _run(engine, lengths, compute, budget, description, advance)
    except DeviceMemoryError as error:
        say(f"Warning: {error}; trying half")
    with within_memory(
        f"{engine.device} has no memory for batches of {budget // 2:,} tokens either; compute fewer at a time "
        "(--batch-tokens) or on another --device"
    ):
        return _run(engine, lengths, compute, budget // 2, description, advance)


def _run(
    engine: Engine,
    lengths: np.ndarray,
    compute: Callable[[np.ndarray], torch.Tensor],
    budget: int,
    description: str,
    advance: Advance | None,
) -> np.ndarray:
    results: np.ndarray | None = None
    with (
        torch.inference_mode(),
        computing(engine.device, engine.precision),
        layers_from(engine.prepared),
        nullcontext(advance) if advance else track_items(description, len(lengths), "sequences") as done,
    ):
        for rows in tables.batches_of_rows(lengths, budget):
            values = compute(rows).float().cpu().numpy()
            if results is None:
                results = np.empty((len(lengths), *values.shape[1:]), dtype=np.float32)
            results[rows] = values
            done(len(rows))
    return np.empty((0,), dtype=np.float32) if results is None else results
