"""Counted operations against torch's own counter."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dnabert.model import presets
from dnabert.model.flops import forward_flops, peak_flops
from dnabert.model.packing import pack
from tests.conftest import TINY


@pytest.mark.parametrize("lengths", [[50, 50], [10, 90, 31]])
def test_operations_equal_those_that_torch_counts(lengths: list[int], rng: np.random.Generator) -> None:
    config = presets.configuration(TINY, 4)
    model = presets.new_model(config, "masked-lm", 4, 0).eval()
    batch = pack([rng.integers(5, 261, length) for length in lengths])
    tokens = len(batch.input_ids)
    # as products: torch's counter does not know the fused kernel
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*batch, rows=torch.arange(tokens))
    packed = batch.cu_seqlens.diff().numpy()
    assert forward_flops(config, packed, 1.0) * tokens == pytest.approx(counter.get_total_flops())


def test_the_peak_is_measured() -> None:
    assert peak_flops(torch.device("cpu"), torch.float32) > 1e9
