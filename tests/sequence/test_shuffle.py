"""Shuffles that keep dinucleotides."""

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from dnabert.sequence import tables
from dnabert.sequence.shuffle import shuffle_dinucleotides
from tests.conftest import random_dna


def shuffled(sequences: list[str], seed: int = 0, **options: int) -> list[str]:
    table = tables.from_sequences(sequences)
    result: list[str] = shuffle_dinucleotides(table.letters, table.offsets, seed, **options).to_pylist()
    return result


def dinucleotides(sequence: str) -> Counter[str]:
    return Counter(sequence[i : i + 2] for i in range(len(sequence) - 1))


def test_dinucleotides_and_ends_stay(rng: np.random.Generator) -> None:
    sequences = [random_dna(length, rng) for length in rng.integers(1, 400, 300).tolist()]
    sequences += ["A" * 50, "ACACACAC", "ACGTNNNNNACGNTTTNACGT", "AAAAC", "CAAAA"]
    result = shuffled(sequences)
    for before, after in zip(sequences, result, strict=True):
        assert dinucleotides(before) == dinucleotides(after)
        assert (before[0], before[-1], len(before)) == (after[0], after[-1], len(after))
    moved = [before != after for before, after in zip(sequences, result, strict=True) if len(before) > 30]
    assert sum(moved) == len(moved) - 1  # only the run of A cannot move


def test_lower_case_uracil_and_ambiguous_letters() -> None:
    (result,) = shuffled(["acguracgu"])
    assert dinucleotides(result) == dinucleotides("ACGTNACGT")


@pytest.mark.parametrize("sequence", ["AACGTACGA", "ACACGTCAG", "ATGATCATTG", "ACNANCNGA", "ACAGACA"])
def test_every_permutation_is_equally_likely(sequence: str) -> None:
    """Count against all permutations of the letters that keep the dinucleotides."""
    orders = {sequence[0] + "".join(order) + sequence[-1] for order in itertools.permutations(sequence[1:-1])}
    possible = {order for order in orders if dinucleotides(order) == dinucleotides(sequence)}
    assert len(possible) >= 3
    counts = Counter(shuffled([sequence], seed=5, copies=2000 * len(possible)))
    assert set(counts) == possible
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_a_shuffle_depends_on_seed_row_and_copy_alone(rng: np.random.Generator) -> None:
    sequences = [random_dna(60, rng) for _ in range(20)]
    whole = shuffled(sequences, seed=3, copies=2)
    assert shuffled(sequences[5:9], seed=3, copies=2, first=5) == whole[10:18]
    assert shuffled(sequences, seed=3)[7] == whole[14]
    assert shuffled(sequences, seed=4, copies=2) != whole
    assert len(set(shuffled([sequences[0]] * 30))) == 30


def test_selected_rows_of_a_table_are_read_in_place(rng: np.random.Generator) -> None:
    array = pa.array([random_dna(30, rng) for _ in range(6)], pa.large_string())
    part = tables.from_sequences(array[2:5])
    result = shuffle_dinucleotides(part.letters, part.offsets, 1).to_pylist()
    assert [dinucleotides(text) for text in result] == [dinucleotides(text) for text in array.to_pylist()[2:5]]
