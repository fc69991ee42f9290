"""Scores of variants: against both sequences as strings, predicted one by one with transformers."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from dnabert.errors import InputError
from dnabert.inference import engine, variants
from dnabert.inference.variants import Settings
from dnabert.sequence.genome import Genome
from dnabert.sequence.kmers import vocabulary
from dnabert.sequence.loci import parse_region
from dnabert.sequence.variant_files import saturation_chunks
from dnabert.sequence.variants import REASONS, Alleles, screen
from tests.conftest import random_dna, tiny_model, write_fasta

K = 4
WINDOW = 41
COMPLEMENT = str.maketrans("ACGTN.", "TGCAN.")


class Variant(NamedTuple):
    contig: str
    start: int
    ref: str
    alt: str


@pytest.fixture(scope="module")
def contigs() -> dict[str, str]:
    rng = np.random.default_rng(11)
    long = random_dna(900, rng)
    chr1 = long[:120] + "N" + long[121:400] + "N" * 5 + long[405:700] + "N" + long[701:]
    return {"chr1": chr1, "chr2": random_dna(300, rng), "short": random_dna(33, rng)}


@pytest.fixture(scope="module")
def drawn(contigs: dict[str, str]) -> list[Variant]:
    """500 variants of every kind, many at the ends of contigs."""
    rng = np.random.default_rng(5)
    found: list[Variant] = []
    names = list(contigs)
    while len(found) < 500:
        name = names[rng.choice(3, p=[0.6, 0.3, 0.1])]
        sequence = contigs[name]
        n_ref, n_alt = [(1, 1), (2, 2), (3, 3), (1, 4), (1, 12), (5, 1), (9, 1), (4, 2), (3, 0), (1, 25)][
            rng.integers(10)
        ]
        last = len(sequence) - n_ref
        start = int(rng.choice([rng.integers(0, last + 1), rng.integers(0, 5), last - rng.integers(0, 5)]))
        ref = sequence[start : start + n_ref]
        if "N" not in ref:
            found.append(Variant(name, start, ref, random_dna(n_alt, rng)))
    return found


def as_alleles(listed: list[Variant], genome: Genome) -> Alleles:
    contig = np.array([genome.names.index(one.contig) if one.contig in genome.names else -1 for one in listed])
    ref, alt = (pa.array([getattr(one, name) for one in listed], pa.large_string()) for name in ("ref", "alt"))
    start = np.array([one.start for one in listed])
    return screen(pa.table({"ref": ref}), contig, start, ref, alt, np.arange(len(listed)), genome)


def both_windows(one: Variant, sequence: str, offset: int) -> tuple[str, str, int, int]:
    """Both alleles' windows as strings, and the bases before the allele in each."""
    lost = max(0, len(one.ref) - len(one.alt))
    length = min(WINDOW, len(sequence) - lost)
    left = (length - len(one.ref)) // 2 + offset
    left = max(0, min(left, length - max(len(one.ref), len(one.alt))))
    first = max(0, min(one.start - left, len(sequence) - lost - length))
    changed = sequence[: one.start] + one.alt + sequence[one.start + len(one.ref) :]
    shift = 0
    if first < one.start - left:  # moved by the contig's end: there both windows end at the same base, if they can
        gain = len(one.alt) - len(one.ref)
        left = max(max(0, gain), min((length - len(one.ref)) // 2 + offset, length - len(one.ref)))
        other = max(lost, min(one.start - left, len(sequence) - length))
        if max(0, gain) <= one.start - other <= length - len(one.ref):
            first, shift = other, gain
    ref, alt = sequence[first : first + length], changed[first + shift : first + shift + length]
    assert ref != alt or changed == sequence or one.start + len(one.ref) + lost < len(sequence)
    return ref, alt, one.start - first, one.start - first - shift


def reverse(sequence: str) -> str:
    return sequence[::-1].translate(COMPLEMENT)


class Slow:
    """The obvious way: transformers, one sequence at a time."""

    def __init__(self, folder: Path, kind: Any) -> None:
        self.model = kind.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def logits(self, sequence: str) -> np.ndarray:
        with torch.no_grad():
            return self.model(**self.tokenizer(sequence, return_tensors="pt")).logits[0].double().numpy()

    def vector(self, sequence: str) -> np.ndarray:
        with torch.no_grad():
            hidden = self.model.bert(**self.tokenizer(sequence, return_tensors="pt")).last_hidden_state[0]
        return hidden[1:-1].mean(dim=0).double().numpy()

    def likelihood(self, sequence: str, first: int, last: int) -> float:
        """Log-likelihood of the bases first to last - 1, all of them hidden, over four equal chances each."""
        tokens = self.tokenizer(sequence, return_tensors="pt")
        count = len(sequence) - K + 1
        for token in range(count):
            if token < last and token + K > first:
                tokens["input_ids"][0, token + 1] = self.tokenizer.mask_token_id
        with torch.no_grad():
            probabilities = self.model(**tokens).logits[0].double().softmax(dim=1).numpy()
        total = 0.0
        for base in range(first, last):
            token = max(0, min(base - K // 2, count - 1))
            agree = [i for i, kmer in enumerate(vocabulary(K)) if i >= 5 and kmer[base - token] == sequence[base]]
            if sequence[base] != "N":
                total += math.log(probabilities[token + 1, agree].sum()) + math.log(4)
        return total


def trimmed(ref: str, alt: str) -> tuple[int, str, str]:
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    shared = 0
    while ref and alt and ref[0] == alt[0]:
        ref, alt, shared = ref[1:], alt[1:], shared + 1
    return shared, ref, alt


@pytest.fixture(scope="module")
def genome(contigs: dict[str, str]) -> Genome:
    letters = np.frombuffer("".join(contigs.values()).encode(), dtype=np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in contigs.values()])])
    return Genome.of_letters(Path("genome.fa"), list(contigs), letters, offsets)


@pytest.mark.parametrize(("labels", "offsets", "strand"), [(("0", "1"), (0,), "both"), (("a", "b", "c"), (-7, 4), "-")])
def test_a_classifier_equals_the_obvious_way(
    labels: tuple[str, ...],
    offsets: tuple[int, ...],
    strand: str,
    contigs: dict[str, str],
    drawn: list[Variant],
    genome: Genome,
    tmp_path: Path,
) -> None:
    folder = tiny_model(tmp_path / "model", "classification", k=K, labels=labels)
    started = engine.start(folder, precision="float32")
    listed = drawn if len(labels) == 2 else drawn[:100]
    got = variants.score(started, genome, as_alleles(listed, genome), Settings(WINDOW, offsets, strand))
    slow = Slow(folder, transformers.BertForSequenceClassification)
    turns = {"both": (str, reverse), "-": (reverse,)}[strand]
    expected = []
    for one in listed:
        seen = []
        for offset in offsets:
            ref, alt, *_ = both_windows(one, contigs[one.contig], offset)
            seen += [[slow.logits(turn(ref)), slow.logits(turn(alt))] for turn in turns]
        p_ref, p_alt = np.exp(np.mean(seen, axis=0)) / np.exp(np.mean(seen, axis=0)).sum(axis=1, keepdims=True)
        row = []
        for c in range(1 if len(labels) == 2 else 0, len(labels)):
            r, a = p_ref[c], p_alt[c]
            odds = math.log2(r / (1 - r)) - math.log2(a / (1 - a))
            row += [r, a, a - r, (a - r) * max(r, a), odds]
        expected.append(row)
    np.testing.assert_allclose(got.values, expected, atol=1e-5)
    names = [field.name for field in variants.fields(started.checkpoint, Settings(WINDOW))]
    assert names[:5] == [
        name + ("" if len(labels) == 2 else "_a") for name in ("p_ref", "p_alt", "difference", "score", "log_odds")
    ]
    flags = got.flags.to_pylist()
    assert {"contig_end", None} <= set(flags)
    assert any("unknown_bases" in (flag or "") for flag in flags)
    for one, flag in zip(listed, flags, strict=True):
        windows = [both_windows(one, contigs[one.contig], offset)[:2] for offset in offsets]
        assert ("N" in "".join(sum(windows, ()))) == ("unknown_bases" in (flag or ""))


@pytest.mark.parametrize(("distance", "count"), [("cosine", 500), ("l2", 60), ("none", 60)])
def test_a_pretrained_model_equals_the_obvious_way(
    distance: str, count: int, contigs: dict[str, str], drawn: list[Variant], genome: Genome, tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path / "model", k=K)
    started = engine.start(folder, precision="float32")
    listed = drawn[:count]
    got = variants.score(started, genome, as_alleles(listed, genome), Settings(WINDOW, distance=distance)).values
    slow = Slow(folder, transformers.BertForMaskedLM)
    expected = []
    for one in listed:
        ref, alt, *lefts = both_windows(one, contigs[one.contig], 0)
        shared, only_ref, only_alt = trimmed(one.ref, one.alt)
        flank = int(len(only_ref) != len(only_alt))
        ratios, distances = [], []
        for minus in (False, True):
            total = []
            for window, allele, left in zip((ref, alt), (only_ref, only_alt), lefts, strict=True):
                first = max(0, left + shared - flank)
                last = min(len(window), left + shared + len(allele) + flank)
                if minus:
                    total.append(slow.likelihood(reverse(window), len(window) - last, len(window) - first))
                else:
                    total.append(slow.likelihood(window, first, last))
            ratios.append(total[1] - total[0])
            u, v = (slow.vector(reverse(window) if minus else window) for window in (ref, alt))
            cosine = 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v)
            distances.append({"cosine": cosine, "l2": np.linalg.norm(u - v), "none": 0.0}[distance])
        expected.append([np.mean(ratios), np.mean(distances)])
    columns = 1 if distance == "none" else 2
    np.testing.assert_allclose(got, np.array(expected)[:, :columns], atol=1e-5)


def test_log_odds_stay_finite_where_probabilities_are_0_and_1() -> None:
    logits = np.array([[[-400.0, 400.0], [-300.0, 300.0]], [[400.0, -400.0], [400.0, -401.0]]])
    values = variants._class_summary(logits)
    np.testing.assert_allclose(values[:, 4], np.array([200.0, 1.0]) / math.log(2))
    assert np.isfinite(values).all()


def test_labels_that_stand_alone_and_numbers() -> None:
    outputs = np.array([[[0.5, -2.0], [1.5, -2.0]]])  # one site, both alleles, two outputs
    np.testing.assert_allclose(variants._number_summary(outputs), [[0.5, 1.5, 1.0, -2.0, -2.0, 0.0]])
    p = 1 / (1 + np.exp(-outputs[0]))
    expected = [
        [r, a, a - r, (a - r) * max(r, a), math.log2(r / (1 - r)) - math.log2(a / (1 - a))]
        for r, a in zip(*p, strict=True)
    ]
    np.testing.assert_allclose(variants._label_summary(outputs)[0], np.concatenate(expected), atol=1e-12)


def saturated(genome: Genome, start: int, end: int) -> Alleles:
    return next(saturation_chunks(parse_region(f"chr2:{start}-{end}", genome), genome, 10_000))


def test_no_window_is_computed_twice(genome: Genome, tmp_path: Path) -> None:
    alleles = saturated(genome, 100, 130)
    assert alleles.rows == 90
    pretrained = engine.start(tiny_model(tmp_path / "pretrained"), precision="float32")
    classifier = engine.start(
        tiny_model(tmp_path / "classifier", "classification", labels=("0", "1")), precision="float32"
    )
    # one masked window a base and strand, whatever the alleles
    assert variants.score(pretrained, genome, alleles, Settings(WINDOW, distance="none")).windows == 30 * 2
    # and the reference's and three alternatives' for the distance
    assert variants.score(pretrained, genome, alleles, Settings(WINDOW)).windows == 30 * 2 + 30 * 4 * 2
    assert variants.score(classifier, genome, alleles, Settings(WINDOW, strand="+")).windows == 30 * 4
    twice = as_alleles([Variant("chr2", 100, "A", "C"), Variant("chr2", 100, "A", "C")] * 3, genome)
    assert variants.score(classifier, genome, twice, Settings(WINDOW, strand="+")).windows == 2


def test_substitutions_of_one_base_come_from_one_distribution(genome: Genome, tmp_path: Path) -> None:
    started = engine.start(tiny_model(tmp_path / "model"), precision="float32")
    alleles = saturated(genome, 100, 101)
    ratios = variants.score(started, genome, alleles, Settings(WINDOW, distance="none", strand="+")).values[:, 0]
    back = [Variant("chr2", 100, str(alt), str(alleles.ref[0])) for alt in alleles.alt]
    flagged = variants.score(started, genome, as_alleles(back, genome), Settings(WINDOW, distance="none", strand="+"))
    np.testing.assert_allclose(flagged.values[:, 0], -ratios, atol=1e-5)
    assert flagged.flags.to_pylist() == ["ref_mismatch"] * 3


def test_what_cannot_be_scored_says_why(genome: Genome, tmp_path: Path, contigs: dict[str, str]) -> None:
    started = engine.start(tiny_model(tmp_path / "model"), precision="float32")
    cases = [
        (Variant("chr1", 100, contigs["chr1"][100], "<DEL>"), "symbolic"),
        (Variant("chr1", 100, "A", "*"), "spanning_deletion"),
        (Variant("chr1", 100, "A", "A]chr2:5]"), "breakend"),
        (Variant("chr1", 100, "A", ".TC"), "breakend"),
        (Variant("chr1", 100, "A", "."), "no_alt"),
        (Variant("chr1", 100, "A", "R"), "not_dna"),
        (Variant("chr1", 100, ".", "A"), "not_dna"),
        (Variant("chr1", 899, "AC", "A"), "outside_contig"),
        (Variant("chr1", -1, "A", "C"), "outside_contig"),
        (Variant("chrX", 5, "A", "C"), "unknown_contig"),
        (Variant("chrX", 5, "A", "<DEL>"), "symbolic"),
        (Variant("chr1", 100, contigs["chr1"][100], "A" * 60), "long_allele"),
        (Variant("chr2", 200, contigs["chr2"][200:250], "A"), "long_allele"),
        (Variant("short", 0, contigs["short"][:30], "A"), "long_allele"),
        (Variant("short", 0, contigs["short"][:31], ""), "short_contig"),
    ]
    alleles = as_alleles([one for one, _ in cases], genome)
    got = variants.score(started, genome, alleles, Settings(WINDOW))
    assert got.flags.to_pylist() == [why for _, why in cases]
    assert np.isnan(got.values).all()
    assert {why for _, why in cases} == set(REASONS[1:])
    assert got.windows == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(514), r"--window 514: this model takes at most 513 bases \(510 4-mers\)"),
        (Settings(7), "--window 7: at least 8 bases"),
        (Settings(41, strand="x"), "--strand x: give one of both, \\+, -"),
        (Settings(41, distance="x"), "--distance x: give one of cosine, l2, none"),
        (Settings(41, (20,)), "--offsets 20: the variant would leave the window"),
        (Settings(41, ()), "one offset or more"),
    ],
)
def test_settings_that_a_model_cannot_take(settings: Settings, message: str, tmp_path: Path) -> None:
    started = engine.start(tiny_model(tmp_path / "model"))
    with pytest.raises(InputError, match=message):
        variants.check_settings(started.checkpoint, settings)


def test_tokens_that_do_not_overlap(genome: Genome, tmp_path: Path) -> None:
    """With stride k one token touches a base; hidden, its marginal at the base's own offset is read."""
    folder = tiny_model(tmp_path / "model", k=3)
    started = engine.start(folder, precision="float32")
    started = started._replace(checkpoint=started.checkpoint._replace(stride=3))
    alleles = saturated(genome, 100, 104)
    got = variants.score(started, genome, alleles, Settings(42, strand="+", distance="none")).values[:, 0]
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for row in range(alleles.rows):
        left = (42 - 1) // 2
        start = int(alleles.start[row]) - left
        window = genome.window("chr2", start, start + 42)
        ids = tokenizer("".join("ATCG"[code] for code in window))["input_ids"][1:-1][::3]
        ids[left // 3] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(torch.tensor([[2, *ids, 3]])).logits[0, left // 3 + 1].double()
        chance = logits.softmax(dim=0).numpy()
        of = {base: chance[[i for i, t in enumerate(vocabulary(3)) if i >= 5 and t[left % 3] == base]].sum()
              for base in "ACGT"}  # fmt: skip
        expected = math.log(of[str(alleles.alt[row])] / of[str(alleles.ref[row])])
        assert got[row] == pytest.approx(expected, abs=1e-5)


def test_contigs_of_a_file_are_the_same_as_sequences_in_memory(
    contigs: dict[str, str], genome: Genome, tmp_path: Path
) -> None:
    opened = Genome.open(write_fasta(tmp_path / "genome.fa", contigs))
    assert opened.names == genome.names
    np.testing.assert_array_equal(opened.codes, genome.codes)
    np.testing.assert_array_equal(opened.starts, genome.starts)
