"""Model directories in both directions."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import dnabert
from dnabert.errors import InputError
from dnabert.model import checkpoint, presets
from dnabert.model.packing import pack
from dnabert.sequence.alphabet import encode_bases
from dnabert.sequence.kmers import encode
from tests.conftest import tiny_model

SEQUENCE = "ACGTTGCAACGGATCGATTTACG"


def our_logits(folder: Path) -> torch.Tensor:
    loaded = checkpoint.load(folder)
    batch = pack([encode(encode_bases(SEQUENCE), loaded.k)])
    with torch.no_grad():
        if loaded.task == "masked-lm":
            logits: torch.Tensor = loaded.model.eval()(*batch, rows=torch.arange(len(batch.input_ids))).logits
            return logits
        classified: torch.Tensor = loaded.model.eval()(*batch).logits
    return classified


def test_transformers_loads_what_we_save(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    model, report = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(SEQUENCE, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(our_logits(folder), model.eval()(**inputs).logits[0], atol=1e-5, rtol=0)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert "attn_implementation" not in json.dumps(config)


@pytest.mark.parametrize("kind", [transformers.BertForMaskedLM, transformers.BertForSequenceClassification])
def test_we_load_what_transformers_saves(kind: type[transformers.BertPreTrainedModel], tmp_path: Path) -> None:
    config = presets.configuration(presets.Preset(2, 32, 4), 3, num_labels=3)
    theirs = kind(config).eval()
    theirs.save_pretrained(tmp_path)
    ids = torch.tensor([[2, *encode(encode_bases(SEQUENCE), 3).tolist(), 3]])
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(our_logits(tmp_path), expected[0] if expected.ndim == 3 else expected, atol=1e-5, rtol=0)
    assert checkpoint.load(tmp_path).k == 3


def test_a_saved_directory_loads_again_and_records_how_it_was_made(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "one", "classification", labels=("no", "yes"))
    loaded = checkpoint.load(folder)
    assert (loaded.task, loaded.k, loaded.stride, loaded.labels) == ("classification", 4, 1, ("no", "yes"))
    checkpoint.save(loaded, tmp_path / "two", {"seed": 5})
    torch.testing.assert_close(our_logits(tmp_path / "two"), our_logits(folder))
    record = json.loads((tmp_path / "two" / "dnabert.json").read_text())
    assert (record["task"], record["k"], record["labels"], record["seed"]) == ("classification", 4, ["no", "yes"], 5)
    assert set(record["versions"]) == {"dnabert", "torch", "transformers"}


def test_a_new_head_is_seeded_and_the_encoder_kept(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    first, again, other = (
        checkpoint.load(folder, "classification", ("a", "b", "c"), seed=seed).model for seed in (1, 1, 2)
    )
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    encoder = checkpoint.load(folder).model.bert
    assert torch.equal(first.bert.embeddings.word_embeddings.weight, encoder.embeddings.word_embeddings.weight)


@pytest.mark.parametrize(("task", "long"), [("classification", None), ("regression", "lstm"), ("per-base", None)])
def test_a_new_head_is_new_where_there_is_one_of_its_shape(task: str, long: str | None, tmp_path: Path) -> None:
    entries = {"long": long, "features": "mean", "window": 20, "window_step": 10} if long else {"features": "mean"}
    folder = tiny_model(tmp_path, task, labels=("a", "b"), **entries)
    own = checkpoint.load(folder).model
    anew = [checkpoint.load(folder, task, ("c", "d"), seed=seed, **entries).model for seed in (1, 1, 2)]
    weights = [dict(model.named_parameters()) for model in (own, *anew)]
    for name in weights[0]:
        kept, first, again, other = (one[name] for one in weights)
        assert torch.equal(first, again)
        if name.startswith("bert."):
            assert torch.equal(first, kept)
        elif first.any():  # biases start at 0
            assert not torch.equal(first, kept)
            assert not torch.equal(first, other)
    assert not any(part.training for part in anew[0].modules())


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def test_a_directory_without_all_of_its_weights_is_refused(tmp_path: Path) -> None:
    pre_trained = tiny_model(tmp_path / "whole")
    changes = {
        "lacks": lambda all_: {name: one for name, one in all_.items() if "layer.1." not in name},
        "renamed": lambda all_: {f"model.{name}": one for name, one in all_.items()},
        "cut": lambda all_: all_ | {"bert.embeddings.word_embeddings.weight": torch.zeros(70, 32)},
    }
    for name, change in changes.items():
        folder = tmp_path / name
        shutil.copytree(pre_trained, folder)
        change_weights(folder, change)
        for task in ((), ("classification", ("a", "b"))):
            with pytest.raises(InputError, match=r"of the encoder's tensors are not there|weights do not load"):
                checkpoint.load(folder, *task)


def test_an_encoder_alone_gives_embeddings_and_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, bare = tiny_model(tmp_path / "whole"), tmp_path / "bare"
    shutil.copytree(whole, bare)
    change_weights(
        bare, lambda all_: {name[5:]: one for name, one in all_.items() if name.startswith("bert.")}
    )  # as transformers' BertModel writes it
    one, other = (dnabert.load(folder, precision="float32").embed([SEQUENCE]) for folder in (whole, bare))
    np.testing.assert_array_equal(one, other)
    assert "bare has no head" in capsys.readouterr().err
    checkpoint.load(bare, "classification", ("a", "b"))
    assert not capsys.readouterr().err


def test_loading_leaves_the_users_random_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model(tmp_path)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("a GPU was seeded"))
    before = torch.get_rng_state()
    checkpoint.load(folder, "classification", ("a", "b"), seed=4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.real_data
def test_the_originals_configuration_loads(real_data: Path, tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(real_data / "dnabert_original/config/bert-config-3" / name, tmp_path / name)
    config = json.loads((tmp_path / "config.json").read_text())
    small = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config | small))
    model = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(tmp_path))
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")  # the original's kind of weights
    loaded = checkpoint.load(tmp_path)
    assert (loaded.task, loaded.k, loaded.longest) == ("masked-lm", 3, 510)
    assert torch.equal(loaded.model.cls.predictions.bias, model.cls.predictions.bias)


def test_a_vocabulary_that_fits_no_k_is_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    record = json.loads((tmp_path / "dnabert.json").read_text())
    (tmp_path / "dnabert.json").write_text(json.dumps(record | {"k": 6}))
    with pytest.raises(InputError, match=r"dnabert.json says k=6 \(4101 tokens\), but the vocabulary has 261 tokens"):
        checkpoint.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 30522}))
    with pytest.raises(InputError, match="30522 tokens, which fits no k-mer model"):
        checkpoint.load(tmp_path)


def test_what_is_no_model_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model directory"):
        checkpoint.load(tmp_path / "none")
    with pytest.raises(InputError, match=r"it has no config.json"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="a BERT model is required, this is 'gpt2'"):
        checkpoint.load(tmp_path)
    tiny_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="the weights do not load"):
        checkpoint.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="the weights do not load"):
        checkpoint.load(tmp_path)


def test_weights_kept_in_bfloat16_compute_like_any_others(tmp_path: Path) -> None:
    full = checkpoint.load(tiny_model(tmp_path / "full", "classification", labels=("a", "b")))
    half = full._replace(model=copy.deepcopy(full.model).to(torch.bfloat16))
    checkpoint.save(half, tmp_path / "half", {}, shard_bytes=100_000)
    assert len(list((tmp_path / "half").glob("model-*.safetensors"))) > 1
    loaded = checkpoint.load(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    sequences = ["ACGTTGCA" * 5, "GATTACA" * 3]
    expected = dnabert.load(tmp_path / "full", precision="float32").predict(sequences).logits
    np.testing.assert_allclose(
        dnabert.load(tmp_path / "half", precision="float32").predict(sequences).logits, expected, atol=0.1
    )
