"""Attention of what the head reads: transformers' own weights, read without keeping them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from dnabert import InputError, load
from dnabert.inference import attention, engine
from dnabert.inference.loaded import LoadedModel
from dnabert.inference.prepared import prepare
from dnabert.sequence.alphabet import encode_bases
from dnabert.sequence.kmers import encode
from tests.conftest import random_dna, tiny_model

K = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), "classification", labels=("0", "1"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load(folder, precision="float32")


def their_maps(folder: Path, sequence: str) -> torch.Tensor:
    """Compute all attention with transformers, shape (layers, heads, tokens, tokens)."""
    theirs = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = [2, *encode(encode_bases(sequence), K).tolist(), 3]
    with torch.inference_mode():
        found = theirs(torch.tensor([ids]), output_attentions=True).attentions
    return torch.cat(found)


def plain_score(row: np.ndarray, bases: int) -> np.ndarray:
    """Turn attention to tokens into scores of bases, one base after the other."""
    scores = np.array(
        [np.mean([row[1 + i] for i in range(bases - K + 1) if i <= base < i + K]) for base in range(bases)]
    )
    return scores / np.sqrt((scores**2).sum())


@pytest.mark.parametrize(
    ("options", "layers", "heads"),
    [
        ({}, [1], [0, 1, 2, 3]),
        ({"layers": (0,)}, [0], [0, 1, 2, 3]),
        ({"layers": "all", "heads": "all"}, [0, 1], [0, 1, 2, 3]),
        ({"layers": (0, -1), "heads": (1, 3)}, [0, 1], [1, 3]),
        ({"layers": (1,), "heads": (0,)}, [1], [0]),
    ],
)
def test_scores_are_transformers_attention(
    folder: Path,
    model: LoadedModel,
    rng: np.random.Generator,
    options: dict[str, Any],
    layers: list[int],
    heads: list[int],
) -> None:
    sequences = [random_dna(length, rng) for length in (30, 4, 57, 30)]
    scores = model.attention(sequences, **options)
    assert scores.shape == (4, 57)
    for sequence, score in zip(sequences, scores, strict=True):
        maps = their_maps(folder, sequence).numpy()
        row = maps[layers][:, heads, 0].sum(axis=(0, 1))
        np.testing.assert_allclose(score[: len(sequence)], plain_score(row, len(sequence)), atol=2e-6)
        assert np.isnan(score[len(sequence) :]).all()


@pytest.mark.parametrize("rollout", [False, True])
def test_a_head_of_means_reads_the_mean_of_the_kmers(tmp_path: Path, rng: np.random.Generator, rollout: bool) -> None:
    folder = tiny_model(tmp_path / "model", "classification", labels=("0", "1"), features="mean")
    sequences = [random_dna(length, rng) for length in (30, 4, 57, 30)]
    scores = load(folder, precision="float32").attention(sequences, rollout=rollout)
    for sequence, score in zip(sequences, scores, strict=True):
        maps = their_maps(folder, sequence).numpy()
        paid = maps.sum(axis=(0, 1))
        if rollout:
            paid = np.eye(maps.shape[-1])
            for weights in maps:
                paid = (0.5 * weights.mean(axis=0) + 0.5 * np.eye(len(paid))) @ paid
        np.testing.assert_allclose(
            score[: len(sequence)], plain_score(paid[1:-1].mean(axis=0), len(sequence)), atol=2e-6
        )


@pytest.mark.parametrize("layer", [0, 1])
def test_rollout_follows_the_layers(folder: Path, model: LoadedModel, rng: np.random.Generator, layer: int) -> None:
    sequences = [random_dna(length, rng) for length in (25, 33)]
    scores = model.attention(sequences, layers=(layer,), rollout=True)
    for sequence, score in zip(sequences, scores, strict=True):
        path = np.eye(len(sequence) - K + 3)
        for weights in their_maps(folder, sequence).numpy()[: layer + 1]:
            path = (0.5 * weights.mean(axis=0) + 0.5 * np.eye(len(path))) @ path
        np.testing.assert_allclose(score[: len(sequence)], plain_score(path[0], len(sequence)), atol=2e-6)


@pytest.mark.parametrize("rollout", [False, True])
def test_scores_do_not_depend_on_batches_or_prepared_layers(
    model: LoadedModel, rng: np.random.Generator, rollout: bool
) -> None:
    sequences = [random_dna(length, rng) for length in (30, 12, 57, 30, 30)]
    scores = model.attention(sequences, rollout=rollout)
    np.testing.assert_allclose(np.nansum(scores**2, axis=1), 1, rtol=1e-5)
    layers = prepare(model.engine.checkpoint.model.bert, model.engine.precision)
    assert layers is not None, "torch here has oneDNN"
    for changed in (model.engine._replace(prepared=layers), model.engine._replace(prepared=None)):
        for budget in (1, 10_000):
            again = attention.attention(changed, sequences, rollout=rollout, batch_tokens=budget)
            np.testing.assert_allclose(again, scores, atol=2e-6)


def test_bfloat16_says_nearly_the_same(folder: Path, model: LoadedModel, rng: np.random.Generator) -> None:
    sequences = [random_dna(60, rng) for _ in range(5)]
    scores = load(folder, precision="bfloat16").attention(sequences)
    np.testing.assert_allclose(scores, model.attention(sequences), atol=0.02)


def test_scores_go_where_the_caller_says(model: LoadedModel, rng: np.random.Generator, tmp_path: Path) -> None:
    sequences = [random_dna(length, rng) for length in (30, 12)]
    out = np.lib.format.open_memmap(tmp_path / "scores.npy", mode="w+", dtype=np.float32, shape=(2, 30))
    attention.attention(model.engine, sequences, out=out)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), model.attention(sequences))


def test_a_pretrained_model_has_attention_too(tmp_path: Path, rng: np.random.Generator) -> None:
    started = engine.start(tiny_model(tmp_path / "pretrained"))
    assert attention.attention(started, [random_dna(20, rng)]).shape == (1, 20)


def test_layers_and_heads_that_there_are_not(model: LoadedModel) -> None:
    with pytest.raises(InputError, match="there is no layer 2: this model has 2, 0 to 1"):
        model.attention(["ACGTACGT"], layers=(2,))
    with pytest.raises(InputError, match="there is no head -5: this model has 4, 0 to 3"):
        model.attention(["ACGTACGT"], heads=(-5,))
    with pytest.raises(InputError, match="rollout follows attention up to one layer, 2 are given"):
        model.attention(["ACGTACGT"], layers=(0, 1), rollout=True)
