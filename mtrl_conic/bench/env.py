"""How fast environments step: Meta-World's own way, ours, and the physics alone."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import metaworld  # noqa: F401  # registers Meta-World's vector environments
import numpy as np
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from mtrl_conic.envs.fast import FastStepper
from mtrl_conic.envs.fast.native import compiled, mj_step
from mtrl_conic.envs.fast.physics import SUBSTEPS, act
from mtrl_conic.envs.metaworld import MetaWorldStepper
from mtrl_conic.envs.names import MT10
from mtrl_conic.envs.stepper import Step, Stepper

Actions = NDArray[np.float32]
"""(T, K, 4), an episode's."""

HORIZON = 499
"""Steps of an episode that all items take; the 500th would reset `gym.make_vec`'s environments."""
BLOCK = 20
"""Steps that an item takes before the next item's turn."""


@dataclass
class EnvBenchmark:
    """Environment steps a second, by kind of actions and item, one number a round."""

    rounds: dict[str, dict[str, list[float]]]

    def median(self, actions: str, item: str) -> float:
        """The median over the rounds, in environment steps a second."""
        return statistics.median(self.rounds[actions][item])

    def ratio(self, actions: str, item: str, base: str) -> float:
        """The median over the rounds of how many times as fast as `base` an item is."""
        rounds = self.rounds[actions]
        return statistics.median(a / b for a, b in zip(rounds[item], rounds[base], strict=True))

    def as_dict(self) -> dict[str, Any]:
        """For each kind of actions and item: steps a second, and the ratios to `gym.make_vec` and the physics."""
        return {
            actions: {
                item: {
                    "steps_per_second": self.median(actions, item),
                    "against_make_vec": self.ratio(actions, item, "gym.make_vec"),
                    "against_physics": self.ratio(actions, item, "physics"),
                }
                for item in items
            }
            for actions, items in self.rounds.items()
        }

    def table(self) -> str:
        """The medians and ratios as lines of text."""
        lines = [f"{'actions':10}{'item':24}{'steps/s':>10}{'x make_vec':>12}{'x physics':>12}"]
        for actions, items in self.as_dict().items():
            for item, row in items.items():
                lines.append(
                    f"{actions:10}{item:24}{row['steps_per_second']:10,.0f}"
                    f"{row['against_make_vec']:12.2f}{row['against_physics']:12.2f}"
                )
        return "\n".join(lines)


def run(seconds: float = 10.0, threads: int = 1, seed: int = 0, steps: int = HORIZON) -> EnvBenchmark:
    """Step MT10 with random and with scripted actions in every way there is.

    All items play the same episodes with the same actions, in turns of a few steps. With one thread time is
    that of the thread's processor, which other processes disturb less; with more it is the wall's.

    Args:
        seconds: about how long to measure each item with each kind of actions; there are at least three rounds.
        threads: of the fast stepper.
        seed: of goals and actions.
        steps: of each episode, at most `HORIZON`.

    Returns:
        The measurements: `gym.make_vec` (sync), `metaworld` and `fast` stepping, and `physics`, which is
        `mj_step` alone on the models of fast stepping.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    generator = np.random.default_rng(seed)
    vector = _MakeVec(seed)
    goals = vector.goals()
    fast = FastStepper(MT10, goals, threads=threads)
    players: dict[str, _Player] = {
        "gym.make_vec": vector,
        "metaworld": MetaWorldStepper(MT10, goals),
        "fast": fast,
        "physics": _PhysicsStepper(MT10, goals),
    }
    bench = EnvBenchmark({})
    for kind, draw in (("random", _random), ("scripted", _scripted)):
        rounds: dict[str, list[float]] = {name: [] for name in players}
        _play(players, draw(fast, generator, BLOCK), clock)  # compiles, and simulates Meta-World's resets
        started = time.perf_counter()
        while len(rounds["fast"]) < 3 or time.perf_counter() - started < seconds * len(players):
            actions = draw(fast, generator, steps)
            for name, elapsed in _play(players, actions, clock).items():
                rounds[name].append(actions.shape[0] * actions.shape[1] / elapsed)
        bench.rounds[kind] = rounds
    for player in players.values():
        player.close()
    return bench


class _Player(Protocol):
    """What plays an episode: a stepper, or something that looks like one."""

    def reset(self, task: int, episode: int) -> object: ...

    def step(self, actions: NDArray[np.float32]) -> object: ...

    def close(self) -> None: ...


class _MakeVec:
    """`gym.make_vec`, kept to the goals of its first reset."""

    def __init__(self, seed: int) -> None:
        self._envs = gym.make_vec("Meta-World/MT10", vector_strategy="sync", seed=seed)
        self._envs.reset()
        self._envs.call("toggle_sample_tasks_on_reset", False)  # type: ignore[attr-defined]  # sync and async have it

    def goals(self) -> dict[str, NDArray[np.float64]]:
        vectors = self._envs.get_attr("_last_rand_vec")  # type: ignore[attr-defined]  # sync and async have it
        return {name: vector[None] for name, vector in zip(MT10, vectors, strict=True)}

    def reset(self, task: int, episode: int) -> None:
        """All environments at once: what is done for the first task serves the others."""
        if task == 0:
            self._envs.reset()

    def step(self, actions: NDArray[np.float32]) -> object:
        return self._envs.step(actions)

    def close(self) -> None:
        self._envs.close()


class _PhysicsStepper(FastStepper):
    """The physics steps of Meta-World's steps, and nothing else."""

    def step(self, actions: NDArray[np.float32]) -> Step:
        _physics(self._environments, actions)
        return Step(self._observations, self._rewards, self._success, self._terminated)


@compiled
def _physics(environments: Any, actions: Any) -> None:
    for k in range(len(environments)):
        env = environments[k]
        act(env, actions[k])
        for _ in range(SUBSTEPS):
            mj_step(env.model, env.data)


def _play(players: dict[str, _Player], actions: Actions, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds that each player takes for the steps of an episode."""
    for player in players.values():
        for task in range(actions.shape[1]):
            player.reset(task, 0)
    elapsed = dict.fromkeys(players, 0.0)
    for start in range(0, len(actions), BLOCK):
        for name, player in players.items():
            begin = clock()
            for action in actions[start : start + BLOCK]:
                player.step(action)
            elapsed[name] += clock() - begin
    return elapsed


def _random(stepper: Stepper, generator: np.random.Generator, steps: int) -> Actions:
    shape = steps, len(stepper.task_names), stepper.action_dim
    return generator.uniform(-1, 1, shape).astype(np.float32)


def _scripted(stepper: Stepper, generator: np.random.Generator, steps: int) -> Actions:
    """What Meta-World's scripted policies do from an episode's first step on, with noise."""
    tasks = range(len(stepper.task_names))
    policies: list[Any] = [ENV_POLICY_MAP[name]() for name in stepper.task_names]  # type: ignore[abstract]  # none is
    observations = np.stack([stepper.reset(task, 0) for task in tasks])
    actions = generator.normal(0.0, 0.1, (steps, len(tasks), stepper.action_dim)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the policies warn that they ask for more than 1
        for action in actions:
            for task in tasks:
                action[task] += policies[task].get_action(observations[task])
            np.clip(action, -1, 1, out=action)
            observations = stepper.step(action).observations
    return actions
