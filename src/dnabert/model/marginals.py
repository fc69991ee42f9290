"""From the probabilities of k-mers to the probabilities of a base in them."""

import torch

from dnabert.sequence.kmers import FIRST_KMER, middle_offset


def base_log_probabilities(logits: torch.Tensor, k: int, offset: int | None = None) -> torch.Tensor:
    """Sum the probabilities of k-mers by the base at one offset.

    Parameters
    ----------
    logits : torch.Tensor, shape (rows, 4**k + 5)
    k : int
        Bases per token.
    offset : int, optional
        Place of the base in the k-mer, 0 to k - 1; the middle (`middle_offset`) by default.

    Returns
    -------
    torch.Tensor, float32, shape (rows, 4)
        Log of the marginal of A, T, C, G.
    """
    logits = logits.float()
    before = middle_offset(k) if offset is None else offset
    kmers = logits[:, FIRST_KMER:].reshape(-1, 4**before, 4, 4 ** (k - 1 - before))
    return torch.logsumexp(kmers, dim=(1, 3)) - torch.logsumexp(logits, dim=1, keepdim=True)
