"""Databases of motifs: every format, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from dnabert import InputError
from dnabert.sequence.motif_files import read_database, write_meme

MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

MOTIF REB1 first
log-odds matrix: alength= 4 w= 2 E= 0
  1 2 3 4
  1 2 3 4

letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0
 0.7 0.1 0.1 0.1
 0.0 0.0 0.5 0.5
"""
JASPAR = """>MA1 REB1
A [ 7 0 ]
C [ 1 0 ]
G [ 1 5 ]
T [ 1 5 ]
"""
RAW_JASPAR = ">MA1 REB1\n7 0\n1 0\n1 5\n1 5\n"
POSITIONS = "# a comment\n>MA1 REB1\n7.0\t1.0\t1.0\t1.0\n0.0\t0.0\t5.0\t5.0\n"
TRANSFAC = """AC  MA1
XX
ID  REB1
XX
P0  A C G T
01  7 1 1 1 A
02  0 0 5 5 K
XX
//
"""


@pytest.mark.parametrize("text", [MEME, JASPAR, RAW_JASPAR, POSITIONS, TRANSFAC])
def test_every_format_says_the_same(text: str, tmp_path: Path) -> None:
    (tmp_path / "motifs.txt").write_text(text)
    ((name, motif),) = read_database(tmp_path / "motifs.txt").items()
    assert "REB1" in name
    np.testing.assert_allclose(motif, [[0.7, 0.1, 0.1, 0.1], [0, 0, 0.5, 0.5]])


PROTEIN = """MEME version 4

ALPHABET= ACDEFGHIKLMNPQRSTVWY

MOTIF zinc
letter-probability matrix: alength= 20 w= 1 nsites= 20 E= 0
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PROTEIN + " 0.05" * 20 + "\n",
            r"motifs of DNA \(ALPHABET= ACGT\) are required, these are of ACDEF",
        ),
        (">P1 zinc\n" + "1 2 3\n" * 20, r"a motif has 20 rows, 4 are required \(A, C, G, T\); is this DNA\?"),
        (
            TRANSFAC.replace("A C G T", "A C D E F G"),
            r"the columns A C G T are required after P0, this file has A C D",
        ),
        ("MEME version 4\n", "this file holds no motif"),
        (
            MEME.replace(" 0.0 0.0 0.5 0.5", " 0.0 rubbish"),
            r"motif 'REB1 first' says w= 2, and 1 rows of numbers follow",
        ),
        (MEME.replace("w= 2 nsites", "w= 3 nsites"), "says w= 3, and 2 rows of numbers follow; is the file whole"),
        (MEME.replace("w= 2 nsites", "w= 1 nsites"), "says w= 1, and 2 rows of numbers follow"),
        (MEME + "MOTIF B\n", "motif 'B' has 0 letter-probability matrices, one is required"),
        (MEME + MEME[MEME.index("MOTIF") :], "two motifs are called 'REB1 first'; names must be unique"),
        (JASPAR + JASPAR, "two motifs are called 'MA1 REB1'"),
        (TRANSFAC + TRANSFAC, "two motifs are called 'MA1 REB1'"),
        (JASPAR.replace("C [", "A ["), "a row each of A, C, G and T is required, its rows are of A, A, G, T"),
        (JASPAR.replace("C [", "["), "its rows are of A, no letter, G, T"),
        (TRANSFAC.replace("7 1 1 1 A", "7 1 1").replace("0 0 5 5 K", "0 0 5"), "4 numbers a position are required"),
        (JASPAR.replace("T [ 1 5 ]", "T [ 1 ]"), "motif 'MA1 REB1' is damaged: rows of one length are required"),
        (POSITIONS.replace("0.0\t0.0\t5.0\t5.0", "0\t0\t0\t0"), "motif 'MA1 REB1' is damaged"),
        (">s1\nACGTACGTAC\n", "'ACGTACGTAC' is no part of a motif"),
        ("name,value\n", "'name,value' is no part of a motif"),
    ],
)
def test_what_is_no_database_of_dna_motifs(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_database(tmp_path / "d.txt")


@pytest.mark.parametrize("order", ["ACGT", "ACTG", "TGCA", "gtac"])
def test_letters_say_which_row_is_of_which_base(order: str, tmp_path: Path) -> None:
    """Also of motifs that are four wide, which could be read the other way."""
    counts = np.array([[9, 0, 1, 0], [8, 0, 2, 0], [0, 0, 0, 10], [0, 9, 1, 0]])
    rows = [f"{base} [ {' '.join(map(str, counts[:, 'ACGT'.index(base.upper())]))} ]" for base in order]
    (tmp_path / "d.pfm").write_text("\n".join([">MA1 GATC", *rows]) + "\n")
    np.testing.assert_allclose(read_database(tmp_path / "d.pfm")["MA1 GATC"], counts / 10)


def test_motifs_of_one_identifier_are_told_apart_by_their_accession(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text(TRANSFAC + TRANSFAC.replace("MA1", "MA2") + TRANSFAC.replace("REB1", "ABF1"))
    assert list(read_database(tmp_path / "d.txt")) == ["MA1 REB1", "MA2 REB1", "ABF1"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_meme_file_need_not_say_the_width(start: str, tmp_path: Path) -> None:
    (tmp_path / "d.meme").write_text(start + MEME.replace("w= 2 nsites= 20 E= 0", "").replace("\n", "\r\n"))
    np.testing.assert_allclose(
        read_database(tmp_path / "d.meme")["REB1 first"], [[0.7, 0.1, 0.1, 0.1], [0, 0, 0.5, 0.5]]
    )


def test_a_database_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.meme: no such database of motifs"):
        read_database(tmp_path / "none.meme")
    (tmp_path / "d.meme").write_bytes(b"\x1f\x8b\xff\xfe" * 9)
    with pytest.raises(InputError, match="this database is no text"):
        read_database(tmp_path / "d.meme")


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    motifs = {"motif_1": rng.dirichlet([1] * 4, size=7), "motif_2": rng.dirichlet([1] * 4, size=3)}
    write_meme(motifs, {"motif_1": 12, "motif_2": 3}, tmp_path / "m.meme")
    again = read_database(tmp_path / "m.meme")
    assert list(again) == list(motifs)
    for name, motif in motifs.items():
        np.testing.assert_allclose(again[name], motif, atol=2e-6)
    assert "w= 7 nsites= 12" in (tmp_path / "m.meme").read_text()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("motifs/HOCOMOCOv13_CORE.meme", 1611),
        ("motifs/JASPAR2022_fungi.pfm", 179),
        ("motifs/JASPAR2022_plants.pfm", 700),
        ("motifs/JASPAR2022_vertebrates.pfm", 838),
        ("saccer3/macisaac_yeast.v1.meme", 124),
        ("saccer3/yetfasco_all.meme", 1883),
    ],
)
def test_real_databases(real_data: Path, name: str, count: int) -> None:
    motifs = read_database(real_data / name)
    assert len(motifs) == count
    for motif in motifs.values():
        np.testing.assert_allclose(motif.sum(axis=1), 1)
