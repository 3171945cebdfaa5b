"""Tests of compiled stepping against Meta-World's own environments, step by step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from mtrl_conic.envs import draw_goals, make_task_set
from mtrl_conic.envs.metaworld.fast import FastStepper
from mtrl_conic.envs.metaworld.fast.tasks import TASKS
from mtrl_conic.envs.metaworld.reference import MetaWorldStepper
from mtrl_conic.envs.names import MT10, MT50

HORIZON = 500
INFO = ("near_object", "grasp_success", "grasp_reward", "in_place_reward", "obj_to_target")

OTHERS = [name for name in MT50 if name not in MT10]
TENS = {
    "mt10": (MT10, "v2"),
    **{f"{OTHERS[i]} to {OTHERS[i + 9]}": (OTHERS[i : i + 10], "v2") for i in range(0, 40, 10)},
    "mt10, V1 rewards": (MT10, "v1"),
}
"""The tasks of MT50 and their rewards' version, ten at a time: Meta-World's own environments are large."""

Act = Callable[[NDArray[np.float64]], NDArray[np.float32]]


@pytest.fixture(scope="module", params=TENS.values(), ids=TENS.keys())
def both(request: pytest.FixtureRequest) -> Iterator[tuple[FastStepper, MetaWorldStepper]]:
    fast, reference = made(*request.param, seed=0)
    yield fast, reference
    fast.close()
    reference.close()


def made(task_names: Sequence[str], version: str, seed: int) -> tuple[FastStepper, MetaWorldStepper]:
    goals = draw_goals(task_names, seed)
    fast = FastStepper(task_names, goals, reward_version=version)
    return fast, MetaWorldStepper(task_names, goals, reward_version=version)


def random_actions(seed: int, task_names: Sequence[str]) -> Act:
    """Return a policy of random actions, some beyond the bounds, which Meta-World clips for the arm only."""
    generator = np.random.default_rng(seed)
    return lambda observations: generator.uniform(-1.2, 1.2, (len(task_names), 4)).astype(np.float32)


def scripted_actions(seed: int, task_names: Sequence[str]) -> Act:
    generator = np.random.default_rng(seed)
    policies: list[Any] = [ENV_POLICY_MAP[name]() for name in task_names]

    def act(observations: NDArray[np.float64]) -> NDArray[np.float32]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the policies warn that their actions exceed 1
            actions = np.array([policy.get_action(o) for policy, o in zip(policies, observations, strict=True)])
        return (actions + generator.normal(0, 0.1, actions.shape)).astype(np.float32)

    return act


def compare_episode(
    fast: FastStepper, reference: MetaWorldStepper, episode: int, act: Act, steps: int = HORIZON
) -> dict[str, int]:
    """Play one episode of all tasks in both, and return at how many steps each task was solved."""
    tasks = range(len(reference.envs))
    observations = np.stack([reference.reset(task, episode) for task in tasks])
    assert np.array_equal(np.stack([fast.reset(task, episode) for task in tasks]), observations)
    solved = dict.fromkeys(reference.task_names, 0)
    for step in range(steps):
        actions = act(observations)
        mine, info = fast.step(actions), fast.info()
        for task, env in enumerate(reference.envs):
            observations[task], reward, _, _, expected = env.step(actions[task])
            where = f"{reference.task_names[task]}, episode {episode}, step {step}"
            assert same_state(env, fast, task), where
            assert np.abs(mine.observations[task] - observations[task]).max() <= 1e-12, where
            assert abs(mine.rewards[task] - float(reward)) <= 1e-10, where
            assert mine.success[task] == bool(expected["success"]), where
            for name in INFO:
                assert abs(info[name][task] - float(expected[name])) <= 1e-10, f"{where}: {name}"
            if TASKS[reference.task_names[task]].grasped is not None:
                assert fast.simulations[task].holds() == env.touching_main_object, where
            solved[reference.task_names[task]] += bool(expected["success"])
    return solved


def same_state(env: Any, fast: FastStepper, task: int) -> bool:
    """Return whether positions, velocities and the solver's warm start are the same bit for bit."""
    data = fast.simulations[task].data
    fields = ("qpos", "qvel", "qacc_warmstart", "mocap_pos", "mocap_quat", "ctrl")
    return all(np.array_equal(getattr(env.data, field), getattr(data, field)) for field in fields)


def test_random_steps_are_metaworlds(both: tuple[FastStepper, MetaWorldStepper]) -> None:
    compare_episode(*both, 3, random_actions(0, both[0].task_names), steps=40)


def test_scripted_steps_are_metaworlds(both: tuple[FastStepper, MetaWorldStepper]) -> None:
    solved = compare_episode(*both, 7, scripted_actions(0, both[0].task_names), steps=150)
    assert {name for name, times in solved.items() if not times} <= SLOW_TO_SOLVE


SLOW_TO_SOLVE = {"peg-insert-side-v3", "pick-out-of-hole-v3", "stick-pull-v3"}
"""Tasks that the scripted policies do not solve within 150 steps; in all others, success occurs in both ways."""


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "version"), TENS.values(), ids=TENS.keys())
@pytest.mark.parametrize(("seed", "actions"), [*product((1, 2, 3), (random_actions, scripted_actions))])
def test_whole_episodes_are_metaworlds(
    seed: int, actions: Callable[[int, Sequence[str]], Act], tasks: Sequence[str], version: str
) -> None:
    fast, reference = made(tasks, version, seed)
    for episode in (seed, 20 + seed, seed, 49):
        compare_episode(fast, reference, episode, actions(10 * seed + episode, tasks))
    fast.close()
    reference.close()


@pytest.mark.slow
def test_every_first_observation_is_metaworlds(both: tuple[FastStepper, MetaWorldStepper]) -> None:
    fast, reference = both
    for task, episode in product(range(len(fast.task_names)), range(50)):
        where = fast.task_names[task], episode
        assert np.array_equal(fast.reset(task, episode), reference.reset(task, episode)), where


FEW = ["door-open-v3", "push-v3", "stick-push-v3"]


@pytest.mark.parametrize(
    ("tasks", "horizon"),
    [(FEW, 15), *(pytest.param(name, HORIZON, marks=pytest.mark.slow) for name in ("mt10", "mt50"))],
)
def test_steps_and_autoresets_are_those_of_make_vec(tasks: str | list[str], horizon: int) -> None:
    mine = make_task_set(tasks, seed=5, stepping="fast", horizon=horizon, goal_stream="metaworld")
    options: dict[str, Any] = {"id": "Meta-World/custom-mt-envs", "envs_list": FEW}
    if isinstance(tasks, str):
        options = {"id": f"Meta-World/{tasks.upper()}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Meta-World warns at every construction
        theirs = gym.make_vec(**options, vector_strategy="sync", seed=5, use_one_hot=True, max_episode_steps=horizon)
    expected, _ = theirs.reset()
    observations, _ = mine.reset(seed=5)
    assert np.array_equal(observations, expected)
    act = random_actions(5, mine.task_names)
    for step in range(1, 2 * horizon + 3):
        actions = act(observations)
        expected, expected_rewards, *expected_ends, expected_infos = theirs.step(actions)
        observations, rewards, *ends, infos = mine.step(actions)
        assert np.allclose(observations, expected, rtol=0, atol=1e-6)  # one-hot observations are float32
        assert np.abs(rewards - expected_rewards).max() <= 1e-10
        assert np.array_equal(ends, expected_ends)
        assert ends[1].all() == (step % horizon == 0)
        if ends[1].all():
            final = np.stack(expected_infos["final_obs"])
            assert np.allclose(infos["final_obs"], final, rtol=0, atol=1e-6)
            expected_infos = expected_infos["final_info"]
        assert np.array_equal(infos["success"], expected_infos["success"])
    mine.close()
    theirs.close()


@pytest.mark.parametrize(("field", "value"), [("qvel", 1e11), ("qpos", np.nan), ("qvel", 1e6), ("qvel", 3e9)])
def test_unstable_physics_recover_as_metaworlds(
    field: str, value: float, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    names = ["push-v3", "door-open-v3"]
    goals = draw_goals(names, 0, num_goals=1)
    fast, reference = FastStepper(names, goals), MetaWorldStepper(names, goals)
    act = random_actions(1, names)
    for task in range(2):
        fast.reset(task, 0)
        reference.reset(task, 0)
    for step in range(12):
        if step == 4:
            for simulator in (*fast.simulations, *reference.envs):
                getattr(simulator.data, field)[3] = value
                mujoco.mj_forward(simulator.model, simulator.data)
        actions = act(np.zeros((2, 39)))
        mine, theirs = fast.step(actions), reference.step(actions)
        assert np.allclose(mine.observations, theirs.observations, rtol=0, atol=1e-12, equal_nan=True)
        assert np.allclose(mine.rewards, theirs.rewards, rtol=0, atol=1e-10, equal_nan=True)
        assert all(same_state(env, fast, task) for task, env in enumerate(reference.envs))
    assert (tmp_path / "MUJOCO_LOG.TXT").exists(), "the state is expected to have been reset"
    fast.close()
    reference.close()
