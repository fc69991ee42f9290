"""Fine-tuning for every task, end to end on tiny models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import dnabert
from dnabert.errors import InputError
from dnabert.inference import predict as predicting
from dnabert.model import checkpoint
from dnabert.sequence import tables
from dnabert.sequence.annotate import label_bases
from dnabert.training.items import calibrate
from dnabert.training.metrics import Truth
from dnabert.training.targets import Task
from tests.conftest import random_dna, run_command, tiny_model, write_bound, write_fasta, write_splits

TUNE: dict[str, Any] = {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3, "device": "cpu", "precision": "float32"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "pretrained", k=3)


def test_numbers_come_back_in_their_units(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        share = rng.random()
        sequence = "".join(rng.choice(list("GA"), 40, p=[share, 1 - share]))
        return f"{sequence}\t{1000 + 50 * sequence.count('G') + rng.normal()}\t{-0.01 * sequence.count('G')}"

    data = write_splits(tmp_path / "data", "sequence\tone\ttwo", row)
    result = dnabert.finetune(data, model, tmp_path / "out", label=["one", "two"], **TUNE)
    assert result.task == Task("regression", ("one", "two"), ("one", "two"))
    assert result.test is not None
    assert result.test.metrics["pearson[one]"].value > 0.8
    assert result.test.metrics["mse[one]"].value < (50 * 40 * 0.3) ** 2  # below the variance, in the user's units
    again = dnabert.evaluate(result.folder, data, precision="float32")
    assert again.metrics["r2[two]"] == result.test.metrics["r2[two]"]
    counts = dnabert.predict_file(result.folder, data / "test.tsv", tmp_path / "p.tsv", precision="float32")
    table = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert counts == {}
    assert table[0] == ["sequence", "one", "two", "prediction_one", "prediction_two"]  # labels name no row
    true, predicted = (np.array([float(line[i]) for line in table[1:]]) for i in (1, 3))
    assert abs(predicted.mean() - true.mean()) < 200
    theirs = transformers.BertForSequenceClassification.from_pretrained(result.folder)
    assert theirs.config.problem_type == "regression"


@pytest.mark.parametrize("method", ["full", "lora", "frozen"])
def test_numbers_are_calibrated_on_dev(method: str, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    """Noise is learned by heart, and without calibration the numbers of other rows would spread too far."""

    def row() -> str:
        sequence = random_dna(40, rng)
        return f"{sequence}\t{sequence.count('G') + 5 * rng.normal():.3f}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    beside = ["basset", "kmers"] if method == "frozen" else []
    options: dict[str, Any] = {"task": "regression", "method": method, "baselines": beside}
    options |= {"device": "cpu", "precision": "float32"} if method == "frozen" else TUNE | {"epochs": 20}
    folder = dnabert.finetune(data, model, tmp_path / "out", **options).folder
    true = np.array([float(line.split("\t")[1]) for line in (data / "dev.tsv").read_text().splitlines()[1:]])
    for one in (folder, *(folder / "baselines" / name for name in beside)):
        dnabert.predict_file(one, data / "dev.tsv", tmp_path / "p.tsv", precision="float32")
        lines = (tmp_path / "p.tsv").read_text().splitlines()[1:]
        given = np.array([float(line.split("\t")[-1]) for line in lines])
        assert np.polyfit(given, true, 1) == pytest.approx([1, 0], abs=0.01)


def test_numbers_far_from_0_keep_their_digits_in_bfloat16(
    model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A bfloat16 between 512 and 1,024 is a multiple of 4."""

    def row() -> str:
        share = rng.random()
        sequence = "".join(rng.choice(list("GA"), 40, p=[share, 1 - share]))
        return f"{sequence}\t{1000 + 0.1 * sequence.count('G')}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    options = TUNE | {"precision": "bfloat16", "task": "regression"}
    result = dnabert.finetune(data, model, tmp_path / "out", **options)
    assert result.test is not None
    assert result.test.metrics["r2"].value > 0.7
    again = dnabert.evaluate(result.folder, data, precision="float32")
    assert again.metrics["r2"].value == pytest.approx(result.test.metrics["r2"].value, abs=0.05)


def test_numbers_that_do_not_rise_with_known_ones_stay_as_they_are(rng: np.random.Generator) -> None:
    layer = torch.nn.Linear(4, 3)
    features = rng.normal(size=(40, 4)).astype(np.float32)
    with torch.no_grad():
        layer.weight[2], layer.bias[2] = 0, 7  # one number for all rows
        before = layer(torch.from_numpy(features)).numpy()
        known = np.stack([3 * before[:, 0] + 5, -before[:, 1], rng.normal(size=40)], axis=1)
        truth = Truth("regression", known, ("up", "down", "flat"))
        calibrate(layer, before[:29], truth._replace(values=known[:29]))  # too few rows to tell
        assert np.array_equal(layer(torch.from_numpy(features)).numpy(), before)
        calibrate(layer, before, truth)
        after = layer(torch.from_numpy(features)).numpy()
    assert after[:, 0] == pytest.approx(known[:, 0], abs=1e-4)
    assert np.array_equal(after[:, 1:], before[:, 1:])


def test_several_labels_a_sequence(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        motifs = rng.random(2) < 0.5
        sequence = random_dna(20, rng) + ("GGGGGG" if motifs[0] else "ACTACT") + ("TTTTTT" if motifs[1] else "CAGCAG")
        return f"{sequence}\t{int(motifs[0])}\t{int(motifs[1])}"

    data = write_splits(tmp_path / "data", "sequence\tg\tt", row)
    result = dnabert.finetune(data, model, tmp_path / "out", label=["g", "t"], class_weights=True, **TUNE)
    assert result.task.kind == "multilabel"
    assert result.test is not None
    assert result.test.metrics["auroc[g]"].value > 0.9
    assert result.test.metrics["auroc[t]"].value > 0.9
    counts = dnabert.predict_file(result.folder, data / "test.tsv", tmp_path / "p.parquet")
    assert set(counts) == {"g", "t"}
    assert result.test.confusion is None


def spliced(rng: np.random.Generator, length: int = 60) -> tuple[str, str]:
    """Draw a sequence in which each GT is a donor at its first base."""
    sequence = random_dna(length, rng)
    label = ["n"] * length
    for i in range(length - 1):
        if sequence[i : i + 2] == "GT":
            label[i] = "D"
    return sequence, "".join(label)


def test_a_class_for_each_base(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlabel", lambda: "\t".join(spliced(rng)))
    result = dnabert.finetune(data, model, tmp_path / "out", class_weights=True, **TUNE)
    assert result.task == Task("per-base", ("D", "n"))
    assert result.test is not None
    assert result.test.metrics["f1"].value > 0.9
    dnabert.predict_file(result.folder, data / "test.tsv", tmp_path / "p.tsv", precision="float32")
    table = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()[1:]]
    right = np.mean([a == b for _, label, prediction in table for a, b in zip(label, prediction, strict=True)])
    assert right == pytest.approx(result.test.metrics["accuracy"].value)
    theirs = transformers.BertForTokenClassification.from_pretrained(result.folder)
    assert theirs.config.num_labels == 2
    # the same bases cut into windows that overlap: predictions hardly move, and every base has one
    whole = dnabert.load(result.folder, precision="float32")
    few = [spliced(rng, 150)[0] for _ in range(3)]
    expected = whole.predict(few).outputs
    config = whole.engine.checkpoint.model.config
    config.long, config.window, config.window_step = "mean", 60, 50
    stitched = whole.predict(few).outputs
    assert stitched.shape == expected.shape == (450, 2)
    assert np.mean(stitched.argmax(axis=1) == expected.argmax(axis=1)) > 0.95


def test_classes_of_bases_from_a_bed_file(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    contigs = {name: random_dna(4000, rng) for name in ("chr1", "chr2", "chr3")}
    genome = write_fasta(tmp_path / "genome.fa", contigs)
    sites = []
    for name, sequence in contigs.items():
        sites += [f"{name}\t{i}\t{i + 1}\tdonor\t0\t+" for i in range(3999) if sequence[i : i + 2] == "GT"]
        sites += [f"{name}\t{i + 1}\t{i + 2}\tdonor\t0\t-" for i in range(3999) if sequence[i : i + 2] == "AC"]
    (tmp_path / "sites.bed").write_text("\n".join(sites) + "\n")
    places = [(name, start) for name in contigs for start in range(0, 3900, 60)]
    rows = [f"{name}\t{start}\t{start + 60}\t{'+-'[int(rng.integers(2))]}" for name, start in places]
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\tstrand\n" + "\n".join(rows) + "\n")
    labelled = label_bases(tables.read(tmp_path / "windows.tsv", genome=genome), tmp_path / "sites.bed")
    assert labelled.labels is not None
    for sequence, label in zip(labelled.sequences.to_pylist(), labelled.labels.to_pylist(), strict=True):
        expected = ["donor" if sequence[i : i + 2] == "GT" else "none" for i in range(59)]
        assert label.split(" ")[:59] == expected  # the last base's partner lies outside
    options: dict[str, Any] = {"genome": genome, "annotation": tmp_path / "sites.bed"}
    result = dnabert.finetune(
        tmp_path / "windows.tsv", model, tmp_path / "out", split=(0.6, 0.2, 0.2), class_weights=True, **options, **TUNE
    )
    assert result.task == Task("per-base", ("donor", "none"))
    assert result.test is not None
    assert result.test.metrics["f1"].value > 0.9
    again = dnabert.evaluate(result.folder, tmp_path / "windows.tsv", precision="float32", **options)
    assert again.metrics["f1"].value > 0.9


def test_bases_of_two_classes_are_of_the_later_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genome = write_fasta(tmp_path / "genome.fa", {"chr1": "ACGT" * 10})
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t8\n")
    table = tables.read(tmp_path / "windows.tsv", genome=genome)
    for first, second, disputed in (("exon", "intron", True), ("intron", "exon", True), ("exon", "exon", False)):
        (tmp_path / "sites.bed").write_text(f"chr1\t1\t6\t{first}\nchr1\t4\t7\t{second}\n")
        labels = label_bases(table, tmp_path / "sites.bed").labels
        assert labels is not None
        assert labels[0].as_py().split(" ") == ["none", *[first] * 3, *[second] * 3, "none"]
        said = f"sites.bed line 2: '{second}' covers bases of another class"
        warned = capsys.readouterr().err
        assert (said in warned and "(2 bases)" in warned) == disputed


@pytest.mark.parametrize(
    ("bed", "message"),
    [
        ("chr1\t5\t9\n", "a fourth column with the class of each interval is required"),
        ("chr9\t5\t9\tdonor\n", "none of its intervals lies in a row of"),
        ("chr1\t9\t5\tdonor\n", "sites.bed line 1: chr1:9-5 is empty"),
    ],
)
def test_annotations_that_cannot_be_used_are_refused(bed: str, message: str, tmp_path: Path) -> None:
    genome = write_fasta(tmp_path / "genome.fa", {"chr1": "ACGT" * 20})
    (tmp_path / "sites.bed").write_text(bed)
    (tmp_path / "windows.tsv").write_text("chrom\tstart\tend\nchr1\t0\t40\n")
    with pytest.raises(InputError, match=message):
        label_bases(tables.read(tmp_path / "windows.tsv", genome=genome), tmp_path / "sites.bed")
    with pytest.raises(InputError, match="rows with chrom, start and end are required"):
        label_bases(tables.from_sequences(["ACGT"]), tmp_path / "sites.bed")


@pytest.mark.parametrize(
    ("long", "features"),
    [
        ("mean", "mean"),
        ("attention", "mean"),
        ("lstm", "mean"),
        ("concat", "mean"),
        ("attention", "layers"),
        ("lstm", "layers"),
        ("concat", "layers"),
    ],
)
def test_long_sequences(long: str, features: str, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        favourite = rng.integers(2)
        weights = [0.4, 0.2, 0.2, 0.2] if favourite else [0.2, 0.2, 0.2, 0.4]
        return "".join(rng.choice(list("GCAT"), int(rng.integers(50, 100)), p=weights)) + f"\t{favourite}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    result = dnabert.finetune(
        data, model, tmp_path / "out", long=long, window=40, features=features, **TUNE | {"epochs": 5}
    )
    assert result.test is not None
    assert result.test.metrics["mcc"].value > 0.5
    again = dnabert.evaluate(result.folder, data, precision="float32", batch_tokens=300)
    assert again.metrics["mcc"] == result.test.metrics["mcc"]


def test_long_windows_have_a_vector_each(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    loaded = checkpoint.load(
        model, "classification", ("a", "b"), long="mean", window=40, window_step=35, long_windows=9
    )
    checkpoint.save(loaded, tmp_path / "long", {})
    sequence = random_dna(100, rng)
    long = dnabert.load(tmp_path / "long", precision="float32")
    config = long.engine.checkpoint.model.config
    whole = long.predict([sequence]).logits
    config.long = None
    parts = long.predict([sequence[0:40], sequence[35:75], sequence[60:100]]).logits
    # the mean of vectors before a linear layer is the mean of logits after it
    np.testing.assert_allclose(whole[0], parts.mean(axis=0), atol=1e-5)


def test_too_long_sequences_name_the_option(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlabel", lambda: f"{random_dna(600, rng)}\t{rng.integers(2)}")
    with pytest.raises(InputError, match=r"line 2: the sequence has 600 bases.*or fine-tune with --long"):
        dnabert.finetune(data, model, tmp_path / "out", **TUNE)
    assert not (tmp_path / "out").exists()


def test_pairs_are_read_with_segments(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        first, second = random_dna(12, rng), random_dna(12, rng)
        alike = rng.random() < 0.5
        return f"{first}{'GGGG' * alike}\t{second}{'TTTT' * alike}\t{'yes' if alike else 'no'}"

    data = write_splits(tmp_path / "data", "sequence\tsequence2\tlabel", row)
    result = dnabert.finetune(data, model, tmp_path / "out", features="cls", **TUNE)
    assert result.test is not None
    assert result.test.metrics["mcc"].value > 0.5
    # transformers reads the same pair padded, with token types
    theirs = transformers.BertForSequenceClassification.from_pretrained(result.folder).eval()
    table = tables.read(data / "test.tsv")
    ours = dnabert.load(result.folder, precision="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.folder)
    assert table.second is not None
    first, second = table.sequences[0].as_py(), table.second[0].as_py()
    a, b = (tokenizer(one)["input_ids"] for one in (first, second))
    with torch.no_grad():
        expected = theirs(
            torch.tensor([a + b[1:]]), token_type_ids=torch.tensor([[0] * len(a) + [1] * (len(b) - 1)])
        ).logits
    np.testing.assert_allclose(ours.predict(table).logits[0], expected[0], atol=1e-5)
    short = tables.read(data / "test.tsv")._replace(second=tables.from_sequences(["AC"] * 40).sequences)
    with pytest.raises(InputError, match="the sequence has 2 bases, at least 3 are needed"):
        ours.predict(short)
    long = table._replace(second=tables.from_sequences(["ACGT" * 130] * 40).sequences)
    with pytest.raises(InputError, match=r"its two sequences make 5\d\d k-mers, .* takes at most 509 3-mers of both"):
        ours.predict(long)
    with pytest.raises(InputError, match=r"reads two \(the columns .* and 'sequence2'\), these rows have one"):
        ours.predict(["ACGTACGTAC"])
    single = tiny_model(tmp_path / "single", "classification", k=3, labels=("a", "b"), pairs=False)
    with pytest.raises(InputError, match="this model reads one sequence a row, these rows have two"):
        dnabert.load(single).predict(table)


def test_both_strands_are_one(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        bound = rng.random() < 0.5
        return f"{random_dna(15, rng)}{'GGGCCA' if bound else 'ATTACG'}{random_dna(15, rng)}\t{int(bound)}"

    data = write_splits(tmp_path / "data", "sequence\tlabel", row)
    result = dnabert.finetune(data, model, tmp_path / "out", strand="both", **TUNE)
    assert result.test is not None
    assert result.test.metrics["mcc"].value > 0.7
    loaded = dnabert.load(result.folder, precision="float32")
    table = tables.read(data / "test.tsv")
    np.testing.assert_allclose(
        loaded.predict(table).logits, loaded.predict(tables.reverse_complemented(table)).logits, atol=1e-5
    )
    given = dnabert.evaluate(result.folder, data, strand="given", precision="float32")
    assert given.metrics["auroc"].value > 0.9  # it has seen both


def test_concat_has_room_for_the_windows_of_training(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_bound(tmp_path / "data", rng)  # 40 bases: two windows
    result = dnabert.finetune(data, model, tmp_path / "out", long="concat", window=30, **TUNE | {"epochs": 1})
    (tmp_path / "longer.tsv").write_text(f"sequence\n{random_dna(40, rng)}\n{random_dna(90, rng)}\n")
    with pytest.raises(InputError, match=r"line 3: 4 windows, and --long concat has room for the 2"):
        dnabert.predict_file(result.folder, tmp_path / "longer.tsv", tmp_path / "p.tsv")
    assert not (tmp_path / "p.tsv").exists()


@pytest.mark.parametrize("long", ["mean", "attention", "lstm"])
def test_rows_are_pooled_in_parts(
    long: str, model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = checkpoint.load(model, "classification", ("a", "b"), long=long, window=20, window_step=15)
    checkpoint.save(loaded, tmp_path / "long", {})
    started = dnabert.load(tmp_path / "long", precision="float32")
    sequences = [random_dna(int(length), rng) for length in rng.integers(10, 300, 30)]
    alone = np.concatenate([started.predict([sequence]).logits for sequence in sequences])
    for most in (predicting.WINDOWS_AT_ONCE, 25):
        monkeypatch.setattr(predicting, "WINDOWS_AT_ONCE", most)
        np.testing.assert_allclose(started.predict(sequences).logits, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "guess"}, "--task guess: there is no such task"),
        ({"strand": "left"}, "--strand left: give one of given, both"),
        ({"long": "max"}, "--long max: give one of mean, attention, lstm, concat"),
        ({"window": 30}, "--window 30 goes with --long"),
        ({"keep": "some"}, "--keep some: give one of all, kmers"),
        ({"keep": "kmers", "from_scratch": True}, "--from-scratch keeps nothing of the model"),
        ({"method": "half"}, "--method half: give one of auto, full, lora, frozen"),
        ({"long": "mean", "window": 2}, "--window 2: 3 to 512 bases are required"),
        ({"task": "regression", "class_weights": True}, "numbers have no classes"),
        ({"label": ["score"]}, "there is no column 'score'"),
        ({"label": ["label", "label"]}, "--label label: this column is named twice"),
        ({"learning_rate": 0.0}, "--learning-rate 0: a number above 0 is required"),
        ({"method": "frozen"}, "--method frozen has no use for --epochs and --learning-rate and --batch-size; leave"),
        ({"rank": 4}, "--method auto has no use for --rank; leave out"),
        ({"rank": 33, "method": "lora"}, "--rank 33: matrices of 32 rows at most are required"),
        ({"labels": "names.tsv"}, "a folder brings its own labels"),
        ({"label": "score"}, "there is no column 'score'"),  # one name is a name, not letters
        ({"epochs": -1}, "--epochs -1: 1 or more is required"),
        ({"rows": 0}, "--rows 0: 1 or more is required"),
        ({"batch_size": 0}, "--batch-size 0: 1 or more is required"),
        ({"seed": -1}, "--seed -1: 0 or more is required"),
        ({"split_by": "similarity"}, "a folder brings its own splits; leave --split-by out"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    change: dict[str, Any], message: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlabel", lambda: f"{random_dna(30, rng)}\t{rng.integers(2)}", 20)
    with pytest.raises(InputError, match=message):
        dnabert.finetune(data, model, tmp_path / "out", **TUNE | change)
    assert not (tmp_path / "out").exists()


def test_the_command_prints_what_the_task_calls_for(model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = write_splits(tmp_path / "data", "sequence\tlevel", lambda: f"{random_dna(30, rng)}\t{rng.normal()}", 40)
    options = ("--epochs", 1, "--device", "cpu", "--out", tmp_path / "out")
    done = run_command("finetune", data, "--model", model, "--label", "level", *options)
    assert "pearson" in done.stdout
    assert "true \\ predicted" not in done.stdout
    assert "1 numbers (level), strand given" in done.stderr
    done = run_command("predict", tmp_path / "out", data / "test.tsv", "--out", tmp_path / "p.csv", "--strand", "both")
    assert (tmp_path / "p.csv").read_text().startswith("sequence,level,prediction\n")


@pytest.fixture
def scanner(model: Path, tmp_path: Path, rng: np.random.Generator) -> Path:
    """A classifier of 40 bases that looks for G."""
    data = write_bound(tmp_path / "data", rng)
    return dnabert.finetune(data, model, tmp_path / "scanner", **TUNE).folder


@pytest.mark.parametrize("scan", ["max", "mean", "second"])
def test_long_sequences_are_scanned(scan: str, scanner: Path, rng: np.random.Generator) -> None:
    loaded = dnabert.load(scanner, precision="float32")
    long = ["".join(rng.choice(list("GCAT"), n)) for n in (40, 55, 200)]
    found = loaded.predict(long, scan=scan, step=15)
    for i, sequence in enumerate(long):
        starts = sorted({*range(0, len(sequence) - 40, 15), len(sequence) - 40})
        odds = loaded.predict([sequence[start : start + 40] for start in starts]).logits
        each = np.sort(odds[:, 1] - odds[:, 0])
        expected = {"max": each[-1], "mean": each.mean(), "second": each[-2] if len(each) > 1 else each[-1]}[scan]
        assert found.logits[i, 1] - found.logits[i, 0] == pytest.approx(expected, abs=1e-4)
        assert found.outputs[i, 1] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-5)


def test_the_threshold_is_chosen_on_dev(scanner: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    def row() -> str:
        bound = rng.integers(2)
        inside = "".join(rng.choice(list("GCAT"), 60, p=[0.5, 0.2, 0.15, 0.15] if bound else [0.2, 0.2, 0.2, 0.4]))
        return f"{random_dna(60, rng)}{inside}{random_dna(60, rng)}\t{'yes' if bound else 'no'}"

    data = write_splits(tmp_path / "long", "sequence\tlabel", row)
    plain = dnabert.evaluate(scanner, data, scan="max", step=10, precision="float32")
    chosen = dnabert.evaluate(scanner, data, scan="max", step=10, dev=data / "dev.tsv", precision="float32")
    assert chosen.metrics["auroc"] == plain.metrics["auroc"]  # a threshold does not change the order
    assert chosen.metrics["mcc"].value > plain.metrics["mcc"].value  # the highest of many windows is nearly always high
    done = run_command(
        "evaluate", scanner, data, "--scan", "max", "--step", 10, "--dev", data / "dev.tsv", "--device", "cpu"
    )
    assert "threshold" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scan": "best"}, "--scan best: give one of max, mean, second"),
        ({"scan": "max", "window": 2}, "--window 2: 3 to 512 bases are required"),
        ({"step": 5}, "--step 5 goes with --scan"),
        ({"window": 20}, "--window 20 goes with --scan"),
    ],
)
def test_scans_that_cannot_be_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    loaded = dnabert.load(tiny_model(tmp_path / "two", "classification", k=3, labels=("a", "b")))
    with pytest.raises(InputError, match=message):
        loaded.predict(["ACGTACGT"], **options)
    three = dnabert.load(tiny_model(tmp_path / "three", "classification", k=3, labels=("a", "b", "c")))
    with pytest.raises(InputError, match="windows of 3 classes have no order"):
        three.predict(["ACGTACGT"], scan="max", window=8)


@pytest.mark.parametrize(
    ("first", "step", "message"),
    [
        (1e15, 1, "'y' is 1e[+]15 in the mean and spreads by .* float32 numbers, of 7 digits; subtract a constant"),
        (3e20, 0, "'y' is the same in all training rows"),
    ],
)
def test_numbers_that_float32_cannot_tell_apart_are_refused(
    first: float, step: int, message: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    def row() -> str:
        return f"{random_dna(30, rng)}\t{first + step * rng.integers(99)}"

    data = write_splits(tmp_path / "data", "sequence\ty", row)
    with pytest.raises(InputError, match=message):
        dnabert.finetune(data, model, tmp_path / "out", label="y", task="regression", **TUNE)
    assert not (tmp_path / "out").exists()


def test_a_label_that_is_the_same_in_all_rows_is_warned_of(
    model: Path, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_splits(tmp_path / "data", "sequence\ta\tb", lambda: f"{random_dna(30, rng)}\t{rng.integers(2)}\t0")
    dnabert.finetune(data, model, tmp_path / "out", label=["a", "b"], **TUNE | {"epochs": 1})
    assert "Warning: 'b': the same in all training rows" in capsys.readouterr().err
