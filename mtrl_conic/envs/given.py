"""Conversion of user input to a task set."""

from __future__ import annotations

from mtrl_conic.envs.make import make_task_set
from mtrl_conic.envs.names import Spec
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError


def as_task_set(given: TaskSet | Spec) -> TaskSet:
    """Return the task set, or make the one of a name or a list of tasks, see `check_spec`.

    Raises:
        UserError: an unknown name, or a value of another kind.
    """
    if isinstance(given, TaskSet):
        return given
    if isinstance(given, str | list | tuple):
        return make_task_set(given)
    what = type(given).__name__
    raise UserError(f"{what} is no task set: make one by TaskSet.from_gymnasium({{'name': lambda: environment}})")
