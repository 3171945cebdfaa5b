"""Parts of an update compiled by `torch.compile`."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from mtrl_conic.errors import UserError

_COMPILERS = ("c++", "g++", "clang++")


class Compiled:
    """A function of tensors, compiled at its first call.

    A backward inside the function is written out as the operations it consists of, so that those of forward and
    backward are compiled together: what a layer computes between two matrix products is then one loop.

    Args:
        function: pure, of nested tuples and dicts of tensors whose shapes never change; it returns the same.

    Where the compiler fails, a warning says so, and the operations run one by one.

    Raises:
        UserError: at the first call, if this machine has no C++ compiler.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *inputs: Any) -> Any:
        """The function's value, without a graph of its own."""
        if self._compiled is None:
            with _undisturbed():
                return self._compile(inputs)
        with torch.no_grad():
            return self._compiled(*inputs)

    def _compile(self, inputs: tuple[Any, ...]) -> Any:
        check_compiler()
        operations = make_fx(lambda *given: self._function(*given))(*inputs)  # of a method it would count `self`
        operations.graph.eliminate_dead_code()
        operations.recompile()
        self._compiled = torch.compile(operations, fullgraph=True)
        with torch.no_grad():
            try:
                return self._compiled(*inputs)
            except RuntimeError as error:
                warnings.warn(f"updates are not compiled: {_reason(error)}", stacklevel=2)
                self._compiled = operations
                return operations(*inputs)


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block ends: it would stop the C++ compiler, a process of ours, in the middle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def has_compiler() -> bool:
    """Whether this machine has a C++ compiler."""
    return "CXX" in os.environ or any(map(shutil.which, _COMPILERS))


def check_compiler() -> None:
    """That this machine has a C++ compiler.

    Raises:
        UserError: it has none.
    """
    if not has_compiler():
        raise UserError(
            f"compile=true needs a C++ compiler ({', '.join(_COMPILERS)}): install one or use compile=false"
        )
