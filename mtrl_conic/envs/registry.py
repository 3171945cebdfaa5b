"""The registry of your own task sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mtrl_conic.errors import UserError, first_line, origin, unknown
from mtrl_conic.plugins import same_definition

if TYPE_CHECKING:
    from mtrl_conic.envs.task_set import TaskSet

Builder = Callable[..., "TaskSet"]
"""A function of a seed and of keyword options, see `register_task_set`, that creates a new task set."""
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

OWN = "own:"
"""The prefix of the tasks of a set without a registered name."""

_REGISTRY: dict[str, Builder] = {}


def register_task_set(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Register a function that creates a task set under `name`; a decorator.

    The name can then be used wherever a task set is expected. The function is called with `seed`, and with those of
    `copies`, `vector`, `worker_timeout`, `horizon`, `one_hot` and `render_mode` that were given, as for
    `TaskSet.from_gymnasium`; every call must create a new task set. A name can be registered once.

    Raises:
        UserError: another task set has this name.
    """

    def add(builder: AnyBuilder) -> AnyBuilder:
        taken = _REGISTRY.get(name)
        if taken is not None and not same_definition(taken, builder):
            raise UserError(f"a task set named {name!r} already exists: {taken.__qualname__}")
        _REGISTRY[name] = builder
        return builder

    return add


def register_again(envs: TaskSet) -> str:
    """Register a task set in this process under the names of its tasks, so that it is created again for each use.

    Raises:
        UserError: the task set cannot be created again.
    """
    if envs.again is None:
        raise UserError(
            "this task set was made from a stepper, and a run needs several of its kind: decorate the function that "
            "makes it with register_task_set, and give the registered name"
        )
    name = OWN + "+".join(envs.task_names)
    _REGISTRY[name] = envs.again
    return name


def available_task_sets() -> list[str]:
    """Return the names of the registered task sets, sorted."""
    return sorted(_REGISTRY)


def build(name: str, **options: Any) -> TaskSet:
    """Create the task set registered under a name.

    Raises:
        UserError: the name is not registered, or its function fails.
    """
    if name not in _REGISTRY:
        raise unknown("task set", name, available_task_sets())
    try:
        envs = _REGISTRY[name](**options)
    except UserError as error:
        raise UserError(f"task set {name!r}: {error}") from error
    except Exception as error:
        raise UserError(
            f"task set {name!r} cannot be made: {type(error).__name__}: {first_line(error)}{origin(error)}"
        ) from error
    if not hasattr(envs, "task_names"):
        raise UserError(f"task set {name!r}: its function returned {type(envs).__name__}, not a TaskSet")
    return envs
