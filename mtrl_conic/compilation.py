"""Compiled code that is kept on disk for the processes that follow, where there is a place for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_LOGGER = logging.getLogger(__name__)


def compiled_and_kept(function: F, **options: Any) -> F:
    """`function`, compiled at its first call.

    The machine code is kept in the package's folder or the user's, or where `NUMBA_CACHE_DIR` says. A container may
    allow none of these: the code is then compiled by every process, and a warning says so.

    Args:
        function: to compile.
        options: of `numba.njit`.
    """
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _warn_of_compiling_anew()
        return cast(F, numba.njit(**options)(function))


@cache
def _warn_of_compiling_anew() -> None:
    _LOGGER.warning(
        "compiled code cannot be kept, and every process compiles it anew: neither the package's folder nor the "
        "home directory can be written; set NUMBA_CACHE_DIR to a folder that can"
    )
