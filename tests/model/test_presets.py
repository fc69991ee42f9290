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


def test_heads_start_looking_at_their_neighbours() -> None:
    model = presets.new_model(presets.configuration(presets.preset("mini"), 6), "masked-lm", 6, seed=0)
    batch = pack([encode(encode_bases("ACGTTGCATTCGGATCCATAGCTTGACCATGACTTACG" * 4), 6)])
    layer = model.bert.encoder.layer[0].attention.self
    hidden = model.bert.embeddings(batch.input_ids[None], position_ids=batch.position_ids[None])
    with torch.no_grad():
        query, key = (part(hidden)[0].view(-1, 4, 64).transpose(0, 1) for part in (layer.query, layer.key))
        favourite = (query @ key.transpose(1, 2)).argmax(dim=-1)  # (heads, tokens)
    positions = torch.arange(len(batch.input_ids))
    for head, offset in enumerate((-1, 1, -2, 2)):
        hit = favourite[head] == positions + offset
        assert hit[4:-4].float().mean() > 0.9


def test_the_same_seed_gives_the_same_weights() -> None:
    config = presets.configuration(presets.Preset(1, 32, 2), 3)
    first, again, other = (presets.new_model(config, "masked-lm", 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["bert.embeddings.word_embeddings.weight"], other["bert.embeddings.word_embeddings.weight"]
    )
