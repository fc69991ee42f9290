"""Classes, labels and numbers of sequences, and classes of their bases."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import scipy.special
import torch

from dnabert.errors import InputError, check_at_least
from dnabert.files import check_not_input
from dnabert.inference import baselines, engine
from dnabert.inference.engine import Engine, Given, as_table, run
from dnabert.model import baselines as stored
from dnabert.model.baselines import Baseline
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import choose_device, choose_precision
from dnabert.model.packing import PackedBatch, token_of_base
from dnabert.progress import say
from dnabert.sequence import tables, windows
from dnabert.sequence.letters import positions, within
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import Sequences, Windows

STRANDS = ("given", "both")
SCANS = ("max", "mean", "second")

Predictor: TypeAlias = Engine | Baseline
"""What predicts: a model of ours on a device, or a baseline."""


class Predictions(NamedTuple):
    """What a model says.

    Attributes
    ----------
    task : str
        `classification`, `multilabel`, `regression` or `per-base`.
    outputs : np.ndarray, float32, shape (sequences, labels)
        Probabilities; for `regression` the numbers themselves, in the units of the training data. For `per-base` of
        shape (bases, labels), sequence after sequence.
    logits : np.ndarray, float32, the shape of `outputs`
    labels : tuple of str
        Classes, labels or outputs, in the order of the columns.
    """

    task: str
    outputs: np.ndarray
    logits: np.ndarray
    labels: tuple[str, ...]

    @property
    def probabilities(self) -> np.ndarray:
        """The outputs of a model that predicts probabilities."""
        if self.task == "regression":
            raise InputError("this model predicts numbers, not probabilities; read .outputs")
        return self.outputs


def start(path: str | os.PathLike[str], device: str = "auto", precision: str = "auto") -> Predictor:
    """Load what a directory holds, a model or a baseline; parameters and errors are those of `engine.start`.

    Baselines compute in float32, whatever the precision.
    """
    if not stored.is_baseline(path):
        return engine.start(path, device, precision)
    where = choose_device(device)
    choose_precision(precision, where)
    return stored.load(path, where)


def predict(
    started: Predictor,
    sequences: Given,
    batch_tokens: int | None = None,
    strand: str | None = None,
    scan: str | None = None,
    window: int | None = None,
    step: int | None = None,
) -> Predictions:
    """Predict classes, labels or numbers of sequences, or the class of each base.

    Parameters
    ----------
    started : Engine or Baseline
        With a fine-tuned model.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    batch_tokens : int, optional
        Tokens computed at a time. Results do not depend on it beyond rounding.
    strand : str, optional
        `given`: the sequences as they are. `both`: the mean of the logits of each sequence and its reverse complement.
        By default what the model was trained for.
    scan : str, optional
        Slide windows over sequences longer than those of training and take of their scores (the log-odds of the second
        class, each label's log-odds, each number) the `max`, the `mean` or the `second` highest.
    window, step : int, optional
        Bases of a window, by default those of the longest training sequence, and from one to the next, by default a
        sixth of it.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        If the model is pre-trained only, a sequence is too short, too long or no DNA, or there is no such strand.
    """
    if started.task == "masked-lm":
        raise InputError(
            "predictions need a fine-tuned model, this one is pre-trained only; run 'dnabert finetune' on it first"
        )
    strand = strand or started.strand
    if strand not in STRANDS:
        raise InputError(f"--strand {strand}: give one of {', '.join(STRANDS)}")
    check_at_least(1, window=window, step=step, batch_tokens=batch_tokens)
    table = as_table(sequences)
    compute: Callable[[Table], np.ndarray] = functools.partial(logits_of, started, batch_tokens=batch_tokens)
    if scan is not None:
        if not isinstance(started, Engine):
            raise InputError(f"--scan: '{started.name}' is a baseline and reads whole sequences; leave it out")
        settings = _scan(started.checkpoint, scan, window, step)
        compute = functools.partial(_scanned, started, batch_tokens=batch_tokens, **settings)
    elif window is not None or step is not None:
        given = f"--step {step}" if window is None else f"--window {window}"
        raise InputError(f"{given} goes with --scan; give --scan max, or leave it out")
    logits = compute(table)
    if strand == "both":
        backwards = compute(tables.reverse_complemented(table))
        if started.task == "per-base":
            backwards = backwards[mirrored(table)]
        logits = (logits + backwards) / 2
    return Predictions(started.task, OUTPUTS[started.task](logits), logits, started.labels)


def logits_of(started: Predictor, table: Table, batch_tokens: int | None = None) -> np.ndarray:
    """Compute the logits of each sequence, or of each base, as they stand.

    Returns
    -------
    np.ndarray, float32, shape (sequences or bases, labels)
    """
    if isinstance(started, Baseline):
        return baselines.logits_of(started, table, batch_tokens)
    loaded = started.checkpoint
    cut = as_read(loaded, table)
    if not isinstance(cut, Windows):
        return run(started, table, batch_logits, batch_tokens).reshape(table.rows, len(loaded.labels))
    if loaded.task == "per-base":
        return _logits_of_bases(started, cut, batch_tokens)
    vectors = run(started, cut, batch_vectors, batch_tokens)
    counts = cut.counts
    logits = np.empty((table.rows, len(loaded.labels)), dtype=np.float32)
    with torch.inference_mode():
        for rows, members in _of_like_counts(counts):
            head = loaded.model.from_vectors(
                torch.from_numpy(vectors[members]).to(started.device),
                torch.from_numpy(counts[rows]).to(started.device),
            )
            logits[rows] = head.logits.float().cpu().numpy()
    return logits


WINDOWS_AT_ONCE = 16_384
"""Windows pooled at a time, with the padding of rows that have fewer."""


def _of_like_counts(counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide rows into parts of like numbers of windows: the rows of each, and all their windows, in order; int64."""
    order = np.argsort(counts, kind="stable")
    firsts = np.cumsum(counts) - counts
    first = 0
    while first < len(order):
        # the last row has the most windows: as many rows as fit when all are padded to it
        padded = counts[order[first:]] * np.arange(1, len(order) - first + 1)
        rows = order[first : first + max(1, int(np.searchsorted(padded, WINDOWS_AT_ONCE, side="right")))]
        yield rows, positions(firsts[rows], counts[rows])
        first += len(rows)


def _scan(loaded: Checkpoint, scan: str, window: int | None, step: int | None) -> dict[str, Any]:
    """Check how sequences are to be scanned."""
    if scan not in SCANS:
        raise InputError(f"--scan {scan}: give one of {', '.join(SCANS)}")
    if loaded.task == "per-base" or getattr(loaded.model.config, "long", None):
        raise InputError("--scan: this model reads long sequences as they are; leave it out")
    if loaded.task == "classification" and len(loaded.labels) > 2:
        raise InputError(f"--scan: windows of {len(loaded.labels)} classes have no order; a model of two is required")
    longest = (loaded.longest - 1) * loaded.stride + loaded.k
    bases = window or getattr(loaded.model.config, "bases", None)
    if bases is None:
        raise InputError("--scan: the model's record does not say how long its training sequences were; give --window")
    if not loaded.k <= bases <= longest:
        raise InputError(f"--window {bases}: {loaded.k} to {longest} bases are required, what the model takes")
    return {"scan": scan, "bases": bases, "step": step or max(1, bases // 6)}


def _scanned(started: Engine, table: Table, batch_tokens: int | None, scan: str, bases: int, step: int) -> np.ndarray:
    """Pool the scores of each row's windows into logits of the row."""
    if table.second is not None:
        raise InputError(f"{table.path}: --scan: rows with a second sequence cannot be scanned; leave it out")
    cut = windows.cut(table, bases, step)
    logits = run(started, cut, batch_logits, batch_tokens)
    two = started.checkpoint.task == "classification"
    scores = logits[:, 1:] - logits[:, :1] if two else logits  # (windows, outputs)
    firsts = np.cumsum(cut.counts) - cut.counts
    if scan == "mean":
        pooled = np.add.reduceat(scores, firsts) / cut.counts[:, None]
    else:
        pooled = np.maximum.reduceat(scores, firsts)
    if scan == "second":
        for output in range(scores.shape[1]):
            order = np.lexsort((scores[:, output], cut.row))
            last = firsts + cut.counts - 1
            pooled[:, output] = scores[order[np.where(cut.counts > 1, last - 1, last)], output]
    return np.concatenate([-pooled, pooled], axis=1) / 2 if two else pooled


def as_read(loaded: Checkpoint, table: Table) -> Sequences:
    """Cut rows into what the model reads at a time, where that may be less than a row or is put together again."""
    config = loaded.model.config
    given = table.second is not None
    if getattr(config, "pairs", given) != given:  # directories of other tools do not say
        one, two = "one sequence a row", "two (the columns 'sequence' and 'sequence2')"
        reads, came = (one, two) if given else (two, one)
        raise InputError(f"{table.path}: this model reads {reads}, these rows have {came}; give it rows of its kind")
    long = getattr(config, "long", None) is not None
    if table.second is not None and (long or loaded.task == "per-base"):
        raise InputError(f"{table.path}: this model reads one sequence a row, these rows have two; leave one out")
    if long:
        cut = windows.cut(table, config.window, config.window_step)
        if config.long == "concat" and loaded.task != "per-base":
            counts = cut.counts
            most = int(counts.argmax())
            if counts[most] > config.long_windows:
                raise InputError(
                    f"{table.where(most)}: {counts[most]} windows, and --long concat has room for the "
                    f"{config.long_windows} of the longest sequence it was trained with; shorten it, or fine-tune with "
                    "another --long"
                )
        return cut
    if loaded.task == "per-base":
        longest = int((table.ends - table.starts).max(initial=1))
        return windows.cut(table, longest, longest)
    return table


def _logits_of_bases(started: Engine, cut: Windows, batch_tokens: int | None) -> np.ndarray:
    loaded = started.checkpoint
    bases = cut.ends - cut.starts
    kmers = windows.check_lengths(cut, loaded.k, loaded.stride, loaded.longest) - 2
    tokens = run(started, cut, batch_logits, batch_tokens, entries=kmers)
    return tokens[token_of_base(bases, loaded.k, loaded.stride)[own(cut)]]


def own(cut: Windows) -> np.ndarray:
    """List, of all bases of all windows one after the other, those that belong to their window; int64."""
    first, end = windows.own_bases(cut)
    bases = cut.ends - cut.starts
    at = within(bases)
    return np.nonzero((at >= np.repeat(first, bases)) & (at < np.repeat(end, bases)))[0]


def batch_logits(checkpoint: Checkpoint, batch: PackedBatch) -> torch.Tensor:
    """Compute the logits of a batch, shape (sequences, labels), for `engine.run`."""
    logits: torch.Tensor = checkpoint.model(*batch).logits
    return logits


def batch_vectors(checkpoint: Checkpoint, batch: PackedBatch) -> torch.Tensor:
    """Compute the vectors of a batch that the head reads, for `engine.run`."""
    vectors: torch.Tensor = checkpoint.model.vectors(batch)
    return vectors


def mirrored(table: Table) -> np.ndarray:
    """List each row's bases from its end to its start, as positions among all bases."""
    offsets = table.offsets - table.offsets[0]
    return np.repeat(offsets[1:] + offsets[:-1] - 1, np.diff(offsets)) - np.arange(offsets[-1])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities along the last axis."""
    return np.asarray(scipy.special.softmax(logits, axis=-1))


OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "classification": softmax,
    "per-base": softmax,
    "multilabel": scipy.special.expit,
    "regression": lambda logits: logits,
}
"""What each task makes of its logits."""


def predict_file(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    length: int | None = None,
    strand: str | None = None,
    scan: str | None = None,
    window: int | None = None,
    step: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_tokens: int | None = None,
) -> dict[str, int]:
    """Predict a file of sequences and write a table.

    Parameters
    ----------
    model : path
        The directory of a fine-tuned model or a baseline.
    data : path
        Table or FASTA file, as in `dnabert.sequence.tables.read`. Labels are not needed.
    out : path
        `.tsv`, `.csv` or `.parquet`: the input's columns in its order (the sequence only where nothing but labels
        stands beside it), then by task: `prediction` and one `probability_CLASS` a class; one `probability_LABEL` a
        label; `prediction` (`prediction_NAME` where there are several) for numbers; `prediction` with one class a base,
        separated by spaces where their names have more than one letter, and `probability` (of that class, a list, in
        Parquet only).
    genome : path, optional
        FASTA file that intervals refer to.
    length : int, optional
        Bases that intervals are widened to, around their midpoints.
    strand, scan, window, step : optional
        As in `predict`.
    device, precision : str
        As in `dnabert.load`.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    dict of str to int
        Sequences (or bases) of each predicted class; of each label those predicted to have it; empty for numbers.

    Raises
    ------
    InputError
        If the model or a file is not as required.
    """
    tables.check_output(out)
    check_not_input(out, data, genome)
    started = start(model, device, precision)
    table = tables.read(data, genome=genome, length=length)
    columns = table.columns
    if not set(columns.column_names) - set(started.columns):  # nothing but labels: the sequence names a row
        columns = columns.add_column(0, "sequence", table.sequences)
        if table.second is not None:
            columns = columns.add_column(1, "sequence2", table.second)
    if table.labels is not None:
        columns = columns.append_column("label", table.labels)
    schema = columns.schema
    for name in _names(started.task, started.labels):
        schema = schema.append(pa.field(name, pa.float32()))
    tables.check_columns(schema, out)  # before the work
    result = predict(started, table, batch_tokens, strand, scan, window, step)
    values = _columns(result, table, str(out).lower().endswith((".tsv", ".csv")))
    for name, column in zip(_names(result.task, result.labels), values, strict=False):
        columns = columns.append_column(name, column)
    tables.write(columns, out)
    say(f"Predicted {table.rows:,} sequences on {started.place}")
    return _counts(result)


def _names(task: str, labels: Sequence[str]) -> list[str]:
    """Name the columns that predictions are written to."""
    if task == "regression":
        return ["prediction"] if len(labels) == 1 else [f"prediction_{name}" for name in labels]
    if task == "per-base":
        return ["prediction", "probability"]
    return ([] if task == "multilabel" else ["prediction"]) + [f"probability_{name}" for name in labels]


def _columns(result: Predictions, table: Table, text: bool) -> list[pa.Array]:
    """Make the columns that `_names` names; the second of `per-base` is left out where it is for text."""
    each = [_array(column) for column in result.outputs.T]
    if result.task in ("regression", "multilabel"):
        return each
    choice = result.outputs.argmax(axis=1)
    chosen = _texts(result.labels).take(_array(choice))
    if result.task == "classification":
        return [chosen, *each]
    offsets = _array(table.offsets - table.offsets[0])
    separator = "" if all(len(name) == 1 for name in result.labels) else " "
    classes = pa.compute.binary_join(pa.LargeListArray.from_arrays(offsets, chosen), separator)
    if text:
        return [classes]
    probability = result.outputs[np.arange(len(choice)), choice]
    return [classes, pa.LargeListArray.from_arrays(offsets, _array(probability))]


def _array(values: np.ndarray) -> pa.Array:
    """Turn numbers into an array; pyarrow's own way loads pandas first, which takes a third of a second."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def _texts(values: Sequence[str]) -> pa.StringArray:
    """Turn texts into an array, without pandas as `_array`."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def _counts(result: Predictions) -> dict[str, int]:
    if result.task == "regression":
        return {}
    if result.task == "multilabel":
        counts = (result.outputs >= 0.5).sum(axis=0)
    else:
        counts = np.bincount(result.outputs.argmax(axis=1), minlength=len(result.labels))
    return dict(zip(result.labels, counts.tolist(), strict=True))
