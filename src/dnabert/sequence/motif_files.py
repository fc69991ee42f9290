"""Motifs in files: MEME, JASPAR and TRANSFAC in, MEME out."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dnabert.errors import InputError
from dnabert.files import existing_file

Motifs: TypeAlias = Mapping[str, np.ndarray]
"""Names, and shares of A, C, G, T at each position, float64, shape (width, 4), each row adding up to 1."""

_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
FORMATS = "MEME, JASPAR and TRANSFAC (.meme, .pfm, .txt) of DNA motifs"


def read_database(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a database of motifs.

    Parameters
    ----------
    path : path
        MEME text format; JASPAR (`>ID NAME`, then a row a base); the same with a row a position (`.pfm` of
        gimmemotifs); TRANSFAC (`ID`, `P0 A C G T`, a numbered row a position, `//`).

    Returns
    -------
    dict of str to np.ndarray
        Names, and shares of A, C, G, T, float64, shape (width, 4).

    Raises
    ------
    InputError
        If the file is missing, holds no motif, or motifs of proteins.
    """
    found = existing_file(path, "database of motifs")
    try:
        text = found.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this database is no text; {FORMATS} are read") from error
    if re.search(r"^MEME version", text, re.MULTILINE):
        counts = _read_meme(found, text)
    elif re.search(r"^P[0O]\s", text, re.MULTILINE):
        counts = _read_transfac(found, text)
    else:
        counts = _read_jaspar(found, text)
    if not counts:
        raise InputError(f"{path}: this file holds no motif; {FORMATS} are read")
    return {name: _shares(found, name, one) for name, one in counts.items()}


def write_meme(motifs: Motifs, sites: Mapping[str, int], path: Path) -> None:
    """Write motifs in MEME's text format, with the number of instances of each."""
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", "", "Background letter frequencies"]
    lines += ["A 0.25 C 0.25 G 0.25 T 0.25", ""]
    for name, motif in motifs.items():
        lines += [f"MOTIF {name}", f"letter-probability matrix: alength= 4 w= {len(motif)} nsites= {sites[name]} E= 0"]
        lines += [" ".join(f"{share:.6f}" for share in row) for row in motif]
        lines.append("")
    path.write_text("\n".join(lines))


def _read_meme(path: Path, text: str) -> dict[str, np.ndarray]:
    from memelite.io import read_meme

    alphabet = re.search(r'^ALPHABET\s*=?\s*"?(\w+)', text, re.MULTILINE)
    widths = set(re.findall(r"^letter-probability matrix:.*alength=\s*(\d+)", text, re.MULTILINE))
    if (alphabet and alphabet[1].upper() not in ("ACGT", "DNA")) or widths - {"4"}:
        letters = alphabet[1] if alphabet else f"{max(widths)} letters"
        raise InputError(f"{path}: motifs of DNA (ALPHABET= ACGT) are required, these are of {letters}")
    try:
        return {name: motif.T for name, motif in read_meme(str(path)).items()}
    except (ValueError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: this is no MEME file that can be read ({error}); is it whole?") from error


def _read_transfac(path: Path, text: str) -> dict[str, np.ndarray]:
    motifs: dict[str, np.ndarray] = {}
    for entry in re.split(r"^//.*$", text, flags=re.MULTILINE):
        header = re.search(r"^P[0O]\s+(.*)$", entry, re.MULTILINE)
        if header is None:
            continue
        if header[1].upper().split()[:4] != list("ACGT") or len(header[1].split()) > 5:
            raise InputError(f"{path}: the columns A C G T are required after P0, this file has {header[1].strip()}")
        names = [re.search(rf"^{tag}\s+(.+)$", entry, re.MULTILINE) for tag in ("ID", "AC", "NA")]
        name = next((found[1].strip() for found in names if found), f"motif {len(motifs) + 1}")
        rows = [line.split()[1:5] for line in entry[header.end() :].splitlines() if re.match(r"\d+\s", line)]
        motifs[name] = _matrix(path, name, rows)
    return motifs


def _read_jaspar(path: Path, text: str) -> dict[str, np.ndarray]:
    blocks: dict[str, list[list[str]]] = {}
    name = None
    for line in text.splitlines():
        if line.startswith(">"):
            name = " ".join(line[1:].split())
            blocks[name] = []
        elif line.strip() and not line.startswith("#"):
            body = re.sub(r"^\s*[ACGTacgt]\s|[\[\]]", " ", line)
            if name is None or _NUMBER.sub("", body).strip(" \t,"):
                raise InputError(f"{path}: '{line.strip()[:40]}' is no part of a motif; {FORMATS} are read")
            blocks[name].append(_NUMBER.findall(body))
    if all(len(row) == 4 for rows in blocks.values() for row in rows):
        return {name: _matrix(path, name, rows) for name, rows in blocks.items() if rows}
    for name, rows in blocks.items():
        if len(rows) != 4:
            raise InputError(f"{path}: a motif has {len(rows)} rows, 4 are required (A, C, G, T); is this DNA?")
        if len({len(row) for row in rows}) > 1:
            raise InputError(f"{path}: motif '{name}' is damaged: rows of one length are required")
    return {name: _matrix(path, name, list(zip(*rows, strict=True))) for name, rows in blocks.items()}


def _matrix(path: Path, name: str, rows: list[list[str]] | list[tuple[str, ...]]) -> np.ndarray:
    try:
        return np.array(rows, dtype=np.float64).reshape(-1, 4)
    except ValueError as error:
        raise InputError(f"{path}: motif '{name}' is damaged: 4 numbers a position are required") from error


def _shares(path: Path, name: str, counts: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    if len(counts) == 0 or (counts < 0).any() or not np.isfinite(counts).all() or (total <= 0).any():
        raise InputError(
            f"{path}: motif '{name}' is damaged: counts of 0 and more, not all 0 at a position, are required"
        )
    return counts / total
