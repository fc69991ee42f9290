"""What each base does to a logit: in-silico mutagenesis and integrated gradients.

Both compute differences of logits, which drown in bfloat16: start the engine in float32.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from dnabert.errors import InputError
from dnabert.inference.attention import empty_scores
from dnabert.inference.engine import BATCH_TOKENS, Engine, Given, as_table, run
from dnabert.inference.predict import batch_logits
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.device import computing, within_memory
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.progress import track_items
from dnabert.sequence import windows
from dnabert.sequence.alphabet import ACGT, CODE_OF_BYTE, LETTERS, UNKNOWN
from dnabert.sequence.kmers import FIRST_KMER
from dnabert.sequence.letters import string_array
from dnabert.sequence.tables import Table

STEPS = 32
"""Points of the path of integrated gradients."""
VARIANT_ROWS = 8192
"""Given in memory at a time in mutagenesis: whole sequences with all their variants."""


def target_class(checkpoint: Checkpoint, name: str | None) -> int | None:
    """Find the output that is explained: the logit of a class or a label, or a number.

    Parameters
    ----------
    checkpoint : Checkpoint
        A model with outputs for each sequence.
    name : str, optional
        A class, label or output. Without one it is the second of two classes, or the only output.

    Returns
    -------
    int or None
        None: the class that is predicted for each sequence.

    Raises
    ------
    InputError
        If the model has no outputs for sequences or none of this name, or several and none is named.
    """
    if checkpoint.task == "masked-lm":
        raise InputError(
            "effects on a logit need a classifier, this model is pre-trained only; run 'dnabert finetune' on it first, "
            "or use the method attention"
        )
    if checkpoint.task == "per-base":
        raise InputError("effects on a logit need one output a sequence, this model has one a base; use attention")
    if name is not None and name not in checkpoint.labels:
        raise InputError(f"--target {name}: this model has {', '.join(checkpoint.labels)}")
    if name is not None:
        return checkpoint.labels.index(name)
    if checkpoint.task == "classification":
        return 1 if len(checkpoint.labels) == 2 else None
    if len(checkpoint.labels) > 1:
        raise InputError(f"say which output is explained: --target {' or '.join(checkpoint.labels)}")
    return 0


def ism(
    engine: Engine,
    sequences: Given,
    target: str | None = None,
    batch_tokens: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Measure what each other base would change at each position (in-silico mutagenesis).

    Parameters
    ----------
    engine : Engine
        With a fine-tuned classifier.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    target : str, optional
        The class whose logit is measured: the second of two classes by default, else what is predicted for each
        sequence.
    batch_tokens : int, optional
        Tokens computed at a time.
    out : np.ndarray, float32, shape (sequences, longest, 4), optional
        Where to write, for example a file mapped into memory.

    Returns
    -------
    np.ndarray, float32, shape (sequences, longest, 4)
        Logit of the sequence with this base minus logit of the sequence as it is, for A, C, G, T; 0 for the base that
        is there. NaN where the base is unknown (N) and after the end of a shorter sequence.

    Raises
    ------
    InputError
        If the model is no classifier or has no such class, or a sequence is too short, too long or no DNA.
    """
    table = as_table(sequences)
    loaded = engine.checkpoint
    column = target_class(loaded, target)
    windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    out = empty_scores(table, 4) if out is None else out
    rows_of = 3 * np.diff(table.offsets) + 1
    with track_items("Mutating", table.rows, "sequences") as advance:
        first = 0
        while first < table.rows:
            within = np.cumsum(rows_of[first:]) <= VARIANT_ROWS
            last = first + max(1, int(within.sum()))
            parts = [_variants(_codes(table, row)) for row in range(first, last)]
            logits = run(engine, _as_rows([codes for codes, _ in parts], table), batch_logits, batch_tokens, None)
            at = 0
            for row, (codes, places) in zip(range(first, last), parts, strict=True):
                own = logits[at : at + len(codes)]  # (1 + variants, classes), the sequence itself first
                chosen = own[:, int(own[0].argmax()) if column is None else column]
                out[row] = np.nan
                out[row, : codes.shape[1]] = _effects(chosen, codes[0], places)
                at += len(codes)
            advance(last - first)
            first = last
    return out


def _codes(table: Table, row: int) -> np.ndarray:
    return CODE_OF_BYTE[table.letters[table.offsets[row] : table.offsets[row + 1]]]


def _variants(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spell a sequence and all its single changes: base codes, shape (1 + variants, bases), and (position, column)."""
    positions, columns = np.nonzero((ACGT[None] != codes[:, None]) & (codes[:, None] < UNKNOWN))
    rows = np.tile(codes, (len(positions) + 1, 1))
    rows[np.arange(1, len(rows)), positions] = ACGT[columns]
    return rows, np.stack([positions, columns])


def _effects(logits: np.ndarray, codes: np.ndarray, places: np.ndarray) -> np.ndarray:
    effects = np.zeros((len(codes), 4), dtype=np.float32)
    effects[codes == UNKNOWN] = np.nan
    effects[places[0], places[1]] = logits[1:] - logits[0]
    return effects


def _as_rows(parts: list[np.ndarray], source: Table) -> Table:
    letters = np.concatenate([LETTERS[codes].ravel() for codes in parts])
    lengths = np.concatenate([np.full(len(codes), codes.shape[1]) for codes in parts])
    sequences = string_array(letters, np.concatenate([[0], np.cumsum(lengths)]))
    return Table(source.path, sequences, None, pa.table({}), ((source.path, "variant", 1, len(sequences)),))


class Gradients(NamedTuple):
    """Integrated gradients.

    Attributes
    ----------
    scores : np.ndarray, float32, shape (sequences, longest)
        Share of each base in the logit, in logits; NaN after the end of a shorter sequence.
    errors : np.ndarray, float32, shape (sequences,)
        Completeness error in logits: the sum of the scores minus the difference of the logits of sequence and baseline.
        It shrinks as steps grow.
    differences : np.ndarray, float32, shape (sequences,)
        That difference of logits: what the scores of a sequence should add up to.
    """

    scores: np.ndarray
    errors: np.ndarray
    differences: np.ndarray


def integrated_gradients(
    engine: Engine,
    sequences: Given,
    target: str | None = None,
    steps: int = STEPS,
    batch_tokens: int | None = None,
    out: np.ndarray | None = None,
) -> Gradients:
    """Divide a logit among the bases by integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365).

    The path goes from the mean embedding of all k-mers, a sequence that says nothing, to the sequence's own
    embeddings; `[CLS]`, `[SEP]` and positions stay. A token's share is divided evenly among its k bases, so that
    scores still add up.

    Parameters
    ----------
    engine : Engine
        With a fine-tuned classifier.
    sequences : Table, pyarrow string array or sequence of str
        Raw DNA.
    target : str, optional
        As in `ism`.
    steps : int
        Points of the path, each a pass forward and back.
    batch_tokens : int, optional
        Tokens computed at a time.
    out : np.ndarray, float32, shape (sequences, longest), optional
        Where to write the scores.

    Returns
    -------
    Gradients

    Raises
    ------
    InputError
        As `ism`.
    """
    table = as_table(sequences)
    loaded = engine.checkpoint
    column = target_class(loaded, target)
    lengths = windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    scores = empty_scores(table) if out is None else out
    errors, differences = np.empty((2, table.rows), dtype=np.float32)
    budget = batch_tokens or BATCH_TOKENS.get(engine.device.type, BATCH_TOKENS["cpu"])
    message = f"{engine.device} has no memory for {budget:,} tokens with their gradients; give fewer (--batch-tokens)"
    with (
        computing(engine.device, engine.precision),
        within_memory(message),
        track_items("Integrating gradients", table.rows, "sequences") as advance,
    ):
        for rows in _equal_rows(lengths, max(1, budget // steps)):
            batch = pack_rows(table, rows, loaded.k, loaded.stride).to(engine.device)
            tokens, errors[rows] = _shares(loaded, batch, column, steps, budget)
            differences[rows] = tokens.sum(axis=1) - errors[rows]
            bases = _divide(tokens, loaded.k, loaded.stride)
            scores[rows] = np.nan
            for row, length, share in zip(rows, np.diff(table.offsets)[rows], bases, strict=True):
                scores[row, :length] = 0  # bases that no token covers
                scores[row, : len(share)] = share
            advance(len(rows))
    return Gradients(scores, errors, differences)


def _equal_rows(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Group rows as `windows.batches_of_rows`, each group of one length."""
    for length in np.unique(lengths)[::-1]:
        rows = np.flatnonzero(lengths == length)
        at_a_time = max(1, tokens // int(length))
        for first in range(0, len(rows), at_a_time):
            yield rows[first : first + at_a_time]


def _shares(
    loaded: Checkpoint, batch: PackedBatch, column: int | None, steps: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate gradients for sequences of one length.

    Returns
    -------
    tuple of np.ndarray
        Shares of the k-mers, float32, shape (sequences, k-mers), and completeness errors, shape (sequences,).
    """
    from captum.attr import IntegratedGradients

    embeddings = loaded.model.bert.embeddings.word_embeddings
    with torch.no_grad():
        own = embeddings(batch.input_ids).view(batch.sequences, batch.max_seqlen, -1)  # (sequences, tokens, hidden)
        baseline = embeddings.weight[FIRST_KMER:].mean(dim=0).expand_as(own).clone()
        baseline[:, [0, -1]] = own[:, [0, -1]]
        target = column if column is not None else batch_logits(loaded, batch).argmax(dim=1)
    shares, errors = IntegratedGradients(_forward(loaded, batch)).attribute(
        own,
        baseline,
        target=target,
        n_steps=steps,
        internal_batch_size=max(batch.sequences, budget // batch.max_seqlen),
        return_convergence_delta=True,
    )
    return shares.sum(-1)[:, 1:-1].float().cpu().numpy(), errors.float().cpu().numpy()


def _forward(loaded: Checkpoint, batch: PackedBatch) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make a function from embeddings of tokens, shape (sequences, tokens, hidden size), to logits."""
    length = batch.max_seqlen
    word_embeddings = loaded.model.bert.embeddings.word_embeddings

    def forward(values: torch.Tensor) -> torch.Tensor:
        count = len(values)
        device = values.device
        filled = PackedBatch(
            torch.zeros(count * length, dtype=torch.int64, device=device),
            torch.arange(length, device=device).repeat(count),
            torch.arange(count + 1, dtype=torch.int32, device=device) * length,
            length,
        )
        # the model looks its embeddings up; here they are given
        hook = word_embeddings.register_forward_hook(lambda *_: values.reshape(count * length, -1))
        try:
            return batch_logits(loaded, filled)
        finally:
            hook.remove()

    return forward


def _divide(values: np.ndarray, k: int, stride: int) -> np.ndarray:
    """Divide scores of tokens, shape (sequences, tokens), evenly among the bases of each."""
    starts = np.arange(values.shape[1]) * stride
    bases = np.zeros((len(values), (values.shape[1] - 1) * stride + k))
    for offset in range(k):
        bases[:, starts + offset] += values / k
    return bases


def contributions(effects: np.ndarray) -> np.ndarray:
    """Turn effects of mutations into a score a base: how much the logit falls, on average, when the base is changed.

    Parameters
    ----------
    effects : np.ndarray, float, shape (..., 4)
        Of `ism`.

    Returns
    -------
    np.ndarray, float, shape (...)
        Minus the mean of the three effects.
    """
    return -effects.sum(axis=-1) / 3
