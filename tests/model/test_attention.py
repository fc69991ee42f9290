"""Attention on a CPU as products, against the formula in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dnabert
from dnabert.model import attention, checkpoint, device
from dnabert.model.packing import pack
from dnabert.training.trainer import PackedTrainer
from tests.conftest import tiny_model, write_bound

LENGTHS = [9, 9, 9, 4, 1, 6, 6]


def inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    """Query, key and value, shape (tokens, heads, head size), to take gradients of."""
    generator = torch.Generator().manual_seed(1)
    parts = torch.randn(3, sum(LENGTHS), 2, 8, generator=generator).to(torch.bfloat16)
    return [part.to(dtype).requires_grad_() for part in parts]


def by_the_formula(parts: list[torch.Tensor], scale: float) -> torch.Tensor:
    sequences = zip(*(part.split(LENGTHS) for part in parts), strict=True)
    return torch.cat(
        [
            torch.einsum("hqk,khd->qhd", torch.softmax(torch.einsum("qhd,khd->hqk", q, k) * scale, dim=-1), v)
            for q, k, v in sequences
        ]
    )


@pytest.mark.parametrize(("dtype", "off"), [(torch.bfloat16, 0.02), (torch.float32, 2e-6)])
@pytest.mark.parametrize("cache_bytes", [1, 500, 4_000_000])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_products_follow_the_formula_both_ways(
    dtype: torch.dtype, off: float, cache_bytes: int, scaling: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "CACHE_BYTES", cache_bytes)
    monkeypatch.setattr(attention, "gains_from_onednn", lambda: True)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    monkeypatch.setattr(attention, "scaled_dot_product_attention", None)  # it is not asked
    bounds = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32)
    ours, exact = inputs(dtype), inputs(torch.float64)
    query, key, value = ours
    out = attention.attend(query, key, value, bounds, max(LENGTHS), scaling)
    expected = by_the_formula(exact, scaling or 8**-0.5)
    torch.testing.assert_close(out.double(), expected, atol=off, rtol=0)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    out.backward(upstream)
    expected.backward(upstream.double())
    for one, other in zip(ours, exact, strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, atol=2.5 * off, rtol=0)


@pytest.mark.parametrize(("gains", "precision"), [(False, "medium"), (True, "highest")])
def test_float32_is_left_to_torch_where_it_does_not_ask_onednn(
    gains: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "gains_from_onednn", lambda: gains)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    monkeypatch.setattr(attention._ProductAttention, "apply", None)  # it is not asked
    bounds = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32)
    query, key, value = inputs(torch.float32)
    out = attention.attend(query, key, value, bounds, max(LENGTHS))
    torch.testing.assert_close(out.double(), by_the_formula(inputs(torch.float64), 8**-0.5), atol=2e-6, rtol=0)


def test_float32_takes_products_in_inference_and_in_training(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[Any] = []
    cut, step = attention._cache_parts, PackedTrainer.training_step

    def counted(*given: Any) -> Any:
        parts.append(given)
        return cut(*given)

    def counted_alone(*given: Any) -> torch.Tensor:
        parts.clear()
        loss = step(*given)
        assert len(parts) == 2 * 2, "two layers, forward and back"
        return loss

    monkeypatch.setattr(attention, "_cache_parts", counted)
    monkeypatch.setattr(attention, "gains_from_onednn", lambda: True)
    monkeypatch.setattr(device, "_medium_is_exact", lambda: True)
    model = tiny_model(tmp_path / "model", "classification", labels=("no", "yes"))
    where: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    dnabert.load(model, **where).predict(["ACGTACGTAA"])
    assert len(parts) == 2
    monkeypatch.setattr(PackedTrainer, "training_step", counted_alone)
    data = write_bound(tmp_path / "data", rng)
    dnabert.finetune(data, model, tmp_path / "out", epochs=1, batch_size=80, method="full", **where)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_cover_every_token_once(dtype: torch.dtype) -> None:
    runs = [(20, 100), (1, 2000), (3, 7)]
    parts = list(attention._cache_parts(runs, torch.empty(0, 12, 8, dtype=dtype)))
    assert [part[0] for part in parts] == [0, *torch.tensor([n * length for _, n, length in parts]).cumsum(0)[:-1]]
    assert sum(count * length for _, count, length in parts) == 20 * 100 + 2000 + 21
    weights = [12 * count * length**2 * dtype.itemsize for _, count, length in parts if count > 1]
    assert weights
    assert max(weights) <= attention.CACHE_BYTES


def test_training_keeps_no_attention_weights() -> None:
    query, key, value = (torch.randn(600, 2, 8).bfloat16().requires_grad_() for _ in range(3))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attention.attend(query, key, value, torch.tensor([0, 300, 600], dtype=torch.int32), 300)
    assert sum(kept.values()) == 3 * query.nbytes  # 600 x 2 x 300 weights would be nineteen times as much


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lengths_are_looked_at_once_a_batch(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[torch.Tensor] = []
    look = torch.unique_consecutive

    def counted(lengths: torch.Tensor, **named: bool) -> Any:
        looks.append(lengths)
        return look(lengths, **named)

    monkeypatch.setattr(torch, "unique_consecutive", counted)
    model = checkpoint.load(tiny_model(tmp_path)).model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        for count, lengths in ((1, [9, 9, 4]), (2, [5, 3])):
            model(*pack([np.arange(5, 5 + length) for length in lengths]))
            assert len(looks) == count
