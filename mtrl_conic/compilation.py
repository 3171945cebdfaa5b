"""Compiled code that is cached on disk for later processes, if there is a place for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_LOGGER = logging.getLogger(__name__)


def compiled_and_kept(function: F, **options: Any) -> F:
    """Compile `function` at its first call.

    The machine code is cached in the package's folder, in the user's, or in `NUMBA_CACHE_DIR`. If none of these can be
    written, as in some containers, every process compiles the code and a warning says so.

    Args:
        function: the function to compile.
        options: options of `numba.njit`.
    """
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _warn_of_recompilation()
        return cast(F, numba.njit(**options)(function))


@cache
def _warn_of_recompilation() -> None:
    _LOGGER.warning(
        "compiled code cannot be cached, so every process compiles it again: neither the package's folder nor the "
        "home directory is writable; set NUMBA_CACHE_DIR to a writable folder"
    )
