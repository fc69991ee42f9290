"""A pre-training of some minutes on a genome; its checkpoint is small enough to be carried home (bfloat16, shards)."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.inputs import write_genome
from benchmarks.record import record
from dnabert.model import checkpoint
from dnabert.training.pretrain import Pretrained, pretrain

SHARD, WHOLE = 15 * 2**20, 60 * 2**20
"""Largest file and largest checkpoint, in bytes."""


def seconds_a_step(short: float, long: float, probe: int) -> float:
    """Tell what a step takes from runs of `probe` and of three times as many steps: what both begin with falls out.

    Where chance made the longer one hardly longer, a tenth of its time is taken for steps.
    """
    return max((long - short) / (2 * probe), 0.1 * long / (3 * probe))


def main(
    out: Out,
    smoke: Smoke = False,
    minutes: Annotated[float, typer.Option(help="Time to train, about.", envvar="MINUTES")] = 5.0,
) -> None:
    """Measure the rate of a few steps, then train for the time given."""
    where = device(smoke)
    preset, tokens, probe = ("mini", 600, 1) if smoke else ("small", 65_536, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genome = Path(os.environ.get("GENOME") or write_genome(folder / "genome.fa", 1_000_000))

        def train(steps: int) -> Pretrained:
            return pretrain(
                [genome],
                folder / "run",
                overwrite=True,
                preset=preset,
                steps=steps,
                batch_tokens=tokens,
                device=str(where),
                workers=0 if smoke else 4,
                save_every=steps if smoke else steps // 4,
            )

        seconds = []
        for steps in (probe, probe, 3 * probe):  # the first compiles and reads the genome
            start = time.perf_counter()
            train(steps)
            seconds.append(time.perf_counter() - start)
        a_step = seconds_a_step(seconds[1], seconds[2], probe)
        steps = 3 if smoke else int(60 * minutes / a_step)
        result = train(steps)
        loaded = checkpoint.load(result.folder)
        home = out / "model"
        shutil.rmtree(home, ignore_errors=True)
        checkpoint.save(
            loaded._replace(model=loaded.model.to(torch.bfloat16)), home, {"metrics": result.metrics}, SHARD
        )
    sizes = [path.stat().st_size for path in home.iterdir()]
    figures = {
        "genome": genome.name,
        "preset": preset,
        "steps": steps,
        "tokens/s of the probe": round(tokens / a_step),
        "held out": result.metrics,
        "checkpoint (MiB)": round(sum(sizes) / 2**20, 1),
        "largest file (MiB)": round(max(sizes) / 2**20, 1),
    }
    record("gpu_timed", figures, out)
    assert max(sizes) <= SHARD, "a file is too large to be carried home"
    assert sum(sizes) <= WHOLE, "the checkpoint is too large to be carried home"


if __name__ == "__main__":
    run(main)
