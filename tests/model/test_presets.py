"""Where new models start."""

import pytest
import torch

from dnabert.errors import InputError
from dnabert.model import presets
from dnabert.model.packing import pack
from dnabert.sequence.alphabet import encode_bases
from dnabert.sequence.kmers import encode, vocabulary


@pytest.mark.parametrize(("name", "shape"), [("base", (12, 768, 12)), ("small", (6, 512, 8)), ("mini", (4, 256, 4))])
def test_presets_have_the_stated_shape(name: str, shape: tuple[int, int, int]) -> None:
    config = presets.configuration(presets.preset(name), 6)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == shape
    assert (config.intermediate_size, config.vocab_size, config.max_position_embeddings) == (4 * shape[1], 4101, 512)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match="give one of base, small, mini"):
        presets.preset("large")


def test_kmer_embeddings_are_sums_over_offsets() -> None:
    kmers = presets.additive_kmers(3, 16, 0.02)
    names = vocabulary(3)[5:]

    def of(name: str) -> torch.Tensor:
        return kmers[names.index(name)]

    # changing one base changes the vector alike, whatever the other bases are
    torch.testing.assert_close(of("ACG") - of("ATG"), of("CCT") - of("CTT"))
    assert kmers.std().item() == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize(("k", "offsets"), [(6, (-3, 3, -6, 6)), (3, (-2, 2, -3, 3))])
def test_heads_start_looking_around_and_can_look_elsewhere(k: int, offsets: tuple[int, ...]) -> None:
    model = presets.new_model(presets.configuration(presets.preset("mini"), k), "masked-lm", k, seed=0)
    batch = pack([encode(encode_bases("ACGTTGCATTCGGATCCATAGCTTGACCATGACTTACG" * 3), k)])
    layer = model.bert.encoder.layer[0].attention.self
    hidden = model.bert.embeddings(batch.input_ids[None], position_ids=batch.position_ids[None])
    with torch.no_grad():
        query, key = (part(hidden)[0].view(-1, 4, 64).transpose(0, 1) for part in (layer.query, layer.key))
        scores = query @ key.transpose(1, 2) / 64**0.5  # (heads, tokens, tokens)
    for head, offset in enumerate(offsets):
        chosen = scores[head].diagonal(offset)
        others = scores[head].mean()
        assert (chosen - others).mean().item() == pytest.approx(presets.FAVOUR, rel=0.2)
        # the softmax is not saturated: its gradient moves the head
        share = scores[head].softmax(dim=-1).diagonal(offset)
        assert 0.05 < share.mean() < 0.5
        assert share.mean() > 5 / scores.shape[-1]  # five times an even share


def test_the_same_seed_gives_the_same_weights() -> None:
    config = presets.configuration(presets.Preset(1, 32, 2), 3)
    first, again, other = (presets.new_model(config, "masked-lm", 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["bert.embeddings.word_embeddings.weight"], other["bert.embeddings.word_embeddings.weight"]
    )
