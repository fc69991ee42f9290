"""Attention over packed sequences, registered in transformers as `dnabert_packed`.

A model that is loaded with `attn_implementation="dnabert_packed"` passes the boundaries it gets as keyword arguments of
`forward` on to this function. Nothing else in transformers' BERT changes.
"""

from typing import Any, cast

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

PACKED_ATTENTION = "dnabert_packed"


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
        The second entry stands for the attention weights, which are never formed.
    """
    query, key, value = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)
    # (tokens, heads, head size)
    if query.is_cuda and dropout == 0 and query.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        boundaries = (cu_seqlens, cu_seqlens, max_seqlen, max_seqlen)
        out = cast(torch.Tensor, varlen_attn(query, key, value, *boundaries, scale=scaling))
        return out[None], None
    runs = _equal_length_runs(cu_seqlens)
    sizes = [count * length for count, length in runs]
    # one split (its gradient is one concatenation) instead of many slices (each gradient a full tensor of zeros)
    parts = zip(runs, *(torch.split(part, sizes) for part in (query, key, value)), strict=True)
    out = torch.cat([_dense_attention(count, length, q, k, v, scaling, dropout) for (count, length), q, k, v in parts])
    return out[None], None  # (1, tokens, heads, head size)


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


def _equal_length_runs(cu_seqlens: torch.Tensor) -> list[tuple[int, int]]:
    """List (sequences, tokens of each) for the runs of neighbouring sequences of one length."""
    lengths, counts = torch.unique_consecutive(cu_seqlens.diff(), return_counts=True)
    return list(zip(counts.tolist(), lengths.tolist(), strict=True))


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: the boundaries say all there is to say."""


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
