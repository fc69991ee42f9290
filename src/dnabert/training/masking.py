"""Which tokens the model must guess.

Hiding k consecutive overlapping k-mers hides one base: the neighbours spell the other 2k - 2. Bases are masked, not
tokens. So a policy states how many bases each run hides, and a run that hides m bases covers the m + k - 1 tokens that
touch them. Runs lie inside the sequence and never meet: at least one visible token stands before, between and after
them, so that a run hides exactly the bases it is meant to hide.
"""

from typing import NamedTuple

import numpy as np

from dnabert.errors import InputError
from dnabert.sequence.kmers import FIRST_KMER, MASK, UNK, vocabulary_size

RATE = 0.15
"""Share of the tokens that are masked (Ji et al. 2021, as BERT), in evaluation whatever the policy."""
HIGH_RATE = 0.4
"""What teaches more in as many steps (`benchmarks/results/pretrain-recipes.md`): 15 % of overlapping tokens hide as
few as 2.5 % of the bases. 40 % is what BERT learns best with (Wettig et al. 2023, arXiv 2202.08005)."""


class MaskPolicy(NamedTuple):
    """How much is masked, how many bases a run hides and what stands in for its tokens.

    Attributes
    ----------
    name : str
    rate : float
        Expected share of the tokens to mask.
    bases : np.ndarray, float, shape (longest,) or (stages, longest)
        Probability that a run hides 1, 2, ... bases; where it changes during training, in each of equally long stages.
    whole_runs : bool
        Whether the tokens of a run are replaced alike, or each by a draw of its own (the original's code).
    """

    name: str
    rate: float
    bases: np.ndarray
    whole_runs: bool


GROWING = (1, 2, 4, 6, 8, 10)
"""Bases that a run of `growing` hides at most, in each sixth of the training."""


def _uniform(longest: int, limit: int) -> np.ndarray:
    return np.where(np.arange(longest) < limit, 1 / limit, 0.0)


def _truncated_geometric(p: float, longest: int) -> np.ndarray:
    weights = p * (1 - p) ** np.arange(longest)
    return weights / weights.sum()


POLICIES = {
    # the paper: runs of k tokens
    "dnabert": MaskPolicy("dnabert", RATE, np.ones(1), whole_runs=True),
    # the lengths of SpanBERT (Joshi et al. 2020, doi 10.1162/tacl_a_00300), in bases: p = 0.2, at most 10, mean 3.8
    "span": MaskPolicy("span", RATE, _truncated_geometric(0.2, 10), whole_runs=True),
    # easy first: the longest run grows in stages (RandomMask, arXiv 2310.07644), lengths up to it equally likely
    "growing": MaskPolicy(
        "growing", HIGH_RATE, np.stack([_uniform(GROWING[-1], limit) for limit in GROWING]), whole_runs=True
    ),
    # the paper's code: each token by a draw of its own, so that in 47 % of the runs (k = 6) one that is kept spells the
    # hidden base; such models stay badly calibrated on bases that are hidden (benchmarks/results/pretrain-recipes.md)
    "original": MaskPolicy("original", RATE, np.ones(1), whole_runs=False),
}


def policy(name: str) -> MaskPolicy:
    """Return the masking policy of a name, or raise InputError that lists the names."""
    try:
        return POLICIES[name]
    except KeyError:
        raise InputError(f"--mask {name}: there is no such masking policy; give one of {', '.join(POLICIES)}") from None


def at(policy: MaskPolicy, progress: float) -> MaskPolicy:
    """Return the policy of a moment of training, `progress` from 0 (start) to 1 (end): one without stages."""
    if policy.bases.ndim == 1:
        return policy
    stages = len(policy.bases)
    return policy._replace(bases=policy.bases[min(int(progress * stages), stages - 1)])


class Runs(NamedTuple):
    """Masked runs of one sequence: first token and number of tokens of each, int64, shape (runs,)."""

    starts: np.ndarray
    lengths: np.ndarray


def draw_runs(policy: MaskPolicy, ids: np.ndarray, k: int, rng: np.random.Generator) -> Runs:
    """Choose the runs of tokens to mask in a sequence.

    Parameters
    ----------
    policy : MaskPolicy
        Without stages: `at` a moment of training.
    ids : np.ndarray, integer, shape (tokens,)
        The k-mer ids of the sequence (stride 1), without `[CLS]` and `[SEP]`.
    k : int
        Bases per token.
    rng : np.random.Generator

    Returns
    -------
    Runs
        Sorted, apart from each other, inside the sequence, and without `[UNK]`.
    """
    tokens = len(ids)
    budget = policy.rate * tokens
    bases = rng.choice(len(policy.bases), size=int(budget / k) + 2, p=policy.bases) + 1
    lengths = bases + k - 1
    totals = np.cumsum(lengths)
    # the run that crosses the budget is kept with the probability that makes the expected total equal the budget
    whole = int(np.searchsorted(totals, budget, side="right"))
    left = budget - (totals[whole - 1] if whole else 0)
    lengths = lengths[: whole + (rng.random() < left / lengths[whole])]
    while len(lengths) and tokens - lengths.sum() - 1 < len(lengths):
        lengths = lengths[:-1]
    visible = tokens - int(lengths.sum())
    # each run goes into another of the gaps between neighbouring visible tokens
    gaps = np.sort(rng.choice(max(visible - 1, 0), size=len(lengths), replace=False)) + 1
    starts = gaps + np.cumsum(lengths) - lengths
    unknown = np.concatenate([[0], np.cumsum(ids == UNK)])
    clean = unknown[starts + lengths] == unknown[starts]
    return Runs(starts[clean], lengths[clean])


def replacements(policy: MaskPolicy, runs: Runs, true_ids: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what stands in for masked tokens: `[MASK]` 80 %, a random k-mer 10 %, the token itself 10 %.

    Parameters
    ----------
    policy : MaskPolicy
        Says whether the draw is made for each token or for each run.
    runs : Runs
        The masked runs.
    true_ids : np.ndarray, integer, shape (masked tokens,)
        The ids under the runs, in order.
    k : int
        Bases per token.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, int64, shape (masked tokens,)
    """
    draws = rng.random(len(runs.lengths) if policy.whole_runs else len(true_ids))
    if policy.whole_runs:
        draws = np.repeat(draws, runs.lengths)
    random_ids = rng.integers(FIRST_KMER, vocabulary_size(k), size=len(true_ids))
    return np.where(draws < 0.8, MASK, np.where(draws < 0.9, random_ids, true_ids)).astype(np.int64)


def masked_tokens(runs: Runs) -> np.ndarray:
    """List the tokens under runs, int64, shape (masked tokens,), in order."""
    ends = np.cumsum(runs.lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(runs.starts - (ends - runs.lengths), runs.lengths)


def hidden_bases(masked: np.ndarray, k: int) -> np.ndarray:
    """Mark the bases that no visible token spells.

    Parameters
    ----------
    masked : np.ndarray, bool, shape (tokens,)
        True where the token is masked. Overlapping tokens (stride 1).
    k : int
        Bases per token.

    Returns
    -------
    np.ndarray, bool, shape (tokens + k - 1,)
        True where every token that touches the base is masked.
    """
    spelled = np.zeros(len(masked) + k - 1, dtype=bool)
    for offset in range(k):
        spelled[offset : offset + len(masked)] |= ~masked
    return ~spelled
