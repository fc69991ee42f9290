"""Fine-tuning: from labelled sequences to a model that predicts classes, labels, numbers, or a class for each base."""

import gc
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from dnabert import processes
from dnabert.errors import InputError, check_at_least
from dnabert.files import check_apart, claim_folder
from dnabert.inference import engine
from dnabert.inference.engine import Engine
from dnabert.inference.predict import STRANDS
from dnabert.model import adapters, checkpoint
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import DeviceMemoryError, choose_precision, describe
from dnabert.progress import say
from dnabert.training import fit, initial, leakage
from dnabert.training.data import Data, Labelled, as_list, files_of, read_labelled, resolved
from dnabert.training.fit import Run
from dnabert.training.items import check_size, passes_for, standardise, weights_of
from dnabert.training.metrics import MAIN, Evaluation, Truth
from dnabert.training.splits import Splits
from dnabert.training.targets import Task
from dnabert.training.trainer import (
    Metrics,
    check_rate,
    keeping_generators,
    last_checkpoint,
    start_run,
    training_device,
)

if TYPE_CHECKING:
    from dnabert.training.compare import Compared

FEWEST_STEPS = 1000
"""Epochs are added to small sets up to this many steps: a few hundred steps leave a new head near its start, which is
how the original collapses to one class."""
EPOCHS = (6, 30)
"""Fewest and most epochs. Six, as many as the convolutional baselines make at least: on a large set of binding sites
more still helped (`benchmarks/results/pretrain-recipes.md`)."""
METHODS = ("auto", "full", "lora", "frozen")
"""What is learned: all weights, adapters and the head, or the head alone; `auto` is the first, and with few labels the
last beside it, of which dev chooses."""
FEW = 2000
"""Training rows up to which `auto` tries both. With 500, either was the better one on some sets of GUE
(`benchmarks/results/labels_500.json`); the head alone takes seconds."""
UNUSED = {
    "auto": ("rank",),
    "full": ("rank",),
    "lora": (),
    "frozen": ("rank", "epochs", "learning_rate", "batch_size", "dropout", "layer_decay"),
}
"""Options that say how weights are learned, by the method that does not learn that way."""
FEATURES = {"full": "mean", "lora": "mean", "frozen": "layers"}
"""What the head reads if nothing is said: what is not learned tells more in all of its layers than in the last."""
RATES = {"full": 3e-5, "lora": 3e-4, "frozen": 0.0}
"""Peak learning rates at a hidden size of 768."""
AS_GIVEN = (
    *("label", "task", "split_by", "length", "rows", "share", "features", "long", "window", "keep", "from_scratch"),
    *("method", "rank", "class_weights", "layer_decay", "epochs", "batch_size", "learning_rate", "dropout", "seed"),
)
"""Options that are settings of a run as they are; paths and lists are written out besides."""
BY_DEFAULT = ("task", "features", "epochs", "learning_rate")
"""Those of them that the data or the model decides where nothing is said."""


class Finetuned(NamedTuple):
    """What a fine-tuning run leaves.

    Attributes
    ----------
    folder : pathlib.Path
        The model directory.
    task : Task
        What it predicts.
    dev, test : Evaluation or None
        Of the best checkpoint; `test` is None without test rows, both are None if the run was interrupted.
    finished : bool
        False if the user interrupted the run; it goes on with `resume`.
    compared : Compared or None
        The model beside its baselines, if they were asked for.
    """

    folder: Path
    task: Task
    dev: Evaluation | None
    test: Evaluation | None
    finished: bool
    compared: "Compared | None" = None


@keeping_generators()
def finetune(
    data: Data,
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    label: str | Sequence[str] = (),
    annotation: str | os.PathLike[str] | None = None,
    task: str | None = None,
    split: Sequence[float] | None = None,
    split_by: str = "rows",
    length: int | None = None,
    rows: int | None = None,
    share: float = 1.0,
    strand: str | None = None,
    features: str | None = None,
    long: str | None = None,
    window: int | None = None,
    method: str = "auto",
    rank: int = adapters.RANK,
    keep: str = "all",
    from_scratch: bool = False,
    baselines: bool | str | Sequence[str] = False,
    class_weights: bool = False,
    layer_decay: float = 1.0,
    epochs: int | None = None,
    batch_size: int = 32,
    learning_rate: float | None = None,
    dropout: float = 0.1,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    log_every: int = 50,
    graphs: bool = True,
) -> Finetuned:
    """Fine-tune a model on labelled sequences; keep the checkpoint that is best on dev.

    Parameters
    ----------
    data : path or sequence of paths
        A folder with files `train`, `dev` and (optional) `test`; or with `split` one table, or one FASTA a class.
    model : path
        A pre-trained model directory.
    out : path
        The model directory to write.
    genome, labels : path, optional
        As in `dnabert.sequence.tables.read`.
    label : str or sequence of str
        The columns of labels; `label` by default.
    annotation : path, optional
        BED file whose names are the classes of the bases, for rows that are intervals of `genome`
        (`dnabert.sequence.annotate.label_bases`).
    task : str, optional
        `classification`, `multilabel`, `regression` or `per-base`; by default what the labels look like
        (`dnabert.training.targets.infer`).
    split : sequence of 3 floats, optional
        Shares of train, dev and test, drawn with the same proportions of classes.
    split_by : str
        What `split` keeps together: `rows` (nothing), `contig` (all rows of a chromosome) or `similarity` (sequences
        that are nearly the same, on either strand).
    length : int, optional
        Bases that intervals are widened to, around their midpoints.
    rows, share : optional
        Train on this many rows alone, or this share of them, drawn with the same proportions of classes.
    strand : str, optional
        `given`: sequences are read as they stand. `both`: each is trained on from either strand at random, and
        predictions are the mean over both, for what does not depend on the strand. `given` by default: nothing in a
        sequence says that its strand does not matter.
    features : str, optional
        What the head reads of a sequence: `mean`, the mean of its k-mers in the last layer, `layers`, that mean of the
        embeddings and of each layer, side by side, or `cls`, `[CLS]` through BERT's pooler, as the original does. By
        default `layers` for `frozen`, which can weigh them alone, and else `mean`. `per-base` reads every base's k-mer.
    long : str, optional
        For sequences longer than the model takes: cut them into windows that overlap by an eighth, and make one vector
        of theirs by `mean`, `attention`, `lstm` or `concat`. For `per-base` the windows are joined in the middle of
        their overlaps, whatever is named here.
    window : int, optional
        Bases of a window; the longest the model takes by default.
    method : str
        `auto`: `full`, and where no more than `FEW` rows are trained on also `frozen`, of which the better one on dev
        is kept; not where an option says how weights are learned or what the head reads, for a class a base, for long
        sequences, or with `keep` or `from_scratch`. `full`: all weights are learned. `lora`: small matrices beside
        them, and the head; the model is written whole, and the matrices alone in `adapter`. `frozen`: logistic
        regression (or ridge) on the means of the layers, the cheapest.
    rank : int
        Rows of the small matrices of `lora`.
    keep : str
        `all` the pre-trained weights, or the embeddings of the `kmers` alone, with layers that start anew. What a small
        model learns first is which k-mers are alike, and its layers may be worth less than new ones.
    from_scratch : bool
        Take the shape of `model`, but none of its weights: what pre-training is worth is the difference.
    baselines : bool, str or sequence of str
        Afterwards train what the model has to beat on the same rows and compare (`dnabert.training.compare`): its
        architecture `from-scratch`, that is from random weights, the convolutional networks `deepsea`, `basset`, `danq`
        and `residual`, and k-mer regression, `kmers`; all of them, or those that are named. With `resume` what is
        complete, the model itself included, is taken as it is.
    class_weights : bool
        Let each class (or each label's 1 and 0) count alike in the loss, however many rows it has.
    layer_decay : float
        Factor on the learning rate from each layer to the one below it (0.8: the lower, the slower).
    epochs : int, optional
        By default as many as make 1,000 steps, 6 at least and 30 at most.
    batch_size : int
        Sequences a step and process.
    learning_rate : float, optional
        Peak rate; by default 3e-5 for a hidden size of 768, larger for smaller models in inverse proportion to the
        square of the size; ten times that for `lora`.
    dropout : float
        On hidden states.
    seed : int
        Of the split, the new head, the order of rows and dropout.
    resume, overwrite, device, precision
        As in `dnabert.pretrain`.
    log_every : int
        Steps between log lines.
    graphs : bool
        On a GPU record steps on batches of one shape as CUDA graphs, where that gains (`dnabert.training.graphs`).

    Returns
    -------
    Finetuned

    Raises
    ------
    InputError
        If the data, an option, the model or the output folder is not as required.
    """
    options = locals() | {"label": as_list(label)}
    if baselines:
        from dnabert.training import compare  # it calls this function in turn

        return compare.beside_baselines(baselines, **options | {"baselines": False})
    check_apart(out, model, *as_list(data), annotation, genome, labels)
    if not overwrite and processes.is_first():
        claim_folder(out, resume=resume)  # a taken folder is refused before anything is read
    plan = _plan(options)
    read, method = plan.read, plan.method
    where = training_device(device)
    if class_weights:
        plan.loaded.model.class_weights = plan.loaded.model.class_weights.to(where)
    dtype = choose_precision(precision, where)
    # layers laid out for inference would not see the weights change
    started = engine.start(plan.loaded, device, precision) if method == "frozen" else Engine(plan.loaded, where, dtype)
    files = {"data": files_of(plan.settings), "model": [] if from_scratch else checkpoint.files_of(model)}
    folder = start_run(out, plan.settings, files, resume, overwrite)
    run = Run(started, read, plan.settings, folder)
    words = "all weights, or the head alone if that is better on dev" if plan.both else method
    what = words if keep == "all" else f"{words}, its k-mers alone"
    say(
        f"Fine-tuning {'from scratch' if from_scratch else model} ({what}) on {read.parts.train.rows:,} rows, "
        f"{_words(read.task)}, strand {plan.settings['strand']}; {describe(where, run.engine.precision)}"
    )
    shared = leakage.check(read.parts, numbers=read.task.kind == "regression", label=read.task.columns)
    if warning := leakage.warning(shared):
        say(warning)
    began = time.monotonic()
    if method == "frozen":
        log: list[Metrics] | None = fit.head_alone(run)
    else:
        run, log = _trained(run, plan, resume, log_every, graphs)
    if log is None or not processes.is_first():
        return Finetuned(run.folder, read.task, None, None, finished=log is not None)
    if plan.both:
        run, log = _or_frozen(run, log, plan.load(features=FEATURES["frozen"]), device, precision)
    evaluations = fit.finish(run, log, time.monotonic() - began)
    return Finetuned(run.folder, read.task, evaluations["dev"], evaluations["test"], finished=True)


class _Plan(NamedTuple):
    """A run before anything of it is written.

    Attributes
    ----------
    read : Labelled
    method : str
        `full`, `lora` or `frozen`.
    both : bool
        Try the head alone too.
    load : callable
        Takes `features`, returns the model to start from.
    loaded : Checkpoint
        What it returned.
    settings : dict
    """

    read: Labelled
    method: str
    both: bool
    load: Callable[..., Checkpoint]
    loaded: Checkpoint
    settings: dict[str, Any]


def _plan(options: dict[str, Any]) -> _Plan:
    """Read the rows, load the model, decide what is left to decide; raise InputError where they do not go together."""
    check_options(options)
    read = read_labelled(options)
    parts, truths, task = read
    _check_values(truths.train, truths.dev)
    asked = options["method"]
    both = asked == "auto" and _few(parts, task, options)
    method = "full" if asked == "auto" else asked
    features = options["features"] or FEATURES[method]
    if method == "frozen":
        _check_frozen(task, features, options["long"])
    given = {name: options[name] for name in ("long", "window", "keep", "from_scratch", "dropout", "seed")}
    load = partial(initial.load, options["model"], task, parts, strand=options["strand"] or "given", **given)
    loaded = load(features=features)
    hidden = loaded.model.config.hidden_size
    if method == "lora" and options["rank"] > hidden:
        raise InputError(
            f"--rank {options['rank']}: matrices of {hidden} rows at most are required, the model's hidden size"
        )
    if options["class_weights"]:
        loaded.model.class_weights = torch.from_numpy(weights_of(truths.train))
    steps_an_epoch = math.ceil(parts.train.rows / (options["batch_size"] * processes.count()))
    settings = settings_asked(options) | {
        "task": task.kind,
        "features": features,
        "method": "auto" if both else method,
        "epochs": options["epochs"] or passes_for(steps_an_epoch, FEWEST_STEPS, EPOCHS),
        "learning_rate": options["learning_rate"] or RATES[method] * (768 / hidden) ** 2,
    }
    return _Plan(read, method, both, load, loaded, settings)


def check(**options: Any) -> None:
    """Raise InputError where a fine-tuning with these options would, before it is written or trained."""
    _plan(defaults() | options)


def defaults() -> dict[str, Any]:
    """List the options of `finetune` as they are where nothing is said."""
    return {name: one.default for name, one in signature(finetune).parameters.items() if one.default is not one.empty}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError where an option of `finetune` is none that it takes, or goes with no other that is given.

    Those that are missing count as not given.
    """
    options = defaults() | dict(options)
    for name, choices in (
        ("strand", STRANDS),
        ("features", initial.FEATURES),
        ("long", initial.POOLINGS),
        ("method", METHODS),
        ("keep", initial.KEPT),
    ):
        if options[name] is not None and options[name] not in choices:
            raise InputError(f"--{name} {options[name]}: give one of {', '.join(choices)}")
    unused = _given(UNUSED[options["method"]], options)
    if unused:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"--method {options['method']} has no use for {flags}; leave out what it cannot follow")
    check_rate(options["learning_rate"])
    if options["from_scratch"] and options["keep"] != "all":
        raise InputError(f"--from-scratch keeps nothing of the model; leave --keep {options['keep']} out")
    one_or_more = ("window", "length", "rows", "rank", "epochs", "batch_size", "log_every")
    check_at_least(1, **{name: options[name] for name in one_or_more})
    check_at_least(0, seed=options["seed"])


def settings_asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Write the settings of a run as far as the options of `finetune` say them, before anything is read."""
    return {
        "data": [str(Path(path).resolve()) for path in as_list(options["data"])],
        "model": checkpoint.in_full(options["model"]),
        **{name: resolved(options[name]) for name in ("annotation", "genome", "labels")},
        "strand": options["strand"] or "given",
        "split": None if options["split"] is None else list(options["split"]),
        **{name: options[name] for name in AS_GIVEN},
        "processes": processes.count(),
    }


def _check_values(train: Truth, dev: Truth) -> None:
    """Raise InputError where rows say nothing of a number; warn of labels, and of a dev set, that say nothing."""
    if train.task == "regression":
        standardise(train)
        check_size(dev)
    if train.task == "multilabel":
        always = train.values.mean(axis=0)
        alike = [f"'{name}'" for name, share in zip(train.names, always.tolist(), strict=True) if share in (0, 1)]
        if alike:
            say(f"Warning: {', '.join(alike)}: the same in all training rows, so that nothing is learned of it")
    if train.task in ("classification", "per-base"):
        known = dev.values[dev.values >= 0]
        alike = [f"the class '{dev.names[known[0]]}' alone"] if len(np.unique(known)) == 1 else []
    else:
        same = (dev.values == dev.values[0]).all(axis=0).tolist()
        alike = [f"one value of '{name}' alone" for name, is_same in zip(dev.names, same, strict=True) if is_same]
    if alike:
        say(
            f"Warning: dev ({dev.rows} rows) holds {', '.join(alike)}, so that it does not tell which "
            "checkpoint is best; take dev rows that differ"
        )


def _few(parts: Splits, task: Task, options: Mapping[str, Any]) -> bool:
    """Whether `auto` tries the head alone too: few rows, and nothing asked for that it could not follow."""
    others = (*UNUSED["frozen"], "features", "long", "keep", "from_scratch")
    return parts.train.rows <= FEW and task.kind != "per-base" and not _given(others, options)


def _given(names: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """List those of some options that are not what they are by default."""
    usual = defaults()
    return [name for name in names if options[name] != usual[name]]


def _check_frozen(task: Task, features: str, long: str | None) -> None:
    """Raise InputError where an option asks for what a head alone cannot learn."""
    if task.kind == "per-base":
        raise InputError("--method frozen: a class for each base needs the encoder to learn; give full or lora")
    if features == "cls":
        raise InputError("--method frozen reads means of the k-mers, not [CLS]; leave --features cls out")
    if long not in (None, "mean"):
        raise InputError(f"--method frozen pools windows by their mean; leave --long {long} out, or give --long mean")


def _trained(run: Run, plan: _Plan, resume: bool, log_every: int, graphs: bool) -> tuple[Run, list[Metrics] | None]:
    """Train; where the device has no memory, begin again with half as many rows at a time, as many a step."""
    shorter = "shorten them (--long with a smaller --window), or take a smaller model"
    try:
        return run, fit.train(run, resume, log_every, graphs)
    except DeviceMemoryError as error:
        if processes.count() > 1:  # the others would wait for this one
            raise InputError(f"{error}; give a smaller --batch-size, {shorter}") from error
        say(f"Warning: {error}; trying half")
    failed = run.engine.checkpoint.model
    failed.zero_grad()
    failed.cpu()
    gc.collect()  # the Trainer that failed holds its memory in circles
    anew = plan.load(features=plan.settings["features"])
    anew.model.class_weights = failed.class_weights
    run = run._replace(engine=run.engine._replace(checkpoint=anew))
    try:
        return run, fit.train(run, last_checkpoint(run.folder) is not None, log_every, graphs, share=2)
    except DeviceMemoryError as error:
        raise InputError(f"{error} either; {shorter}") from error


def _or_frozen(
    run: Run, log: list[Metrics], anew: Checkpoint, device: str, precision: str
) -> tuple[Run, list[Metrics]]:
    """Fit the head alone on a model `anew`, and keep what is better on dev, with the log of both."""
    anew.model.class_weights = run.engine.checkpoint.model.class_weights
    other = run._replace(engine=engine.start(anew, device, precision))
    logs = {"full": log, "frozen": fit.head_alone(other)}
    metric = MAIN[run.read.task.kind]
    best = {name: max(entry.get(f"eval_{metric}", -math.inf) for entry in entries) for name, entries in logs.items()}
    method = "frozen" if best["frozen"] > best["full"] else "full"
    say(f"Held out: {metric} {best['full']:.3f} with all weights learned, {best['frozen']:.3f} with the head alone")
    run = other if method == "frozen" else run
    chosen = {"method": method, "features": FEATURES[method]} | dict.fromkeys(UNUSED[method])
    return run._replace(settings=run.settings | chosen), [*logs["full"], *logs["frozen"]]


def _words(task: Task) -> str:
    some = f"{', '.join(task.names[:6])}{', …' if len(task.names) > 6 else ''}"
    kinds = {"classification": "classes", "multilabel": "labels", "regression": "numbers", "per-base": "classes a base"}
    return f"{len(task.names)} {kinds[task.kind]} ({some})"
