"""The simulators of Meta-World's tasks that the benchmark of stepping compares, behind one interface."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import metaworld  # noqa: F401  # registers Meta-World's vector environments
import numpy as np
from numpy.typing import NDArray

from mtrl_conic.envs.metaworld.fast import FastStepper
from mtrl_conic.envs.metaworld.fast.native import compiled, mj_step
from mtrl_conic.envs.metaworld.fast.physics import SUBSTEPS, act
from mtrl_conic.envs.names import BENCHMARKS
from mtrl_conic.envs.stepper import Step


class Player(Protocol):
    """The interface of an object that plays episodes, such as a stepper."""

    def reset(self, task: int, episode: int) -> object:
        """Start an episode of a task."""

    def step(self, actions: NDArray[np.float32]) -> object:
        """Take one step of all tasks, (K, 4)."""

    def close(self) -> None:
        """Release the environments."""


class MakeVec:
    """`gym.make_vec` with the goals of its first reset.

    Args:
        task_set: `mt10`, `mt25` or `mt50`.
        seed: seed of its goals.
    """

    def __init__(self, task_set: str, seed: int) -> None:
        self._names = BENCHMARKS[task_set]
        self._envs = gym.make_vec(f"Meta-World/{task_set.upper()}", vector_strategy="sync", seed=seed)
        self._envs.reset()
        self._envs.call("toggle_sample_tasks_on_reset", False)  # type: ignore[attr-defined]  # sync and async have it

    def goals(self) -> dict[str, NDArray[np.float64]]:
        """For each task (1, D), its only goal."""
        vectors = self._envs.get_attr("_last_rand_vec")  # type: ignore[attr-defined]  # sync and async have it
        return {name: vector[None] for name, vector in zip(self._names, vectors, strict=True)}

    def reset(self, task: int, episode: int) -> None:
        """Reset all environments at once; the call for the first task also resets the others."""
        if task == 0:
            self._envs.reset()

    def step(self, actions: NDArray[np.float32]) -> object:
        """One step of all environments."""
        return self._envs.step(actions)

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()


class Physics(FastStepper):
    """The physics of Meta-World's steps alone."""

    def step(self, actions: NDArray[np.float32]) -> Step:
        """`mj_step` of all models of fast stepping, as often as a step of the environments takes it."""
        _physics(self._environments, actions)
        return Step(self._observations, self._rewards, self._success, self._terminated)


@compiled
def _physics(environments: Any, actions: Any) -> None:
    for k in range(len(environments)):
        env = environments[k]
        act(env, actions[k])
        for _ in range(SUBSTEPS):
            mj_step(env.model, env.data)


class EnvPool:
    """EnvPool's Meta-World, one environment after the other, with another version of mujoco and its own goals.

    Args:
        task_names: Meta-World's names.
        seed: seed of its goals.
    """

    def __init__(self, task_names: Sequence[str], seed: int) -> None:
        envpool: Any = importlib.import_module("envpool")
        options: dict[str, Any] = {"env_type": "gymnasium", "num_envs": 1, "num_threads": 1, "seed": seed}
        self._pools = [envpool.make(f"MetaWorld/{_camel_case(name)}", **options) for name in task_names]

    @staticmethod
    def installed() -> bool:
        """Return whether EnvPool is installed."""
        return importlib.util.find_spec("envpool") is not None

    def reset(self, task: int, episode: int) -> object:
        """The task's next episode; EnvPool draws its goal."""
        return self._pools[task].reset()

    def step(self, actions: NDArray[np.float32]) -> object:
        """One step of all environments."""
        return [pool.step(action[None]) for pool, action in zip(self._pools, actions, strict=True)]

    def close(self) -> None:
        """Close the pools."""
        for pool in self._pools:
            pool.close()


def _camel_case(name: str) -> str:
    *words, version = name.split("-")
    return "".join(word.capitalize() for word in words) + f"-{version}"
