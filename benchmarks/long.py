"""Memory and time of fine-tuning on sequences of 10 kb, each pooling in a process of its own.

python -m benchmarks.long
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.inputs import K, random_model
from benchmarks.record import RESULTS, record
from dnabert.sequence.alphabet import decode_bases

FIT = """
import json, sys, time
import dnabert
from benchmarks.record import peak_memory
data, model, out, long = sys.argv[1:]
start = time.perf_counter()
dnabert.finetune(data, model, out, long=long, epochs=1, batch_size=8, device="cpu")
print(json.dumps({"seconds": round(time.perf_counter() - start, 1), "peak MB": round(peak_memory())}))
"""


def main(
    bases: Annotated[int, typer.Option(help="Length of a sequence.")] = 10_000,
    rows: Annotated[int, typer.Option(help="Training rows; half as many for dev.")] = 32,
    poolings: Annotated[str, typer.Option(help="What to measure.")] = "mean,attention,lstm,concat",
    folder: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Fine-tune mini with random weights for one epoch."""
    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {"bases": bases, "rows": rows, "k": K, "batch": 8}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        data.mkdir()
        for name, count in (("train", rows), ("dev", rows // 2)):
            lines = [f"{decode_bases(rng.integers(0, 4, bases).astype(np.uint8))},{i % 2}" for i in range(count)]
            (data / f"{name}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
        model = random_model("mini", "masked-lm", Path(scratch) / "model")
        for long in poolings.split(","):
            words = [sys.executable, "-c", FIT, str(data), str(model), str(Path(scratch) / long), long]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            figures[long] = json.loads(done.stdout.splitlines()[-1])
    record("long", figures, folder)


if __name__ == "__main__":
    typer.run(main)
