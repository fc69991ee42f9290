"""Texts that look alike become one motif: merged groups, windows of one width, counts of bases."""

from typing import NamedTuple

import numba
import numpy as np

from dnabert.interpretation.regions import Texts
from dnabert.sequence.alphabet import ACGT, CODE_OF_BYTE
from dnabert.sequence.tables import Table


class Members(NamedTuple):
    """Texts of groups.

    Attributes
    ----------
    groups, texts : np.ndarray, int64, shape (members,)
        Group, and text. Where several groups fit a text equally well it is a member of all of these.
    shifts : np.ndarray, int64, shape (members,)
        Where the group's first text starts, counted from the start of this one.
    keys : np.ndarray, int64, shape (groups,)
        The first text of each group, which the others are aligned to.
    """

    groups: np.ndarray
    texts: np.ndarray
    shifts: np.ndarray
    keys: np.ndarray


class Windows(NamedTuple):
    """Windows of one width around a group's regions: rows and starts, int64, shape (windows,)."""

    rows: np.ndarray
    starts: np.ndarray


def merge(texts: Texts, min_length: int) -> Members:
    """Group texts, shortest first, each with the groups whose first text it matches best.

    Two texts are aligned without gaps, at the shift with the most matching bases (the leftmost of several). They are
    alike from max(min_length - 1, half the shorter length) matches on. A text like none before begins a group.

    Parameters
    ----------
    texts : Texts
    min_length : int
        Bases of the shortest region.

    Returns
    -------
    Members
    """
    groups, members, shifts, keys = _merge(texts.codes, texts.offsets, min_length)
    return Members(np.array(groups), np.array(members), np.array(shifts), np.array(keys))


@numba.njit(cache=True, nogil=True)
def _merge(
    codes: np.ndarray, offsets: np.ndarray, min_length: int
) -> tuple[list[int], list[int], list[int], list[int]]:
    groups, members, shifts, keys = [0][:0], [0][:0], [0][:0], [0][:0]
    scores = np.empty(len(offsets), dtype=np.int64)
    places = np.empty(len(offsets), dtype=np.int64)
    for text in range(len(offsets) - 1):
        own = codes[offsets[text] : offsets[text + 1]]
        best = 0
        for group in range(len(keys)):
            key = codes[offsets[keys[group]] : offsets[keys[group] + 1]]
            score, place = _align(own, key, max(best, min_length - 1, (min(len(own), len(key)) + 1) // 2))
            scores[group], places[group] = score, place
            best = max(best, score)
        if best == 0:
            keys.append(text)
            groups.append(len(keys) - 1)
            members.append(text)
            shifts.append(0)
            continue
        for group in range(len(keys)):
            if scores[group] == best:
                groups.append(group)
                members.append(text)
                shifts.append(places[group])
    return groups, members, shifts, keys


@numba.njit(cache=True, nogil=True)
def _align(text: np.ndarray, key: np.ndarray, least: int) -> tuple[int, int]:
    """Find the most matches of two texts at any shift, and the first such shift of `key`; (0, 0) below `least`."""
    best, place = 0, 0
    need = max(least, 1)
    for shift in range(need - len(key), len(text) - need + 1):
        first, last = max(0, shift), min(len(text), shift + len(key))
        score = 0
        for i in range(first, last):
            score += text[i] == key[i - shift]
        if score >= need and score > best:
            best, place = score, shift
    return best, place


def windows_of(texts: Texts, members: Members, lengths: np.ndarray, width: int) -> list[Windows]:
    """Place a window of one width around every region of each group, its key in the middle.

    Parameters
    ----------
    texts : Texts
    members : Members
    lengths : np.ndarray, int64, shape (sequences,)
        Bases of each sequence.
    width : int
        Bases of a window. One that leaves its sequence is left out.

    Returns
    -------
    list of Windows
        One a group, sorted by row and start, none twice.
    """
    sizes = np.diff(texts.offsets)
    parts: list[list[np.ndarray]] = [[] for _ in members.keys]
    for group, text, shift in zip(members.groups, members.texts, members.shifts, strict=True):
        regions = slice(texts.region_offsets[text], texts.region_offsets[text + 1])
        starts = texts.region_starts[regions] + shift - (width - sizes[members.keys[group]]) // 2
        parts[group].append(np.stack([texts.region_rows[regions], starts]))
    found = []
    for part in parts:
        rows, starts = np.unique(np.concatenate(part, axis=1), axis=1)
        inside = (starts >= 0) & (starts + width <= lengths[rows])
        found.append(Windows(rows[inside], starts[inside]))
    return found


def count_bases(table: Table, windows: Windows, width: int) -> np.ndarray:
    """Count the bases at each position of windows.

    Parameters
    ----------
    table : Table
    windows : Windows
    width : int
        Bases of a window.

    Returns
    -------
    np.ndarray, int64, shape (width, 4)
        Of A, C, G, T; unknown bases are not counted.
    """
    at = (table.offsets[windows.rows] + windows.starts)[:, None] + np.arange(width)
    codes = CODE_OF_BYTE[table.letters[at]]  # (windows, width)
    return (codes[:, :, None] == ACGT).sum(axis=0)
