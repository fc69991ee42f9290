"""What passes between the layers in mixed precision."""

from typing import Any

import torch
from torch import nn


def narrow(model: nn.Module, device: torch.device, precision: torch.dtype) -> None:
    """On a GPU in bfloat16 let layer norms give that within `torch.autocast`, outside of which nothing changes.

    They compute in float32 all the same. Autocast leaves their output in float32 and rounds it for each product that
    reads it, four times a layer of BERT; rounded once, it takes half of the memory, and so do the sums beside it and
    their gradients.
    """
    if device.type != "cuda" or precision != torch.bfloat16:
        return
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(_rounded)


def _rounded(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
    kind = output.device.type
    return output.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else output
