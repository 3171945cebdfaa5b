"""Creation of task sets by name."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Literal

from mtrl_conic.envs.config import TaskSetOptions
from mtrl_conic.envs.gymnasium.entries import read_entries
from mtrl_conic.envs.metaworld.goals import GOALS_PER_TASK, Goals, draw_goals
from mtrl_conic.envs.names import Spec, check_spec, is_metaworld, task_names
from mtrl_conic.envs.registry import build
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.envs.streams import EpisodeStream
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError
from mtrl_conic.schema import parse
from mtrl_conic.workers import TIMEOUT

_LOGGER = logging.getLogger(__name__)


def make_task_set(
    spec: Spec,
    *,
    seed: int = 0,
    stepping: Literal["auto", "fast", "metaworld"] = "auto",
    stepping_threads: int = 1,
    horizon: int = 500,
    reward_version: Literal["v1", "v2"] = "v2",
    num_goals: int = GOALS_PER_TASK,
    goal_stream: Literal["independent", "metaworld"] = "independent",
    copies: int = 1,
    vector: Literal["sync", "async"] | None = None,
    worker_timeout: float = TIMEOUT,
    time_limit: int | None = None,
    one_hot: bool = True,
    goals_seed: int | None = None,
    render_mode: str | None = None,
) -> TaskSet:
    """Create a task set of Meta-World tasks or of registered Gymnasium environments, or a registered task set.

    Args:
        spec: description of the task set, see `mtrl_conic.envs.names.check_spec`. Gymnasium and registered task sets
            take `seed`, `copies`, `vector`, `worker_timeout`, `time_limit`, `one_hot` and `render_mode`. See
            `TaskSet.from_gymnasium` for environments that are not registered, and for more options.
        seed: seed of the goals of the episodes, 0 or more.
        stepping: `fast` is compiled, `metaworld` the reference; `auto` is `fast` for each task that it supports.
        stepping_threads: number of threads for compiled stepping; the results do not depend on it.
        horizon: number of steps after which an episode is truncated, 1 to 500.
        reward_version: `v2`, or `v1` for the rewards of the older published tables.
        num_goals: number of goals per task, 1 to 50; each episode draws one of them, so 1 means a fixed goal. The goals
            are those of Meta-World's own `num_goals`, whose tasks share one stream, so except for the first task of a
            set they are not the first ones of 50.
        goal_stream: `independent` chooses the goals of every task independently; `metaworld` makes the choices of
            `gym.make_vec("Meta-World/...", seed=seed)`, which are the same for all tasks.
        copies: number of environments per task, which step together: rows are then (N, .), ordered by task, and a step
            of n copies counts as n steps of their task.
        vector: `sync` or `async`, see `TaskSet.from_gymnasium`.
        worker_timeout: see `TaskSet.from_gymnasium`.
        time_limit: number of steps after which an episode of a Gymnasium environment is truncated, unless its entry
            says otherwise; by default the limit of the environment.
        one_hot: whether observations end with the one-hot code of the task.
        goals_seed: seed with which the goals of each task are drawn as in Meta-World; by default `seed`. The tasks of a
            list get the goals of `Meta-World/custom-mt-envs`, which are those of the seed plus the place of the task.
        render_mode: see `TaskSet.from_gymnasium`; Meta-World's own code, `stepping="metaworld"`, can always render.

    Raises:
        UserError: an unknown task or a value out of range.
    """
    check_spec(spec)
    options = {
        "stepping": stepping,
        "stepping_threads": stepping_threads,
        "horizon": horizon,
        "reward_version": reward_version,
        "num_goals": num_goals,
        "goal_stream": goal_stream,
        "copies": copies,
        "vector": vector,
        "worker_timeout": worker_timeout,
        "time_limit": time_limit,
        "one_hot": one_hot,
    }
    config = parse(TaskSetOptions, options)
    made = _make(spec, config, seed, goals_seed, render_mode)
    kept: dict[str, Any] = {key: value for key, value in options.items() if key != "copies"}
    made.again = partial(make_task_set, spec, **kept, goals_seed=goals_seed, render_mode=render_mode)
    return made


def _make(spec: Spec, config: TaskSetOptions, seed: int, goals_seed: int | None, render_mode: str | None) -> TaskSet:
    if not is_metaworld(spec):
        _check_kind(config, _OF_METAWORLD, "Meta-World")
        return _make_own(spec, config, seed, render_mode)
    _check_kind(config, _OF_GYMNASIUM, "Gymnasium")
    names = task_names(spec)
    goals_seed = seed if goals_seed is None else goals_seed
    stream: EpisodeStream = config.goal_stream
    if isinstance(spec, str):
        goals = draw_goals(names, goals_seed, config.num_goals)
    else:
        drawn = (draw_goals([name], goals_seed + place, config.num_goals) for place, name in enumerate(names))
        goals = {name: goals for of_task in drawn for name, goals in of_task.items()}
        stream = "metaworld_custom" if stream == "metaworld" else stream
    stepper = _make_stepper(config, names, goals)
    return TaskSet(stepper, seed=seed, horizon=config.horizon, one_hot=config.one_hot, episode_stream=stream)


_OF_METAWORLD = ("stepping", "stepping_threads", "horizon", "reward_version", "num_goals", "goal_stream")
_OF_GYMNASIUM = ("vector", "worker_timeout", "time_limit")


def _check_kind(config: TaskSetOptions, fields: Sequence[str], kind: str) -> None:
    for field in fields:
        if getattr(config, field) != TaskSetOptions.model_fields[field].default:
            hint = "; use time_limit" if field == "horizon" else "; use horizon" if field == "time_limit" else ""
            raise UserError(f"{field}={getattr(config, field)!r} is an option of {kind} tasks only{hint}")


def _make_own(spec: Spec, config: TaskSetOptions, seed: int, render_mode: str | None) -> TaskSet:
    """Create a registered task set, or one of registered environments, with the given options."""
    chosen = config.model_dump(include={"copies", "vector", "worker_timeout", "one_hot"}, exclude_defaults=True)
    if config.time_limit is not None:
        chosen["horizon"] = config.time_limit
    if render_mode is not None:
        chosen["render_mode"] = render_mode
    entries = read_entries(spec)
    if entries is not None:
        return TaskSet.from_gymnasium([entry.task() for entry in entries], seed=seed, **chosen)
    assert isinstance(spec, str)
    return build(spec, seed=seed, **chosen)


def _make_stepper(config: TaskSetOptions, names: Sequence[str], goals: Goals) -> Stepper:
    version = config.reward_version
    if config.stepping != "metaworld":
        refusal = _fast_refusal(names, version)
        if refusal is None:
            return _fast_stepper(config, names, goals)
        if config.stepping == "fast":
            raise UserError(f"stepping=fast is not possible: {refusal}; use stepping=auto or metaworld")
        _warn_of_slow_stepping(refusal)
        served = [name for name in names if _fast_refusal([name], version) is None]
        if served:
            return _join(config, served, names, goals)
    from mtrl_conic.envs.metaworld.reference import MetaWorldStepper

    return MetaWorldStepper(names, goals, reward_version=version, copies=config.copies)


def _fast_stepper(config: TaskSetOptions, names: Sequence[str], goals: Goals) -> Stepper:
    fast = importlib.import_module("mtrl_conic.envs.metaworld.fast")
    stepper: Stepper = fast.FastStepper(
        names, goals, reward_version=config.reward_version, threads=config.stepping_threads, copies=config.copies
    )
    return stepper


def _join(config: TaskSetOptions, served: Sequence[str], names: Sequence[str], goals: Goals) -> Stepper:
    """Return compiled stepping for the tasks in `served`, and Meta-World's own for the others."""
    from mtrl_conic.envs.joined import JoinedStepper
    from mtrl_conic.envs.metaworld.reference import MetaWorldStepper

    others = [name for name in names if name not in served]
    parts = (
        _fast_stepper(config, served, goals),
        MetaWorldStepper(others, goals, reward_version=config.reward_version, copies=config.copies),
    )
    return JoinedStepper(parts, names)


@cache
def _warn_of_slow_stepping(refusal: str) -> None:
    """Warn once per reason, because training and evaluation each create a task set."""
    _LOGGER.warning("Meta-World's own code steps the tasks that fast stepping cannot: %s", refusal)


def _fast_refusal(names: Sequence[str], reward_version: str) -> str | None:
    """Return why the compiled stepper cannot be used; None if it can."""
    try:
        fast = importlib.import_module("mtrl_conic.envs.metaworld.fast")
    except ImportError as error:
        return f"it cannot be imported ({error})"
    refusal: str | None = fast.supports(names, reward_version)
    return refusal
