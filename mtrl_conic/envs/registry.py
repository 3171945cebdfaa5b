"""Task sets of one's own, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mtrl_conic.errors import UserError, first_line, origin, unknown

if TYPE_CHECKING:
    from mtrl_conic.envs.task_set import TaskSet

Builder = Callable[..., "TaskSet"]
"""(seed, and by name what else was chosen, see `register_task_set`) -> a new task set."""
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

OWN = "own:"
"""Before the tasks of a set that has no name but theirs."""

_REGISTRY: dict[str, Builder] = {}


def register_task_set(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Decorator of a function that makes a task set, which is then known by `name` wherever one is asked for.

    The function is called with `seed`, and with those of `copies`, `vector`, `worker_timeout`, `horizon`, `one_hot` and
    `render_mode` that were chosen, as `TaskSet.from_gymnasium` takes them; every call makes a new one. A name is taken
    once.

    Raises:
        UserError: the name is that of another task set.
    """

    def add(builder: AnyBuilder) -> AnyBuilder:
        taken = _REGISTRY.get(name)
        if taken is not None and taken.__qualname__ != builder.__qualname__:
            raise UserError(f"a task set named {name!r} exists already: {taken.__qualname__}")
        _REGISTRY[name] = builder
        return builder

    return add


def register_again(envs: TaskSet) -> str:
    """Make a task set known to this process by the names of its tasks, and made anew wherever that name is asked for.

    Raises:
        UserError: nothing says how to make it.
    """
    if envs.again is None:
        raise UserError(
            "this task set was made from a stepper, and a run needs more of its kind: decorate the function that "
            "makes it with register_task_set, and give its name"
        )
    name = OWN + "+".join(envs.task_names)
    _REGISTRY[name] = envs.again
    return name


def available_task_sets() -> list[str]:
    """The names of the registered task sets, sorted."""
    return sorted(_REGISTRY)


def build(name: str, **options: Any) -> TaskSet:
    """A new task set of a registered name.

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
        raise UserError(f"task set {name!r}: its function returned {type(envs).__name__}, no TaskSet")
    return envs
