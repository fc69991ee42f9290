"""Names and places of motifs."""

import numpy as np
import pytest

from dnabert.interpretation.matching import best_matches, consensus, find_instances, trim
from dnabert.sequence import tables


def motif_of(text: str, sure: float = 0.97) -> np.ndarray:
    motif = np.full((len(text), 4), (1 - sure) / 3)
    motif[np.arange(len(text)), ["ACGT".index(base) for base in text]] = sure
    return motif


@pytest.fixture
def database(rng: np.random.Generator) -> dict[str, np.ndarray]:
    others = {f"other {i}": rng.dirichlet([0.3] * 4, size=9) for i in range(40)}
    return others | {"REB1": motif_of("TTACCCGG")}


def test_a_motif_is_found_in_the_database_shifted_and_turned(database: dict[str, np.ndarray]) -> None:
    known = database["REB1"]
    cut, padded = known[2:], np.concatenate([np.full((3, 4), 0.25), known])
    queries = {"same": known, "cut": cut, "padded": padded, "turned": padded[::-1, ::-1]}
    same, shorter, longer, turned = best_matches(queries, database)
    assert {match.name for match in (same, shorter, longer, turned)} == {"REB1"}
    assert [match.offset for match in (same, shorter, longer)] == [0, -2, 3]
    assert (turned.strand, turned.offset) == ("-", 0)
    np.testing.assert_array_equal(turned.motif, known[::-1, ::-1])
    assert same.p < 1e-8
    assert same.p < same.q < 1e-6


def test_noise_matches_nothing(database: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    (match,) = best_matches({"noise": rng.dirichlet([5] * 4, size=8)}, database)
    assert match.q > 0.01
    assert best_matches({}, database) == []


def test_a_small_database_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    best_matches({"one": motif_of("ACGTA")}, {"a": motif_of("ACGTA"), "b": motif_of("GGGGG")})
    assert "a database of 2 motifs is small" in capsys.readouterr().err


def test_instances_are_found_on_both_strands(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = ["AAAATTACCCGGAAAA", "CCGGGTAANNN" + "A" * 30, "ACGT", "TTACCCGGTTACCCGG"]
    table = tables.from_sequences(sequences)
    for rows in (2000, 1):
        monkeypatch.setattr("dnabert.interpretation.matching.FIMO_ROWS", rows)
        (found,) = find_instances({"REB1": motif_of("TTACCCGG")}, table)
        places = list(zip(found.rows.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True))
        assert places == [(0, 4, 12), (1, 0, 8), (3, 0, 8), (3, 8, 16)]
        assert found.minus.tolist() == [False, True, False, False]
        assert (found.p < 1e-4).all()
    assert find_instances({}, table) == []


def test_no_instance_lies_after_the_end_or_on_unknown_bases() -> None:
    motif = "TTACCCGTTACC"
    short, unknown = "ACGATGCAGCTAGCATG" + motif[:9] + "TTA", "A" * 8 + "TTACCNNTTACC" + "A" * 32
    table = tables.from_sequences(["G" * 20 + motif + "G" * 20, short, unknown])
    (found,) = find_instances({"M": motif_of(motif)}, table)
    assert [row[:3] for row in zip(found.rows.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True)] == [
        (0, 20, 32)
    ]


def test_ends_that_say_nothing_are_cut_off() -> None:
    motif = np.concatenate([np.full((5, 4), 0.25), motif_of("ACG"), np.full((1, 4), 0.25), motif_of("T")])
    assert trim(motif) == slice(5, 10)
    assert trim(np.full((4, 4), 0.25)) == slice(0, 4)


def test_a_consensus_has_two_letter_codes() -> None:
    rows = [[0.9, 0.1, 0, 0], [0.5, 0, 0.4, 0.1], [0.25] * 4, [0, 0.5, 0, 0.5], [0, 0, 0, 1]]
    assert consensus(np.array(rows)) == "ARNYT"
