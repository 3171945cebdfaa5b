"""How long it takes to build a task set."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

_PROGRAM = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
times = [time.perf_counter()]
def lap():
    times.append(time.perf_counter())
import torch
lap()
started = time.process_time()
from mtrl_conic.envs import make_task_set
envs = make_task_set(sys.argv[1], seed=0)
lap()
envs.reset()
lap()
envs.step(envs.action_space.sample())
lap()
parts = [later - earlier for earlier, later in zip(times, times[1:])]
print(json.dumps([*parts, time.process_time() - started]))
"""


class Building(NamedTuple):
    """Seconds, in a process of its own in which nothing is imported yet."""

    torch: float
    """To import torch, which the agent needs in any case."""
    make: float
    """To make the task set: Meta-World, numba and the models."""
    reset: float
    """To simulate the tasks' first resets."""
    step: float
    """To load the kernel and take the first step."""
    processor: float
    """Of the processor, for all but torch: what is left where other processes do not disturb."""

    @property
    def total(self) -> float:
        """From the imported torch to the first step's result."""
        return self.make + self.reset + self.step

    def __str__(self) -> str:
        parts = f"{self.make:.2f} made, {self.reset:.2f} reset, {self.step:.2f} first step"
        whole = f"{self.total:.2f} s, {self.processor:.2f} s of the processor"
        return f"{whole} ({parts}), after {self.torch:.2f} s to import torch"


def measure(task_set: str) -> Building:
    """Build a task set in a process of its own; the kernel is compiled before, where it was not in the cache."""
    command = [sys.executable, "-c", _PROGRAM, task_set]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Building(*json.loads(done.stdout))
