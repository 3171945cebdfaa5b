"""Several steppers as one: compiled stepping where there is a kernel, the reference for the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.stepper import Step, Stepper


class JoinedStepper(Stepper):
    """Steps each task in the stepper that holds it.

    Args:
        parts: of tasks that all have the same sizes, numbers of episodes and a success; no task in two of them.
            Closed with this one.
        task_names: every task of the parts, in the order of the set.

    Raises:
        ValueError: the parts do not fit together, or do not hold these tasks.
    """

    def __init__(self, parts: Sequence[Stepper], task_names: Sequence[str]) -> None:
        if sorted(task_names) != sorted(name for part in parts for name in part.task_names):
            raise ValueError("the parts must hold every task once and no other")
        if any(part.copies > 1 for part in parts):
            raise ValueError("the parts must have one environment per task")
        if len({(part.observation_dim, part.action_dim, part.num_episodes) for part in parts}) > 1:
            raise ValueError("the parts must have sizes and numbers of episodes in common")
        self.task_names = tuple(task_names)
        self.observation_dim, self.action_dim = parts[0].observation_dim, parts[0].action_dim
        self.num_episodes = parts[0].num_episodes
        self.parts = tuple(parts)
        self._places = [np.array([self.task_names.index(name) for name in part.task_names]) for part in parts]
        self._holders = {
            int(place): (part, task)
            for part, places in zip(self.parts, self._places, strict=True)
            for task, place in enumerate(places)
        }
        count = len(self.task_names)
        flags = (np.zeros(count, np.bool_) for _ in range(3))
        self._step = Step(np.zeros((count, self.observation_dim)), np.zeros(count), *flags)

    def reset(self, task: int, episode: int) -> NDArray[np.float64]:
        """See `Stepper.reset`."""
        part, own = self._holders[task]
        return part.reset(own, episode)

    def step(self, actions: NDArray[np.float32]) -> Step:
        """See `Stepper.step`."""
        step = self._step
        assert step.truncated is not None
        for part, places in zip(self.parts, self._places, strict=True):
            of_part = part.step(actions[places])
            step.observations[places] = of_part.observations
            step.rewards[places] = of_part.rewards
            step.success[places] = of_part.success
            step.terminated[places] = of_part.terminated
            step.truncated[places] = False if of_part.truncated is None else of_part.truncated
        return step

    def close(self) -> None:
        """Close the parts."""
        for part in self.parts:
            part.close()
