"""The corpus is a function: `corpus[i]` is the i-th batch, computed from (sources, seed, i) and nothing else.

No state, no shuffle buffer, no text files: resuming at step n is asking for item n, and any number of loader workers
and ranks see the same sequence of batches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from dnabert.errors import InputError
from dnabert.model.packing import PackedBatch, pack
from dnabert.sequence.alphabet import reverse_complement
from dnabert.sequence.genome import Genome, fraction_unknown
from dnabert.sequence.kmers import MASK, PAD, encode, middle_offset
from dnabert.training import masking
from dnabert.training.masking import (
    MaskPolicy,
    draw_runs,
    hidden_bases,
    masked_tokens,
    replacements,
)
from dnabert.training.regions import MOSTLY_UNKNOWN, SHORTEST, Regions, Window

UNLABELLED = -100
"""Label of rows that the loss passes over, as torch's cross entropy has it."""


class MaskedBatch(NamedTuple):
    """A packed batch with masked tokens.

    Attributes
    ----------
    batch : PackedBatch
        The input: masked tokens are replaced.
    rows : torch.Tensor, int64, shape (masked,)
        Which tokens are masked.
    labels : torch.Tensor, int64, shape (masked,)
        Their true ids.
    probes : torch.Tensor, int64, shape (hidden bases,)
        Entries of `rows` whose token has a hidden base at its middle offset, one for each base that no visible token
        spells.
    sources : torch.Tensor, int64, shape (sequences,)
        Which of the sources each sequence is of.
    """

    batch: PackedBatch
    rows: torch.Tensor
    labels: torch.Tensor
    probes: torch.Tensor
    sources: torch.Tensor


class Corpus(NamedTuple):
    """Training batches drawn from genomes and from rows of tables.

    Attributes
    ----------
    sources : tuple of Genome
    regions : Regions
        Where windows come from.
    bounds : np.ndarray, float64, shape (regions,)
        Cumulative probabilities of the regions.
    k : int
        Bases per token.
    policy : MaskPolicy
    seed : int
    batch_tokens : int
        Largest number of tokens of a batch, `[CLS]` and `[SEP]` included.
    longest : int
        k-mers of the longest sequence (510).
    batches : int
        Items of the corpus.
    """

    sources: tuple[Genome, ...]
    regions: Regions
    bounds: np.ndarray
    k: int
    policy: MaskPolicy
    seed: int
    batch_tokens: int
    longest: int
    batches: int


def training_batch(corpus: Corpus, i: int) -> MaskedBatch:
    """Compute the i-th batch of a corpus.

    Half of the sequences have the full length, half a length drawn uniformly from 5 to it (Ji et al. 2021); each is
    read from either strand. The last one is cut so that the batch fits its budget.

    Parameters
    ----------
    corpus : Corpus
    i : int
        Which batch; the same i gives the same batch on every machine.

    Returns
    -------
    MaskedBatch
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([corpus.seed, i], dtype=np.uint64)))
    windows: list[Window] = []
    left = corpus.batch_tokens
    while left >= SHORTEST + 2:
        length = corpus.longest if rng.random() < 0.5 else int(rng.integers(SHORTEST, corpus.longest + 1))
        windows.append(_draw_window(corpus, min(length, left - 2), rng))
        left -= len(windows[-1].ids) + 2
    # long ones first: attention runs on neighbours of one length together
    windows.sort(key=lambda window: len(window.ids), reverse=True)
    return mask_windows(windows, masking.at(corpus.policy, i / corpus.batches), corpus.k, rng)


def of_fixed_shape(item: MaskedBatch, corpus: Corpus) -> MaskedBatch:
    """Fill a batch up so that nearly all of a corpus have tensors of the same shapes, which compiled code needs.

    Parameters
    ----------
    item : MaskedBatch
    corpus : Corpus
        Where it comes from.

    Returns
    -------
    MaskedBatch
        The same sequences, masks, labels and sources. Behind them `[PAD]` tokens, a sequence of their own, up to the
        corpus's budget; empty sequences up to the next power of two; rows up to the next 32nd of the budget. Labels and
        sources of what is added are `UNLABELLED`, which losses pass over.
    """
    batch = item.batch
    tokens, rows = len(batch.input_ids), len(item.rows)
    missing = corpus.batch_tokens - tokens
    step = max(corpus.batch_tokens // 32, 1)
    more = -rows % step
    bounds = torch.full(((1 << batch.sequences.bit_length()) + 1,), corpus.batch_tokens, dtype=torch.int32)
    bounds[: batch.sequences + 1] = batch.cu_seqlens
    filled = PackedBatch(
        F.pad(batch.input_ids, (0, missing), value=PAD),
        torch.cat([batch.position_ids, torch.arange(missing)]),
        bounds,
        corpus.longest + 2,
    )
    return MaskedBatch(
        filled,
        F.pad(item.rows, (0, more)),
        F.pad(item.labels, (0, more), value=UNLABELLED),
        item.probes,
        F.pad(item.sources, (0, filled.sequences - batch.sequences), value=UNLABELLED),
    )


def mask_windows(
    windows: Sequence[Window], policy: MaskPolicy, k: int, rng: np.random.Generator, replace: bool = True
) -> MaskedBatch:
    """Pack windows and mask tokens in them.

    Parameters
    ----------
    windows : sequence of Window
    policy : MaskPolicy
    k : int
        Bases per token.
    rng : np.random.Generator
    replace : bool
        Replace 80 % by `[MASK]`, 10 % by a random k-mer and keep 10 %, as in training; False puts `[MASK]` everywhere,
        as in evaluation, where a kept token would give its hidden base away.

    Returns
    -------
    MaskedBatch
    """
    clean = pack([window.ids for window in windows])
    input_ids = clean.input_ids.numpy().copy()
    rows, probes, labels = [], [], []
    count = 0
    for (ids, _), start in zip(windows, clean.cu_seqlens[:-1].tolist(), strict=True):
        runs = draw_runs(policy, ids, k, rng)
        tokens = masked_tokens(runs)
        stand_ins = replacements(policy, runs, ids[tokens], k, rng) if replace else np.full(len(tokens), MASK)
        input_ids[start + 1 + tokens] = stand_ins
        probes.append(count + _probes(len(ids), tokens, stand_ins == MASK, k))
        rows.append(start + 1 + tokens)
        labels.append(ids[tokens])
        count += len(tokens)
    sources = [np.array([window.source for window in windows])]
    return MaskedBatch(
        clean._replace(input_ids=torch.from_numpy(input_ids)),
        *(torch.from_numpy(np.concatenate(parts).astype(np.int64)) for parts in (rows, labels, probes, sources)),
    )


def _probes(length: int, tokens: np.ndarray, covered: np.ndarray, k: int) -> np.ndarray:
    """Find the entries of `tokens` that stand for a hidden base: those that have it at their middle offset."""
    masked = np.zeros(length, dtype=bool)
    masked[tokens[covered]] = True
    (bases,) = np.nonzero(hidden_bases(masked, k))
    return np.searchsorted(tokens, bases - middle_offset(k))


def _draw_window(corpus: Corpus, kmers: int, rng: np.random.Generator) -> Window:
    bases = kmers + corpus.k - 1
    for _ in range(1000):
        drawn = int(np.searchsorted(corpus.bounds, rng.random(), side="right"))
        source, first, end = (int(column[drawn]) for column in corpus.regions)
        start = first + int(rng.integers(max(end - first - bases, 0) + 1))
        codes = corpus.sources[source].codes[start : min(start + bases, end)]
        if fraction_unknown(codes) <= MOSTLY_UNKNOWN:
            strand = reverse_complement(codes) if rng.random() < 0.5 else np.asarray(codes)
            return Window(encode(strand, corpus.k), source)
    raise InputError(
        f"{corpus.sources[0].path}: 1,000 windows of {bases} bases in a row were mostly N; "
        "give a genome with more known bases"
    )


class HeldOut(NamedTuple):
    """Windows kept from training, in their order, strands alternating."""

    windows: tuple[Window, ...]
    k: int
    policy: MaskPolicy
    seed: int
    batch_tokens: int


def evaluation_batches(held_out: HeldOut) -> list[MaskedBatch]:
    """Pack and mask held-out windows; the same windows and masks every time, `[MASK]` on every masked token.

    The share of masked tokens is the same for every policy, so that their figures compare.

    Parameters
    ----------
    held_out : HeldOut

    Returns
    -------
    list of MaskedBatch
    """
    size = max(1, held_out.batch_tokens // max(len(window.ids) + 2 for window in held_out.windows))
    policy = masking.at(held_out.policy, 1.0)._replace(rate=masking.RATE)
    batches = []
    for first in range(0, len(held_out.windows), size):
        rng = np.random.Generator(np.random.Philox(key=np.array([held_out.seed, first], dtype=np.uint64)))
        part = held_out.windows[first : first + size]
        batches.append(mask_windows(part, policy, held_out.k, rng, replace=False))
    return batches
