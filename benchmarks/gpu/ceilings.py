"""What the device gives at most: a bfloat16 product and a copy of memory."""

import statistics
import time

import torch

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.record import record
from dnabert.model.flops import peak_flops


def main(out: Out, smoke: Smoke = False) -> None:
    """Measure both."""
    where = device(smoke)
    size = 1 << (24 if smoke else 30)
    source = torch.zeros(size, dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(11):
        start = time.perf_counter()
        target.copy_(source)
        if where.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    record(
        "gpu_ceilings",
        {
            "product in bfloat16 (TFLOP/s)": round(peak_flops(where, torch.bfloat16) / 1e12, 2),
            "product in float32 (TFLOP/s)": round(peak_flops(where, torch.float32) / 1e12, 2),
            "copy, read and written (GB/s)": round(2 * size / statistics.median(seconds[1:]) / 1e9, 1),
        },
        out,
    )


if __name__ == "__main__":
    run(main)
