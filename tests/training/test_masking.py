"""Which bases the policies hide, counted with strings."""

import re

import numpy as np
import pytest

from dnabert.errors import InputError
from dnabert.sequence import kmers
from dnabert.training import masking
from dnabert.training.corpus import mask_windows
from dnabert.training.regions import Window


def visible_letters(ids: np.ndarray, k: int) -> str:
    """Spell a sequence from its visible tokens with strings alone."""
    names = kmers.vocabulary(k)
    letters = ["?"] * (len(ids) + k - 1)
    for position, token in enumerate(ids.tolist()):
        if token >= kmers.FIRST_KMER:
            letters[position : position + k] = names[token]
    return "".join(letters)


def hidden_runs(ids: np.ndarray, k: int) -> list[int]:
    """List the lengths of the stretches that no visible token spells."""
    return [len(stretch) for stretch in re.findall(r"\?+", visible_letters(ids, k))]


@pytest.mark.parametrize("k", [1, 3, 4, 5, 6, 8])
def test_dnabert_hides_exactly_one_base_a_run(k: int, rng: np.random.Generator) -> None:
    ids = kmers.encode(rng.integers(0, 4, 500).astype(np.uint8), k)
    for _ in range(20):
        runs = masking.draw_runs(masking.policy("dnabert"), ids, k, rng)
        assert set(runs.lengths.tolist()) <= {k}
        masked = ids.copy()
        masked[masking.masked_tokens(runs)] = kmers.MASK
        assert hidden_runs(masked, k) == [1] * len(runs.starts)


@pytest.mark.parametrize("k", [3, 6])
def test_span_hides_the_bases_it_draws(k: int, rng: np.random.Generator) -> None:
    ids = kmers.encode(rng.integers(0, 4, 500).astype(np.uint8), k)
    seen = set()
    for _ in range(50):
        runs = masking.draw_runs(masking.policy("span"), ids, k, rng)
        masked = ids.copy()
        masked[masking.masked_tokens(runs)] = kmers.MASK
        assert hidden_runs(masked, k) == (runs.lengths - k + 1).tolist()
        seen |= set((runs.lengths - k + 1).tolist())
    assert seen == set(range(1, 11))


def test_growing_hides_more_as_training_goes_on(rng: np.random.Generator) -> None:
    ids = kmers.encode(rng.integers(0, 4, 500).astype(np.uint8), 6)
    policy = masking.policy("growing")
    longest = []
    for progress in (0.0, 0.17, 0.34, 0.5, 0.7, 0.99, 1.0):
        now = masking.at(policy, progress)
        runs = [masking.draw_runs(now, ids, 6, rng).lengths - 5 for _ in range(60)]
        longest.append(int(np.concatenate(runs).max()))
    assert longest == [1, 2, 4, 6, 8, 10, 10]
    assert masking.at(masking.policy("span"), 0.3) is masking.policy("span")


@pytest.mark.parametrize(
    ("name", "progress", "rate"),
    [("dnabert", 0.0, 0.15), ("span", 0.0, 0.15), ("growing", 0.0, 0.4), ("growing", 1.0, 0.4)],
)
def test_a_share_of_the_tokens_is_masked(name: str, progress: float, rate: float, rng: np.random.Generator) -> None:
    ids = np.full(505, kmers.FIRST_KMER)
    policy = masking.at(masking.policy(name), progress)
    counts = [masking.draw_runs(policy, ids, 6, rng).lengths.sum() for _ in range(4000)]
    assert np.mean(counts) / 505 == pytest.approx(rate, abs=0.002)


def test_every_inner_token_is_masked_alike(rng: np.random.Generator) -> None:
    counts = np.zeros(60)
    for _ in range(20_000):
        counts[masking.masked_tokens(masking.draw_runs(masking.policy("dnabert"), np.full(60, 9), 3, rng))] += 1
    assert counts[0] == counts[-1] == 0  # a run at the edge would hide more than its base
    inner = counts[3:-3] / 20_000
    assert inner.std() / inner.mean() < 0.05


@pytest.mark.parametrize("name", ["dnabert", "span"])
def test_special_and_unknown_tokens_are_never_masked(name: str, rng: np.random.Generator) -> None:
    codes = rng.integers(0, 4, 400).astype(np.uint8)
    codes[rng.integers(0, 400, 10)] = 4
    ids = kmers.encode(codes, 6)
    for _ in range(50):
        item = mask_windows([Window(ids, 0), Window(ids[:40], 1)], masking.policy(name), 6, rng)
        truth = mask_windows([Window(ids, 0), Window(ids[:40], 1)], masking.policy(name), 6, rng).batch
        assert (item.labels >= kmers.FIRST_KMER).all()
        edges = [0, len(ids) + 1, len(ids) + 2, len(item.batch.input_ids) - 1]
        assert not set(edges) & set(item.rows.tolist())
        assert item.batch.input_ids[edges].tolist() == [kmers.CLS, kmers.SEP] * 2
        assert len(truth.input_ids) == len(item.batch.input_ids)


@pytest.mark.parametrize("name", ["dnabert", "span"])
def test_eighty_ten_ten(name: str, rng: np.random.Generator) -> None:
    ids = kmers.encode(rng.integers(0, 4, 500).astype(np.uint8), 6)
    masked = kept = total = 0
    for _ in range(1000):
        item = mask_windows([Window(ids, 0)], masking.policy(name), 6, rng)
        stand_ins = item.batch.input_ids[item.rows]
        masked += int((stand_ins == kmers.MASK).sum())
        kept += int((stand_ins == item.labels).sum())
        total += len(stand_ins)
    assert masked / total == pytest.approx(0.8, abs=0.015)
    assert kept / total == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("name", ["dnabert", "span"])
@pytest.mark.parametrize("k", [3, 4, 6])
def test_probes_are_the_tokens_with_a_hidden_base_in_the_middle(name: str, k: int, rng: np.random.Generator) -> None:
    ids = kmers.encode(rng.integers(0, 4, 300).astype(np.uint8), k)
    item = mask_windows([Window(ids, 0)], masking.policy(name), k, rng, replace=False)
    hidden = [i for i, letter in enumerate(visible_letters(item.batch.input_ids.numpy()[1:-1], k)) if letter == "?"]
    tokens = item.rows[item.probes] - 1  # without [CLS]
    assert (tokens + k // 2).tolist() == hidden
    assert item.labels[item.probes].tolist() == ids[tokens].tolist()


@pytest.mark.parametrize("length", [1, 2, 5, 7, 8])
def test_short_sequences_have_room_or_no_mask(length: int, rng: np.random.Generator) -> None:
    for _ in range(200):
        runs = masking.draw_runs(masking.policy("span")._replace(rate=0.9), np.full(length, 9), 6, rng)
        assert len(runs.starts) <= 1
        assert all(start > 0 for start in runs.starts)
        assert all(end < length for end in runs.starts + runs.lengths)


def test_hidden_bases_of_a_known_case() -> None:
    masked = np.array([False, True, True, True, False, True])
    assert masking.hidden_bases(masked, 3).tolist() == [False, False, False, True, False, False, False, True]


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="give one of dnabert, span"):
        masking.policy("bert")
