"""Floating-point operations: what a model needs, what a device gives."""

import functools
import statistics
import time

import numpy as np
import torch
import transformers

from dnabert.model.device import exact_float32

LONGEST = 1.0
"""Seconds that the larger product may take; where it would take more, the smaller one must do."""


def forward_flops(config: transformers.BertConfig, lengths: np.ndarray, predicted: float = 0.0) -> float:
    """Count the operations of a forward pass, per token; training takes three times as many.

    Two for each weight of the linear layers, ``layers * (4 * hidden**2 + 2 * hidden * intermediate)`` of them; four
    for each hidden unit and token attended to, in each layer; two for each weight of the masked language model's head,
    for the tokens that are predicted. What is left out of the last layer because nothing reads it counts as well: the
    figure is what the model is, not how it is computed.

    Parameters
    ----------
    config : transformers.BertConfig
    lengths : np.ndarray, integer, shape (sequences,)
        Tokens of each sequence. A token attends to ``sum(length**2) / sum(length)`` tokens on average.
    predicted : float
        Share of the tokens that the head predicts.

    Returns
    -------
    float
    """
    hidden = config.hidden_size
    attended = float((lengths.astype(np.float64) ** 2).sum() / lengths.sum())
    linear = config.num_hidden_layers * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    attention = config.num_hidden_layers * 2 * hidden * attended
    head = predicted * (hidden**2 + hidden * config.vocab_size)
    return float(2 * (linear + attention + head))


@functools.cache
def peak_flops(device: torch.device, precision: torch.dtype) -> float:
    """Measure the operations a second of a matrix product, once in a process: the device's practical peak.

    Parameters
    ----------
    device : torch.device
    precision : torch.dtype

    Returns
    -------
    float
        The median of five products of square matrices: of 8,192 rows on CUDA, elsewhere of 2,048, or of 512 where that
        would take longer than `LONGEST` (bfloat16 on a processor that has none).
    """
    if device.type == "cuda":
        return 2 * 8192**3 / _product_seconds(8192, device, precision)
    small, large = 512, 2048
    seconds = _product_seconds(small, device, precision)
    if seconds * (large / small) ** 3 > LONGEST:
        return 2 * small**3 / seconds
    return 2 * large**3 / _product_seconds(large, device, precision)


def _product_seconds(size: int, device: torch.device, precision: torch.dtype) -> float:
    """Time the product of two matrices of this many rows and columns: the median of five."""
    left, right = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
    seconds = []
    with torch.inference_mode(), exact_float32(device):
        for _ in range(6):
            start = time.perf_counter()
            left @ right
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
