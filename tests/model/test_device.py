"""Where models compute, and in what numbers."""

import pytest
import torch

from dnabert.errors import InputError
from dnabert.model import device as devices

CPU = torch.device("cpu")


def test_float32_stays_float32_whatever_way_it_takes() -> None:
    generator = torch.Generator().manual_seed(5)
    left, right = (torch.randn(300, 300, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    before = torch.get_float32_matmul_precision()
    with devices.computing(CPU, torch.float32):
        product = left @ right
    assert product.dtype == torch.float32
    assert float((product - exact).abs().max() / exact.abs().max()) < devices.EXACT
    assert torch.get_float32_matmul_precision() == before


def test_bfloat16_computes_products_in_bfloat16_and_leaves_no_trace() -> None:
    with devices.computing(CPU, torch.bfloat16):
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.bfloat16
    assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("could not create a primitive"), True),
        (MemoryError("Unable to allocate 1.00 TiB for an array"), True),
        (RuntimeError("shapes differ"), False),
        (RuntimeError("could not create a primitive descriptor for a matmul"), False),
    ],
)
def test_memory_that_is_full_is_told_whatever_the_words(error: Exception, full: bool) -> None:
    with pytest.raises(devices.DeviceMemoryError if full else type(error)), devices.within_memory("no memory"):
        raise error


def test_a_way_that_is_not_exact_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "EXACT", 0.0)  # as if the processor computed in fewer bits
    devices._medium_is_exact.cache_clear()
    with devices.computing(CPU, torch.float32):
        assert torch.get_float32_matmul_precision() == "highest"
    devices._medium_is_exact.cache_clear()


def test_choices_and_their_errors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.choose_precision("float32", CPU) == torch.float32
    monkeypatch.setattr(devices, "_has_bfloat16", lambda _: False)
    assert devices.choose_precision("auto", CPU) == torch.float32
    assert devices.describe(CPU, torch.float32) == "cpu in float32"
    assert devices.choose_precision("bfloat16", CPU) == torch.bfloat16
    assert "--precision bfloat16: cpu has none; float32 is many times as fast" in capsys.readouterr().err
    monkeypatch.setattr(devices, "_has_bfloat16", lambda _: True)
    assert devices.choose_precision("auto", CPU) == torch.bfloat16
    assert devices.describe(CPU, torch.bfloat16) == "cpu in bfloat16"
    with pytest.raises(InputError, match="--device cuda:7"):
        devices.choose_device("cuda:7")
