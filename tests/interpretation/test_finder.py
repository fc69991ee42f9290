"""The motif finder beside a plain implementation of the same algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import plain_motifs
from dnabert.interpretation import enrichment, merging, regions
from dnabert.interpretation.regions import Regions, Texts
from dnabert.sequence import tables
from dnabert.sequence.alphabet import decode_bases
from tests.conftest import random_dna

MIN_LENGTH = 5


def spelled(texts: Texts) -> list[str]:
    return [decode_bases(texts.codes[a:b]) for a, b in zip(texts.offsets[:-1], texts.offsets[1:], strict=True)]


def planted(rng: np.random.Generator, rows: int) -> tuple[list[str], list[np.ndarray], list[str]]:
    """Make positives with one of two noisy motifs each, scores that rise there, and negatives."""
    positives, scores = [], []
    for row in range(rows):
        letters = list(random_dna(int(rng.integers(30, 60)), rng))
        score = 0.01 * rng.random(len(letters)) + 0.001
        motif = list(("CGGGTAA", "CACGTGAC")[row % 2])
        if rng.random() < 0.2:
            motif[int(rng.integers(7))] = "ACGT"[int(rng.integers(4))]
        start = int(rng.integers(0, len(letters) - 8))
        letters[start : start + len(motif)] = motif
        low, high = start - int(rng.integers(-1, 2)), start + len(motif) + int(rng.integers(-1, 3))
        score[max(0, low) : high] = 0.2 + 0.1 * rng.random(len(score[max(0, low) : high]))
        if row % 7 == 0:
            letters[int(rng.integers(len(letters)))] = "N"
        positives.append("".join(letters))
        scores.append(score)
    return positives, scores, [random_dna(45, rng) for _ in range(rows)]


def test_what_exceeds_the_upper_quartile(rng: np.random.Generator) -> None:
    scores = padded([rng.random(length) + 1 for length in (40, 7, 1, 30)])
    found = regions.above_quartile(scores)
    for row, one in zip(scores, found, strict=True):
        known = row[np.isfinite(row)]
        least = np.quantile(known, 0.75, method="inverted_cdf")
        np.testing.assert_allclose(one[: len(known)], np.clip(known - least, 0, None))
        assert np.isnan(one[len(known) :]).all()
    assert len(regions.find_regions(scores, 1).rows) == 0  # nothing is ten times the least
    assert len(regions.find_regions(found, 1).rows) > 0


def padded(scores: list[np.ndarray]) -> np.ndarray:
    out = np.full((len(scores), max(map(len, scores))), np.nan)
    for row, score in enumerate(scores):
        out[row, : len(score)] = score
    return out


@pytest.mark.parametrize("rows", [40, 300])
def test_regions_p_values_groups_and_windows_are_the_plain_ones(rows: int, rng: np.random.Generator) -> None:
    positives, scores, negatives = planted(rng, rows)
    plain = plain_motifs.find(scores, positives, negatives, MIN_LENGTH, level=0.05)
    found = regions.find_regions(padded(scores), MIN_LENGTH)
    assert list(zip(*map(np.ndarray.tolist, found), strict=True)) == plain.regions
    table, other = tables.from_sequences(positives), tables.from_sequences(negatives)
    texts = regions.texts_of(table, found)
    tested = enrichment.enrichment(texts, table, other)
    assert sorted(spelled(texts)) == sorted(plain.p)
    np.testing.assert_allclose(tested.p, [plain.p[text] for text in spelled(texts)], rtol=1e-9)
    np.testing.assert_allclose(tested.q, [plain.q[text] for text in spelled(texts)], rtol=1e-9)
    chosen = regions.select_texts(texts, tested.q <= 0.05)
    members = merging.merge(chosen, MIN_LENGTH)
    names = spelled(chosen)
    groups: list[list[tuple[str, int]]] = [[] for _ in members.keys]
    for group, text, shift in zip(members.groups, members.texts, members.shifts, strict=True):
        groups[group].append((names[text], int(shift)))
    assert groups == plain.groups
    assert len(groups) >= 2
    windows = merging.windows_of(chosen, members, np.diff(table.offsets), 24)
    assert [list(zip(w.rows.tolist(), w.starts.tolist(), strict=True)) for w in windows] == plain.windows
    counts = merging.count_bases(table, windows[0], 24)
    spelled_windows = [positives[row][start : start + 24] for row, start in plain.windows[0]]
    assert counts.tolist() == [[sum(one[i] == base for one in spelled_windows) for base in "ACGT"] for i in range(24)]


dna = st.text("ACGT", min_size=2, max_size=9)


def as_texts(words: list[str]) -> Texts:
    """Make texts of words as if each were one region at the start of a row."""
    table = tables.from_sequences(words)
    zeros = np.zeros(len(words), dtype=np.int64)
    return regions.texts_of(table, Regions(np.arange(len(words)), zeros, np.array([len(word) for word in words])))


@given(st.lists(dna, min_size=1, max_size=12, unique=True), st.lists(st.text("ACGTN", min_size=1), min_size=1))
@settings(max_examples=60)
def test_counting_is_looking_for_each_text(words: list[str], sequences: list[str]) -> None:
    texts = as_texts(words)
    counts = enrichment.count_sequences(texts, tables.from_sequences(sequences))
    assert counts.tolist() == [sum(text in sequence for sequence in sequences) for text in spelled(texts)]


@given(st.lists(dna, min_size=1, max_size=12, unique=True), st.integers(2, 6))
@settings(max_examples=100)
def test_merging_is_aligning_every_pair(words: list[str], min_length: int) -> None:
    texts = as_texts(words)
    members = merging.merge(texts, min_length)
    names = spelled(texts)
    groups: list[list[tuple[str, int]]] = [[] for _ in members.keys]
    for group, text, shift in zip(members.groups, members.texts, members.shifts, strict=True):
        groups[group].append((names[text], int(shift)))
    assert groups == plain_motifs.merge(words, min_length)


def test_a_text_that_fits_two_groups_equally_joins_both() -> None:
    texts = as_texts(["AAAAACC", "GGGGGCC", "AAAAACCGGGGGCC"])
    members = merging.merge(texts, 5)
    assert members.keys.tolist() == [0, 1]
    assert list(zip(members.groups.tolist(), members.texts.tolist(), members.shifts.tolist(), strict=True)) == [
        (0, 0, 0),
        (1, 1, 0),
        (0, 2, 0),
        (1, 2, 7),
    ]


def test_flat_scores_have_no_regions() -> None:
    found = regions.find_regions(np.full((3, 20), 0.1), MIN_LENGTH)
    texts = regions.texts_of(tables.from_sequences(["ACGT" * 5] * 3), found)
    assert texts.number == 0
    tested = enrichment.enrichment(texts, *[tables.from_sequences(["ACGT"])] * 2)
    assert tested.p.shape == (0,)


def test_a_run_at_an_end_is_a_region_and_a_short_one_is_none() -> None:
    scores = np.full((2, 12), 0.001)
    scores[0, :5], scores[0, 8:] = 1, 1
    scores[1, 7:] = 1
    assert [part.tolist() for part in regions.find_regions(scores, 5)] == [[0, 1], [0, 7], [5, 12]]
