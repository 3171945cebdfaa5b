"""From a name to a task set."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from functools import cache
from typing import Literal

from mtrl_conic.envs.config import TaskSetConfig
from mtrl_conic.envs.goals import Goals, draw_goals
from mtrl_conic.envs.names import task_names
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.envs.streams import EpisodeStream
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError
from mtrl_conic.validation import parse

_LOGGER = logging.getLogger(__name__)


def make_task_set(
    spec: str | Sequence[str],
    *,
    seed: int = 0,
    stepping: Literal["auto", "fast", "metaworld"] = "auto",
    horizon: int = 500,
    reward_version: Literal["v1", "v2"] = "v2",
    goal_stream: Literal["independent", "metaworld"] = "independent",
    one_hot: bool = True,
    goals_seed: int | None = None,
) -> TaskSet:
    """A task set of Meta-World tasks.

    Args:
        spec: `mt10`, `mt25`, `mt50`, `mt1:<task>`, or a list of Meta-World tasks.
        seed: chooses the goal of each episode, 0 or more.
        stepping: `fast` is compiled, `metaworld` the reference; `auto` is `fast` where it supports the tasks.
        horizon: steps after which an episode is truncated, 1 to 500.
        reward_version: `v2` or `v1`.
        goal_stream: `independent` chooses the goals of every task for itself; `metaworld` makes the
            choices of `gym.make_vec("Meta-World/...", seed=seed)`, the same for all tasks.
        one_hot: whether observations end with the code of the task.
        goals_seed: draws the 50 goals of each task as Meta-World does with it; by default `seed`. The
            tasks of a list get the goals of `Meta-World/custom-mt-envs`: those of seed + place, each.

    Raises:
        UserError: an unknown task or a value out of range, in one line.
    """
    names = task_names(spec)
    options = {
        "stepping": stepping,
        "horizon": horizon,
        "reward_version": reward_version,
        "goal_stream": goal_stream,
        "one_hot": one_hot,
    }
    config = parse(TaskSetConfig, options)
    goals_seed = seed if goals_seed is None else goals_seed
    stream: EpisodeStream = config.goal_stream
    if isinstance(spec, str):
        goals = draw_goals(names, goals_seed)
    else:
        goals = {name: draw_goals([name], goals_seed + place)[name] for place, name in enumerate(names)}
        stream = "metaworld_custom" if stream == "metaworld" else stream
    stepper = _make_stepper(config.stepping, names, goals, config.reward_version)
    return TaskSet(stepper, seed=seed, horizon=config.horizon, one_hot=config.one_hot, episode_stream=stream)


def _make_stepper(stepping: str, names: Sequence[str], goals: Goals, reward_version: str) -> Stepper:
    if stepping != "metaworld":
        refusal = _fast_refusal(names, reward_version)
        if refusal is None:
            fast = importlib.import_module("mtrl_conic.envs.fast")
            stepper: Stepper = fast.FastStepper(names, goals, reward_version=reward_version)
            return stepper
        if stepping == "fast":
            raise UserError(f"stepping=fast is not possible: {refusal}; use stepping=auto or metaworld")
        _warn_of_slow_stepping(refusal)
    from mtrl_conic.envs.metaworld import MetaWorldStepper

    return MetaWorldStepper(names, goals, reward_version=reward_version)


@cache
def _warn_of_slow_stepping(refusal: str) -> None:
    """Once per reason: training and evaluation each make a task set."""
    _LOGGER.warning("Meta-World's own code does the stepping, since the fast one cannot: %s", refusal)


def _fast_refusal(names: Sequence[str], reward_version: str) -> str | None:
    """Why the compiled stepper cannot serve; None where it can."""
    try:
        fast = importlib.import_module("mtrl_conic.envs.fast")
    except ImportError as error:
        return f"it cannot be imported ({error})"
    refusal: str | None = fast.supports(names, reward_version)
    return refusal
