"""The loss per hidden base, summed over strings."""

import math

import pytest
import torch

from dnabert.sequence.kmers import vocabulary
from dnabert.training import hidden


def test_scores_of_a_known_case() -> None:
    names = vocabulary(2)
    logits = torch.full((2, 21), -30.0)
    logits[0, names.index("AC")] = 0.0  # sure of C at offset 1
    logits[1, [names.index("AT"), names.index("GT"), names.index("GG"), names.index("CG")]] = 0.0  # T or G, even
    labels = torch.tensor([names.index("AC"), names.index("AG")])
    score = hidden.score_hidden(logits, labels, 2)
    assert score.bases == 2
    assert float(score.sums[0]) == pytest.approx(math.log(2), abs=1e-4)
    summary = hidden.summarise([score, score])
    assert summary["base_loss"] == pytest.approx(math.log(2) / 2, abs=1e-4)
    assert summary["hidden_bases"] == 4
    assert summary["base_loss_se"] == pytest.approx(math.log(2) / 2 / 2, abs=1e-4)
    assert math.isnan(hidden.summarise([])["base_loss"])
