"""Parts of an update compiled by `torch.compile`."""

from __future__ import annotations

import os
import shutil
import signal
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
        compiled = torch.compile(operations, fullgraph=True)
        with torch.no_grad():
            value = compiled(*inputs)
        self._compiled = compiled
        return value


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block ends: it would stop the C++ compiler, a process of ours, in the middle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_compiler() -> None:
    """That this machine has a C++ compiler.

    Raises:
        UserError: it has none.
    """
    if "CXX" not in os.environ and not any(map(shutil.which, _COMPILERS)):
        raise UserError(
            f"compile=true needs a C++ compiler ({', '.join(_COMPILERS)}): install one or use compile=false"
        )
