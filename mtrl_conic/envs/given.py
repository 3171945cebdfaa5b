"""Conversion of user input to a task set."""

from __future__ import annotations

from mtrl_conic.envs.make import make_task_set
from mtrl_conic.envs.names import Spec
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError


def as_task_set(given: TaskSet | Spec) -> TaskSet:
    """Return a given task set, or make it from a name or a list of tasks, see `check_spec`.

    Raises:
        UserError: a name is unknown, or the value is of another kind.
    """
    if isinstance(given, TaskSet):
        return given
    if isinstance(given, str | list | tuple):
        return make_task_set(given)
    what = type(given).__name__
    raise UserError(f"{what} is not a task set: make one with TaskSet.from_gymnasium({{'name': lambda: environment}})")
