"""Pre-training: from unlabelled DNA to a masked language model."""

import gc
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainingArguments

from dnabert import processes
from dnabert.errors import InputError, check_at_least
from dnabert.files import check_apart, claim_folder
from dnabert.model import checkpoint, presets
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import DeviceMemoryError, choose_precision, describe, within_memory
from dnabert.model.flops import forward_flops, peak_flops
from dnabert.model.norms import narrow
from dnabert.progress import say
from dnabert.sequence import tables
from dnabert.sequence.genome import Genome
from dnabert.sequence.kmers import K_RANGE
from dnabert.training import compiling, hidden, masking
from dnabert.training.corpus import Corpus, HeldOut, MaskedBatch, evaluation_batches, of_fixed_shape, training_batch
from dnabert.training.data import Data, as_list
from dnabert.training.regions import SHORTEST, Regions, open_source, read_window, region_bounds, split_regions, tile
from dnabert.training.trainer import (
    Metrics,
    PackedTrainer,
    Reporter,
    StopOnInterrupt,
    check_rate,
    content_of,
    delete_checkpoints,
    keeping_generators,
    last_checkpoint,
    recompute_activations,
    start_run,
    train_to_end,
    training_arguments,
    training_device,
    write_log,
)

QUICK_WINDOWS = 128
"""Held-out windows of the evaluations during training."""
FULL_WINDOWS = 4000
"""Held-out windows of the evaluation at the end, at most."""
GPU_WORKERS = 4
"""Loader processes for a GPU: one makes some million tokens a second, and steps should not wait for a slow moment."""
TOKEN_RATE = 0.1
"""Learning rate of the k-mer embeddings, as a multiple of the others'. Each k-mer is a target once in seven steps, and
Adam answers such rare gradients with steps so large that its logit jumps by some tenths of a nat (an estimate from
their size); what a base's context tells, a hundredth of a nat, drowns in that."""


class Recipe(NamedTuple):
    """Defaults that go with a preset: steps, tokens a step, peak learning rate, share of the steps to warm up."""

    steps: int
    batch_tokens: int
    learning_rate: float
    warmup: float


RECIPES = {
    # the paper's rate, steps and warm-up (Ji et al. 2021); its step of 2,000 sequences takes --accumulate
    "base": Recipe(120_000, 65_536, 4e-4, 0.083),
    "small": Recipe(60_000, 16_384, 1e-3, 0.05),
    # 20 minutes on two cores; the best of those tried for 6 minutes on one, at a lower rate because the run is longer:
    # benchmarks/results/pretrain-recipes.md
    "mini": Recipe(5_000, 4_096, 1.5e-3, 0.05),
}


class Pretrained(NamedTuple):
    """What a pre-training run leaves.

    Attributes
    ----------
    folder : pathlib.Path
        The model directory.
    steps : int
    metrics : dict
        On held-out windows: `token_loss`, `base_loss`, `base_loss_se` (nats), `base_accuracy`, `hidden_bases`; with
        `tell_apart` also `source_accuracy`. Empty if nothing was held out or the run was interrupted.
    finished : bool
        False if the user interrupted the run; it goes on with `resume`.
    """

    folder: Path
    steps: int
    metrics: Metrics
    finished: bool


@keeping_generators()
def pretrain(
    sources: Data,
    out: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    k: int | None = None,
    preset: str | None = None,
    mask: str = "dnabert",
    weights: Sequence[float] | None = None,
    tell_apart: float | None = None,
    holdout: Sequence[str] = ("0.02",),
    max_length: int = 510,
    steps: int | None = None,
    batch_tokens: int | None = None,
    accumulate: int = 1,
    learning_rate: float | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    checkpoint_activations: bool = False,
    compile: bool | None = None,
    log_every: int = 50,
    save_every: int = 500,
) -> Pretrained:
    """Pre-train BERT over k-mer tokens on genomes and sequences.

    Parameters
    ----------
    sources : path or sequence of path
        FASTA files, and tables of sequences (TSV, CSV, Parquet), whose labels are not looked at.
    out : path
        The model directory to write.
    model : path, optional
        A pre-trained model directory to go on from, on sequences of a task's own for example; its k and size stay, and
        how many `steps` has to be said. By default weights are new.
    k : int, optional
        Bases per token, 1 to 8, of a new model; 6 by default.
    preset : str, optional
        Size of a new model: `base`, `small` or `mini`, the default.
    mask : str
        Masking policy: `dnabert`, `span`, `growing` or `original`.
    weights : sequence of float, optional
        Relative share of the bases read from each source; by default what each holds.
    tell_apart : float, optional
        Weight of a second lesson beside the masked tokens, 0 for none: which of the sources each window is from, by a
        head on the mean of its k-mers that the finished model does not have. What tells sets of sequences apart (the
        motifs of their factors, say) is what a classifier needs, and no labels are. The loss in the log is then the
        weighted sum of both, but for that of held-out windows, which is of the tokens alone. By default 1 where two or
        more of the sources are tables, else 0.
    holdout : sequence of str
        Contigs to keep for evaluation, or one fraction (0 to 1) of each contig, its middle, and of a table's rows.
    max_length : int
        k-mers of the longest window: half of the windows have this length, half one between 5 and it.
    steps, batch_tokens, learning_rate : optional
        Optimiser steps, tokens a step and rank, peak rate; by default the preset's.
    accumulate : int
        Batches whose gradients are added up for one step.
    seed : int
        Of the weights, the windows and the masks.
    resume : bool
        Go on from the last checkpoint in `out`.
    overwrite : bool
        Replace the run in `out`.
    device, precision : str
        As in `dnabert.load`.
    workers : int, optional
        Loader processes; 0 computes batches in this one. By default 0 on a CPU, whose cores the model needs, and 4 for
        a GPU.
    checkpoint_activations : bool
        Keep the inputs of all layers but the last alone and compute the rest again on the way back: less memory, up to
        a third more work.
    compile : bool, optional
        Train through `torch.compile`, on batches of one shape; takes time at the start, and what
        `dnabert.training.compiling.missing` asks for. By default where that is known to be faster: on one GPU in
        bfloat16.
    log_every, save_every : int
        Steps between log lines; between checkpoints and evaluations.

    Returns
    -------
    Pretrained

    Raises
    ------
    InputError
        If an option, a file or the output folder is not as required.
    """
    if not overwrite and processes.is_first():
        claim_folder(out, resume=resume)  # a taken folder is refused before anything is read
    counts = {"steps": steps, "batch_tokens": batch_tokens, "accumulate": accumulate}
    check_at_least(1, **counts, log_every=log_every, save_every=save_every)
    check_at_least(0, workers=workers, seed=seed)
    sources = as_list(sources)
    check_apart(out, model, *sources)
    masking.policy(mask)  # raises where there is no such thing
    k, preset = _shape(model, k, preset, max_length)
    if model is not None and steps is None:
        raise InputError("--model: --steps is required too, for how long the model is to be trained further")
    recipe = RECIPES[preset]
    steps, batch_tokens = steps or recipe.steps, batch_tokens or recipe.batch_tokens
    _check_options(k, max_length, batch_tokens)
    check_rate(learning_rate)
    if tell_apart is None:
        tell_apart = float(sum(map(tables.is_table, sources)) >= 2)
    if not 0 <= tell_apart < math.inf:
        raise InputError(f"--tell-apart {tell_apart:g}: a weight of 0 (no second lesson) or more is required")
    if tell_apart and len(sources) < 2:
        raise InputError("--tell-apart: two sources or more are required, one file each; give them, or leave it out")
    settings: dict[str, Any] = {
        "sources": [str(Path(path).resolve()) for path in sources],
        "weights": None if weights is None else list(weights),
        "tell_apart": tell_apart,
        "holdout": list(holdout),
        "model": None if model is None else checkpoint.in_full(model),
        "k": k,
        "preset": preset,
        "mask": mask,
        "max_length": max_length,
        "steps": steps,
        "batch_tokens": batch_tokens,
        "accumulate": accumulate,
        "learning_rate": learning_rate or recipe.learning_rate,
        "seed": seed,
        "processes": processes.count(),
    }
    ground = _open(sources, holdout, weights, k, max_length)
    where = training_device(device)
    dtype = choose_precision(precision, where)
    gains = compiling.gains(where, dtype, checkpoint_activations)
    missing = compiling.missing(where) if compile or (compile is None and gains) else None
    if compile and missing:
        raise InputError(f"--compile: {missing}, or leave --compile out")
    if missing:
        say(f"Warning: training goes on without torch.compile, which would be faster: {missing}, or give --no-compile")
    compile = (gains if compile is None else compile) and not missing
    options = {
        "logging_steps": log_every,
        "save_steps": save_every,
        "eval_steps": save_every,
        "dataloader_num_workers": (GPU_WORKERS if where.type == "cuda" else 0) if workers is None else workers,
        "torch_compile": compile,
    }
    files = {"data": settings["sources"], "model": [] if model is None else checkpoint.files_of(model)}
    folder = start_run(out, settings, files, resume, overwrite)
    try:
        with within_memory(f"{where} has no memory for --batch-tokens {batch_tokens}"):
            return _train(folder, settings, ground, where, dtype, resume, checkpoint_activations, options)
    except DeviceMemoryError as error:
        full = str(error)
        if last_checkpoint(folder):
            raise InputError(f"{full} any more; go on with --resume when other programs have left it") from error
        if processes.count() > 1 or batch_tokens // 2 < max_length + 2:
            raise InputError(f"{full}; give fewer, or take a smaller model") from error
    halves = settings | {"batch_tokens": batch_tokens // 2, "accumulate": accumulate * 2}
    say(
        f"Warning: {full}; starting again with --batch-tokens {halves['batch_tokens']} "
        f"--accumulate {halves['accumulate']}, as many tokens a step (--resume needs these settings too)"
    )
    gc.collect()  # the Trainer that failed holds its memory in circles
    if compile:
        torch._dynamo.reset()  # batches have another shape now
    folder = start_run(out, halves, files, resume=False, overwrite=True)
    with within_memory(
        f"{where} has no memory for --batch-tokens {halves['batch_tokens']} either; give fewer, or take a smaller model"
    ):
        return _train(folder, halves, ground, where, dtype, resume, checkpoint_activations, options)


class _Ground(NamedTuple):
    """What is trained and evaluated on: sources, regions with their bounds (as in `Corpus`), held-out windows."""

    sources: tuple[Genome, ...]
    train: Regions
    bounds: np.ndarray
    held: Regions
    windows: Regions


def _open(
    sources: Sequence[str | os.PathLike[str]],
    holdout: Sequence[str],
    weights: Sequence[float] | None,
    k: int,
    max_length: int,
) -> _Ground:
    opened = tuple(open_source(path) for path in sources)
    train, held = split_regions(opened, holdout, k)
    bounds = region_bounds(train, weights, len(opened), k, max_length)
    windows = tile(opened, held, k, max_length)
    if len(held.source) and not len(windows.source):
        raise InputError("--holdout: what is held out is mostly N; hold out more, or set --holdout 0 for no evaluation")
    return _Ground(opened, train, bounds, held, windows)


def _train(
    folder: Path,
    settings: Mapping[str, Any],
    ground: _Ground,
    device: torch.device,
    precision: torch.dtype,
    resume: bool,
    checkpoint_activations: bool,
    options: Mapping[str, Any],
) -> Pretrained:
    """Train with these settings, evaluate, write the model."""
    k, steps, accumulate = settings["k"], settings["steps"], settings["accumulate"]
    corpus = Corpus(
        ground.sources,
        ground.train,
        ground.bounds,
        k,
        masking.policy(settings["mask"]),
        settings["seed"],
        settings["batch_tokens"],
        settings["max_length"],
        steps * accumulate * processes.count(),
    )
    if settings["model"] is None:
        config = presets.configuration(presets.preset(settings["preset"]), k)
        model = presets.new_model(config, "masked-lm", k, settings["seed"])
    else:
        model = checkpoint.load(settings["model"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).model
        config = model.config
    if settings["tell_apart"]:
        model.tell_apart(len(ground.sources), settings["tell_apart"])
    if checkpoint_activations:
        recompute_activations(model)
    arguments = training_arguments(
        folder,
        device,
        precision,
        max_steps=steps,
        per_device_train_batch_size=1,  # an item of the corpus is a batch
        gradient_accumulation_steps=accumulate,
        learning_rate=settings["learning_rate"],
        warmup_steps=math.ceil(RECIPES[settings["preset"]].warmup * steps),
        seed=settings["seed"],
        eval_strategy="steps" if len(ground.windows.source) else "no",
        **options,
    )
    stop = StopOnInterrupt()
    quick = _evaluation_batches(ground, QUICK_WINDOWS, corpus)
    _announce(settings, model, ground, device, precision)
    need, peak = 3 * _flops_a_token(config, corpus), peak_flops(device, precision)
    say(
        f"MFU: a token trained on is {need / 1e6:,.1f} MFLOP (3 forward passes: 2 for each weight, attention "
        f"included); the peak is a product measured at {peak / 1e9:,.0f} GFLOP/s"
    )
    trainer = packed_trainer(model, arguments, corpus, quick, stop, device, precision, processes.count() * peak / need)
    if not train_to_end(trainer, folder, stop, resume):
        return Pretrained(folder, trainer.state.global_step, {}, finished=False)
    if not processes.is_first():
        return Pretrained(folder, steps, {}, finished=True)
    full = _evaluation_batches(ground, FULL_WINDOWS, corpus)
    metrics = hidden.evaluate(model.eval(), full, k, device, precision) if full else {}
    model.source_head = None  # other programs would not know it
    read = zip(content_of(folder, "data"), ground.sources, strict=True)
    data = [content | {"bases": len(source.codes)} for content, source in read]
    record = {"data": data, "settings": settings, "metrics": metrics}
    write_log(trainer.state.log_history, folder)
    # last, because its record says that the run is complete
    checkpoint.save(Checkpoint(model, "masked-lm", k, 1, ()), folder, record)
    delete_checkpoints(folder)
    return Pretrained(folder, steps, metrics, finished=True)


def _shape(model: str | os.PathLike[str] | None, k: int | None, preset: str | None, max_length: int) -> tuple[int, str]:
    """Return k and the preset whose recipe is followed: of a new model as asked, else those that fit the model."""
    if model is None:
        k, preset = 6 if k is None else k, preset or "mini"
        presets.preset(preset)  # raises where there is no such thing
        return k, preset
    given = [f"--{name} {value}" for name, value in (("k", k), ("preset", preset)) if value is not None]
    if given:
        raise InputError(f"{' and '.join(given)}: a model to go on from has its own; leave out what --model says")
    shape = checkpoint.load_shape(model)
    if shape.task != "masked-lm" or shape.stride != 1:
        what = f"predicts {shape.task}" if shape.task != "masked-lm" else f"has tokens every {shape.stride} bases"
        raise InputError(f"--model {model}: a masked language model with a token at each base is required; it {what}")
    if max_length > shape.longest:
        raise InputError(f"--max-length {max_length}: the model takes {shape.longest} k-mers; give as many or fewer")
    return shape.k, min(RECIPES, key=lambda name: abs(presets.PRESETS[name].hidden - shape.hidden))


def _check_options(k: int, max_length: int, batch_tokens: int) -> None:
    if k not in K_RANGE:
        raise InputError(f"--k {k}: {K_RANGE[0]} to {K_RANGE[-1]} bases per token are required")
    longest = presets.POSITIONS - 2
    if not SHORTEST <= max_length <= longest:
        raise InputError(f"--max-length {max_length}: {SHORTEST} to {longest} k-mers are required")
    if batch_tokens < max_length + 2:
        raise InputError(
            f"--batch-tokens {batch_tokens}: at least {max_length + 2} are required, one window of {max_length} k-mers"
        )


def _evaluation_batches(ground: _Ground, most: int, corpus: Corpus) -> list[MaskedBatch]:
    """Choose held-out windows evenly and mask them as the corpus does."""
    count = len(ground.windows.source)
    if not count:
        return []
    chosen = np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()
    windows = tuple(read_window(ground.sources, ground.windows, i, corpus.k) for i in chosen)
    return evaluation_batches(HeldOut(windows, corpus.k, corpus.policy, corpus.seed, corpus.batch_tokens))


def packed_trainer(
    model: torch.nn.Module,
    arguments: TrainingArguments,
    corpus: Corpus,
    quick: list[MaskedBatch],
    stop: StopOnInterrupt,
    device: torch.device,
    precision: torch.dtype,
    tokens_at_peak: float,
) -> PackedTrainer:
    """Make the Trainer of a pre-training run: items of the corpus in order, `quick` evaluated on the way."""
    narrow(model, device, precision)
    tally = _Tally(corpus.k)
    return PackedTrainer(
        model=model,
        args=arguments,
        train_dataset=_Items(corpus, fixed_shape=arguments.torch_compile),
        eval_dataset=quick or None,  # only named: the evaluation function holds it
        data_collator=_only,
        evaluation=lambda module: hidden.evaluate(module, quick, corpus.k, device, precision),
        in_order=True,
        tally=tally.add,
        tallied=tally.take,
        rate_of=lambda name: TOKEN_RATE if name.endswith("word_embeddings.weight") else 1.0,
        callbacks=[Reporter(_training_words, _evaluation_words, tokens_at_peak), stop],
    )


def _flops_a_token(config: Any, corpus: Corpus) -> float:
    """Count the operations of a forward pass per token, on the lengths and masks of the first batches."""
    items = [training_batch(corpus, i) for i in range(min(8, corpus.batches))]
    lengths = np.concatenate([np.diff(item.batch.cu_seqlens.numpy()) for item in items])
    return forward_flops(config, lengths, sum(len(item.rows) for item in items) / float(lengths.sum()))


class _Items(Dataset[dict[str, Any]]):
    """The corpus as the Trainer reads it."""

    def __init__(self, corpus: Corpus, fixed_shape: bool) -> None:
        self.corpus = corpus
        self.fixed_shape = fixed_shape

    def __len__(self) -> int:
        return self.corpus.batches

    def __getitem__(self, i: int) -> dict[str, Any]:
        item = training_batch(self.corpus, i)
        if self.fixed_shape:
            item = of_fixed_shape(item, self.corpus)
        labels = {"rows": item.rows, "labels": item.labels, "sources": item.sources, "_probes": item.probes}
        return item.batch._asdict() | labels


def _only(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the one item of a batch: it is a batch already."""
    (item,) = items
    return item


class _Tally:
    """Hidden bases, and windows whose source was told, of the training batches since the last log line."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.parts: list[hidden.HiddenBases] = []
        self.told: list[torch.Tensor] = []

    def add(self, inputs: Mapping[str, Any], outputs: Any) -> None:
        probes = inputs["_probes"]
        with torch.no_grad():
            self.parts.append(hidden.score_hidden(outputs.logits[probes], inputs["labels"][probes], self.k))
            if outputs.source_logits is not None:
                self.told.append(hidden.told_apart(outputs.source_logits, inputs["sources"]))

    def take(self) -> Metrics:
        metrics = hidden.summarise(self.parts, self.told)
        self.parts, self.told = [], []
        return metrics


def _training_words(entry: Metrics) -> str:
    return f"loss {entry['loss']:.3f} · {_base_words(entry)}"


def _evaluation_words(metrics: Metrics) -> str:
    return f"loss {metrics['token_loss']:.3f} · {_base_words(metrics)}"


def _base_words(metrics: Metrics) -> str:
    apart = f" · source told of {metrics['source_accuracy']:.1%}" if "source_accuracy" in metrics else ""
    return f"per hidden base {metrics['base_loss']:.4f} nats, {metrics['base_accuracy']:.1%} right{apart}"


def _announce(
    settings: Mapping[str, Any],
    model: torch.nn.Module,
    ground: _Ground,
    device: torch.device,
    precision: torch.dtype,
) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    bases, kept = (int(regions.lengths.sum()) for regions in (ground.train, ground.held))
    apart = f", telling {len(ground.sources)} sources apart (weight {settings['tell_apart']:g})"
    apart = apart if settings["tell_apart"] else ""
    what = settings["preset"] if settings["model"] is None else f"{settings['model']} further"
    say(
        f"Pre-training {what} ({parameters / 1e6:.1f} M parameters, k={settings['k']}) on {bases:,} "
        f"bases, {kept:,} held out; mask {settings['mask']}{apart}, {settings['steps']:,} steps of "
        f"{settings['batch_tokens']:,} tokens, peak rate {settings['learning_rate']:g}; {describe(device, precision)}"
    )
