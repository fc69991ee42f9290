"""Near duplicates on both strands."""

import functools
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dnabert.sequence import similarity, tables
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement
from dnabert.sequence.tables import Table
from tests.conftest import random_dna


def other_strand(sequence: str) -> str:
    return decode_bases(reverse_complement(encode_bases(sequence)))


def mutated(sequence: str, places: list[int]) -> str:
    letters = list(sequence)
    for place in places:
        letters[place] = {"A": "C", "C": "G", "G": "T", "T": "A"}[letters[place]]
    return "".join(letters)


def near(sequences: list[str], threshold: float = 0.5, **options: np.ndarray) -> dict[tuple[int, int], float]:
    table = tables.from_sequences(sequences)
    pairs = similarity.near_pairs(table.letters, table.offsets, threshold, **options)
    return dict(
        zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.similarity.tolist(), strict=True)
    )


@functools.cache
def canonical_kmers(sequence: str) -> Counter[str]:
    k = similarity.K
    kmers = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    return Counter(min(kmer, other_strand(kmer)) for kmer in kmers if "N" not in kmer)


def plainly(left: str, right: str) -> float:
    """Compute the similarity as the definition says."""
    counts = canonical_kmers(left), canonical_kmers(right)
    shared = sum((counts[0] & counts[1]).values())
    return shared / max(1, min(sum(count.values()) for count in counts))


def family(rng: np.random.Generator, length: int, members: int, rate: float) -> list[str]:
    base = random_dna(length, rng)
    result = []
    for _ in range(members):
        copy = mutated(base, np.flatnonzero(rng.random(length) < rate).tolist())
        result.append(copy if rng.random() < 0.5 else other_strand(copy))
    return result


def test_hashes_know_both_strands(rng: np.random.Generator) -> None:
    sequences = [random_dna(30, rng), "ACGTNACG", "acgtuacg", "ACGT", "AAAA", "AAAAA"]
    table = tables.from_sequences([*sequences, *map(other_strand, sequences)])
    hashes = similarity.strand_hashes(table.letters, table.offsets)
    assert (hashes.forward[:6] == hashes.reverse[6:]).all()
    assert (hashes.either[:6] == hashes.either[6:]).all()
    assert len(set(hashes.either.tolist())) == 6
    assert hashes.forward[3] == hashes.reverse[3]  # ACGT reads the same on both strands


def test_the_similarity_is_what_the_definition_says(rng: np.random.Generator) -> None:
    base = random_dna(70, rng)
    one = mutated(base, [35])
    sequences = [base, one, other_strand(base), mutated(base, [20, 45]), base[20:] + random_dna(20, rng), base[10:50]]
    found = near(sequences, 0.3)
    for (left, right), value in found.items():
        assert value == pytest.approx(plainly(sequences[left], sequences[right]))
    assert found[0, 1] == pytest.approx(49 / 60)
    assert found[0, 2] == 1
    assert found[0, 5] == 1
    assert found[0, 4] == pytest.approx(40 / 60)
    repeat = ["CA" * 35, random_dna(30, rng) + "CA" * 10 + random_dna(20, rng)]
    assert near(repeat, 0.1) == {(0, 1): pytest.approx(plainly(*repeat))}
    assert plainly(*repeat) < 0.2  # a short repeat in common is no duplicate of a long one


@pytest.mark.parametrize(("length", "rate"), [(70, 0.02), (101, 0.02), (300, 0.02), (1200, 0.02), (101, 0.0)])
def test_finds_the_pairs_that_all_against_all_finds(length: int, rate: float, rng: np.random.Generator) -> None:
    sequences = [sequence for _ in range(12) for sequence in family(rng, length, 4, rate)]
    expected = {
        (i, j): value
        for i in range(len(sequences))
        for j in range(i + 1, len(sequences))
        if (value := plainly(sequences[i], sequences[j])) >= 0.5
    }
    found = near(sequences)
    assert len(expected) > 40
    assert set(found) <= set(expected)
    assert len(found) >= 0.99 * len(expected)
    for pair, value in found.items():
        assert value == pytest.approx(expected[pair])


def test_only_pairs_of_different_groups(rng: np.random.Generator) -> None:
    base = random_dna(80, rng)
    groups = np.array([0, 0, 1])
    assert set(near([base, mutated(base, [40]), other_strand(base)], groups=groups)) == {(0, 2), (1, 2)}


def test_large_families_and_the_same_sequence_many_times(rng: np.random.Generator) -> None:
    base = random_dna(120, rng)
    sequences = [mutated(base, [place]) for place in range(120)] * 3 + [random_dna(120, rng) for _ in range(200)]
    order = rng.permutation(len(sequences))
    table = tables.from_sequences([sequences[i] for i in order])
    found = similarity.clusters(table.letters, table.offsets)
    assert found.max() + 1 == 201
    assert len(set(found[order < 360])) == 1
    firsts = [int(np.flatnonzero(found == cluster)[0]) for cluster in range(201)]
    assert firsts == sorted(firsts)


def test_what_has_no_seeds(rng: np.random.Generator) -> None:
    empty = Table(*tables.from_sequences(["ACGT"]))
    assert similarity.clusters(empty.letters, empty.offsets[:1]).tolist() == []
    table = tables.from_sequences(["ACGTA", "TACGT", "ACGTC", "N" * 40, "N" * 40, random_dna(40, rng)])
    assert similarity.clusters(table.letters, table.offsets).tolist() == [0, 0, 1, 2, 2, 3]
    with pytest.raises(ValueError, match=r"the threshold must be above 0 and at most 1, not 1.5"):
        similarity.near_pairs(table.letters, table.offsets, 1.5)


@pytest.mark.real_data
def test_real_clusters_are_those_of_all_against_all(real_data: Path) -> None:
    """Mouse sequences with simple repeats: of a large family some pairs are missed, but it stays one cluster."""
    table = tables.read(real_data / "gue/mouse/2/test.csv")
    sequences = table.sequences.to_pylist()
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(table.rows), 2)
        if plainly(sequences[i], sequences[j]) >= similarity.NEAR
    ]
    graph = coo_array((np.ones(len(pairs)), tuple(zip(*pairs, strict=True))), shape=(table.rows, table.rows))
    expected = connected_components(graph, directed=False)[1]
    found = similarity.clusters(table.letters, table.offsets)
    assert len(pairs) > 100
    assert len(set(zip(expected.tolist(), found.tolist(), strict=True))) == found.max() + 1 == expected.max() + 1


def test_seeds_in_slabs_give_the_same_pairs(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [sequence for _ in range(30) for sequence in family(rng, 150, 3, 0.02)]
    whole = near(sequences)
    monkeypatch.setattr(similarity, "_SLAB", 50)
    assert near(sequences) == whole
