"""Compiled, exact stepping of Meta-World tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtrl_conic.envs.metaworld.fast.support import supports

if TYPE_CHECKING:
    from mtrl_conic.envs.metaworld.fast.stepper import FastStepper

__all__ = ["FastStepper", "supports"]


def __getattr__(name: str) -> object:
    # importing numba takes most of a second, which callers of `supports` do not need
    if name != "FastStepper":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mtrl_conic.envs.metaworld.fast.stepper import FastStepper

    return FastStepper
