"""Motifs in files: MEME, JASPAR and TRANSFAC in, MEME out."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dnabert.errors import InputError
from dnabert.files import existing_file

Motifs: TypeAlias = Mapping[str, np.ndarray]
"""Names, and shares of A, C, G, T at each position, float64, shape (width, 4), each row adding up to 1."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
FORMATS = "MEME, JASPAR and TRANSFAC (.meme, .pfm, .txt) of DNA motifs"


def read_database(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a database of motifs.

    Parameters
    ----------
    path : path
        MEME text format; JASPAR (`>ID NAME`, then a row a base: the letters before the rows say which, without them it
        is A, C, G, T); the same with a row a position (`.pfm` of gimmemotifs), which has no letters; TRANSFAC (`ID`,
        `P0 A C G T`, a numbered row a position, `//`).

    Returns
    -------
    dict of str to np.ndarray
        Names, and shares of A, C, G, T, float64, shape (width, 4). Motifs of TRANSFAC that share an `ID` have their
        `AC` before it.

    Raises
    ------
    InputError
        If the file is missing, holds no motif, motifs of proteins, damaged ones, or two of one name.
    """
    found = existing_file(path, "database of motifs")
    try:
        text = found.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this database is no text; {FORMATS} are read") from error
    if re.search(r"^MEME version", text, re.MULTILINE):
        read = _read_meme(found, text)
    elif re.search(r"^P[0O]\s", text, re.MULTILINE):
        read = _read_transfac(found, text)
    else:
        read = _read_jaspar(found, text)
    if not read:
        raise InputError(f"{path}: this file holds no motif; {FORMATS} are read")
    motifs: dict[str, np.ndarray] = {}
    for name, counts in read:
        if name in motifs:
            raise InputError(f"{path}: two motifs are called '{name}'; names must be unique, rename one")
        motifs[name] = _shares(found, name, counts)
    return motifs


def write_meme(motifs: Motifs, sites: Mapping[str, int], path: Path) -> None:
    """Write motifs in MEME's text format, with the number of instances of each."""
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", "", "Background letter frequencies"]
    lines += ["A 0.25 C 0.25 G 0.25 T 0.25", ""]
    for name, motif in motifs.items():
        lines += [f"MOTIF {name}", f"letter-probability matrix: alength= 4 w= {len(motif)} nsites= {sites[name]} E= 0"]
        lines += [" ".join(f"{share:.6f}" for share in row) for row in motif]
        lines.append("")
    path.write_text("\n".join(lines))


def _read_meme(path: Path, text: str) -> list[tuple[str, np.ndarray]]:
    alphabet = re.search(r'^ALPHABET\s*=?\s*"?(\w+)', text, re.MULTILINE)
    widths = set(re.findall(r"^letter-probability matrix:.*alength=\s*(\d+)", text, re.MULTILINE))
    if (alphabet and alphabet[1].upper() not in ("ACGT", "DNA")) or widths - {"4"}:
        letters = alphabet[1] if alphabet else f"{max(widths)} letters"
        raise InputError(f"{path}: motifs of DNA (ALPHABET= ACGT) are required, these are of {letters}")
    motifs = []
    for entry in re.split(r"^MOTIF\s", text, flags=re.MULTILINE)[1:]:
        first, _, body = entry.partition("\n")
        name = " ".join(first.split())
        _, *matrices = re.split(r"^letter-probability matrix:", body, flags=re.MULTILINE)
        if len(matrices) != 1:
            raise InputError(
                f"{path}: motif '{name}' has {len(matrices)} letter-probability matrices, one is required; is the file "
                "whole?"
            )
        header, *lines = matrices[0].split("\n")
        rows = list(itertools.takewhile(bool, map(_numbers, lines)))
        width = re.search(r"\bw=\s*(\d+)", header)
        if width and int(width[1]) != len(rows):
            raise InputError(
                f"{path}: motif '{name}' says w= {width[1]}, and {len(rows)} rows of numbers follow; is the file whole?"
            )
        motifs.append((name, _matrix(path, name, rows)))
    return motifs


def _numbers(line: str) -> list[str]:
    """Read a line of numbers; there are none where it holds anything else."""
    return [] if _NUMBER.sub("", line).strip() else _NUMBER.findall(line)


def _read_transfac(path: Path, text: str) -> list[tuple[str, np.ndarray]]:
    motifs: list[tuple[list[str], np.ndarray]] = []
    for entry in re.split(r"^//.*$", text, flags=re.MULTILINE):
        header = re.search(r"^P[0O]\s+(.*)$", entry, re.MULTILINE)
        if header is None:
            continue
        if header[1].upper().split()[:4] != list("ACGT") or len(header[1].split()) > 5:
            raise InputError(f"{path}: the columns A C G T are required after P0, this file has {header[1].strip()}")
        found = (re.search(rf"^{tag}\s+(.+)$", entry, re.MULTILINE) for tag in ("ID", "AC", "NA"))
        names = [one[1].strip() for one in found if one] or [f"motif {len(motifs) + 1}"]
        rows = [line.split()[1:5] for line in entry[header.end() :].splitlines() if re.match(r"\d+\s", line)]
        motifs.append((names, _matrix(path, names[0], rows)))
    often = Counter(names[0] for names, _ in motifs)
    # what shares an identifier has its accession before it
    return [(names[0] if often[names[0]] == 1 else " ".join(names[1::-1]), matrix) for names, matrix in motifs]


def _read_jaspar(path: Path, text: str) -> list[tuple[str, np.ndarray]]:
    blocks: list[tuple[str, list[str], list[list[str]]]] = []
    for line in text.splitlines():
        if line.startswith(">"):
            blocks.append((" ".join(line[1:].split()), [], []))
        elif line.strip() and not line.startswith("#"):
            letter = re.match(r"\s*([ACGTacgt])(?=[\s\[])", line)
            body = re.sub(r"[\[\]]", " ", line[letter.end() :] if letter else line)
            if not blocks or _NUMBER.sub("", body).strip(" \t,"):
                raise InputError(f"{path}: '{line.strip()[:40]}' is no part of a motif; {FORMATS} are read")
            _, letters, rows = blocks[-1]
            letters.append(letter[1].upper() if letter else "")
            rows.append(_NUMBER.findall(body))
    bare = [rows for _, letters, rows in blocks if not any(letters)]
    by_position = all(len(row) == 4 for rows in bare for row in rows)
    return [
        (name, _matrix(path, name, rows if by_position and not any(letters) else _by_base(path, name, letters, rows)))
        for name, letters, rows in blocks
    ]


def _by_base(path: Path, name: str, letters: list[str], rows: list[list[str]]) -> list[tuple[str, ...]]:
    """Turn a motif with a row a base, in any order if letters say which, into a row a position."""
    if len(rows) != 4:
        raise InputError(f"{path}: a motif has {len(rows)} rows, 4 are required (A, C, G, T); is this DNA?")
    if any(letters):
        if sorted(letters) != list("ACGT"):
            raise InputError(
                f"{path}: motif '{name}' is damaged: a row each of A, C, G and T is required, its rows are of "
                f"{', '.join(letter or 'no letter' for letter in letters)}"
            )
        rows = [rows[letters.index(letter)] for letter in "ACGT"]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{path}: motif '{name}' is damaged: rows of one length are required")
    return list(zip(*rows, strict=True))


def _matrix(path: Path, name: str, rows: list[list[str]] | list[tuple[str, ...]]) -> np.ndarray:
    try:
        if all(len(row) == 4 for row in rows):
            return np.array(rows, dtype=np.float64).reshape(-1, 4)
    except ValueError:  # a word, said below
        pass
    raise InputError(f"{path}: motif '{name}' is damaged: 4 numbers a position are required")


def _shares(path: Path, name: str, counts: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    if len(counts) == 0 or (counts < 0).any() or not np.isfinite(counts).all() or (total <= 0).any():
        raise InputError(
            f"{path}: motif '{name}' is damaged: counts of 0 and more, not all 0 at a position, are required"
        )
    return counts / total
