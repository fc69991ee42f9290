"""Pre-training `base` beside transformers' Trainer.

Compiled and plain; the Trainer as it comes, and in bfloat16 at its best size.
"""

from typing import Any

import torch

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.training import compare
from dnabert.model.device import choose_precision


def main(out: Out, smoke: Smoke = False) -> None:
    """Time steps on the paper's lengths; what does not fit into memory is left out and said."""
    where = device(smoke)
    preset, tokens, steps, sizes = ("mini", 1100, 1, [2]) if smoke else ("base", 65_536, 10, [64, 128, 256])
    ways: dict[str, dict[str, Any]] = {"dnabert": {"way": "dnabert"}}
    if where.type == "cuda":  # on a CPU compiling takes longer than the smoke test
        ways = {"dnabert compiled": {"way": "dnabert compiled"}} | ways
    bf16 = choose_precision("auto", where) == torch.bfloat16  # a CPU without it takes a minute for a step
    way = "transformers bf16" if bf16 else "transformers"
    ways |= {f"{way}, batches of {size}": {"way": way, "size": size} for size in sizes}
    if not smoke:
        ways["transformers as it comes, batches of 64"] = {"way": "transformers", "size": 64}
    compare("gpu_pretraining", ways, 1, out, preset=preset, device=str(where), tokens=tokens, steps=steps)


if __name__ == "__main__":
    run(main)
