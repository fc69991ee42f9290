"""What a model says about variants: scores of alternative alleles beside the reference's.

A fine-tuned model reads both alleles in the same window. A pre-trained one is asked for the bases that differ while
they are hidden: all tokens that touch them are masked, and the probabilities of the k-mers that agree with an allele
are summed at the place of each hidden base. A window is a string, and each distinct string is computed once:
alternatives of one site share the reference's window, and substitutions of one stretch share the window in which it is
hidden.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import scipy.special
import torch

from dnabert.errors import InputError
from dnabert.inference.embed import pooled
from dnabert.inference.engine import Advance, Engine, run, run_rows
from dnabert.inference.predict import batch_logits, softmax
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.marginals import base_log_probabilities
from dnabert.model.packing import packed
from dnabert.sequence.allele_windows import Sites, Windows, hidden_spans, place, spell, take
from dnabert.sequence.alphabet import UNKNOWN
from dnabert.sequence.genome import Genome
from dnabert.sequence.kmers import MASK, encode_rows, middle_offset
from dnabert.sequence.tables import Table
from dnabert.sequence.variants import REASONS, Alleles, Letters, allele_codes, disagreeing
from dnabert.sequence.windows import check_lengths

STRANDS = {"both": (False, True), "+": (False,), "-": (True,)}
DISTANCES = ("cosine", "l2", "none")
DEFAULT_WINDOW = 201
"""Bases of a window for a pre-trained model: the variant and 100 bases on each side."""
FLAGS = ("ref_mismatch", "contig_end", "unknown_bases")
LOG_UNIFORM = -math.log(4)


class Settings(NamedTuple):
    """How variants are scored.

    Attributes
    ----------
    window : int
        Bases of both alleles' windows.
    offsets : tuple of int
        Bases that the variant lies right of the window's middle; scores are averaged over them.
    strand : str
        `both` (averaged), `+` or `-`.
    distance : str
        Between the mean embeddings of both alleles' windows: `cosine`, `l2` or `none`. Pre-trained models alone.
    """

    window: int
    offsets: tuple[int, ...] = (0,)
    strand: str = "both"
    distance: str = "cosine"


class Field(NamedTuple):
    """A score: the name of its column and what it is."""

    name: str
    description: str


class Scores(NamedTuple):
    """Scores of alleles.

    Attributes
    ----------
    values : np.ndarray, float32, shape (alleles, fields)
        NaN where an allele is not scored. The columns are those of `fields`.
    flags : pa.StringArray, length alleles
        Why an allele is not scored, or what is to be known about its score, joined by `|`; null for nothing.
    windows : int
        Windows computed: passes of the encoder over one sequence.
    """

    values: np.ndarray
    flags: pa.StringArray
    windows: int


def check_settings(loaded: Checkpoint, settings: Settings) -> None:
    """Raise InputError unless a model can score variants so."""
    longest = (loaded.longest - 1) * loaded.stride + loaded.k
    if settings.window > longest:
        raise InputError(
            f"--window {settings.window}: this model takes at most {longest} bases ({loaded.longest} {loaded.k}-mers); "
            "give fewer"
        )
    if settings.window < 2 * loaded.k:
        raise InputError(f"--window {settings.window}: at least {2 * loaded.k} bases are needed, two {loaded.k}-mers")
    if settings.strand not in STRANDS:
        raise InputError(f"--strand {settings.strand}: give one of {', '.join(STRANDS)}")
    if settings.distance not in DISTANCES:
        raise InputError(f"--distance {settings.distance}: give one of {', '.join(DISTANCES)}")
    for offset in settings.offsets:
        if not abs(offset) < settings.window // 2:
            raise InputError(
                f"--offsets {offset}: the variant would leave the window of {settings.window} bases; "
                f"give less than {settings.window // 2}"
            )
    if not settings.offsets:
        raise InputError("--offsets: one offset or more is required, 0 for the middle of the window")
    if loaded.task not in _TASKS:
        raise InputError(f"variants are scored with models for {' or '.join(_TASKS)}, this one is for {loaded.task}")


def fields(loaded: Checkpoint, settings: Settings) -> list[Field]:
    """List the scores that a model gives, in the order of the columns of `Scores.values`."""
    return _TASKS[loaded.task].fields(loaded, settings)


def score(
    engine: Engine,
    genome: Genome,
    alleles: Alleles,
    settings: Settings,
    batch_tokens: int | None = None,
    advance: Advance | None = None,
    ends: bool = True,
) -> Scores:
    """Score alternative alleles.

    Parameters
    ----------
    engine : Engine
        With a pre-trained model or a classifier. Use float32: differences between alleles drown in bfloat16.
    genome : Genome
    alleles : Alleles
        A chunk: memory grows with it.
    settings : Settings
    batch_tokens : int, optional
        Tokens computed at a time.
    advance : callable, optional
        Takes what part of the alleles has just been computed, 0 to 1.
    ends : bool
        Flag windows that the end of a contig moved or shortened. Nothing to be said where contigs are whole elements.

    Returns
    -------
    Scores
    """
    loaded = engine.checkpoint
    share = 1 / (len(settings.offsets) * len(STRANDS[settings.strand]))
    compute = _Compute(batch_tokens, lambda part: None if advance is None else advance(part * share))
    ref, alt = (allele_codes(part) for part in (alleles.ref, alleles.alt))
    values = np.full((alleles.rows, len(fields(loaded, settings))), np.nan, dtype=np.float32)
    flagged = np.zeros((alleles.rows, len(FLAGS)), dtype=bool)
    flagged[:, 0] = disagreeing(alleles, genome)
    parts, windows = [], 0
    reason = alleles.reason
    rows = np.empty(0, dtype=np.int64)
    for offset in settings.offsets:
        # which alleles fit does not depend on the offset
        sites, reason = place(alleles, genome, settings.window, offset, loaded.k)
        rows = sites.rows
        if not len(rows):
            break
        both = take(ref, rows), take(alt, rows)
        flagged[rows, 1] |= sites.moved & ends
        for minus in STRANDS[settings.strand]:
            view = _TASKS[loaded.task].view(engine, genome, sites, both, minus, settings, compute)
            flagged[rows, 2] |= view.unknown
            parts.append(view.values)
            windows += view.windows
    if parts:
        values[rows] = _TASKS[loaded.task].summary(np.mean(parts, axis=0))
    return Scores(values, _flag_texts(reason, flagged), windows)


def _flag_texts(reason: np.ndarray, flagged: np.ndarray) -> pa.StringArray:
    codes = reason.astype(np.int64) * 2 ** len(FLAGS) + flagged @ (1 << np.arange(len(FLAGS)))
    used, index = np.unique(codes, return_inverse=True)
    texts = []
    for code in used.tolist():
        names = [REASONS[code >> len(FLAGS)], *(name for bit, name in enumerate(FLAGS) if code >> bit & 1)]
        texts.append("|".join(name for name in names if name) or None)
    return pa.array(texts, pa.string()).take(pa.array(index.ravel()))


# --- one view: an offset on a strand ----------------------------------------------------------------------------------


class _Compute(NamedTuple):
    """How a view is computed: tokens at a time, and who is told what part of it is done."""

    batch_tokens: int | None
    advance: Advance

    def part(self, windows: Windows, stages: int = 1) -> Advance:
        """Turn windows done into the part of the view that they are, in one of some stages."""
        whole = len(windows.sequences) * stages
        return lambda done: self.advance(done / whole)


class _View(NamedTuple):
    """Values of the sites as seen in one window, float64, shape (sites, ...), which have N in it, windows computed."""

    values: np.ndarray
    unknown: np.ndarray
    windows: int


def _outputs_view(
    engine: Engine,
    genome: Genome,
    sites: Sites,
    alleles: tuple[Letters, Letters],
    minus: bool,
    settings: Settings,  # noqa: ARG001 - every task's views take the same
    compute: _Compute,
) -> _View:
    """Compute the outputs of the reference's and of the alternative's window, shape (sites, 2, outputs)."""
    windows = spell(sites, *alleles, genome, minus, None)
    outputs = run(engine, _as_table(windows), batch_logits, compute.batch_tokens, advance=compute.part(windows))
    outputs = outputs.reshape(len(outputs), -1).astype(np.float64)
    return _View(outputs[windows.windows.T], windows.unknown, len(windows.sequences))


def _likelihood_view(
    engine: Engine,
    genome: Genome,
    sites: Sites,
    alleles: tuple[Letters, Letters],
    minus: bool,
    settings: Settings,
    compute: _Compute,
) -> _View:
    """Compute the log-likelihood ratio, and the distance of the embeddings if asked for, shape (sites, 1 or 2)."""
    windows = spell(sites, *alleles, genome, minus, hidden_spans(sites, *alleles))
    stages = 1 if settings.distance == "none" else 2
    marginals = hidden_marginals(engine, windows, compute.batch_tokens, compute.part(windows, stages))
    of_ref, of_alt = (
        _allele_likelihoods(marginals, index, *letters)
        for index, letters in zip(windows.windows, windows.alleles, strict=True)
    )
    values = (of_alt - of_ref)[:, None]
    count = len(windows.sequences)
    if settings.distance != "none":
        plain = spell(sites, *alleles, genome, minus, None)
        mean = functools.partial(pooled, pooling="mean")
        vectors = run(engine, _as_table(plain), mean, compute.batch_tokens, advance=compute.part(plain, stages))
        distance = _distances(vectors, plain.windows, settings.distance)
        values = np.concatenate([values, distance[:, None]], axis=1)
        count += len(plain.sequences)
    return _View(values, windows.unknown, count)


def _as_table(windows: Windows) -> Table:
    count = len(windows.sequences)
    return Table(Path("windows"), windows.sequences, None, pa.table({}), ((Path("windows"), "window", 1, count),))


def hidden_marginals(
    engine: Engine, windows: Windows, batch_tokens: int | None = None, advance: Advance | None = None
) -> np.ndarray:
    """Ask a masked language model for the hidden bases of windows.

    Parameters
    ----------
    engine : Engine
    windows : Windows
        As `spell` gives them, hidden bases spelled `.`.
    batch_tokens, advance
        As in `engine.run`.

    Returns
    -------
    np.ndarray, float32, shape (windows, most hidden bases, 4)
        Log of the marginal of A, T, C, G at each hidden base: the sum over the k-mers that carry the base, as given by
        the masked token that has it nearest to its middle. A fourth where no token touches the base.
    """
    loaded = engine.checkpoint
    table = _as_table(windows)
    lengths = check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    most = int((windows.hidden[:, 1] - windows.hidden[:, 0]).max(initial=0))

    def compute(rows: np.ndarray) -> torch.Tensor:
        tokens = encode_rows(table.letters, table.starts[rows], table.ends[rows], loaded.k, loaded.stride)
        hidden = windows.hidden[rows]
        reads = np.empty(((hidden[:, 1] - hidden[:, 0]).sum(), 4), dtype=np.int64)
        count = _mask(tokens.input_ids, tokens.lengths, hidden, loaded.k, loaded.stride, middle_offset(loaded.k), reads)
        token, row, at, inside = torch.from_numpy(reads[:count]).to(engine.device).T
        batch = packed(*tokens).to(engine.device)
        logits = loaded.model(*batch, rows=token).logits
        out = torch.full((len(rows), most, 4), LOG_UNIFORM, device=engine.device)
        for offset in np.unique(reads[:count, 3]).tolist():
            of = inside == offset
            out[row[of], at[of]] = base_log_probabilities(logits[of], loaded.k, offset)
        return out

    return run_rows(engine, lengths, compute, batch_tokens, "Scoring", advance=advance)


@numba.njit(nogil=True, cache=True)
def _mask(
    input_ids: np.ndarray,
    lengths: np.ndarray,
    hidden: np.ndarray,
    k: int,
    stride: int,
    middle: int,
    reads: np.ndarray,
) -> int:
    """Mask what touches hidden bases; note token, row, number of the base and its offset in the token for each base."""
    count = 0
    first = 1  # behind [CLS]
    for row in range(len(lengths)):
        kmers = lengths[row] - 2
        for i in range(hidden[row, 0], hidden[row, 1]):
            low = max(0, (i - k + stride) // stride)
            high = min(kmers - 1, i // stride)
            for token in range(low, high + 1):
                input_ids[first + token] = MASK
            if low <= high:
                token = min(max((i - middle) // stride, low), high)
                reads[count, 0] = first + token
                reads[count, 1] = row
                reads[count, 2] = i - hidden[row, 0]
                reads[count, 3] = i - token * stride
                count += 1
        first += lengths[row]
    return count


@numba.njit(nogil=True, cache=True)
def _allele_likelihoods(marginals: np.ndarray, index: np.ndarray, codes: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Sum over the hidden bases of an allele what the marginal says more than one of four equal chances, in nats."""
    sums = np.zeros(len(index))
    for site in range(len(index)):
        for j in range(bounds[site], bounds[site + 1]):
            if codes[j] < UNKNOWN:
                sums[site] += marginals[index[site], j - bounds[site], codes[j]] - LOG_UNIFORM
    return sums


def _distances(vectors: np.ndarray, index: np.ndarray, kind: str) -> np.ndarray:
    exact = vectors.astype(np.float64)
    if kind == "cosine":  # half the squared distance of unit vectors is 1 - cosine, without its cancellation
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
        return np.square(exact[index[0]] - exact[index[1]]).sum(axis=1) / 2
    return np.linalg.norm(exact[index[0]] - exact[index[1]], axis=1)


# --- what the averages of the views become ----------------------------------------------------------------------------


def _likelihood_fields(loaded: Checkpoint, settings: Settings) -> list[Field]:  # noqa: ARG001
    found = [Field("llr", "log-likelihood ratio of the alternative to the reference allele (nats), bases hidden")]
    if settings.distance != "none":
        name = {"cosine": "cosine distance", "l2": "Euclidean distance"}[settings.distance]
        found.append(Field(settings.distance, f"{name} of the mean embeddings of both alleles' windows"))
    return found


def _probability_fields(labels: Sequence[str], named: bool) -> list[Field]:
    found = []
    for label in labels:
        end = f"_{label}" if named else ""
        found += [
            Field(f"p_ref{end}", f"probability of {label} with the reference allele"),
            Field(f"p_alt{end}", f"probability of {label} with the alternative allele"),
            Field(f"difference{end}", "p_alt - p_ref"),
            Field(f"score{end}", "(p_alt - p_ref) * max(p_ref, p_alt)"),
            Field(f"log_odds{end}", "log2(p_ref/(1-p_ref)) - log2(p_alt/(1-p_alt))"),
        ]
    return found


def _class_fields(loaded: Checkpoint, settings: Settings) -> list[Field]:  # noqa: ARG001
    two = len(loaded.labels) == 2  # the first says what the second says
    return _probability_fields(loaded.labels[1:] if two else loaded.labels, not two)


def _label_fields(loaded: Checkpoint, settings: Settings) -> list[Field]:  # noqa: ARG001
    return _probability_fields(loaded.labels, named=True)


def _number_fields(loaded: Checkpoint, settings: Settings) -> list[Field]:  # noqa: ARG001
    found = []
    for label in loaded.labels:
        end = "" if len(loaded.labels) == 1 else f"_{label}"
        found += [
            Field(f"predicted_ref{end}", f"{label} with the reference allele"),
            Field(f"predicted_alt{end}", f"{label} with the alternative allele"),
            Field(f"difference{end}", "the alternative's minus the reference's"),
        ]
    return found


def _class_summary(logits: np.ndarray) -> np.ndarray:
    """Turn logits, shape (sites, 2, classes), into the columns of `_class_fields`."""
    first = 1 if logits.shape[2] == 2 else 0
    odds = np.stack([logits[..., c] - _log_sum_others(logits, c) for c in range(first, logits.shape[2])], axis=2)
    return _probability_columns(softmax(logits)[..., first:], odds)


def _label_summary(logits: np.ndarray) -> np.ndarray:
    """Turn logits of labels that stand alone, shape (sites, 2, labels), into the columns of `_label_fields`."""
    return _probability_columns(scipy.special.expit(logits), logits)


def _number_summary(outputs: np.ndarray) -> np.ndarray:
    """Turn numbers, shape (sites, 2, outputs), into the columns of `_number_fields`."""
    ref, alt = outputs.transpose(1, 0, 2)  # (sites, outputs)
    return np.stack([ref, alt, alt - ref], axis=2).reshape(len(outputs), -1)


def _probability_columns(probabilities: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Lay out five columns a class from probabilities and their log-odds (nats), both of shape (sites, 2, classes)."""
    p_ref, p_alt = probabilities.transpose(1, 0, 2)  # (sites, classes)
    difference = p_alt - p_ref
    log_odds = (odds[:, 0] - odds[:, 1]) / math.log(2)
    columns = [p_ref, p_alt, difference, difference * np.maximum(p_ref, p_alt), log_odds]
    return np.stack(columns, axis=2).reshape(len(probabilities), -1)  # (sites, classes, 5) -> (sites, fields)


def _log_sum_others(logits: np.ndarray, c: int) -> np.ndarray:
    """Log of the sum of the other classes' powers: log(p / (1 - p)) without a probability near 0 or 1."""
    return np.logaddexp.reduce(np.delete(logits, c, axis=2), axis=2)


class _Task(NamedTuple):
    """How models of a task score: their fields, what a view of the sites holds, what its mean over views becomes."""

    fields: Callable[[Checkpoint, Settings], list[Field]]
    view: Callable[..., _View]
    summary: Callable[[np.ndarray], np.ndarray]


_TASKS = {
    "masked-lm": _Task(_likelihood_fields, _likelihood_view, lambda values: values),
    "classification": _Task(_class_fields, _outputs_view, _class_summary),
    "multilabel": _Task(_label_fields, _outputs_view, _label_summary),
    "regression": _Task(_number_fields, _outputs_view, _number_summary),
}
"""Here alone it is said what a task's models give."""
