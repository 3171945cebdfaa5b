"""The time of building a task set."""

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
    """Seconds in a new process in which nothing is imported yet."""

    torch: float
    """The import of torch, which the agent needs in any case."""
    make: float
    """The creation of the task set: Meta-World, numba and the models."""
    reset: float
    """The simulation of the tasks' first resets."""
    step: float
    """Loading the kernel and taking the first step."""
    processor: float
    """Processor time of everything except torch, which other processes affect less."""

    @property
    def total(self) -> float:
        """The time from the import of torch to the result of the first step."""
        return self.make + self.reset + self.step

    def __str__(self) -> str:
        parts = f"{self.make:.2f} made, {self.reset:.2f} reset, {self.step:.2f} first step"
        whole = f"{self.total:.2f} s, {self.processor:.2f} s of the processor"
        return f"{whole} ({parts}), after {self.torch:.2f} s to import torch"


def measure(task_set: str) -> Building:
    """Build a task set in a new process; if the kernel is not in the cache, it is compiled before."""
    command = [sys.executable, "-c", _PROGRAM, task_set]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Building(*json.loads(done.stdout))
