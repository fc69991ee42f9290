"""One way to run a model over sequences: packed, sorted by length, on the device and in the precision chosen here."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import torch

from dnabert.errors import InputError
from dnabert.model import checkpoint
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.progress import track_items
from dnabert.sequence import tables
from dnabert.sequence.tables import Table

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
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
    """

    checkpoint: Checkpoint
    device: torch.device
    precision: torch.dtype


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
    loaded.model.to(where).eval()
    return Engine(loaded, where, choose_precision(precision, where))


def choose_device(name: str) -> torch.device:
    """Turn a device's name into the device; `auto` is CUDA if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: there is no such device here ({reason}); give auto, cpu or cuda") from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn a precision's name into a type; `auto` is bfloat16 where the processor computes in it, else float32."""
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    try:
        return PRECISIONS[name]
    except KeyError:
        raise InputError(f"--precision {name}: give auto, {' or '.join(PRECISIONS)}") from None


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """Return the context in which products are computed in `precision`."""
    context: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16
    )
    return context


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
) -> np.ndarray:
    """Compute something for each sequence of a table.

    Parameters
    ----------
    engine : Engine
    table : Table
    compute : callable
        Takes the checkpoint and a packed batch, returns a tensor of shape (sequences, ...).
    batch_tokens : int, optional
        Budget of a batch.
    description : str
        Title of the progress bar.

    Returns
    -------
    np.ndarray, float32, shape (rows, ...)
        In the order of the table, whatever the batches were.
    """
    loaded = engine.checkpoint
    loaded.model.eval()
    lengths = tables.check_lengths(table, loaded.k, loaded.stride, loaded.longest)
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    results: np.ndarray | None = None
    with (
        torch.inference_mode(),
        autocast(engine.device, engine.precision),
        track_items(description, table.rows, "sequences") as advance,
    ):
        for rows in tables.batches_of_rows(lengths, budget):
            batch = pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device)
            values = compute(loaded, batch).float().cpu().numpy()
            if results is None:
                results = np.empty((table.rows, *values.shape[1:]), dtype=np.float32)
            results[rows] = values
            advance(len(rows))
    return np.empty((0,), dtype=np.float32) if results is None else results
