"""Names of tasks and of task sets; nothing here needs Meta-World itself."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.envs.metaworld.goals import GOAL_SPACES
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

GYMNASIUM_SETS = {
    "gymnasium-control": (
        "Pendulum-v1",
        "MountainCarContinuous-v0",
        "InvertedPendulum-v5",
        "Reacher-v5",
        "Hopper-v5",
    )
}
"""Sets of registered Gymnasium environments that need nothing more to be installed; the ids name the tasks."""
GYMNASIUM = "gymnasium:"
"""Before the id of a registered environment, to name it as a task."""


def task_names(spec: str | Sequence[str]) -> tuple[str, ...]:
    """The tasks that `spec` means, in order.

    Args:
        spec: `mt10`, `mt25`, `mt50`, `mt1:<task>`, or a list of Meta-World tasks, where `reach` means `reach-v3`;
            `gymnasium-control`, `gymnasium:<id>`, or a list of these.

    Raises:
        UserError: an unknown name (the message names the nearest), a task twice, or none at all.
    """
    ids = gymnasium_ids(spec)
    if ids is not None:
        return ids
    if not isinstance(spec, str):
        names = tuple(_task_name(name) for name in spec)
        if not names:
            raise UserError("a task set needs at least one task")
        for place, name in enumerate(names):
            if name in names[:place]:
                raise UserError(f"{name} is listed twice: a task set holds a task once")
        return names
    if spec.startswith("mt1:"):
        return (_task_name(spec.removeprefix("mt1:")),)
    if spec not in BENCHMARKS:
        raise unknown("task set", spec, [*BENCHMARKS, *GYMNASIUM_SETS, *(f"mt1:{name}" for name in MT50)])
    return BENCHMARKS[spec]


def gymnasium_ids(spec: str | Sequence[str]) -> tuple[str, ...] | None:
    """The ids of the registered Gymnasium environments that `spec` means; None where it means Meta-World tasks.

    Raises:
        UserError: a list mixes both kinds, or an id comes twice.
    """
    if isinstance(spec, str):
        if spec in GYMNASIUM_SETS:
            return GYMNASIUM_SETS[spec]
        return (spec.removeprefix(GYMNASIUM),) if spec.startswith(GYMNASIUM) else None
    marked = [name for name in spec if name.startswith(GYMNASIUM)]
    if not marked:
        return None
    if len(marked) < len(spec):
        other = next(name for name in spec if name not in marked)
        raise UserError(f"a list is of Meta-World tasks or of {GYMNASIUM}<id>, not of both: {other}, {marked[0]}")
    ids = tuple(name.removeprefix(GYMNASIUM) for name in marked)
    for place, name in enumerate(ids):
        if name in ids[:place]:
            raise UserError(f"{name} is listed twice: a task set holds a task once")
    return ids


def _task_name(name: str) -> str:
    full = name if name.endswith("-v3") else f"{name}-v3"
    if full not in GOAL_SPACES:
        raise unknown("Meta-World task", name, MT50)
    return full
