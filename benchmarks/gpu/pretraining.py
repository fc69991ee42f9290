"""Pre-training `base`, plain and compiled, beside transformers' Trainer: as it comes, and bfloat16 at its best size."""

import subprocess
from typing import Any

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.record import record
from benchmarks.training import compare


def main(out: Out, smoke: Smoke = False) -> None:
    """Time steps on the paper's lengths; what does not fit into memory is left out and said."""
    where = device(smoke)
    preset, tokens, steps, sizes = ("mini", 1100, 1, [2]) if smoke else ("base", 65_536, 10, [64, 128, 256])
    options: dict[str, Any] = {"preset": preset, "device": str(where), "tokens": tokens, "steps": steps}
    tried = {f"transformers bf16, batches of {size}": ("transformers bf16", size) for size in sizes}
    if not smoke:
        tried["transformers as it comes, batches of 64"] = ("transformers", 64)
    figures: dict[str, Any] = {}
    if where.type == "cuda":  # on a CPU compiling takes longer than the smoke test
        tried["compiled"] = ("dnabert compiled", sizes[0])
    for name, (way, size) in tried.items():
        try:
            figures[name] = compare(["dnabert", way], 1, size=size, **options)
        except subprocess.CalledProcessError as error:
            figures[name] = f"failed: exit code {error.returncode}"
        record("gpu_pretraining", figures, out)  # what is measured is kept, whatever comes
    ratios = [one["ratio of tokens/s"] for one in figures.values() if isinstance(one, dict)]
    best = min((one["transformers bf16"] for one in ratios if "transformers bf16" in one), default=None)
    figures["ratio to their best batch size, each beside its own run of ours"] = best
    record("gpu_pretraining", figures, out)


if __name__ == "__main__":
    run(main)
