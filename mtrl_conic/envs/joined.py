"""Several steppers as one: compiled stepping for tasks with a kernel, the reference for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.stepper import Step, Stepper


class JoinedStepper(Stepper):
    """Steps each task with the stepper that it belongs to.

    Args:
        parts: steppers with the same sizes, numbers of copies and episodes, and with a success rule for every task; no
            task may be in two of them. They are closed with this one.
        task_names: all tasks of the parts, in the order of the task set.

    Raises:
        ValueError: the parts do not fit together, or do not contain these tasks.
    """

    def __init__(self, parts: Sequence[Stepper], task_names: Sequence[str]) -> None:
        if sorted(task_names) != sorted(name for part in parts for name in part.task_names):
            raise ValueError("the parts must contain every task once, and no others")
        if len({(part.observation_dim, part.action_dim, part.copies, part.num_episodes) for part in parts}) > 1:
            raise ValueError("the parts must have the same sizes and the same numbers of copies and episodes")
        self.task_names = tuple(task_names)
        self.observation_dim, self.action_dim = parts[0].observation_dim, parts[0].action_dim
        self.copies, self.num_episodes = parts[0].copies, parts[0].num_episodes
        self.parts = tuple(parts)
        self._places = [np.array(list(self._rows_of(part))) for part in parts]
        self._holders = {
            int(place): (part, row)
            for part, places in zip(self.parts, self._places, strict=True)
            for row, place in enumerate(places)
        }
        count = len(self.task_names) * self.copies
        flags = (np.zeros(count, np.bool_) for _ in range(3))
        self._step = Step(np.zeros((count, self.observation_dim)), np.zeros(count), *flags)

    def _rows_of(self, part: Stepper) -> Iterator[int]:
        """Return the row indices of a part's environments among all environments."""
        for name in part.task_names:
            first = self.task_names.index(name) * self.copies
            yield from range(first, first + self.copies)

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """See `Stepper.reset`."""
        part, own = self._holders[row]
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
