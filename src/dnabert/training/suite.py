"""Many data sets with one command: fine-tune on each with several seeds, go on where it stopped, one table."""

import contextlib
import io
import json
import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from dnabert.errors import InputError, check_at_least
from dnabert.files import check_apart, claim_folder, replacing
from dnabert.model.checkpoint import RECORD, files_of, in_full, load_shape, read_record
from dnabert.model.device import choose_precision
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.training import compare, published, splits
from dnabert.training.data import as_list
from dnabert.training.finetune import UNUSED, check, check_options, finetune
from dnabert.training.jobs import Job, side_by_side
from dnabert.training.metrics import MAIN
from dnabert.training.trainer import RUN, changes, check_content, last_checkpoint, read_run, training_device

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
    strand: str | None = None,
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
        Folder of the runs and of `results.parquet`, one row a data set, seed and model, of all runs that are complete.
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
    strand : str, optional
        As in `finetune`; by default what is known of GUE's sets, and `given` for others.
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
        Of the data sets and seeds that were asked for.

    Raises
    ------
    InputError
        If there is no data set that can be used, the output folder is another run's, or a fit is refused.
    """
    check_apart(out, model, suite)
    check_at_least(1, seeds=seeds, jobs=jobs)
    if strand is not None:
        options["strand"] = strand
    check_options(options | {"rows": rows})
    choose_precision(options.get("precision", "auto"), training_device(options.get("device", "auto")))
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
    if protocol == "dream" and (k := load_shape(model).k) != published.DREAM_K:
        say(f"Warning: the published figures of DREAM are of a model of k = {published.DREAM_K}, this one has k = {k}")
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
        unfinished = {run.fit.name for run in left}
        begun = [fit for fit in fits if _is_begun(places[fit])]
        for fit in begun if left else ():  # what is to come has to stand beside these
            check_content(places[fit], {"model": files_of(model)})
            if fit.name in unfinished:
                compare.check_data(places[fit])
    _check_sets(left)
    folder = _claim(out, settings, overwrite)

    def write() -> int:
        _write(folder, [row for fit, place in _finished(folder) for row in _rows(place, fit)])
        return sum(_is_done(place, beside) for place in places.values())

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
    asked = {(fit.name, fit.seed) for fit in fits}
    return _summaries(row for row in _read(folder) if (row["name"], row["seed"]) in asked)


def summarise(folder: str | os.PathLike[str]) -> list[Summary]:
    """Read the results of a suite as one line a data set and model."""
    return _summaries(_read(Path(folder)))


def ahead(lines: Sequence[Summary]) -> str:
    """Say on how many data sets a baseline's mean is ahead of the fine-tuned model's; nothing without baselines."""
    own = {(line.name, line.share): line.mean for line in lines if line.model == compare.FINETUNED}
    others = [line for line in lines if line.model != compare.FINETUNED and (line.name, line.share) in own]
    if not others:
        return ""
    better: dict[tuple[str, float], list[str]] = {}
    for line in others:
        if line.mean > own[line.name, line.share]:
            better.setdefault((line.name, line.share), []).append(line.model)
    total = len({(line.name, line.share) for line in others})
    sizes = " and sizes" * any(line.share < 1 for line in others)
    words = [f"{heading(*key)} ({', '.join(models)})" for key, models in better.items()]
    return (
        f"A baseline's mean is ahead of the fine-tuned model's on {len(better)} of {total} data sets{sizes}"
        f"{': ' * bool(words)}{'; '.join(words)}."
    )


def heading(name: str, share: float) -> str:
    """Write a data set and the share of its rows that was trained on."""
    return f"{name}{'' if share == 1 else f', {share:.1%} of the rows'}"


def _read(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / RESULTS).to_pylist()
    return rows


def _summaries(results: Iterable[dict[str, Any]]) -> list[Summary]:
    lines: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for row in results:
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
    before = read_run(Path(out))
    if not before:
        claim_folder(out)
        return
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
        begun = _is_begun(self.place)
        if not finetune(**self.settings(), baselines=baselines, resume=begun, overwrite=not begun).finished:
            raise KeyboardInterrupt

    def baseline(self, name: str) -> None:
        """Train one baseline beside the model, if it can do the task and is not there."""
        if compare.missing(self.place, (name,)) and not compare.train_one(name, **self.settings()):
            raise KeyboardInterrupt


def _check_sets(runs: Sequence[_Run]) -> None:
    """Read each set, of a learning curve with the fewest and with all rows: what is refused is refused before the
    first fit, and before anything is written.
    """
    looks = {(run.fit.name, run.fit.share): run for run in runs if run.fit.share in (CURVE[0], 1)}
    count = len({name for name, _ in looks})
    if looks:
        say(f"Looking at {count} data set{'s' * (count > 1)}")
    for (name, _), run in looks.items():
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


def _is_begun(place: Path) -> bool:
    """Say whether something of a fit is trained, so that it is gone on with."""
    return last_checkpoint(place) is not None or (place / RECORD).is_file()


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
        "difference": None,
        "p": None,
    }
    yield row
    for other in compare.read_table(place)[1:]:
        yield row | {
            "model": other["name"],
            "method": None,
            **other[metric],
            "spearman": other.get("spearman", {}).get("value"),
            "seconds": other["seconds"],
            "difference": other["difference"]["value"],
            "p": other["p_value"],
        }


def _place(folder: Path, fit: Fit, curve: bool) -> Path:
    return folder / "runs" / fit.name / (f"share{fit.share:g}" if curve else "") / f"seed{fit.seed}"


def _finished(folder: Path) -> list[tuple[Fit, Path]]:
    """Find all fits of a folder that are complete, whatever part of the suite was asked for when, with their places."""
    found = []
    for place, below, files in os.walk(folder / "runs"):
        if RUN in files:
            below.clear()  # what a fit writes is in motion while others are read
        path = Path(place).relative_to(folder / "runs").as_posix()
        known = re.fullmatch(r"(.+?)(?:/share([\d.]+))?/seed(\d+)", path)  # as `_place` writes it
        if known and RECORD in files:
            name, share, seed = known.groups()
            found.append((Fit(name, Path(place), int(seed), float(share or 1)), Path(place)))
    return sorted(found, key=lambda one: (Path(one[0].name), one[0].share, one[0].seed))


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("name", "model", "method")]
    + [("seed", pa.int64()), ("share", pa.float64())]
    + [(name, pa.string()) for name in ("task", "split", "metric")]
    + [(name, pa.float64()) for name in ("value", "low", "high", "spearman")]
    + [(name, pa.int64()) for name in ("rows_train", "rows_evaluated")]
    + [(name, pa.float64()) for name in ("seconds", "difference", "p")]
)


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    tables.write(pa.Table.from_pylist(rows, _SCHEMA), folder / RESULTS)
