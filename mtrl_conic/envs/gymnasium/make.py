"""From Gymnasium environments to a task set, and the sets of them that are ready."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import gymnasium as gym

from mtrl_conic.envs.gymnasium.stepper import GymnasiumStepper, check_names
from mtrl_conic.envs.gymnasium.task import Factory, Success, Task
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError, first_line, unknown

_LOGGER = logging.getLogger(__name__)

Value = TypeVar("Value")


def make_gymnasium_set(
    environments: Mapping[str, Factory] | Sequence[tuple[str, Factory]],
    *,
    seed: int,
    success: Mapping[str, Success | None] | None,
    reward_scale: float | Mapping[str, float],
    horizon: int | Mapping[str, int] | None,
    copies: int,
    vector: Literal["sync", "async"],
    one_hot: bool,
) -> TaskSet:
    """See `TaskSet.from_gymnasium`."""
    pairs = _pairs(environments)
    names = [name for name, _ in pairs]
    check_names(names)
    scales = _by_task("reward_scale", reward_scale, names, 1.0)
    for name, scale in scales.items():
        if not 0 < scale < float("inf"):
            raise UserError(f"task {name!r}: reward_scale must be above 0 and finite, not {scale}")
    horizons = _by_task("horizon", horizon, names, None)
    for name, steps in horizons.items():
        if steps is not None and (not isinstance(steps, int) or steps < 1):
            raise UserError(f"task {name!r}: horizon must be a whole number of at least 1, not {steps!r}")
    given = _by_task("success", success, names, None)
    undone = {name for name in success or {} if given[name] is None}
    tasks = [
        Task(name, factory, _check_success(name, given[name]), horizons[name], registered_success=name not in undone)
        for name, factory in pairs
    ]
    stepper = GymnasiumStepper(tasks, copies=copies, vector=vector)
    _LOGGER.info("%s", success_in_words(stepper))
    reward_scales = [scales[name] for name in names]
    return TaskSet(stepper, seed=seed, horizon=stepper.horizons, one_hot=one_hot, reward_scales=reward_scales)


def check_registered(ids: Sequence[str]) -> None:
    """That Gymnasium knows environments of these ids, without making them."""
    for name in ids:
        try:
            gym.spec(name)
        except (gym.error.Error, ImportError) as error:
            raise UserError(f"task {name!r}: {first_line(error)}") from None


def success_in_words(stepper: Stepper) -> str:
    """What success means on each task that has one, and which tasks have none."""
    rules = stepper.success_rules or ("Meta-World's",) * len(stepper.task_names)
    said = [f"{name}: {rule}" for name, rule in zip(stepper.task_names, rules, strict=True) if rule is not None]
    none = [name for name, rule in zip(stepper.task_names, rules, strict=True) if rule is None]
    if none:
        said.append(f"no success is defined for {', '.join(none)}, whose returns are reported")
    return "success: " + "; ".join(said)


def _pairs(environments: object) -> list[tuple[str, Factory]]:
    pairs = list(environments.items()) if isinstance(environments, Mapping) else environments
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise UserError("give the environments as {name: id or function}, or as a list of (name, id or function)")
    for name, factory in pairs:
        if not isinstance(factory, str) and not callable(factory):
            raise UserError(
                f"task {name!r}: {type(factory).__name__} makes no environment; give an id, or a function such as "
                "lambda: MyEnv(), since evaluation needs an environment of its own"
            )
    return [(name, factory) for name, factory in pairs]


def _by_task(what: str, given: object, names: Sequence[str], default: Value) -> dict[str, Value]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, default if given is None else given)  # type: ignore[arg-type]  # one for all tasks
    for name in given:
        if name not in names:
            raise unknown(f"task in {what}", name, names)
    return {name: given.get(name, default) for name in names}


def _check_success(name: str, rule: object) -> Success | None:
    if rule is None or isinstance(rule, str) or callable(rule):
        return rule
    if isinstance(rule, int | float) and not isinstance(rule, bool):
        return float(rule)
    raise UserError(
        f"task {name!r}: success must be a key of info, a return to reach, or a function, not {type(rule).__name__}"
    )
