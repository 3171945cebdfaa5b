"""Recording of GPU work as CUDA graphs: launching the many operations of a small update takes most of its time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils import _pytree as pytree
from typing_extensions import override

from mtrl_conic.errors import headline
from mtrl_conic.execution.eager import Eager, Value
from mtrl_conic.execution.shapes import MOST_SHAPES, Shapes, shapes

_ORDINARY_CALLS = 3
"""The number of ordinary calls before a recording, in which libraries, optimisers and balancers initialise."""


class CudaGraph(Eager):
    """Records each kind of update once as a CUDA graph, and replays it.

    It does so for batches of the first `MOST_SHAPES` shapes; updates with other batches are executed eagerly.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recordings: dict[tuple[bool, ...], dict[Shapes, Recorded]] = {}

    @override
    def update(self, function: Callable[..., Value], *inputs: Any, made: int, **switches: bool) -> Value:
        of_shapes = self._recordings.setdefault(tuple(switches.values()), {})
        key = shapes(inputs)
        if key not in of_shapes and len(of_shapes) < MOST_SHAPES:
            of_shapes[key] = Recorded(partial(function, **switches))
        with self.watch("update"):
            value: Value = of_shapes[key](*inputs) if key in of_shapes else function(*inputs, **switches)
        return value

    @override
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        # The state of a fused optimiser is on the device in any case. torch only insists that the flag is set while it
        # records, and warns if it is set otherwise.
        for group in optimizer.param_groups:
            on_gpu = group["params"][0].is_cuda
            group["capturable"] = on_gpu and torch.cuda.is_current_stream_capturing()
        optimizer.step()

    @override
    def forget(self) -> None:
        # A recording holds the addresses of tensors.
        self._recordings.clear()

    @override
    def without_recording(self) -> Eager:
        return Eager()


class Recorded:
    """A function of tensors that is recorded as a CUDA graph at its fourth call and replayed from then on.

    If it cannot be recorded, a warning states the reason, and it is called each time.

    Args:
        function: a function of tensors, or tuples of them, with constant shapes, which it also returns. It must not
            wait for a result, and must keep its state in the same tensors.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._calls = 0
        self._replay: Callable[[], None] | None = None
        self._inputs: Any = None
        self._outputs: Any = None

    def __call__(self, *inputs: Any) -> Any:
        """Return the function's value."""
        self._calls += 1
        if self._calls == _ORDINARY_CALLS + 1:
            self._record(inputs)
        if self._replay is None:
            return warm_up(self._function, inputs)
        for kept, given in zip(pytree.tree_leaves(self._inputs), pytree.tree_leaves(inputs), strict=True):
            kept.copy_(given)
        self._replay()
        # The next replay writes into the same outputs.
        return pytree.tree_map(torch.clone, self._outputs)

    def _record(self, inputs: tuple[Any, ...]) -> None:
        self._inputs = pytree.tree_map(torch.clone, inputs)
        try:
            self._replay, self._outputs = record(self._function, self._inputs)
        except RuntimeError as error:  # its operations were not executed
            self._inputs = None
            warnings.warn(f"updates are not recorded: {headline(error)}", stacklevel=2)


def warm_up(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    """Compute the function's value on a separate stream, as for a recording."""
    beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
    beside.wait_stream(here)
    with torch.cuda.stream(beside):
        value = function(*inputs)
    here.wait_stream(beside)
    return value


def record(function: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[Callable[[], None], Any]:
    """Record the function; return what replays it on the current content of `inputs`, and its output tensors."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(*inputs)
    return graph.replay, outputs
