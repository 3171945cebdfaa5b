"""Names of tasks and of task sets; nothing here needs Meta-World itself."""

from __future__ import annotations

from collections.abc import Sequence

from mtrl_conic.envs.goals import GOAL_SPACES
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


def task_names(spec: str | Sequence[str]) -> tuple[str, ...]:
    """The Meta-World tasks that `spec` means, in order.

    Args:
        spec: `mt10`, `mt25`, `mt50`, `mt1:<task>`, or a list of tasks; `reach` means `reach-v3`.

    Raises:
        UserError: an unknown name (the message names the nearest), a task twice, or none at all.
    """
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
        raise unknown("task set", spec, [*BENCHMARKS, *(f"mt1:{name}" for name in MT50)])
    return BENCHMARKS[spec]


def _task_name(name: str) -> str:
    full = name if name.endswith("-v3") else f"{name}-v3"
    if full not in GOAL_SPACES:
        raise unknown("Meta-World task", name, MT50)
    return full
