"""Tests of task sets of Gymnasium environments: sizes, ends, rewards, success, resuming and refusals."""

from __future__ import annotations

import io
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from mtrl_conic.envs import TaskSet, check_task_set, make_task_set
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.success import Evaluator


class Point(gym.Env[NDArray[Any], NDArray[Any]]):
    """A point on a line, observed as `size` copies of its position; an episode ends beyond 1 on the right."""

    def __init__(self, size: int = 2, actions: int = 1, low: float = -2.0, dtype: Any = np.float32) -> None:
        self.observation_space = Box(-np.inf, np.inf, (size,), dtype)
        self.action_space = Box(low, 4.0, (actions,), np.float32)
        self.size, self.place = size, 0.0
        self.taken: list[NDArray[Any]] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = float(self.np_random.uniform(-0.5, 0.5))
        return self._observation(), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.taken.append(action)
        self.place += 0.05 * float(action.sum()) + 0.01 * float(self.np_random.normal())
        return self._observation(), self.place, self.place > 1, False, {"solved": self.place > 0.9}

    def _observation(self) -> NDArray[Any]:
        return np.full(self.size, self.place, self.observation_space.dtype)


def three(**options: Any) -> TaskSet:
    environments = {"small": Point, "large": lambda: Point(5, 3), "middle": lambda: Point(3, 2)}
    given: dict[str, Any] = {"horizon": {"small": 7, "large": 11, "middle": 30}, "seed": 3, **options}
    return TaskSet.from_gymnasium(environments, **given)


def actions_of(seed: int, steps: int, size: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 3, size)).astype(np.float32)


def test_different_spaces_are_padded_and_coded() -> None:
    envs = three()
    assert envs.single_observation_space.shape == (5 + 3,)
    assert envs.single_action_space == Box(-1, 1, (3,), np.float32)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.stepper.observation_dims == (2, 5, 3)
    assert envs.stepper.action_dims == (1, 3, 2)
    observations, _ = envs.reset()
    for actions in actions_of(0, 40):
        assert (observations[0, 2:5] == 0).all()
        assert (observations[2, 3:5] == 0).all()
        assert (observations[:, :2] != 0).all()
        assert np.array_equal(observations[:, 5:], np.eye(3))
        observations, *_ = envs.step(actions)


def test_actions_are_mapped_onto_the_bounds_and_padding_is_ignored() -> None:
    made: list[Point] = []

    def make() -> Point:
        made.append(Point())
        return made[-1]

    envs = TaskSet.from_gymnasium({"one": make, "two": lambda: Point(2, 3)})
    envs.reset()
    for action in (-1.0, -0.5, 0.0, 1.0, 7.0):
        envs.step(np.array([[action, 9.0, -9.0], [0.0, 0.0, 0.0]]))
    assert [float(row[0]) for row in made[-1].taken] == [-2.0, -0.5, 1.0, 4.0, 4.0]
    assert all(row.shape == (1,) and row.dtype == np.float32 for row in made[-1].taken)


def test_terminations_truncations_and_true_last_observations_are_those_of_each_environment() -> None:
    envs = three()
    _, infos = envs.reset()
    twins = [Point(), Point(5, 3), Point(3, 2)]
    for twin, seed in zip(twins, infos["episode_index"], strict=True):
        twin.reset(seed=int(seed))
    lengths, kinds = np.zeros(3, int), {"terminated": 0, "truncated": 0}
    for actions in actions_of(1, 250):
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        for task, twin in enumerate(twins):
            size = envs.stepper.action_dims[task] if envs.stepper.action_dims else 0
            seen, reward, ended, *_ = twin.step((-2 + (actions[task, :size].astype(float) + 1) * 3).astype(np.float32))
            lengths[task] += 1
            assert np.array_equal(infos["final_obs"][task, : twin.size], seen)
            assert rewards[task] == reward
            assert terminated[task] == ended
            assert truncated[task] == (lengths[task] == (7, 11, 30)[task])
            kinds["terminated"] += bool(terminated[task])
            kinds["truncated"] += bool(truncated[task])
            if terminated[task] or truncated[task]:
                lengths[task] = 0
        following = envs.reset()[1]["episode_index"] if (terminated | truncated).any() else None
        if following is not None:  # start the twins in the new episodes of the tasks
            lengths[:] = 0
            for twin, seed in zip(twins, following, strict=True):
                twin.reset(seed=int(seed))
        assert np.array_equal(observations[:, 5:], np.eye(3))
    assert min(kinds.values()) > 3


def test_an_ended_task_starts_its_next_episode_within_the_step_while_others_go_on() -> None:
    envs = three(success={"small": "solved"})
    began = envs.reset()[1]["episode_index"]
    for step in range(1, 8):
        observations, _, terminated, truncated, _infos = envs.step(np.full((3, 3), -1 / 3, np.float32))
        assert not terminated.any()
        assert truncated.tolist() == [step == 7, False, False]
    playing = envs.step(np.zeros((3, 3)))[4]["episode_index"]
    first, _ = Point().reset(seed=int(playing[0]))
    assert np.array_equal(observations[0, :2], first)
    assert playing[0] != began[0]
    assert (playing[1:] == began[1:]).all()


def test_success_by_key_return_or_function_and_none() -> None:
    def is_right(observation: NDArray[Any], reward: float, terminated: bool, info: dict[str, Any]) -> bool:
        return bool(observation[0] > 0.5)

    environments = dict.fromkeys(("key", "total", "function", "nothing"), Point)
    envs = TaskSet.from_gymnasium(
        environments, success={"key": "solved", "total": 3.0, "function": is_right, "nothing": None}, horizon=20
    )
    assert envs.has_success.tolist() == [True, True, True, False]
    rules = envs.stepper.success_rules
    assert rules is not None
    assert [rule and rule.split()[0] for rule in rules] == ["info['solved']", "the", "is_right", None]
    envs.reset()
    ends = []
    for _ in range(200):
        _, _, terminated, truncated, infos = envs.step(np.zeros((4, 1)))
        place = infos["final_obs"][:, 0]
        assert infos["success"][0] == (place[0] > np.float32(0.9))
        assert infos["success"][2] == (place[2] > 0.5)
        assert not infos["success"][3]
        ended = terminated[1] or truncated[1]
        assert infos["success"][1] == (ended and infos["episode_return"][1] >= 3.0)
        if ended:
            ends.append(bool(infos["success"][1]))
    assert 0 < sum(ends) <= len(ends)


def test_a_registered_threshold_counts_unless_it_is_declined() -> None:
    envs = TaskSet.from_gymnasium({"r": "Reacher-v5", "p": "Pendulum-v1"})
    assert envs.has_success.tolist() == [True, False]
    assert envs.horizons.tolist() == [50, 200]
    declined = TaskSet.from_gymnasium({"r": "Reacher-v5", "p": "Pendulum-v1"}, success={"r": None}, horizon=9)
    assert declined.has_success.tolist() == [False, False]
    assert declined.horizons.tolist() == [9, 9]


def test_rewards_are_scaled_and_returns_are_not() -> None:
    plain, scaled = three(), three(reward_scale={"large": 0.1})
    plain.reset()
    scaled.reset()
    for actions in actions_of(2, 20):
        one, two = plain.step(actions), scaled.step(actions)
        assert np.array_equal(two[1], one[1] * [1, 0.1, 1])
        assert np.array_equal(one[4]["episode_return"], two[4]["episode_return"])


@pytest.mark.parametrize("steps", [0, 3, 29, 58])
def test_a_loaded_state_goes_on_bit_for_bit(steps: int) -> None:
    envs = three()
    envs.reset()
    for actions in actions_of(4, steps):
        envs.step(actions)
    file = io.BytesIO()
    torch.save(envs.state_dict(), file)
    file.seek(0)
    again = three(seed=8)
    again.load_state_dict(torch.load(file, weights_only=True))
    for actions in actions_of(5, 40):
        one, two = envs.step(actions), again.step(actions)
        for left, right in zip([*one[:4], *one[4].values()], [*two[:4], *two[4].values()], strict=True):
            assert np.array_equal(left, right)


@pytest.mark.parametrize("copies", [1, 2])
def test_processes_give_the_same_numbers(copies: int) -> None:
    environments, options = {"p": "Pendulum-v1", "r": "Reacher-v5"}, {"horizon": 12, "copies": copies}
    sync, beside = (TaskSet.from_gymnasium(environments, vector=vector, **options) for vector in ("sync", "async"))  # type: ignore[arg-type]
    try:
        assert np.array_equal(sync.reset()[0], beside.reset()[0])
        for actions in np.random.default_rng(0).uniform(-1, 1, (30, 2 * copies, 2)):
            one, two = sync.step(actions), beside.step(actions)
            assert all(np.array_equal(left, right) for left, right in zip(one[:4], two[:4], strict=True))
        beside.load_state_dict(sync.state_dict())
    finally:
        sync.close()
        beside.close()
        beside.close()


def test_copies_of_a_task_are_environments_of_it_side_by_side() -> None:
    envs = three(copies=2)
    assert (envs.num_envs, envs.num_tasks, envs.copies) == (6, 3, 2)
    assert envs.action_space.shape == (6, 3)
    observations, infos = envs.reset()
    assert np.array_equal(observations[:, 5:], np.eye(3).repeat(2, axis=0))
    assert len(set(infos["episode_index"].tolist())) == 6, "each plays an episode of its own"
    twins = [Point(), Point(), Point(5, 3), Point(5, 3), Point(3, 2), Point(3, 2)]
    for row, twin in enumerate(twins):
        first, _ = twin.reset(seed=int(infos["episode_index"][row]))
        assert np.array_equal(observations[row, : twin.size], first)
    for actions in np.random.default_rng(0).uniform(-0.45, -0.25, (6, 6, 3)).astype(np.float32):  # ends no episode
        _, rewards, *_, infos = envs.step(actions)
        for row, twin in enumerate(twins):
            own = (-2 + (actions[row, : (1, 3, 2)[row // 2]].astype(float) + 1) * 3).astype(np.float32)
            seen, reward, *_ = twin.step(own)
            assert np.array_equal(infos["final_obs"][row, : twin.size], seen)
            assert rewards[row] == reward
    *_, truncated, infos = envs.step(np.zeros((6, 3)))
    assert truncated.tolist() == [True, True, False, False, False, False]
    check_task_set(three(copies=2), steps=10)


def test_copies_resume_and_are_checked() -> None:
    envs, again = three(copies=3), three(copies=3, seed=8)
    envs.reset()
    generator = np.random.default_rng(0)
    for _ in range(17):
        envs.step(generator.uniform(-1, 1, (9, 3)))
    again.load_state_dict(envs.state_dict())
    for _ in range(20):
        actions = generator.uniform(-1, 1, (9, 3))
        one, two = envs.step(actions), again.step(actions)
        assert all(np.array_equal(left, right) for left, right in zip(one[:4], two[:4], strict=True))
    with pytest.raises(UserError, match="the saved task set has 9 environments, this one 3"):
        three().load_state_dict(envs.state_dict())
    with pytest.raises(UserError, match=r"shape \(9, 3\), one row per environment"):
        envs.step(np.zeros((3, 3)))
    with pytest.raises(UserError, match="copies must be a whole number of at least 1, not 0"):
        three(copies=0)
    with pytest.raises(UserError, match="evaluation needs copies=1, not 3"):
        Evaluator(envs, 1)


def raises() -> gym.Env[Any, Any]:
    raise FileNotFoundError("no such model: robot.xml")


class Broken(Point):
    """A point whose environment is wrong in one way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        spaces = {"integers": Box(0, 9, (2,), np.int64), "image": Box(0, 255, (8, 8, 3), np.uint8)}
        spaces |= {"matrix": Box(-1, 1, (2, 2)), "dictionary": Dict({"a": Box(0, 1)})}  # type: ignore[dict-item]
        self.observation_space = spaces.get(how, self.observation_space)
        actions = {"discrete": Discrete(3), "unbounded": Box(-np.inf, np.inf, (1,))}
        self.action_space = actions.get(how, self.action_space)  # type: ignore[assignment]
        self.steps = 0

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        self.steps += 1
        if self.how == "nan" or (self.how == "late nan" and self.steps > 20):
            observation = observation * np.nan
        if self.how == "reward":
            reward = float("inf")
        if self.how == "longer":
            observation = np.zeros(3)
        if self.how == "random":
            observation = observation + np.random.default_rng().normal(size=2).astype(np.float32)
        if self.how == "still":
            observation = np.zeros(2, np.float32)
        return observation, reward, *rest  # type: ignore[return-value]

    def reset(self, **options: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        if self.how == "no seed" and "seed" in options:
            raise TypeError("reset() got an unexpected keyword argument 'seed'")
        observation, info = super().reset(**options)
        return (observation * 0 if self.how == "still" else observation), info


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("discrete", "actions are discrete .* use an environment with a Box"),
        ("unbounded", "bounds of its actions are not finite .* declare a Box"),
        ("image", r"observations are images \(8, 8, 3\).* give its environment a vector"),
        ("integers", "observations are int64, floats are needed in every task; wrap it in .*DtypeObservation"),
        ("matrix", "wrap it in gymnasium.wrappers.FlattenObservation"),
        ("dictionary", "observations are a Dict.*FlattenObservation"),
        ("nan", "episode 0, step 1: entry 0 of the observation is nan; find the step"),
        ("reward", "episode 0, step 1: the reward is inf; find the step"),
        ("longer", r"episode 0, step 1: an observation has shape \(3,\), but its space says \(2,\)"),
        ("no seed", r"episode 0, step 0: reset\(\) of its environment fails: TypeError: .*'seed' \(test_gymn.*, line"),
        ("late nan", r"episode \d+, step 21: entry 0 of the observation is nan"),
        ("random", r"observations differ at step \d+ .* self.np_random"),
        ("still", "the observation never changes"),
    ],
)
def test_what_is_wrong_with_an_environment_is_one_line_that_names_the_task(how: str, words: str) -> None:
    with pytest.raises(UserError, match=f"task 'mine'.*: .*{words}|task 'mine', {words}") as caught:
        check_task_set({"fine": Point, "mine": lambda: Broken(how)}, steps=30)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environments", "options", "words"),
    [
        ({}, {}, "needs at least one environment"),
        ([("a", Point), ("b", Point), ("a", Point)], {}, "two tasks are called 'a': give each its own name"),
        ({"a": raises}, {}, "task 'a': its environment cannot be made: FileNotFoundError: no such model: robot.xml"),
        ({"a": "Pendulm-v1"}, {}, "task 'a': Environment `Pendulm` doesn't exist. Did you mean: `Pendulum`"),
        ({"a": lambda: 3}, {}, "task 'a': its factory returned int, not a gymnasium.Env"),
        ({"a": Point()}, {}, "task 'a': Point makes no environment; .*lambda: MyEnv"),
        (["Pendulum-v1"], {}, "give the environments as {name: id or function}"),
        ({"a": Point}, {"success": {"b": 1.0}}, "unknown task in success 'b'"),
        ({"a": Point}, {"success": {"a": [1]}}, "task 'a': success must be a key of info, a return to reach"),
        ({"a": Point}, {"reward_scale": 0}, "task 'a': reward_scale must be above 0"),
        ({"a": Point}, {"horizon": {"a": 0}}, "task 'a': horizon must be a whole number of at least 1"),
        ({"a": Point}, {"vector": "asink"}, "unknown vector 'asink'; did you mean 'async'"),
    ],
)
def test_what_is_wrong_with_a_set_is_one_line(environments: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        TaskSet.from_gymnasium(environments, **options)
    assert "\n" not in str(caught.value)


def test_floats_of_different_sizes_go_together() -> None:
    envs = TaskSet.from_gymnasium({"single": Point, "double": lambda: Point(3, dtype=np.float64)})
    assert envs.reset()[0].dtype == np.float32
    check_task_set(envs, steps=20)


def test_good_sets_pass_the_check_and_stay_open() -> None:
    envs = three()
    check_task_set(envs, steps=40)
    envs.step(np.zeros((3, 3)))
    check_task_set({"p": "Pendulum-v1"}, steps=20)


def test_registered_environments_by_name() -> None:
    envs = make_task_set(["gymnasium:Pendulum-v1", "gymnasium:Reacher-v5"], time_limit=9)
    assert envs.task_names == ("Pendulum-v1", "Reacher-v5")
    assert envs.horizons.tolist() == [9, 9]
    for options, words in (
        ({"horizon": 100}, "horizon=100 is an option of Meta-World tasks only; use time_limit"),
        ({"stepping": "fast"}, "stepping='fast' is an option of Meta-World tasks only"),
    ):
        with pytest.raises(UserError, match=words):
            make_task_set("gymnasium-control", **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="time_limit=9 is an option of Gymnasium tasks only; use horizon"):
        make_task_set("mt10", time_limit=9)
    with pytest.raises(UserError, match="not both: reach-v3, gymnasium:Reacher-v5"):
        make_task_set(["reach-v3", "gymnasium:Reacher-v5"])


def test_a_horizon_beyond_the_limit_of_a_users_environment_is_told() -> None:
    """The environment would end its episodes sooner than the task set says."""
    with pytest.raises(UserError, match="task 'p': horizon=400 is longer than the limit of 200 steps"):
        TaskSet.from_gymnasium({"p": lambda: gym.make("Pendulum-v1")}, horizon=400)
    assert TaskSet.from_gymnasium({"p": "Pendulum-v1"}, horizon=400).horizon == 400
    assert TaskSet.from_gymnasium({"p": lambda: gym.make("Pendulum-v1")}, horizon=100).horizon == 100
