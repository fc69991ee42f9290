"""Steps as CUDA graphs learn what the same steps learn launched one by one."""

import gc
import json
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dnabert.errors import InputError
from dnabert.model import checkpoint
from dnabert.model.device import computing
from dnabert.model.packing import pack
from dnabert.training import fit, trainer
from dnabert.training.finetune import finetune
from dnabert.training.graphs import BEFORE, MOST, MOST_SEEN, MOST_TOKENS, SHARE, Graph, Graphs
from dnabert.training.trainer import LOG
from tests.conftest import tiny_model, write_bound

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


class Kept:
    """What stands for a CUDA graph where there is no GPU: the step, computed again on the tensors of its recording."""

    def __init__(self, step: Any, inputs: dict[str, Any], loss: torch.Tensor, gradients: list[Any]) -> None:
        self.step, self.inputs, self.loss, self.gradients = step, inputs, loss, gradients

    def replay(self) -> None:
        self.loss.copy_(self.step(self.inputs))
        for parameter, gradient in self.gradients:
            gradient.copy_(parameter.grad)
            parameter.grad = None


class OnCpu(Graphs):
    """Graphs that are recorded and replayed in this way."""

    def _record(self, inputs: Any) -> Graph:
        own = {name: part.clone() for name, part in inputs.items() if torch.is_tensor(part)}
        gradients = [(one, torch.zeros_like(one)) for one in self.model.parameters() if one.requires_grad]
        loss = torch.zeros(())
        kept: Any = Kept(self.step, {**inputs, **own}, loss, gradients)
        return Graph(kept, own, loss, gradients)


class Model(torch.nn.Module):
    """Its loss is the mean of the tokens times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))

    def step(self, inputs: Any) -> torch.Tensor:
        loss = self.weight * inputs["input_ids"].float().mean()
        loss.backward()
        return loss.detach()


def inputs_of(tokens: int, value: int = 1) -> dict[str, Any]:
    return {"input_ids": torch.full((tokens,), value), "max_seqlen": tokens, "segment_ids": None}


def run(graphs: Graphs, tokens: int, value: int = 1) -> None:
    """Make a step, and see that loss and gradient are those of its own inputs."""
    loss = graphs(inputs_of(tokens, value))
    (weight,) = graphs.model.parameters()
    assert weight.grad is not None
    assert (float(loss), float(weight.grad)) == (2 * value, value)
    graphs.model.zero_grad()


def test_a_shape_that_comes_again_is_recorded_and_replayed_on_its_own_inputs() -> None:
    model = Model()
    graphs = OnCpu(model, model.step)
    for value in range(1, BEFORE + 1):
        run(graphs, 5, value)
        assert not graphs.recorded
    for value in (7, 8, 9):
        run(graphs, 5, value)
        assert len(graphs.recorded) == 1
    run(graphs, 6)  # of another length
    assert len(graphs.recorded) == 1


def test_what_seldom_comes_again_is_not_recorded() -> None:
    model = Model()
    graphs = OnCpu(model, model.step)
    for one in range(2000):
        run(graphs, 1000 + one % (2 * SHARE))
    assert not graphs.recorded
    graphs = OnCpu(model, model.step)
    for one in range(2000):  # as the last batch of an epoch: steps that are replayed count too
        run(graphs, 5 if one % (2 * SHARE) else 6)
    assert len(graphs.recorded) == 1


def test_shapes_that_are_counted_stay_few() -> None:
    model = Model()
    graphs = OnCpu(model, model.step)
    for one in range(3 * MOST_SEEN):
        run(graphs, 5 if one % 2 else 10 + one)
    assert len(graphs.seen) <= MOST_SEEN
    assert len(graphs.recorded) == 1, "the one that comes again was forgotten with the others"


def test_what_is_too_large_to_gain_is_not_recorded() -> None:
    model = Model()
    graphs = OnCpu(model, model.step)
    for _ in range(BEFORE + 2):
        run(graphs, MOST_TOKENS + 1)
    assert not graphs.recorded
    for _ in range(BEFORE + 2):
        run(graphs, MOST_TOKENS)
    assert len(graphs.recorded) == 1


def test_no_more_graphs_are_kept_than_said() -> None:
    model = Model()
    graphs = OnCpu(model, model.step)
    for one in range(10 * MOST):
        run(graphs, 5 + one % (MOST + 1))
    assert len(graphs.recorded) == MOST


def test_where_memory_is_short_training_goes_on_without(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model()
    full = True

    def step(inputs: Any) -> torch.Tensor:
        if full and len(inputs["input_ids"]) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return model.step(inputs)

    graphs = OnCpu(model, step)
    for _ in range(BEFORE + 1):
        run(graphs, 5)
    assert len(graphs.recorded) == 1
    with pytest.raises(torch.OutOfMemoryError):  # not because of graphs, then
        run(graphs, 6)
    assert "Warning: memory is too short for CUDA graphs" in capsys.readouterr().err
    with pytest.raises(torch.OutOfMemoryError):
        run(graphs, 6)
    assert not capsys.readouterr().err  # it is said once
    full = False
    for tokens in (6, 5, 5, 5, 5):
        run(graphs, tokens)
    assert not graphs.recorded
    assert not capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU records it")
def test_what_cannot_be_recorded_says_how_to_go_on() -> None:
    model = Model()
    graphs = Graphs(model, model.step)
    for _ in range(BEFORE):
        run(graphs, 5)
    with pytest.raises(InputError, match="go on with --no-graphs"):
        run(graphs, 5)


def test_a_fine_tuning_with_graphs_is_the_same(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = write_bound(tmp_path / "data", rng), tiny_model(tmp_path / "model")
    options: dict[str, Any] = {"epochs": 2, "batch_size": 16, "device": "cpu", "precision": "float32", "log_every": 1}
    finetune(data, model, tmp_path / "plain", **options)
    made: list[weakref.ref[OnCpu]] = []
    shapes: list[int] = []

    class Remembered(OnCpu):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(weakref.ref(self))

        def _record(self, inputs: Any) -> Graph:
            shapes.append(len(inputs["input_ids"]))
            return super()._record(inputs)

    monkeypatch.setattr(trainer, "Graphs", Remembered)
    monkeypatch.setattr(fit, "_can_be_recorded", lambda *_: True)
    finetune(data, model, tmp_path / "other", graphs=False, **options)
    assert not made
    gc.disable()
    try:
        finetune(data, model, tmp_path / "recorded", **options)
        assert [one() for one in made] == [None], "their memory is given back, whatever still holds the trainer"
    finally:
        gc.enable()
    assert len(shapes) == 1

    def learned(name: str) -> list[Any]:
        log = map(json.loads, (tmp_path / name / LOG).read_text().splitlines())
        return [[entry.get(one) for one in ("loss", "tokens", "eval_mcc", "grad_norm")] for entry in log]

    assert learned("recorded") == learned("plain") == learned("other")


def test_where_steps_can_be_recorded() -> None:
    def job(device: str = "cuda", precision: torch.dtype = torch.bfloat16, **settings: Any) -> Any:
        engine = SimpleNamespace(device=torch.device(device), precision=precision)
        return SimpleNamespace(engine=engine, settings={"long": None, "task": "classification"} | settings)

    assert fit._can_be_recorded(job(), 1)
    assert fit._can_be_recorded(job(task="regression"), 1)
    assert not fit._can_be_recorded(job(), 2)
    for other in (job("cpu"), job(precision=torch.float32), job(long="mean"), job(task="per-base")):
        assert not fit._can_be_recorded(other, 1)
