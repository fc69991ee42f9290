"""Pre-training and fine-tuning of tiny models: they learn, resume exactly, and leave what they promise."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import transformers
from safetensors.torch import load_file

import dnabert
from dnabert.errors import InputError
from dnabert.model import attention, checkpoint, presets
from dnabert.training import compiling, hidden, items
from dnabert.training import corpus as corpus_module
from dnabert.training import finetune as finetuning
from dnabert.training import pretrain as pretraining
from dnabert.training.targets import Task
from dnabert.training.trainer import PackedTrainer, Reporter, last_checkpoint, training_arguments
from tests import commands
from tests.conftest import TINY, random_dna, run_command, tiny_model, write_bound, write_fasta


@contextmanager
def tiny_preset() -> Iterator[None]:
    """Put a preset of a size for tests beside the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "tiny", TINY)
        patch.setitem(pretraining.RECIPES, "tiny", pretraining.Recipe(30, 512, 2e-3, 0.1))
        yield


@pytest.fixture(autouse=True)
def _tiny_preset() -> Iterator[None]:
    with tiny_preset():
        yield


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "genome.fa", {"a": random_dna(20_000, rng), "b": random_dna(5_000, rng)})


SMALL: dict[str, Any] = {
    "k": 3,
    "preset": "tiny",
    "max_length": 100,
    "batch_tokens": 512,
    "holdout": ("b",),
    "log_every": 1,
    "save_every": 10,
    "device": "cpu",
}


def pretrain_apart(genome: Path, out: Path, settings: dict[str, Any]) -> BaseProcess:
    """Start to pre-train in a process of its own; what it says goes to a file beside `out`."""
    return commands.start(_pretrain, genome, out, settings, out=out.with_suffix(".out"), err=out.with_suffix(".err"))


def _pretrain(genome: Path, out: Path, settings: dict[str, Any]) -> None:
    with tiny_preset():
        dnabert.pretrain([genome], out, **settings)


def losses(folder: Path) -> list[tuple[int, float, float]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(entry["step"], entry["loss"], entry["base_loss"]) for entry in entries if "loss" in entry]


def test_pretraining_learns_and_leaves_a_model(
    genome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, "tiny", presets.Preset(2, 128, 4))
    learning = {"steps": 100, "learning_rate": 3e-3, "batch_tokens": 1024, "log_every": 10, "save_every": 50}
    result = dnabert.pretrain([genome], tmp_path / "out", **SMALL | learning)
    assert result.finished
    # of a hidden 3-mer two bases of three are told by the neighbours: from log 64 = 4.16 towards log 4 = 1.39
    assert losses(result.folder)[0][1] > 3.9
    assert result.metrics["token_loss"] < 2.9
    assert result.metrics["base_loss"] == pytest.approx(np.log(4), abs=0.1)  # random bases: nothing to know
    record = json.loads((result.folder / "dnabert.json").read_text())
    assert (record["task"], record["k"], record["settings"]["holdout"]) == ("masked-lm", 3, ["b"])
    assert record["metrics"] == result.metrics
    assert not list(result.folder.glob("checkpoint-*"))
    assert transformers.BertForMaskedLM.from_pretrained(result.folder).config.vocab_size == 69
    words = capsys.readouterr().err
    assert "per hidden base" in words
    assert "tokens/s" in words
    assert "left" in words


def test_a_table_of_sequences_beside_a_genome_is_pretrained_on(genome: Path, tmp_path: Path) -> None:
    table = tmp_path / "train.tsv"
    table.write_text("sequence\tlabel\n" + f"{'ACGTTGCA' * 5}\tyes\n{'TTGACGTC' * 6}\t\n" * 30)
    settings = SMALL | {"steps": 3, "holdout": ("0.1",), "mask": "growing"}
    result = dnabert.pretrain([table, genome], tmp_path / "both", **settings, weights=[3, 1])
    record = json.loads((result.folder / "dnabert.json").read_text())
    assert [entry["bases"] for entry in record["data"]] == [60 * 44, 25_000]
    assert dnabert.pretrain([table], tmp_path / "alone", **settings).metrics["hidden_bases"] > 0


def test_a_model_is_trained_further(genome: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    quick = {name: value for name, value in SMALL.items() if name not in ("k", "preset")}
    quick |= {"holdout": ("0.2",), "precision": "float32"}
    first = dnabert.pretrain([genome], tmp_path / "first", **SMALL | quick | {"steps": 60})
    table = tmp_path / "own.csv"
    table.write_text("sequence\n" + "".join(f"{'GATTACAGCC' * 4}{random_dna(8, rng)}\n" for _ in range(60)))
    further = dnabert.pretrain([table], tmp_path / "further", model=first.folder, **quick | {"steps": 40})
    anew = dnabert.pretrain([table], tmp_path / "anew", **SMALL | quick | {"steps": 1, "learning_rate": 1e-9})
    unmoved = dnabert.pretrain(
        [table], tmp_path / "unmoved", model=first.folder, **quick | {"steps": 1, "learning_rate": 1e-9}
    )
    before, after = (load_file(one.folder / "model.safetensors") for one in (first, unmoved))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)  # it starts where that ended
    assert further.metrics["base_loss"] < min(unmoved.metrics["base_loss"], anew.metrics["base_loss"])
    shapes = [checkpoint.load(one.folder) for one in (first, further)]
    assert (shapes[0].k, shapes[0].model.config.hidden_size) == (shapes[1].k, shapes[1].model.config.hidden_size)
    assert checkpoint.read_record(further.folder)["settings"]["model"] == str(first.folder)


def test_what_cannot_be_trained_further_is_refused(genome: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", k=3)
    classifier = tiny_model(tmp_path / "classifier", "classification", labels=("a", "b"))
    for options, message in (
        ({"model": model, "k": 4, "preset": "mini"}, "--k 4 and --preset mini: a model to go on from has its own"),
        ({"model": classifier}, "a masked language model with a token at each base is required; it predicts classif"),
        ({"model": model}, "--model: --steps is required too"),
        ({"model": model, "max_length": 511}, "--max-length 511: the model takes 510 k-mers"),
        ({"model": tmp_path / "nowhere"}, "no such model directory"),
    ):
        with pytest.raises(InputError, match=message):
            dnabert.pretrain([genome], tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="is in this folder; name another"):
        dnabert.pretrain([genome], model, model=model, overwrite=True)
    assert (model / "config.json").is_file()


def test_sources_are_told_apart_by_a_head_that_is_not_kept(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [write_fasta(tmp_path / f"{name}.fa", {name: random_dna(9000, rng)}) for name in ("one", "two")]
    table = tmp_path / "rich.csv"
    table.write_text("sequence\n" + "".join(f"{'GCGCCGAGGC' * 6}{random_dna(10, rng)}\n" for _ in range(100)))
    settings = SMALL | {"steps": 40, "holdout": ("0.1",), "tell_apart": 1.0, "precision": "float32"}
    files = [sources[0], table]
    result = dnabert.pretrain(files, tmp_path / "out", **settings)
    assert result.metrics["source_accuracy"] > 0.9
    entries = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    told = [entry["source_accuracy"] for entry in entries if "loss" in entry]
    assert np.mean(told[-10:]) > np.mean(told[:5])
    assert "source told of" in capsys.readouterr().err
    weights = load_file(result.folder / "model.safetensors")
    assert not [name for name in weights if "source" in name]
    assert transformers.BertForMaskedLM.from_pretrained(result.folder)
    assert "source_accuracy" not in dnabert.pretrain(files, tmp_path / "no", **settings | {"tell_apart": 0.0}).metrics
    by_default = {name: value for name, value in settings.items() if name != "tell_apart"} | {"steps": 1}
    other = tmp_path / "other.csv"
    other.write_text("sequence\n" + f"{'ACGT' * 9}\n" * 50)
    for given, expected in (([table, other], True), (files, False)):
        metrics = dnabert.pretrain(given, tmp_path / f"default{expected}", **by_default).metrics
        assert ("source_accuracy" in metrics) == expected
    alike = dnabert.pretrain(sources, tmp_path / "alike", **settings | {"steps": 5})
    assert 0.2 < alike.metrics["source_accuracy"] < 0.8  # nothing tells random bases from random bases

    def interrupting(corpus: Any, i: int) -> Any:
        if i == 25:
            os.kill(os.getpid(), signal.SIGINT)
        return corpus_module.training_batch(corpus, i)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "training_batch", interrupting)
        assert not dnabert.pretrain(files, tmp_path / "stopped", **settings).finished
    resumed = dnabert.pretrain(files, tmp_path / "stopped", **settings, resume=True)
    assert losses(resumed.folder) == losses(result.folder)
    assert resumed.metrics == result.metrics


def test_the_rate_is_that_of_training_alone(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = hidden.evaluate

    def slowly(*arguments: Any) -> Any:
        time.sleep(3)
        return evaluate(*arguments)

    monkeypatch.setattr(hidden, "evaluate", slowly)
    dnabert.pretrain([genome], tmp_path / "out", **SMALL | {"steps": 4, "log_every": 2, "save_every": 2})
    rates = re.findall(r"step [24]/4 · loss .* ([\d,]+) tokens/s", capsys.readouterr().err)
    assert len(rates) == 2
    assert float(rates[1].replace(",", "")) > 512 * 2 / 3  # two steps do not take the three seconds


def test_a_wait_for_the_gpu_in_the_log_counts_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("dnabert.training.trainer.time.monotonic", lambda: clock[0])
    reporter = Reporter(lambda _: "loss", lambda _: "", tokens_at_peak=2000.0)
    arguments: Any = SimpleNamespace(device=torch.device("cpu"))
    state: Any = SimpleNamespace(global_step=1, max_steps=9)
    control: Any = SimpleNamespace(should_evaluate=True, should_save=False)
    reporter.on_train_begin(arguments, state, control)
    for start, tokens in ((0.0, 1000.0), (4.0, 2000.0)):
        clock[0] = start + 0.1  # the step is on its way to the GPU
        reporter.on_step_end(arguments, state, control)
        clock[0] = start + 1.0  # its loss is known
        reporter.on_log(arguments, state, control, {"loss": 1.0, "tokens": tokens})
        clock[0] = start + 4.0
        reporter.on_evaluate(arguments, state, control)
    assert capsys.readouterr().err.count("1,000 tokens/s (MFU 50%)") == 2


def test_norms_are_told_device_and_precision(genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(pretraining, "narrow", lambda _, *where: told.append(where))
    dnabert.pretrain([genome], tmp_path / "out", **SMALL | {"steps": 1, "device": "cpu", "precision": "bfloat16"})
    assert told == [(torch.device("cpu"), torch.bfloat16)]


@pytest.mark.parametrize("mask", ["dnabert", "span", "growing", "original"])
def test_a_killed_run_resumes_with_the_same_losses(mask: str, genome: Path, tmp_path: Path) -> None:
    settings = SMALL | {"steps": 24, "mask": mask, "precision": "float32"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = pretrain_apart(genome, killed, settings)
    deadline = time.monotonic() + 120
    while not last_checkpoint(killed):
        assert process.is_alive() or (killed / "dnabert.json").is_file(), killed.with_suffix(".err").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    if (killed / "dnabert.json").is_file():
        pytest.fail("the run ended before it could be killed")
    with pytest.raises(InputError, match="resumes with the settings it began with, but seed was 0, is 1"):
        dnabert.pretrain([genome], killed, **settings | {"resume": True, "seed": 1})
    for step, left in (("98", ""), ("99", '{"best_metric": null, "epoch": 0.')):  # killed while it wrote a checkpoint
        (killed / f"checkpoint-{step}").mkdir()
        (killed / f"checkpoint-{step}" / "trainer_state.json").write_text(left)
    (killed / "checkpoint-100").mkdir()
    # both in processes of one kind, which compute with as many threads: sums depend on these in their last bits
    for out, resume in ((whole, False), (killed, True)):
        process = pretrain_apart(genome, out, settings | {"resume": resume})
        process.join()
        assert process.exitcode == 0, out.with_suffix(".err").read_text()
    assert losses(killed) == losses(whole)
    records = [json.loads((folder / "dnabert.json").read_text()) for folder in (killed, whole)]
    assert records[0]["metrics"] == records[1]["metrics"]
    with pytest.raises(InputError, match="this run is complete"):
        dnabert.pretrain([genome], killed, **settings | {"resume": True})


def test_an_interrupted_run_saves_and_resumes(genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SMALL | {"steps": 12, "precision": "float32"}
    whole = dnabert.pretrain([genome], tmp_path / "whole", **settings)
    batch = corpus_module.training_batch

    def interrupting(corpus: Any, i: int) -> Any:
        if i == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(corpus, i)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "training_batch", interrupting)
        stopped = dnabert.pretrain([genome], tmp_path / "stopped", **settings)
    assert not stopped.finished
    assert 9 <= stopped.steps < 12
    assert not (stopped.folder / "dnabert.json").exists()
    before = genome.read_text()
    genome.write_text(before.replace("A", "C"))
    with pytest.raises(InputError, match=rf"{genome}: this file of the data has changed since the run in"):
        dnabert.pretrain([genome], tmp_path / "stopped", **settings | {"resume": True})
    genome.write_text(before)
    begun = json.loads((stopped.folder / "run.json").read_text())
    del begun["content"]  # as an earlier version wrote it
    (stopped.folder / "run.json").write_text(json.dumps(begun))
    resumed = dnabert.pretrain([genome], tmp_path / "stopped", **settings | {"resume": True})
    assert losses(resumed.folder) == losses(whole.folder)
    records = [json.loads((run.folder / "dnabert.json").read_text()) for run in (resumed, whole)]
    assert records[0]["data"] == records[1]["data"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 9}, "--k 9"),
        ({"max_length": 511}, "--max-length 511: 5 to 510"),
        ({"batch_tokens": 50}, "--batch-tokens 50: at least 102"),
        ({"preset": "huge"}, "--preset huge"),
        ({"mask": "none"}, "--mask none"),
        ({"holdout": ("chr9",)}, "no contig 'chr9'"),
        ({"tell_apart": -1.0}, "--tell-apart -1: a weight of 0"),
        ({"tell_apart": 1.0}, "--tell-apart: two sources or more are required"),
        ({"weights": [1, 2]}, "--weights 1,2: 1 numbers are required"),
        ({"device": "cuda:77"}, "--device cuda:77"),
        ({"resume": True}, "there is no run to resume"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    change: dict[str, Any], message: str, genome: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        dnabert.pretrain([genome], tmp_path / "out", **SMALL | change)
    assert not (tmp_path / "out").exists()


def test_a_taken_output_folder_is_refused(genome: Path, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "out")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="already holds a run; name another --out, or give --overwrite"):
        dnabert.pretrain([genome], folder, **SMALL | {"steps": 2})
    assert (folder / "model.safetensors").read_bytes() == before
    assert dnabert.pretrain([genome], folder, **SMALL | {"steps": 2, "overwrite": True}).finished
    assert (folder / "model.safetensors").read_bytes() != before


def write_task(folder: Path, rng: np.random.Generator, classes: tuple[str, ...] = ("no", "yes")) -> Path:
    """Write a task that a tiny model can learn: each class is rich in another base."""
    folder.mkdir()
    for name, rows in (("train", 160), ("dev", 40), ("test", 40)):
        lines = ["id\tsequence\tlabel"]
        for i in range(rows):
            favourite = i % len(classes)
            weights = np.full(4, 0.15)
            weights[favourite] = 0.55
            sequence = "".join(
                np.array(list("ATCG"))[rng.choice(4, int(rng.integers(30, 60)), p=weights / weights.sum())]
            )
            lines.append(f"{name}{i}\t{sequence}\t{classes[favourite]}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


TUNE: dict[str, Any] = {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3, "device": "cpu", "precision": "float32"}


@pytest.mark.parametrize("classes", [("no", "yes"), ("0", "1", "2")])
@pytest.mark.parametrize("from_scratch", [False, True])
def test_finetuning_learns_predicts_and_evaluates(
    classes: tuple[str, ...], from_scratch: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = write_task(tmp_path / "data", rng, classes)
    model = tiny_model(tmp_path / "pretrained", k=3)
    result = dnabert.finetune(data, model, tmp_path / "out", from_scratch=from_scratch, **TUNE)
    assert result.task == Task("classification", classes)
    assert result.dev is not None
    assert result.test is not None
    assert result.test.metrics["mcc"].value > 0.5
    again = dnabert.evaluate(result.folder, data, precision="float32", out=tmp_path / "metrics.json")
    assert again.metrics["mcc"] == result.test.metrics["mcc"]
    written = json.loads((tmp_path / "metrics.json").read_text())
    of_test = json.loads((result.folder / "metrics.json").read_text())["test"]
    assert {name: written[name] for name in of_test} == of_test
    counts = dnabert.predict_file(result.folder, data / "test.tsv", tmp_path / "p.tsv", precision="float32")
    rows = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert rows[0] == ["id", "label", "prediction", *(f"probability_{label}" for label in classes)]
    assert [row[0] for row in rows[1:]] == [f"test{i}" for i in range(40)]
    assert {label: sum(row[2] == label for row in rows[1:]) for label in classes} == counts
    assert all(abs(sum(map(float, row[3:])) - 1) < 1e-4 for row in rows[1:])
    assert float(np.mean([row[1] == row[2] for row in rows[1:]])) == pytest.approx(again.metrics["accuracy"].value)


@pytest.mark.parametrize(("steps", "epochs"), [(16, 30), (154, 7), (594, 6), (20_000, 6)])
def test_small_sets_get_more_epochs(steps: int, epochs: int) -> None:
    assert items.passes_for(steps, finetuning.FEWEST_STEPS, finetuning.EPOCHS) == epochs


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_fine_tuning_interrupted_within_an_epoch_resumes_with_the_same_losses(
    dropout: float, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = write_task(tmp_path / "data", rng), tiny_model(tmp_path / "model", k=3)
    settings = TUNE | {"epochs": 2, "strand": "both", "dropout": dropout, "log_every": 1}
    whole = dnabert.finetune(data, model, tmp_path / "whole", **settings)
    pack = items.Packer.__call__
    calls = []

    def interrupting(packer: items.Packer, rows: list[int]) -> dict[str, Any]:
        calls.append(rows)
        if len(calls) == 14:  # of 10 an epoch
            os.kill(os.getpid(), signal.SIGINT)
        return pack(packer, rows)

    with monkeypatch.context() as patch:
        patch.setattr(items.Packer, "__call__", interrupting)
        stopped = dnabert.finetune(data, model, tmp_path / "stopped", **settings)
    assert not stopped.finished
    resumed = dnabert.finetune(data, model, tmp_path / "stopped", **settings, resume=True)

    def training(folder: Path) -> list[tuple[int, float]]:
        entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [(entry["step"], entry["loss"]) for entry in entries if "loss" in entry]

    assert training(resumed.folder) == training(whole.folder)
    assert resumed.test is not None
    assert whole.test is not None
    assert resumed.test.metrics["auroc"] == whole.test.metrics["auroc"]


def test_the_best_checkpoint_by_mcc_is_kept(tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_task(tmp_path / "data", rng)
    result = dnabert.finetune(data, tiny_model(tmp_path / "pretrained", k=3), tmp_path / "out", **TUNE)
    entries = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    scores = [entry["eval_mcc"] for entry in entries if "eval_mcc" in entry]
    assert len(scores) == 8
    assert result.dev is not None
    assert result.dev.metrics["mcc"].value == pytest.approx(max(scores))


def test_one_file_is_split_and_fasta_files_are_classes(tmp_path: Path, rng: np.random.Generator) -> None:
    model = tiny_model(tmp_path / "pretrained", k=3)
    data = write_task(tmp_path / "data", rng)
    result = dnabert.finetune(
        data / "train.tsv", model, tmp_path / "one", split=(0.5, 0.25, 0.25), **TUNE | {"epochs": 1}
    )
    assert json.loads((result.folder / "dnabert.json").read_text())["rows"] == {"train": 80, "dev": 40, "test": 40}
    files = [
        write_fasta(tmp_path / f"{name}.fa", {f"{name}{i}": random_dna(40, rng) for i in range(40)})
        for name in ("bound", "free")
    ]
    result = dnabert.finetune(files, model, tmp_path / "two", split=(0.6, 0.4, 0), **TUNE | {"epochs": 1})
    assert result.task.names == ("bound", "free")
    assert result.test is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "train.tsv"}, "give --split 0.8,0.1,0.1, or a folder"),
        ({"split": (0.8, 0.1, 0.1)}, "a folder brings its own splits"),
        ({"model": "nowhere"}, "no such model directory"),
    ],
)
def test_bad_finetuning_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = write_task(tmp_path / "data", rng)
    arguments = {"data": data, "model": tiny_model(tmp_path / "pretrained", k=3)} | change
    if isinstance(arguments["data"], str):
        arguments["data"] = data / arguments["data"]
    with pytest.raises(InputError, match=message):
        dnabert.finetune(out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_sequences_over_the_limit_are_refused_with_their_row(tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_task(tmp_path / "data", rng)
    with (data / "dev.tsv").open("a") as out:
        out.write(f"long\t{'ACGT' * 200}\tno\n")
    with pytest.raises(InputError, match=r"dev.tsv line 42: the sequence has 800 bases, this model takes at most 512"):
        dnabert.finetune(data, tiny_model(tmp_path / "pretrained", k=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_collapsed_model_is_called_out(tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_task(tmp_path / "data", rng)
    loaded = checkpoint.load(tiny_model(tmp_path / "one", "classification", k=3, labels=("no", "yes")))
    with torch.no_grad():
        loaded.model.classifier.bias[1] += 100
    checkpoint.save(loaded, tmp_path / "collapsed", {})
    evaluated = run_command("evaluate", tmp_path / "collapsed", data, "--out", tmp_path / "metrics.json")
    assert f"WARNING: {data}: all 40 predictions are 'yes'" in evaluated.stderr
    assert json.loads((tmp_path / "metrics.json").read_text())["one_class"] == "yes"
    predicted = run_command("predict", tmp_path / "collapsed", data / "test.tsv", "--out", tmp_path / "p.parquet")
    assert "WARNING: all 40 predictions are 'yes'" in predicted.stderr


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_computed_again_change_nothing(
    precision: str, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    attend = attention.attend

    def counting(*others: Any) -> torch.Tensor:
        calls.append(1)
        return attend(*others)

    monkeypatch.setattr(attention, "attend", counting)
    settings = SMALL | {"steps": 4, "save_every": 9, "holdout": ("0",), "precision": precision}
    kept = dnabert.pretrain([genome], tmp_path / "kept", **settings)
    once = len(calls)
    again = dnabert.pretrain([genome], tmp_path / "again", **settings, checkpoint_activations=True)
    assert losses(again.folder) == losses(kept.folder)
    assert once == 4 * TINY.layers
    assert len(calls) - once == 4 * (2 * TINY.layers - 1)  # all layers but the last twice


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # from within the tracer
@pytest.mark.parametrize("tell_apart", [0.0, 1.0])
def test_compiled_training_is_the_same_training(
    tell_apart: float, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_fasta(tmp_path / "other.fa", {"c": "GCGGCCGA" * 500})
    settings = SMALL | {"steps": 4, "save_every": 9, "holdout": ("0",), "precision": "float32"}
    settings |= {"tell_apart": tell_apart}
    plain = dnabert.pretrain([genome, other], tmp_path / "plain", **settings)
    # torch traces the model, but leaves compiling the traces out, which takes a minute and a compiler
    monkeypatch.setattr(pretraining, "training_arguments", partial(training_arguments, torch_compile_backend="eager"))
    monkeypatch.setattr(compiling, "missing", lambda _: None)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled = dnabert.pretrain([genome, other], tmp_path / "compiled", **settings, compile=True)
    np.testing.assert_allclose(losses(compiled.folder), losses(plain.folder), atol=1e-5)
    assert counters["stats"]["unique_graphs"] > 0
    assert all("_attend_in_runs" in reason for reason in counters["graph_break"])  # a GPU's attention is no such break
    assert transformers.BertForMaskedLM.from_pretrained(compiled.folder)


def test_compiling_leaves_float32_whole(tmp_path: Path) -> None:
    """transformers would let a GPU's float32 products have fewer bits."""
    arguments = training_arguments(tmp_path, torch.device("cpu"), torch.bfloat16, torch_compile=True)
    assert arguments.tf32 is False


def test_what_is_faster_compiled_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = compiling.gains
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert gains(gpu, torch.bfloat16, False)
    assert not gains(cpu, torch.bfloat16, False)
    assert not gains(gpu, torch.float32, False)
    assert not gains(gpu, torch.bfloat16, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not gains(gpu, torch.bfloat16, False)


def test_what_cannot_be_compiled_is_trained_as_it_is_and_said(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "gains", lambda *_: True)
    monkeypatch.setattr(compiling, "missing", lambda _: "the package triton is required; install it")
    said = "without torch.compile, which would be faster: the package triton is required; install it"
    settings = SMALL | {"steps": 2}
    assert dnabert.pretrain([genome], tmp_path / "out", **settings).finished
    assert said in capsys.readouterr().err
    assert dnabert.pretrain([genome], tmp_path / "asked", **settings, compile=False).finished
    assert said not in capsys.readouterr().err


def test_a_gpu_takes_triton_and_headers_to_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{sys.executable} -O2")  # a program that is there
    missing = compiling.missing
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "triton is required" in str(missing(torch.device("cuda")))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    assert "Python's headers are required" in str(missing(torch.device("cuda")))
    (tmp_path / "Python.h").touch()
    assert missing(torch.device("cuda")) is None


def test_compiling_takes_a_compiler(genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"--compile: a C compiler is required, g\+\+ or clang\+\+, and there is none"):
        dnabert.pretrain([genome], tmp_path / "out", **SMALL, compile=True)
    monkeypatch.setenv("CXX", "nowhere/c++")
    with pytest.raises(InputError, match=r"a C compiler is required, nowhere/c\+\+, and there is none"):
        dnabert.pretrain([genome], tmp_path / "out", **SMALL, compile=True)
    assert not (tmp_path / "out").exists()


def test_memory_that_runs_short_late_costs_no_checkpoint(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL | {"steps": 12}

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)  # after the last step
        with pytest.raises(InputError, match="no memory for --batch-tokens 512 any more; go on with --resume"):
            dnabert.pretrain([genome], tmp_path / "out", **settings)
    assert (tmp_path / "out" / "checkpoint-12").is_dir()
    assert dnabert.pretrain([genome], tmp_path / "out", **settings, resume=True).finished


@pytest.mark.parametrize("room", [600, 300])
def test_half_a_batch_makes_the_same_step_where_memory_is_short(
    genome: Path, tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = pretraining._train

    def train_on_a_small_device(folder: Path, settings: dict[str, Any], *others: Any) -> pretraining.Pretrained:
        if settings["batch_tokens"] > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(folder, settings, *others)

    monkeypatch.setattr(pretraining, "_train", train_on_a_small_device)
    settings = SMALL | {"steps": 2, "batch_tokens": 1024}
    if room == 600:
        result = dnabert.pretrain([genome], tmp_path / "out", **settings)
        assert json.loads((result.folder / "run.json").read_text())["batch_tokens"] == 512
        tokens = [json.loads(line).get("tokens") for line in (result.folder / "log.jsonl").read_text().splitlines()]
        assert 4 * 500 < max(filter(None, tokens)) <= 2 * 1024
    else:
        with pytest.raises(InputError, match="no memory for --batch-tokens 512 either"):
            dnabert.pretrain([genome], tmp_path / "out", **settings)
    assert "starting again with --batch-tokens 512 --accumulate 2" in capsys.readouterr().err


LONG_STEPS = {"preset": "mini", "batch_tokens": 4096, "save_every": 1, "holdout": ("0",)}


@pytest.mark.parametrize("more", [{}, LONG_STEPS])  # what comes of it depends on what the main process is doing
def test_a_killed_loader_is_an_error_and_no_hang(more: dict[str, Any], genome: Path, tmp_path: Path) -> None:
    settings = SMALL | {"steps": 5000, "workers": 1} | more
    out = tmp_path / "out"
    running = pretrain_apart(genome, out, settings)
    while last_checkpoint(out) is None:
        assert running.is_alive()
        time.sleep(0.02)
    (loader,) = psutil.Process(running.pid).children()
    loader.kill()
    running.join(60)
    assert running.exitcode == 1
    errors = out.with_suffix(".err").read_text()
    assert "InputError" in errors
    assert "a loader process ended" in errors
    assert "--resume" in errors


@pytest.mark.parametrize(
    ("room", "expected"), [(4, None), (1, "no memory for 2 sequences of 39 tokens at a time either")]
)
def test_half_the_rows_at_a_time_make_the_same_step_where_memory_is_short(
    room: int,
    expected: str | None,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_bound(tmp_path / "data", rng)
    model = tiny_model(tmp_path / "model")
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 8, "dropout": 0.0, "method": "full", "precision": "float32"}
    plain = dnabert.finetune(data, model, tmp_path / "plain", **settings)
    step = PackedTrainer.training_step

    def step_on_a_small_device(trainer: Any, model: Any, inputs: dict[str, Any], *others: Any) -> torch.Tensor:
        assert (model.class_weights is None) == (expected is None), "what stands for the model has its weights"
        if len(inputs["labels"]) > room and model.training:
            with torch.no_grad():
                next(model.parameters()).add_(1.0)  # as if some steps had been made before
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(trainer, model, inputs, *others)

    monkeypatch.setattr(PackedTrainer, "training_step", step_on_a_small_device)
    if expected:
        with pytest.raises(InputError, match=expected):
            dnabert.finetune(data, model, tmp_path / "out", **settings | {"batch_size": 4, "class_weights": True})
        return
    small = dnabert.finetune(data, model, tmp_path / "out", **settings)
    assert "no memory for 8 sequences of 39 tokens at a time; trying half" in capsys.readouterr().err
    assert small.test is not None
    assert plain.test is not None
    weights = [load_file(one.folder / "model.safetensors") for one in (small, plain)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-4)


GONE = FileNotFoundError(2, "No such file or directory")
RAISED = FileNotFoundError("Caught FileNotFoundError in DataLoader worker process 0.")


@pytest.mark.parametrize(
    ("error", "workers", "expected"),
    [
        (GONE, 1, InputError),
        (EOFError(), 1, InputError),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), 1, InputError),
        (GONE, 0, FileNotFoundError),
        (RAISED, 1, FileNotFoundError),
        (RuntimeError("shapes differ"), 1, RuntimeError),
    ],
)
def test_what_counts_as_a_dead_loader(
    genome: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    workers: int,
    expected: type[Exception],
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(transformers.Trainer, "get_batch_samples", fail)
    with pytest.raises(expected) as raised:
        dnabert.pretrain([genome], tmp_path / "out", **SMALL | {"workers": workers})
    assert expected is not InputError or "a loader process ended" in str(raised.value)
