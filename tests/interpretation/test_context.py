"""Attention between positions, beside transformers' own maps."""

from pathlib import Path

import numpy as np
import pytest

from dnabert import InputError
from dnabert.inference import engine
from dnabert.inference.engine import Engine
from dnabert.interpretation.context import attention_map, context
from tests.conftest import random_dna, tiny_model
from tests.inference.test_attention import K, their_maps

BASES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), "classification", labels=("0", "1"))


@pytest.fixture(scope="module")
def started(folder: Path) -> Engine:
    return engine.start(folder, precision="float32")


def plain_map(folder: Path, sequence: str, layers: slice, heads: slice) -> np.ndarray:
    """Average the summed attention over the tokens that cover each pair of bases, pair after pair."""
    weights = their_maps(folder, sequence).numpy()[layers, heads].sum(axis=(0, 1))[1:-1, 1:-1]
    covering = [[i for i in range(len(weights)) if i <= base < i + K] for base in range(len(sequence))]
    return np.array([[weights[np.ix_(one, other)].mean() for other in covering] for one in covering])


def test_the_map_is_transformers_attention(folder: Path, started: Engine, rng: np.random.Generator) -> None:
    sequences = [random_dna(9, rng), random_dna(BASES, rng)]
    weights = attention_map(started, sequences, 1)
    np.testing.assert_allclose(weights, plain_map(folder, sequences[1], slice(-1, None), slice(None)), atol=2e-6)
    some = attention_map(started, sequences, 1, layers=(0, 1), heads=(1, 2))
    np.testing.assert_allclose(some, plain_map(folder, sequences[1], slice(None), slice(1, 3)), atol=2e-6)


@pytest.mark.parametrize("position", [0, 7, BASES - 1, -2])
def test_context_is_a_column_of_every_map(started: Engine, rng: np.random.Generator, position: int) -> None:
    sequences = [random_dna(BASES, rng) for _ in range(5)]
    scores = context(started, sequences, position)
    assert scores.shape == (5, BASES)
    for row in range(5):
        np.testing.assert_allclose(scores[row], attention_map(started, sequences, row)[:, position], atol=2e-6)
    np.testing.assert_allclose(context(started, sequences, position, batch_tokens=1), scores, atol=2e-6)


def test_what_context_cannot_do(started: Engine, rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match=r"number 2: the sequence has 9 bases, the first has 20; context is averaged"):
        context(started, [random_dna(20, rng), random_dna(9, rng)], 3)
    with pytest.raises(InputError, match=r"--position 20: there is no such base in sequences of 20 bases"):
        context(started, [random_dna(20, rng)], 20)
    with pytest.raises(InputError, match=r"--row 1: there are 1 sequences, 0 to 0"):
        attention_map(started, [random_dna(20, rng)], 1)
