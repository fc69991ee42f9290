"""Bases as numbers: A=0, T=1, C=2, G=3, anything unknown 4.

The order is that of DNABERT's vocabulary, so the id of a k-mer is a base-4 number and the complement of a base is
`code ^ 1`. Case is ignored and U reads as T. The ambiguity codes of IUPAC (and gaps, `-`, `.`) count as N. Every other
character is foreign: it is refused, because a protein or a file of numbers read as N would pass unnoticed.
"""

import numpy as np

from dnabert.errors import InputError

BASES = "ATCG"
UNKNOWN = 4
FOREIGN = 255
IUPAC_AMBIGUOUS = "NRYSWKMBDHV"


def _code_table() -> np.ndarray:
    table = np.full(256, FOREIGN, dtype=np.uint8)
    for letters, code in [*((base, i) for i, base in enumerate(BASES)), ("U", 1), (IUPAC_AMBIGUOUS + "-.", UNKNOWN)]:
        for letter in letters:
            table[ord(letter)] = table[ord(letter.lower())] = code
    return table


CODE_OF_BYTE: np.ndarray = _code_table()
"""uint8, shape (256,): the base code of each byte, `FOREIGN` for what is no nucleotide letter."""

LETTERS: np.ndarray = np.frombuffer(b"ATCGN", dtype=np.uint8)
"""uint8, shape (5,): the letter of each base code."""

ACGT = np.array([0, 2, 3, 1], dtype=np.uint8)
"""uint8, shape (4,): the base codes in alphabetical order, that of the columns of motifs and of mutations' effects."""


def encode_bases(sequence: str | bytes) -> np.ndarray:
    """Turn a sequence into base codes.

    Parameters
    ----------
    sequence : str or bytes
        Nucleotide letters, any case.

    Returns
    -------
    np.ndarray, uint8, shape (bases,)
        0 to 3 for A, T, C, G; 4 for anything ambiguous.

    Raises
    ------
    InputError
        If a character is not an IUPAC nucleotide letter.
    """
    raw = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    codes = CODE_OF_BYTE[np.frombuffer(raw, dtype=np.uint8)]
    foreign = codes == FOREIGN
    if foreign.any():
        at = int(foreign.argmax())
        raise InputError(f"{describe_foreign(raw[at])} at base {at + 1} of a sequence of {len(raw)}")
    return codes


def decode_bases(codes: np.ndarray) -> str:
    """Turn base codes into upper-case letters, `N` for unknown ones.

    Parameters
    ----------
    codes : np.ndarray, uint8, shape (bases,)
        Base codes, 0 to 4.

    Returns
    -------
    str
    """
    return LETTERS[codes].tobytes().decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Read base codes from the other strand. Unknown bases stay unknown.

    Parameters
    ----------
    codes : np.ndarray, uint8, shape (bases,)

    Returns
    -------
    np.ndarray, uint8, shape (bases,)
    """
    backwards = codes[::-1]
    return np.where(backwards < UNKNOWN, backwards ^ 1, backwards)


def describe_foreign(byte: int) -> str:
    """Say which character is foreign and what is allowed, for an error message."""
    character = chr(byte)
    shown = f"'{character}'" if character.isprintable() else f"byte {byte}"
    return (
        f"{shown} is not a nucleotide letter (A, C, G, T, U and the IUPAC ambiguity codes {IUPAC_AMBIGUOUS} are; "
        "is this DNA?)"
    )
