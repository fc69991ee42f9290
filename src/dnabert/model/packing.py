"""A batch is a flat run of tokens plus boundaries: no padding anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from dnabert.sequence.kmers import CLS, SEP, encode_rows
from dnabert.sequence.tables import Table


class PackedBatch(NamedTuple):
    """Sequences of any lengths, one after the other.

    Attributes
    ----------
    input_ids : torch.Tensor, int64, shape (tokens,)
        Token ids; each sequence is `[CLS] ... [SEP]`.
    position_ids : torch.Tensor, int64, shape (tokens,)
        Position of each token in its own sequence.
    cu_seqlens : torch.Tensor, int32, shape (sequences + 1,)
        Where each sequence starts; the last entry is the number of tokens.
    max_seqlen : int
        Tokens of the longest sequence.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: torch.Tensor
    max_seqlen: int

    def to(self, device: torch.device | str) -> "PackedBatch":
        """Copy the batch to a device."""
        return PackedBatch(
            self.input_ids.to(device, non_blocking=True),
            self.position_ids.to(device, non_blocking=True),
            self.cu_seqlens.to(device, non_blocking=True),
            self.max_seqlen,
        )

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return len(self.cu_seqlens) - 1


def packed(input_ids: np.ndarray, lengths: np.ndarray) -> PackedBatch:
    """Pack token ids that stand one sequence after the other.

    Parameters
    ----------
    input_ids : np.ndarray, integer, shape (tokens,)
        Token ids with `[CLS]` and `[SEP]` in place.
    lengths : np.ndarray, integer, shape (sequences,)
        Tokens of each sequence; they add up to `tokens`.

    Returns
    -------
    PackedBatch
    """
    cu_seqlens = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=cu_seqlens[1:])
    position_ids = np.arange(len(input_ids), dtype=np.int64) - np.repeat(cu_seqlens[:-1], lengths)
    return PackedBatch(
        torch.from_numpy(input_ids.astype(np.int64)),
        torch.from_numpy(position_ids),
        torch.from_numpy(cu_seqlens),
        int(lengths.max(initial=0)),
    )


def pack(sequences: Sequence[np.ndarray]) -> PackedBatch:
    """Pack the k-mer ids of sequences, adding `[CLS]` and `[SEP]` to each.

    Parameters
    ----------
    sequences : sequence of np.ndarray, integer, shape (kmers,)
        Ids of the k-mers of each sequence.

    Returns
    -------
    PackedBatch
    """
    lengths = np.array([len(kmers) + 2 for kmers in sequences], dtype=np.int64)
    input_ids = np.empty(int(lengths.sum()), dtype=np.int64)
    at = 0
    for kmers, length in zip(sequences, lengths, strict=True):
        input_ids[at] = CLS
        input_ids[at + 1 : at + length - 1] = kmers
        input_ids[at + length - 1] = SEP
        at += length
    return packed(input_ids, lengths)


def pack_rows(table: Table, rows: np.ndarray, k: int, stride: int = 1) -> PackedBatch:
    """Tokenise and pack rows of a table, straight from its buffer of letters.

    Parameters
    ----------
    table : Table
    rows : np.ndarray, int64, shape (sequences,)
        Which rows, in this order.
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    PackedBatch
    """
    return packed(*encode_rows(table.letters, table.offsets, rows, k, stride))
