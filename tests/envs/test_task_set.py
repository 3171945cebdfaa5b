"""Tests of task sets with a small stepper whose tasks terminate at different times."""

from __future__ import annotations

import io
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mtrl_conic.envs import Step, Stepper, TaskSet
from mtrl_conic.errors import UserError

NAMES = ("near", "middle", "far")


class Walk(Stepper):
    """Points on a line, pushed by the actions; an episode ends when a point leaves the interval of its task."""

    def __init__(self, task_names: tuple[str, ...] = NAMES, spacing: float = 0.01) -> None:
        self.task_names = task_names
        self.observation_dim = 2
        self.action_dim = 1
        self.num_episodes = 50
        self.spacing = spacing
        self.edges = np.array([0.7 + 0.5 * NAMES.index(name) for name in task_names])
        self.state = np.full((len(task_names), 2), np.nan)
        self.closed = 0

    def reset(self, task: int, episode: int) -> NDArray[np.float64]:
        self.state[task] = [self.spacing * episode, 0.0]
        return self.state[task].copy()

    def step(self, actions: NDArray[np.float32]) -> Step:
        assert actions.dtype == np.float32
        self.state[:, 1] = 0.9 * self.state[:, 1] + 0.1 * np.sin(3 * self.state[:, 0]) + 0.1 * actions[:, 0]
        self.state[:, 0] += self.state[:, 1]
        distance = np.abs(self.state[:, 0])
        return Step(self.state, -distance, distance < 0.1, distance > self.edges)

    def close(self) -> None:
        self.closed += 1


def actions_of(seed: int, steps: int, tasks: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, tasks, 1)).astype(np.float32)


def flat(result: tuple[Any, ...]) -> dict[str, list[Any]]:
    """Return the arrays of a step or reset by name, as lists that compare exactly."""
    *arrays, infos = result
    return {str(i): array.tolist() for i, array in enumerate(arrays)} | {k: v.tolist() for k, v in infos.items()}


def test_spaces_and_mode_are_those_of_a_gymnasium_vector_environment() -> None:
    envs = TaskSet(Walk())
    assert isinstance(envs, gym.vector.VectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.num_envs == envs.num_tasks == 3
    assert envs.task_names == NAMES
    assert envs.single_observation_space == gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
    assert envs.single_action_space == gym.spaces.Box(-1, 1, (1,), np.float32)
    assert envs.observation_space.shape == (3, 5)
    observations, _ = envs.reset()
    assert envs.observation_space.contains(observations)
    envs.action_space.seed(0)
    for _ in range(30):
        observations, rewards, terminations, truncations, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        assert (rewards.dtype, terminations.dtype, truncations.dtype) == (np.float64, np.bool_, np.bool_)
        assert rewards.shape == terminations.shape == truncations.shape == (3,)


def test_the_code_of_the_task_follows_its_observation_unless_told_not_to() -> None:
    with_code, without = TaskSet(Walk()), TaskSet(Walk(), one_hot=False)
    long, short = with_code.reset()[0], without.reset()[0]
    assert np.array_equal(long[:, 2:], np.eye(3))
    assert np.array_equal(long[:, :2], short)
    assert without.single_observation_space.shape == (2,)


def test_infos_are_dense_and_tell_of_the_episode_the_step_belonged_to() -> None:
    envs, horizon = TaskSet(Walk(), horizon=9), 9
    _, infos = envs.reset()
    twin = Walk()
    episodes = infos["episode_index"].tolist()
    for task, episode in enumerate(episodes):
        twin.reset(task, episode)
    lengths, returns, successes = np.zeros(3, int), np.zeros(3), np.zeros(3, bool)
    ends = {"terminated": 0, "truncated": 0}
    for actions in actions_of(0, 200):
        expected = twin.step(actions)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        lengths, returns, successes = lengths + 1, returns + expected.rewards, successes | expected.success
        assert np.array_equal(infos["final_obs"][:, :2], expected.observations.astype(np.float32))
        assert np.array_equal(rewards, expected.rewards)
        assert np.array_equal(terminations, expected.terminated)
        assert np.array_equal(truncations, lengths == horizon)
        assert np.array_equal(infos["success"], expected.success)
        assert np.array_equal(infos["episode_success"], successes)
        assert np.array_equal(infos["episode_return"], returns)
        assert np.array_equal(infos["episode_length"], lengths)
        assert infos["episode_index"].tolist() == episodes
        assert all(array.dtype != object for array in infos.values())
        ended = terminations | truncations
        ends["terminated"] += int(terminations.sum())
        ends["truncated"] += int(truncations.sum())
        assert np.array_equal(observations[~ended], infos["final_obs"][~ended])
        for task in np.flatnonzero(ended):
            # The first observation contains the number of the new episode.
            episodes[task] = round(float(observations[task, 0]) / 0.01)
            assert np.array_equal(observations[task, :2], twin.reset(int(task), episodes[task]).astype(np.float32))
            lengths[task], returns[task], successes[task] = 0, 0.0, False
    assert min(ends.values()) > 10


def test_gymnasium_counts_the_same_episodes() -> None:
    envs = gym.wrappers.vector.RecordEpisodeStatistics(TaskSet(Walk(), horizon=9))
    envs.reset()
    counted = 0
    for actions in actions_of(1, 100):
        *_, infos = envs.step(actions)
        if "episode" in infos:
            ended = infos["_episode"]
            counted += int(ended.sum())
            assert np.allclose(infos["episode"]["r"][ended], infos["episode_return"][ended])
            assert np.array_equal(infos["episode"]["l"][ended], infos["episode_length"][ended])
    assert counted > 30


def test_arrays_given_are_never_written_again() -> None:
    envs = TaskSet(Walk(), horizon=4)
    results: list[tuple[Any, ...]] = [envs.reset()]
    copies = [flat(results[0])]
    for actions in actions_of(2, 12):
        results.append(envs.step(actions))
        copies.append(flat(results[-1]))
    assert [flat(result) for result in results] == copies
    # Writing to them has no effect either: the next state does not depend on the arrays that were returned.
    results[-1][0][:] = np.nan
    assert torch.isfinite(envs.state_dict()["observations"]).all()


def episodes_of(envs: TaskSet, resets: int) -> NDArray[np.int64]:
    return np.array([envs.reset()[1]["episode_index"] for _ in range(resets)])


def test_each_task_draws_its_own_episodes_whatever_its_place_and_company() -> None:
    together = episodes_of(TaskSet(Walk(), seed=0), 40)
    assert not any(np.array_equal(together[:, i], together[:, j]) for i in range(3) for j in range(i))
    turned = episodes_of(TaskSet(Walk(("far", "near")), seed=0), 40)
    assert np.array_equal(turned, together[:, [2, 0]])


def test_every_episode_is_reached() -> None:
    drawn = episodes_of(TaskSet(Walk()), 600)
    assert all(set(column) == set(range(50)) for column in drawn.T.tolist())


def test_seed_zero_is_a_seed_and_reset_takes_it() -> None:
    zero = episodes_of(TaskSet(Walk(), seed=0), 10)
    assert np.array_equal(zero, episodes_of(TaskSet(Walk(), seed=0), 10))
    assert not np.array_equal(zero, episodes_of(TaskSet(Walk(), seed=1), 10))
    for seed in (0, 1):
        envs = TaskSet(Walk(), seed=5)
        envs.reset()
        first = envs.reset(seed=seed)[1]["episode_index"]
        rest = episodes_of(envs, 9)
        assert np.array_equal([first, *rest], episodes_of(TaskSet(Walk(), seed=seed), 10))
        assert envs.seed == seed


def test_metaworld_streams_choose_the_same_goal_for_all_tasks_but_in_custom_sets() -> None:
    same = episodes_of(TaskSet(Walk(), seed=3, episode_stream="metaworld"), 10)
    assert (same == same[:, :1]).all()
    custom = episodes_of(TaskSet(Walk(), seed=3, episode_stream="metaworld_custom"), 10)
    for place in range(3):
        alone = episodes_of(TaskSet(Walk(), seed=3 + place, episode_stream="metaworld"), 10)
        assert np.array_equal(custom[:, place], alone[:, 0])


def test_chosen_episodes_leave_the_streams_where_they_are() -> None:
    envs = TaskSet(Walk(), seed=2)
    observations, infos = envs.reset(options={"episodes": [4, 0, 49]})
    assert infos["episode_index"].tolist() == [4, 0, 49]
    assert np.allclose(observations[:, 0], [0.04, 0.0, 0.49])
    assert np.array_equal(episodes_of(envs, 5), episodes_of(TaskSet(Walk(), seed=2), 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": [0, 1]}, "3 whole numbers, one per task"),
        ({"episodes": [0, 1, 2.0]}, "3 whole numbers, one per task"),
        ({"episodes": [0, 50, 1]}, "episode 50 of middle does not exist: choose 0 to 49"),
        ({"episodes": [0, 0, -1]}, "episode -1 of far does not exist"),
        ({"episode": [0, 0, 0]}, "did you mean 'episodes'"),
    ],
)
def test_wrong_reset_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TaskSet(Walk()).reset(options=options)


def test_wrong_actions_are_refused_by_the_name_of_the_task() -> None:
    envs = TaskSet(Walk())
    with pytest.raises(UserError, match="call reset"):
        envs.step(np.zeros((3, 1)))
    envs.reset()
    with pytest.raises(UserError, match=r"shape \(3, 1\), one row per task, not \(3,\)"):
        envs.step(np.zeros(3))
    for value in (np.nan, np.inf):
        with pytest.raises(UserError, match="action of middle is not finite"):
            envs.step(np.array([[0.0], [value], [0.0]]))


def test_wrong_construction_is_refused() -> None:
    with pytest.raises(UserError, match="horizon must be at least 1, not 0"):
        TaskSet(Walk(), horizon=0)
    with pytest.raises(UserError, match="seed must be 0 or more, not -1"):
        TaskSet(Walk(), seed=-1)


def test_closing_releases_the_stepper_once() -> None:
    envs = TaskSet(Walk())
    envs.close()
    envs.close()
    assert isinstance(envs.stepper, Walk)
    assert envs.stepper.closed == 1


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@given(steps=st.integers(0, 40), seed=st.integers(0, 2**31), horizon=st.integers(1, 15))
@settings(deadline=None, max_examples=60)
def test_a_loaded_state_goes_on_bit_for_bit_from_any_step(steps: int, seed: int, horizon: int) -> None:
    first = TaskSet(Walk(), seed=seed, horizon=horizon)
    last = flat(first.reset())["0"]
    for actions in actions_of(seed, steps):
        last = flat(first.step(actions))["0"]

    second = TaskSet(Walk(), seed=seed + 1, horizon=horizon)
    second.reset()
    second.step(np.ones((3, 1)))
    assert second.load_state_dict(through_a_file(first.state_dict())).tolist() == last
    assert second.seed == seed
    assert_equal_states(first.state_dict(), second.state_dict())
    for actions in actions_of(seed + 1, 30):
        assert flat(first.step(actions)) == flat(second.step(actions))
    assert flat(first.reset()) == flat(second.reset())


def assert_equal_states(one: dict[str, Any], two: dict[str, Any]) -> None:
    for key, value in one.items():
        if key == "actions":
            assert [rows.tolist() for rows in value] == [rows.tolist() for rows in two[key]]
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, two[key])
        else:
            assert value == two[key], key


def test_a_state_is_a_copy() -> None:
    envs = TaskSet(Walk(), horizon=20)
    envs.reset()
    envs.step(np.full((3, 1), 0.5))
    state = envs.state_dict()
    before = through_a_file(state)
    envs.reset()
    envs.step(np.full((3, 1), -0.5))
    assert_equal_states(state, before)


def test_a_state_of_another_task_set_is_refused() -> None:
    envs = TaskSet(Walk(), horizon=20)
    with pytest.raises(UserError, match="call reset"):
        envs.state_dict()
    envs.reset()
    envs.step(np.zeros((3, 1)))
    state = envs.state_dict()
    with pytest.raises(UserError, match="saved task set has horizon 20, this one 21"):
        TaskSet(Walk(), horizon=21).load_state_dict(state)
    with pytest.raises(UserError, match=r"saved task set has task_names"):
        TaskSet(Walk(("near", "far")), horizon=20).load_state_dict(state)
    with pytest.raises(UserError, match="cannot be reproduced"):
        TaskSet(Walk(spacing=0.02), horizon=20).load_state_dict(state)
