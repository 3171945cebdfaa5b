"""The episodes of a task, created once by Meta-World's own reset and then kept."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.types import Task
from numpy.typing import NDArray

from mtrl_conic.envs.metaworld.fast.models import physics_model
from mtrl_conic.envs.metaworld.fast.tasks import SPECS, TaskSpec

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""The state that the physics carry from step to step, including the solver's warm start."""


UNSET = -1.0
"""The placeholder for a constant that Meta-World sets at the first step."""


class Episode(NamedTuple):
    """The result of a reset, which depends only on the task and the goal."""

    state: NDArray[np.float64]
    body_pos: NDArray[np.float64]
    site_pos: NDArray[np.float64]
    target: NDArray[np.float64]
    object_init: NDArray[np.float64]
    tcp_init: NDArray[np.float64]
    constants: NDArray[np.float64]
    observation: NDArray[np.float64]


class Episodes:
    """The episodes of one task, one per goal.

    A reset simulates 500 physics steps. It runs when an episode is first needed, and its final state is kept.

    Args:
        task_name: a task of `SPECS`.
        goals: (N, D), the random vectors of Meta-World's resets.
        reward_version: "v1" or "v2".
    """

    def __init__(self, task_name: str, goals: NDArray[np.float64], reward_version: str) -> None:
        self.spec: TaskSpec = SPECS[reward_version][task_name]
        physics_class = _physics_class(ALL_V3_ENVIRONMENTS[task_name], self.spec)
        self.environment: Any = physics_class(reward_function_version=reward_version)
        self._task_name = task_name
        self._goals = goals
        self._kept: dict[int, Episode] = {}
        self._select(0)

    def __len__(self) -> int:
        return len(self._goals)

    def __getitem__(self, number: int) -> Episode:
        if not 0 <= number < len(self):
            raise IndexError(f"{self._task_name} has episodes 0 to {len(self) - 1}, not {number}")
        if number not in self._kept:
            self._kept[number] = self._reset(number)
        return self._kept[number]

    def _select(self, number: int) -> None:
        """Set the goal of the environment, and with the first goal the observation space of visible goals."""
        data = {
            "rand_vec": self._goals[number],
            "env_cls": ALL_V3_ENVIRONMENTS[self._task_name],
            "partially_observable": False,
        }
        self.environment.set_task(Task(self._task_name, pickle.dumps(data)))

    def _reset(self, number: int) -> Episode:
        env = self.environment
        self._select(number)
        observation, _ = env.reset()
        state = np.empty(mujoco.mj_stateSize(env.model, STATE))
        mujoco.mj_getState(env.model, env.data, state, STATE)
        constants = [_constant(getattr(env, name)) for name in self.spec.constants]
        return Episode(
            state=state,
            body_pos=env.model.body_pos.copy(),
            site_pos=env.model.site_pos.copy(),
            target=np.array(env._target_pos, dtype=np.float64),
            object_init=np.array(env.obj_init_pos, dtype=np.float64),
            tcp_init=np.array(env.init_tcp, dtype=np.float64),
            constants=np.concatenate([np.empty(0), *constants]),
            observation=observation,
        )


def _constant(value: Any) -> NDArray[np.float64]:
    return np.full(1, UNSET) if value is None else np.ravel(value).astype(np.float64)


def _physics_class(base: Any, spec: TaskSpec) -> Any:
    """Return Meta-World's class of a task, on a model without visual geometry."""
    keep = tuple(place.name for place in spec.places if place.kind == "geom")

    def initialize(self: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = physics_model(self.fullpath, keep)
        return model, mujoco.MjData(model)

    return type(base.__name__, (base,), {"_initialize_simulation": initialize})
