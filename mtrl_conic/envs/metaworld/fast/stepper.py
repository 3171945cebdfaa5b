"""Exact stepping of Meta-World in compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, cast

import numba
import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.metaworld.fast.episodes import Episodes
from mtrl_conic.envs.metaworld.fast.groups import group_of
from mtrl_conic.envs.metaworld.fast.kernel import kernel
from mtrl_conic.envs.metaworld.fast.layout import INFO, MAX_POINTS, OBSERVATION
from mtrl_conic.envs.metaworld.fast.simulation import Simulation
from mtrl_conic.envs.metaworld.fast.support import supports
from mtrl_conic.envs.metaworld.goals import Goals, check_goals
from mtrl_conic.envs.stepper import Step, Stepper, check_copies
from mtrl_conic.errors import UserError


class FastStepper(Stepper):
    """Steps Meta-World's environments as Meta-World does, without its Python.

    The physics come from the same mujoco library and are equal bit for bit. A compiled kernel computes observations,
    rewards and success in Meta-World's order of operations. A name may be given several times.

    Args:
        task_names: names of Meta-World tasks that have a kernel (`supports`).
        goals: for each name the random vectors of its resets, (N, D), with the same N for all.
        reward_version: "v2", or "v1" for the ten MT10 tasks.
        threads: number of threads that share the environments; the results do not depend on it.
        copies: number of environments per task.

    Raises:
        UserError: a task has no kernel, goals are not playable, or `threads` or `copies` is not positive.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        goals: Goals,
        *,
        reward_version: str = "v2",
        threads: int = 1,
        copies: int = 1,
    ) -> None:
        reason = supports(task_names, reward_version)
        if reason is not None:
            raise UserError(f"fast stepping is not possible: {reason}")
        if threads < 1:
            raise UserError(f"threads must be 1 or more, not {threads}")
        self.copies = check_copies(copies)
        self.num_episodes = check_goals(task_names, goals)
        episodes = {name: Episodes(name, goals[name], reward_version) for name in dict.fromkeys(task_names)}
        self.task_names = tuple(task_names)
        self.observation_dim = OBSERVATION
        self.action_dim = 4
        names = [name for name in task_names for _ in range(copies)]
        self._simulations: tuple[Simulation, ...] | None = tuple(Simulation(episodes[name]) for name in names)
        self._environments = np.stack([simulation.row for simulation in self._simulations])
        self.threads = min(threads, len(self._simulations), cast(Any, numba.config).NUMBA_NUM_THREADS)
        """The number of threads used, at most the number of environments and that of numba's threads."""
        costs = [simulation.model.nv**2 for simulation in self._simulations]
        self._order, self._bounds = _share(costs, self.threads)
        specs = [episodes[name].spec for name in names]
        self._kernel = kernel(self.threads > 1, group_of(specs))
        self._held_for_success = [k for k, spec in enumerate(specs) if spec.held_for_success]
        self._allocate(len(self._simulations))

    def _allocate(self, count: int) -> None:
        self._observations = np.zeros((count, OBSERVATION))
        self._rewards = np.zeros(count)
        self._success = np.zeros(count, np.bool_)
        self._terminated = np.zeros(count, np.bool_)
        self._info = np.zeros((count, len(INFO)))
        self._points = np.zeros((count, MAX_POINTS, 3))

    def reset(self, row: int, episode: int) -> NDArray[np.float64]:
        """Start an episode, see `Stepper.reset`. Its first reset simulates Meta-World's own reset."""
        return self.simulations[row].reset(episode, self._environments[row])

    def step(self, actions: NDArray[np.float32]) -> Step:
        """Take one step, see `Stepper.step`. Every environment must have been reset once."""
        simulations = self.simulations  # this reference keeps their memory alive during the call
        actions = np.ascontiguousarray(actions, dtype=np.float32)
        if actions.shape != (len(simulations), self.action_dim):
            raise ValueError(f"actions must be {(len(simulations), self.action_dim)}, not {actions.shape}")
        if self.threads > 1:
            numba.set_num_threads(self.threads)
        self._kernel(
            self._environments,
            actions,
            self._observations,
            self._rewards,
            self._success,
            self._info,
            self._points,
            self._order,
            self._bounds,
        )
        for k in self._held_for_success:
            if self._success[k]:  # rare, so checking all contacts may be slow
                self._success[k] = simulations[k].holds()
        return Step(self._observations, self._rewards, self._success, self._terminated)

    def info(self) -> dict[str, NDArray[np.float64]]:
        """Return Meta-World's `info` of the last step, (K,) each, for environments that were not reset since.

        It contains copies of near_object, grasp_success, grasp_reward, in_place_reward and obj_to_target.
        """
        simulations = self.simulations
        info = {name: self._info[:, i].copy() for i, name in enumerate(INFO)}
        grasped = info["grasp_success"]
        for k in np.flatnonzero(grasped):
            grasped[k] *= simulations[k].holds()
        return info

    def __reduce__(self) -> NoReturn:
        """Refuse to copy or pickle the stepper: a copy would hold addresses of memory that it does not own."""
        raise TypeError("a FastStepper holds addresses of its simulators' memory: make another instead of a copy")

    def close(self) -> None:
        """Release the simulators; safe to call twice. Later calls of other methods raise `RuntimeError`."""
        self._simulations = None

    @property
    def simulations(self) -> tuple[Simulation, ...]:
        """Return the models and data of the environments for inspection.

        Raises:
            RuntimeError: the stepper is closed.
        """
        if self._simulations is None:
            raise RuntimeError("the stepper is closed")
        return self._simulations


def _share(costs: Sequence[int], parts: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distribute environments over `parts` of about equal cost, the most expensive first.

    Returns the environments ordered by part, and the bounds (parts + 1,) of the parts.
    """
    shares: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for k in sorted(range(len(costs)), key=lambda k: -costs[k]):
        part = loads.index(min(loads))
        shares[part].append(k)
        loads[part] += costs[k]
    order = np.array([k for share in shares for k in share], dtype=np.int64)
    return order, np.cumsum([0, *map(len, shares)], dtype=np.int64)
