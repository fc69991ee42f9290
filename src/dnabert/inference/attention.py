"""Attention to each base: the score of the paper, in memory for sequences x bases."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from dnabert.errors import InputError
from dnabert.inference.engine import Engine, Given, as_table, stream
from dnabert.model.attention import Reader, first_rows, mean_rows, reading
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.encoder import encode
from dnabert.model.heads import reads_mean
from dnabert.model.packing import PackedBatch
from dnabert.sequence import tables
from dnabert.sequence.kmers import fold_to_bases

LAST_LAYER = (-1,)
ALL = "all"

Chosen: TypeAlias = Sequence[int] | str | None
"""Numbers of layers or heads, `all`, or None: what is usual."""


def attention(
    engine: Engine,
    sequences: Given,
    *,
    layers: Chosen = None,
    heads: Chosen = None,
    rollout: bool = False,
    batch_tokens: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Score each base by the attention that what the head reads pays to it.

    That is `[CLS]`, as in the paper, or, where the head reads the mean of the k-mers, the mean over the k-mers. The
    attention to each token is summed over the chosen heads of the chosen layers, averaged over the tokens that cover a
    base, and scaled to a Euclidean norm of 1 a sequence (Ji et al. 2021, Methods 2.4).

    Parameters
    ----------
    engine : Engine
        With any model.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    layers : sequence of int or `all`, optional
        Which layers, from 0; negative ones count from the last. By default the last where `[CLS]` is read, as in the
        paper, and all where the mean of the k-mers is.
    heads : sequence of int or `all`, optional
        Which heads of these layers, from 0; all by default.
    rollout : bool
        Follow attention through the layers up to the chosen one, residual connections included (Abnar and Zuidema
        2020, doi 10.18653/v1/2020.acl-main.385), heads averaged. Needs the whole map of a sequence, tokens x tokens,
        for the sequences of one batch at a time.
    batch_tokens : int, optional
        Tokens computed at a time.
    out : np.ndarray, float32, shape (sequences, longest), optional
        Where to write, for example a file mapped into memory.

    Returns
    -------
    np.ndarray, float32, shape (sequences, longest)
        `longest` is the most bases of a sequence; NaN after the end of a shorter one. Bases that no token covers (at
        the end, with a stride above 1) are 0.

    Raises
    ------
    InputError
        If there is no such layer or head, or a sequence is too short, too long or no DNA.
    """
    table = as_table(sequences)
    loaded = engine.checkpoint
    config = loaded.model.config
    mean = reads_mean(config)
    usual = ALL if mean and not rollout else LAST_LAYER
    chosen = choose("layer", usual if layers is None else layers, config.num_hidden_layers)
    some = choose("head", heads, config.num_attention_heads)
    if rollout and len(chosen) > 1:
        raise InputError(f"rollout follows attention up to one layer, {len(chosen)} are given; name one")
    lengths = np.diff(table.offsets)
    out = empty_scores(table) if out is None else out

    def summed(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> torch.Tensor:
        rows = (mean_rows if mean else first_rows)(query, key, cu_seqlens, scaling)
        return rows.sum(dim=1)  # (sequences, longest)

    make: MakeReader = (
        functools.partial(_rollout_reader, layer=chosen[-1], heads=some, mean=mean)
        if rollout
        else functools.partial(summing_reader, layers=chosen, heads=some, compute=summed)
    )

    def keep(rows: np.ndarray, values: np.ndarray) -> None:
        out[rows] = np.nan
        for length in np.unique(lengths[rows]):
            same = lengths[rows] == length
            out[rows[same], :length] = _per_base(values[same], int(length), loaded)

    stream(engine, table, functools.partial(read_batch, make=make), keep, batch_tokens, "Reading attention")
    return out


def empty_scores(table: tables.Table, *more: int) -> np.ndarray:
    """Make room for a score a base, float32, shape (rows, longest, *more), filled with NaN."""
    return np.full((table.rows, int(np.diff(table.offsets).max(initial=0)), *more), np.nan, dtype=np.float32)


def choose(what: str, numbers: Chosen, count: int) -> list[int]:
    """Number the layers or heads that are chosen, from 0, in order; raise InputError for one there is not."""
    if numbers is None or isinstance(numbers, str):
        if numbers not in (None, ALL):
            raise InputError(f"{what}s '{numbers}': give their numbers, or all")
        return list(range(count))
    for number in numbers:
        if not -count <= number < count:
            raise InputError(f"there is no {what} {number}: this model has {count}, 0 to {count - 1}")
    chosen = sorted({number % count for number in numbers})
    if not chosen:
        raise InputError(f"no {what} is chosen; name some of 0 to {count - 1}")
    return chosen


MakeReader = Callable[[list[torch.Tensor]], Reader]
"""Makes a reader that leaves one tensor in the list it is given."""


def read_batch(checkpoint: Checkpoint, batch: PackedBatch, make: MakeReader) -> torch.Tensor:
    """Run the encoder on a batch and return what a reader found, for `engine.stream`."""
    found: list[torch.Tensor] = []
    with reading(make(found)):
        encode(checkpoint.model.bert, batch, batch.cu_seqlens[:-1].long())
    return found[0]


def summing_reader(
    found: list[torch.Tensor],
    layers: list[int],
    heads: list[int],
    compute: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor],
) -> Reader:
    """Make a reader that adds up over layers what `compute` makes of the queries and keys of the chosen heads."""
    layer = -1

    def read(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> None:
        nonlocal layer
        layer += 1
        if layer in layers:
            value = compute(query[:, heads], key[:, heads], cu_seqlens, scaling)
            found[:] = [found[0] + value] if found else [value]

    return read


def _rollout_reader(found: list[torch.Tensor], layer: int, heads: list[int], mean: bool) -> Reader:
    """Make a reader that follows attention up to one layer: one entry in `found`, shape (sequences, longest)."""
    seen = -1
    paths: list[torch.Tensor] = []  # of each sequence, (tokens, tokens): how much of each input a token holds

    def read(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> None:
        nonlocal seen
        seen += 1
        if seen > layer:
            return
        for i, (start, end) in enumerate(itertools.pairwise(cu_seqlens.tolist())):
            weights = full_map(query[start:end, heads], key[start:end, heads], scaling).mean(dim=0)
            step = (weights + torch.eye(end - start, device=weights.device)) / 2
            if seen == 0:
                paths.append(step)
            else:
                paths[i] = step @ paths[i]
        if seen == layer:
            rows = [path[1:-1].mean(dim=0) if mean else path[0] for path in paths]
            found.append(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))

    return read


def full_map(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    """Compute all attention within one sequence.

    Parameters
    ----------
    query, key : torch.Tensor, shape (tokens, heads, head size)
    scaling : float
        Factor on the scores.

    Returns
    -------
    torch.Tensor, float32, shape (heads, tokens, tokens)
        Entry (head, i, j): the attention of token i to token j.
    """
    query, key = query.float().transpose(0, 1), key.float().transpose(0, 1)  # (heads, tokens, head size)
    with torch.autocast(query.device.type, enabled=False):
        return torch.softmax(query @ key.transpose(1, 2) * scaling, dim=-1)


def _per_base(values: np.ndarray, length: int, checkpoint: Checkpoint) -> np.ndarray:
    """Turn attention to the tokens of sequences of one length into scores of their bases, shape (sequences, length)."""
    k, stride = checkpoint.k, checkpoint.stride
    tokens = (length - k) // stride + 1
    bases = fold_to_bases(values[:, 1 : tokens + 1], k, stride)  # without [CLS] and [SEP]
    bases /= np.maximum(np.linalg.norm(bases, axis=1, keepdims=True), math.ulp(0.0))
    scores = np.zeros((len(values), length))
    scores[:, : bases.shape[1]] = bases
    return scores
