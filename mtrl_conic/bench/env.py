"""The speed of environments: Meta-World's own stepping, fast stepping, and the physics alone."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from mtrl_conic.bench.building import Building, measure
from mtrl_conic.bench.players import EnvPool, MakeVec, Physics, Player
from mtrl_conic.envs.metaworld.fast import FastStepper
from mtrl_conic.envs.metaworld.reference import MetaWorldStepper
from mtrl_conic.envs.names import BENCHMARKS
from mtrl_conic.envs.stepper import Stepper
from mtrl_conic.errors import unknown

Actions = NDArray[np.float32]
"""The actions of an episode, (T, K, 4)."""

HORIZON = 499
"""The number of steps of an episode for all items; the 500th would reset the environments of `gym.make_vec`."""
SHORT_HORIZON = 200
"""The number of steps for sets of more than ten tasks, whose scripts have done most of their work by then."""
BLOCK = 20
"""The number of steps that an item takes before the next item continues."""


@dataclass
class EnvBenchmark:
    """Environment steps per second by kind of actions and item, one number per round, and the building time."""

    task_set: str
    rounds: dict[str, dict[str, list[float]]]
    building: Building

    def median(self, actions: str, item: str) -> float:
        """Return the median over the rounds, in environment steps per second."""
        return statistics.median(self.rounds[actions][item])

    def ratio(self, actions: str, item: str, base: str) -> float:
        """Return the median over the rounds of an item's speed divided by that of `base`."""
        rounds = self.rounds[actions]
        return statistics.median(a / b for a, b in zip(rounds[item], rounds[base], strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Return speeds and their ratios to `gym.make_vec` and the physics, by kind of actions and item."""
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
        """Return the medians and ratios as lines of text."""
        head = f"{self.task_set:10}{'actions':10}{'item':16}{'steps/s':>10}{'x make_vec':>12}{'x physics':>12}"
        lines = [head]
        for actions, items in self.as_dict().items():
            for item, row in items.items():
                lines.append(
                    f"{'':10}{actions:10}{item:16}{row['steps_per_second']:10,.0f}"
                    f"{row['against_make_vec']:12.2f}{row['against_physics']:12.2f}"
                )
        return "\n".join([*lines, f"{'':10}built in {self.building}"])


def run(
    task_set: str = "mt10", *, seconds: float = 10.0, threads: int = 1, seed: int = 0, steps: int | None = None
) -> EnvBenchmark:
    """Step a set of tasks in every available way, with random and with scripted actions.

    All items play the same episodes with the same actions and take turns of a few steps, except EnvPool, which has
    its own goals. With one thread, processor time is measured, which other processes affect less; with more threads,
    wall time.

    Args:
        task_set: `mt10`, `mt25` or `mt50`.
        seconds: approximate time to measure each item with each kind of actions; there are at least three rounds.
        threads: number of threads of the fast stepper.
        seed: seed of goals and actions.
        steps: number of steps of each episode, at most `HORIZON`; the default is `HORIZON` or `SHORT_HORIZON`.

    Returns:
        The measurements: `gym.make_vec` (sync), `metaworld` and `fast` stepping, `physics`, which is `mj_step`
        alone on the models of fast stepping, and `EnvPool` where it is installed.

    Raises:
        UserError: an unknown set of tasks.
    """
    if task_set not in BENCHMARKS:
        raise unknown("set of tasks", task_set, BENCHMARKS)
    clock = time.process_time if threads == 1 else time.perf_counter
    names = BENCHMARKS[task_set]
    steps = steps or (HORIZON if len(names) <= 10 else SHORT_HORIZON)
    generator = np.random.default_rng(seed)
    vector = MakeVec(task_set, seed)
    goals = vector.goals()
    fast = FastStepper(names, goals, threads=threads)
    players: dict[str, Player] = {
        "gym.make_vec": vector,
        "metaworld": MetaWorldStepper(names, goals),
        "fast": fast,
        "physics": Physics(names, goals),
    }
    if EnvPool.installed():
        players["EnvPool"] = EnvPool(names, seed)
    bench = EnvBenchmark(task_set, {}, measure(task_set))
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


def _play(players: dict[str, Player], actions: Actions, clock: Callable[[], float]) -> dict[str, float]:
    """Return the seconds that each player takes for the steps of an episode."""
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
    """Return the actions of Meta-World's scripted policies in an episode, with noise."""
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
