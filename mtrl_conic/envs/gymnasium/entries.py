"""Tasks from registered Gymnasium environments, given in a configuration or from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from mtrl_conic.envs.gymnasium.ids import module_of
from mtrl_conic.envs.gymnasium.success import AUTO, Success
from mtrl_conic.envs.gymnasium.task import Factory, Task
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.schema import parse

Environments = Mapping[str, Factory] | Sequence[tuple[str, Factory] | Task]
"""Tasks by name, or a list of pairs of a name and a factory of the environment, or of `Task`s."""
Value = TypeVar("Value")

GYMNASIUM = "gymnasium:"
"""The prefix that marks the id of a registered environment as a task."""
GYMNASIUM_SETS = {
    "gymnasium-control": (
        "Pendulum-v1",
        "MountainCarContinuous-v0",
        "InvertedPendulum-v5",
        "Reacher-v5",
        "Hopper-v5",
    )
}
"""Sets of registered Gymnasium environments that need no further packages; the ids name the tasks."""


class TaskEntry(BaseModel):
    """An entry of a list of tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, description="id as for gymnasium.make, with or without the prefix `gymnasium:`")
    name: str | None = Field(None, min_length=1, description="name of the task; none: the id without its module")
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments that the environment is created with"
    )
    success: str | StrictFloat | StrictInt | None = Field(
        AUTO,
        description=(
            "success rule: a key of info or the return to reach; none: no rule; auto: the rule that the environment "
            "declares"
        ),
    )
    reward_scale: float = Field(1.0, gt=0, description="factor by which the rewards are multiplied for learning")
    horizon: int | None = Field(
        None,
        ge=1,
        description="number of steps after which an episode is truncated; none: the limit of the environment",
    )

    @property
    def plain_id(self) -> str:
        """The id without its prefix, as for `gymnasium.make`."""
        return self.id.removeprefix(GYMNASIUM)

    def task(self) -> Task:
        """Return the task that the entry describes."""
        name = self.name or self.plain_id.rpartition(":")[2]
        return Task(name, self.plain_id, self.kwargs, self.success, self.reward_scale, self.horizon)


def read_entries(spec: str | Sequence[str | Mapping[str, Any]]) -> tuple[TaskEntry, ...] | None:
    """Return the entries of the Gymnasium environments that `spec` names; None if it names other tasks.

    Raises:
        UserError: a list mixes them with other tasks, an entry is invalid, or two entries have the same name.
    """
    if isinstance(spec, str):
        if spec in GYMNASIUM_SETS:
            return tuple(TaskEntry(id=name) for name in GYMNASIUM_SETS[spec])
        return (_entry(spec),) if spec.startswith(GYMNASIUM) else None
    marked = [item for item in spec if not isinstance(item, str) or item.startswith(GYMNASIUM)]
    if not marked:
        return None
    if len(marked) < len(spec):
        other = next(item for item in spec if item not in marked)
        raise UserError(f"a list contains Meta-World tasks or {GYMNASIUM}<id>, not both: {other}, {marked[0]}")
    entries = tuple(_entry(item) for item in marked)
    names = [entry.task().name for entry in entries]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f"{name} is listed twice: give each its own name, as in {{name: ..., id: ...}}")
    return entries


def modules_of(spec: str | Sequence[str | Mapping[str, Any]]) -> list[str]:
    """Return the modules that the ids in `spec` name, without duplicates."""
    found = (module_of(entry.plain_id) for entry in read_entries(spec) or ())
    return list(dict.fromkeys(module for module in found if module is not None))


def make_tasks(
    environments: Environments,
    *,
    success: Success | Mapping[str, Success | None] | None = AUTO,
    reward_scale: float | Mapping[str, float] = 1.0,
    horizon: int | Mapping[str, int] | None = None,
    render_mode: str | None = None,
) -> list[Task]:
    """Make tasks from environments, with options for all tasks or per task; the values of a `Task` take precedence.

    Raises:
        UserError: see `TaskSet.from_gymnasium`.
    """
    tasks = _tasks(environments)
    names = [task.name for task in tasks]
    rules = _by_task("success", success, names, cast("Success | None", AUTO))
    scales = _by_task("reward_scale", reward_scale, names, 1.0)
    horizons = _by_task("horizon", horizon, names, None)
    made = []
    for task in tasks:
        scale = scales[task.name]
        replace(task, reward_scale=scale)  # checks the scale
        made.append(
            replace(
                task,
                success=rules[task.name] if task.success == AUTO else task.success,
                reward_scale=scale * task.reward_scale,
                horizon=task.horizon or horizons[task.name],
                render_mode=render_mode,
            )
        )
    return made


def success_in_words(stepper: Stepper) -> str:
    """Describe the success rule of each task that has one, and list the tasks without a rule."""
    rules = stepper.success_rules or ("Meta-World's",) * len(stepper.task_names)
    said = [f"{name}: {rule}" for name, rule in zip(stepper.task_names, rules, strict=True) if rule is not None]
    none = [name for name, rule in zip(stepper.task_names, rules, strict=True) if rule is None]
    if none:
        said.append(f"no success is defined for {', '.join(none)}, whose returns are reported")
    return "success: " + "; ".join(said)


def _entry(item: str | Mapping[str, Any]) -> TaskEntry:
    values = {"id": item} if isinstance(item, str) else item
    if not isinstance(values, Mapping):
        raise UserError(f"a task is an id, or an entry such as {{name: ..., id: ...}}, not {item!r}")
    return parse(TaskEntry, values, where=f"task {values.get('name') or values.get('id')!r}")


def _tasks(environments: object) -> list[Task]:
    items = list(environments.items()) if isinstance(environments, Mapping) else environments
    if not isinstance(items, list | tuple) or not all(
        isinstance(item, Task) or (isinstance(item, list | tuple) and len(item) == 2) for item in items
    ):
        raise UserError("give the environments as {name: id or function}, or as a list of (name, id or function)")
    return [item if isinstance(item, Task) else Task(*item) for item in items]


def _by_task(what: str, given: object, names: Sequence[str], default: Value) -> dict[str, Value]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, cast(Value, given))
    for name in given:
        if name not in names:
            raise unknown(f"task in {what}", name, names)
    return {name: given.get(name, default) for name in names}
