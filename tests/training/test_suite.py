"""Many data sets with one command."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from dnabert.cli.benchmark import _print
from dnabert.errors import InputError
from dnabert.model import baselines, checkpoint
from dnabert.training import compare, published, suite
from dnabert.training.data import read_splits
from dnabert.training.finetune import Finetuned, _plan, defaults, finetune
from dnabert.training.jobs import Job, side_by_side
from dnabert.training.trainer import last_checkpoint
from tests.conftest import random_dna, run_command, tiny_model

TUNE: dict[str, Any] = {"epochs": 1, "batch_size": 16, "device": "cpu", "precision": "float32"}


@pytest.fixture
def sets(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("tf/0", "prom/prom_core_tata", "EMP/H3"):
        folder = tmp_path / "gue" / name
        folder.mkdir(parents=True)
        for part in ("train", "dev", "test")[name == "EMP/H3" :]:
            rows = (f"{random_dna(30, rng)},{i % 2}" for i in range(40))
            (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    return tmp_path / "gue"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model", k=3)


def test_every_set_that_can_be_trained_is(
    sets: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = suite.benchmark(sets, model, tmp_path / "out", seeds=2, **TUNE)
    assert "Skipped, no train or dev file: EMP/H3" in capsys.readouterr().err
    assert [(line.name, line.seeds, line.metric) for line in lines] == [
        ("prom/prom_core_tata", 2, "mcc"),
        ("tf/0", 2, "mcc"),
    ]
    rows = pyarrow.parquet.read_table(tmp_path / "out/results.parquet").to_pylist()
    assert len(rows) == 4
    values = [row["value"] for row in rows if row["name"] == "tf/0"]
    assert lines[1].mean == pytest.approx(np.mean(values))
    assert lines[1].deviation == pytest.approx(np.std(values, ddof=1))
    assert all(row["split"] == "test" and row["rows_train"] == 40 and row["seconds"] > 0 for row in rows)
    # binding sites are found on either strand, promoters are not
    for name, strand in (("tf/0", "both"), ("prom/prom_core_tata", "given")):
        assert checkpoint.load(tmp_path / "out/runs" / name / "seed1").model.config.strand == strand
    # what is there is not trained again; what is missing is
    shutil.rmtree(tmp_path / "out/runs/tf/0/seed1")
    trained = []

    def remembered(**options: Any) -> Any:
        trained.append((Path(options["data"]).name, options["seed"]))
        return finetune(**options)

    monkeypatch.setattr(suite, "finetune", remembered)
    again = suite.benchmark(sets, model, tmp_path / "out", seeds=2, **TUNE)
    assert trained == [("0", 1)]
    assert again == lines
    # a part of the suite is shown alone, and the table keeps the rest
    rows = pyarrow.parquet.read_table(tmp_path / "out/results.parquet").to_pylist()
    part = suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], **TUNE)
    assert [(line.name, line.seeds) for line in part] == [("tf/0", 1)]
    assert pyarrow.parquet.read_table(tmp_path / "out/results.parquet").to_pylist() == rows
    assert suite.summarise(tmp_path / "out") == lines


def test_fits_side_by_side_are_the_same_fits(
    sets: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"only": ["tf"], "seeds": 1, "baselines": ["from-scratch", "kmers"], **TUNE}
    alone = suite.benchmark(sets, model, tmp_path / "alone", **asked)
    capfd.readouterr()
    together = suite.benchmark(sets, model, tmp_path / "together", jobs=2, **asked)
    said = capfd.readouterr().err
    assert together == alone
    # the model, then each baseline as work of its own, then what compares them
    first, *others, last = re.findall(r"tf/0, seed 0, (\S+): done \((\d) of 1 complete\)", said)
    assert (first, sorted(others), last) == (
        ("fine-tuned", "0"),
        [("from-scratch", "0"), ("kmers", "0")],
        ("comparison", "1"),
    )
    assert "batches of" not in said  # what each says is in its log
    for name in ("fine-tuned", "from-scratch"):
        assert "1 epoch, batches of" in (tmp_path / f"together/logs/tf/0/share1-seed0-{name}.log").read_text()
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "together/runs").rglob("*"))
    assert suite.benchmark(sets, model, tmp_path / "together", jobs=2, **asked) == alone
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "together/runs").rglob("*")) == before


def test_what_is_left_of_a_suite_in_the_order_it_is_done_in(sets: Path, model: Path, tmp_path: Path) -> None:
    (sets / "tf/0/train.csv").write_text((sets / "tf/0/train.csv").read_text() + "ACGTACGTACGT,1\n")
    made = tmp_path / "out/runs/tf/0/seed0"
    suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], baselines="kmers", **TUNE)
    fits = [suite.Fit(name, sets / name, seed, 1.0) for name in ("prom/prom_core_tata", "tf/0") for seed in (0, 1)]
    runs = [suite._Run(one, suite._place(tmp_path / "out", one, False), model, "gue", None, (), TUNE) for one in fits]

    def left(beside: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
        return [(job.name, job.after) for job in suite._work(runs, beside, tmp_path / "logs")]

    tf, prom = "tf/0, seed", "prom/prom_core_tata, seed"
    # the larger set first; nothing is done before what it rests on; what is there is not made again
    assert left(()) == [(f"{tf} 1, fine-tuned", ()), (f"{prom} 0, fine-tuned", ()), (f"{prom} 1, fine-tuned", ())]
    work = left(("kmers", "residual"))
    assert work[:2] == [(f"{tf} 0, residual", ()), (f"{tf} 0, comparison", (f"{tf} 0, residual",))]
    model_, *others = (f"{tf} 1, {name}" for name in ("fine-tuned", "kmers", "residual", "comparison"))
    assert work[2:6] == [
        (model_, ()),
        (others[0], (model_,)),
        (others[1], (model_,)),
        (others[2], (model_, others[0], others[1])),
    ]
    # a suite that was killed goes on with what is missing
    shutil.rmtree(made / "baselines/kmers")
    (made / "comparison.json").unlink()
    assert left(("kmers",))[:2] == [(f"{tf} 0, kmers", ()), (f"{tf} 0, comparison", (f"{tf} 0, kmers",))]
    runs[2].baseline("kmers")
    assert checkpoint.read_record(made / "baselines/kmers")["name"] == "kmers"
    runs[2].beside(("kmers",))
    assert [one["name"] for one in compare.read_table(made)] == ["fine-tuned", "kmers"]
    with pytest.raises(InputError, match="no data set is left"):
        suite.benchmark(sets, model, tmp_path / "none", jobs=2, only=["nothing"], **TUNE)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_fit_that_is_killed_says_how_to_go_on(tmp_path: Path) -> None:
    work = [Job(f"tf/0, seed {seed}", tmp_path / f"{seed}.log", _killed) for seed in range(2)]
    with pytest.raises(InputError, match="tf/0, seed 0: its process ended before its time; the same command goes on"):
        list(side_by_side(work, 1))
    with pytest.raises(InputError, match="--jobs 0: 1 or more"):
        suite.benchmark(tmp_path, tmp_path / "model", tmp_path / "out", jobs=0)


def test_options_are_refused_before_anything_is_written(sets: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--method frozen has no use for --epochs"):
        suite.benchmark(sets, model, tmp_path / "out", method="frozen", epochs=2)
    assert not (tmp_path / "out").exists()


def test_every_set_is_looked_at_before_the_first_fit(sets: Path, model: Path, tmp_path: Path) -> None:
    path = sets / "tf/0/test.csv"
    path.write_text(path.read_text().replace(",1\n", ",maybe\n", 1))
    for only in ([], ["tf"]):  # one alone too: what its fit began would stand in the way of the corrected command
        with pytest.raises(InputError, match=r"tf/0: .*test.csv.*'maybe'"):
            suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=only, **TUNE)
    with pytest.raises(InputError, match="--device nonsense: there is no such device"):
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, **TUNE | {"device": "nonsense"})
    path.write_text(f"sequence,label\n{'ACGT' * 300},1\n")
    with pytest.raises(InputError, match=r"tf/0: .*--long"):
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, **TUNE)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):  # before a set is looked at
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, **TUNE)


def test_a_frozen_model_is_the_same_with_every_seed_but_networks_are_not(
    sets: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"seeds": 2, "method": "frozen", "task": "nonsense"}
    same: dict[str, Any] = {"baselines": "kmers"}
    for others, warned in (
        (same, True),
        ({"baselines": "residual"}, False),
        (same | {"from_scratch": True}, False),
        (same | {"keep": "kmers"}, False),
    ):
        with pytest.raises(InputError, match="--task nonsense"):
            suite.benchmark(sets, model, tmp_path / "out", **options, **others)
        assert ("draws nothing at random" in capsys.readouterr().err) == warned


def _write_setting(path: Path) -> None:
    path.write_text(os.environ.get("DNABERT_TEST_SETTING", "none"))


def test_work_has_the_environment_of_the_time_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("first", "second", None):
        if setting is None:
            monkeypatch.delenv("DNABERT_TEST_SETTING")
        else:
            monkeypatch.setenv("DNABERT_TEST_SETTING", setting)
        list(side_by_side([Job("one", tmp_path / "log", partial(_write_setting, tmp_path / "seen"))], 1))
        assert (tmp_path / "seen").read_text() == (setting or "none")


def _broken() -> None:
    raise KeyError("nothing is known of this")


def test_a_fit_that_breaks_leaves_its_traceback_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    with pytest.raises(InputError, match=r"tf/0, seed 0: KeyError: 'nothing is known of this' \(where: .*0\.log\)"):
        list(side_by_side([Job("tf/0, seed 0", log, _broken)], 1))
    assert "in _broken" in log.read_text()


def test_a_fit_beside_others_that_is_refused_is_named(
    sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "_check_sets", lambda _: None)  # which would refuse it before
    with pytest.raises(InputError, match="tf/0, seed 0, fine-tuned: --task nonsense"):
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], jobs=2, task="nonsense", **TUNE)


def test_fits_side_by_side_are_interrupted_and_go_on(sets: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # a shell that runs the suite in the background lets it ignore what Ctrl-C sends
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import dnabert.cli as c; c.main()"
    command = [sys.executable, "-c", code, "benchmark", sets, "--model", model, "--out", out, "--seeds", 1]
    command += ["--only", "tf", "--jobs", 2, "--epochs", 500, "--learning-rate", 1e-4, "--device", "cpu"]
    with subprocess.Popen([str(one) for one in command], stderr=subprocess.PIPE, text=True) as process:
        log = out / "logs/tf/0/share1-seed0-fine-tuned.log"
        for _ in range(3000):
            if log.is_file() and "step" in log.read_text():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Stopping what runs" in said
    assert "the same command goes on from here" in said
    assert last_checkpoint(out / "runs/tf/0/seed0") is not None
    assert "Stopping after this step" in log.read_text()


def test_a_learning_curve_of_numbers(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "dream").mkdir()
    rows = (f"{random_dna(30, rng)}\t{rng.normal(11, 2)}" for _ in range(200))
    (tmp_path / "dream/yeast.tsv").write_text("\n".join(["sequence\texpression", *rows]) + "\n")
    lines = suite.benchmark(
        *(tmp_path / "dream", model, tmp_path / "out"),
        **{"protocol": "dream", "seeds": 1, "label": ["expression"], "baselines": ["kmers"], **TUNE},
    )
    assert [line.share for line in lines] == [0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert [line.model for line in lines] == ["fine-tuned", "kmers"] * 4
    assert {line.metric for line in lines} == {"pearson"}
    assert all(-1 <= line.spearman <= 1 for line in lines)
    results = pyarrow.parquet.read_table(tmp_path / "out/results.parquet")
    assert results["rows_train"].to_pylist() == [20, 20, 40, 40, 80, 80, 160, 160]
    assert all(-1 <= value <= 1 for value in results["spearman"].to_pylist())
    parts = [
        read_splits(tmp_path / "dream/yeast.tsv", label=["expression"], split=(0.8, 0.1, 0.1), rows=80, share=share)
        for share in (0.25, 0.5)
    ]
    assert [part.train.rows for part, _ in parts] == [20, 40]  # shares of those rows


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each fit is asked for, without one."""
    found: list[dict[str, Any]] = []

    def remembered(**options: Any) -> Finetuned:
        found.append(options)
        return Finetuned(*(None,) * 4, finished=True)  # type: ignore[arg-type]

    monkeypatch.setattr(suite, "finetune", remembered)
    return found


def test_fits_by_the_protocol_of_dream(
    model: Path,
    tmp_path: Path,
    rng: np.random.Generator,
    asked: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = (f"{random_dna(30, rng)}\t{rng.normal(11, 2)}" for _ in range(1000))
    (tmp_path / "yeast.txt").write_text("\n".join(rows) + "\n")
    suite.benchmark(tmp_path / "yeast.txt", model, tmp_path / "out", protocol="dream", seeds=1, device="cpu")
    assert "published figures of DREAM are of a model of k = 6, this one has k = 3" in capsys.readouterr().err
    plans = [_plan(defaults() | {name: one[name] for name in one if name != "baselines"}) for one in asked]
    for name, value in (("learning_rate", 1e-4), ("batch_size", 128), ("epochs", 10), ("task", "regression")):
        assert [plan.settings[name] for plan in plans] == [value] * 4
    parts = [[0 if part is None else part.rows for part in plan.read.parts] for plan in plans]
    assert parts == [[train, 90, 100] for train in (101, 202, 405, 810)]
    suite.benchmark(tmp_path / "yeast.txt", tiny_model(tmp_path / "six", k=6), tmp_path / "out6", protocol="dream")
    assert "published figures" not in capsys.readouterr().err


def test_the_strand_is_known_of_gue_alone_and_can_be_given(
    sets: Path, model: Path, tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    for name, strand in (
        ("tf/0", "both"),
        ("GUE/mouse/4", "both"),
        ("EMP/H3", "both"),
        ("splice/reconstructed", "given"),
        ("tf/mine", "given"),
        ("mouse/embryo/one", "given"),
    ):
        assert published.strand_of(name) == strand
    for given in (None, "both", "given"):
        suite.benchmark(sets, model, tmp_path / f"out-{given}", seeds=1, strand=given, **TUNE)
    assert [one["strand"] for one in asked] == ["given", "both", "both", "both", "given", "given"]
    with pytest.raises(InputError, match="--strand neither: give one of given, both"):
        suite.benchmark(sets, model, tmp_path / "out", strand="neither", **TUNE)


def test_fits_of_other_rows_do_not_stand_beside_those_there_are(sets: Path, model: Path, tmp_path: Path) -> None:
    one: dict[str, Any] = {"only": ["tf"], "method": "frozen", "device": "cpu"}
    suite.benchmark(sets, model, tmp_path / "out", seeds=1, **one)
    path = sets / "tf/0/dev.csv"
    path.write_text(path.read_text() + "ACGTACGTACGT,1\n")
    for more in ({"seeds": 2}, {"seeds": 1, "baselines": "kmers"}):
        with pytest.raises(InputError, match=r"tf/0/dev\.csv: this file of the data has changed since the run"):
            suite.benchmark(sets, model, tmp_path / "out", **one, **more)
    assert not (tmp_path / "out/runs/tf/0/seed1").exists()
    tiny_model(model, k=3, seed=4)  # another model of the same name
    with pytest.raises(InputError, match=r"model\.safetensors: this file of the model has changed since the run in"):
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, **one | {"only": ["tf", "tata"]})
    lines = suite.benchmark(sets, model, tmp_path / "out", seeds=1, **one)  # what is complete is shown
    shutil.move(model, tmp_path / "moved")
    assert suite.benchmark(sets, model, tmp_path / "out", seeds=1, **one) == lines
    shutil.move(tmp_path / "moved", model)
    suite.benchmark(sets, model, tmp_path / "out", seeds=1, overwrite=True, baselines="kmers", **one)


def test_baselines_stand_in_the_table(sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NAMES", ("kmers",))
    lines = suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], baselines=True, **TUNE)
    assert [line.model for line in lines] == ["fine-tuned", "from-scratch", "kmers"]
    (tmp_path / "out/runs/tf/0/seed0/comparison.json").unlink()  # killed while baselines were trained
    again = suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], baselines=True, **TUNE)
    assert [(line.model, line.mean) for line in again] == [(line.model, line.mean) for line in lines]


def test_baselines_are_added_to_fits_that_are_complete(sets: Path, model: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"seeds": 1, "only": ["tf"], **TUNE}
    with pytest.raises(InputError, match="--baseline knn: give one of"):
        suite.benchmark(sets, model, tmp_path / "out", baselines=["knn"], **options)
    alone = suite.benchmark(sets, model, tmp_path / "out", **options)
    settings = json.loads((tmp_path / "out/run.json").read_text())
    assert "baselines" not in settings
    # as older versions wrote it
    (tmp_path / "out/run.json").write_text(json.dumps(settings | {"baselines": False}))
    weights = tmp_path / "out/runs/tf/0/seed0/model.safetensors"
    before = weights.stat().st_mtime_ns
    lines = suite.benchmark(sets, model, tmp_path / "out", baselines=["kmers"], **options)
    assert [line.model for line in lines] == ["fine-tuned", "kmers"]
    assert [(line.model, line.mean) for line in lines[:1]] == [(line.model, line.mean) for line in alone]
    seconds = pyarrow.parquet.read_table(tmp_path / "out/results.parquet")["seconds"].to_pylist()
    assert seconds[0] == compare.seconds(weights.parent)
    assert all(one > 0 for one in seconds)
    assert weights.stat().st_mtime_ns == before  # the fit itself is taken as it is
    # whether a difference is one stands in the table as in the report
    rows = pyarrow.parquet.read_table(tmp_path / "out/results.parquet").to_pylist()
    kmers = compare.read_table(weights.parent)[1]
    differences = [(row["difference"], row["p"]) for row in rows]
    assert differences == [(None, None), (kmers["difference"]["value"], kmers["p_value"])]
    again = suite.benchmark(sets, model, tmp_path / "out", **options)
    assert [line.model for line in again] == ["fine-tuned", "kmers"]  # no table loses what is there
    more = suite.benchmark(sets, model, tmp_path / "out", baselines=["from-scratch"], **options)
    assert [line.model for line in more] == ["fine-tuned", "from-scratch", "kmers"]


def test_the_command_prints_published_figures(sets: Path, model: Path, tmp_path: Path) -> None:
    options = ("--seeds", 1, "--only", "tata", "--rows", 20, "--epochs", 1, "--batch-size", 5, "--device", "cpu")
    wide = {**os.environ, "COLUMNS": "200"}
    done = run_command("benchmark", sets, "--model", model, "--out", tmp_path / "out", *options, env=wide)
    # one seed has no standard deviation
    assert re.search(r"prom/prom_core_tata: mcc *\n *fine-tuned +\S+ +- +\S+ to \S+ +1 ", done.stdout)
    for known, value in (("DNABERT-6", "0.7606"), ("DNABERT-2", "0.7417"), ("DNABERT-3", "0.7815")):
        assert re.search(rf"\n *{known}, published +{value} ", done.stdout)
    assert "arXiv 2306.15006v2" in done.stdout
    assert pyarrow.parquet.read_table(tmp_path / "out/results.parquet")["rows_train"].to_pylist() == [20]
    assert "batches of 5" in done.stderr


def test_a_long_name_cuts_no_number(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "promoters_of_a_yeast_measured_in_2022"
    lines = [
        suite.Summary(name, model, 0.125, "pearson", 3, value, 0.012, value - 0.05, value + 0.05, value + 0.03)
        for model, value in (("fine-tuned", 0.512), ("residual", 0.487))
    ]
    _print(lines, dream=True)
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "fine-tuned 0.512 0.012 0.462 to 0.562 0.542 3" in shown
    assert "residual 0.487 0.012 0.437 to 0.537 0.517 3" in shown
    assert shown[-2].startswith("Published, k = 6, on such a split of 6.7 million rows: r 0.74, rho 0.76")
    assert shown[-1] == "A baseline's mean is ahead of the fine-tuned model's on 0 of 1 data sets and sizes."


@pytest.mark.parametrize(("metric", "shown"), [("mcc", True), ("accuracy", False)])
def test_the_own_figure_of_the_first_paper_stands_beside_splice_sites(
    metric: str, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    line = suite.Summary("splice/reconstructed", "fine-tuned", 1.0, metric, 3, 0.8, 0.01, 0.79, 0.81, math.nan)
    _print([line], dream=False)
    out = capsys.readouterr().out
    assert bool(re.search(r"\n *DNABERT 2021, published +0\.8710 ", out)) == shown
    assert ("DNABERT 2021: Ji et al. 2021, doi 10.1093/bioinformatics/btab083" in out) == shown
    assert ("Published: Zhou" in out) == shown  # no source of figures that are not there


def test_the_sets_on_which_a_baseline_is_ahead_are_named() -> None:
    means = {
        ("tf/0", 1.0): {"fine-tuned": 0.5, "kmers": 0.6, "residual": 0.7},
        ("tf/1", 1.0): {"fine-tuned": 0.5, "kmers": 0.4, "residual": math.nan},
        ("yeast", 0.125): {"fine-tuned": 0.5, "kmers": 0.51},
        ("alone", 1.0): {"fine-tuned": 0.5},
    }
    lines = [
        suite.Summary(name, model, share, "mcc", 1, mean, *(math.nan,) * 4)
        for (name, share), models in means.items()
        for model, mean in models.items()
    ]
    assert suite.ahead(lines) == (
        "A baseline's mean is ahead of the fine-tuned model's on 2 of 3 data sets and sizes: "
        "tf/0 (kmers, residual); yeast, 12.5% of the rows (kmers)."
    )
    assert suite.ahead(lines[-1:]) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"only": ["splice"]}, r"no data set is left \(prom/prom_core_tata, tf/0\)"),
        ({"protocol": "best"}, "--protocol best: give one of gue, dream"),
        ({"rows": 1}, "--rows 1: 2 "),
    ],
)
def test_suites_that_cannot_run_are_refused(
    change: dict[str, Any], message: str, sets: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        suite.benchmark(sets, model, tmp_path / "out", **TUNE | change)
    with pytest.raises(InputError, match="a folder of data sets is required"):
        suite.benchmark(tmp_path / "nowhere", model, tmp_path / "out2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none has train and dev files"):
        suite.benchmark(tmp_path / "empty", model, tmp_path / "out3")


def test_another_suite_does_not_write_into_a_folder(sets: Path, model: Path, tmp_path: Path) -> None:
    suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], **TUNE)
    for change, message in (
        ({"rows": 20}, "rows was None, is 20"),
        ({"label": ["label"]}, r"label was None, is \['label'\]"),
        ({"epochs": 2}, "epochs was 1, is 2"),
        ({"strand": "given"}, "strand was None, is given"),
    ):
        with pytest.raises(InputError, match=f"this folder holds another run, its {message}"):
            suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], **TUNE | change)
    without = {name: value for name, value in TUNE.items() if name != "epochs"}
    with pytest.raises(InputError, match="epochs was 1, is None"):
        suite.benchmark(sets, model, tmp_path / "out", seeds=1, only=["tf"], **without)


def test_sets_of_gue_are_known_from_any_folder(sets: Path, model: Path, tmp_path: Path) -> None:
    for start in (sets / "tf", sets / "tf/0"):
        lines = suite.benchmark(start, model, tmp_path / f"out-{start.name}", seeds=1, **TUNE)
        assert [line.name for line in lines] == ["tf/0"]
        folder = tmp_path / f"out-{start.name}/runs/tf/0/seed0"
        assert checkpoint.load(folder).model.config.strand == "both"


def test_sets_that_are_called_alike_keep_their_folders(sets: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(sets, tmp_path / "both" / name)
    names = [name for name, _ in suite._gue_sets(tmp_path / "both")]
    assert names == [f"{name}/{known}" for name in ("one", "two") for known in ("prom/prom_core_tata", "tf/0")]


def test_tables_of_like_names_are_sets_of_their_own(tmp_path: Path) -> None:
    for name in ("native.2022.tsv", "native.2023.tsv.gz"):
        (tmp_path / name).touch()
    assert [name for name, _ in suite._dream_sets(tmp_path)] == ["native.2022", "native.2023"]
    (tmp_path / "native.2022.csv").touch()
    with pytest.raises(InputError, match=r"native.2022.csv and native.2022.tsv would be one data set"):
        suite._dream_sets(tmp_path)


def test_a_metric_that_is_undefined_is_left_out(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    for name, rows in (("train", 30), ("dev", 10), ("test", 1)):
        (tmp_path / "sets/one").mkdir(parents=True, exist_ok=True)
        content = (f"{random_dna(30, rng)},{rng.normal()}" for _ in range(rows))
        (tmp_path / f"sets/one/{name}.csv").write_text("\n".join(["sequence,label", *content]) + "\n")
    lines = suite.benchmark(tmp_path / "sets", model, tmp_path / "out", seeds=2, **TUNE)
    assert [math.isnan(value) for value in (lines[0].mean, lines[0].deviation)] == [True, True]


def test_published_figures_are_those_of_the_set() -> None:
    assert published.gue("some/prom/prom_300_tata")["NT-2500M-multi"] == 0.7943
    assert max(published.gue("mouse/3").values()) == 0.7349
    assert published.gue("prom_300") == {}


@pytest.mark.parametrize(
    ("task", "averages"),  # of DNABERT-3, NT-2500M-multi, DNABERT-2: the paper's table of averages over a task's sets
    [
        ("EMP/", (49.54, 58.06, 55.98)),
        ("prom/prom_300", (84.63, 88.14, 84.21)),
        ("prom/prom_core", (72.96, None, 70.52)),
        ("mouse/", (57.73, 67.01, 67.99)),
        ("tf/", (None, 63.32, 70.10)),
    ],
)
def test_published_figures_have_the_published_averages(task: str, averages: tuple[float | None, ...]) -> None:
    names = [name for name in published.NAMES if name.startswith(task)]
    for model, average in zip(("DNABERT-3", "NT-2500M-multi", "DNABERT-2"), averages, strict=True):
        if average is not None:
            mean = 100 * sum(published.gue(name)[model] for name in names) / len(names)
            assert mean == pytest.approx(average, abs=0.011)
