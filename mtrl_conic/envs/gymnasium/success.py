"""Success rules of tasks: a key of `info`, a return to reach, or a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError

SuccessFunction = Callable[[NDArray[Any], float, bool, dict[str, Any]], bool]
"""A function of (observation, reward, terminated, info) of a step that returns whether the step is a success."""
Success = str | float | SuccessFunction
"""A key of `info`, the return that an episode has to reach, or a function."""

AUTO = "auto"
"""The default rule: the return at which the registered environment counts as solved; without one,
`info["is_success"]` if the environment provides it; otherwise no rule."""
USUAL_KEY = "is_success"


def check_success(task: str, rule: object) -> Success | None:
    """Return a rule after checking it.

    Raises:
        UserError: the rule is not of a supported kind.
    """
    if rule is None or isinstance(rule, str) or callable(rule):
        return rule
    if isinstance(rule, int | float) and not isinstance(rule, bool) and math.isfinite(rule):
        return float(rule)
    given = repr(rule) if isinstance(rule, bool | float) else type(rule).__name__
    raise UserError(f"task {task!r}: success must be a key of info, a return to reach, or a function, not {given}")


def in_words(rule: Success | None) -> str | None:
    """Describe a success rule; None if there is no rule."""
    if rule is None:
        return None
    if isinstance(rule, str):
        return f"info[{rule!r}] is true at a step"
    if isinstance(rule, int | float):
        return f"the return of the episode is {rule:g} or more"
    return f"{getattr(rule, '__name__', 'the given function')} is true at a step"


class SuccessOfEpisodes:
    """Decides for each step of an environment whether it is a success.

    Args:
        rule: the success rule; None means that no step is a success.
    """

    def __init__(self, rule: Success | None) -> None:
        self.rule = rule
        self._return = 0.0
        self._keys: dict[str, None] = {}

    def reset(self) -> None:
        """Note that a new episode begins."""
        self._return = 0.0
        self._keys = {}

    def __call__(self, observation: Any, reward: float, terminated: bool, ended: bool, info: dict[str, Any]) -> bool:
        """Return whether the last step is a success.

        Raises:
            UserError: an episode ended without the key, or a value is neither true nor false.
        """
        rule = self.rule
        if rule is None:
            return False
        if isinstance(rule, str):
            self._keys.update(dict.fromkeys(info))
            if rule in info:
                return _as_bool(info[rule], f"info[{rule!r}]")
            if ended and rule not in self._keys:  # many environments give the key at the last step only
                raise UserError(
                    f"success is info[{rule!r}], but no step of the episode had this key, {_named(self._keys)}; set "
                    "the key at every step or at the last one, or give a function as success"
                )
            return False
        if isinstance(rule, int | float):
            self._return += reward
            return ended and self._return >= rule
        return _as_bool(rule(observation, reward, terminated, info), getattr(rule, "__name__", "the success function"))


def _as_bool(value: Any, what: str) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    number = np.asarray(value)
    if number.size == 1 and number.dtype.kind in "biuf" and number.item() in (0, 1):
        return bool(number.item())
    raise UserError(f"success is {what}, which must be true or false (1 or 0), not {value!r}")


def _named(keys: dict[str, None]) -> str:
    return f"only {', '.join(map(repr, keys))}" if keys else "and info was always empty"
