"""A batch is a flat run of tokens plus boundaries: no padding anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from dnabert.sequence.kmers import CLS, SEP, encode_rows
from dnabert.sequence.letters import letters_of, within
from dnabert.sequence.windows import Sequences


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
    segment_ids : torch.Tensor or None, int64, shape (tokens,)
        0 for the first of two sequences in a row, 1 for the second; None where there is one.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: torch.Tensor
    max_seqlen: int
    segment_ids: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> "PackedBatch":
        """Copy the batch to a device."""
        return PackedBatch(
            sent(self.input_ids, device),
            sent(self.position_ids, device),
            sent(self.cu_seqlens, device),
            self.max_seqlen,
            None if self.segment_ids is None else sent(self.segment_ids, device),
        )

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return len(self.cu_seqlens) - 1

    @property
    def is_kmer(self) -> torch.Tensor:
        """bool, shape (tokens,): False for `[CLS]` and `[SEP]`."""
        return (self.input_ids != CLS) & (self.input_ids != SEP)

    @property
    def kmers(self) -> torch.Tensor:
        """int64, shape (kmers,): the tokens but `[CLS]` and `[SEP]`."""
        return self.is_kmer.nonzero()[:, 0]

    @property
    def of_sequence(self) -> torch.Tensor:
        """int64, shape (tokens,): the number of the sequence that each token is of."""
        return torch.repeat_interleave(self.cu_seqlens.diff().long(), output_size=len(self.input_ids))


def sent(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy to a device; a GPU takes pinned memory while it computes, any other between two batches."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


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


def pack_rows(table: Sequences, rows: np.ndarray, k: int, stride: int = 1) -> PackedBatch:
    """Tokenise and pack rows of a table, straight from its buffer of letters.

    Parameters
    ----------
    table : Table or Windows
        Rows with a second sequence are packed as `[CLS] first [SEP] second [SEP]`.
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
    first = encode_rows(table.letters, table.starts[rows], table.ends[rows], k, stride)
    if table.second is None:
        return packed(*first)
    letters, offsets = letters_of(table.second)
    second = encode_rows(letters, offsets[rows], offsets[rows + 1], k, stride)
    lengths = first.lengths + second.lengths - 1  # the second gives up its [CLS]
    segments = np.repeat(np.tile([0, 1], len(rows)), np.stack([first.lengths, second.lengths - 1], axis=1).ravel())
    input_ids = np.empty(len(segments), dtype=np.int32)
    input_ids[segments == 0] = first.input_ids
    firsts = np.cumsum(second.lengths) - second.lengths
    input_ids[segments == 1] = np.delete(second.input_ids, firsts)
    return packed(input_ids, lengths)._replace(segment_ids=torch.from_numpy(segments))


def token_of_base(bases: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Find the token that each base is read from: the one whose middle offset (k // 2) is nearest.

    Parameters
    ----------
    bases : np.ndarray, int64, shape (sequences,)
        Bases of each sequence.
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.

    Returns
    -------
    np.ndarray, int64, shape (bases of all,)
        Positions among the k-mers of all sequences, one after the other, `[CLS]` and `[SEP]` not counted.
    """
    kmers = (bases - k) // stride + 1
    nearest = (within(bases) - k // 2 + stride // 2) // stride
    return np.clip(nearest, 0, np.repeat(kmers - 1, bases)) + np.repeat(np.cumsum(kmers) - kmers, bases)
