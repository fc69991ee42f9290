"""Baselines learn, come back from disk, are not moved by padding or batches, and stand beside the fine-tuned model."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import dnabert
from dnabert.cli.report import print_comparison
from dnabert.errors import InputError
from dnabert.inference.baselines import Letters, as_letters, kmer_features, logits_of
from dnabert.inference.predict import predict, start
from dnabert.model import baselines
from dnabert.model.baselines import Baseline
from dnabert.model.heads import HEADS, loss_of
from dnabert.sequence import tables
from dnabert.sequence.kmers import canonical_kmers, vocabulary
from dnabert.sequence.tables import Table
from dnabert.training import baselines as training
from dnabert.training import compare, items, metrics, targets
from dnabert.training.baselines import Trained
from dnabert.training.compare import Compared, Row
from dnabert.training.data import labelled
from dnabert.training.graphs import Graphs
from dnabert.training.metrics import Comparison, Interval, Truth
from dnabert.training.splits import Splits
from dnabert.training.targets import Task
from tests.conftest import random_dna, run_command, tiny_model
from tests.training.test_graphs import OnCpu

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def reverse_complement(sequence: str) -> str:
    return sequence[::-1].translate(COMPLEMENT)


def planted(rng: np.random.Generator, length: int = 50, either: bool = False) -> tuple[str, int]:
    """Draw a sequence, every second with GATTACAGATTA in it, if wanted on either strand."""
    sequence, label = random_dna(length, rng), int(rng.integers(2))
    motif = reverse_complement("GATTACAGATTA") if either and rng.random() < 0.5 else "GATTACAGATTA"
    at = int(rng.integers(length - 12))
    return (sequence[:at] + motif + sequence[at + 12 :] if label else sequence), label


def write(path: Path, header: str, row: Callable[[], str], rows: int) -> Table:
    path.write_text("\n".join([header, *(row() for _ in range(rows))]) + "\n")
    return tables.read(path)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the networks small."""
    monkeypatch.setattr(baselines, "WIDTH", 0.25)
    monkeypatch.setattr(baselines, "CHANNELS", 32)


def trained(
    name: str, folder: Path, header: str, row: Callable[[], str], rows: int = 400, **options: object
) -> tuple[Trained, Table, Truth]:
    columns = tuple(header.split("\t")[1:]) if "label" not in header else ()
    parts = [write(folder / f"{part}.tsv", header, row, count) for part, count in (("train", rows), ("dev", 120))]
    task = targets.infer(parts[0], columns)
    read = labelled(Splits(parts[0], parts[1], None), task)
    result = training.train(name, read, **options)  # type: ignore[arg-type]
    return result, parts[1], read.truths.dev


def main_metric(one: Trained, table: Table, truth: Truth) -> float:
    return metrics.values_of(predict(one.baseline, table).outputs, truth)[metrics.MAIN[truth.task]]


@pytest.mark.parametrize("name", baselines.NAMES)
def test_each_baseline_finds_a_motif_and_comes_back_from_disk(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    def row() -> str:
        sequence, label = planted(rng, int(rng.integers(40, 60)))
        return f"{sequence}\t{'yes' if label else 'no'}"

    one, table, truth = trained(name, tmp_path, "sequence\tlabel", row, rows=600, passes=8)
    assert main_metric(one, table, truth) > 0.6
    assert one.record["seconds"] >= 0
    baselines.save(one.baseline, tmp_path / "model", {"training": one.record})
    again = dnabert.load(tmp_path / "model", device="cpu")
    assert again.labels == ("no", "yes")
    expected = predict(one.baseline, table)
    assert np.array_equal(again.predict(table).logits, expected.logits)
    # each sequence alone, and all of them in small and large padded batches: the same
    few = [sequence.as_py() for sequence in table.sequences[:10]]
    alone = np.concatenate([again.predict([sequence]).logits for sequence in few])
    assert np.abs(alone - expected.logits[:10]).max() < 1e-5
    for budget in (1, 200, 10**6):
        assert np.abs(logits_of(one.baseline, table, budget) - expected.logits).max() < 1e-5
    with pytest.raises(InputError, match=f"'{name}' is a baseline"):
        again.embed(few)


def _planted_row(rng: np.random.Generator, lengths: tuple[int, ...]) -> str:
    return "{}\t{}".format(*planted(rng, int(rng.choice(lengths))))


@pytest.mark.parametrize("name", ["danq", "residual"])
def test_steps_are_recorded_where_rows_are_of_one_length(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Graphs] = []

    def graphs(*args: Any) -> Graphs:
        made.append(OnCpu(*args))
        return made[-1]

    monkeypatch.setattr(training, "Graphs", graphs)
    monkeypatch.setattr(training, "_can_record", lambda _: True)
    options: Any = {"passes": 2, "rows": 80}

    def losses(*lengths: int) -> list[float]:
        folder = tmp_path / str(lengths)
        folder.mkdir()
        found = []
        for recorded in (True, False):
            own = np.random.default_rng(0)
            row = functools.partial(_planted_row, own, lengths)
            one, *_ = trained(name, folder, "sequence\tlabel", row, graphs=recorded, **options)
            found.append(one.record["loss"])
        return found

    recorded, plain = losses(50)
    assert recorded == pytest.approx(plain, rel=1e-5)
    assert made
    assert all(one.recorded for one in made)
    made.clear()
    # rows of many lengths are not recorded, even if the same ones come again
    monkeypatch.setattr(training, "_batches", lambda *_: [np.arange(16)] * 5)
    recorded, plain = losses(40, 50, 60)
    assert recorded == plain
    assert made
    assert not any(one.recorded for one in made)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", baselines.NETWORKS)
def test_a_network_learns_the_same_as_cuda_graphs(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row() -> str:
        sequence, label = planted(rng)
        return f"{sequence}\t{label}"

    recorded: list[Graphs] = []

    def graphs(*args: Any) -> Graphs:
        recorded.append(Graphs(*args))
        return recorded[-1]

    monkeypatch.setattr(training, "Graphs", graphs)
    options: Any = {"device": torch.device("cuda"), "passes": 3}
    one, table, truth = trained(name, tmp_path, "sequence\tlabel", row, **options)
    assert recorded
    assert all(each.recorded for each in recorded)
    made = len(recorded)
    other, _, _ = trained(name, tmp_path, "sequence\tlabel", row, graphs=False, **options)
    assert len(recorded) == made
    assert one.record["loss"] == pytest.approx(other.record["loss"], abs=0.1)
    assert abs(main_metric(one, table, truth) - main_metric(other, table, truth)) < 0.1


@pytest.mark.parametrize("name", ["basset", "residual"])
def test_a_network_knows_where_a_motif_stands(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        late = int(rng.integers(2))
        # farther from both ends than a layer sees
        around = [random_dna(int(rng.integers(30, 40)), rng), random_dna(int(rng.integers(80, 90)), rng)]
        return f"{around[late]}GATTACAGATTA{around[1 - late]}\t{late}"

    one, table, truth = trained(name, tmp_path, "sequence\tlabel", row, rows=600, passes=6)
    assert main_metric(one, table, truth) > 0.8


@pytest.mark.parametrize("name", ["basset", "residual", "kmers"])
def test_with_both_strands_the_strand_does_not_matter(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        sequence, label = planted(rng, either=True)
        return f"{sequence}\t{label}"

    one, table, truth = trained(name, tmp_path, "sequence\tlabel", row, rows=800, strand="both", passes=8)
    assert main_metric(one, table, truth) > 0.5
    other = [reverse_complement(sequence.as_py()) for sequence in table.sequences]
    assert np.abs(predict(one.baseline, other).logits - predict(one.baseline, table).logits).max() < 1e-5
    given = predict(one.baseline, table, strand="given").logits
    assert np.allclose(given, predict(one.baseline, table).logits) == (name == "kmers")


@pytest.mark.parametrize("both", [False, True])
def test_kmer_features_are_counts(both: bool, rng: np.random.Generator) -> None:
    sequences = [random_dna(30, rng), "ACGTNACGTT", "AC", "acgtu"]
    rows = as_letters(tables.from_sequences(sequences))
    names = [kmer for kmer in vocabulary(3) if not kmer.startswith("[")]
    features = kmer_features(rows, np.arange(4), 3, both).toarray()
    for sequence, row in zip(sequences, features, strict=True):
        counts: dict[int, int] = {}
        upper = sequence.upper().replace("U", "T")
        for kmer in (upper[i : i + 3] for i in range(len(upper) - 2)):
            if "N" not in kmer:
                kmer = min(kmer, reverse_complement(kmer), key=names.index) if both else kmer
                at = int(canonical_kmers(3)[names.index(kmer)]) if both else names.index(kmer)
                counts[at] = counts.get(at, 0) + 1
        expected = np.zeros(len(row))
        for at, count in counts.items():
            expected[at] = math.log1p(count)
        assert np.allclose(row, expected / (np.linalg.norm(expected) or 1))
    assert features.shape == (4, 32 if both else 64)


@pytest.mark.parametrize("name", ["danq", "residual", "kmers"])
def test_several_labels(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        motifs = rng.random(2) < 0.4
        sequence = random_dna(20, rng) + ("GGGGGG" if motifs[0] else "ACTACT") + ("TTTTTT" if motifs[1] else "CAGCAG")
        return f"{sequence}\t{int(motifs[0])}\t{int(motifs[1])}"

    one, table, truth = trained(name, tmp_path, "sequence\tg\tt", row, passes=6, class_weights=True)
    assert one.baseline.columns == ("g", "t")
    assert main_metric(one, table, truth) > 0.9


@pytest.mark.parametrize("name", ["deepsea", "residual", "kmers"])
def test_numbers_in_their_units(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        share = rng.random()
        sequence = "".join(rng.choice(list("GA"), 40, p=[share, 1 - share]))
        return f"{sequence}\t{1000 + 50 * sequence.count('G') + rng.normal()}\t{-0.01 * sequence.count('G')}"

    one, table, truth = trained(name, tmp_path, "sequence\tone\ttwo", row, passes=8)
    outputs = predict(one.baseline, table).outputs
    assert main_metric(one, table, truth) > 0.9
    assert (np.abs(outputs.mean(axis=0) - truth.values.mean(axis=0)) < 0.5 * truth.values.std(axis=0)).all()


def donors(rng: np.random.Generator) -> str:
    """Draw a sequence in which each GT is a donor at its first base, and the last base is not known."""
    sequence = random_dna(int(rng.integers(40, 60)), rng)
    label = "".join("D" if sequence[i : i + 2] == "GT" else "n" for i in range(len(sequence) - 1))
    return f"{sequence}\t{label}."


def test_a_class_for_each_base(tmp_path: Path, rng: np.random.Generator) -> None:
    one, table, truth = trained("residual", tmp_path, "sequence\tlabel", lambda: donors(rng), rows=300, passes=15)
    assert one.baseline.task == "per-base"
    assert main_metric(one, table, truth) > 0.95
    expected = predict(one.baseline, table).logits
    assert expected.shape == (int(table.offsets[-1]), 2)
    assert np.abs(logits_of(one.baseline, table, 1) - expected).max() < 1e-5
    with pytest.raises(InputError, match="'residual' can"):
        trained("deepsea", tmp_path, "sequence\tlabel", lambda: donors(rng), rows=60)


def test_both_strands_of_bases(tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:  # a class that both strands see at the same base
        sequence = random_dna(40, rng)
        return f"{sequence}\t{''.join('S' if base in 'GC' else 'W' for base in sequence)}"

    one, table, truth = trained("residual", tmp_path, "sequence\tlabel", row, rows=200, passes=10, strand="both")
    assert main_metric(one, table, truth) > 0.95


def test_pairs_are_read_one_behind_the_other(tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        sequence, label = planted(rng, 30)
        return f"{random_dna(30, rng)}\t{sequence}\t{label}"

    one, table, truth = trained("kmers", tmp_path, "sequence\tsequence2\tlabel", row)
    assert main_metric(one, table, truth) > 0.6
    rows = as_letters(table)
    assert rows.lengths.tolist() == [76] * 120
    assert bytes(rows.letters[30:46]) == b"N" * 16


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    def once(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(1)
        one, _, _ = trained(
            "basset", tmp_path, "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng)), rows=100, seed=seed, passes=2
        )
        return torch.cat([parameter.flatten() for parameter in one.baseline.network.parameters()])

    first = once(0)
    assert torch.equal(first, once(0))
    assert not torch.equal(first, once(1))


def test_a_network_that_collapses_is_tried_with_a_lower_rate(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "RATES", (1e4, 2e-3))
    one, table, truth = trained(
        "basset", tmp_path, "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng)), rows=600, passes=8
    )
    assert one.record["learning_rate"] == 2e-3
    assert main_metric(one, table, truth) > 0.6
    said = capsys.readouterr().err
    assert (
        "with a learning rate of 10000 it tells nothing apart; trying a learning rate of 10000 and layer norms" in said
    )
    assert "10000 and layer norms it tells nothing apart; trying a learning rate of 0.002" in said


def test_a_network_that_collapses_is_tried_with_layer_norms(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training._Job, "collapsed", lambda _, baseline, __: not baseline.settings["hidden_norms"])
    one, table, truth = trained(
        "basset", tmp_path, "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng)), rows=600, passes=8
    )
    assert one.record["learning_rate"] == training.RATES[0]
    assert any(isinstance(module, torch.nn.LayerNorm) for module in one.baseline.network.modules())
    assert main_metric(one, table, truth) > 0.6
    baselines.save(one.baseline, tmp_path / "model", {})
    again = dnabert.load(tmp_path / "model", device="cpu")
    assert np.array_equal(again.predict(table).logits, predict(one.baseline, table).logits)


def test_a_network_that_learned_nothing_has_collapsed_whatever_dev_says(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def row() -> str:
        return f"{random_dna(50, rng)}\t{int(rng.integers(2))}"

    parts = [write(tmp_path / f"{part}.tsv", "sequence\tlabel", row, 100) for part in ("train", "dev")]
    read = labelled(Splits(parts[0], parts[1], None), Task("classification", ("0", "1")))
    best = iter((0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4))
    monkeypatch.setattr(training._Job, "on_dev", lambda *_: next(best))
    above_chance = SimpleNamespace(one_class=None, metrics={"mcc": Interval(0.5, 0.4, 0.6)})
    monkeypatch.setattr(metrics, "evaluate", lambda *_: above_chance)
    one = training.train("basset", read, passes=2)
    said = capsys.readouterr().err
    assert [f"learning rate of {rate:g} it tells nothing apart" in said for rate in training.RATES] == [True] * 3
    assert said.count("it tells nothing apart") == 4, "once with layer norms"
    assert one.record["learning_rate"] == training.RATES[0], "the best on dev is kept"
    assert not one.baseline.settings["hidden_norms"]


@pytest.mark.parametrize(("with_places", "bins"), [(0.4, 0), (0.6, baselines.BINS)])
def test_dev_says_whether_places_matter(
    with_places: float, bins: int, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row() -> str:
        return "{}\t{}".format(*planted(rng))

    def on_dev(_: object, baseline: Baseline) -> float:
        return with_places if baseline.settings["bins"] else 0.5

    monkeypatch.setattr(training._Job, "on_dev", on_dev)
    monkeypatch.setattr(training._Job, "collapsed", lambda *_: False)
    options: dict[str, Any] = {"rows": 50, "passes": 1}
    one, *_ = trained("residual", tmp_path, "sequence\tlabel", row, **options)
    assert one.baseline.settings["bins"] == bins
    baselines.save(one.baseline, tmp_path / "model", {})
    assert baselines.load(tmp_path / "model", torch.device("cpu")).settings == one.baseline.settings


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("classification", np.array([0, 0, 0, 1, 1, 2])),
        ("per-base", np.array([0, -1, 0, 1, 1, 1, -1, 2])),
        ("multilabel", np.array([[0, 1], [0, 1], [1, 0], [0, 1], [0, 1]])),
    ],
)
def test_no_answer_for_all_rows_is_better(task: str, values: np.ndarray, weighted: bool) -> None:
    truth = Truth(task, values, ("a", "b", "c")[: values.shape[1] if values.ndim > 1 else 3], None)
    weights = items.weights_of(truth) if weighted else None
    labels = torch.from_numpy(values).float() if values.ndim > 1 else torch.from_numpy(values)
    answer = torch.zeros(len(truth.names), requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = answer.expand(len(values), -1)
        found = loss_of(HEADS[task].problem, logits, labels, None if weights is None else torch.from_numpy(weights))
        found.backward()
        return found

    optimizer.step(loss)
    assert training.loss_of_one_answer(truth, weights) == pytest.approx(loss().item(), abs=1e-4)


@pytest.mark.parametrize("length", [1, 40, 70, 1000, 10_000])
@pytest.mark.parametrize("name", baselines.NETWORKS)
def test_networks_take_any_length(name: str, length: int) -> None:
    torch.manual_seed(0)
    baseline = baselines.new(
        name, "classification", ("0", "1"), "given", (), baselines.settings_for(name, "classification", length)
    )
    baseline.network.eval()
    sequences = ["ACGTTGCA" * (length // 8) + "A" * (length % 8), "C"]
    logits = predict(baseline, sequences).logits
    assert logits.shape == (2, 2)
    assert np.isfinite(logits).all()


def test_shapes_are_scaled_by_the_stated_rule() -> None:
    original = baselines.SHAPES["deepsea"]
    assert baselines.scaled(original, 1000).pools == original.pools
    assert baselines.scaled(original, 1000).channels == (80, 120, 240)
    assert baselines.scaled(baselines.SHAPES["danq"], 70).pools == (1,)
    assert baselines.scaled(baselines.SHAPES["danq"], 40).kernels == (13,)
    assert baselines.scaled(baselines.SHAPES["basset"], 10_000).pools == (8, 10, 10)


def test_classes_that_no_training_row_has(tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        sequence, label = planted(rng)
        return f"{sequence}\t{2 * label}"

    parts = [write(tmp_path / f"{part}.tsv", "sequence\tlabel", row, 200) for part in ("train", "dev")]
    task = Task("classification", ("0", "1", "2"))
    read = labelled(Splits(parts[0], parts[1], None), task)
    for name in ("kmers", "basset"):
        one = training.train(name, read, class_weights=True, passes=2)
        assert predict(one.baseline, parts[1]).outputs[:, 1].max() < 0.5


def test_bad_directories_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    one, _, _ = trained("kmers", tmp_path, "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng)), rows=60)
    folder = tmp_path / "model"
    baselines.save(one.baseline, folder, {})
    with pytest.raises(InputError, match="this is a baseline"):
        dnabert.finetune(tmp_path, folder, tmp_path / "out")
    with pytest.raises(InputError, match="there is no run to resume"):
        dnabert.finetune(tmp_path, folder, folder, baselines=True, resume=True)
    with pytest.raises(InputError, match="there is no such baseline"):
        baselines.check("gkm-svm", "classification")
    with pytest.raises(InputError, match="--precision float8"):
        start(folder, precision="float8")
    (folder / "model.safetensors").write_bytes(b"x" * 30)
    with pytest.raises(InputError, match="the weights do not load"):
        start(folder)
    record = json.loads((folder / "dnabert.json").read_text())
    (folder / "dnabert.json").write_text(json.dumps({key: record[key] for key in record if key != "labels"}))
    with pytest.raises(InputError, match="an entry is missing or wrong"):
        start(folder)


def test_letters_of_a_selection(rng: np.random.Generator) -> None:
    table = tables.select(tables.from_sequences([random_dna(9, rng) for _ in range(6)]), np.array([4, 1]))
    rows = as_letters(table._replace(sequences=table.sequences[1:]))
    assert isinstance(rows, Letters)
    assert bytes(rows.letters[rows.starts[0] : rows.ends[0]]).decode() == table.sequences[1].as_py()


# --- the command ------------------------------------------------------------------------------------------------------


def test_finetune_beside_baselines(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "PASSES", (2, 2))
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for part, rows in (("train", 160), ("dev", 60), ("test", 60)):
        write(data / f"{part}.tsv", "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng, 40)), rows)
    model = tiny_model(tmp_path / "pretrained", k=3)
    command = ["finetune", data, "--model", model, "--out", out, "--epochs", 1, "--seed", 4, "--device", "cpu"]
    options: dict[str, Any] = {"epochs": 1, "seed": 4, "device": "cpu", "precision": "float32"}
    first = dnabert.finetune(data, model, out, **options)  # complete without baselines: they are added
    result = dnabert.finetune(data, model, out, baselines=True, resume=True, **options)
    names = ["fine-tuned", "from-scratch", *baselines.NAMES]
    assert result.compared is not None
    assert result.test is not None
    assert first.test is not None
    for metric, value in first.test.metrics.items():
        assert result.test.metrics[metric] == pytest.approx(value, abs=1e-4, nan_ok=True)
    assert [one.name for one in result.compared.models] == names
    content = json.loads((out / "comparison.json").read_text())
    assert [one["name"] for one in content["models"]] == names
    assert content["metric"] == "mcc"
    assert content["models"][0]["p_value"] is None
    assert content["models"][0]["mcc"]["value"] == pytest.approx(first.test.metrics["mcc"].value)
    for one in content["models"][1:]:
        assert one["difference"]["value"] == pytest.approx(one["mcc"]["value"] - content["models"][0]["mcc"]["value"])
        assert 0 < one["p_value"] <= 1
        assert one["seconds"] is not None
    # what is complete is not trained again, what is missing is
    before = {name: (out / "baselines" / name / "model.safetensors").stat().st_mtime_ns for name in names[1:]}
    (out / "baselines" / "kmers" / "dnabert.json").unlink()
    (out / "comparison.json").unlink()
    capsys.readouterr()
    again = dnabert.finetune(data, model, out, baselines=True, resume=True, **options)
    after = {name: (out / "baselines" / name / "model.safetensors").stat().st_mtime_ns for name in names[1:]}
    assert [name for name in before if before[name] != after[name]] == ["kmers"]
    assert "residual: complete" in capsys.readouterr().err
    assert again.compared is not None
    assert again.compared.sentences == result.compared.sentences
    with pytest.raises(InputError, match="seed was 4, is 5"):
        dnabert.finetune(data, model, out, baselines=True, resume=True, **options | {"seed": 5})
    # the command, and a baseline as a model of the other commands
    done = run_command(*command, "--baselines", "--resume")
    assert "Beside baselines, test, 60 rows" in done.stdout
    assert all(name in done.stdout for name in names)
    residual = out / "baselines" / "residual"
    assert dnabert.predict_file(residual, data / "test.tsv", tmp_path / "p.tsv").keys() == {"0", "1"}
    header = (tmp_path / "p.tsv").read_text().splitlines()[0].split("\t")
    assert header == ["sequence", "label", "prediction", "probability_0", "probability_1"]
    evaluated = dnabert.evaluate(out / "baselines" / "kmers", data).metrics["mcc"]
    assert evaluated.value == pytest.approx(content["models"][-1]["mcc"]["value"])


def test_baselines_are_chosen_by_name_and_join_those_that_are_there(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for part, rows in (("train", 80), ("dev", 30)):
        lines = (f"{sequence}\t{sequence.count('A')}" for sequence in (random_dna(30, rng) for _ in range(rows)))
        (data / f"{part}.tsv").write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    model = tiny_model(tmp_path / "pretrained", k=3)
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "from_scratch": True, "task": "regression"}
    for wrong in (["kmers", "knn"], "from-scratch"):  # the model itself is from scratch
        with pytest.raises(InputError, match=r"--baseline (knn|from-scratch): give one of deepsea, basset, danq, "):
            dnabert.finetune(data, model, out, baselines=wrong, **options)
        assert not out.exists()
    result = dnabert.finetune(data, model, out, baselines="kmers", **options)
    assert result.compared is not None
    assert [row.name for row in result.compared.models] == ["fine-tuned", "kmers"]
    assert result.compared.models[1].metrics["spearman"].value > 0.5  # all metrics, not the main one alone
    again = dnabert.finetune(data, model, out, baselines=["basset"], resume=True, **options)
    assert "kmers: complete" in capsys.readouterr().err
    assert again.compared is not None
    assert [row.name for row in again.compared.models] == ["fine-tuned", "basset", "kmers"]
    assert again.compared.models[2].metrics == result.compared.models[1].metrics
    content = json.loads((out / "comparison.json").read_text())["models"]
    assert content[2]["spearman"]["value"] == pytest.approx(result.compared.models[1].metrics["spearman"].value)


def test_baselines_are_not_trained_on_other_rows_than_the_model_was(tmp_path: Path, rng: np.random.Generator) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for part in ("train", "dev", "test"):
        write(data / f"{part}.tsv", "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng, 40)), 40)
    (data / "notes.txt").write_text("mine")
    options: dict[str, Any] = {"model": tiny_model(tmp_path / "pretrained", k=3), "method": "frozen", "device": "cpu"}
    dnabert.finetune(data, out=out, **options)
    (data / "notes.txt").write_text("ours, and read by nobody else")
    compare.check_data(out)
    for part, content in (("train", "sequence\tlabel\nACGTACGT\t1\nACGTACGA\t0\n"), ("dev", "turned"), ("test", None)):
        path = data / f"{part}.tsv"
        before = path.read_text()
        turned = before.replace("\t1\n", "\t2\n").replace("\t0\n", "\t1\n").replace("\t2\n", "\t0\n")
        path.unlink() if content is None else path.write_text(turned if content == "turned" else content)
        message = rf"data/{part}\.tsv: this file of the data (has changed|is gone) since the run in .* --overwrite"
        with pytest.raises(InputError, match=message):
            dnabert.finetune(data, out=out, resume=True, baselines="kmers", **options)
        with pytest.raises(InputError, match=message):
            compare.train_one("kmers", data=data, out=out, **options)
        path.write_text(before)
    data.rename(tmp_path / "gone")
    with pytest.raises(InputError, match="this file of the data is gone"):
        compare.check_data(out)
    (tmp_path / "gone").rename(data)
    assert not (out / "baselines").exists()
    assert compare.train_one("kmers", data=data, out=out, **options)


def test_the_model_from_scratch_is_trained_as_the_other_was(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "NAMES", ("kmers",))
    data = tmp_path / "data"
    data.mkdir()
    for part, rows in (("train", 40), ("dev", 20)):
        write(data / f"{part}.tsv", "sequence\tlabel", lambda: "{}\t{}".format(*planted(rng, 40)), rows)
    model = tiny_model(tmp_path / "pretrained", k=3)
    for method in ("full", "lora"):
        out = tmp_path / method
        dnabert.finetune(data, model, out, method=method, epochs=1, learning_rate=1e-3, device="cpu")
        if method == "lora":
            with pytest.raises(InputError, match="method was lora, is auto"):
                dnabert.finetune(data, model, out, baselines=True, resume=True, device="cpu")
        given: dict[str, Any] = {} if method == "full" else {"method": method}  # the default is what became of it
        dnabert.finetune(data, model, out, **given, baselines=True, resume=True, device="cpu")
        made = json.loads((out / "baselines/from-scratch/run.json").read_text())
        # an encoder that stays random would tell nothing: all weights are learned, with the rate for that
        assert (made["epochs"], made["method"], made["from_scratch"]) == (1, "full", True)
        assert (made["learning_rate"] == 1e-3) == (method == "full")
    with pytest.raises(InputError, match="genome was None, is "):
        dnabert.finetune(data, model, out, method="lora", baselines=True, resume=True, genome="g.fa", device="cpu")


def test_one_value_a_channel_is_normalised_by_the_usual() -> None:
    norm = baselines.Norm(3).train()
    for shape, lengths in (((1, 3, 1), [1]), ((2, 3, 4), [1, 0])):
        assert torch.isfinite(norm(torch.randn(shape), torch.tensor(lengths))).all()


def row_of(name: str, value: float, difference: Interval, p_value: float) -> Row:
    metrics = {"mcc": Interval(value, value - 0.1, value + 0.1)}
    return Row(name, Path(name), metrics, Comparison(difference, p_value), 3.0)


def test_the_report_says_plainly_when_a_baseline_wins(capsys: pytest.CaptureFixture[str]) -> None:
    own = Row("fine-tuned", Path("out"), {"mcc": Interval(0.74, 0.7, 0.78)}, None, None)
    rows = (
        own,
        row_of("danq", 0.60, Interval(-0.14, -0.2, -0.08), 0.002),
        row_of("basset", 0.75, Interval(0.01, -0.03, 0.05), 0.6),
        row_of("residual", 0.80, Interval(0.06, 0.02, 0.10), 0.004),
    )
    sentences = compare.sentences(rows, "mcc", "test")
    assert sentences == (
        "WARNING: residual is better than the fine-tuned model: MCC 0.800 against 0.740, difference 0.060 (0.020 to "
        "0.100), p = 0.004",
        "On test the fine-tuned model and basset do not differ (p >= 0.05).",
        "The fine-tuned model is better than danq (p < 0.05).",
    )
    odd = row_of("[a/b] :smile:", 0.6, Interval(0, 0, 0), 1)
    print_comparison(Compared("mcc", "test", 500, (own, odd), ()))
    assert "[a/b] :smile:" in capsys.readouterr().out  # names are no markup
    print_comparison(Compared("mcc", "test", 500, rows, sentences))
    printed = capsys.readouterr()
    assert printed.err.strip() == sentences[0]
    assert "+0.060" in printed.out


def test_bases_are_compared_with_the_one_baseline_that_labels_them(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for part, rows in (("train", 40), ("dev", 20)):
        write(data / f"{part}.tsv", "sequence\tlabel", lambda: donors(rng), rows)
    model = tiny_model(tmp_path / "pretrained", k=3)
    result = dnabert.finetune(data, model, tmp_path / "out", epochs=1, from_scratch=True, baselines=True, device="cpu")
    assert result.compared is not None
    assert result.compared.part == "dev"
    assert [row.name for row in result.compared.models] == ["fine-tuned", "residual"]
    left = "Left out, because they cannot do the task 'per-base': deepsea, basset, danq, kmers"
    assert left in capsys.readouterr().err
    assert result.compared.sentences[0].startswith("WARNING: residual is better than the fine-tuned model: F1 ")
    alone = dnabert.finetune(data, model, tmp_path / "alone", epochs=1, baselines=["kmers"], device="cpu")
    assert alone.finished
    assert alone.compared is None
    assert not (tmp_path / "alone/comparison.json").exists()


def test_baselines_need_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"--baselines \(and --baseline\) are trained in one process"):
        dnabert.finetune(tmp_path, tmp_path, tmp_path / "out", baselines=True)
