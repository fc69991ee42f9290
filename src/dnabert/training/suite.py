"""Many data sets with one command: fine-tune on each with several seeds, go on where it stopped, one table."""

import contextlib
import io
import json
import math
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from dnabert.errors import InputError, check_at_least
from dnabert.files import claim_folder, replacing
from dnabert.model.checkpoint import RECORD, in_full, read_record
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.training import compare, initial, published, splits
from dnabert.training.data import as_list
from dnabert.training.finetune import UNUSED, check, check_options, finetune
from dnabert.training.jobs import Job, side_by_side
from dnabert.training.metrics import MAIN
from dnabert.training.trainer import RUN, changes, last_checkpoint

PROTOCOLS = ("gue", "dream")
DREAM = {"split": (0.81, 0.09, 0.10), "learning_rate": 1e-4, "batch_size": 128, "epochs": 10}
"""DREAM 2022 as DNABERT was run on it: 90:10, rate 1e-4, batches of 128, 10 epochs. A tenth of the 90 chooses the
epoch, so that the 10 are looked at once."""
CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training rows at which DREAM's learning curve is taken."""
RESULTS = "results.parquet"


class Fit(NamedTuple):
    """One fine-tuning of a suite.

    Attributes
    ----------
    name : str
        The data set: its folder or file, relative to the suite.
    data : pathlib.Path
    seed : int
    share : float
        Of the training rows.
    """

    name: str
    data: Path
    seed: int
    share: float

    @property
    def words(self) -> str:
        """For messages."""
        return f"{self.name}{f', {self.share:g} of the rows' * (self.share < 1)}, seed {self.seed}"


class Summary(NamedTuple):
    """A data set's line in the table: mean and standard deviation of the main metric over seeds, mean interval.

    Of numbers `spearman` is the mean of Spearman's rho, beside the main metric, Pearson's r; of others it is NaN.
    """

    name: str
    model: str
    share: float
    metric: str
    seeds: int
    mean: float
    deviation: float
    low: float
    high: float
    spearman: float


def benchmark(
    suite: str | os.PathLike[str],
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    protocol: str = "gue",
    seeds: int = 3,
    only: Sequence[str] = (),
    rows: int | None = None,
    label: str | Sequence[str] = (),
    jobs: int = 1,
    overwrite: bool = False,
    baselines: bool | str | Sequence[str] = False,
    graphs: bool = True,
    **options: Any,
) -> list[Summary]:
    """Fine-tune a model on each data set of a folder. A run that was stopped goes on where it was.

    Parameters
    ----------
    suite : path
        `gue`: a folder with, at any depth, folders of `train`, `dev` and `test` files; those without are skipped and
        named. `dream`: a folder of tables with sequences and numbers.
    model : path
        A pre-trained model directory.
    out : path
        Folder of the runs and of `results.parquet`, one row a data set, seed and model.
    protocol : str
        `gue` or `dream`.
    seeds : int
        Fits of each data set.
    only : sequence of str
        Names of data sets, or parts of names.
    rows : int, optional
        Train on this many rows alone, with the same proportions of classes.
    label : str or sequence of str
        Columns of labels, `label` by default.
    jobs : int
        Fits, and their baselines, at the same time, each in a process of its own that gets its share of the cores and
        writes what it says to `logs`. A small model leaves much of a GPU idle. A script that asks for several is to
        have its own work under `if __name__ == "__main__"`, as with all of Python's `multiprocessing`.
    overwrite : bool
        Start anew.
    baselines : bool, str or sequence of str
        As in `finetune`; a folder that is complete without them gets them when they are asked for later.
    graphs : bool
        As in `finetune`.
    **options
        For `finetune`.

    Returns
    -------
    list of Summary

    Raises
    ------
    InputError
        If there is no data set that can be used, the output folder is another run's, or a fit is refused.
    """
    initial.check_apart(model, out)
    check_at_least(1, seeds=seeds, jobs=jobs)
    check_options(options | {"rows": rows})
    label = as_list(label)
    beside = compare.chosen(baselines, options.get("from_scratch", False))
    if protocol not in PROTOCOLS:
        raise InputError(f"--protocol {protocol}: give one of {', '.join(PROTOCOLS)}")
    found = _gue_sets(Path(suite)) if protocol == "gue" else _dream_sets(Path(suite))
    wanted = [(name, data) for name, data in found if not only or any(part in name for part in only)]
    if not wanted:
        raise InputError(
            f"{suite}: no data set is left ({', '.join(name for name, _ in found) or 'none has train and dev files'}); "
            "name another folder, or another --only"
        )
    shares = CURVE if protocol == "dream" else (1.0,)
    drawn = set(beside) - {"kmers"} or rows is not None or protocol == "dream"
    drawn = drawn or options.get("from_scratch") or options.get("keep", "all") != "all"
    if options.get("method") == "frozen" and seeds > 1 and not drawn:
        say("Warning: --method frozen draws nothing at random; its fits are the same with every seed (--seeds 1)")
    fits = [Fit(name, data, seed, share) for name, data in wanted for share in shares for seed in range(seeds)]
    places = {fit: _place(Path(out), fit, len(shares) > 1) for fit in fits}
    run = partial(_Run, model=model, protocol=protocol, rows=rows, label=label, options=options | {"graphs": graphs})
    left = [run(fit, place) for fit, place in places.items() if overwrite or not _is_done(place, beside)]
    settings = {"suite": str(Path(suite).resolve()), "model": in_full(model), "protocol": protocol, "rows": rows}
    settings |= {"label": label or None} | options
    if not overwrite:
        _check_folder(out, settings)  # a taken folder is refused before anything is read
    _check_sets(left)
    folder = _claim(out, settings, overwrite)

    def write() -> int:
        made = [fit for fit in fits if (places[fit] / RECORD).is_file()]
        _write(folder, [row for fit in made for row in _rows(places[fit], fit)])
        return sum(_is_done(places[fit], beside) for fit in made)

    complete = write()
    if jobs == 1:
        for one in left:
            say(f"--- {one.fit.words} ({complete + 1} of {len(fits)})")
            one.beside(beside)
            complete = write()
    elif left:
        say(f"{len(left)} fit{'s' * (len(left) > 1)}, {jobs} at a time; what each says is in {folder / 'logs'}")
        for done in side_by_side(_work(left, beside, folder / "logs"), jobs):
            complete = write()
            say(f"{done}: done ({complete} of {len(fits)} complete)")
    return summarise(folder)


def summarise(folder: str | os.PathLike[str]) -> list[Summary]:
    """Read the results of a suite as one line a data set and model."""
    path = Path(folder) / RESULTS
    lines: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for row in pyarrow.parquet.read_table(path).to_pylist():
        lines.setdefault((row["name"], row["model"], row["share"]), []).append(row)
    return [
        Summary(
            name,
            model,
            share,
            rows[0]["metric"],
            len(rows),
            _mean(rows, "value"),
            statistics.stdev(values) if len(values := _defined(rows, "value")) > 1 else math.nan,
            _mean(rows, "low"),
            _mean(rows, "high"),
            _mean(rows, "spearman"),
        )
        for (name, model, share), rows in lines.items()
    ]


def _defined(rows: list[dict[str, Any]], name: str) -> list[float]:
    """List a column's values, without those that are undefined (a correlation over one row)."""
    return [row[name] for row in rows if row[name] is not None]


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    values = _defined(rows, name)
    return statistics.fmean(values) if values else math.nan


def _gue_sets(suite: Path) -> list[tuple[str, Path]]:
    if not suite.is_dir():
        raise InputError(f"{suite}: a folder of data sets is required; check the path")
    usable, skipped = [], []
    for folder in (suite, *sorted(path for path in suite.rglob("*") if path.is_dir())):
        there = {name for name in splits.NAMES if splits.find_file(folder, name)}
        name = _name(folder, suite)
        if {"train", "dev"} <= there:
            usable.append((name, folder))
        elif there:
            skipped.append(name)
    if skipped:
        say(f"Skipped, no train or dev file: {', '.join(skipped)}")
    return usable


def _name(folder: Path, suite: Path) -> str:
    """Name a data set by its path from the suite on, or from the folder above it, where that makes it one of GUE."""
    name = str(folder.relative_to(suite)) if folder != suite else suite.resolve().name
    known = "/".join(folder.resolve().parts[-2:])
    return known if known in published.NAMES and "/" not in name else name


def _dream_sets(suite: Path) -> list[tuple[str, Path]]:
    if suite.is_file():
        return [(tables.stem(suite), suite)]
    if not suite.is_dir():
        raise InputError(f"{suite}: a table or a folder of tables is required; check the path")
    files = sorted(path for path in suite.iterdir() if path.is_file() and tables.is_table(path))
    found: dict[str, Path] = {}
    for path in files:
        other = found.setdefault(tables.stem(path), path)
        if other != path:
            raise InputError(f"{suite}: {other.name} and {path.name} would be one data set; keep one, or rename it")
    return list(found.items())


def _check_folder(out: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Raise InputError if the output folder is taken, but by a run of the same suite, model and settings."""
    path = Path(out) / RUN
    if not path.is_file():
        claim_folder(out)
        return
    before = json.loads(path.read_text())
    before.pop("baselines", None)  # stood here once; they are asked for anew each time
    shown = changes(before, dict.fromkeys(before) | settings)
    if shown:
        raise InputError(f"{out}: this folder holds another run, its {shown}; name another --out, or --overwrite")


def _claim(out: str | os.PathLike[str], settings: dict[str, Any], overwrite: bool) -> Path:
    """Take the output folder, or go on with what is there."""
    path = Path(out) / RUN
    if overwrite or not path.is_file():
        claim_folder(out, overwrite).mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n")
    return Path(out)


class _Run(NamedTuple):
    """A fit with all it takes."""

    fit: Fit
    place: Path
    model: str | os.PathLike[str]
    protocol: str
    rows: int | None
    label: Sequence[str]
    options: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        """List the options of `finetune`."""
        settings: dict[str, Any] = {}
        if self.protocol == "dream":
            unused = UNUSED[self.options.get("method", "auto")]
            settings = {name: value for name, value in DREAM.items() if name not in unused} | {"task": "regression"}
        if self.protocol == "gue":
            settings["strand"] = published.strand_of(self.fit.name)
        settings |= {"data": self.fit.data, "model": self.model, "out": self.place}
        settings |= {"label": self.label, "rows": self.rows, "share": self.fit.share, "seed": self.fit.seed}
        return settings | self.options

    def beside(self, baselines: Sequence[str]) -> None:
        """Fine-tune, then train the baselines and compare."""
        begun = last_checkpoint(self.place) is not None or (self.place / RECORD).is_file()
        if not finetune(**self.settings(), baselines=baselines, resume=begun, overwrite=not begun).finished:
            raise KeyboardInterrupt

    def baseline(self, name: str) -> None:
        """Train one baseline beside the model, if it can do the task and is not there."""
        if compare.missing(self.place, (name,)) and not compare.train_one(name, **self.settings()):
            raise KeyboardInterrupt


def _check_sets(runs: Sequence[_Run]) -> None:
    """Read each of several sets once: what is refused is refused before the first fit, not after hours."""
    sets = {run.fit.name: run for run in runs}
    if len(sets) < 2:
        return  # the fit of one comes at once
    say(f"Looking at {len(sets)} data sets")
    for name, run in sets.items():
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # the fit says it again
                check(**run.settings())
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


def _work(runs: Sequence[_Run], beside: Sequence[str], logs: Path) -> list[Job]:
    """List what is left: of each fit the model, then each baseline as work of its own, then what compares them.

    The largest set stands first, so that it is not what all wait for in the end.
    """

    def job(run: _Run, name: str, does: Callable[[], None], after: Sequence[Job] = ()) -> Job:
        log = logs / run.fit.name / f"share{run.fit.share:g}-seed{run.fit.seed}-{name}.log"
        return Job(f"{run.fit.words}, {name}", log, does, tuple(one.name for one in after))

    work: list[Job] = []
    for run in sorted(runs, key=lambda run: -_bytes(run.fit)):
        made = (run.place / RECORD).is_file()
        model = [] if made else [job(run, compare.FINETUNED, partial(run.beside, ()))]
        left = compare.missing(run.place, beside) if made else beside
        baselines = [job(run, name, partial(run.baseline, name), model) for name in left]
        compared = [job(run, "comparison", partial(run.beside, beside), [*model, *baselines])] if beside else []
        work += [*model, *baselines, *compared]
    return work


def _bytes(fit: Fit) -> float:
    """Tell how large the training rows are, about."""
    path = splits.find_file(fit.data, "train") if fit.data.is_dir() else fit.data
    return fit.share * path.stat().st_size if path else 0.0


def _is_done(place: Path, beside: Sequence[str]) -> bool:
    """Say whether a fit is complete, with the baselines that are to stand beside it."""
    if not (place / RECORD).is_file():
        return False
    there = {one["name"] for one in compare.read_table(place)}
    return there.issuperset(compare.possible(beside, read_record(place)["task"]))


def _rows(place: Path, fit: Fit) -> Iterator[dict[str, Any]]:
    """Read what a finished fit left, one row a model."""
    record = read_record(place)
    evaluations = json.loads((place / "metrics.json").read_text())
    split = "test" if "test" in evaluations else "dev"
    metric = MAIN[record["task"]]
    row = {
        "name": fit.name,
        "model": compare.FINETUNED,
        "method": record.get("settings", {}).get("method"),
        "seed": fit.seed,
        "share": fit.share,
        "task": record["task"],
        "split": split,
        "metric": metric,
        **evaluations[split]["metrics"][metric],
        "spearman": evaluations[split]["metrics"].get("spearman", {}).get("value"),
        "rows_train": record["rows"]["train"],
        "rows_evaluated": evaluations[split]["rows"],
        "seconds": compare.seconds(place),
    }
    yield row
    for other in compare.read_table(place)[1:]:
        yield row | {
            "model": other["name"],
            "method": None,
            **other[metric],
            "spearman": other.get("spearman", {}).get("value"),
            "seconds": other["seconds"],
        }


def _place(folder: Path, fit: Fit, curve: bool) -> Path:
    return folder / "runs" / fit.name / (f"share{fit.share:g}" if curve else "") / f"seed{fit.seed}"


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("name", "model", "method")]
    + [("seed", pa.int64()), ("share", pa.float64())]
    + [(name, pa.string()) for name in ("task", "split", "metric")]
    + [(name, pa.float64()) for name in ("value", "low", "high", "spearman")]
    + [(name, pa.int64()) for name in ("rows_train", "rows_evaluated")]
    + [("seconds", pa.float64())]
)


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    tables.write(pa.Table.from_pylist(rows, _SCHEMA), folder / RESULTS)
