"""Meta-World's goals, drawn without any simulation.

Meta-World finds the 50 goals of a task by resetting its environment 50 times after seeding numpy's
global generator. The code here repeats only the draws of these resets, number for number, with a separate
generator. A reset builds the scene twice, so each goal is the second of two accepted draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import UserError, unknown

Goal = NDArray[np.float64]
Goals = dict[str, NDArray[np.float64]]


class GoalSpace(NamedTuple):
    """The space of one task's goals: a box of object positions, then target positions (x, y, z each, in m)."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    min_distance: float = 0.0
    """The smallest horizontal distance of object and target; goals with a smaller one are drawn again."""
    target: tuple[float, float] | None = None
    """The (x, y) of the target for this distance, if it differs from that of the goal."""

    def draw(self, generator: np.random.RandomState) -> Goal:
        """Draw one accepted goal (d,)."""
        while True:
            goal = generator.uniform(self.low, self.high, size=len(self.low))
            if self.accepts(goal):
                return goal

    def accepts(self, goal: Goal) -> bool:
        """Return whether Meta-World accepts this goal; its environment hangs on a goal that it does not accept."""
        target = goal[-3:-1] if self.target is None else np.array(self.target)
        return not np.linalg.norm(goal[:2] - target) < self.min_distance


GOALS_PER_TASK = 50
"""Meta-World's number of goals, the same for every task."""


def draw_goals(task_names: Sequence[str], seed: int, num_goals: int = GOALS_PER_TASK) -> Goals:
    """Return the goals that Meta-World uses for a benchmark of these tasks, in this order.

    `draw_goals(MT10, seed)` are those of `metaworld.MT10(seed)`, `draw_goals([name], seed)` those of
    `metaworld.MT1(name, seed)`. The tasks share one stream, so a task's goals depend on those before it.

    Args:
        task_names: Meta-World's names, such as `reach-v3`.
        seed: 0 to 2**32 - 1.
        num_goals: N, per task.

    Returns:
        For each task its goals (N, d) float64, where d is 3 or 6.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"the seed of the goals must be 0 to {2**32 - 1}, not {seed}")
    # The legacy generator is Meta-World's, and other ones draw other goals.
    generator = np.random.RandomState(seed)
    goals: Goals = {}
    for name in task_names:
        if name not in GOAL_SPACES:
            raise unknown("Meta-World task", name, GOAL_SPACES)
        draws = [GOAL_SPACES[name].draw(generator) for _ in range(2 * num_goals)]
        goals[name] = np.array(draws[1::2])
    return goals


def check_goals(task_names: Sequence[str], goals: Goals) -> int:
    """Return the number of goals of each task after checking the goals.

    Raises:
        UserError: goals of a task are missing, unequal in number, or such that Meta-World would hang.
    """
    for name in task_names:
        if name not in GOAL_SPACES:
            raise unknown("Meta-World task", name, GOAL_SPACES)
        if name not in goals:
            raise UserError(f"no goals are given for {name}")
        for number, goal in enumerate(goals[name]):
            if not GOAL_SPACES[name].accepts(goal):
                raise UserError(f"goal {number} of {name} has the object too near to the target for Meta-World")
    counts = {len(goals[name]) for name in task_names}
    if len(counts) != 1 or 0 in counts:
        raise UserError(f"every task needs the same number of goals, at least one, not {sorted(counts)}")
    return counts.pop()


GOAL_SPACES: dict[str, GoalSpace] = {
    "assembly-v3": GoalSpace((0.0, 0.6, 0.02, -0.1, 0.75, 0.1), (0.0, 0.6, 0.02, 0.1, 0.85, 0.1), 0.1),
    "basketball-v3": GoalSpace((-0.1, 0.6, 0.0299, -0.1, 0.85, 0.0), (0.1, 0.7, 0.0301, 0.1, 0.9000001, 0.0), 0.15),
    "bin-picking-v3": GoalSpace((-0.21, 0.65, 0.02, 0.1199, 0.699, -0.001), (-0.03, 0.75, 0.02, 0.1201, 0.701, 0.001)),
    "box-close-v3": GoalSpace((-0.05, 0.5, 0.02, -0.1, 0.7, 0.133), (0.05, 0.55, 0.02, 0.1, 0.8, 0.133), 0.25),
    "button-press-topdown-v3": GoalSpace((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press-topdown-wall-v3": GoalSpace((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press-v3": GoalSpace((-0.1, 0.85, 0.115), (0.1, 0.9, 0.115)),
    "button-press-wall-v3": GoalSpace((-0.05, 0.85, 0.1149), (0.05, 0.9, 0.1151)),
    "coffee-button-v3": GoalSpace((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "coffee-pull-v3": GoalSpace((-0.05, 0.7, -0.001, -0.1, 0.55, -0.001), (0.05, 0.75, 0.001, 0.1, 0.65, 0.001), 0.15),
    "coffee-push-v3": GoalSpace((-0.1, 0.55, -0.001, -0.05, 0.7, -0.001), (0.1, 0.65, 0.001, 0.05, 0.75, 0.001), 0.15),
    "dial-turn-v3": GoalSpace((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "disassemble-v3": GoalSpace((0.0, 0.6, 0.025, -0.1, 0.6, 0.1699), (0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701), 0.1),
    "door-close-v3": GoalSpace((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-lock-v3": GoalSpace((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "door-open-v3": GoalSpace((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-unlock-v3": GoalSpace((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "hand-insert-v3": GoalSpace((-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201), (0.1, 0.7, 0.05, 0.04, 0.88, -0.0199), 0.15),
    "drawer-close-v3": GoalSpace((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "drawer-open-v3": GoalSpace((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "faucet-open-v3": GoalSpace((-0.05, 0.8, 0.0), (0.05, 0.85, 0.0)),
    "faucet-close-v3": GoalSpace((-0.1, 0.8, 0.0), (0.1, 0.85, 0.0)),
    "hammer-v3": GoalSpace((-0.1, 0.4, 0.0), (0.1, 0.5, 0.0)),
    "handle-press-side-v3": GoalSpace((-0.35, 0.65, -0.001), (-0.25, 0.75, 0.001)),
    "handle-press-v3": GoalSpace((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "handle-pull-side-v3": GoalSpace((-0.35, 0.65, 0.0), (-0.25, 0.75, 0.0)),
    "handle-pull-v3": GoalSpace((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "lever-pull-v3": GoalSpace((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "pick-place-wall-v3": GoalSpace((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), 0.15),
    "pick-out-of-hole-v3": GoalSpace((0.0, 0.75, 0.02, -0.1, 0.5, 0.15), (0.0, 0.75, 0.02, 0.1, 0.6, 0.3), 0.15),
    "pick-place-v3": GoalSpace((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), 0.15),
    "plate-slide-v3": GoalSpace((0.0, 0.6, 0.0, -0.1, 0.85, 0.0), (0.0, 0.6, 0.0, 0.1, 0.9, 0.0)),
    "plate-slide-side-v3": GoalSpace((0.0, 0.6, 0.0, -0.3, 0.54, 0.0), (0.0, 0.6, 0.0, -0.25, 0.66, 0.0)),
    "plate-slide-back-v3": GoalSpace((0.0, 0.85, 0.0, -0.1, 0.6, 0.015), (0.0, 0.85, 0.0, 0.1, 0.6, 0.015)),
    "plate-slide-back-side-v3": GoalSpace((-0.25, 0.6, 0.0, -0.05, 0.6, 0.015), (-0.25, 0.6, 0.0, 0.15, 0.6, 0.015)),
    "peg-insert-side-v3": GoalSpace((0.0, 0.5, 0.02, -0.35, 0.4, -0.001), (0.2, 0.7, 0.02, -0.25, 0.7, 0.001), 0.1),
    "peg-unplug-side-v3": GoalSpace((-0.25, 0.6, -0.001), (-0.15, 0.8, 0.001)),
    "soccer-v3": GoalSpace((-0.1, 0.6, 0.03, -0.1, 0.8, 0.0), (0.1, 0.7, 0.03, 0.1, 0.9, 0.0), 0.15),
    "stick-push-v3": GoalSpace((-0.08, 0.58, 0.0, 0.399, 0.55, 0.1319), (-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321), 0.1),
    "stick-pull-v3": GoalSpace((-0.1, 0.55, 0.0, 0.35, 0.45, 0.0199), (0.0, 0.65, 0.001, 0.45, 0.55, 0.0201), 0.1),
    "push-v3": GoalSpace((-0.1, 0.6, 0.02, -0.1, 0.8, 0.01), (0.1, 0.7, 0.02, 0.1, 0.9, 0.02), 0.15),
    "push-wall-v3": GoalSpace((-0.05, 0.6, 0.015, -0.05, 0.85, 0.01), (0.05, 0.65, 0.015, 0.05, 0.9, 0.02), 0.15),
    "push-back-v3": GoalSpace((-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199), (0.1, 0.85, 0.02, 0.1, 0.7, 0.0201), 0.15),
    "reach-v3": GoalSpace((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), 0.15),
    "reach-wall-v3": GoalSpace((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), 0.15),
    "shelf-place-v3": GoalSpace((-0.1, 0.5, 0.019, -0.1, 0.8, 0.299), (0.1, 0.6, 0.021, 0.1, 0.9, 0.301), 0.1),
    "sweep-into-v3": GoalSpace(
        (-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199), (0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201), 0.15, (0.0, 0.84)
    ),
    "sweep-v3": GoalSpace((-0.1, 0.6, 0.02), (0.1, 0.7, 0.02)),
    "window-open-v3": GoalSpace((-0.1, 0.7, 0.16), (0.1, 0.9, 0.16)),
    "window-close-v3": GoalSpace((0.0, 0.75, 0.2), (0.0, 0.9, 0.2)),
}
"""The goal spaces of all 50 tasks, in Meta-World's order."""
