"""Attention between the positions of a sequence: who looks at a site, and the map of all pairs."""

import functools
import itertools

import numpy as np
import torch

from dnabert.errors import InputError
from dnabert.inference.attention import LAST_LAYER, Chosen, choose, full_map, read_batch, summing_reader
from dnabert.inference.engine import Engine, Given, as_table, run, stream
from dnabert.sequence import tables, windows
from dnabert.sequence.kmers import fold_to_bases


def context(
    engine: Engine,
    sequences: Given,
    position: int,
    *,
    layers: Chosen = None,
    heads: Chosen = None,
    batch_tokens: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Score each base by its attention to one position, the paper's attention landscape.

    Attention is summed over the chosen heads of the chosen layers, averaged over the tokens that cover the position,
    and averaged again over the tokens that cover each base.

    Parameters
    ----------
    engine : Engine
        With any model.
    sequences : Table, pyarrow string array or sequence of str
        Aligned: all of one length.
    position : int
        0-based; negative ones count from the end.
    layers, heads : sequence of int or `all`, optional
        The last layer and all heads by default.
    batch_tokens : int, optional
        Tokens computed at a time.
    out : np.ndarray, float32, shape (sequences, bases), optional
        Where to write.

    Returns
    -------
    np.ndarray, float32, shape (sequences, bases)
        Their mean over sequences is the landscape.

    Raises
    ------
    InputError
        If lengths differ, or there is no such position, layer or head.
    """
    table = as_table(sequences)
    loaded = engine.checkpoint
    windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    lengths = np.diff(table.offsets)
    if lengths.min() != lengths.max():
        row = int((lengths != lengths[0]).argmax())
        raise InputError(
            f"{table.where(row)}: the sequence has {lengths[row]} bases, the first has {lengths[0]}; context is "
            "averaged over aligned sequences, so all must have one length"
        )
    bases = int(lengths[0])
    tokens = (bases - loaded.k) // loaded.stride + 1
    covered = (tokens - 1) * loaded.stride + loaded.k
    if not -bases <= position < bases or (position % bases >= covered > 0):
        raise InputError(
            f"--position {position}: there is no such base in sequences of {covered} bases; 0 is the first"
        )
    position %= bases
    starts = np.arange(tokens) * loaded.stride
    columns = 1 + np.flatnonzero((starts <= position) & (position < starts + loaded.k))  # [CLS] is token 0

    def to_position(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> torch.Tensor:
        bounds = itertools.pairwise(cu_seqlens.tolist())
        maps = (full_map(query[start:end], key[start:end], scaling).sum(dim=0) for start, end in bounds)
        return torch.stack([weights[:, columns].mean(dim=1) for weights in maps])  # (sequences, tokens)

    chosen = choose("layer", LAST_LAYER if layers is None else layers, loaded.model.config.num_hidden_layers)
    some = choose("head", heads, loaded.model.config.num_attention_heads)
    make = functools.partial(summing_reader, layers=chosen, heads=some, compute=to_position)
    out = np.zeros((table.rows, bases), dtype=np.float32) if out is None else out

    def keep(rows: np.ndarray, values: np.ndarray) -> None:
        out[rows] = 0
        out[rows, :covered] = fold_to_bases(values[:, 1:-1], loaded.k, loaded.stride)

    stream(engine, table, functools.partial(read_batch, make=make), keep, batch_tokens, "Reading attention")
    return out


def attention_map(
    engine: Engine, sequences: Given, row: int = 0, *, layers: Chosen = None, heads: Chosen = None
) -> np.ndarray:
    """Compute the attention of each base of a sequence to each.

    Parameters
    ----------
    engine : Engine
        With any model.
    sequences : Table, pyarrow string array or sequence of str
    row : int
        Which of them.
    layers, heads : sequence of int or `all`, optional
        The last layer and all heads by default; attention is summed over both.

    Returns
    -------
    np.ndarray, float64, shape (bases, bases)
        Entry (i, j): the attention of base i to base j, averaged over the tokens that cover them.

    Raises
    ------
    InputError
        If there is no such row, layer or head.
    """
    table = as_table(sequences)
    if not 0 <= row < table.rows:
        raise InputError(f"--row {row}: there are {table.rows} sequences, 0 to {table.rows - 1}")
    loaded = engine.checkpoint
    chosen = choose("layer", LAST_LAYER if layers is None else layers, loaded.model.config.num_hidden_layers)
    some = choose("head", heads, loaded.model.config.num_attention_heads)

    def whole(query: torch.Tensor, key: torch.Tensor, _: torch.Tensor, scaling: float) -> torch.Tensor:
        return full_map(query, key, scaling).sum(dim=0)[None]  # (1, tokens, tokens)

    make = functools.partial(summing_reader, layers=chosen, heads=some, compute=whole)
    alone = tables.select(table, np.array([row]))
    (tokens,) = run(engine, alone, functools.partial(read_batch, make=make), None, None)
    inner = tokens[1:-1, 1:-1]  # without [CLS] and [SEP]
    attended = fold_to_bases(inner, loaded.k, loaded.stride)  # (tokens, bases)
    return fold_to_bases(attended.T, loaded.k, loaded.stride).T
