"""What a masked language model says about hidden bases.

Token losses of different k and policies cannot be compared; the loss per hidden base can. It is the negative log of the
marginal that the masked token with the hidden base at its middle offset gives to the true base, in nats: the sum of the
probabilities of the k-mers that carry this base there.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from dnabert.model.device import computing
from dnabert.model.marginals import base_log_probabilities
from dnabert.sequence.kmers import FIRST_KMER, middle_offset
from dnabert.training.corpus import MaskedBatch


class HiddenBases(NamedTuple):
    """How many hidden bases, and sums over them, float64, shape (3,): loss (nats), its square, guesses that are right.

    The sums stay on the device: reading them would make it wait at every step.
    """

    bases: int
    sums: torch.Tensor


def score_hidden(logits: torch.Tensor, labels: torch.Tensor, k: int) -> HiddenBases:
    """Score the guesses at hidden bases.

    Parameters
    ----------
    logits : torch.Tensor, shape (hidden bases, 4**k + 5)
        Of the tokens that have the base at their middle offset.
    labels : torch.Tensor, int64, shape (hidden bases,)
        The true ids of these tokens.
    k : int
        Bases per token.

    Returns
    -------
    HiddenBases
    """
    log_probabilities = base_log_probabilities(logits, k)
    bases = ((labels - FIRST_KMER) >> (2 * (k - 1 - middle_offset(k)))) & 3
    losses = -log_probabilities.gather(1, bases[:, None])[:, 0].double()
    right = (log_probabilities.argmax(dim=1) == bases).double()
    return HiddenBases(len(losses), torch.stack([losses, losses**2, right]).sum(dim=1))


def evaluate(
    model: torch.nn.Module, batches: Iterable[MaskedBatch], k: int, device: torch.device, precision: torch.dtype
) -> dict[str, float]:
    """Measure a masked language model on held-out batches.

    Parameters
    ----------
    model : torch.nn.Module
        A `PackedBertForMaskedLM`.
    batches : iterable of MaskedBatch
    k : int
        Bases per token.
    device : torch.device
    precision : torch.dtype

    Returns
    -------
    dict
        `token_loss` and `base_loss` (nats), `base_loss_se` (its standard error over bases), `base_accuracy`,
        `hidden_bases` (how many), and of a model that tells sources apart `source_accuracy`, the share of the windows
        whose source is guessed right.
    """
    tokens, token_loss = 0, 0.0
    parts = []
    told: list[torch.Tensor] = []
    with torch.inference_mode(), computing(device, precision):
        for item in batches:
            labels = item.labels.to(device)
            sources = item.sources.to(device)
            output = model(*item.batch.to(device), rows=item.rows.to(device), sources=sources)
            if output.source_logits is not None:
                told.append(told_apart(output.source_logits, sources))
            logits = output.logits.float()
            token_loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            tokens += len(labels)
            probes = item.probes.to(device)
            parts.append(score_hidden(logits[probes], labels[probes], k))
    return {"token_loss": token_loss / max(tokens, 1)} | summarise(parts, told)


def told_apart(logits: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Count the sequences whose source is guessed right, and all that have one: int64, shape (2,)."""
    known = sources >= 0
    return torch.stack([((logits.argmax(dim=1) == sources) & known).sum(), known.sum()])


def summarise(parts: Sequence[HiddenBases], told: Sequence[torch.Tensor] = ()) -> dict[str, float]:
    """Turn sums over hidden bases into means, NaN where there were none, and counts of `told_apart` into a share."""
    right, known = torch.stack(list(told)).sum(dim=0).tolist() if told else (0, 0)
    apart = {"source_accuracy": right / known} if known else {}
    count = sum(part.bases for part in parts)
    if not count:
        return {"base_loss": math.nan, "base_loss_se": math.nan, "base_accuracy": math.nan, "hidden_bases": 0} | apart
    mean, square, right = (torch.stack([part.sums for part in parts]).sum(dim=0) / count).tolist()
    variance = max(square - mean**2, 0.0)
    return {
        "base_loss": mean,
        "base_loss_se": math.sqrt(variance / count),
        "base_accuracy": right,
        "hidden_bases": count,
    } | apart
