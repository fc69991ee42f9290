"""Dropout: the share that is dropped, what is left of the others, and that a seed decides it."""

import pytest
import torch
from torch import nn

from dnabert.model.dropout import Dropout, quicken


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_element_is_dropped_with_the_given_probability(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    dropped = (Dropout(share)(torch.ones(100_000, 4, dtype=dtype)) == 0).double()
    error = (share * (1 - share) / 100_000) ** 0.5
    assert dropped.mean(0).sub(share).abs().max() < 4 * error  # each of the four that one number decides about
    together = dropped.T.corrcoef() - torch.eye(4)
    assert together.abs().max() < 4 / 100_000**0.5


def test_the_mean_stays_and_gradients_are_dropped_alike() -> None:
    torch.manual_seed(0)
    hidden = torch.ones(333, 333, requires_grad=True)
    out = Dropout(0.25)(hidden)
    out.sum().backward()
    assert out.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert out.mean().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(hidden.grad, out.detach())


def test_a_seed_decides_and_a_state_continues() -> None:
    torch.manual_seed(7)
    state, first = torch.get_rng_state(), Dropout(0.5)(torch.ones(1001))
    second = Dropout(0.5)(torch.ones(1001))
    torch.set_rng_state(state)
    assert torch.equal(Dropout(0.5)(torch.ones(1001)), first)
    assert torch.equal(Dropout(0.5)(torch.ones(1001)), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("share", "kept"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_and_all(share: float, kept: float) -> None:
    assert Dropout(share)(torch.ones(10)).tolist() == [kept] * 10
    assert Dropout(share).eval()(torch.ones(10)).tolist() == [1.0] * 10


def test_a_model_is_quickened_as_a_whole() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.Sequential(nn.Dropout(0.4), nn.AlphaDropout(0.2)))
    quicken(model)
    found = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [(type(module), module.p) for module in found] == [(Dropout, 0.3), (Dropout, 0.4)]
