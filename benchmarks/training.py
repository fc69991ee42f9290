"""Pre-training with the package beside transformers' Trainer; the scripts choose sizes and devices.

transformers' way: `Trainer` and `BertForMaskedLM` as they come (dropout 0.1, the head on every token), batches of the
same sequences padded to their longest. Each way runs in a process of its own, whose peak memory is its own.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset
from transformers import TrainerCallback

from benchmarks import inputs
from benchmarks.inputs import K, padded, unpacked, write_genome
from benchmarks.record import RESULTS, peak_memory, record, write
from dnabert.model import presets
from dnabert.model.device import choose_device, choose_precision
from dnabert.model.flops import forward_flops, peak_flops
from dnabert.training.corpus import Corpus, MaskedBatch, training_batch
from dnabert.training.pretrain import GPU_WORKERS, packed_trainer
from dnabert.training.trainer import StopOnInterrupt, train_to_end, training_arguments

WARM_UP = 2
"""Steps that are not timed."""
PROFILED = 2
"""Steps on a GPU that are looked into."""


class StepTimer(TrainerCallback):
    """Seconds from the end of a step to the end of the next: loading, packing or padding, copying, computing.

    A GPU's steps are timed by its own clock, so that it is given the next step while it computes this one.
    """

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.start = self.first = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Read the clock, or let the GPU do so when it gets there."""
        if torch.cuda.is_available():
            if not self.ends:
                torch.cuda.synchronize()
            self.ends.append(torch.cuda.Event(enable_timing=True))
            self.ends[-1].record()
        else:
            self.ends.append(time.perf_counter())
        self.first = self.first or time.perf_counter() - self.start

    @property
    def seconds(self) -> list[float]:
        """Of each step after the warm-up."""
        ends = self.ends
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            ends = [self.ends[0].elapsed_time(end) / 1e3 for end in self.ends]
        return np.diff(ends)[WARM_UP - 1 :].tolist()


class Profile(TrainerCallback):
    """What a GPU does in the steps after those that are timed: microseconds of each kernel."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.profiler: Any = None
        self.kernels: dict[str, float] = {}

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Start when the timed steps are over."""
        if state.global_step == self.after:
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profiler.start()

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Stop after two steps."""
        if state.global_step == self.after + PROFILED:
            self.profiler.stop()
            self.kernels = {event.key: event.self_device_time_total for event in self.profiler.key_averages()}

    def shares(self, most: int = 16) -> dict[str, float]:
        """Of the kernels that take longest, the share of the time of all."""
        total = sum(self.kernels.values())
        first = sorted(self.kernels, key=lambda name: -self.kernels[name])[:most]
        return {name[:100]: round(self.kernels[name] / total, 4) for name in first}


class Items(Dataset[Any]):
    """A list as a data set."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


def train_packed(
    corpus: Corpus, preset: str, device: torch.device, way: str, folder: Path
) -> tuple[StepTimer, dict[str, float]]:
    """Train as `dnabert pretrain` does, with its own Trainer; on a GPU the last steps are profiled."""
    model = presets.new_model(presets.configuration(presets.preset(preset), K), "masked-lm", K, 0)
    timer = StepTimer()
    dtype = choose_precision("auto", device)
    arguments = training_arguments(
        folder,
        device,
        dtype,
        max_steps=corpus.batches,
        per_device_train_batch_size=1,
        save_strategy="no",
        learning_rate=1e-4,
        dataloader_num_workers=GPU_WORKERS if device.type == "cuda" else 0,
        torch_compile="compiled" in way,
    )
    stop = StopOnInterrupt()
    trainer = packed_trainer(model, arguments, corpus, [], stop, device, dtype, math.inf)
    trainer.add_callback(timer)
    profile = Profile(corpus.batches - PROFILED)
    if device.type == "cuda":
        trainer.add_callback(profile)
    train_to_end(trainer, folder, stop, resume=False)
    return timer, profile.shares()


def train_padded(corpus: Corpus, preset: str, device: torch.device, bf16: bool, size: int, folder: Path) -> StepTimer:
    """Train as transformers' examples do, `size` sequences a step."""
    config = presets.configuration(presets.preset(preset), K, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    model = transformers.BertForMaskedLM(transformers.BertConfig(**config.to_diff_dict()))
    sequences = [one for i in range(corpus.batches) for one in split(training_batch(corpus, i))]
    timer = StepTimer()
    transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=corpus.batches,
            per_device_train_batch_size=size,
            use_cpu=device.type == "cpu",
            bf16=bf16,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Items(sequences),
        data_collator=pad,
        callbacks=[timer],
    ).train()
    return timer


def split(item: MaskedBatch) -> list[dict[str, torch.Tensor]]:
    """Cut a packed batch into its sequences, labels -100 where a token is not masked."""
    labels = torch.full_like(item.batch.input_ids, -100)
    labels[item.rows] = item.labels
    parts = zip(unpacked(item.batch.input_ids, item.batch), unpacked(labels, item.batch), strict=True)
    return [{"input_ids": ids, "labels": truth} for ids, truth in parts]


def pad(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Pad sequences and their labels to the longest."""
    labels = torch.nn.utils.rnn.pad_sequence([item["labels"] for item in items], True, -100)
    return padded([item["input_ids"] for item in items]) | {"labels": labels}


def measure(way: str, preset: str, device: str, tokens: int, steps: int, size: int = 0) -> dict[str, Any]:
    """Train one way in this process.

    Parameters
    ----------
    way : str
        `dnabert`, `dnabert compiled`, `transformers` (float32, its default) or `transformers bf16`.
    preset : str
    device : str
    tokens : int
        Of a packed step.
    steps : int
        Timed steps.
    size : int
        Sequences of a padded step.

    Returns
    -------
    dict
        Tokens a second (real ones: no padding), their share of the measured peak, memory in MB.
    """
    where = choose_device(device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profiled = PROFILED if where.type == "cuda" and way.startswith("dnabert") else 0
        corpus = inputs.corpus(write_genome(folder / "genome.fa", 1_000_000), tokens, steps + WARM_UP + profiled)
        lengths = np.concatenate([training_batch(corpus, i).batch.cu_seqlens.diff().numpy() for i in range(20)])
        if way.startswith("dnabert"):
            timer, kernels = train_packed(corpus, preset, where, way, folder)
            a_step = float(tokens)
        else:
            timer, kernels = train_padded(corpus, preset, where, way.endswith("bf16"), size, folder), {}
            a_step = size * float(lengths.mean())
    times = timer.seconds[:steps]  # without those that were profiled
    seconds = statistics.median(times)
    config = presets.configuration(presets.preset(preset), K)
    need = 3 * forward_flops(config, lengths, 0.15)
    peak = peak_flops(where, torch.float32 if way == "transformers" else choose_precision("auto", where))
    memory = torch.cuda.max_memory_allocated(where) / 1e6 if where.type == "cuda" else peak_memory()
    return {
        "tokens/s": round(a_step / seconds, 1),
        "tokens a step": round(a_step),
        "seconds a step": [round(one, 4) for one in times],
        "seconds of the first step": round(timer.first, 1),
        "peak, measured (GFLOP/s)": round(peak / 1e9),
        "MFU": round(a_step / seconds * need / peak, 3),
        "peak memory (MB)": round(memory),
    } | ({"kernels, share of the time": kernels} if kernels else {})


def compare(
    name: str, ways: Mapping[str, Mapping[str, Any]], turns: int, folder: Path = RESULTS, **options: Any
) -> None:
    """Measure the ways, with `measure`'s options of each, in turns, each in a process of its own, and record them.

    Ratios are of the first way to the others. One of these that fails (because it does not fit into memory, say) is
    left out and named; if the first fails, all ends. What was found is written after each run.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    first = next(iter(ways))
    for way, own in [(way, own) for _ in range(turns) for way, own in ways.items()]:
        command = [sys.executable, "-m", "benchmarks.training", json.dumps(options | dict(own))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and way == first:
            raise SystemExit(f"{way}: {done.stderr}")
        if done.returncode:
            failed[way] = done.stderr.strip()[-300:]
        else:
            results.setdefault(way, []).append(json.loads(done.stdout.splitlines()[-1]))
        write(name, _figures(results, first, failed), folder)
    record(name, _figures(results, first, failed), folder)


def _figures(results: dict[str, list[dict[str, Any]]], first: str, failed: dict[str, str]) -> dict[str, Any]:
    rates = {way: statistics.median([one["tokens/s"] for one in ones]) for way, ones in results.items()}
    memory = {way: max(one["peak memory (MB)"] for one in ones) for way, ones in results.items()}
    return {
        "tokens/s": rates,
        "peak memory (MB)": memory,
        "ratio of tokens/s": {way: round(rates[first] / rates[way], 2) for way in rates if way != first},
        "share of memory": {way: round(memory[first] / memory[way], 3) for way in rates if way != first},
        "runs": results,
    } | ({"failed": failed} if failed else {})


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
