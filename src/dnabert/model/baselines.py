"""What a language model has to beat: convolutional networks and k-mer regression.

The networks have the shapes of published ones, scaled to the length of the input: `deepsea` (Zhou and Troyanskaya 2015,
doi 10.1038/nmeth.3547), `basset` (Kelley et al. 2016, doi 10.1101/gr.200535.115), `danq` (Quang and Xie 2016,
doi 10.1093/nar/gkw226). `residual` is a first layer of 15 bases and three dilated residual blocks. `kmers` is a linear
model of k-mer counts.

Sequences of a batch may differ in length: what stands behind the end of one is zero in every layer, so neither batch
nor padding moves a prediction.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dnabert.errors import InputError
from dnabert.files import replacing_files
from dnabert.model.checkpoint import BASELINE, RECORD, read_record
from dnabert.model.dropout import Dropout
from dnabert.sequence.alphabet import UNKNOWN
from dnabert.sequence.kmers import canonical_kmers
from dnabert.sequence.letters import PADDING
from dnabert.versions import version

WEIGHTS = "model.safetensors"

WIDTH = 0.5
"""Channels and units of the published networks are taken times this: they were made for millions of sequences."""
BINS = 8
"""Parts of a sequence in which networks pool their last layer, so that they know roughly where something is."""


class Shape(NamedTuple):
    """A published network.

    Attributes
    ----------
    length : int
        Bases of its input.
    channels, kernels, pools : tuple of int
        Of each convolutional layer; pools of 1 are none.
    lstm : int
        Units of the LSTM in each direction behind the convolutions, 0 for none.
    hidden : tuple of int
        Units of the layers before the output.
    hidden_norms : bool
        Whether these have layer norms, which the published ones have not: without, a step of training moves the
        thousands of inputs of the first, all above 0, at once, and then a network may never learn anything. (Batch
        normalisation would learn means that dropout makes, which are not there in prediction.)
    """

    length: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    pools: tuple[int, ...]
    lstm: int
    hidden: tuple[int, ...]
    hidden_norms: bool = False


SHAPES = {
    "deepsea": Shape(1000, (320, 480, 960), (8, 8, 8), (4, 4, 1), 0, (925,)),
    "basset": Shape(600, (300, 200, 200), (19, 11, 7), (3, 4, 4), 0, (1000, 1000)),
    "danq": Shape(1000, (320,), (26,), (13,), 320, (925,)),
}
CHANNELS = 128
"""Of each layer of `residual`."""
NETWORKS = (*SHAPES, "residual")
NAMES = (*NETWORKS, "kmers")


class Baseline(NamedTuple):
    """A baseline, trained or to be trained.

    Attributes
    ----------
    name : str
        One of `NAMES`.
    task : str
        `classification`, `multilabel`, `regression` or `per-base` (`residual` alone).
    labels : tuple of str
        Classes, labels or outputs in the order of the logits.
    strand : str
        `given` or `both`, as it was trained.
    columns : tuple of str
        The columns of labels it was trained on; empty for the usual one.
    settings : dict
        What the network is built from: `channels` and `bins` for `residual`, `k` for `kmers`, the entries of a `Shape`
        for the others (`settings_for` makes them).
    network : torch.nn.Module
        Takes codes, uint8, shape (sequences, bases), padded, and lengths; for `kmers` the linear layer over k-mers.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    strand: str
    columns: tuple[str, ...]
    settings: dict[str, Any]
    network: nn.Module

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def place(self) -> str:
        """Device and precision, for a message."""
        return f"{self.device} in float32"


def new(
    name: str, task: str, labels: tuple[str, ...], strand: str, columns: tuple[str, ...], settings: dict[str, Any]
) -> Baseline:
    """Make a baseline with the weights that training starts from (torch's generator draws them).

    Raises
    ------
    InputError
        If there is no such baseline, or it cannot do the task.
    """
    check(name, task)
    network: nn.Module
    if name == "kmers":
        k = settings["k"]
        features = int(canonical_kmers(k).max()) + 1 if strand == "both" else 4**k
        network = nn.Linear(features, len(labels))
    elif name == "residual":
        network = Residual(settings["channels"], settings["bins"], len(labels), task == "per-base")
    else:
        network = Convolutional(Shape(**settings), len(labels))
    return Baseline(name, task, labels, strand, columns, settings, network)


def settings_for(name: str, task: str, length: int) -> dict[str, Any]:
    """Write what a network for a task on sequences of some length is built from."""
    if name in SHAPES:
        return scaled(SHAPES[name], length)._asdict()
    return {"channels": CHANNELS, "bins": 0 if task == "per-base" else BINS}


def check(name: str, task: str) -> None:
    """Raise InputError unless there is such a baseline and it can do the task."""
    if name not in NAMES:
        raise InputError(f"'{name}': there is no such baseline; give one of {', '.join(NAMES)}")
    if not can_do(name, task):
        raise InputError(
            f"the baseline '{name}' gives one answer a sequence and cannot label bases; 'residual' can, take that one"
        )


def can_do(name: str, task: str) -> bool:
    """Say whether a baseline gives the answers of a task: one of them has an answer for each base."""
    return task != "per-base" or name == "residual"


def save(baseline: Baseline, folder: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write the directory of a baseline: `dnabert.json` and weights, whole or not at all.

    Parameters
    ----------
    baseline : Baseline
    folder : path
    record : dict
        How it was made (rows, seed, seconds), for `dnabert.json`.
    """
    facts = {
        "format": 1,
        "kind": BASELINE,
        "name": baseline.name,
        "task": baseline.task,
        "labels": list(baseline.labels),
        "strand": baseline.strand,
        "label_columns": list(baseline.columns),
        "settings": baseline.settings,
        "versions": {name: version(name) for name in ("dnabert", "torch")},
        "command": sys.argv,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in baseline.network.state_dict().items()}
    with replacing_files(folder, last=RECORD) as temporary:
        try:
            save_file(weights, temporary / WEIGHTS)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error
        (temporary / RECORD).write_text(json.dumps(facts | record, indent=2, default=str) + "\n")


def is_baseline(path: str | os.PathLike[str]) -> bool:
    """Say whether a directory holds a baseline."""
    return Path(path).is_dir() and read_record(Path(path)).get("kind") == BASELINE


def load(path: str | os.PathLike[str], device: torch.device) -> Baseline:
    """Read the directory of a baseline.

    Raises
    ------
    InputError
        If its record or its weights are damaged.
    """
    folder = Path(path)
    facts = read_record(folder)
    try:
        with torch.random.fork_rng(devices=[]):
            baseline = new(
                facts["name"],
                facts["task"],
                tuple(facts["labels"]),
                facts["strand"],
                tuple(facts["label_columns"]),
                facts["settings"],
            )
        baseline.network.load_state_dict(load_file(folder / WEIGHTS))
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / RECORD}: an entry is missing or wrong ({error}); restore the file") from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: the weights do not load ({str(error).splitlines()[0]}); restore them") from error
    baseline.network.to(device).eval()
    return baseline


def scaled(shape: Shape, length: int) -> Shape:
    """Scale a network to inputs of another length.

    Channels and units: half. Kernels: as published, but no longer than a third of the input, and odd. Pools: times the
    same factor each, so that about as many positions are left as in the original, at least 1.

    Parameters
    ----------
    shape : Shape
    length : int
        Bases of the new input.

    Returns
    -------
    Shape
    """
    pooled = [pool for pool in shape.pools if pool > 1]
    factor = (length / shape.length) ** (1 / len(pooled))
    return Shape(
        length,
        tuple(round(WIDTH * channels) for channels in shape.channels),
        tuple(max(1, min(kernel, length // 3)) // 2 * 2 + 1 for kernel in shape.kernels),
        tuple(max(1, round(pool * factor)) if pool > 1 else 1 for pool in shape.pools),
        round(WIDTH * shape.lstm),
        tuple(round(WIDTH * units) for units in shape.hidden),
        shape.hidden_norms,
    )


class Convolutional(nn.Module):
    """Convolutions, pooling, if wanted an LSTM, and fully connected layers; batch normalisation after each convolution.

    Parameters
    ----------
    shape : Shape
    outputs : int
    """

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        before = (4, *shape.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before[i], shape.channels[i], kernel, padding=kernel // 2, bias=False)
            for i, kernel in enumerate(shape.kernels)
        )
        self.norms = nn.ModuleList(Norm(channels) for channels in shape.channels)
        self.pools = shape.pools
        self.dropout = Dropout(0.2)
        self.lstm = nn.LSTM(before[-1], shape.lstm, batch_first=True, bidirectional=True) if shape.lstm else None
        sizes = (BINS * (2 * shape.lstm or before[-1]), *shape.hidden)
        hidden: list[nn.Module] = []
        for size, units in itertools.pairwise(sizes):
            norm = nn.LayerNorm(units) if shape.hidden_norms else nn.Identity()
            hidden += [nn.Linear(size, units), norm, nn.ReLU(), Dropout(0.5)]
        self.hidden = nn.Sequential(*hidden)
        self.output = nn.Linear(sizes[-1], outputs)

    def forward(self, codes: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Predict: codes, shape (sequences, bases), and lengths, shape (sequences,), to (sequences, outputs).

        Lengths stay on the CPU: what is done depends on them, and to ask a GPU is to wait for it.
        """
        hidden = one_hot(codes)
        for convolution, norm, pool in zip(self.convolutions, self.norms, self.pools, strict=True):
            hidden = norm(convolution(hidden), lengths).relu()
            if pool > 1:  # after the ReLU the zeros behind the end never are the largest
                hidden = F.max_pool1d(hidden, pool, ceil_mode=True)
                lengths = (lengths + pool - 1) // pool
            hidden = self.dropout(hidden)
        if self.lstm is not None:
            whole = alike(lengths, hidden)
            hidden = hidden.transpose(1, 2)
            if whole:
                hidden = self.lstm(hidden)[0]
            else:
                packed = nn.utils.rnn.pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
                hidden = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
            hidden = self.dropout(hidden.transpose(1, 2))
        return self.output(self.hidden(largest(hidden, lengths, BINS).flatten(1)))


class Residual(nn.Module):
    """A first layer of 15 bases, three residual blocks with wider and wider gaps between the bases they read.

    Its outputs are computed from the mean and the largest value over the sequence, which find a motif wherever it
    stands, and from the largest value in each part of it, which say where that is.

    Parameters
    ----------
    size : int
        Channels of each layer.
    bins : int
        Parts of a sequence; 0 for a network that does not know where something is.
    outputs : int
    per_base : bool
        Give the outputs of each base instead of those of each sequence.
    """

    FIRST = 15
    DILATIONS = (1, 2, 4)

    def __init__(self, size: int, bins: int, outputs: int, per_base: bool) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, size, self.FIRST, padding=self.FIRST // 2, bias=False)
        self.norms = nn.ModuleList(Norm(size) for _ in range(2 * len(self.DILATIONS) + 1))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, size, 3, padding=dilation, dilation=dilation, bias=False)
            for dilation in self.DILATIONS
            for _ in range(2)
        )
        self.dropout = Dropout(0.1)
        self.bins, self.per_base = bins, per_base
        features = size if per_base else (2 + bins) * size
        # of many inputs an output has to be normalised, of few that is in the way where batches are small
        self.pooled = Norm(features) if bins else None
        self.output = nn.Linear(features, outputs)

    def forward(self, codes: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Predict: codes, shape (sequences, bases), and lengths, to (sequences, outputs) or (bases of all, outputs)."""
        hidden = self.norms[0](self.first(one_hot(codes)), lengths).relu()
        for i in range(0, len(self.convolutions), 2):
            inner = self.norms[i + 1](self.convolutions[i](hidden), lengths).relu()
            inner = self.norms[i + 2](self.convolutions[i + 1](self.dropout(inner)), lengths)
            hidden = (hidden + inner).relu()
        if self.per_base:
            bases = hidden.transpose(1, 2)
            bases = bases.flatten(0, 1) if alike(lengths, hidden) else bases[inside(lengths, hidden)]
            return self.output(self.dropout(bases))
        mean = hidden.mean(2) if alike(lengths, hidden) else hidden.sum(2) / lengths.to(hidden.device)[:, None]
        pooled = torch.cat([mean, largest(hidden, lengths, 1).flatten(1)], dim=1)
        if self.pooled is not None:
            pooled = self.pooled(torch.cat([pooled, largest(hidden, lengths, self.bins).flatten(1)], dim=1))
        return self.output(self.dropout(pooled))


class Norm(nn.BatchNorm1d):
    """Batch normalisation that neither counts what stands behind the end of a sequence nor writes there."""

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Normalise, shape (sequences, channels[, positions]); without lengths all positions count."""
        if lengths is None or alike(lengths, hidden):
            return self._normalised(hidden)
        filled = inside(lengths, hidden)
        if not self.training:
            return super().forward(hidden) * filled[:, None]
        rows = hidden.transpose(1, 2)
        result = torch.zeros_like(rows)
        result[filled] = self._normalised(rows[filled])
        return result.transpose(1, 2)

    def _normalised(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise, shape (entries, channels[, positions]); a channel of one value takes the running mean."""
        if self.training and values.numel() == values.shape[1]:
            return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(values)


def one_hot(codes: torch.Tensor) -> torch.Tensor:
    """Write base codes, shape (sequences, bases), as four channels, float32; unknown bases and padding are zeros."""
    table = torch.eye(PADDING + 1, UNKNOWN, device=codes.device)
    table[UNKNOWN:] = 0
    return F.embedding(codes.int(), table).transpose(1, 2)


def alike(lengths: torch.Tensor, batch: torch.Tensor) -> bool:
    """Say whether all sequences are as long as a batch's last dimension: then no layer has to ask where one ends."""
    return bool((lengths == batch.shape[-1]).all())


def inside(lengths: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Say which positions of `hidden` lie inside their sequence: bool, shape (sequences, positions), on its device."""
    return torch.arange(hidden.shape[2], device=hidden.device) < lengths.to(hidden.device)[:, None]


def largest(hidden: torch.Tensor, lengths: torch.Tensor, bins: int) -> torch.Tensor:
    """Take the largest value in each part of a sequence, as adaptive pooling would in each sequence alone.

    Parameters
    ----------
    hidden : torch.Tensor, shape (sequences, channels, positions)
    lengths : torch.Tensor, shape (sequences,)
    bins : int
        Part i of n positions goes from `i * n // bins` to the next whole number from `(i + 1) * n / bins` on.

    Returns
    -------
    torch.Tensor, shape (sequences, channels, bins)
    """
    positions = hidden.shape[2]
    if alike(lengths, hidden):
        return F.adaptive_max_pool1d(hidden, bins)
    at, lengths = torch.arange(positions, device=hidden.device), lengths.to(hidden.device)
    parts = []
    for i in range(bins):
        first, end = i * lengths // bins, ((i + 1) * lengths + bins - 1) // bins
        outside = (at < first[:, None]) | (at >= end[:, None])
        parts.append(hidden.masked_fill(outside[:, None], -torch.inf).amax(2))
    return torch.stack(parts, dim=2)
