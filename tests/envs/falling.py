"""An environment whose process fails in a given way, in a module of its own because every process imports it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

AT = 6
"""The step of an episode at which something happens."""


class Falling(gym.Env[NDArray[Any], NDArray[Any]]):
    """A position on a line, whose process fails at step `AT` unless the file `once` exists.

    Args:
        what: How the process fails: `killed`, `hangs` or `leaves`; if empty, it does not.
        once: A file that is made at the failure, so that there is no second one.
        random: Whether the position also moves at random, independently of the seed.
    """

    def __init__(self, what: str = "", once: str | None = None, random: bool = False) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.what, self.once, self.random = what, once, random

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self._see(), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.steps += 1
        apart = multiprocessing.parent_process() is not None  # not in the process of the tests, which probes it first
        if self.steps == AT and apart and not (self.once and os.path.exists(self.once)):
            self._happens()
        self.place += 0.1 * float(action[0]) + self.random * float(np.random.default_rng().uniform())
        return self._see(), self.place, self.steps == AT + 2, False, {}

    def _happens(self) -> None:
        if self.once:
            Path(self.once).touch()
        if self.what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.what == "hangs":
            pass
        if self.what == "leaves":
            sys.exit(3)

    def _see(self) -> NDArray[Any]:
        return np.array([self.place, self.place**2])
