"""BERT's layers for inference: weights laid out once, what stands together computed together.

The products of query, key and value are one. On a CPU torch multiplies float32 through MKL, which uses half of what an
AMD processor with AVX512 has, and lays weights out anew in each product; here they are laid out for oneDNN once, and
the activation and the residual are added while a product is in registers. On a GPU the weights and what passes between
the layers are bfloat16; autocast would convert both for each product and normalise in float32, and all that is not a
product is bytes moved there. The numbers are those of the model: float32 stays float32.
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


class Products(NamedTuple):
    """How a device multiplies: what it makes of weight and bias, and what it does with that and rows of numbers."""

    lay_out: Callable[[torch.Tensor, torch.Tensor], Any]
    linear: Callable[[torch.Tensor, Any], torch.Tensor]
    linear_gelu: Callable[[torch.Tensor, Any], torch.Tensor]
    linear_plus: Callable[[torch.Tensor, Any, torch.Tensor], torch.Tensor]


class Layer(NamedTuple):
    """One layer of BERT: four linear layers as they are laid out, two norms as functions."""

    query_key_value: Any
    attended: Any
    up: Any
    down: Any
    norm_attended: Callable[[torch.Tensor], torch.Tensor]
    norm_out: Callable[[torch.Tensor], torch.Tensor]


def prepare(bert: transformers.BertModel, precision: torch.dtype) -> Encoder | None:
    """Lay the weights of an encoder out for the device it is on.

    Parameters
    ----------
    bert : transformers.BertModel
        Later changes of its weights do not reach what is returned.
    precision : torch.dtype
        float32 or bfloat16.

    Returns
    -------
    Encoder or None
        For `layers_from`; None where torch has no oneDNN for a CPU, oneDNN no bfloat16, or the model is not of the
        usual form.
    """
    products = _PLAIN if bert.device.type == "cuda" else _ONEDNN if _has_onednn(precision) else None
    if products is None or bert.config.hidden_act != "gelu":
        return None
    heads = bert.config.num_attention_heads
    layers = [_layer(layer, precision, products) for layer in cast(Any, bert.encoder).layer]
    linear, linear_gelu, linear_plus = products[1:]

    def run(hidden: torch.Tensor, batch: PackedBatch, rows: torch.Tensor | None, each: Reader | None) -> torch.Tensor:
        """Compute the layers: an `Encoder`."""
        hidden = hidden.to(precision)  # (tokens, hidden size)
        tokens, size = hidden.shape
        # everything has its type already; on a GPU autocast would normalise in float32 and hand that on
        with torch.autocast(hidden.device.type, enabled=False):
            for layer in layers:
                query, key, value = (
                    linear(hidden, layer.query_key_value).view(tokens, 3, heads, size // heads).unbind(dim=1)
                )
                attended = attend(query, key, value, batch.cu_seqlens, batch.max_seqlen).reshape(tokens, size)
                if rows is not None and layer is layers[-1]:
                    attended, hidden = attended[rows], hidden[rows]  # (rows, hidden size)
                hidden = layer.norm_attended(linear_plus(attended, layer.attended, hidden))
                hidden = layer.norm_out(linear_plus(linear_gelu(hidden, layer.up), layer.down, hidden))
                if each:
                    each(hidden)
        return hidden

    return run


def _layer(layer: Any, precision: torch.dtype, products: Products) -> Layer:
    attention = layer.attention

    def laid_out(*linears: torch.nn.Linear) -> Any:
        weight, bias = (torch.cat([getattr(one, name) for one in linears]) for name in ("weight", "bias"))
        return products.lay_out(weight.to(precision), bias.to(precision))

    with torch.inference_mode():
        return Layer(
            laid_out(attention.self.query, attention.self.key, attention.self.value),
            laid_out(attention.output.dense),
            laid_out(layer.intermediate.dense),
            laid_out(layer.output.dense),
            _norm(attention.output.LayerNorm, precision),
            _norm(layer.output.LayerNorm, precision),
        )


def _norm(norm: torch.nn.LayerNorm, precision: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the norm as a function; its weights stay float32 where the device takes them beside bfloat16."""
    weight, bias = (
        part.detach().to(precision if part.is_cuda else torch.float32, copy=True) for part in (norm.weight, norm.bias)
    )
    return lambda hidden: F.layer_norm(hidden, weight.shape, weight, bias, norm.eps)


def _has_onednn(precision: torch.dtype) -> bool:
    operations = torch.ops.mkldnn
    return bool(
        torch.backends.mkldnn.is_available()
        and hasattr(operations, "_linear_pointwise")
        and hasattr(operations, "_reorder_linear_weight")
        and (precision == torch.float32 or operations._is_mkldnn_bf16_supported())
    )


_ONEDNN = Products(
    lay_out=lambda weight, bias: (torch.ops.mkldnn._reorder_linear_weight(weight, TYPICAL_ROWS), bias),
    linear=lambda rows, own: torch.ops.mkldnn._linear_pointwise(rows, *own, "none", [], ""),
    linear_gelu=lambda rows, own: torch.ops.mkldnn._linear_pointwise(rows, *own, "gelu", [], "none"),
    linear_plus=lambda rows, own, other: torch.ops.mkldnn._linear_pointwise.binary(rows, other, *own, "add"),
)
_PLAIN = Products(
    lay_out=lambda weight, bias: (weight, bias),
    linear=lambda rows, own: F.linear(rows, *own),
    linear_gelu=lambda rows, own: F.gelu(F.linear(rows, *own)),
    linear_plus=lambda rows, own, other: F.linear(rows, *own).add_(other),
)
