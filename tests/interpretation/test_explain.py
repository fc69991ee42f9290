"""`explain` end to end: files of each method, strands, tracks, figures."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import dnabert
from dnabert import InputError
from dnabert.interpretation import explain as explaining
from dnabert.interpretation.attribution import contributions
from dnabert.interpretation.scores import read_npz
from dnabert.model import device as devices
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement
from tests.conftest import random_dna, tiny_model, write_fasta


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), "classification", labels=("0", "1"))


@pytest.fixture
def sequences(rng: np.random.Generator) -> list[str]:
    return [random_dna(length, rng) for length in (30, 22, 30)]


@pytest.fixture
def fasta(sequences: list[str], tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "s.fa", {f"s{i}": sequence for i, sequence in enumerate(sequences)})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_attention_of_a_fasta_file(folder: Path, fasta: Path, sequences: list[str], tmp_path: Path) -> None:
    result = dnabert.explain(folder, fasta, tmp_path / "out", figures=1, original=True, precision="float32")
    scores = read_npz(result.scores)
    np.testing.assert_array_equal(scores.values, dnabert.load(folder, precision="float32").attention(sequences))
    figures = {f"{name}.{suffix}" for name in ("landscape", "track-1") for suffix in ("png", "svg")}
    arrays = {"scores.npz", "atten.npy", "pred_results.npy"}
    assert names(result.folder) == figures | arrays | {"index.html", "run.json"}
    original = np.load(result.folder / "atten.npy")
    np.testing.assert_array_equal(original, np.nan_to_num(scores.values))
    probabilities = dnabert.load(folder, precision="float32").predict(sequences).probabilities[:, 1]
    np.testing.assert_allclose(np.load(result.folder / "pred_results.npy"), probabilities)
    page = (result.folder / "index.html").read_text()
    assert all(f'src="{name}"' in page for name in figures if name.endswith("png"))
    record = json.loads((result.folder / "run.json").read_text())
    assert record["settings"]["method"] == "attention"
    assert record["sequences"] == 3


def test_mutagenesis_writes_effects_and_maps(folder: Path, fasta: Path, tmp_path: Path) -> None:
    result = dnabert.explain(folder, fasta, tmp_path / "out", method="ism", figures=1)
    assert read_npz(result.scores).values.shape == (3, 30, 4)
    assert {"mutations-1.png", "track-1.svg", "landscape.png"} <= names(result.folder)
    assert not [name for name in names(result.folder) if "working" in name]


def test_gradients_report_their_completeness(folder: Path, fasta: Path, tmp_path: Path) -> None:
    result = dnabert.explain(folder, fasta, tmp_path / "out", method="ig", file_format="parquet", figures=0)
    content = pyarrow.parquet.read_table(result.scores)
    assert content.column_names == ["name", "sequence", "scores", "completeness_error", "logit_difference"]
    assert content["name"].to_pylist() == ["s0", "s1", "s2"]
    assert [len(one) for one in content["scores"].to_pylist()] == [30, 22, 30]
    total = np.array([sum(one) for one in content["scores"].to_pylist()])
    error, difference = content["completeness_error"].to_numpy(), content["logit_difference"].to_numpy()
    np.testing.assert_allclose(total, difference + error, atol=1e-5)
    assert result.completeness == pytest.approx(np.median(np.abs(error / difference)), rel=1e-3)
    assert "median completeness error" in (result.folder / "index.html").read_text()


def test_context_draws_the_set_and_one_map(folder: Path, rng: np.random.Generator, tmp_path: Path) -> None:
    aligned = write_fasta(tmp_path / "a.fa", {f"s{i}": random_dna(20, rng) for i in range(4)})
    result = dnabert.explain(folder, aligned, tmp_path / "out", method="context", position=-3, row=2)
    assert read_npz(result.scores).values.shape == (4, 20)
    assert {"landscape.png", "map.png", "map.svg"} <= names(result.folder)


def test_intervals_get_tracks(folder: Path, rng: np.random.Generator, tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "g.fa", {"chrI": random_dna(200, rng)})
    (tmp_path / "t.tsv").write_text("chrom\tstart\tend\tstrand\nchrI\t100\t130\t-\nchrI\t20\t45\t+\n")
    result = dnabert.explain(
        folder, tmp_path / "t.tsv", tmp_path / "out", genome=genome, method="ism", precision="float32"
    )
    effects = read_npz(result.scores).values
    lines = [line.split("\t") for line in (result.folder / "scores.bedgraph").read_text().splitlines()]
    shown = np.array([float(line[3]) for line in lines])
    np.testing.assert_allclose(shown[:25], contributions(effects[1, :25]), atol=1e-4)
    np.testing.assert_allclose(shown[25:], contributions(effects[0, :30])[::-1], atol=1e-4)
    assert (result.folder / "scores.bw").stat().st_size > 0
    assert "chrI:100-130 (-)" in (result.folder / "index.html").read_text()


def turned(sequence: str) -> str:
    return decode_bases(reverse_complement(encode_bases(sequence)))


@pytest.mark.parametrize("method", ["attention", "ism", "ig"])
def test_both_strands_are_one_answer_for_both(folder: Path, sequences: list[str], method: str, tmp_path: Path) -> None:
    found = []
    for name, contigs in (("there", sequences), ("back", [turned(sequence) for sequence in sequences])):
        fasta = write_fasta(tmp_path / f"{name}.fa", {f"s{i}": contig for i, contig in enumerate(contigs)})
        result = dnabert.explain(
            folder, fasta, tmp_path / name, method=method, strand="both", figures=0, precision="float32"
        )
        found.append(read_npz(result.scores))
    there, back = found
    for row, length in enumerate(there.lengths):
        other = back.values[row, :length][::-1]
        if method == "ism":
            other = other[:, ::-1]
        np.testing.assert_allclose(there.values[row, :length], other, atol=3e-5)
    if method == "attention":
        np.testing.assert_allclose(np.nansum(there.values**2, axis=1), 1, rtol=1e-5)


def test_a_model_of_both_strands_is_explained_on_both(folder: Path, fasta: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    shutil.copytree(folder, trained)
    config = json.loads((trained / "config.json").read_text()) | {"strand": "both"}
    (trained / "config.json").write_text(json.dumps(config))
    given, both, default = (
        read_npz(dnabert.explain(trained, fasta, tmp_path / str(strand), strand=strand, figures=0).scores).values
        for strand in ("given", "both", None)
    )
    np.testing.assert_array_equal(default, both)
    assert not np.allclose(default, given, equal_nan=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lime"}, "--method lime: give one of attention, ism, ig, context"),
        ({"strand": "minus"}, "--strand minus: give one of given, both"),
        ({"file_format": "csv"}, "--format csv: give one of npz, parquet"),
        ({"method": "context"}, "--position says which base is attended to"),
        ({"position": 3}, "--position says which base is attended to"),
        ({"method": "context", "position": 3, "strand": "both"}, "context is of one strand"),
        ({"method": "ism", "original": True}, "--export-original goes with --method attention, not ism"),
        ({"method": "ig", "rollout": True}, "--rollout goes with --method attention"),
        ({"method": "ism", "layers": [0]}, "--layers chooses attention, and --method ism does not read it"),
        ({"method": "ig", "heads": "all"}, "--heads chooses attention, and --method ig does not read it"),
        ({"target": "1"}, "--target goes with --method ism or ig, not attention"),
        ({"method": "ig", "steps": 0}, "--steps of 1 or more"),
        ({"method": "ism", "target": "2"}, "--target 2: this model has 0, 1"),
        ({"layers": (9,)}, "there is no layer 9"),
    ],
)
def test_options_that_do_not_go(
    folder: Path, fasta: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        dnabert.explain(folder, fasta, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists() or not names(tmp_path / "out")


@pytest.mark.parametrize("options", [{"layers": (9,)}, {"heads": (9,)}, {"method": "context", "position": 900}])
def test_what_is_found_wrong_late_leaves_nothing(
    options: dict[str, Any], folder: Path, fasta: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        dnabert.explain(folder, fasta, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_class_of_several_has_to_be_named_for_both_strands(fasta: Path, tmp_path: Path) -> None:
    three = tiny_model(tmp_path / "three", "classification", labels=("a", "b", "c"))
    with pytest.raises(InputError, match="say which class is explained, --target a or b or c"):
        dnabert.explain(three, fasta, tmp_path / "out", method="ism", strand="both")


def test_a_pretrained_model_has_no_predictions_to_export(fasta: Path, tmp_path: Path) -> None:
    pretrained = tiny_model(tmp_path / "pretrained")
    with pytest.raises(InputError, match="this model is of masked-lm"):
        dnabert.explain(pretrained, fasta, tmp_path / "out", original=True)
    assert dnabert.explain(pretrained, fasta, tmp_path / "out", figures=0).sequences == 3


def test_small_differences_are_computed_in_float32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_has_bfloat16", lambda _: True)
    assert str(explaining.start(folder, "attention").precision) == "torch.bfloat16"
    assert str(explaining.start(folder, "ism").precision) == "torch.float32"
    assert str(explaining.start(folder, "ig").precision) == "torch.float32"
    assert str(explaining.start(folder, "ism", precision="bfloat16").precision) == "torch.bfloat16"
