"""Fine-tuning on a GUE set, pre-trained and from scratch, over several seeds.

python -m benchmarks.finetune PRETRAINED DATA/gue/prom/prom_core_tata
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import dnabert
from benchmarks.record import record

SEEDS = (0, 1, 2)


def main() -> None:
    """Fine-tune with each seed and report MCC on test."""
    model, data = Path(sys.argv[1]), Path(sys.argv[2])
    figures: dict[str, object] = {"model": model.name, "data": f"{data.parent.name}/{data.name}"}
    for title, from_scratch in (("pre-trained", False), ("from scratch", True)):
        scores, seconds = [], []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                result = dnabert.finetune(data, model, Path(folder) / "out", from_scratch=from_scratch, seed=seed)
                seconds.append(time.perf_counter() - start)
            assert result.test is not None
            scores.append(result.test.metrics["mcc"])
        figures[title] = {
            "test MCC, each seed": [round(score.value, 3) for score in scores],
            "mean": round(float(np.mean([score.value for score in scores])), 3),
            "95 % interval of the first seed": [round(scores[0].low, 3), round(scores[0].high, 3)],
            "seconds a run": round(float(np.median(seconds))),
        }
    record(f"finetune-{data.name}-{model.name}", figures)


if __name__ == "__main__":
    main()
