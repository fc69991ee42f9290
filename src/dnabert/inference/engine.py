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
from dnabert.model.device import DeviceMemoryError, choose_device, choose_precision, computing, describe, within_memory
from dnabert.model.encoder import Encoder, layers_from
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.progress import say, track_items
from dnabert.sequence import tables, windows
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import Sequences

BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
"""Tokens of a batch where the caller does not say: more bring no speed, only memory."""

Given: TypeAlias = Table | pa.Array | Sequence[str]


class Engine(NamedTuple):
    """A model on a device. What it shares with a baseline (`task`, `labels`, `strand`, `columns`, `place`) is all that
    predicting and evaluating need to know.

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

    @property
    def task(self) -> str:
        """What the model predicts; `masked-lm` for one that is pre-trained only."""
        return self.checkpoint.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, labels or outputs; empty for a pre-trained model."""
        return self.checkpoint.labels

    @property
    def strand(self) -> str:
        """`given` or `both`, as the model was fine-tuned."""
        return getattr(self.checkpoint.model.config, "strand", "given")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of labels it was fine-tuned on; empty for the usual one."""
        return tuple(getattr(self.checkpoint.model.config, "label_columns", ()))

    @property
    def place(self) -> str:
        """Device and precision, for a message."""
        return describe(self.device, self.precision)


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


def as_table(sequences: Given) -> Table:
    """Turn strings into a table; a table stays what it is."""
    if isinstance(sequences, Table):
        return sequences
    if isinstance(sequences, str):  # a sequence of one-letter sequences to Python, a mistake to us
        raise InputError("a list of sequences is required, not one string; write [sequence]")
    return tables.from_sequences(sequences)


def run(
    engine: Engine,
    table: Sequences,
    compute: Callable[[Checkpoint, PackedBatch], torch.Tensor],
    batch_tokens: int | None = None,
    description: str = "Predicting",
    entries: np.ndarray | None = None,
) -> np.ndarray:
    """Compute something for each sequence of a table, or for parts of it.

    Parameters
    ----------
    engine : Engine
    table : Table or Windows
    compute : callable
        Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...), or (entries of all, ...).
    batch_tokens : int, optional
        Budget of a batch. Where the device has no memory for it, half of it is tried.
    description : str
        Title of the progress bar.
    entries : np.ndarray, int64, shape (rows,), optional
        How many entries `compute` returns for each sequence, for example its k-mers; one by default.

    Returns
    -------
    np.ndarray, float32, shape (rows or entries of all, ...)
        In the order of the table, whatever the batches were.

    Raises
    ------
    InputError
        If a sequence is too short or too long, or the device has no memory for half of the budget either.
    """
    loaded = engine.checkpoint
    loaded.model.eval()
    lengths = windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest)
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    try:
        with within_memory(f"{engine.device} has no memory for batches of {budget:,} tokens (--batch-tokens)"):
            return _run(engine, table, lengths, compute, budget, description, entries)
    except DeviceMemoryError as error:
        say(f"Warning: {error}; trying half")
    with within_memory(
        f"{engine.device} has no memory for batches of {budget // 2:,} tokens either; compute fewer at a time "
        "(--batch-tokens) or on another --device"
    ):
        return _run(engine, table, lengths, compute, budget // 2, description, entries)


def _run(
    engine: Engine,
    table: Sequences,
    lengths: np.ndarray,
    compute: Callable[[Checkpoint, PackedBatch], torch.Tensor],
    budget: int,
    description: str,
    entries: np.ndarray | None,
) -> np.ndarray:
    loaded = engine.checkpoint
    ends = None if entries is None else np.cumsum(entries)
    total = table.rows if ends is None else int(ends[-1])
    results: np.ndarray | None = None
    with (
        torch.inference_mode(),
        computing(engine.device, engine.precision),
        layers_from(engine.prepared),
        track_items(description, table.rows, "sequences") as advance,
    ):
        for rows in windows.batches_of_rows(lengths, budget):
            batch = pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device)
            values = compute(loaded, batch).float().cpu().numpy()
            if results is None:
                results = np.empty((total, *values.shape[1:]), dtype=np.float32)
            if ends is None or entries is None:
                results[rows] = values
            else:
                counts = entries[rows]
                results[np.arange(len(values)) + np.repeat(ends[rows] - np.cumsum(counts), counts)] = values
            advance(len(rows))
    return np.empty((0,), dtype=np.float32) if results is None else results
