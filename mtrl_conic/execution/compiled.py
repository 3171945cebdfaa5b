"""Compilation of parts of an update with `torch.compile`."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from typing_extensions import override

from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError, headline
from mtrl_conic.execution.eager import Eager, Tensors, Value
from mtrl_conic.execution.preparation import PREPARATION
from mtrl_conic.execution.shapes import MOST_SHAPES, Shapes, shapes
from mtrl_conic.gradients import Layout, TaskGradients, task_gradients
from mtrl_conic.gradients.calls import Losses
from mtrl_conic.gradients.separate import are_separate

State = Callable[[], Iterable[Tensor]]
_COMPILERS = ("c++", "g++", "clang++")


class Compiled(Eager):
    """Compiles functions of tensors, task gradients with their backward pass, and the weights of balancers.

    Args:
        after: number of the agent's updates that are executed eagerly first. The agent counts them, so that a resumed
            run gives the same numbers as one that was not stopped.
    """

    def __init__(self, *, after: int = 0) -> None:
        super().__init__()
        self._after = after
        self._starts = after == 0
        self._functions: dict[tuple[str, bool], CompiledFunction] = {}

    @override
    def update(self, function: Callable[..., Value], *inputs: Any, made: int, **switches: bool) -> Value:
        self._starts = made >= self._after
        return function(*inputs, **switches)

    @override
    def call(self, part: str, function: Callable[..., Value], *inputs: Any) -> Value:
        if not self._starts:
            return super().call(part, function, *inputs)
        with self.watch(part):
            value: Value = self._compiled(part, False, function)(*inputs)
        return value

    @override
    def task_gradients(
        self, part: str, layout: Layout, losses: Losses, *inputs: Any, compare: bool = True
    ) -> TaskGradients:
        if not self._starts:
            return super().task_gradients(part, layout, losses, *inputs, compare=compare)
        are_separate(layout, losses, inputs)  # while operations are traced, it cannot be determined

        def parts(*given: Any) -> tuple[Any, ...]:
            found = task_gradients(layout, losses, *given, compare=compare)
            return found.losses, found.extra, found.parts, found.own, found.averaged

        with self.watch(part):
            return TaskGradients(*self._compiled(part, compare, parts)(*inputs))

    @override
    def balance(self, part: str, gradients: TaskGradients, balancer: Balancer) -> tuple[Tensors, Tensors]:
        if not (self._starts and balancer.traceable and balancer.compares_gradients):
            return super().balance(part, gradients, balancer)
        settle = self._compiled(f"{part}: balance", False, balancer.settle, lambda: balancer.state.values())
        return gradients.balance(balancer, settle)

    @override
    def forget(self) -> None:
        self._functions.clear()

    def _compiled(
        self, part: str, compare: bool, function: Callable[..., Any], state: State = tuple
    ) -> CompiledFunction:
        if (part, compare) not in self._functions:
            self._functions[part, compare] = CompiledFunction(function, state)
        return self._functions[part, compare]


class CompiledFunction:
    """A function of tensors, compiled at the first call with inputs of a shape.

    It is compiled for the first `MOST_SHAPES` shapes, and executed eagerly for inputs of any other.

    A backward pass inside the function is traced as its operations, so that forward and backward are compiled
    together: the operations of a layer between two matrix products become one loop. If the compiler fails, a warning
    says so, and the function runs eagerly.

    Args:
        function: a function of nested tuples and dicts of tensors, which it also returns. Other tensors that it reads,
            such as parameters, are read at each call and must stay the same objects.
        state: returns the tensors that the function changes in place. It is called when the function is compiled,
            because a balancer moves its state to the device of its first input.

    Raises:
        UserError: at the first call, if this machine has no C++ compiler.
    """

    def __init__(self, function: Callable[..., Any], state: State = tuple) -> None:
        self._function, self._state = function, state
        self._compiled: dict[Shapes, Callable[..., Any]] = {}

    def __call__(self, *inputs: Any) -> Any:
        """Return the function's value, without an autograd graph."""
        key = shapes(inputs)
        if key not in self._compiled and len(self._compiled) < MOST_SHAPES:
            with _undisturbed(), PREPARATION("compiling"):
                return self._compile(key, inputs)
        with torch.no_grad():
            return self._compiled.get(key, self._function)(*inputs)

    def _compile(self, key: Shapes, inputs: tuple[Any, ...]) -> Any:
        check_compiler()
        state = tuple(self._state())
        before = [tensor.clone() for tensor in state]
        # A lambda, because make_fx would count the `self` of a method as an input.
        operations = make_fx(lambda *given: self._function(*given))(*inputs)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)  # make_fx executes the operations
        operations.graph.eliminate_dead_code()
        operations.recompile()
        self._compiled[key] = torch.compile(operations, fullgraph=True)
        with torch.no_grad():
            try:
                return self._compiled[key](*inputs)
            except (RuntimeError, OSError) as error:  # OSError: its cache directory cannot be written
                warnings.warn(f"updates are not compiled: {headline(error)}", stacklevel=2)
                self._compiled[key] = operations
                return operations(*inputs)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Defer Ctrl-C, which would also stop the C++ compiler, a child process; hide torch's warnings about itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def has_compiler() -> bool:
    """Return whether this machine has a C++ compiler."""
    return "CXX" in os.environ or any(map(shutil.which, _COMPILERS))


def check_compiler() -> None:
    """Check that this machine has a C++ compiler.

    Raises:
        UserError: it has none.
    """
    if not has_compiler():
        raise UserError(
            f"compile=true needs a C++ compiler ({', '.join(_COMPILERS)}): install one or use compile=false"
        )
