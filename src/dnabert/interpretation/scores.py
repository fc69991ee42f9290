"""Scores per base in files, with what they belong to."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from dnabert.errors import InputError
from dnabert.files import existing_file
from dnabert.model.checkpoint import Checkpoint
from dnabert.sequence.alphabet import CODE_OF_BYTE
from dnabert.sequence.tables import Table

ROWS = 4096
"""Rows handled at a time where all would not fit into memory."""


class Scores(NamedTuple):
    """Scores of a set of sequences.

    Attributes
    ----------
    values : np.ndarray, float32, shape (sequences, longest) or (sequences, longest, 4)
        NaN after the end of a shorter sequence. The four columns of mutagenesis are A, C, G, T.
    lengths : np.ndarray, int64, shape (sequences,)
        Bases of each sequence.
    method : str
        How they were computed.
    model, sequences : str
        Fingerprints of the model's weights and of the sequences.
    target : str
        The class that is explained; empty where there is none, or each sequence's own.
    """

    values: np.ndarray
    lengths: np.ndarray
    method: str
    model: str
    sequences: str
    target: str = ""


def model_fingerprint(checkpoint: Checkpoint) -> str:
    """Hash the weights of a model: 16 hexadecimal digits that another model will not have."""
    digest = hashlib.sha256()
    for name, weights in sorted(checkpoint.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights.detach().cpu().numpy()).data)
    return digest.hexdigest()[:16]


def sequences_fingerprint(table: Table) -> str:
    """Hash the bases of a table's sequences, in their order."""
    digest = hashlib.sha256(np.diff(table.offsets).tobytes())
    letters = table.letters[table.offsets[0] : table.offsets[-1]]
    for first in range(0, len(letters), 1 << 24):
        digest.update(CODE_OF_BYTE[letters[first : first + (1 << 24)]].tobytes())
    return digest.hexdigest()[:16]


def write_npz(scores: Scores, path: Path) -> None:
    """Write scores as a numpy archive, a piece at a time."""
    np.savez(path, **scores._asdict())


def read_npz(path: str | os.PathLike[str]) -> Scores:
    """Read what `write_npz` wrote.

    Raises
    ------
    InputError
        If it is no such file.
    """
    found = existing_file(path, "file of scores")
    try:
        with np.load(found) as content:
            strings = {name: str(content[name]) for name in ("method", "model", "sequences", "target")}
            return Scores(content["values"], content["lengths"], **strings)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError(
            f"{path}: this is no file of scores; give the scores.npz that 'dnabert explain' wrote"
        ) from error


def check_belongs(scores: Scores, path: str | os.PathLike[str], checkpoint: Checkpoint, table: Table) -> None:
    """Raise InputError unless scores were computed by this model for these sequences."""
    lengths = np.diff(table.offsets)
    if scores.model != model_fingerprint(checkpoint):
        raise InputError(f"{path}: these scores are another model's; compute them with this one")
    if len(lengths) != len(scores.lengths):
        raise InputError(
            f"{path}: scores of {len(scores.lengths)} sequences do not fit {table.path} with {len(lengths)}"
        )
    other = lengths != scores.lengths
    if other.any():
        row = int(other.argmax())
        raise InputError(
            f"{path}: {table.where(row)} has {lengths[row]} bases, its scores {scores.lengths[row]}; compute them for "
            "these sequences"
        )
    if scores.sequences != sequences_fingerprint(table):
        raise InputError(f"{path}: these scores are of other sequences than {table.path}; compute them for these")


def write_parquet(scores: Scores, table: Table, path: Path, extra: dict[str, np.ndarray]) -> None:
    """Write a row a sequence: the input's columns, the sequence, `scores` (a list), and `extra` columns."""
    writer = None
    try:
        for rows in _blocks(table.rows):
            columns = table.columns.slice(rows.start, len(rows))
            columns = columns.append_column("sequence", table.sequences.slice(rows.start, len(rows)))
            columns = columns.append_column("scores", _lists(scores.values[rows], scores.lengths[rows]))
            for name, values in extra.items():
                columns = columns.append_column(name, pa.array(values[rows]))
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(path, columns.schema)
            writer.write_table(columns)
    finally:
        if writer is not None:
            writer.close()


def _blocks(rows: int) -> Iterator[range]:
    for first in range(0, rows, ROWS):
        yield range(first, min(first + ROWS, rows))


def _lists(values: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    inside = np.arange(values.shape[1]) < lengths[:, None]
    flat: pa.Array = pa.array(np.ascontiguousarray(values[inside]).ravel())
    if values.ndim == 3:
        flat = pa.FixedSizeListArray.from_arrays(flat, values.shape[2])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def export_original(scores: np.ndarray, probabilities: np.ndarray, folder: Path) -> None:
    """Write `atten.npy` and `pred_results.npy` as DNABERT's own tools read them.

    Parameters
    ----------
    scores : np.ndarray, float32, shape (sequences, longest)
        A score a base; the first column is the first base. After the end of a sequence 0 is written.
    probabilities : np.ndarray, float32, shape (sequences, classes)
        Of two classes those of the second are written, shape (sequences,); of more all.
    folder : pathlib.Path
    """
    written = np.lib.format.open_memmap(folder / "atten.npy", mode="w+", dtype=np.float32, shape=scores.shape)
    for rows in _blocks(len(scores)):
        written[rows] = np.nan_to_num(scores[rows])
    written.flush()
    np.save(folder / "pred_results.npy", probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities)
