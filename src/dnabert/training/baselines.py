"""Training of baselines: convolutional networks by a short loop, k-mer regression by scikit-learn."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import entr

from dnabert.errors import InputError
from dnabert.inference.baselines import Letters, as_letters, batch, kmer_features
from dnabert.inference.predict import mirrored, predict
from dnabert.model import baselines
from dnabert.model.baselines import Baseline, alike
from dnabert.model.device import exact_float32, within_memory
from dnabert.model.heads import HEADS, loss_of
from dnabert.model.packing import sent
from dnabert.progress import say
from dnabert.sequence.letters import positions
from dnabert.training import linear, metrics
from dnabert.training.data import Labelled
from dnabert.training.graphs import Graphs
from dnabert.training.items import calibrate, into_units, passes_for, standardise, weights_of, with_other_strand
from dnabert.training.metrics import MAIN, Truth

RATES = (2e-3, 4e-4, 8e-5)
"""Peak learning rates, tried in this order for as long as the network tells nothing apart. Between the first and the
second, a network with hidden layers is tried with layer norms and the first."""
BATCH = (16, 64)
"""Rows of a batch: a fortieth of all rows, within these limits."""
BASES_AT_ONCE = 131_072
"""Bases of a training batch at most: batches of long sequences have fewer rows."""
STEPS = 2000
"""Passes over the rows are made until there are this many steps, within the limits that follow."""
PASSES = (6, 40)
LEARNED = 0.98
"""A network whose loss is above this share of that of one answer for all rows has learned nothing."""
WEIGHT_DECAY = 0.01
LOOKAHEAD = 32
"""Batches that rows of like length are sorted into at a time."""

KMERS = (4, 5, 6)
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the penalty of k-mer regression, chosen on dev together with k."""


class Trained(NamedTuple):
    """A trained baseline.

    Attributes
    ----------
    baseline : Baseline
    record : dict
        What was chosen on dev and what it took, for `dnabert.json`: the value of the main metric on dev, the learning
        rate, the pass it is from and the last pass's loss (or the strength of the penalty), seconds.
    """

    baseline: Baseline
    record: dict[str, Any]


def train(
    name: str,
    read: Labelled,
    *,
    strand: str = "given",
    seed: int = 0,
    class_weights: bool = False,
    device: torch.device | None = None,
    passes: int | None = None,
    graphs: bool = True,
) -> Trained:
    """Train a baseline; keep the state that is best on dev by the task's main metric.

    Parameters
    ----------
    name : str
        One of `dnabert.model.baselines.NAMES`.
    read : Labelled
        Rows to train on, and those of dev to choose by; those of test are not looked at.
    strand : str
        `both`: networks read each row from either strand at random, k-mers count together with their reverse
        complements, and predictions are the mean over both.
    seed : int
        Of the first weights, the order of rows and dropout. The same seed gives the same baseline.
    class_weights : bool
        Let each class count alike in the loss.
    device : torch.device, optional
        To train networks on; the CPU by default.
    passes : int, optional
        Over the rows; by default 6 to 40, as many as make 2,000 steps.
    graphs : bool
        Record the steps of networks on a GPU as CUDA graphs, where rows are of one length.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If there is no such baseline, or it cannot do the task.
    """
    baselines.check(name, read.task.kind)
    if read.task.kind == "per-base" and read.parts.train.second is not None:
        raise InputError(
            f"{read.parts.train.path}: labels for each base go with one sequence a row, these rows have two"
        )
    start = time.monotonic()
    weights = weights_of(read.truths.train) if class_weights else None
    job = _Job(name, read, strand, seed, weights, device or torch.device("cpu"), passes, graphs)
    baseline, record = _kmers(job) if name == "kmers" else _network(job)
    if read.task.kind == "regression":
        calibrate(_output(baseline), predict(baseline, read.parts.dev).outputs, read.truths.dev)
    record["seconds"] = round(time.monotonic() - start, 3)
    chosen = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in record.items() if key not in _SAID)
    say(f"{name}: {MAIN[read.task.kind]} {record['dev']:.3f} on dev, {chosen}, {record['seconds']:,.0f} seconds")
    return Trained(baseline, record)


_SAID = ("dev", "loss", "seconds")


def _output(baseline: Baseline) -> torch.nn.Linear:
    """Return the last layer: of k-mer regression there is no other."""
    network = baseline.network
    output = network if isinstance(network, torch.nn.Linear) else network.get_submodule("output")
    assert isinstance(output, torch.nn.Linear)
    return output


class _Job(NamedTuple):
    name: str
    read: Labelled
    strand: str
    seed: int
    weights: np.ndarray | None
    device: torch.device
    passes: int | None
    graphs: bool

    def new(self, settings: dict[str, Any]) -> Baseline:
        task = self.read.task
        return baselines.new(self.name, task.kind, task.names, self.strand, task.columns, settings)

    def on_dev(self, baseline: Baseline) -> float:
        """Compute the main metric on dev; below everything where it is not defined."""
        scores = metrics.values_of(predict(baseline, self.read.parts.dev).outputs, self.read.truths.dev)
        return float(np.nan_to_num(scores[MAIN[self.read.task.kind]], nan=-1.0))

    def collapsed(self, baseline: Baseline, loss: float) -> bool:
        """Say whether the baseline tells nothing apart: one class for all of dev, there not surely above chance, or
        `loss` on the training rows no better than that of one answer for all (the best of many passes on dev may be
        above chance by chance)."""
        if loss > LEARNED * loss_of_one_answer(self.read.truths.train, self.weights):
            return True
        outputs, kind = predict(baseline, self.read.parts.dev).outputs, self.read.task.kind
        evaluation = metrics.evaluate(outputs, self.read.truths.dev, self.seed, 200)
        chance = {"classification": 0.0, "multilabel": 0.5, "regression": 0.0, "per-base": -1.0}[kind]
        low = evaluation.metrics[MAIN[kind]].low
        return evaluation.one_class is not None or not low > chance


# --- networks ---------------------------------------------------------------------------------------------------------


def _network(job: _Job) -> tuple[Baseline, dict[str, Any]]:
    """Train a network; if there is such a one, also without its knowing where in a sequence something is, and keep the
    better on dev: what stands anywhere is learned from fewer rows without."""
    kind, items = job.read.task.kind, _Items(job)
    settings = baselines.settings_for(job.name, kind, int(np.median(items.rows.lengths)))
    trained = _first_that_learns(job, items, settings)
    if not settings.get("bins"):
        return trained
    other = _first_that_learns(job, items, settings | {"bins": 0})
    on_dev = [f"{one[1]['dev']:.3f}" for one in (trained, other)]
    say(f"{job.name}: {MAIN[kind]} {on_dev[0]} on dev where it knows places, {on_dev[1]} where it does not")
    return other if other[1]["dev"] > trained[1]["dev"] else trained


def _first_that_learns(job: _Job, items: "_Items", settings: dict[str, Any]) -> tuple[Baseline, dict[str, Any]]:
    """Train in the first way that does not collapse; if all do, keep the best on dev."""
    ways = [(settings, rate) for rate in RATES]
    if "hidden_norms" in settings:
        ways.insert(1, (settings | {"hidden_norms": True}, RATES[0]))
    tried = []
    for i, way in enumerate(ways):
        baseline, record = _fit(job, items, *way)
        if not job.collapsed(baseline, record["loss"]):
            return baseline, record
        tried.append((baseline, record))
        then = f"trying {_words(*ways[i + 1])}" if i + 1 < len(ways) else "nothing else is tried"
        say(f"{job.name}: with {_words(*way)} it tells nothing apart; {then}")
    return max(tried, key=lambda one: one[1]["dev"])


def _words(settings: dict[str, Any], rate: float) -> str:
    words = f"a learning rate of {rate:g}"
    return f"{words} and layer norms" if settings.get("hidden_norms") else words


def _fit(job: _Job, items: "_Items", settings: dict[str, Any], rate: float) -> tuple[Baseline, dict[str, Any]]:
    """Train for all passes, AdamW with the one-cycle schedule, and go back to the pass that was best on dev."""
    rows_at_once = min(BATCH[1], max(BATCH[0], items.count // 40))
    at_once = max(1, min(rows_at_once, BASES_AT_ONCE // int(items.rows.lengths.max())))
    steps = math.ceil(items.count / at_once)
    passes = job.passes or passes_for(steps, STEPS, PASSES)
    device, problem = job.device, HEADS[job.read.task.kind].problem
    rng = np.random.default_rng(job.seed)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        exact_float32(device),
        within_memory(f"{device} has no memory to train '{job.name}' on sequences of this length; shorten them"),
    ):
        torch.manual_seed(job.seed)
        baseline = job.new(settings)
        network = baseline.network.to(device)
        weights = None if job.weights is None else torch.from_numpy(job.weights).to(device)

        def step(inputs: Mapping[str, Any]) -> torch.Tensor:
            logits = network(inputs["codes"], torch.tensor(inputs["lengths"]))
            loss = loss_of(problem, logits, inputs["labels"], weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            return loss.detach()

        recorded = Graphs(network, step, "codes", BASES_AT_ONCE) if job.graphs and _can_record(device) else None
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=passes * steps, pct_start=0.2)
        best, kept, of = -math.inf, {}, 0
        reporter = _Reporter(job.name, passes)
        for one in range(passes):
            network.train()
            total = torch.zeros((), device=device)
            for rows in _batches(items, at_once, rng):
                codes, lengths = batch(items.rows, rows, device)
                inputs = {"codes": codes, "lengths": tuple(lengths.tolist()), "labels": items.labels(rows, device)}
                optimizer.zero_grad()
                # of rows of many lengths a step waits for the GPU to learn where each ends
                total += recorded(inputs) if recorded is not None and alike(lengths, codes) else step(inputs)
                optimizer.step()
                schedule.step()
            dev = job.on_dev(baseline)
            if dev > best:
                best, of = dev, one + 1
                kept = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            reporter(one + 1, float(total) / steps, MAIN[job.read.task.kind], dev)
        network.load_state_dict(kept)
        network.zero_grad()  # gradients stand in the memory of the graphs
        network.eval()
    if job.read.task.kind == "regression":
        into_units(_output(baseline), standardise(job.read.truths.train))
    return baseline, {"dev": best, "learning_rate": rate, "pass": of, "passes": passes, "loss": float(total) / steps}


def _can_record(device: torch.device) -> bool:
    return device.type == "cuda"


def loss_of_one_answer(truth: Truth, weights: np.ndarray | None) -> float:
    """Compute the least loss that the same answer for every row has.

    Parameters
    ----------
    truth : Truth
    weights : numpy.ndarray, optional
        Of classes, or of each label's 1 against its 0.

    Returns
    -------
    float
        As `dnabert.model.heads.loss_of` counts: the entropy of the labels in nats, of several labels the mean over
        them; of numbers, which are standardised, 1.
    """
    if truth.task == "regression":
        return 1.0
    if truth.task == "multilabel":
        share = truth.values.mean(axis=0)
        positive = share * (1 if weights is None else weights)
        total = positive + 1 - share
        return float((total * (entr(positive / total) + entr(1 - positive / total))).mean())
    counts = np.bincount(truth.values[truth.values >= 0], minlength=len(truth.names)).astype(float)
    counts *= 1 if weights is None else weights
    return float(entr(counts / counts.sum()).sum())


class _Reporter:
    """Say how training goes, every ten seconds and at the end."""

    def __init__(self, name: str, passes: int) -> None:
        self.name, self.passes, self.last = name, passes, time.monotonic()

    def __call__(self, done: int, loss: float, metric: str, dev: float) -> None:
        if time.monotonic() - self.last >= 10 or done == self.passes:
            self.last = time.monotonic()
            say(f"{self.name}: pass {done}/{self.passes} · loss {loss:.3f} · dev {metric} {dev:.3f}")


class _Items:
    """Rows to train on as a network reads them, with labels; on both strands if wanted."""

    def __init__(self, job: _Job) -> None:
        table, truth = job.read.parts.train, job.read.truths.train
        self.count, self.both = table.rows, job.strand == "both"
        self.per_base = truth.task == "per-base"
        values = truth.values
        if truth.task == "regression":
            scale = standardise(truth)
            values = (values - scale.mean) / scale.deviation
        if truth.task in ("regression", "multilabel"):
            values = values.astype(np.float32)
        if self.both:
            values = np.concatenate([values, values[mirrored(table)] if self.per_base else values])
            table = with_other_strand(table)
        self.values = values
        self.rows: Letters = as_letters(table)
        self.first = int(self.rows.starts[0])

    def labels(self, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Read the labels of rows, or of their bases one after the other."""
        if self.per_base:
            rows = positions(self.rows.starts[rows] - self.first, self.rows.ends[rows] - self.rows.starts[rows])
        return sent(torch.from_numpy(self.values[rows]), device)


def _batches(items: _Items, at_once: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw the batches of a pass: in random order, rows of like length together, each from one strand."""
    order = rng.permutation(items.count)
    if items.both:
        order = order + items.count * rng.integers(0, 2, items.count)
    lengths = items.rows.lengths
    if (lengths != lengths[0]).any():
        chunk = LOOKAHEAD * at_once
        parts = (order[first : first + chunk] for first in range(0, len(order), chunk))
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    for first in at_once * rng.permutation(math.ceil(len(order) / at_once)):
        yield order[first : first + at_once]


# --- k-mer regression -------------------------------------------------------------------------------------------------


def _kmers(job: _Job) -> tuple[Baseline, dict[str, Any]]:
    """Fit a linear model for each k and strength of the penalty; keep the best on dev."""
    table, truth = job.read.parts.train, job.read.truths.train
    rows = as_letters(table)
    best: tuple[Baseline, dict[str, Any]] | None = None
    for k in KMERS:
        features = kmer_features(rows, np.arange(table.rows), k, job.strand == "both")
        for strength in STRENGTHS:
            with torch.random.fork_rng(devices=[]):
                baseline = job.new({"k": k})
            weight, bias = linear.solve(features, truth, strength, job.weights)
            with torch.no_grad():
                for parameter, value in zip(baseline.network.parameters(), (weight, bias), strict=True):
                    parameter.copy_(torch.from_numpy(value))
            dev = job.on_dev(baseline)
            if best is None or dev > best[1]["dev"]:
                best = baseline, {"dev": dev, "k": k, "strength": strength}
    assert best is not None
    return best
