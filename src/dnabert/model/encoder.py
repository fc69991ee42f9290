"""transformers' BERT encoder over a packed batch, computing only what is read from it."""

from collections.abc import Callable
from typing import TypeAlias

import torch
import transformers

from dnabert.model.packing import PackedBatch, model_inputs

Encoder: TypeAlias = Callable[[torch.Tensor, PackedBatch, torch.Tensor | None], torch.Tensor]
"""Takes embeddings, shape (tokens, hidden size), the batch and the rows to return; what `encode` does after them."""


def encode(bert: transformers.BertModel, batch: PackedBatch, rows: torch.Tensor | None = None) -> torch.Tensor:
    """Run the encoder over a packed batch.

    Parameters
    ----------
    bert : transformers.BertModel
        The encoder, with packed attention. If it has an attribute `prepared`, an `Encoder`, its layers are computed by
        that.
    batch : PackedBatch
    rows : torch.Tensor, int64, shape (rows,), optional
        Which tokens are read; all by default. Nothing reads the others' last layer, so all of it but attention, three
        quarters of its products, is computed for these alone.

    Returns
    -------
    torch.Tensor, shape (rows, hidden size)
        The last layer.
    """
    inputs = model_inputs(batch)
    # token types are all 0 (one sequence a row); given, so that BERT does not gather them from its positions
    hidden = bert.embeddings(
        input_ids=inputs.pop("input_ids"),  # (1, tokens)
        position_ids=inputs.pop("position_ids"),
        token_type_ids=torch.zeros_like(batch.input_ids)[None],
    )  # (1, tokens, hidden size)
    prepared: Encoder | None = getattr(bert, "prepared", None)
    if prepared is not None:
        return prepared(hidden[0], batch, rows)
    for layer in bert.encoder.layer[:-1]:
        hidden = layer(hidden, None, **inputs)
    last = bert.encoder.layer[-1]
    attended, _ = last.attention.self(hidden, None, **inputs)
    if rows is not None:
        attended, hidden = attended[:, rows], hidden[:, rows]  # (1, rows, hidden size)
    out: torch.Tensor = last.feed_forward_chunk(last.attention.output(attended, hidden))[0]
    return out
