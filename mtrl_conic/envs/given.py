"""What a user gives where a task set is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.envs.make import make_task_set
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError


def as_task_set(given: TaskSet | str | Sequence[str]) -> TaskSet:
    """A task set, or the one of a name or of a list of tasks.

    Raises:
        UserError: an unknown name, or something else.
    """
    if isinstance(given, TaskSet):
        return given
    if isinstance(given, str) or (isinstance(given, Sequence) and all(isinstance(name, str) for name in given)):
        return make_task_set(given if isinstance(given, str) else list(given))
    what = type(given).__name__
    raise UserError(f"{what} is no task set: make one by TaskSet.from_gymnasium({{'name': lambda: environment}})")
