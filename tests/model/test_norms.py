"""Norms that give the lower precision within autocast, and nothing else."""

from pathlib import Path

import numpy as np
import torch

from dnabert.model import checkpoint
from dnabert.model.device import computing
from dnabert.model.encoder import encode
from dnabert.model.norms import narrow
from dnabert.model.packing import pack
from tests.conftest import tiny_model


def test_norms_are_rounded_within_autocast_alone(tmp_path: Path, rng: np.random.Generator) -> None:
    batch = pack([rng.integers(5, 261, length) for length in (40, 7, 61)])
    model = checkpoint.load(tiny_model(tmp_path)).model.eval()
    before = encode(model.bert, batch)
    with computing(torch.device("cpu"), torch.bfloat16):
        wide = encode(model.bert, batch)
    names = list(model.state_dict())
    for device, precision in (("cpu", torch.bfloat16), ("cuda", torch.float32)):
        narrow(model, torch.device(device), precision)
    assert not any(module._forward_hooks for module in model.modules())
    narrow(model, torch.device("cuda"), torch.bfloat16)
    assert list(model.state_dict()) == names  # directories stay what they are
    assert torch.equal(encode(model.bert, batch), before)
    with computing(torch.device("cpu"), torch.bfloat16):
        rounded = encode(model.bert, batch)
    assert (before.dtype, wide.dtype, rounded.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    # what is rounded once is as near to float32 as what is rounded for each product
    errors = [(one.float() - before).norm() / before.norm() for one in (wide, rounded)]
    assert errors[1] < max(2 * errors[0], 0.01)
    rounded.float().square().sum().backward()
    assert all(one.grad is not None and one.grad.dtype == torch.float32 for one in model.bert.encoder.parameters())
