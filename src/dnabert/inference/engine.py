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
from dnabert.model.device import (
    DeviceMemoryError,
    choose_device,
    choose_precision,
    computing,
    describe,
    gains_from_layout,
    within_memory,
)
from dnabert.model.encoder import Encoder, layers_from
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.progress import say, track_items
from dnabert.sequence import tables, windows
from dnabert.sequence.letters import positions
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import Sequences

BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}
"""Tokens of a batch where the caller does not say: more bring no speed, only memory."""

Given: TypeAlias = Table | pa.Array | Sequence[str]
Compute: TypeAlias = Callable[[Checkpoint, PackedBatch], torch.Tensor]
"""Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...)."""
Advance: TypeAlias = Callable[[float], None]
"""Takes the number of rows just done."""


class Engine(NamedTuple):
    """A model on a device. What it shares with a baseline (`task`, `labels`, `strand`, `columns`, `place`) is all that
    predicting and evaluating need to know.

    Attributes
    ----------
    checkpoint : Checkpoint
    device : torch.device
    precision : torch.dtype
        What products are computed in; the model's own weights stay float32.
    prepared : Encoder, optional
        The layers laid out for the device, where it gains from that: a second copy of their weights, in `precision`.
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
    return Engine(loaded, where, dtype, prepare(loaded.model.bert, dtype) if gains_from_layout(where, dtype) else None)


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
    compute: Compute,
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
    entries: np.ndarray | None = None,
    advance: Advance | None = None,
) -> np.ndarray:
    """Compute something for each sequence of a table, or for parts of it.

    Parameters
    ----------
    engine : Engine
    table : Table or Windows
    compute : callable
        Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...), or (entries of all, ...).
    batch_tokens, description, advance
        As in `stream_rows`.
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
    return run_rows(engine, *_of_table(engine, table, compute), batch_tokens, description, entries, advance)


def run_rows(
    engine: Engine,
    lengths: np.ndarray,
    compute: Callable[[np.ndarray], torch.Tensor],
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
    entries: np.ndarray | None = None,
    advance: Advance | None = None,
) -> np.ndarray:
    """Compute something for each of some rows that the caller packs; the rest as `run` and `stream_rows`.

    Returns
    -------
    np.ndarray, float32, shape (rows or entries of all, ...)
    """
    ends = None if entries is None else np.cumsum(entries)
    total = len(lengths) if ends is None else int(ends[-1])
    results: np.ndarray | None = None

    def keep(rows: np.ndarray, values: np.ndarray) -> None:
        nonlocal results
        if results is None:
            results = np.empty((total, *values.shape[1:]), dtype=np.float32)
        if ends is None or entries is None:
            results[rows] = values
        else:
            results[positions(ends[rows] - entries[rows], entries[rows])] = values

    stream_rows(engine, lengths, compute, keep, batch_tokens, description, advance)
    return np.empty((0,), dtype=np.float32) if results is None else results


def stream(
    engine: Engine,
    table: Sequences,
    compute: Compute,
    keep: Callable[[np.ndarray, np.ndarray], None],
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
) -> None:
    """Compute something for each sequence of a table and hand it over batch by batch, as `stream_rows`."""
    lengths, of_rows = _of_table(engine, table, compute)
    stream_rows(engine, lengths, of_rows, keep, batch_tokens, description)


def stream_rows(
    engine: Engine,
    lengths: np.ndarray,
    compute: Callable[[np.ndarray], torch.Tensor],
    keep: Callable[[np.ndarray, np.ndarray], None],
    batch_tokens: int | None = None,
    description: str | None = "Predicting",
    advance: Advance | None = None,
) -> None:
    """Compute something for rows that the caller packs and hand it over batch by batch.

    Parameters
    ----------
    engine : Engine
    lengths : np.ndarray, int64, shape (rows,)
        Tokens of each row, `[CLS]` and `[SEP]` included.
    compute : callable
        Takes row numbers, int64, and returns a tensor of shape (rows given, ...).
    keep : callable
        Takes row numbers, int64, shape (sequences,), and what was computed for them, float32, shape (sequences, ...).
        The longest sequences come first. Where memory runs short, rows come a second time.
    batch_tokens : int, optional
        Budget of a batch. Where the device has no memory for it, half of it is tried.
    description : str, optional
        Title of the progress bar; None shows none.
    advance : callable, optional
        Takes the number of rows just done, for a bar of the caller's; then none is shown here.

    Raises
    ------
    InputError
        If the device has no memory for half of the budget either.
    """
    engine.checkpoint.model.eval()
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    done = 0.0

    def count(rows: float) -> None:
        nonlocal done
        done += rows
        assert advance
        advance(rows)

    try:
        with within_memory(f"{engine.device} has no memory for batches of {budget:,} tokens (--batch-tokens)"):
            return _stream(engine, lengths, compute, keep, budget, description, advance and count)
    except DeviceMemoryError as error:
        say(f"Warning: {error}; trying half")
    if advance:
        advance(-done)  # they come again
    with within_memory(
        f"{engine.device} has no memory for batches of {budget // 2:,} tokens either; compute fewer at a time "
        "(--batch-tokens) or on another --device"
    ):
        return _stream(engine, lengths, compute, keep, budget // 2, description, advance)


def _of_table(
    engine: Engine, table: Sequences, compute: Compute
) -> tuple[np.ndarray, Callable[[np.ndarray], torch.Tensor]]:
    """Return the tokens of each row, and `compute` as a function of row numbers."""
    loaded = engine.checkpoint

    def of_rows(rows: np.ndarray) -> torch.Tensor:
        return compute(loaded, pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device))

    return windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest), of_rows


def _stream(
    engine: Engine,
    lengths: np.ndarray,
    compute: Callable[[np.ndarray], torch.Tensor],
    keep: Callable[[np.ndarray, np.ndarray], None],
    budget: int,
    description: str | None,
    advance: Advance | None,
) -> None:
    shown = advance is None and description is not None
    with (
        torch.inference_mode(),
        computing(engine.device, engine.precision),
        layers_from(engine.prepared),
        track_items(description or "", len(lengths), "sequences") if shown else nullcontext(advance) as done,
    ):

        def hand_over(rows: np.ndarray, values: torch.Tensor, there: torch.cuda.Event | None) -> None:
            if there is not None:
                there.synchronize()
            keep(rows, values.numpy())
            if done is not None:
                done(len(rows))

        waiting: tuple[np.ndarray, torch.Tensor, torch.cuda.Event | None] | None = None
        for rows in windows.batches_of_rows(lengths, budget):
            given = rows, *_fetched(compute(rows).float())
            if waiting:  # only now: while a GPU computes the one batch, the next is packed and sent
                hand_over(*waiting)
            waiting = given
        if waiting:
            hand_over(*waiting)


def _fetched(values: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """Bring values to the CPU; a GPU's are there when the event has happened, which is not waited for."""
    if not values.is_cuda:
        return values.cpu(), None
    return values.to("cpu", non_blocking=True), torch.cuda.current_stream(values.device).record_event()
