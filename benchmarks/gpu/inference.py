"""Inference with `base` beside transformers, in float32 and bfloat16, on 70, 300 and mixed lengths."""

from typing import Any

import numpy as np
import torch

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.inference import compare_random
from benchmarks.record import record, write


def main(out: Out, smoke: Smoke = False) -> None:
    """Time each set of lengths."""
    where = device(smoke)
    preset, tokens, size, repeats = ("mini", 300, 4, 1) if smoke else ("base", 400_000, 256, 3)
    mixed = np.random.default_rng(0).integers(12, 513, max(tokens // 262, 2)).tolist()
    sets = {"70": [70] * (tokens // 70), "300": [300] * (tokens // 300), "10 to 510": mixed}
    options: dict[str, Any] = {
        "device": str(where),
        "batch_size": size,
        "repeats": repeats,
        "theirs": {"float32": torch.float32, "bfloat16": torch.bfloat16},
    }
    figures = {}
    for name, lengths in sets.items():
        figures[f"{preset}, {name} tokens"] = compare_random(preset, lengths, **options)
        write("gpu_inference", figures, out)
    record("gpu_inference", figures, out)


if __name__ == "__main__":
    run(main)
