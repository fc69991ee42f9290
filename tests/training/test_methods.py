"""What of a model is kept, learned and read when it is fine-tuned, and how the run ends."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import dnabert
from dnabert.errors import InputError
from dnabert.model import checkpoint
from dnabert.model.heads import loss_of
from dnabert.sequence import tables
from dnabert.training import finetune as finetuning
from dnabert.training import fit, frozen, suite
from dnabert.training.evaluate import best_threshold
from dnabert.training.items import standardise
from dnabert.training.metrics import Truth
from tests.conftest import random_dna, tiny_model, write_bound, write_fasta, write_splits
from tests.training.test_tasks import TUNE, spliced

FROZEN: dict[str, Any] = {name: TUNE[name] for name in ("device", "precision")}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "pretrained", k=3)


def test_adapters_are_saved_merged_and_loaded(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    result = dnabert.finetune(
        data, model, tmp_path / "out", method="lora", rank=4, **TUNE | {"learning_rate": 1e-2, "epochs": 20}
    )
    assert result.test is not None
    assert result.test.metrics["mcc"].value > 0.4
    table = tables.read(data / "test.tsv")
    merged = dnabert.load(result.folder, precision="float32").predict(table).logits
    alone = dnabert.load(result.folder / "adapter", precision="float32").predict(table).logits
    np.testing.assert_allclose(merged, alone, atol=1e-5)
    size = (result.folder / "adapter/adapter_model.safetensors").stat().st_size
    assert size < 0.5 * (result.folder / "model.safetensors").stat().st_size
    # all layers are learned, none of the encoder's own weights moves without its adapter
    before, after = (checkpoint.load(path).model.bert.state_dict() for path in (model, result.folder))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "encoder.layer.0.attention.self.query.weight" in moved
    assert not any("embeddings" in name or "LayerNorm" in name or name.endswith("bias") for name in moved)
    transformers.BertForSequenceClassification.from_pretrained(result.folder)


@pytest.mark.parametrize("features", ["mean", "layers", "cls"])
def test_the_seed_decides_where_adapters_start(
    features: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = write_bound(tmp_path / "data", rng)
    logits = []
    for i, seed in enumerate((7, 7, 8)):
        torch.manual_seed(i)  # what ran before does not matter
        options = TUNE | {"epochs": 1, "features": features, "seed": seed}
        result = dnabert.finetune(data, model, tmp_path / f"out{i}", method="lora", **options)
        table = tables.read(data / "test.tsv")
        logits.append(dnabert.load(result.folder, precision="float32").predict(table).logits)
        alone = dnabert.load(result.folder / "adapter", precision="float32").predict(table).logits
        np.testing.assert_allclose(logits[i], alone, atol=1e-5)  # with the pooler that cls starts anew
    assert np.array_equal(logits[0], logits[1])
    assert not np.array_equal(logits[0], logits[2])


def test_adapters_need_the_weights_they_were_learned_on(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    quick = TUNE | {"epochs": 1}
    anew = dnabert.finetune(data, model, tmp_path / "anew", method="lora", from_scratch=True, **quick)
    assert not (anew.folder / "adapter").exists()
    made = dnabert.finetune(data, model, tmp_path / "made", method="lora", **quick)
    for long in (None, "mean"):
        with pytest.raises(InputError, match=f"adapters take no new head; name .* merged into, {made.folder}"):
            dnabert.finetune(data, made.folder / "adapter", tmp_path / "next", long=long, **quick)
    assert not (tmp_path / "next").exists()


def test_adapters_of_other_programs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="adapters of another program; merge them"):
        dnabert.load(tmp_path)


def test_adapters_of_numbers_keep_their_units(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(
        tmp_path / "data", "sequence\tlevel", lambda: f"{random_dna(30, rng)}\t{rng.normal(500, 5)}", rows=40
    )
    result = dnabert.finetune(data, model, tmp_path / "out", method="lora", label=["level"], **TUNE | {"epochs": 1})
    for folder in (result.folder, result.folder / "adapter"):
        predicted = dnabert.load(folder, precision="float32").predict(["ACGTACGTAC"]).outputs
        assert abs(predicted[0, 0] - 500) < 30


@pytest.mark.parametrize("strand", ["given", "both"])
def test_a_frozen_encoder_with_logistic_regression(
    strand: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = (
        write_bound(tmp_path / "data", rng)
        if strand == "given"
        else write_splits(
            tmp_path / "data",
            "sequence\ta\tb",
            lambda: f"{random_dna(40, rng)}\t{rng.integers(2)}\t0",
        )
    )
    label = () if strand == "given" else ("a", "b")
    result = dnabert.finetune(data, model, tmp_path / "out", method="frozen", strand=strand, label=label, **FROZEN)
    assert result.test is not None
    if strand == "given":
        assert result.test.metrics["mcc"].value > 0.7
    before, after = (checkpoint.load(path).model.bert.state_dict() for path in (model, result.folder))
    assert checkpoint.load(result.folder).model.config.features == "layers"
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = dnabert.evaluate(result.folder, data, precision="float32")
    main = "mcc" if strand == "given" else "accuracy"
    assert again.metrics[main] == result.test.metrics[main]


@pytest.mark.parametrize("better", ["full", "frozen"])
def test_with_few_rows_dev_chooses_what_is_learned(
    better: str, model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_bound(tmp_path / "data", rng)
    if better == "full":  # a head alone that has next to no weights
        monkeypatch.setattr(frozen, "STRENGTHS", (1e-9,))
    else:
        monkeypatch.setitem(finetuning.RATES, "full", 1e-9)
        monkeypatch.setattr(finetuning, "EPOCHS", (2, 2))
    chosen = dnabert.finetune(data, model, tmp_path / "auto", **FROZEN)
    alike = dnabert.finetune(data, model, tmp_path / better, method=better, **FROZEN)
    assert chosen.test is not None
    assert alike.test is not None
    assert chosen.test.metrics == alike.test.metrics
    config = checkpoint.load(chosen.folder).model.config
    assert config.features == ("layers" if better == "frozen" else "mean")
    assert checkpoint.read_record(chosen.folder)["settings"]["method"] == better
    entries = [json.loads(line) for line in (chosen.folder / "log.jsonl").read_text().splitlines()]
    assert any("strength" in entry for entry in entries)
    assert any("loss" in entry or "train_runtime" in entry for entry in entries)


def test_what_only_all_weights_can_follow_is_theirs(
    model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_bound(tmp_path / "data", rng)
    monkeypatch.setattr(frozen, "fit", None)  # nothing may call it
    monkeypatch.setattr(finetuning, "EPOCHS", (1, 1))
    options: list[dict[str, Any]] = [{"epochs": 1}, {"from_scratch": True}, {"keep": "kmers"}, {"features": "cls"}]
    options += [{"long": "mean", "window": 30}, {"dropout": 0.2}]
    for i, given in enumerate(options):
        result = dnabert.finetune(data, model, tmp_path / f"out{i}", **FROZEN, **given)
        assert json.loads((result.folder / "run.json").read_text())["method"] == "full"
    monkeypatch.setattr(finetuning, "FEW", 10)
    result = dnabert.finetune(data, model, tmp_path / "many", **FROZEN)
    assert json.loads((result.folder / "run.json").read_text())["method"] == "full"


def test_dev_chooses_for_numbers_too(
    model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row() -> str:
        sequence = random_dna(40, rng)
        return f"{sequence}\t{100 + 7 * sequence.count('G')}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    monkeypatch.setitem(finetuning.RATES, "full", 1e-9)
    result = dnabert.finetune(data, model, tmp_path / "out", task="regression", **FROZEN)
    assert checkpoint.read_record(result.folder)["settings"]["method"] == "frozen"
    assert result.test is not None
    assert result.test.metrics["pearson"].value > 0.7
    predicted = dnabert.load(result.folder, precision="float32").predict(tables.read(data / "test.tsv")).outputs
    assert 100 < predicted.mean() < 240  # in the units of the labels


def test_a_frozen_encoder_lets_classes_count_alike(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        rare = rng.random() < 0.1
        weights = [0.3, 0.2, 0.25, 0.25] if rare else [0.2, 0.3, 0.25, 0.25]
        return "".join(rng.choice(list("GCAT"), 40, p=weights)) + f"\t{'yes' if rare else 'no'}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    found = []
    for weighted in (False, True):
        result = dnabert.finetune(
            data, model, tmp_path / f"out{weighted}", method="frozen", class_weights=weighted, **FROZEN
        )
        assert result.test is not None
        assert result.test.confusion is not None
        found.append(int(result.test.confusion[:, 1].sum()))
    assert found[1] > found[0]  # the rare class is called more often


def test_a_frozen_encoder_cannot_label_bases(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlabel", lambda: "\t".join(spliced(rng)), rows=10)
    with pytest.raises(InputError, match="a class for each base needs the encoder to learn"):
        dnabert.finetune(data, model, tmp_path / "out", method="frozen", **FROZEN)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("features", ["mean", "layers", "cls"])
def test_the_head_reads_what_is_asked_for(features: str, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    result = dnabert.finetune(data, model, tmp_path / "out", features=features, **TUNE | {"epochs": 1})
    loaded = checkpoint.load(result.folder).model
    sequence = random_dna(40, rng)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.folder)
    theirs = transformers.BertModel.from_pretrained(result.folder).eval()
    with torch.no_grad():
        found = theirs(**tokenizer(sequence, return_tensors="pt"), output_hidden_states=True)
        means = [hidden[:, 1:-1].mean(dim=1) for hidden in found.hidden_states]  # of the embeddings and of each layer
        read = {"mean": means[-1], "layers": torch.cat(means, dim=1), "cls": found.pooler_output}[features]
        expected = loaded.classifier(read)
    got = dnabert.load(result.folder, precision="float32").predict([sequence]).logits
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    assert any("pooler" in name for name in loaded.state_dict()) == (features == "cls")


def test_what_the_head_cannot_read(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    for options, message in (
        ({"features": "max"}, "--features max: give one of mean, layers, cls"),
        ({"features": "cls", "method": "frozen"}, r"--method frozen reads means of the k-mers, not \[CLS\]"),
        ({"long": "lstm", "method": "frozen"}, "--method frozen pools windows by their mean"),
    ):
        with pytest.raises(InputError, match=message):
            dnabert.finetune(data, model, tmp_path / "out", **FROZEN | options)
        assert not (tmp_path / "out").exists()


def test_the_kmers_alone_are_kept(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    still = TUNE | {"epochs": 1, "learning_rate": 1e-12}
    found = {}
    for name, options in (("kmers", {"keep": "kmers"}), ("scratch", {"from_scratch": True}), ("all", {})):
        result = dnabert.finetune(data, model, tmp_path / name, method="lora", **options, **still)
        found[name] = checkpoint.load(result.folder).model.bert.state_dict()
        assert (result.folder / "adapter").exists() == (name == "all")
    for name, weights in found["kmers"].items():
        source = found["all" if name == "embeddings.word_embeddings.weight" else "scratch"]
        torch.testing.assert_close(weights, source[name], atol=1e-6, rtol=0)
    positions = "embeddings.position_embeddings.weight"
    assert not torch.equal(found["all"][positions], found["kmers"][positions])
    made = json.loads((tmp_path / "kmers/run.json").read_text())
    assert (made["keep"], made["from_scratch"]) == ("kmers", False)


def test_a_new_head_forgets_how_the_old_one_read(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    quick = TUNE | {"epochs": 1}
    dnabert.finetune(data, model, tmp_path / "long", long="concat", window=30, **quick)
    result = dnabert.finetune(data, tmp_path / "long", tmp_path / "whole", **quick)
    entries = json.loads((result.folder / "config.json").read_text())
    assert not {"long", "window", "window_step", "long_windows"} & set(entries)


def test_lower_layers_learn_slower(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlabel", lambda: f"{random_dna(30, rng)}\t{rng.integers(2)}")
    before = checkpoint.load(model).model.bert.state_dict()
    result = dnabert.finetune(data, model, tmp_path / "out", layer_decay=0.1, **TUNE | {"epochs": 1})
    after = checkpoint.load(result.folder).model.bert.state_dict()
    moved = [
        float((after[name] - before[name]).abs().mean())
        for name in ("encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight")
    ]
    assert moved[0] < 0.3 * moved[1]
    assert json.loads((result.folder / "run.json").read_text())["layer_decay"] == 0.1


def test_what_it_starts_from_is_not_overwritten(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)
    for out in (model, model.parent, data):
        for run in (dnabert.finetune, suite.benchmark):
            with pytest.raises(InputError, match="is in this folder; name another"):
                run(data, model, out, overwrite=True, **TUNE)
        with pytest.raises(InputError, match="is in this folder; name another"):
            dnabert.explain(model, data / "dev.tsv", out, overwrite=True)
        with pytest.raises(InputError, match="is in this folder; name another"):
            dnabert.find_motifs(model, data / "dev.tsv", out, overwrite=True)
        with pytest.raises(InputError, match="is in this folder; name another"):
            dnabert.pretrain([data / "dev.tsv"], out, model=model, steps=1, overwrite=True)
    assert (model / "model.safetensors").is_file()
    assert (data / "dev.tsv").is_file()


def test_a_run_killed_before_its_record_is_written_resumes(
    model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, options = write_bound(tmp_path / "data", rng), TUNE | {"epochs": 2}
    whole = dnabert.finetune(data, model, tmp_path / "whole", **options)

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", killed)
        with pytest.raises(SystemExit):
            dnabert.finetune(data, model, tmp_path / "out", **options)
    assert not (tmp_path / "out/dnabert.json").exists()
    assert list((tmp_path / "out").glob("checkpoint-*"))  # nothing is trained twice
    again = dnabert.finetune(data, model, tmp_path / "out", resume=True, **options)
    assert again.test is not None
    assert whole.test is not None
    assert again.test.metrics == whole.test.metrics
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_a_run_resumes_on_what_it_began_with(
    model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"a": random_dna(2000, rng)})
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for part, start in (("train", 0), ("dev", 800), ("test", 1400)):
        rows = (f"a\t{start + 10 * i}\t{start + 10 * i + 30}\t{i % 2}\n" for i in range(40))
        (data / f"{part}.tsv").write_text("chrom\tstart\tend\tlabel\n" + "".join(rows))
    options = TUNE | {"genome": genome}
    monkeypatch.setattr(finetuning, "_trained", lambda run, *_: (run, None))  # as if it was interrupted
    dnabert.finetune(data, model, out, **options)
    other = tiny_model(tmp_path / "other", k=3, seed=4)
    (model / "training_args.bin").write_text("")  # nothing that a model is read from
    dnabert.finetune(data, model, out, resume=True, **options)
    for path, content, said in (
        (data / "dev.tsv", None, f"{data}/dev.tsv: this file of the data is gone since the run in {out} began"),
        (data / "train.tsv", (data / "dev.tsv").read_bytes(), "train.tsv: this file of the data has changed"),
        (genome, genome.read_bytes().lower(), "g.fa: this file of the data has changed"),
        (model / "model.safetensors", (other / "model.safetensors").read_bytes(), "this file of the model has changed"),
        (model / "config.json", (model / "config.json").read_bytes() + b" ", "config.json: this file of the model has"),
    ):
        before = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(content)
        (data / "valid.tsv").write_bytes(before) if content is None else None  # else there is no dev set
        with pytest.raises(InputError, match=said):
            dnabert.finetune(data, model, out, resume=True, **options)
        (data / "valid.tsv").unlink(missing_ok=True)
        path.write_bytes(before)
    (data / "test.tsv").rename(tmp_path / "test.tsv")
    dnabert.finetune(data, model, out, overwrite=True, **options)
    (tmp_path / "test.tsv").rename(data / "test.tsv")
    with pytest.raises(InputError, match=r"test\.tsv: this file of the data is new"):
        dnabert.finetune(data, model, out, resume=True, **options)
    shutil.copytree(data, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"the settings it began with, but data was \['\S+data'\], is"):
        dnabert.finetune(tmp_path / "elsewhere", model, out, resume=True, **options)
    begun = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({name: begun[name] for name in begun if name != "content"}))
    dnabert.finetune(data, model, out, resume=True, **options)  # begun by an earlier version
    known = json.loads((out / "run.json").read_text())["content"]  # from here on it is known what it reads
    assert [Path(file["path"]).name for file in known["data"]] == ["train.tsv", "dev.tsv", "test.tsv", "g.fa"]


def test_a_run_resumes_from_another_folder(
    model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bound(tmp_path / "data", rng)
    monkeypatch.chdir(tmp_path)
    options = TUNE | {"baselines": ["kmers"]}
    dnabert.finetune("data", os.path.relpath(model), "out", **options)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    again = dnabert.finetune("../data", os.path.relpath(model), "../out", resume=True, **options)
    assert again.compared is not None
    with pytest.raises(InputError, match=r"but dropout was 0\.1, is 0\.2"):
        dnabert.finetune("../data", os.path.relpath(model), "../out", resume=True, **options, dropout=0.2)


def test_the_users_random_numbers_go_on(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def generators() -> bytes:
        return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()))  # noqa: NPY002

    data, genome = write_bound(tmp_path / "data", rng), write_fasta(tmp_path / "g.fa", {"a": random_dna(9000, rng)})
    before = generators()
    dnabert.finetune(data, model, tmp_path / "out", **TUNE)
    options: dict[str, Any] = {"steps": 1, "max_length": 50, "batch_tokens": 99, "device": "cpu"}
    dnabert.pretrain(str(genome), tmp_path / "further", model=model, **options)
    assert generators() == before


def test_bases_of_which_nothing_is_known_cost_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    loss = loss_of("per-base", logits, torch.full((4,), -1), None)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    labels, weights = torch.tensor([0, -1, 2, 1]), torch.tensor([1.0, 2.0, 0.5])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights, ignore_index=-1)
    assert loss_of("per-base", logits, labels, weights).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("size", "at_once", "parts"), [(32, 5, 8), (32, 32, 1), (31, 4, 31)])
def test_parts_of_a_batch_make_it_whole(size: int, at_once: int, parts: int) -> None:
    assert fit.parts_of_a_batch(size, at_once) == parts


def test_a_batch_that_divides_badly_is_warned_of(
    model: Path,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(fit.TOKENS_AT_ONCE, "cpu", 40 * 10)  # ten rows of 40 bases
    data = write_bound(tmp_path / "data", rng)
    for size, said in ((37, "--batch-size 37 divides into 37 parts of 1 alone; 40 would be faster"), (40, ""), (8, "")):
        dnabert.finetune(data, model, tmp_path / str(size), **TUNE | {"batch_size": size, "epochs": 1})
        warned = capsys.readouterr().err
        assert ("divides into" in warned) == bool(said)
        assert said in warned


def test_evaluation_reads_the_columns_of_the_model(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        sequence = random_dna(30, rng)
        return f"{sequence}\t{int(sequence.count('G') > 7)}\t{int(sequence.count('A') > 7)}\t1"

    data = write_splits(tmp_path / "data", "sequence\tx\ty\tz", row)
    result = dnabert.finetune(data, model, tmp_path / "out", label=["x", "y"], **TUNE | {"epochs": 1})
    for label in ((), ("x", "y"), ("y", "x")):
        found = dnabert.evaluate(result.folder, data, label=label, precision="float32")
        assert result.test is not None
        assert found.metrics == result.test.metrics
    for wrong in (["x"], ["x", "x"], ["x", "y", "z"]):
        with pytest.raises(InputError, match=r"2 different columns are required, what this model predicts \(x, y\)"):
            dnabert.evaluate(result.folder, data, label=wrong)
    one = data / "test.tsv"
    with pytest.raises(InputError, match=r"test.tsv: this is an input; name another --out"):
        dnabert.evaluate(result.folder, one, out=one)
    assert one.read_text().startswith("sequence\tx\ty\tz\n")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1e300, r"'big' goes up to 3e\+300 in size, .* 1e\+18 at most is required; divide all by one number"),
        (1e18, r"'big' goes up to 3e\+18 in size"),
        (1e-30, r"'big' spreads by 8.16e-31 alone, .* 1e-18 at least is required; multiply all by one number"),
        (1e-300, r"'big' spreads by 0 alone"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_numbers_that_float32_has_no_room_for_are_refused(factor: float, message: str) -> None:
    values = np.array([[1.0, 1.0], [2.0, -3.0], [3.0, -1.0]])
    assert standardise(Truth("regression", values, ("one", "big"))).mean.tolist() == [2, -1]
    with pytest.raises(InputError, match=message):
        standardise(Truth("regression", values[:, [0, 0]] * [1, factor], ("one", "big")))
    if factor > 1:
        with pytest.raises(InputError, match=message.replace("big", "y")):  # dev chooses the checkpoint
            finetuning._check_values(
                Truth("regression", values[:, :1], ("y",)), Truth("regression", values[:, :1] * factor, ("y",))
            )


@pytest.mark.parametrize(
    ("task", "names", "train", "dev", "said"),
    [
        ("classification", "ab", [0, 1, 1], [1, 1], "dev (2 rows) holds the class 'b' alone"),
        ("classification", "ab", [0, 1, 1], [1], "dev (1 rows) holds the class 'b' alone"),
        ("classification", "abc", [0, 1, 2], [1, 0], ""),
        ("per-base", "ab", [0, 1, 1], [-1, 0, 0], "dev (3 rows) holds the class 'a' alone"),
        ("per-base", "ab", [0, 1, 1], [-1, 0, 1], ""),
        ("regression", "xy", [[1.0, 2.0], [2.0, 1.0]], [[3.0, 4.0], [3.0, 5.0]], "holds one value of 'x' alone"),
        ("regression", "xy", [[1.0, 2.0], [2.0, 1.0]], [[2.0, 4.0], [3.0, 5.0]], ""),
        ("multilabel", "xy", [[0, 1], [1, 0]], [[1, 0]], "one value of 'x' alone, one value of 'y' alone, so that"),
        ("multilabel", "xy", [[0, 1], [1, 0]], [[1, 0], [0, 1]], ""),
    ],
)
def test_a_dev_set_that_cannot_choose_is_warned_of(
    task: str, names: str, train: list[Any], dev: list[Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.arange(len(dev)) if task == "per-base" else None
    finetuning._check_values(Truth(task, np.array(train), tuple(names)), Truth(task, np.array(dev), tuple(names), rows))
    warned = capsys.readouterr().err.replace("\n", " ")
    assert ("so that it does not tell which checkpoint is best" in warned) == bool(said)
    assert said in warned


def test_an_evaluation_tells_what_it_came_of(tmp_path: Path, rng: np.random.Generator) -> None:
    two = tiny_model(tmp_path / "two", "classification", k=3, labels=("no", "yes"))
    data = write_splits(
        tmp_path / "data", "sequence\tlabel", lambda: f"{random_dna(30, rng)}\t{['no', 'yes'][rng.integers(2)]}"
    )
    options: dict[str, Any] = {"scan": "max", "window": 12, "step": 5, "strand": "both"}
    dnabert.evaluate(two, data, out=tmp_path / "m.json", dev=data / "dev.tsv", precision="float32", **options)
    made = json.loads((tmp_path / "m.json").read_text())
    known = tables.read(data / "dev.tsv")
    probability = dnabert.load(two, precision="float32").predict(known, **options).outputs[:, 1]
    assert known.labels is not None
    positive = np.array(known.labels.to_pylist()) == "yes"
    assert made["threshold"] == best_threshold(probability, positive) != 0.5
    assert made["settings"] | options == made["settings"]
    assert (made["settings"]["model"], made["settings"]["data"]) == (str(two), [str(data)])
    assert (made["settings"]["dev"], made["settings"]["genome"]) == (str(data / "dev.tsv"), None)
    dnabert.evaluate(two, [data / "test.tsv"], out=tmp_path / "m.json", precision="float32")
    made = json.loads((tmp_path / "m.json").read_text())
    assert (made["threshold"], made["settings"]["scan"], made["settings"]["strand"]) == (None, None, "given")
    with pytest.raises(InputError, match=r"test.tsv: this is an input, a file in .*data; name another --out"):
        dnabert.evaluate(two, data, out=data / "test.tsv")
