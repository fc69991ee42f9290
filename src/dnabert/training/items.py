"""Rows of a table as the Trainer reads them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.utils.data import Dataset

from dnabert.errors import InputError
from dnabert.inference.predict import as_read, mirrored, own
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.packing import pack_rows, token_of_base
from dnabert.sequence import tables, windows
from dnabert.sequence.letters import positions
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import Windows
from dnabert.training.metrics import Truth

FEWEST_TO_CALIBRATE = 30
"""Rows of dev below which numbers are not calibrated."""
LEAST_SPREAD = 1e-5
"""Of numbers to predict, as a share of their mean: float32 tells a hundred steps in it apart."""
LARGEST = 1e18
"""Number to predict, whatever its sign: float32, which outputs are, holds its square."""


class Rows(Dataset[int]):
    """Row numbers: the collator reads the rows themselves from the table's buffers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, i: int) -> int:
        return i


def passes_for(steps_a_pass: int, steps: int, limits: tuple[int, int]) -> int:
    """Choose how many passes over the rows are made: as many as make some number of steps, within limits."""
    fewest, most = limits
    return min(most, max(fewest, math.ceil(steps / steps_a_pass)))


class Scale(NamedTuple):
    """Mean and standard deviation of each number to predict, float64, shape (outputs,)."""

    mean: np.ndarray
    deviation: np.ndarray


class Packer:
    """Turn row numbers into a packed batch with labels, rows of like length side by side.

    Parameters
    ----------
    table : Table
    truth : Truth
    loaded : Checkpoint
        Says how rows are read.
    both : bool
        Read each row from either strand, at random.
    scale : Scale, optional
        What numbers are standardised by.
    seed : int
        Of the strands. They are drawn from it and the rows of the batch alone, so that a resumed run reads the strands
        that an uninterrupted one would have read.

    Attributes
    ----------
    longest : int
        Tokens of the longest row, all its windows together.
    """

    def __init__(
        self,
        table: Table,
        truth: Truth,
        loaded: Checkpoint,
        both: bool = False,
        scale: Scale | None = None,
        seed: int = 0,
    ) -> None:
        self.rows, self.seed = table.rows, seed
        self.task, self.scale = truth.task, scale
        self.k, self.stride, self.both = loaded.k, loaded.stride, both
        self.table, self.values = table, truth.values
        if both:
            self.table = with_other_strand(table)
            backwards = truth.values[mirrored(table)] if truth.task == "per-base" else truth.values
            self.values = np.concatenate([truth.values, backwards])
        self.read = as_read(loaded, self.table)
        tokens = windows.check_lengths(self.read, self.k, self.stride, loaded.longest)
        of_row = self.read.row if isinstance(self.read, Windows) else np.arange(self.table.rows)
        self.lengths = np.bincount(of_row, weights=tokens).astype(np.int64)
        self.longest = int(self.lengths.max())

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        order = np.array(rows, dtype=np.int64)
        if self.both:
            strands = np.random.default_rng([self.seed, *rows]).integers(2, size=len(order))
            order = order + self.rows * strands
        order = order[np.argsort(-self.lengths[order], kind="stable")]
        if not isinstance(self.read, Windows):
            batch = pack_rows(self.table, order, self.k, self.stride)
            return batch._asdict() | {"labels": self._labels(order)}
        some = windows.of_rows(self.read, order)
        batch = pack_rows(some, np.arange(some.rows), self.k, self.stride)
        if self.task != "per-base":
            counts = torch.from_numpy(windows.counts_of(self.read, order))
            return batch._asdict() | {"labels": self._labels(order), "windows": counts}
        bases = some.ends - some.starts
        mine = own(some)
        at = positions(some.starts - self.table.offsets[0], bases)
        kmer = torch.from_numpy(token_of_base(bases, self.k, self.stride)[mine])
        labels = torch.from_numpy(self.values[at[mine]])
        return batch._asdict() | {"rows": batch.kmers[kmer], "labels": labels}

    def _labels(self, rows: np.ndarray) -> torch.Tensor:
        values = self.values[rows]
        if self.task == "classification":
            return torch.from_numpy(values)
        if self.scale is not None:
            values = (values - self.scale.mean) / self.scale.deviation
        return torch.from_numpy(values.astype(np.float32))


def with_other_strand(table: Table) -> Table:
    """Append the reverse complement of each row."""
    other = tables.reverse_complemented(table)
    second = None
    if table.second is not None and other.second is not None:
        second = pa.concat_arrays([table.second, other.second])
    return table._replace(
        sequences=pa.concat_arrays([table.sequences, other.sequences]),
        labels=None,
        columns=pa.table({}),
        second=second,
        chosen=np.tile(np.arange(table.rows) if table.chosen is None else table.chosen, 2),
    )


def weights_of(truth: Truth) -> np.ndarray:
    """Compute the weights that let classes count alike, float32: of each class, or of each label's 1 against its 0.

    Raises
    ------
    InputError
        If the task has no classes.
    """
    if truth.task == "regression":
        raise InputError("--class-weights: numbers have no classes; leave it out")
    if truth.task == "multilabel":
        positive = truth.values.sum(axis=0)
        return ((len(truth.values) - positive) / np.maximum(positive, 1)).astype(np.float32)
    counts = np.bincount(truth.values[truth.values >= 0], minlength=len(truth.names))
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def standardise(truth: Truth) -> Scale:
    """Find the scale of the numbers to predict.

    Raises
    ------
    InputError
        If one of them is the same in all rows, too large, or differs so little that float32, which outputs are, does
        not tell.
    """
    for name, column in zip(truth.names, truth.values.T, strict=True):
        if (column == column[0]).all():
            raise InputError(f"'{name}' is the same in all training rows; numbers that differ are required")
    check_size(truth)
    mean, deviation = truth.values.mean(axis=0), truth.values.std(axis=0)
    for name, middle, spread in zip(truth.names, mean, deviation, strict=True):
        if spread < 1 / LARGEST:
            raise InputError(
                f"'{name}' spreads by {spread:.3g} alone, but models give float32 numbers, and {1 / LARGEST:g} at "
                "least is required; multiply all by one number, or take logarithms"
            )
        if spread < LEAST_SPREAD * abs(middle):
            raise InputError(
                f"'{name}' is {middle:.6g} in the mean and spreads by {spread:.3g} alone, but models give float32 "
                "numbers, of 7 digits; subtract a constant"
            )
    return Scale(mean, deviation)


def check_size(truth: Truth) -> None:
    """Raise InputError where a number to predict is larger than float32 has room for."""
    for name, largest in zip(truth.names, np.abs(truth.values).max(axis=0).tolist(), strict=True):
        if largest > LARGEST:
            raise InputError(
                f"'{name}' goes up to {largest:.3g} in size, but models give float32 numbers, and {LARGEST:g} at most "
                "is required; divide all by one number, or take logarithms"
            )


def into_units(layer: nn.Linear, scale: Scale) -> None:
    """Let the last layer give numbers on another scale, so that the directory needs no word about it."""
    mean, deviation = (torch.from_numpy(part).float().to(layer.weight.device) for part in scale)
    with torch.no_grad():
        layer.weight.mul_(deviation[:, None])
        layer.bias.mul_(deviation).add_(mean)


def calibrate(layer: nn.Linear, outputs: np.ndarray, truth: Truth) -> None:
    """Fit the numbers of a last layer to known ones by a line each (least squares), and fold it into the layer.

    What is kept of a training is the state whose numbers correlate best on dev, and correlation says nothing of their
    spread: what a network learned by heart of noisy numbers spreads too far. A number that does not rise with the known
    ones stays as it is, and all do where fewer than `FEWEST_TO_CALIBRATE` rows are known.

    Parameters
    ----------
    layer : torch.nn.Linear
        In the user's units.
    outputs : np.ndarray, shape (rows, numbers)
        What it gives for the rows of `truth`.
    truth : Truth
    """
    if len(outputs) < FEWEST_TO_CALIBRATE:
        return
    outputs = outputs.astype(np.float64)
    centre, known = outputs.mean(axis=0), truth.values.mean(axis=0)
    spread = ((outputs - centre) ** 2).sum(axis=0)
    slope = ((outputs - centre) * (truth.values - known)).sum(axis=0) / np.where(spread > 0, spread, np.inf)
    rises = slope > 0
    slope = np.where(rises, slope, 1.0)
    shift = np.where(rises, known - slope * centre, 0.0)
    into_units(layer, Scale(shift, slope))
