"""transformers' BERT encoder over a packed batch, computing only what is read from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
import transformers

from dnabert.model.packing import PackedBatch

Reader: TypeAlias = Callable[[torch.Tensor], None]
"""Takes what a layer gives, shape (tokens, hidden size)."""
Encoder: TypeAlias = Callable[[torch.Tensor, PackedBatch, torch.Tensor | None, Reader | None], torch.Tensor]
"""Takes embeddings, shape (tokens, hidden size), the batch, the rows to return and who reads each layer; what `encode`
does after the embeddings."""

_layers: ContextVar[Encoder | None] = ContextVar("layers", default=None)


@contextmanager
def layers_from(encoder: Encoder | None) -> Iterator[None]:
    """Let `encode` compute a model's layers in another way within the block; None is its own way."""
    token = _layers.set(encoder)
    try:
        yield
    finally:
        _layers.reset(token)


def encode(
    bert: transformers.BertModel, batch: PackedBatch, rows: torch.Tensor | None = None, each: Reader | None = None
) -> torch.Tensor:
    """Run the encoder over a packed batch.

    Parameters
    ----------
    bert : transformers.BertModel
        The encoder, with packed attention.
    batch : PackedBatch
    rows : torch.Tensor, int64, shape (rows,), optional
        Which tokens are read; all by default. Nothing reads the others' last layer, so all of it but attention, three
        quarters of its products, is computed for these alone.
    each : Reader, optional
        Is given the embeddings and what each layer makes of them, in their order; of the last one `rows`.

    Returns
    -------
    torch.Tensor, shape (rows, hidden size)
        The last layer.
    """
    boundaries = {"cu_seqlens": batch.cu_seqlens, "max_seqlen": batch.max_seqlen}
    embedded = _embed(bert.embeddings, batch)  # (tokens, hidden size)
    if each:
        each(embedded)
    layers = None if torch.compiler.is_compiling() else _layers.get()  # they are for inference, which is not compiled
    if layers is not None:
        return layers(embedded, batch, rows, each)
    hidden = embedded[None]  # (1, tokens, hidden size): one row, boundaries beside it
    for layer in bert.encoder.layer[:-1]:
        hidden = layer(hidden, None, **boundaries)
        if each:
            each(hidden.squeeze(0))
    last = bert.encoder.layer[-1]
    attended, _ = last.attention.self(hidden, None, **boundaries)
    if rows is not None:
        # (1, rows, hidden size); not by brackets, whose gradient is sorted on a GPU because rows might repeat
        attended, hidden = attended.index_select(1, rows), hidden.index_select(1, rows)
    out: torch.Tensor = last.feed_forward_chunk(last.attention.output(attended, hidden)).squeeze(0)
    if each:
        each(out)
    return out


def _embed(embeddings: Any, batch: PackedBatch) -> torch.Tensor:
    """Do what BERT's embeddings do, shape (tokens, hidden size).

    Their own way gathers the type of each token, and the gradient of that sums all tokens into one row or two.
    """
    types = embeddings.token_type_embeddings
    of_type = types.weight[0] if batch.segment_ids is None else types(batch.segment_ids)
    total = embeddings.word_embeddings(batch.input_ids) + of_type + embeddings.position_embeddings(batch.position_ids)
    hidden: torch.Tensor = embeddings.dropout(embeddings.LayerNorm(total))
    return hidden
