"""New models: their sizes and where their weights start."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import transformers
from transformers.models.bert.modeling_bert import BertSelfAttention

from dnabert.errors import InputError
from dnabert.model.attention import PACKED_ATTENTION
from dnabert.model.heads import HEADS
from dnabert.sequence.kmers import FIRST_KMER, vocabulary_size

POSITIONS = 512
"""Tokens of the longest sequence, `[CLS]` and `[SEP]` included."""


class Preset(NamedTuple):
    """Layers, hidden size and attention heads of a model."""

    layers: int
    hidden: int
    heads: int


PRESETS = {
    "base": Preset(12, 768, 12),  # the paper's
    "small": Preset(6, 512, 8),
    "mini": Preset(4, 256, 4),
}


def preset(name: str) -> Preset:
    """Return the preset of a name, or raise InputError that lists the names."""
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"--preset {name}: there is no such preset; give one of {', '.join(PRESETS)}") from None


def configuration(size: Preset, k: int, **changes: object) -> transformers.BertConfig:
    """Write the configuration of a model over k-mers.

    Parameters
    ----------
    size : Preset
    k : int
        Bases per token.
    **changes
        Any entry of `transformers.BertConfig`, to override.

    Returns
    -------
    transformers.BertConfig
    """
    entries: dict[str, object] = {
        "vocab_size": vocabulary_size(k),
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.hidden,
        "max_position_embeddings": POSITIONS,
        # dropout costs memory and, in attention, the fast kernels; a genome is never seen often enough to overfit
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return transformers.BertConfig(**(entries | changes))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw new weights, which start on the CPU, from a seed within the block; the user's own draws go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would set those of GPUs too
        yield


def new_model(config: transformers.BertConfig, task: str, k: int, seed: int) -> transformers.BertPreTrainedModel:
    """Make a model with random weights that start where the structure is.

    A plain random start hides three facts from the model, and it spends thousands of steps on the plateau of k-mer
    frequencies finding them: neighbouring k-mers share k - 1 bases, positions are ordered, and what a masked k-mer
    overlaps stands a few positions away. So k-mer embeddings start as sums over (offset, base), positions as sinusoids,
    and attention heads looking a few positions to the left and right. All of it stays learned; no format changes.

    Parameters
    ----------
    config : transformers.BertConfig
    task : str
        One of `heads.HEADS`.
    k : int
        Bases per token.
    seed : int
        The same seed gives the same weights.

    Returns
    -------
    transformers.BertPreTrainedModel
    """
    with seeded(seed), torch.no_grad():
        model = HEADS[task].model._from_config(config, attn_implementation=PACKED_ATTENTION)
        embeddings = model.bert.embeddings
        # twice the usual scale: what a k-mer is made of stands out from the first step
        size, std = config.hidden_size, 2 * config.initializer_range
        embeddings.word_embeddings.weight[FIRST_KMER:] = additive_kmers(k, size, std)
        embeddings.position_embeddings.weight.copy_(sinusoids(config.max_position_embeddings, size) * std)
        for layer in model.bert.encoder.layer:
            _look_around(layer.attention.self, k)
    return model


def _look_around(attention: BertSelfAttention, k: int) -> None:
    """Add to the query and key weights of a layer what makes its heads look 1/2, 2/2, 3/2, ... of a k-mer away.

    Half of the heads look to the left, half to the right. Sines and cosines of one frequency are a point on a circle;
    the query turns it by the offset, so that query and key agree most where the key stands that far away (positions of
    Vaswani et al. 2017 make this a linear map).
    """
    heads, size = attention.num_attention_heads, attention.attention_head_size
    frequencies = _frequencies(attention.query.in_features)
    # the fastest quarter of the frequencies (3 to 0.3 radians a position) tells near neighbours apart
    chosen = np.linspace(0, len(frequencies) // 4 - 1, size // 2).round().astype(int)
    # after the layer norm a third of the variance is the positions': 2 / 3 for each sine and cosine together; the score
    # is the sum of size / 2 of these by the root of the size
    scale = (3 * FAVOUR / size**0.5) ** 0.5
    for head in range(heads):
        offset = math.ceil((head // 2 + 1) * k / 2) * (-1 if head % 2 == 0 else 1)
        for pair, frequency in enumerate(chosen.tolist()):
            angle = float(offset * frequencies[frequency])
            sine, cosine = head * size + 2 * pair, head * size + 2 * pair + 1  # rows of this head
            turn = torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            columns = slice(2 * frequency, 2 * frequency + 2)
            attention.query.weight[sine : cosine + 1, columns] += scale * turn
            attention.key.weight[sine : cosine + 1, columns] += scale * torch.eye(2)


FAVOUR = 4.0
"""Score, before the softmax, of the token that a head looks at when training starts; others have about 0. In 100 tokens
a fifth of the attention goes there. At 26 all of it does: the softmax passes next to no gradient back, and the heads
keep looking there (benchmarks/results/pretrain-recipes.md)."""


def additive_kmers(k: int, size: int, std: float) -> torch.Tensor:
    """Draw k-mer embeddings as sums of one random vector per (offset, base).

    Neighbouring k-mers share k - 1 bases; with this start what they share is linear from the first step. The vectors
    are orthogonal (where there is room), so that what is known of one offset adds no noise to another.

    Parameters
    ----------
    k : int
        Bases per token.
    size : int
        Length of a vector.
    std : float
        Root mean square of the entries of a sum.

    Returns
    -------
    torch.Tensor, float32, shape (4**k, size)
    """
    parts = torch.nn.init.orthogonal_(torch.empty(4 * k, size)).view(k, 4, size) * std * (size / k) ** 0.5
    kmers = torch.arange(4**k)
    return sum((parts[i][(kmers >> (2 * (k - 1 - i))) & 3] for i in range(k)), torch.zeros(4**k, size))


def sinusoids(positions: int, size: int) -> torch.Tensor:
    """Compute position vectors of sines and cosines (Vaswani et al. 2017, section 3.5), entries -1 to 1.

    The frequencies run from 3 radians a position downwards, not from 1: DNA's neighbours matter one by one.

    Returns
    -------
    torch.Tensor, float32, shape (positions, size)
        Sines in the even columns, cosines in the odd ones.
    """
    angles = np.arange(positions)[:, None] * _frequencies(size)  # (positions, size / 2)
    vectors = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(positions, size)
    return torch.from_numpy(vectors.astype(np.float32))


def _frequencies(size: int) -> np.ndarray:
    return 3.0 * 10000.0 ** (-np.arange(0, size, 2) / size)
