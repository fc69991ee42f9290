"""Motifs: the files they come in, and best matches against the obvious way."""

from pathlib import Path

import numpy as np

from dnabert.sequence.alphabet import encode_bases, reverse_complement
from dnabert.sequence.genome import Genome
from dnabert.sequence.motifs import HIT, choose, disruption, named, read_motifs
from dnabert.sequence.variants import Letters
from tests.conftest import random_dna

COUNTS = np.array([[9, 0, 0, 1], [0, 9, 1, 0], [2, 2, 2, 4], [0, 0, 10, 0], [1, 1, 1, 7]])


def meme(path: Path) -> Path:
    rows = "\n".join(" ".join(f"{value / 10:.2f}" for value in row) for row in COUNTS)
    path.write_text(
        "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF M1 one\n"
        f"letter-probability matrix: alength= 4 w= 5 nsites= 10\n{rows}\nURL x\n\n"
    )
    return path


def test_every_form_is_the_same_motif(tmp_path: Path) -> None:
    (tmp_path / "a.pfm").write_text("# x\n>M1 one\n" + "\n".join("\t".join(map(str, row)) for row in COUNTS) + "\n")
    (tmp_path / "b.jaspar").write_text(
        ">M1 one\n" + "\n".join(f"{b}  [ {' '.join(map(str, row))} ]" for b, row in zip("ACGT", COUNTS.T, strict=True))
    )
    (tmp_path / "c.pfm").write_text(">M1 one\n" + "\n".join(" ".join(map(str, row)) for row in COUNTS.T))
    first = read_motifs(meme(tmp_path / "m.meme"))
    assert first.names == ("M1 one",)
    expected = np.log2(4 * (0.99 * COUNTS / 10 + 0.0025))[:, [0, 3, 1, 2]]
    np.testing.assert_allclose(first.weights, expected, rtol=1e-6)
    for name in ("a.pfm", "b.jaspar", "c.pfm"):
        np.testing.assert_allclose(read_motifs(tmp_path / name).weights, first.weights, rtol=1e-5)


def test_motifs_are_found_by_parts_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.pfm").write_text(
        "".join(f">{name}\n1 2 3 4\n" for name in ("MA0139.1_MA0139.1.CTCF", "CTCF.H13CORE.0.P.B", "MA1 CTCFL"))
    )
    motifs = read_motifs(tmp_path / "a.pfm")
    assert named(motifs, "ctcf") == [0, 1]
    assert named(motifs, "CTCFL") == [2]
    assert named(motifs, "MA0139.1") == [0]
    assert choose(motifs, ["CTCFL", "ctcf"]).names == ("MA1 CTCFL", "MA0139.1_MA0139.1.CTCF", "CTCF.H13CORE.0.P.B")


def best(sequence: str, first: int, last: int, weights: np.ndarray) -> float:
    """Score every window on both strands that overlaps first to last - 1, or crosses the junction if there is none."""
    width, scores = len(weights), [-np.inf]
    for start in range(len(sequence) - width + 1):
        touches = start < last and start + width > first
        window = encode_bases(sequence[start : start + width])
        if touches and (window < 4).all():
            scores += [weights[np.arange(width), strand].sum() for strand in (window, reverse_complement(window))]
    return float(max(scores))


def test_best_matches_are_those_of_the_obvious_way(tmp_path: Path, rng: np.random.Generator) -> None:
    motifs = read_motifs(meme(tmp_path / "m.meme"))
    sequence = random_dna(40, rng) + "N" + random_dna(40, rng)
    genome = Genome.of_letters(Path("g"), ("c",), np.frombuffer(sequence.encode(), np.uint8), np.array([0, 81]))
    kinds = [("A", "C"), ("AC", "GT"), ("A", ""), ("", "GGT"), ("ACG", "")]
    for at in (0, 1, 3, 20, 36, 44, 60, 76, 77):
        for kind in kinds:
            ref, alt = sequence[at : at + len(kind[0])], kind[1]
            if ref and alt and (ref[0] == alt[0] or ref[-1] == alt[-1] or "N" in ref):
                continue
            letters = [Letters(encode_bases(part), np.array([0, len(part)])) for part in (ref, alt)]
            found = disruption(motifs, genome, np.array([0]), np.array([at]), letters[0], letters[1], -1.0)
            changed = sequence[:at] + alt + sequence[at + len(ref) :]
            expected = [
                best(text, at, at + len(part), motifs.weights) for text, part in ((sequence, ref), (changed, alt))
            ]
            if np.isfinite(expected).all():
                np.testing.assert_allclose([found.ref[0], found.alt[0]], expected, rtol=1e-4)
                assert found.motif[0] == 0
            else:
                assert found.motif[0] == -1
    weak = disruption(
        motifs, genome, np.array([0]), np.array([5]), Letters(encode_bases(sequence[5]), np.array([0, 1])),
        Letters(encode_bases(sequence[5]), np.array([0, 1])), HIT,
    )  # fmt: skip
    assert weak.motif[0] in (-1, 0)
