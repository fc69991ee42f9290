"""Run a baseline over the rows of a table."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch

from dnabert.model.baselines import Baseline
from dnabert.model.device import exact_float32, within_memory
from dnabert.model.packing import sent
from dnabert.progress import track_items
from dnabert.sequence.kmers import FIRST_KMER, canonical_kmers, encode_rows
from dnabert.sequence.letters import joined_with_gap, letters_of, padded_codes, positions
from dnabert.sequence.tables import Table
from dnabert.sequence.windows import batches_of_rows

BATCH_BASES = {"cpu": 32_768, "cuda": 262_144}
"""Bases of a batch, padding included."""
GAP = 16
"""Unknown bases between the two sequences of a row: wider than the first layer of `residual`, or any k-mer."""


class Letters(NamedTuple):
    """The sequences of a table as a baseline reads them: letters, uint8, and where each row stands in them, int64."""

    letters: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64, shape (rows,): bases of each row."""
        return self.ends - self.starts


def as_letters(table: Table) -> Letters:
    """Read the rows of a table; a second sequence stands behind the first, with a gap of unknown bases."""
    joined = table.sequences if table.second is None else joined_with_gap(table.sequences, table.second, GAP)
    letters, offsets = letters_of(joined)
    return Letters(letters, offsets[:-1], offsets[1:])


def logits_of(baseline: Baseline, table: Table, batch_bases: int | None = None) -> np.ndarray:
    """Compute the logits of each sequence, or of each base, as they stand.

    Parameters
    ----------
    baseline : Baseline
    table : Table
    batch_bases : int, optional
        Bases computed at a time. Results do not depend on it beyond rounding.

    Returns
    -------
    np.ndarray, float32, shape (sequences or bases, labels)
    """
    rows = as_letters(table)
    counts = rows.lengths if baseline.task == "per-base" else np.ones(table.rows, dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    result = np.empty((int(counts.sum()), len(baseline.labels)), dtype=np.float32)
    budget = batch_bases or BATCH_BASES.get(baseline.device.type, BATCH_BASES["cpu"])
    baseline.network.eval()
    with (
        torch.inference_mode(),
        exact_float32(baseline.device),
        within_memory(f"{baseline.device} has no memory for batches of {budget:,} bases; give fewer (--batch-tokens)"),
        track_items(f"Predicting ({baseline.name})", table.rows, "sequences") as advance,
    ):
        for some in batches_of_rows(rows.lengths, budget):  # longest first, so padding is what neighbours differ by
            values = _linear if baseline.name == "kmers" else _network
            result[positions(firsts[some], counts[some])] = values(baseline, rows, some)
            advance(len(some))
    return result


def batch(rows: Letters, some: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Read some rows as a network takes them: codes, uint8, shape (rows, longest), and lengths, int64, on the CPU."""
    starts, ends = rows.starts[some], rows.ends[some]
    codes = padded_codes(rows.letters, starts, ends)
    return sent(torch.from_numpy(codes), device), torch.from_numpy(ends - starts)


def kmer_features(rows: Letters, some: np.ndarray, k: int, both: bool) -> scipy.sparse.csr_array:
    """Count the k-mers of some rows: the logarithm of 1 + count, each row scaled to length 1.

    Parameters
    ----------
    rows : Letters
    some : np.ndarray, int64
        Row numbers.
    k : int
        Bases per k-mer. Those with an unknown base are left out.
    both : bool
        Count a k-mer and its reverse complement together.

    Returns
    -------
    scipy.sparse.csr_array, float64, shape (rows, k-mers)
    """
    ids, lengths = encode_rows(rows.letters, rows.starts[some], rows.ends[some], k)
    known = ids >= FIRST_KMER
    kmers = ids[known] - FIRST_KMER
    features = 4**k
    if both:
        numbers = canonical_kmers(k)
        kmers, features = numbers[kmers], int(numbers.max()) + 1
    ends = np.concatenate([[0], np.cumsum(known)])[np.concatenate([[0], np.cumsum(lengths)])]
    counts = scipy.sparse.csr_array((np.ones(len(kmers)), kmers, ends), shape=(len(some), features))
    counts.sum_duplicates()
    logarithms = counts.log1p()
    norms = np.sqrt(logarithms.multiply(logarithms).sum(axis=1))
    logarithms.data /= np.repeat(norms, np.diff(logarithms.indptr))
    return logarithms


def _network(baseline: Baseline, rows: Letters, some: np.ndarray) -> np.ndarray:
    values: torch.Tensor = baseline.network(*batch(rows, some, baseline.device))
    return values.cpu().numpy()


def _linear(baseline: Baseline, rows: Letters, some: np.ndarray) -> np.ndarray:
    features = kmer_features(rows, some, baseline.settings["k"], baseline.strand == "both")
    weight, bias = (part.detach().cpu().numpy().astype(np.float64) for part in baseline.network.parameters())
    return features @ weight.T + bias
