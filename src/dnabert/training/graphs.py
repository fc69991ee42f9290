"""Training steps as CUDA graphs.

A step on a few thousand tokens is hundreds of kernels, each over before the processor has launched the next one.
Recorded once for batches of one shape, as those of rows of one length are, they are launched together.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from dnabert.errors import InputError
from dnabert.progress import say

BEFORE = 2
"""Batches of a shape that are computed as they come, before the next one is recorded."""
SHARE = 8
"""One in so many steps at least have a shape that is recorded: what lengths chance to add up to seldom comes back."""
MOST = 4
"""Graphs that are kept."""
MOST_SEEN = 1024
"""Shapes that are counted; beyond that those are forgotten that are too seldom to be recorded."""
MOST_TOKENS = 16_384
"""Tokens of a batch above which kernels take longer than to launch them."""


class Graph(NamedTuple):
    """A recorded step, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: dict[str, torch.Tensor]
    loss: torch.Tensor
    gradients: list[tuple[torch.nn.Parameter, torch.Tensor]]


class Graphs:
    """Training steps, of which those on shapes that come again are recorded and replayed.

    What a step computes is the same either way, dropout included. Where memory runs short, all goes on without graphs.

    Parameters
    ----------
    model : torch.nn.Module
        On a GPU. Has no gradients before a step.
    step : callable
        Takes the inputs, tensors on the GPU and what decides the shapes within the step; leaves gradients in the model
        and returns the loss. It does not wait for the GPU, and depends on the inputs, the model and torch's random
        numbers alone.
    counted : str
        The input whose elements are counted.
    most : int
        Elements of it above which a step is not recorded.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        step: Callable[[Mapping[str, Any]], torch.Tensor],
        counted: str = "input_ids",
        most: int = MOST_TOKENS,
    ) -> None:
        self.model, self.step, self.counted, self.most = model, step, counted, most
        self.steps = 0
        self.seen: Counter[tuple[Any, ...]] = Counter()
        self.recorded: dict[tuple[Any, ...], Graph] = {}

    def __call__(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Compute the loss and the gradients of a batch."""
        self.steps += 1
        shape = tuple((name, part.shape if torch.is_tensor(part) else part) for name, part in inputs.items())
        if shape in self.recorded:
            return self._replay(self.recorded[shape], inputs)
        try:
            if inputs[self.counted].numel() > self.most or not self._comes_again(shape):
                return self.step(inputs)
            self.recorded[shape] = self._record(inputs)
            return self._replay(self.recorded[shape], inputs)
        except torch.OutOfMemoryError:
            if not self.most:
                raise
        self._stop()
        return self.step(inputs)

    def _comes_again(self, shape: tuple[Any, ...]) -> bool:
        if len(self.recorded) == MOST:
            return False
        self.seen[shape] += 1
        if len(self.seen) > MOST_SEEN:
            self.seen = Counter({one: count for one, count in self.seen.items() if count * SHARE >= self.steps})
        return self.seen[shape] > BEFORE and self.seen[shape] * SHARE >= self.steps

    def _record(self, inputs: Mapping[str, Any]) -> Graph:
        """Record the step, which computes nothing. Graphs share their memory: one is over before the next begins."""
        own = {name: part.clone() for name, part in inputs.items() if torch.is_tensor(part)}
        pool = next((one.graph.pool() for one in self.recorded.values()), None)
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                loss = self.step({**inputs, **own})
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"a training step cannot be recorded as a CUDA graph ({reason}); go on with --no-graphs, and --resume "
                "where there is a checkpoint"
            ) from error
        gradients = [(one, one.grad) for one in self.model.parameters() if one.grad is not None]
        return Graph(graph, own, loss, gradients)

    def _replay(self, recorded: Graph, inputs: Mapping[str, Any]) -> torch.Tensor:
        for name, tensor in recorded.inputs.items():
            tensor.copy_(inputs[name])
        recorded.graph.replay()
        for parameter, gradient in recorded.gradients:
            parameter.grad = gradient
        return recorded.loss

    def _stop(self) -> None:
        """Give the memory of the graphs back and record no more."""
        self.most = 0
        self.recorded.clear()
        self.model.zero_grad()
        torch.cuda.empty_cache()
        say("Warning: memory is too short for CUDA graphs; training goes on without them")
