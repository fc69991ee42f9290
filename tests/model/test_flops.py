"""Counted operations against torch's own counter."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dnabert.model import flops, presets
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
    peak = peak_flops(torch.device("cpu"), torch.float32)
    assert peak > 1e9
    assert peak_flops(torch.device("cpu"), torch.float32) == peak, "it is measured once"


@pytest.mark.parametrize(("seconds", "rows"), [(1e-3, [512, 2048]), (1.0, [512])])
def test_a_slow_processor_is_measured_by_a_small_product(
    seconds: float, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def product_seconds(size: int, *_: object) -> float:
        asked.append(size)
        return seconds * (size / 512) ** 3

    monkeypatch.setattr(flops, "_product_seconds", product_seconds)
    measured = peak_flops.__wrapped__(torch.device("cpu"), torch.bfloat16)
    assert measured == pytest.approx(2 * 512**3 / seconds)
    assert asked == rows
