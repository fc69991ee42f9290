"""The fine-tuned model beside its baselines: the same rows, the same seed, one table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnabert import processes
from dnabert.errors import InputError
from dnabert.files import replacing
from dnabert.inference.predict import predict, start
from dnabert.model import baselines
from dnabert.model.adapters import RANK
from dnabert.model.checkpoint import RECORD, read_record
from dnabert.progress import say
from dnabert.training import baselines as training
from dnabert.training import metrics
from dnabert.training.data import Labelled, files_of, read_labelled
from dnabert.training.finetune import BY_DEFAULT, Finetuned, defaults, finetune, settings_asked
from dnabert.training.metrics import MAIN, Comparison, Interval
from dnabert.training.trainer import RUN, check_content, check_settings, read_run, training_device

FOLDER = "baselines"
COMPARISON = "comparison.json"
FINETUNED = "fine-tuned"
FROM_SCRATCH = "from-scratch"
SIGNIFICANT = 0.05
"""Models differ if the paired test's p-value is below this."""


class Row(NamedTuple):
    """One model of the table.

    Attributes
    ----------
    name : str
    folder : pathlib.Path
        Its directory.
    metrics : mapping of str to Interval
        The task's metrics, the main one among them.
    comparison : Comparison or None
        Its difference to the fine-tuned model; None for that model itself.
    seconds : float or None
        Its training took, as far as its log tells.
    """

    name: str
    folder: Path
    metrics: Mapping[str, Interval]
    comparison: Comparison | None
    seconds: float | None


class Compared(NamedTuple):
    """A fine-tuned model beside its baselines.

    Attributes
    ----------
    metric : str
        The task's main metric.
    part : str
        What it was computed on: `test`, or `dev` if there is no test set.
    rows : int
        Sequences of that part.
    models : tuple of Row
        The fine-tuned model first.
    sentences : tuple of str
        Who is better than whom; a baseline that wins stands first.
    """

    metric: str
    part: str
    rows: int
    models: tuple[Row, ...]
    sentences: tuple[str, ...]


def chosen(names: bool | str | Sequence[str], from_scratch: bool) -> tuple[str, ...]:
    """List the baselines asked for, in the order of the table.

    Parameters
    ----------
    names : bool, str or sequence of str
        True for all.
    from_scratch : bool
        The model itself is from random weights: there is no other one of that kind.

    Raises
    ------
    InputError
        If there is no baseline of a name.
    """
    known = baselines.NAMES if from_scratch else (FROM_SCRATCH, *baselines.NAMES)
    if isinstance(names, bool):
        return known if names else ()
    wanted = (names,) if isinstance(names, str) else tuple(names)
    for name in wanted:
        if name not in known:
            raise InputError(f"--baseline {name}: give one of {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def possible(names: Sequence[str], kind: str) -> tuple[str, ...]:
    """Keep the baselines that can do a task."""
    return tuple(name for name in names if name == FROM_SCRATCH or baselines.can_do(name, kind))


def missing(out: Path, names: Sequence[str]) -> tuple[str, ...]:
    """List those of some baselines that can do the task of a complete model and are not complete beside it."""
    able = possible(names, read_record(out)["task"])
    return tuple(name for name in able if not (out / FOLDER / name / RECORD).is_file())


def beside_baselines(names: bool | str | Sequence[str], **options: Any) -> Finetuned:
    """Fine-tune a model, then train baselines on the same rows and compare; go on from what there is.

    Parameters
    ----------
    names : bool, str or sequence of str
        Which, as in `chosen`. Those that are complete in the output folder stand in the table too.
    **options
        Those of `dnabert.training.finetune.finetune`. With `resume`, a finished fine-tuning and finished baselines are
        taken as they are.

    Returns
    -------
    Finetuned
        With `compared`, unless it was interrupted or no baseline can do the task. `comparison.json` and a folder for
        each baseline, in `baselines`, stand beside the model.

    Raises
    ------
    InputError
        As `finetune`; if there is no such baseline; if there are several processes; or if a finished run to resume had
        other settings.
    """
    wanted = chosen(names, options["from_scratch"])
    if processes.count() > 1:
        raise InputError("--baselines (and --baseline) are trained in one process; run without torchrun")
    out = Path(options["out"])
    complete = options["resume"] and (out / RECORD).is_file()
    if complete:
        asked = settings_asked(options)
        known = {name: value for name, value in asked.items() if value is not None or name not in BY_DEFAULT}
        if options["method"] == "auto":  # which came out as one of these
            made = read_run(out).get("method")
            known["method"] = made if made in ("auto", "full") else "auto"
        check_data(out)
        check_settings(out, known)
        result = None
    else:
        result = finetune(**options)
        if not result.finished:
            return result
    options = _as_made(options)
    read = read_labelled(options)
    if result is None:
        say(f"{out}: the fine-tuned model is complete")
        result = Finetuned(out, read.task, None, None, finished=True)
    able = possible(wanted, read.task.kind)
    if able != wanted:
        left = ", ".join(name for name in wanted if name not in able)
        say(f"Left out, because they cannot do the task '{read.task.kind}': {left}")
    if not able:
        return result
    say(f"Training baselines on the same {read.parts.train.rows:,} rows")
    folders = {FINETUNED: out}
    for name in possible(chosen(True, options["from_scratch"]), read.task.kind):
        folder = out / FOLDER / name
        complete = (folder / RECORD).is_file()
        if name not in able and not complete:
            continue
        folders[name] = folder
        if complete:
            say(f"{name}: complete")
        elif not _train(name, folder, options, read):
            return result._replace(finished=False)
    return _compare(result, folders, read, options)


def train_one(name: str, **options: Any) -> bool:
    """Train one baseline of a model that is complete, and compare nothing: `beside_baselines` takes it as it is.

    Parameters
    ----------
    name : str
        One that can do the model's task.
    **options
        Those of `dnabert.training.finetune.finetune` that the model was made with.

    Returns
    -------
    bool
        False if the user interrupted it.
    """
    check_data(Path(options["out"]))
    options = _as_made(defaults() | options)
    return _train(name, Path(options["out"]) / FOLDER / name, options)


def check_data(out: Path) -> None:
    """Raise InputError if the data is not what the model in a folder was made from, and is to be compared on."""
    if made := read_run(out):
        check_content(out, {"data": files_of(made)})


def _as_made(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that the data or the defaults decided from the model's run: they may be others now."""
    made = read_run(Path(options["out"]))
    return options | {name: made[name] for name in ("task", "epochs", "learning_rate", "method")}


def _train(name: str, folder: Path, options: dict[str, Any], read: Labelled | None = None) -> bool:
    """Train a baseline, on rows that are read where they are not given; return False if the user interrupted it.

    Of the model from random weights all are learned, with the rate for that, whatever was learned of the model: an
    encoder that stays random tells nothing of what pre-training is worth.
    """
    if name == FROM_SCRATCH:
        begun = (folder / RUN).is_file()
        if options["method"] not in ("auto", "full"):
            options = options | {"learning_rate": None, "rank": RANK}
        own = {"method": "full", "keep": "all", "from_scratch": True}
        return finetune(**options | own | {"out": folder, "resume": begun, "overwrite": False}).finished
    trained = training.train(
        name,
        read or read_labelled(options),
        strand=options["strand"] or "given",
        seed=options["seed"],
        class_weights=options["class_weights"],
        device=training_device(options["device"]),
        graphs=options["graphs"],
    )
    baselines.save(trained.baseline, folder, {"seed": options["seed"], "training": trained.record})
    return True


def _compare(result: Finetuned, folders: dict[str, Path], read: Labelled, options: dict[str, Any]) -> Finetuned:
    """Predict with all models, compare, and write the table."""
    parts, truths = read.parts, read.truths
    outputs: dict[str, np.ndarray] = {}
    part, truth = parts.test or parts.dev, truths.test or truths.dev
    for name, folder in folders.items():
        started = start(folder, options["device"], options["precision"])
        outputs[name] = predict(started, part).outputs
        if name == FINETUNED and result.dev is None:  # it was complete before
            dev = metrics.evaluate(predict(started, parts.dev).outputs, truths.dev)
            test = metrics.evaluate(outputs[name], truth) if part is parts.test else None
            result = result._replace(dev=dev, test=test)
    metric = MAIN[truth.task]
    rows = tuple(
        Row(
            name,
            folder,
            metrics.evaluate(outputs[name], truth).metrics,
            None if name == FINETUNED else metrics.compare(outputs[name], outputs[FINETUNED], truth),
            seconds(folder),
        )
        for name, folder in folders.items()
    )
    where = "dev" if parts.test is None else "test"
    compared = Compared(metric, where, truth.rows, rows, sentences(rows, metric, where))
    with replacing(result.folder / COMPARISON) as temporary:
        temporary.write_text(json.dumps(_as_json(compared, result.folder), indent=2) + "\n")
    return result._replace(compared=compared)


def read_table(folder: Path) -> list[dict[str, Any]]:
    """Read the table that stands beside a fine-tuned model, that model first; empty if there is none."""
    path = folder / COMPARISON
    models: list[dict[str, Any]] = json.loads(path.read_text())["models"] if path.is_file() else []
    return models


def seconds(folder: Path) -> float | None:
    """Look up how long a model was trained; of a resumed fine-tuning the last stretch alone."""
    found: float | None = read_record(folder).get("training", {}).get("seconds")
    return found


def sentences(rows: tuple[Row, ...], metric: str, where: str) -> tuple[str, ...]:
    """Say who is better than the fine-tuned model, who does not differ, and who is worse."""
    words = metric.upper() if metric in ("mcc", "auroc") else {"f1": "F1", "pearson": "Pearson r"}[metric]
    own = rows[0].metrics[metric].value
    better, same, worse = [], [], []
    for row in rows[1:]:
        if row.comparison is None:
            continue
        difference, p_value = row.comparison
        value = row.metrics[metric].value
        if not p_value < SIGNIFICANT:
            same.append(row.name)
        elif difference.value > 0:
            better.append(
                f"WARNING: {row.name} is better than the fine-tuned model: {words} {value:.3f} against "
                f"{own:.3f}, difference {difference.value:.3f} ({difference.low:.3f} to {difference.high:.3f}), "
                f"p = {p_value:.2g}"
            )
        else:
            worse.append(row.name)
    if same:
        better.append(f"On {where} the fine-tuned model and {', '.join(same)} do not differ (p >= {SIGNIFICANT}).")
    if worse:
        better.append(f"The fine-tuned model is better than {', '.join(worse)} (p < {SIGNIFICANT}).")
    return tuple(better)


def _as_json(compared: Compared, folder: Path) -> dict[str, Any]:
    def finite(interval: Interval) -> dict[str, float | None]:
        return {name: float(value) if np.isfinite(value) else None for name, value in interval._asdict().items()}

    models = [
        {
            "name": row.name,
            "folder": str(row.folder.relative_to(folder)),
            **{name: finite(value) for name, value in row.metrics.items()},
            "difference": None if row.comparison is None else finite(row.comparison.difference),
            "p_value": None if row.comparison is None else row.comparison.p_value,
            "seconds": row.seconds,
        }
        for row in compared.models
    ]
    return compared._asdict() | {"models": models, "sentences": list(compared.sentences)}
