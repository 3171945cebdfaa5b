"""What goes wrong in an environment, with the place where it did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
"""Observations and rewards are kept in float32."""


def failure(task: str, episode: int | None, step: int, what: str) -> UserError:
    """An error of an environment.

    Args:
        task: its name.
        episode: the episode's number; None before the first.
        step: of the episode, 0 at its reset.
        what: went wrong.
    """
    of_episode = "" if episode is None else f", episode {episode}"
    return UserError(f"task {task!r}{of_episode}, step {step}: {what}")


def fits(values: NDArray[np.floating]) -> bool:
    """Whether all numbers are finite, in float32 too."""
    return bool((np.abs(values) <= LARGEST).all())


def unfit(what: str, values: NDArray[np.floating]) -> str:
    """What is wrong with the numbers of one environment, for which `fits` is not true."""
    flat = np.ravel(values)
    place = int(np.flatnonzero(~(np.abs(flat) <= LARGEST))[0])
    entry = f"entry {place} of the {what}" if flat.size > 1 else f"the {what}"
    large = " beyond what float32 holds" if np.isfinite(flat[place]) else ""
    return f"{entry} is {flat[place]:g}{large}; find the step that makes it, scale it, or end the episode before"
