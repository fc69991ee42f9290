"""Training steps as CUDA graphs.

A step on a few thousand tokens is hundreds of kernels, each over before the processor has launched the next one.
Recorded once for batches of one shape, as those of rows of one length are, they are launched together.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from dnabert.progress import say

BEFORE = 2
"""Batches of a shape that are computed as they come, before the next one is recorded: what lengths chance to add up to
seldom comes back."""
MOST = 4
"""Graphs that are kept. Each holds the memory of a step."""
MOST_TOKENS = 16_384
"""Tokens of a batch above which kernels take longer than to launch them."""


class _Graph(NamedTuple):
    """A recorded step, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: dict[str, torch.Tensor]
    loss: torch.Tensor
    gradients: list[tuple[torch.nn.Parameter, torch.Tensor]]


class Graphs:
    """Training steps, of which those on shapes that come again are recorded and replayed.

    What a step computes is the same either way, dropout included.

    Parameters
    ----------
    model : torch.nn.Module
        On a GPU. Has no gradients before a step.
    step : callable
        Takes the inputs, on the GPU; leaves gradients in the model and returns the loss. It does not wait for the GPU,
        and depends on the inputs, the model and torch's random numbers alone.
    """

    def __init__(self, model: torch.nn.Module, step: Callable[[Mapping[str, Any]], torch.Tensor]) -> None:
        self.model, self.step = model, step
        self.seen: Counter[tuple[Any, ...]] = Counter()
        self.recorded: dict[tuple[Any, ...], _Graph] = {}
        self.failed = False

    def __call__(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Compute the loss and the gradients of a batch."""
        shape = tuple((name, part.shape if torch.is_tensor(part) else part) for name, part in inputs.items())
        if shape not in self.recorded and not self._record(shape, inputs):
            return self.step(inputs)
        recorded = self.recorded[shape]
        for name, tensor in recorded.inputs.items():
            tensor.copy_(inputs[name])
        recorded.graph.replay()
        for parameter, gradient in recorded.gradients:
            parameter.grad = gradient
        return recorded.loss

    def _record(self, shape: tuple[Any, ...], inputs: Mapping[str, Any]) -> bool:
        """Record the step if its shape came often enough; say whether it is recorded."""
        if self.failed or len(self.recorded) == MOST or len(inputs["input_ids"]) > MOST_TOKENS:
            return False
        self.seen[shape] += 1
        if self.seen[shape] <= BEFORE:
            return False
        own = {name: part.clone() for name, part in inputs.items() if torch.is_tensor(part)}
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                loss = self.step({**inputs, **own})
        except RuntimeError as error:  # memory ran short, or the driver cannot
            self.failed = True
            self.model.zero_grad()
            say(f"Warning: training goes on without CUDA graphs ({str(error).partition(chr(10))[0]})")
            return False
        gradients = [(one, one.grad) for one in self.model.parameters() if one.grad is not None]
        self.recorded[shape] = _Graph(graph, own, loss, gradients)
        return True
