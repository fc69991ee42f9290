"""Predictions and embeddings: against transformers, and whatever the batches are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
import transformers

import dnabert
from dnabert.errors import InputError
from dnabert.inference import embed as embed_module
from dnabert.inference import engine, prepared
from dnabert.inference import predict as predict_module
from dnabert.inference.loaded import LoadedModel
from dnabert.inference.prepared import prepare
from dnabert.model import checkpoint
from tests.conftest import random_dna, tiny_model


@pytest.fixture
def sequences(rng: np.random.Generator) -> list[str]:
    return [random_dna(int(length), rng) for length in rng.integers(4, 90, 30)]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "classifier", "classification", labels=("a", "b", "c"))


def test_predictions_equal_transformers(classifier: Path, sequences: list[str]) -> None:
    result = dnabert.load(classifier, precision="float32").predict(sequences)
    theirs = transformers.BertForSequenceClassification.from_pretrained(classifier).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier)
    with torch.no_grad():
        expected = torch.cat([theirs(**tokenizer(one, return_tensors="pt")).logits for one in sequences])
    np.testing.assert_allclose(result.logits, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(result.probabilities, expected.softmax(dim=1).numpy(), atol=1e-5)
    assert result.labels == ("a", "b", "c")


@pytest.mark.parametrize("pooling", ["mean", "layers", "cls", "max"])
def test_embeddings_equal_transformers(classifier: Path, sequences: list[str], pooling: str) -> None:
    vectors = dnabert.load(classifier, precision="float32").embed(sequences, pooling)
    theirs = transformers.BertModel.from_pretrained(classifier, add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier)
    for vector, sequence in zip(vectors, sequences, strict=True):
        with torch.no_grad():
            layers = theirs(**tokenizer(sequence, return_tensors="pt"), output_hidden_states=True).hidden_states
        hidden = layers[-1][0]
        expected = {
            "cls": hidden[0],
            "mean": hidden[1:-1].mean(dim=0),
            "max": hidden[1:-1].amax(dim=0),
            "layers": torch.cat([layer[0, 1:-1].mean(dim=0) for layer in layers]),
        }[pooling]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 64, 300, 100_000])
def test_batch_size_and_order_change_nothing(classifier: Path, sequences: list[str], batch_tokens: int) -> None:
    started = engine.start(classifier, precision="float32")
    reference = predict_module.predict(started, sequences).logits
    logits = predict_module.predict(started, sequences, batch_tokens).logits
    np.testing.assert_allclose(logits, reference, atol=1e-5)
    backwards = predict_module.predict(started, sequences[::-1], batch_tokens).logits
    np.testing.assert_allclose(backwards[::-1], reference, atol=1e-5)
    vectors = embed_module.embed(started, sequences, "mean", batch_tokens)
    np.testing.assert_allclose(vectors, embed_module.embed(started, sequences, "mean"), atol=1e-5)


def test_threads_change_nothing(classifier: Path, sequences: list[str]) -> None:
    model = dnabert.load(classifier, precision="float32")
    alone = model.predict(sequences).logits
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = model.predict(sequences).logits
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("products", ["_ONEDNN", "_PLAIN"])
@pytest.mark.parametrize("pooling", ["mean", "layers", "cls"])
def test_layers_laid_out_for_the_processor_equal_the_models_own(
    classifier: Path, sequences: list[str], pooling: str, products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_ONEDNN", getattr(prepared, products))  # the plain ones are a GPU's
    started = engine.start(classifier, "cpu", "float32")
    layers = prepare(started.checkpoint.model.bert, torch.float32)
    assert layers is not None, "torch here has oneDNN"
    model, plain = (LoadedModel(started._replace(prepared=one)) for one in (layers, None))
    np.testing.assert_allclose(model.embed(sequences, pooling), plain.embed(sequences, pooling), atol=1e-5)


def test_models_of_another_form_are_computed_as_they_are(tmp_path: Path, sequences: list[str]) -> None:
    folder = tiny_model(tmp_path / "relu", "classification", labels=("a", "b"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    model = dnabert.load(folder, device="cpu", precision="float32")
    assert prepare(model.engine.checkpoint.model.bert, torch.float32) is None
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = theirs(**tokenizer(sequences[0], return_tensors="pt")).logits
    np.testing.assert_allclose(model.predict(sequences[:1]).logits, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("capability", "laid_out"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_float32_is_laid_out_where_that_is_faster(
    capability: str, laid_out: bool, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (engine.start(classifier, "cpu", "float32").prepared is not None) == laid_out


@pytest.mark.parametrize("products", [None, "_PLAIN", "_ONEDNN"])
def test_bfloat16_stays_close(
    classifier: Path, sequences: list[str], products: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if products == "_ONEDNN" and not prepared._has_onednn(torch.bfloat16):
        pytest.skip("oneDNN computes in bfloat16 on processors that have it")
    full = dnabert.load(classifier, precision="float32").predict(sequences).logits
    started = engine.start(classifier, precision="bfloat16")._replace(prepared=None)  # autocast alone
    if products:
        monkeypatch.setattr(prepared, "_has_onednn", lambda _: True)
        monkeypatch.setattr(prepared, "_ONEDNN", getattr(prepared, products))  # the plain ones are a GPU's
        started = started._replace(prepared=prepare(started.checkpoint.model.bert, torch.bfloat16))
    half = predict_module.predict(started, sequences).logits
    spread = full.std(axis=0)
    assert 0 < np.abs((half - full) / spread).max() < 0.25
    for one, other in zip(full.T, half.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.998


def test_arrow_strings_and_lists_are_alike(classifier: Path, sequences: list[str]) -> None:
    model = dnabert.load(classifier, precision="float32")
    np.testing.assert_array_equal(model.predict(pa.array(sequences)).logits, model.predict(sequences).logits)


def test_what_cannot_be_predicted_is_refused(classifier: Path, tmp_path: Path) -> None:
    model = dnabert.load(classifier)
    with pytest.raises(InputError, match="number 2: 'E' is not a nucleotide"):
        model.predict(["ACGTACGT", "MKVE"])
    with pytest.raises(InputError, match=r"at most 513 \(510 4-mers\)"):
        model.predict(["A" * 514])
    with pytest.raises(InputError, match="not one string"):
        model.predict("ACGT")
    with pytest.raises(InputError, match="give one of mean, layers, cls, max"):
        model.embed(["ACGT"], "median")
    pretrained = dnabert.load(tiny_model(tmp_path / "pretrained"))
    with pytest.raises(InputError, match="run 'dnabert finetune' on it first"):
        pretrained.predict(["ACGT"])
    assert "masked-lm k=4" in repr(pretrained)
    for option, message in (({"device": "tpu9"}, "--device tpu9"), ({"precision": "int1"}, "--precision int1")):
        with pytest.raises(InputError, match=message):
            dnabert.load(classifier, **option)


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
import dnabert
from dnabert.inference import engine, predict

torch_threads = __import__("torch").set_num_threads(1)
started = engine.start(sys.argv[1], device="cpu", precision="float32")
sequences = ["ACGT" * 100] * 2000  # 0.8 M tokens
predict.predict(started, sequences[:2])
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]) * 1_000_000,) * 2)
try:
    print(predict.predict(started, sequences, 1_000_000).logits.shape)
except dnabert.InputError as error:
    print("InputError:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory the way Linux does")
@pytest.mark.parametrize(
    ("megabytes", "outcome"),
    [(800, "(2000, 3)"), (150, "InputError: cpu has no memory for batches of 500,000 tokens either")],
)
def test_half_a_batch_is_tried_where_memory_is_short(classifier: Path, megabytes: int, outcome: str) -> None:
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(classifier), str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome in done.stdout, done.stderr
    assert "no memory for batches of 1,000,000 tokens (--batch-tokens); trying half" in done.stderr


def test_progress_ends_at_the_rows_there_are_where_half_is_tried(classifier: Path) -> None:
    """Batches come again from the first."""
    calls, told = [0], [0.0]

    def compute(rows: np.ndarray) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(len(rows), 1)

    def advance(rows: float) -> None:
        told[0] += rows

    engine.run_rows(engine.start(classifier, "cpu"), np.full(100, 10), compute, 100, advance=advance)
    assert calls[0] == 4 + 20
    assert told[0] == 100


def test_files_that_cannot_be_predicted_into_are_refused_before_the_work(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(predict_module, "predict", work)
    table = pa.table({"sequence": ["ACGTACGT"], "prediction": ["x"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    before = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises(InputError, match="this is an input; name another --out"):
        dnabert.predict_file(classifier, tmp_path / "t.parquet", tmp_path / "t.parquet")
    with pytest.raises(InputError, match="two columns would be called 'prediction'; rename the one of the input"):
        dnabert.predict_file(classifier, tmp_path / "t.parquet", tmp_path / "p.tsv")
    pyarrow.parquet.write_table(pa.table({"sequence": ["ACGTACGT"], "tags": [["x"]]}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match="the column 'tags' holds list"):
        dnabert.predict_file(classifier, tmp_path / "l.parquet", tmp_path / "p.tsv")
    assert (tmp_path / "t.parquet").read_bytes() == before
    assert not (tmp_path / "p.tsv").exists()
    monkeypatch.undo()
    dnabert.predict_file(classifier, tmp_path / "l.parquet", tmp_path / "p.parquet")
    names = ["tags", "prediction", "probability_a", "probability_b", "probability_c"]
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet").column_names == names


@pytest.mark.parametrize(
    ("task", "entries"), [("classification", {"long": "mean", "window": 20, "window_step": 15}), ("per-base", {})]
)
def test_pairs_are_not_read_by_halves(task: str, entries: dict[str, Any], tmp_path: Path) -> None:
    loaded = checkpoint.load(tiny_model(tmp_path / "m", k=3), task, ("a", "b"), **entries)
    checkpoint.save(loaded, tmp_path / "model", {})
    (tmp_path / "p.csv").write_text("sequence,sequence2\nACGTACGT,ACGTAC\n")
    with pytest.raises(InputError, match="this model reads one sequence a row, these rows have two"):
        dnabert.predict_file(tmp_path / "model", tmp_path / "p.csv", tmp_path / "o.csv")


def test_predictions_do_without_pandas(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pyarrow.array` loads it first, which takes longer than ten predictions do."""
    (tmp_path / "rows.csv").write_text("name,sequence\none,ACGTACGT\ntwo,TTTTACGT\n")
    monkeypatch.setattr(pa, "array", None)
    dnabert.predict_file(classifier, tmp_path / "rows.csv", tmp_path / "predictions.csv")
    written = pyarrow.csv.read_csv(tmp_path / "predictions.csv")
    assert set(written["prediction"].to_pylist()) <= {"a", "b", "c"}
    assert written["name"].to_pylist() == ["one", "two"]
