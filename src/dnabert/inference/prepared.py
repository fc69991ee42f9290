"""BERT's layers for inference on a CPU: weights laid out once for oneDNN, what stands together computed together.

torch multiplies float32 on a CPU through MKL, which uses half of what an AMD processor with AVX512 has, and lays
weights out anew in each product. Here the weights are laid out once, the products of query, key and value are one, and
the activation and the residual are added while a product is in registers. The numbers are those of the model: float32
stays float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
import transformers

from dnabert.model.attention import attend
from dnabert.model.encoder import Encoder, Reader
from dnabert.model.packing import PackedBatch

TYPICAL_ROWS = 2048
"""Rows of the products for which oneDNN chooses the layout of the weights."""


class Product(NamedTuple):
    """A linear layer: its weight as oneDNN lays it out, and its bias, shape (outputs,)."""

    weight: torch.Tensor
    bias: torch.Tensor


class Layer(NamedTuple):
    """One layer of BERT: four products, two norms as functions."""

    query_key_value: Product
    attended: Product
    up: Product
    down: Product
    norm_attended: Callable[[torch.Tensor], torch.Tensor]
    norm_out: Callable[[torch.Tensor], torch.Tensor]


def prepare(bert: transformers.BertModel, precision: torch.dtype) -> Encoder | None:
    """Lay the weights of an encoder out for this processor.

    Parameters
    ----------
    bert : transformers.BertModel
        On the CPU. Later changes of its weights do not reach what is returned.
    precision : torch.dtype
        float32 or bfloat16.

    Returns
    -------
    Encoder or None
        For `layers_from`; None where torch has no oneDNN, oneDNN no bfloat16, or the model is not of the usual form.
    """
    operations = torch.ops.mkldnn
    if not (
        torch.backends.mkldnn.is_available()
        and hasattr(operations, "_linear_pointwise")
        and hasattr(operations, "_reorder_linear_weight")
        and (precision == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
        and bert.config.hidden_act == "gelu"
    ):
        return None
    heads = bert.config.num_attention_heads
    layers = [_layer(layer, precision) for layer in cast(Any, bert.encoder).layer]

    def run(hidden: torch.Tensor, batch: PackedBatch, rows: torch.Tensor | None, each: Reader | None) -> torch.Tensor:
        """Compute the layers: an `Encoder`."""
        hidden = hidden.to(precision)  # (tokens, hidden size)
        tokens, size = hidden.shape
        for layer in layers:
            query, key, value = (
                _linear(hidden, layer.query_key_value).view(tokens, 3, heads, size // heads).unbind(dim=1)
            )
            attended = attend(query, key, value, batch.cu_seqlens, batch.max_seqlen).reshape(tokens, size)
            if rows is not None and layer is layers[-1]:
                attended, hidden = attended[rows], hidden[rows]  # (rows, hidden size)
            hidden = layer.norm_attended(_linear_plus(attended, layer.attended, hidden))
            hidden = layer.norm_out(_linear_plus(_linear_gelu(hidden, layer.up), layer.down, hidden))
            if each:
                each(hidden)
        return hidden

    return run


def _layer(layer: Any, precision: torch.dtype) -> Layer:
    attention = layer.attention
    return Layer(
        _product([attention.self.query, attention.self.key, attention.self.value], precision),
        _product([attention.output.dense], precision),
        _product([layer.intermediate.dense], precision),
        _product([layer.output.dense], precision),
        _norm(attention.output.LayerNorm),
        _norm(layer.output.LayerNorm),
    )


def _product(linears: list[torch.nn.Linear], precision: torch.dtype) -> Product:
    with torch.inference_mode():
        weight = torch.cat([linear.weight for linear in linears]).to(precision)
        bias = torch.cat([linear.bias for linear in linears]).to(precision)
        return Product(torch.ops.mkldnn._reorder_linear_weight(weight, TYPICAL_ROWS), bias)


def _norm(norm: torch.nn.LayerNorm) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, bias = norm.weight.detach().clone(), norm.bias.detach().clone()  # float32, whatever the precision
    return lambda hidden: F.layer_norm(hidden, weight.shape, weight, bias, norm.eps)


def _linear(rows: torch.Tensor, product: Product) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, *product, "none", [], "")
    return out


def _linear_gelu(rows: torch.Tensor, product: Product) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, *product, "gelu", [], "none")
    return out


def _linear_plus(rows: torch.Tensor, product: Product, residual: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, residual, *product, "add")
    return out
