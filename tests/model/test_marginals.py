"""Marginals of bases, summed over strings."""

import numpy as np
import pytest
import torch

from dnabert.model.marginals import base_log_probabilities
from dnabert.sequence.kmers import vocabulary


@pytest.mark.parametrize(("k", "offset"), [(1, None), (2, None), (3, None), (4, None), (4, 0), (4, 3), (3, 1)])
def test_marginals_sum_the_kmers_with_the_base_at_the_offset(k: int, offset: int | None) -> None:
    logits = torch.randn(5, 4**k + 5, generator=torch.Generator().manual_seed(k))
    probabilities = logits.softmax(dim=1).numpy()
    expected = np.zeros((5, 4))
    for i, token in enumerate(vocabulary(k)):
        if i >= 5:
            expected[:, "ATCG".index(token[k // 2 if offset is None else offset])] += probabilities[:, i]
    np.testing.assert_allclose(base_log_probabilities(logits, k, offset).exp().numpy(), expected, atol=1e-6)
