"""The replay: one ring of transitions per task, all in one block."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mtrl_conic.agents.protocol import Batch
from mtrl_conic.errors import Damaged, UserError
from mtrl_conic.execution.seeding import restore
from mtrl_conic.training.priorities import CANDIDATES, Priorities
from mtrl_conic.training.ring_file import checksums, fitting_rows, map_file, reserve


def parts_of(observation_dim: int, action_dim: int) -> tuple[int, ...]:
    """Return how many numbers each part of a transition's row has."""
    return observation_dim, action_dim, 1, 1, 1, observation_dim


def rows_for(capacity: int, copies: int, slack: int) -> int:
    """Return the number of rows of a ring, a multiple of `copies`, so that each step is contiguous; see `Replay`."""
    return -(-(capacity + 2 * slack) // copies) * copies


def slack_for(checkpoint_every: int, copies: int) -> int:
    """Return the largest number of steps between two saves, if a run saves after the first step that is due."""
    return checkpoint_every + copies - 1


class Replay:
    """The last `capacity` transitions of each task. All tasks step together, so one position serves all rings.

    If a task has several environments (`copies`), a step adds one row for each of them, and the transition that
    follows another one is `copies` rows after it.

    A transition is one row (observation, action, reward, terminated, ended, next observation) of a block
    (K, rows, W), so that a batch is one gather. On disk the block is one file of the same shape. The block has
    `2 slack` more rows than transitions are kept. If at most `slack` steps pass between two calls of `save`, the rows
    to which the last two saves refer are never overwritten, and a process that is killed at any moment leaves a file
    from which both can be restored exactly. `save` returns a checksum of every step.

    Args:
        num_tasks: K.
        capacity: number of transitions kept per task.
        observation_dim: O.
        action_dim: A.
        copies: number of environments of each task.
        n_step: number of rewards before a return bootstraps (Sutton and Barto, 2018, section 7.1); fewer if the
            episode ends or the newest transition is reached. Actions of older policies are not corrected for.
        discount: gamma, within and after the n steps.
        priority_exponent: exponent of `Priorities` by which transitions are drawn; 0: they are drawn uniformly.
        slack: largest number of steps of each task between two saves.
        seed: seed of the generator that draws batches.
        device: device of the block and of the batches.
        file: file to which `save` writes; required to save and for `memory_map`.
        memory_map: whether to keep the block in `file` instead of in memory (CPU only).
    """

    def __init__(
        self,
        num_tasks: int,
        capacity: int,
        observation_dim: int,
        action_dim: int,
        *,
        copies: int = 1,
        n_step: int = 1,
        discount: float = 0.99,
        priority_exponent: float = 0.0,
        slack: int = 0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        file: Path | None = None,
        memory_map: bool = False,
    ) -> None:
        self.capacity = capacity
        self._n_step, self._discount, self._copies = n_step, discount, copies
        self._parts = parts_of(observation_dim, action_dim)
        shape = (num_tasks, rows_for(capacity, copies, slack), sum(self._parts))
        if file is not None:
            # Files of earlier versions have fewer rows, enough for one save; such a run keeps its file.
            shape = (num_tasks, fitting_rows(file, shape, fewest=capacity + slack), shape[2])
        self._shape, self._slack = shape, slack
        self._file = file
        self._mapped = memory_map
        self._disk: NDArray[np.float32] | None = None
        self._is_new = True
        """Whether this object created the file and has not saved anything to it."""
        self._sums = np.zeros(shape[1], np.int64)
        if memory_map:
            if file is None or torch.device(device).type != "cpu":
                raise UserError("a memory-mapped replay needs a run directory and --device cpu")
            reserve(self._on_disk(), [(0, shape[1])])
            self._block = torch.from_numpy(self._on_disk())
        else:
            self._block = torch.zeros(self._shape, device=device)
        self._priorities: Priorities | None = None
        if priority_exponent:
            self._priorities = Priorities(priority_exponent, num_tasks, self._shape[1], device=device)
        self._drawn: Tensor | None = None
        """The rows of the last batch, counted over all tasks, if transitions have priorities."""
        self._generator = torch.Generator(device).manual_seed(seed)
        self._first_rows = torch.arange(num_tasks, device=device).unsqueeze(1) * self._shape[1]
        self._columns = observation_dim + action_dim + torch.arange(3, device=device)
        self.position = 0
        self._saved_position = 0

    def __len__(self) -> int:
        """Return the number of transitions per task."""
        return min(self.position, self.capacity)

    @property
    def prioritised(self) -> bool:
        """Whether transitions have priorities, which `prioritise` must then be told after each update."""
        return self._priorities is not None

    @property
    def unsaved(self) -> int:
        """The number of steps since the last save or load."""
        return self.position - self._saved_position

    def add(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.float32],
        rewards: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        next_observations: NDArray[np.float32],
    ) -> None:
        """Add one transition of every environment, as arrays (N, ...) with those of the first task first."""
        ends = (terminated[:, None], (terminated | truncated)[:, None])
        parts = (observations, actions, rewards[:, None], *ends, next_observations)
        row = np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")
        first = self.position % self._shape[1]
        steps = torch.from_numpy(row).view(self._shape[0], self._copies, -1)
        self._block[:, first : first + self._copies] = steps
        if self._priorities is not None:
            self._priorities.add(first, self._copies)
        self.position += self._copies

    def cut(self) -> None:
        """Mark the newest transitions as the last of their episodes, because new episodes have been started."""
        if self.position:
            last = (self.position - self._copies) % self._shape[1]
            self._block[:, last : last + self._copies, self._columns[-1]] = 1
            self._saved_position = min(self._saved_position, self.position - self._copies)

    def sample(self, batch_size: int, *, balanced: bool = True) -> Batch:
        """Draw a batch of transitions, uniformly with replacement or by their priorities.

        Args:
            batch_size: number of transitions per task.
            balanced: whether each task gets exactly `batch_size`; otherwise it is the mean of a uniform draw over the
                transitions of all tasks.
        """
        weights = () if balanced else (self._draw_weights(batch_size),)
        columns = weights[0].shape[1] if weights else batch_size
        age = self._draw(columns)
        observations, actions, reward, terminated, _, following = self._rows(age).split(self._parts, dim=-1)
        if self._n_step == 1:
            discounts = self._discount * (1 - terminated.squeeze(-1))
            return Batch(observations, actions, reward.squeeze(-1), discounts, following, weights)
        rewards, discounts, last = self._returns(age)
        return Batch(observations, actions, rewards, discounts, self._rows(last)[..., -self._parts[-1] :], weights)

    def prioritise(self, errors: Tensor) -> None:
        """Set the priorities of the transitions of the last batch by their absolute errors (K, B)."""
        if self._priorities is None or self._drawn is None:
            raise RuntimeError("transitions without priorities, or no batch, have been drawn")
        self._priorities.take(self._drawn, errors)

    def _draw(self, columns: int) -> Tensor:
        """Return the ages (K, columns) of the transitions of a batch."""
        shape, device = (self._shape[0], columns), self._block.device
        if self._priorities is None:
            return torch.randint(len(self), shape, generator=self._generator, device=device)
        candidates = (shape[0], columns * CANDIDATES)
        ages = torch.randint(len(self), candidates, generator=self._generator, device=device)
        rows = self._index(ages)
        chosen = self._priorities.choose(rows, self._generator)
        self._drawn = rows.gather(1, chosen)
        return ages.gather(1, chosen)

    def _draw_weights(self, batch_size: int) -> Tensor:
        """Return weights (K, B) of the rows: 1 / n in the first n rows of a task that is drawn n times, otherwise zero.

        The task of each of the K `batch_size` rows is drawn uniformly. B is 3.5 standard deviations above the mean: it
        does not change, so that an update can be compiled, and rows of weight zero cost as much as others. A draw that
        exceeds it is repeated, which happens for ten tasks in about 3 of 1,000 batches.
        """
        num_tasks, device = self._shape[0], self._block.device
        total = num_tasks * batch_size
        rows = torch.arange(min(total, batch_size + math.ceil(3.5 * math.sqrt(batch_size))), device=device)
        tasks = torch.arange(num_tasks, device=device).unsqueeze(1)
        while True:
            drawn = torch.randint(num_tasks, (total,), generator=self._generator, device=device)
            counts = (drawn == tasks).sum(1, keepdim=True)
            if counts.max() <= len(rows):
                return (rows < counts) / counts.clamp_min(1)

    def _returns(self, age: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return n-step rewards, discounts of the value and ages of the last step, for transitions of ages (K, B)."""
        steps = torch.arange(self._n_step, device=age.device)
        ages = age.unsqueeze(-1) - steps * self._copies  # (K, B, n), towards the present
        index = self._index(ages.clamp_min(0)).unsqueeze(-1)
        flat, width = self._block.view(-1), self._shape[2]
        reward, terminated, ended = flat[index * width + self._columns].unbind(-1)
        # A step counts if it exists and no step before it ended the episode.
        after_end = functional.pad(ended.cumsum(-1)[..., :-1], (1, 0)) > 0
        counts = (ages >= 0) & ~after_end
        powers = self._discount ** steps.to(reward.dtype)
        length = counts.sum(-1)
        over = (terminated * counts).amax(-1)
        return (reward * counts) @ powers, self._discount**length * (1 - over), age - (length - 1) * self._copies

    def _rows(self, age: Tensor) -> Tensor:
        """Return the transitions (K, B, W) of ages (K, B), where the newest has age 0."""
        width = self._shape[2]
        return self._block.view(-1, width).index_select(0, self._index(age).flatten()).view(*age.shape, width)

    def _index(self, age: Tensor) -> Tensor:
        """Return the row numbers, counted over all tasks, of the transitions of ages (K, ...)."""
        first = self._first_rows.view(-1, *[1] * (age.dim() - 1))
        return (self.position - 1 - age) % self._shape[1] + first

    def save(self) -> dict[str, Any]:
        """Write new transitions to the file, and return the state that `load` needs besides the file."""
        if self.unsaved > self._slack and self._saved_position:
            raise RuntimeError(f"{self.unsaved} steps since the last save, more than the slack allows")
        disk = self._on_disk()
        if not self._mapped:
            runs = self._runs(self._saved_position, self.position)
            reserve(disk, runs)
            for start, stop in runs:
                disk[:, start:stop] = self._block[:, start:stop].cpu().numpy()
        if isinstance(disk, np.memmap):
            disk.flush()
        self._is_new = False
        self._note_sums(max(0, self._saved_position - self._copies))
        self._saved_position = self.position
        kept = self._positions(max(0, self.position - self.capacity))
        sums = torch.from_numpy(self._sums[kept])
        state = {"position": self.position, "generator": self._generator.get_state(), "checksums": sums}
        if self._priorities is not None:
            state["priorities"] = self._priorities.state_dict(kept)
        return state

    def load(self, saved: dict[str, Any]) -> None:
        """Restore the state from the file and the result of `save`.

        Raises:
            Damaged: the file does not contain the rows that were saved.
        """
        disk = self._on_disk()
        if self._is_new and saved["position"]:
            raise Damaged(f"{self._file} is missing: the checkpoint refers to {saved['position']:,} steps in it")
        self.position = self._saved_position = saved["position"]
        restore(self._generator, saved["generator"])
        first = max(0, self.position - self.capacity)
        self._note_sums(first)
        sums = self._sums[self._positions(first)]
        if "checksums" in saved:  # checkpoints of earlier versions have none
            wrong = int(np.count_nonzero(sums != saved["checksums"].numpy()))
            if wrong:
                raise Damaged(f"{self._file} is damaged: {wrong:,} of its {len(sums):,} steps are not as saved")
        if self._priorities is not None and "priorities" in saved:  # a run may only now be given priorities
            self._priorities.load_state_dict(saved["priorities"], self._positions(first))
        if not self._mapped:
            for start, stop in self._runs(first, self.position):
                self._block[:, start:stop] = torch.from_numpy(disk[:, start:stop])

    def _note_sums(self, first: int) -> None:
        """Compute the checksums of the steps from position `first` on, as they are in the file."""
        disk = self._on_disk()
        for start, stop in self._runs(first, self.position):
            self._sums[start:stop] = checksums(disk[:, start:stop])
        newest = self._positions(max(0, self.position - self._copies))
        rows = disk[:, newest]
        rows[..., int(self._columns[-1])] = 1  # `cut` may write here after the save
        self._sums[newest] = checksums(rows)

    def _positions(self, first: int) -> NDArray[np.int64]:
        """Return the rows of the positions from `first` to the current one, in this order."""
        return np.arange(first, self.position) % self._shape[1]

    def _runs(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the rows of the positions from `first` to `last` as one or two ranges of the ring."""
        rows = self._shape[1]
        first = max(first, last - rows)
        start, count = first % rows, last - first
        runs = [(start, min(start + count, rows)), (0, max(0, start + count - rows))]
        return [run for run in runs if run[0] < run[1]]

    def _on_disk(self) -> NDArray[np.float32]:
        if self._disk is None:
            if self._file is None:
                raise UserError("this replay has no file: give it one to save")
            self._disk, self._is_new = map_file(self._file, self._shape)
        return self._disk
