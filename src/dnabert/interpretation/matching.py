"""What motifs are called and where they are: TOMTOM against a database, FIMO over sequences (memelite)."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import stats

from dnabert.interpretation.plots import information
from dnabert.progress import say, track_items
from dnabert.sequence.alphabet import ACGT, CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.motif_files import Motifs
from dnabert.sequence.tables import Table
from dnabert.threads import launch_numba

FLANK_BITS = 0.05
"""Ends of a motif with less information than this say nothing and are cut off. Weak flanks help to tell motifs with a
like core apart: at 0.25 bits a TATA box is no longer told from other AT-rich motifs."""
FEW_TARGETS = 25
"""Below so many motifs in a database, p-values depend much on which they are."""
FIMO_P = 1e-4
FIMO_ROWS = 2000
"""Sequences searched at a time."""

# The rule of Cavener 1987 (doi 10.1093/nar/15.4.1353)
_PAIRS = {"AC": "M", "AG": "R", "AT": "W", "CG": "S", "CT": "Y", "GT": "K"}


class Match(NamedTuple):
    """The motif of a database that is most like a motif.

    Attributes
    ----------
    name : str
    p, q : float
        Of TOMTOM; q is corrected for the size of the database (Benjamini and Hochberg).
    motif : np.ndarray, float64, shape (width, 4)
        As it is in the database, turned round if `strand` is `-`.
    offset : int
        Where it starts, counted from the start of the motif compared.
    strand : str
    """

    name: str
    p: float
    q: float
    motif: np.ndarray
    offset: int
    strand: str


class Instances(NamedTuple):
    """Where a motif stands.

    Attributes
    ----------
    rows, starts, ends : np.ndarray, int64, shape (instances,)
        Row and 0-based half-open interval in its sequence.
    minus : np.ndarray, bool, shape (instances,)
        Whether it stands on the minus strand.
    scores, p : np.ndarray, float64, shape (instances,)
        Log-odds in bits, and p-value, of FIMO.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    minus: np.ndarray
    scores: np.ndarray
    p: np.ndarray


def trim(motif: np.ndarray, bits: float = FLANK_BITS) -> slice:
    """Find the part of a motif, shape (width, 4), between its first and last position that says something."""
    (informative,) = np.nonzero(information(motif) >= bits)
    return slice(int(informative[0]), int(informative[-1]) + 1) if len(informative) else slice(0, len(motif))


def consensus(motif: np.ndarray) -> str:
    """Spell a motif: a base above half and twice the next, two bases above three quarters together, else N."""
    letters = []
    for row in motif:
        order = np.argsort(-row, kind="stable")
        one, two = row[order[0]], row[order[1]]
        pair = "".join(sorted("ACGT"[i] for i in order[:2]))
        letters.append("ACGT"[order[0]] if one > 0.5 and one >= 2 * two else _PAIRS[pair] if one + two > 0.75 else "N")
    return "".join(letters)


class Similarities(NamedTuple):
    """Every motif against every motif of a database.

    Attributes
    ----------
    p, q : np.ndarray, float64, shape (motifs, database)
        Of TOMTOM's best alignment; q is corrected for the size of the database (Benjamini and Hochberg).
    offsets : np.ndarray, int64, shape (motifs, database)
        Where the database's motif starts, counted from the start of the motif.
    minus : np.ndarray, bool, shape (motifs, database)
        Whether it is turned round.
    """

    p: np.ndarray
    q: np.ndarray
    offsets: np.ndarray
    minus: np.ndarray


def compare(motifs: Motifs, database: Motifs) -> Similarities:
    """Compare motifs with a database (TOMTOM, Gupta et al. 2007, in memelite).

    Parameters
    ----------
    motifs, database : Motifs
        At least one each. With fewer than 25 in the database a warning is printed.

    Returns
    -------
    Similarities
    """
    from memelite import tomtom

    if len(database) < FEW_TARGETS:
        say(f"Warning: a database of {len(database)} motifs is small; p-values depend on which they are")
    launch_numba()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="tomtom was given", category=UserWarning)
        p, _, offsets, _, strands = tomtom(
            [motif.T for motif in motifs.values()], [motif.T for motif in database.values()]
        )
    p = np.clip(np.nan_to_num(p, nan=1.0), 0.0, 1.0)
    return Similarities(p, stats.false_discovery_control(p, axis=1), -offsets.astype(np.int64), strands.astype(bool))


def best_matches(motifs: Motifs, database: Motifs) -> list[Match]:
    """Find the most similar motif of a database for each motif, one Match a motif."""
    if not motifs:
        return []
    names = list(database)
    found = compare(motifs, database)
    matches = []
    for i, best in enumerate(found.p.argmin(axis=1).tolist()):
        minus = bool(found.minus[i, best])
        known = database[names[best]][::-1, ::-1] if minus else database[names[best]]
        place = (float(found.p[i, best]), float(found.q[i, best]), known, int(found.offsets[i, best]))
        matches.append(Match(names[best], *place, "-" if minus else "+"))
    return matches


def find_instances(motifs: Motifs, table: Table, p: float = FIMO_P) -> list[Instances]:
    """Find motifs in sequences on both strands (FIMO, Grant et al. 2011).

    Parameters
    ----------
    motifs : Motifs
    table : Table
    p : float
        Largest p-value of an instance, against even bases.

    Returns
    -------
    list of Instances
        One a motif, sorted by row and start.
    """
    from memelite import fimo

    if not motifs:
        return []
    launch_numba()
    columns = ("sequence_name", "start", "end", "strand", "score", "p-value")
    found: list[list[Instances]] = [[] for _ in motifs]
    numbered = {str(i): motif.T for i, motif in enumerate(motifs.values())}
    with track_items("Locating motifs", table.rows, "sequences") as advance:
        for first in range(0, table.rows, FIMO_ROWS):
            rows = range(first, min(first + FIMO_ROWS, table.rows))
            for parts, hits in zip(found, fimo(numbered, _one_hot(table, rows), threshold=p), strict=True):
                row, start, end, strand, score, value = (hits[name].to_numpy() for name in columns)
                row, start, end = row.astype(np.int64) + first, start.astype(np.int64), end.astype(np.int64)
                real = _on_known_bases(table, row, start, end)
                parts.append(Instances(*(part[real] for part in (row, start, end, strand == "-", score, value))))
            advance(len(rows))
    instances = []
    for parts in found:
        joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        order = np.lexsort((joined[1], joined[0]))
        instances.append(Instances(*(column[order] for column in joined)))
    return instances


def _on_known_bases(table: Table, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Tell the places inside their sequences without N: FIMO scores what is not there higher than a misfit."""
    if not len(rows):
        return np.empty(0, dtype=bool)
    first, last = table.offsets[rows.min()], table.offsets[rows.max() + 1]
    unknown = np.concatenate([[0], np.cumsum(CODE_OF_BYTE[table.letters[first:last]] >= UNKNOWN)])
    at, lengths = table.offsets[rows] - first, np.diff(table.offsets)[rows]
    inside: np.ndarray = ends <= lengths
    return inside & (unknown[at + starts] == unknown[at + np.minimum(ends, lengths)])


def _one_hot(table: Table, rows: range) -> np.ndarray:
    """Spell sequences as memelite takes them, int8, shape (sequences, 4, longest): 0 for N and after the end."""
    starts, ends = table.offsets[rows.start : rows.stop], table.offsets[rows.start + 1 : rows.stop + 1]
    out = np.zeros((len(rows), 4, int((ends - starts).max())), dtype=np.int8)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        out[i, :, : end - start] = CODE_OF_BYTE[table.letters[start:end]] == ACGT[:, None]
    return out
