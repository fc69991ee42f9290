"""Steps as CUDA graphs learn what the same steps learn launched one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dnabert.model import checkpoint
from dnabert.model.device import computing
from dnabert.model.packing import pack
from dnabert.training.graphs import BEFORE, MOST, MOST_TOKENS, Graphs
from tests.conftest import tiny_model

LENGTHS = [(20, 20, 20, 20)] * 6 + [(20, 20)] * 3 + [(20, 20, 20, 20)] * 2


def trained(folder: Path, recorded: bool) -> tuple[list[float], list[torch.Tensor], int]:
    """Make some steps with dropout; return the losses, the weights and the number of graphs."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = checkpoint.load(folder).model.cuda().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(inputs: Any) -> torch.Tensor:
        with computing(torch.device("cuda"), torch.bfloat16):
            loss: torch.Tensor = model(**inputs).loss
        loss.backward()
        return loss.detach()

    graphs = Graphs(model, step)
    losses = []
    for lengths in LENGTHS:
        batch = pack([rng.integers(5, 261, length) for length in lengths]).to("cuda")
        rows = torch.arange(1, 19, device="cuda")
        inputs = batch._asdict() | {"rows": rows, "labels": batch.input_ids[rows]}
        losses.append(float(graphs(inputs) if recorded else step(inputs)))
        optimizer.step()
        optimizer.zero_grad()
    return losses, [one.detach().cpu() for one in model.parameters()], len(graphs.recorded)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_is_replayed_learns_the_same(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    plain, weights, _ = trained(folder, recorded=False)
    replayed, others, graphs = trained(folder, recorded=True)
    assert graphs == 2
    np.testing.assert_allclose(replayed, plain, rtol=1e-3)
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-4)


def inputs_of(tokens: int) -> dict[str, Any]:
    return {"input_ids": torch.zeros(tokens, dtype=torch.int64), "max_seqlen": tokens}


def test_what_cannot_or_need_not_be_recorded_is_computed_as_it_comes() -> None:
    weight = torch.nn.Linear(1, 1)
    seen = []

    def step(inputs: Any) -> torch.Tensor:
        seen.append(len(inputs["input_ids"]))
        return torch.tensor(1.0)

    graphs = Graphs(weight, step)
    for tokens in (5, 6, 5, 6):  # not often enough
        assert graphs(inputs_of(tokens)) == 1
    for _ in range(BEFORE + 2):  # too large to gain
        graphs(inputs_of(MOST_TOKENS + 1))
    full: Any = {(n,): None for n in range(MOST)}
    graphs.recorded = full
    graphs(inputs_of(5))
    assert seen == [5, 6, 5, 6] + [MOST_TOKENS + 1] * (BEFORE + 2) + [5]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU records it")
def test_where_recording_fails_training_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    graphs = Graphs(torch.nn.Linear(1, 1), lambda _: torch.tensor(1.0))
    assert [float(graphs(inputs_of(5))) for _ in range(BEFORE + 3)] == [1] * (BEFORE + 3)
    assert capsys.readouterr().err.count("Warning: training goes on without CUDA graphs (") == 1
