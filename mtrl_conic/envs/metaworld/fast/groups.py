"""The groups of rewards that are compiled together, and the choice among them in compiled code."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from mtrl_conic.envs.metaworld.fast import rewards
from mtrl_conic.envs.metaworld.fast.native import compiled
from mtrl_conic.envs.metaworld.fast.tasks import TASKS, V1_TASKS, TaskSpec
from mtrl_conic.envs.names import MT10

Reward = Callable[..., Any]

GROUPS: dict[str, tuple[TaskSpec, ...]] = {
    "v1": tuple(V1_TASKS.values()),
    "mt10": tuple(TASKS[name] for name in MT10),
    "mt50": tuple(TASKS.values()),
}
"""The tasks of each kernel; one kernel for all tasks would take several times as long to compile."""
REWARDS = tuple(dict.fromkeys(spec.reward for group in GROUPS.values() for spec in group))
"""The rewards; the index of each is its number in the kernels."""


def group_of(specs: Sequence[TaskSpec]) -> str:
    """Return the name of the first of `GROUPS` that contains the rewards of all tasks."""
    used = {spec.reward for spec in specs}
    return next(name for name, group in GROUPS.items() if used <= {spec.reward for spec in group})


def _function(path: str) -> Reward:
    """Return the reward function that a task's entry names."""
    module, name = path.split(".")
    return getattr(importlib.import_module(f"{rewards.__name__}.{module}"), name)  # type: ignore[no-any-return]


def _choice(group: str) -> Reward:
    """Make a compiled function of (number, state) that calls the reward with this number in the group.

    It is written out as a chain of comparisons, because nested functions would be optimised once per level. Its name is
    unique, because code from numba's cache is linked by names.
    """
    numbers = list(dict.fromkeys(REWARDS.index(spec.reward) for spec in GROUPS[group]))
    lines = [f"    if number == {number}: return reward_{number}(state)" for number in numbers[:-1]]
    source = "\n".join([f"def choose_{group}(number, state):", *lines, f"    return reward_{numbers[-1]}(state)"])
    scope: dict[str, Any] = {f"reward_{number}": _function(REWARDS[number]) for number in numbers}
    scope["__name__"] = __name__
    exec(source, scope)
    choose: Reward = compiled(scope[f"choose_{group}"])
    return choose


choose_v1, choose_mt10, choose_mt50 = map(_choice, GROUPS)
