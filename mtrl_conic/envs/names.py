"""Names of tasks and of task sets; this module does not import Meta-World."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mtrl_conic.envs.gymnasium.entries import GYMNASIUM_SETS, read_entries
from mtrl_conic.envs.gymnasium.ids import find_environment
from mtrl_conic.envs.metaworld.goals import GOAL_SPACES
from mtrl_conic.envs.registry import OWN, available_task_sets, build
from mtrl_conic.errors import UserError, unknown

MT10 = (
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
)
MT25 = (
    *MT10,
    "coffee-pull-v3",
    "pick-out-of-hole-v3",
    "disassemble-v3",
    "pick-place-wall-v3",
    "basketball-v3",
    "stick-pull-v3",
    "button-press-wall-v3",
    "faucet-open-v3",
    "door-lock-v3",
    "lever-pull-v3",
    "sweep-into-v3",
    "faucet-close-v3",
    "coffee-button-v3",
    "button-press-topdown-wall-v3",
    "dial-turn-v3",
)
MT50 = tuple(GOAL_SPACES)

BENCHMARKS = {"mt10": MT10, "mt25": MT25, "mt50": MT50}

Spec = str | Sequence[str | Mapping[str, Any]]
"""The description of a task set in plain values, see `check_spec`."""


def is_metaworld(spec: Spec) -> bool:
    """Return whether `spec` names Meta-World tasks; false for a name that is not known here."""
    if isinstance(spec, str):
        return spec in BENCHMARKS or spec.startswith("mt1:")
    return read_entries(spec) is None


def check_spec(spec: Spec) -> None:
    """Check that `spec` names a task set that can be created, without creating it.

    Args:
        spec: `mt10`, `mt25`, `mt50`, `mt1:<task>`, or a list of Meta-World tasks; the name of a registered set;
            `gymnasium-control`, `gymnasium:<id>`, or a list of these and of entries such as
            `{name: heavy, id: Pendulum-v1, kwargs: {g: 12}}`, see `TaskEntry`.

    Raises:
        UserError: a name is unknown (the message gives the nearest one), a task is listed twice, or there is no task.
    """
    if isinstance(spec, str) and spec in available_task_sets():
        return
    entries = read_entries(spec)
    if entries is None:
        _metaworld_names(spec)
    for entry in entries or ():
        try:
            find_environment(entry.plain_id)
        except UserError as error:
            raise UserError(f"task {entry.task().name!r}: {error}") from None


def task_names(spec: Spec) -> tuple[str, ...]:
    """Return the tasks that `spec` names, in order; a registered task set is created to find out.

    Args:
        spec: see `check_spec`; `reach` means `reach-v3`.

    Raises:
        UserError: a name is unknown (the message gives the nearest one), a task is listed twice, or there is no task.
    """
    if isinstance(spec, str) and spec in available_task_sets():
        envs = build(spec, seed=0)
        try:
            return tuple(envs.task_names)
        finally:
            envs.close()
    entries = read_entries(spec)
    return _metaworld_names(spec) if entries is None else tuple(entry.task().name for entry in entries)


def _gymnasium_ids() -> Collection[str]:
    import gymnasium

    return gymnasium.registry.keys()


def _metaworld_names(spec: Spec) -> tuple[str, ...]:
    if not isinstance(spec, str):
        names = tuple(_task_name(str(name)) for name in spec)
        if not names:
            raise UserError("a task set needs at least one task")
        for place, name in enumerate(names):
            if name in names[:place]:
                raise UserError(f"{name} is listed twice: a task set contains a task once")
        return names
    if spec.startswith("mt1:"):
        return (_task_name(spec.removeprefix("mt1:")),)
    if spec.startswith(OWN):
        raise UserError(
            f"the tasks {spec.removeprefix(OWN)} were given in Python: in a module, decorate a function that makes "
            f"them with register_task_set({spec!r}), and give the module with --import"
        )
    if spec not in BENCHMARKS and spec in _gymnasium_ids():
        raise UserError(
            f"unknown task set {spec!r}, which is the id of a Gymnasium environment: write gymnasium:{spec}"
        )
    if spec not in BENCHMARKS:
        known = [*BENCHMARKS, *GYMNASIUM_SETS, *available_task_sets(), *(f"mt1:{name}" for name in MT50)]
        raise unknown("task set", spec, known)
    return BENCHMARKS[spec]


def _task_name(name: str) -> str:
    full = name if name.endswith("-v3") else f"{name}-v3"
    if full not in GOAL_SPACES:
        raise unknown("Meta-World task", name, MT50)
    return full
