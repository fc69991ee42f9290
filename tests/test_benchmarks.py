"""The benchmarks run: the GPU's own script in its smoke mode, as on a machine where nothing is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import motifs
from benchmarks.gpu import timed

ROOT = Path(__file__).parent.parent
STAGES = ("correctness", "ceilings", "pretraining", "finetuning", "networks", "inference", "timed")


@pytest.mark.parametrize("stage", STAGES)
def test_a_gpu_stage_runs_in_smoke_mode(stage: str, tmp_path: Path) -> None:
    environment = os.environ | {"OUT": str(tmp_path), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    subprocess.run([ROOT / "benchmarks/gpu/run.sh", "--smoke", stage], env=environment, check=True, capture_output=True)
    result = json.loads((tmp_path / f"gpu_{stage}.json").read_text())
    assert result["figures"]
    assert result["versions"]["torch"]


def test_the_motif_finder_agrees_with_the_plain_one_on_the_benchmarks_sequences() -> None:
    positives, negatives, scores = motifs.planted(80, 100, np.random.default_rng(1))
    assert motifs.side_by_side(positives, negatives, scores)["same regions, p-values, groups and windows"]


def test_the_steps_of_the_timed_stage_follow_from_two_runs() -> None:
    assert timed.seconds_a_step(10.0 + 100 * 0.03, 10.0 + 300 * 0.03, 100) == pytest.approx(0.03)
    assert timed.seconds_a_step(60.0, 30.0, 100) == pytest.approx(0.01)  # by chance the longer was over first
