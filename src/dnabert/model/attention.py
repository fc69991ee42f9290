"""Attention over packed sequences, registered in transformers as `dnabert_packed`.

A model that is loaded with `attn_implementation="dnabert_packed"` passes the boundaries it gets as keyword arguments of
`forward` on to this function. Nothing else in transformers' BERT changes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from dnabert.model.device import gains_from_onednn

PACKED_ATTENTION = "dnabert_packed"
CACHE_BYTES = 4_000_000
"""Weights of attention computed at a time on a CPU: what stays in its cache between the two products."""

Run = tuple[int, int]
"""Neighbouring sequences of one length: how many, and the tokens of each."""

Reader: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], None]
"""Takes a layer's query and key, shape (tokens, heads, head size), `cu_seqlens` and the factor on the scores."""

_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def reading(reader: Reader) -> Iterator[None]:
    """Show every layer's queries and keys to `reader`, in the order of the layers, within the block.

    The weights of attention are never all there at once; who wants some computes those from queries and keys.
    """
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def first_rows(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> torch.Tensor:
    """Compute the attention of each sequence's first token, `[CLS]`, to all of its tokens.

    Parameters
    ----------
    query, key : torch.Tensor, shape (tokens, heads, head size)
    cu_seqlens : torch.Tensor, int32, shape (sequences + 1,)
        Where each sequence starts.
    scaling : float
        Factor on the scores.

    Returns
    -------
    torch.Tensor, float32, shape (sequences, heads, longest)
        0 after the end of a sequence.
    """
    starts, lengths = cu_seqlens[:-1].long(), cu_seqlens.diff().long()
    sequence = torch.repeat_interleave(lengths)  # (tokens,)
    position = torch.arange(len(sequence), device=sequence.device) - starts[sequence]
    # a product an element and a sum, not a matrix product: float32 whatever the precision, and no more memory
    scores = (query[starts].float() * scaling)[sequence].mul_(key).sum(-1)  # (tokens, heads)
    rows = scores.new_full((len(starts), int(lengths.max()), scores.shape[1]), -torch.inf)
    rows[sequence, position] = scores
    return rows.softmax(dim=1).transpose(1, 2)


def mean_rows(query: torch.Tensor, key: torch.Tensor, cu_seqlens: torch.Tensor, scaling: float) -> torch.Tensor:
    """Compute the attention to each token, the mean over the sequence's k-mers; the rest as `first_rows`.

    The weights of a few sequences at a time are there, as many as stay in a CPU's cache, in the model's own precision.
    """
    counts = cu_seqlens.diff()
    rows = query.new_zeros((len(counts), query.shape[1], int(counts.max())), dtype=torch.float32)
    done = 0
    with torch.autocast(query.device.type, enabled=False):
        for first, count, length in _cache_parts(_equal_length_runs(cu_seqlens), query):
            q, k = (_by_head(tensor, (first, count, length)) for tensor in (query, key))
            mean = _weights(q, k, scaling)[:, 1:-1].mean(dim=1, dtype=torch.float32)
            rows[done : done + count, :, :length] = mean.view(count, -1, length)
            done += count
    return rows


def packed_attention(
    module: torch.nn.Module,  # noqa: ARG001 - transformers passes it
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - transformers passes it
    *,
    cu_seqlens: torch.Tensor,
    max_seqlen: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence of a packed batch.

    Parameters
    ----------
    module : torch.nn.Module
        The attention layer that calls; not used.
    query, key, value : torch.Tensor, shape (1, heads, tokens, head size)
    attention_mask : None
        Packed batches have no padding to mask.
    cu_seqlens : torch.Tensor, int32, shape (sequences + 1,)
        Where each sequence starts.
    max_seqlen : int
        Tokens of the longest sequence.
    scaling : float, optional
        Factor on the scores; the inverse root of the head size by default.
    dropout : float
        Dropout on the attention weights. Above 0 attention leaves the fast kernels.

    Returns
    -------
    tuple of torch.Tensor, shape (1, tokens, heads, head size), and None
        The second entry stands for the attention weights, which are not returned.
    """
    # (tokens, heads, head size); not by [0], whose gradient is written into a tensor of zeros
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    out = attend(query, key, value, cu_seqlens, max_seqlen, scaling, dropout)
    return out[None], None  # (1, tokens, heads, head size)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens: torch.Tensor,
    max_seqlen: int,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend within each sequence, on tensors of shape (tokens, heads, head size); the rest as `packed_attention`."""
    reader = None if torch.compiler.is_compiling() else _reader.get()  # it reads in inference, which is not compiled
    if reader is not None:
        reader(query, key, cu_seqlens, query.shape[-1] ** -0.5 if scaling is None else scaling)
    if query.is_cuda and dropout == 0 and query.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        boundaries = (cu_seqlens, cu_seqlens, max_seqlen, max_seqlen)
        return cast(torch.Tensor, varlen_attn(query, key, value, *boundaries, scale=scaling))
    return _attend_in_runs(query, key, value, cu_seqlens, scaling, dropout)


@torch.compiler.disable  # the shapes within depend on the lengths
def _attend_in_runs(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens: torch.Tensor,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    """Attend in dense blocks of neighbouring sequences of one length."""
    runs = _equal_length_runs(cu_seqlens)
    if not query.is_cuda and dropout == 0 and (query.dtype == torch.bfloat16 or _is_by_onednn(query)):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        out = _ProductAttention.apply(query, key, value, runs, scale)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, out)
    sizes = [count * length for count, length in runs]
    # one split (its gradient is one concatenation) instead of many slices (each gradient a full tensor of zeros)
    parts = zip(runs, *(torch.split(part, sizes) for part in (query, key, value)), strict=True)
    return torch.cat([_dense_attention(count, length, q, k, v, scaling, dropout) for (count, length), q, k, v in parts])


def _dense_attention(
    count: int,
    length: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    heads, size = query.shape[1:]
    # (count * length, heads, size) -> (count, heads, length, size)
    query, key, value = (part.view(count, length, heads, size).transpose(1, 2) for part in (query, key, value))
    out = scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scaling)
    return out.transpose(1, 2).reshape(count * length, heads, size)


def _is_by_onednn(tensor: torch.Tensor) -> bool:
    """Say whether oneDNN makes the products of numbers in float32, as it is let where AVX512 gains from that.

    torch's own kernel calls it for each small product, and each call is set up anew: at 75 tokens that takes 2 to 3
    times as long as the two products of a whole block (`benchmarks/attention_cpu.py`).
    """
    return tensor.dtype == torch.float32 and gains_from_onednn() and torch.get_float32_matmul_precision() == "medium"


class _ProductAttention(torch.autograd.Function):
    """Attention on a CPU as the two matrix products that it is.

    In bfloat16 torch's own kernel (scaled_dot_product_attention) reaches a sixth of what the processor's products do,
    or less; here a few sequences at a time go through oneDNN's products while their weights lie in the cache. On the
    way back the weights are computed again: to keep them takes heads x length numbers a token and layer.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, runs: list[Run], scale: float
    ) -> torch.Tensor:
        """Attend, part after part."""
        out = torch.empty_like(query)  # (tokens, heads, head size), as query, key and value
        with torch.autocast("cpu", enabled=False):
            for part in _cache_parts(runs, query):
                q, k, v = (_by_head(tensor, part) for tensor in (query, key, value))  # (count * heads, length, size)
                _write(out, part, torch.bmm(_weights(q, k, scale), v))
        ctx.save_for_backward(query, key, value)
        ctx.runs, ctx.scale = runs, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Compute the gradients of query, key and value, part after part."""
        query, key, value = ctx.saved_tensors
        grads = tuple(torch.empty_like(tensor) for tensor in (query, key, value))
        for part in _cache_parts(ctx.runs, query):
            q, k, v, g = (_by_head(tensor, part) for tensor in (query, key, value, gradient))
            weights = _weights(q, k, ctx.scale)
            scores = torch.ops.aten._softmax_backward_data(torch.bmm(g, v.transpose(1, 2)), weights, -1, weights.dtype)
            _write(grads[0], part, torch.bmm(scores, k).mul_(ctx.scale))
            _write(grads[1], part, torch.bmm(scores.transpose(1, 2), q).mul_(ctx.scale))
            _write(grads[2], part, torch.bmm(weights.transpose(1, 2), g))
        return *grads, None, None


def _cache_parts(runs: list[Run], query: torch.Tensor) -> Iterator[tuple[int, int, int]]:
    """Cut runs into parts whose attention weights fit into the cache: (first token, sequences, tokens of each)."""
    first = 0
    for count, length in runs:
        most = max(1, CACHE_BYTES // (query.element_size() * query.shape[1] * length * length))
        for done in range(0, count, most):
            part = min(most, count - done)
            yield first, part, length
            first += part * length


def _weights(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """Compute the weights of attention: (sequences * heads, length, size) -> (sequences * heads, length, length)."""
    return torch.softmax(torch.bmm(query * scale, key.transpose(1, 2)), dim=-1)


def _by_head(tensor: torch.Tensor, part: tuple[int, int, int]) -> torch.Tensor:
    first, count, length = part
    heads, size = tensor.shape[1:]
    tensor = tensor[first : first + count * length].view(count, length, heads, size)
    return tensor.transpose(1, 2).reshape(count * heads, length, size)


def _write(out: torch.Tensor, part: tuple[int, int, int], values: torch.Tensor) -> None:
    first, count, length = part
    heads, size = out.shape[1:]
    # (count * heads, length, size) -> (count, length, heads, size)
    values = values.view(count, heads, length, size).transpose(1, 2)
    out[first : first + count * length].view(count, length, heads, size).copy_(values)


def _equal_length_runs(cu_seqlens: torch.Tensor) -> list[Run]:
    """List how many neighbouring sequences have which length.

    The list is kept with the boundaries: every layer asks for it, and to read it a GPU has to be waited for.
    """
    runs: list[Run] | None = getattr(cu_seqlens, "runs", None)
    if runs is None:
        lengths, counts = torch.unique_consecutive(cu_seqlens.diff(), return_counts=True)
        runs = [run for run in zip(counts.tolist(), lengths.tolist(), strict=True) if run[1]]
        cu_seqlens.runs = runs  # type: ignore[attr-defined]
    return runs


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: the boundaries say all there is to say."""


# the mask's for transformers' own `forward`, which asks for one; `encoder.encode` gives None
AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
