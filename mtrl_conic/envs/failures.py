"""Errors of environments, with the task, episode and step where they occurred."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
"""The largest number of float32, in which observations and rewards are stored."""


def failure(task: str, episode: int | None, step: int, what: str) -> UserError:
    """Make the error for a failure of an environment.

    Args:
        task: name of the task.
        episode: number of the episode; None before the first.
        step: step of the episode; 0 at its reset.
        what: what failed.
    """
    of_episode = "" if episode is None else f", episode {episode}"
    return UserError(f"task {task!r}{of_episode}, step {step}: {what}")


def fits(values: NDArray[np.floating]) -> bool:
    """Return whether all numbers are finite, also in float32."""
    return bool((np.abs(values) <= LARGEST).all())


def unfit(what: str, values: NDArray[np.floating]) -> str:
    """Describe the numbers of one environment for which `fits` is false."""
    flat = np.ravel(values)
    place = int(np.flatnonzero(~(np.abs(flat) <= LARGEST))[0])
    entry = f"entry {place} of the {what}" if flat.size > 1 else f"the {what}"
    large = " beyond what float32 holds" if np.isfinite(flat[place]) else ""
    return f"{entry} is {flat[place]:g}{large}; find the step that produces it, scale it, or end the episode earlier"
