"""Pre-training `base` beside transformers' Trainer: float32 as it comes, and bfloat16 at its best batch size."""

from typing import Any

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.record import record
from benchmarks.training import compare


def main(out: Out, smoke: Smoke = False) -> None:
    """Time steps on the paper's lengths."""
    where = device(smoke)
    preset, tokens, steps, sizes = ("mini", 1100, 1, [2]) if smoke else ("base", 65_536, 12, [32, 64, 128, 256])
    options: dict[str, Any] = {"preset": preset, "device": str(where), "tokens": tokens, "steps": steps}
    figures: dict[str, Any] = {
        f"their batches: {size}": compare(["dnabert", "transformers bf16"], 1, size=size, **options) for size in sizes
    }
    if not smoke:
        figures["their default"] = compare(["dnabert", "transformers"], 1, size=64, **options)
    best = max(one["tokens/s"].get("transformers bf16", 0.0) for one in figures.values())
    ours = max(one["tokens/s"]["dnabert"] for one in figures.values())
    figures["ratio to their best batch size"] = round(ours / best, 2)
    record("gpu_pretraining", figures, out)


if __name__ == "__main__":
    run(main)
