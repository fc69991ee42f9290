"""Several processes that train together, started by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.conftest import random_dna, run_command, tiny_model, write_fasta

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TOGETHER = (*TORCHRUN, "-m", "dnabert")
ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


LATE = """
import pathlib, time
import transformers
from dnabert.cli import main

saved = transformers.Trainer._save_rng_state

def late(self, folder):
    if self.args.process_index == 1:
        pathlib.Path(folder).mkdir(exist_ok=True)
        pathlib.Path(folder, "rng_state_1.pth").write_bytes(b"PK")
        time.sleep(1)
    saved(self, folder)

transformers.Trainer._save_rng_state = late
main()
"""  # the second process takes a second to write its part of a checkpoint


def losses(folder: Path) -> dict[str, list[float]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {name: [entry[name] for entry in entries if name in entry] for name in ("loss", "eval_token_loss")}


def test_two_processes_train_as_one_does_and_survive_the_loss_of_one(tmp_path: Path, rng: np.random.Generator) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"a": random_dna(30_000, rng), "b": random_dna(3_000, rng)})
    other = write_fasta(tmp_path / "other.fa", {"c": "GCGGCCGAT" * 900})
    arguments = ["pretrain", genome, other, "--tell-apart", 1, "--k", 3, "--holdout", "b"]
    arguments += ["--batch-tokens", 600, "--steps", 8]
    arguments += ["--log-every", 1, "--save-every", 4, "--precision", "float32", "--device", "cpu", "--out"]
    run_command(*arguments, tmp_path / "one", "--accumulate", 2, env=os.environ | ALONE)

    (tmp_path / "late.py").write_text(LATE)
    late = [str(part) for part in (*TORCHRUN, tmp_path / "late.py", *arguments, tmp_path / "two")]
    with subprocess.Popen(late, env=os.environ | ALONE, stderr=subprocess.PIPE, text=True) as running:
        checkpoint = tmp_path / "two" / "checkpoint-4" / "trainer_state.json"
        while not checkpoint.exists():
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.02)
        ranks = sorted(child.pid for child in psutil.Process(running.pid).children())
        os.kill(ranks[1], signal.SIGKILL)
        _, errors = running.communicate(timeout=60)  # no hang
    assert running.returncode != 0
    assert "Signal 9 (SIGKILL)" in errors
    assert not (tmp_path / "two" / "dnabert.json").exists()

    command = [str(part) for part in (*TOGETHER, *arguments, tmp_path / "two", "--resume")]
    done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model\t") == 1, "one process speaks"
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(two["loss"]) == 8
    for name in one:
        assert two[name] == pytest.approx(one[name], abs=1e-5)


def test_two_processes_fine_tune(tmp_path: Path, rng: np.random.Generator) -> None:
    model = tiny_model(tmp_path / "model")
    rows = [(random_dna(30, rng), i % 2) for i in range(60)]
    table = tmp_path / "t.csv"
    table.write_text("sequence,label\n" + "".join(f"{sequence},{label}\n" for sequence, label in rows))
    arguments = ["finetune", table, "--split", "0.8,0.1,0.1", "--model", model, "--epochs", 2, "--batch-size", 8]
    command = [str(part) for part in (*TOGETHER, *arguments, "--device", "cpu", "--out", tmp_path / "out")]
    done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("metrics.json") == 1, "one process speaks"
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 2 * 3  # 48 rows in steps of twice 8
