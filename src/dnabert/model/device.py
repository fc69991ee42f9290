"""Where models compute and in what numbers: the one place where device and precision are decided.

`auto` takes bfloat16 where the processor computes in it: right for logits and for training, and several times as fast
as float32. Small differences (between alleles, say) drown in its rounding; what computes them asks for float32.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from dnabert.errors import InputError
from dnabert.progress import say

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EXACT = 2e-6
"""Largest relative error of a product in float32 that is still float32's own: 8e-7 was measured, bfloat16's is 4e-3."""


def choose_device(name: str) -> torch.device:
    """Turn a device's name into the device; `auto` is CUDA if there is one, else the CPU.

    Under torchrun `auto` and `cuda` are the device of this process: `LOCAL_RANK` numbers them.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: there is no such device here ({reason}); give auto, cpu or cuda") from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn a precision's name into a type; `auto` is bfloat16 where the processor computes in it, else float32."""
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    if name not in PRECISIONS:
        raise InputError(f"--precision {name}: give auto, {' or '.join(PRECISIONS)}")
    if name == "bfloat16" and not _has_bfloat16(device):
        say(f"Warning: --precision bfloat16: {device} has none; float32 is many times as fast")
    return PRECISIONS[name]


def describe(device: torch.device, precision: torch.dtype) -> str:
    """Name device and precision, for a message: `cpu in bfloat16`."""
    return f"{device} in {str(precision).removeprefix('torch.')}"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def gains_from_layout(device: torch.device, precision: torch.dtype) -> bool:
    """Say whether inference is faster with weights laid out once (`dnabert.inference.prepared`).

    In bfloat16 it is, on a GPU as on a CPU. On a CPU in float32 it is on an AMD Zen 5, because MKL, torch's own way,
    leaves half of AVX512 unused there; on an AMD Zen 3, with AVX2 alone, it is not (`base`, 75 k-mers, one core: 4.8
    against 5.9 sequences/s). Other processors were not measured and are taken to follow AVX512.
    """
    if precision == torch.bfloat16:
        return device.type in ("cpu", "cuda")
    return device.type == "cpu" and gains_from_onednn()


def gains_from_onednn() -> bool:
    """Say whether torch lets oneDNN make this CPU's products in float32: with AVX512; with AVX2 alone MKL does."""
    return bool(torch.backends.cpu.get_cpu_capability() == "AVX512")


@contextmanager
def computing(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Compute products in `precision` within the block, those in float32 on the fastest way that is exact.

    No weight may change within the block: torch keeps its copies in bfloat16 until the outermost such block ends.

    Parameters
    ----------
    device : torch.device
    precision : torch.dtype
        float32 or bfloat16.
    """
    with exact_float32(device), torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
        yield


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Compute products in float32 on the fastest way that is exact within the block."""
    with _medium_precision() if device.type == "cpu" and _medium_is_exact() else nullcontext():
        yield


@contextmanager
def _medium_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@functools.cache
def _medium_is_exact() -> bool:
    """Find out whether "medium" precision is float32 through oneDNN (on AMD: twice MKL's speed), or fewer bits.

    On a CPU, torch takes "medium" as leave to use oneDNN, which computes in float32 unless the processor has matrix
    units for bfloat16 (AMX). So it is tried on a product before it is trusted.
    """
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=generator) for _ in range(2))
    with _medium_precision():
        product = left @ right
    exact = left.double() @ right.double()
    return bool((product - exact).abs().max() <= EXACT * exact.abs().max())


class DeviceMemoryError(InputError):
    """A device's memory is full."""


@contextmanager
def within_memory(message: str) -> Iterator[None]:
    """Raise DeviceMemoryError with this message where it is said, in whatever words, that memory is full."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if full or any(words in str(error) for words in _FULL) or str(error) == _FULL_ONEDNN:
            raise DeviceMemoryError(message) from error
        raise


_FULL = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")
"""What torch's allocator says of the CPU on Linux, elsewhere; what CUDA says; what its libraries do."""
_FULL_ONEDNN = "could not create a primitive"
"""All that oneDNN says when it finds no room for its own buffers."""
