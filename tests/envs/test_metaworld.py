"""Tests that Meta-World task sets equal the environments of `gym.make_vec` exactly."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import gymnasium as gym
import metaworld
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from mtrl_conic.envs import TaskSet, draw_goals, make_task_set
from mtrl_conic.envs.metaworld.reference import MetaWorldStepper
from mtrl_conic.errors import UserError

HORIZON = 12
SEED = 0


@pytest.fixture(scope="module")
def theirs() -> Iterator[gym.vector.VectorEnv]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Meta-World warns at every construction
        envs = gym.make_vec(
            "Meta-World/MT10", vector_strategy="sync", seed=SEED, use_one_hot=True, max_episode_steps=HORIZON
        )
    yield envs
    envs.close()


@pytest.fixture(scope="module")
def mine() -> Iterator[TaskSet]:
    envs = make_task_set("mt10", seed=SEED, stepping="metaworld", horizon=HORIZON, goal_stream="metaworld")
    yield envs
    envs.close()


def indices(envs: gym.vector.VectorEnv) -> list[int]:
    """Return the index of the goal that each of Meta-World's environments plays."""
    found = []
    for env, tasks in zip(envs.unwrapped.envs, envs.unwrapped.get_attr("tasks"), strict=True):
        goals = np.array([pickle.loads(task.data)["rand_vec"] for task in tasks])
        found.append(int(np.flatnonzero((goals == env.unwrapped._last_rand_vec).all(1))[0]))
    return found


def test_goals_and_their_order_are_those_of_make_vec(theirs: gym.vector.VectorEnv, mine: TaskSet) -> None:
    goals = draw_goals(mine.task_names, SEED)
    for name, tasks in zip(mine.task_names, theirs.unwrapped.get_attr("tasks"), strict=True):
        assert np.array_equal(goals[name], [pickle.loads(task.data)["rand_vec"] for task in tasks])

    # New environments, because the other tests share theirs and their position in the stream of goals.
    played = make_task_set("mt10", seed=SEED, stepping="metaworld", goal_stream="metaworld")
    for env in theirs.unwrapped.envs:
        env.unwrapped.seed(SEED)
    for _ in range(5):
        theirs.reset(seed=3)
        assert played.reset()[1]["episode_index"].tolist() == indices(theirs)
    played.close()


def test_steps_and_autoresets_are_those_of_make_vec(theirs: gym.vector.VectorEnv, mine: TaskSet) -> None:
    for env in theirs.unwrapped.envs:
        env.unwrapped.seed(SEED)
    expected, _ = theirs.reset()
    observations, _ = mine.reset(seed=SEED)
    assert np.array_equal(observations, expected)
    generator = np.random.default_rng(0)
    for step in range(1, 2 * HORIZON + 3):
        actions = generator.uniform(-1, 1, (10, 4)).astype(np.float32)
        expected, expected_rewards, terminations, truncations, expected_infos = theirs.step(actions)
        observations, rewards, *ended, infos = mine.step(actions)
        assert np.array_equal(observations, expected)
        assert np.array_equal(rewards, expected_rewards)
        assert np.array_equal(ended, [terminations, truncations])
        assert truncations.all() == (step % HORIZON == 0)
        if truncations.all():
            assert np.array_equal(infos["final_obs"], np.stack(expected_infos["final_obs"]).astype(np.float32))
            expected_infos = expected_infos["final_info"]
            assert np.allclose(infos["episode_return"], expected_infos["episode"]["r"])
        assert np.array_equal(infos["success"], expected_infos["success"])


def test_a_list_has_the_goals_and_steps_of_custom_mt_envs() -> None:
    names = ["drawer-close-v3", "reach-v3"]
    theirs = gym.make_vec("Meta-World/custom-mt-envs", vector_strategy="sync", envs_list=names, seed=4)
    mine = make_task_set(names, seed=4, stepping="metaworld", goal_stream="metaworld", one_hot=False)
    for _ in range(3):
        expected, _ = theirs.reset()
        observations, infos = mine.reset()
        assert np.array_equal(observations, expected.astype(np.float32))
        assert infos["episode_index"].tolist() == indices(theirs)
    actions = np.full((2, 4), 0.5, np.float32)
    assert np.array_equal(mine.step(actions)[1], theirs.step(actions)[1])
    theirs.close()
    mine.close()


def test_seed_zero_of_a_list_is_a_seed() -> None:
    first = make_task_set(["reach", "push"], seed=0, stepping="metaworld")
    again = make_task_set(["reach", "push"], seed=0, stepping="metaworld")
    other = make_task_set(["reach", "push"], seed=1, stepping="metaworld")
    observations = [envs.reset()[0] for envs in (first, again, other)]
    assert np.array_equal(observations[0], observations[1])
    assert not np.array_equal(observations[0], observations[2])


def drive(env: SawyerXYZEnv, policy: Any, goal: metaworld.Task, steps: int) -> list[tuple[Any, ...]]:
    """Play a raw environment with a scripted policy until success, for at most `steps` steps."""
    env.set_task(goal)
    observation, _ = env.reset()
    history: list[tuple[Any, ...]] = []
    while len(history) < steps and not (history and history[-1][3]):
        action = np.clip(policy.get_action(observation), -1, 1).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        history.append((action, observation, reward, info["success"] == 1.0))
    return history


@pytest.mark.filterwarnings("ignore:Constant:UserWarning")  # from the scripted policy
def test_last_step_tells_the_true_observation_and_success() -> None:
    name = "drawer-close-v3"
    goal = draw_goals([name], 0)[name][7]
    data = {"rand_vec": goal, "env_cls": ALL_V3_ENVIRONMENTS[name], "partially_observable": False}
    raw = ALL_V3_ENVIRONMENTS[name]()
    history = drive(raw, ENV_POLICY_MAP[name](), metaworld.Task(name, pickle.dumps(data)), 500)
    assert history[-1][3], "the scripted policy is expected to succeed"

    # With this horizon the only success of the episode is at its last step.
    envs = make_task_set(f"mt1:{name}", seed=0, stepping="metaworld", horizon=len(history), one_hot=False)
    envs.reset(options={"episodes": [7]})
    for action, observation, reward, success in history:
        observations, rewards, _, truncations, infos = envs.step(action[None])
        assert np.array_equal(infos["final_obs"][0], observation.astype(np.float32))
        assert rewards[0] == reward
        assert infos["success"][0] == infos["episode_success"][0] == success
    assert truncations.all()
    assert infos["episode_index"].tolist() == [7]
    assert not np.array_equal(observations, infos["final_obs"])
    assert np.isclose(infos["episode_return"][0], sum(step[2] for step in history))
    _, _, _, _, infos = envs.step(np.zeros((1, 4)))
    assert not infos["episode_success"][0]
    assert infos["episode_length"].tolist() == [1]
    raw.close()
    envs.close()


def test_actions_are_float32_whatever_is_given() -> None:
    stepper = MetaWorldStepper(["push-v3"], draw_goals(["push-v3"], 0))
    envs = TaskSet(stepper)
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 1, 4))
    actions[:, 0, 2] = -1.0

    envs.reset(options={"episodes": [0]})
    doubles = [envs.step(action)[1][0] for action in actions]
    envs.reset(options={"episodes": [0]})
    singles = [envs.step(action.astype(np.float32))[1][0] for action in actions]
    stepper.reset(0, 0)
    raw_doubles = [stepper.envs[0].step(action[0])[1] for action in actions]

    assert doubles == singles
    assert doubles != raw_doubles, "Meta-World itself gives other rewards for float64 actions"
    envs.close()


def test_every_goal_is_played_and_seen() -> None:
    envs = make_task_set("mt1:reach", seed=2, stepping="metaworld", one_hot=False)
    goals = draw_goals(["reach-v3"], 2)["reach-v3"]
    for index in range(50):
        observations, infos = envs.reset(options={"episodes": [index]})
        assert infos["episode_index"].tolist() == [index]
        assert np.array_equal(observations[0, 36:], goals[index, 3:].astype(np.float32))
        assert envs.observation_space.contains(observations)
    envs.close()


def test_goals_seed_draws_the_goals_and_seed_chooses_among_them() -> None:
    one = make_task_set("mt1:reach", seed=1, goals_seed=0, stepping="metaworld")
    two = make_task_set("mt1:reach", seed=2, goals_seed=0, stepping="metaworld")
    same = [envs.reset(options={"episodes": [3]})[0] for envs in (one, two)]
    assert np.array_equal(*same)
    drawn = [[int(envs.reset()[1]["episode_index"][0]) for _ in range(5)] for envs in (one, two)]
    assert drawn[0] != drawn[1]
    one.close()
    two.close()


def play(stepper: MetaWorldStepper, episode: int, steps: int) -> list[Any]:
    """Play one episode of every task with the same random actions; return all observations and rewards."""
    tasks = len(stepper.task_names)
    history: list[Any] = [stepper.reset(task, episode).tolist() for task in range(tasks)]
    for actions in np.random.default_rng(1).uniform(-1, 1, (steps, tasks, 4)).astype(np.float32):
        step = stepper.step(actions)
        history.append((step.observations.tolist(), step.rewards.tolist()))
    return history


def test_an_episode_does_not_depend_on_what_was_played_before() -> None:
    names = ["window-open-v3", "basketball-v3"]
    stepper = MetaWorldStepper(names, draw_goals(names, 0))
    before = play(stepper, 4, 15)
    play(stepper, 9, 15)
    assert play(stepper, 4, 15) == before
    stepper.close()


def test_making_a_task_set_resets_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    resets = []
    reset = SawyerXYZEnv.reset

    def counted(self: SawyerXYZEnv, *args: Any, **kwargs: Any) -> Any:
        resets.append(type(self))
        return reset(self, *args, **kwargs)

    monkeypatch.setattr(SawyerXYZEnv, "reset", counted)
    envs = make_task_set("mt10", stepping="metaworld")
    assert resets == []
    envs.reset()
    assert len(resets) == 10
    envs.close()


def test_v1_rewards_differ_from_v2() -> None:
    rewards = []
    for version in ("v1", "v2"):
        envs = make_task_set("mt1:reach", stepping="metaworld", reward_version=version)  # type: ignore[arg-type]
        envs.reset(options={"episodes": [0]})
        rewards.append(envs.step(np.zeros((1, 4)))[1][0])
        envs.close()
    assert rewards[0] != rewards[1]


def test_one_fixed_goal_v1_and_no_code_are_make_vecs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the protocol of the older tables (goals, observations, rewards, resets) with a shorter horizon."""
    monkeypatch.setattr(metaworld, "_N_GOALS", 50)  # `num_goals` sets it globally
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Meta-World warns at every construction
        theirs = gym.make_vec(
            "Meta-World/MT10",
            vector_strategy="sync",
            seed=7,
            num_goals=1,
            max_episode_steps=HORIZON,
            reward_function_version="v1",
        )
    mine = make_task_set("mt10", seed=7, horizon=HORIZON, reward_version="v1", num_goals=1, one_hot=False)
    assert mine.single_observation_space.shape == (39,)
    expected, _ = theirs.reset()
    observations, infos = mine.reset()
    assert np.array_equal(observations, expected.astype(np.float32))
    generator = np.random.default_rng(0)
    for step in range(1, 2 * HORIZON + 2):
        assert infos["episode_index"].tolist() == [0] * 10
        actions = generator.uniform(-1, 1, (10, 4)).astype(np.float32)
        expected, rewards, _, truncations, _ = theirs.step(actions)
        observations, *mine_rewards_and_ends, infos = mine.step(actions)
        assert np.array_equal(observations, expected.astype(np.float32))
        assert np.allclose(mine_rewards_and_ends[0], rewards, rtol=1e-12, atol=0)
        assert truncations.all() == mine_rewards_and_ends[2].all() == (step % HORIZON == 0)
    theirs.close()
    mine.close()


@pytest.mark.parametrize("stepping", ["fast", "metaworld"])
def test_fewer_goals_a_short_horizon_and_no_code_in_both_steppings(stepping: str) -> None:
    options: dict[str, Any] = {"horizon": 3, "num_goals": 2, "one_hot": False, "seed": 1}
    envs = make_task_set(["reach", "drawer-close"], stepping=stepping, **options)  # type: ignore[arg-type]
    goals = draw_goals(["reach-v3"], 1, 2)["reach-v3"]
    played = set()
    observations, infos = envs.reset()
    for step in range(1, 40):
        place = int(infos["episode_index"][0])
        assert np.array_equal(observations[0, 36:], goals[place, 3:].astype(np.float32))
        played.add(place)
        observations, _, _, truncations, _ = envs.step(np.zeros((2, 4)))
        assert truncations.tolist() == [step % 3 == 0] * 2
        if truncations.all():
            observations, infos = envs.reset()
    assert played == {0, 1}
    with pytest.raises(UserError, match="episode 2 of reach-v3 does not exist: choose 0 to 1"):
        envs.reset(options={"episodes": [2, 0]})
    envs.close()


def test_where_fast_stepping_cannot_serve_auto_takes_metaworld_and_fast_says_why() -> None:
    envs = make_task_set("mt1:hammer", stepping="auto", reward_version="v1")
    assert isinstance(envs.stepper, MetaWorldStepper)
    envs.close()
    with pytest.raises(UserError, match=r"stepping=fast is not possible: .*v1.*; use stepping=auto"):
        make_task_set("mt1:hammer", stepping="fast", reward_version="v1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward_version": "v3"}, "reward_version='v3': input should be 'v1' or 'v2'"),
        ({"horizon": 501}, "horizon=501: input should be less than or equal to 500"),
        ({"horizon": 0}, "horizon=0"),
        ({"num_goals": 0}, "num_goals=0: input should be greater than or equal to 1"),
        ({"num_goals": 51}, "num_goals=51"),
        ({"goal_stream": "other"}, "goal_stream='other'"),
        ({"stepping": "slow"}, "stepping='slow'"),
        ({"seed": -1}, "not -1"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_task_set("mt1:reach", **options)
    assert "\n" not in str(caught.value)


def test_the_stepper_refuses_what_metaworld_takes_silently() -> None:
    goals = draw_goals(["coffee-pull-v3"], 0, num_goals=2)
    with pytest.raises(UserError, match="unknown reward version 'v3'"):
        MetaWorldStepper(["coffee-pull-v3"], goals, reward_version="v3")
    # Meta-World would draw this goal again for ever, because a frozen goal never changes.
    near = {"coffee-pull-v3": np.array([[0.0, 0.7, 0.0, 0.0, 0.65, 0.0]])}
    with pytest.raises(UserError, match=r"goal 0 of coffee-pull-v3 has the object too near"):
        MetaWorldStepper(["coffee-pull-v3"], near)
    with pytest.raises(UserError, match="no goals are given for reach-v3"):
        MetaWorldStepper(["coffee-pull-v3", "reach-v3"], goals)
    with pytest.raises(UserError, match="did you mean 'coffee-pull-v3'"):
        MetaWorldStepper(["coffee-pull-v2"], goals)


def test_closing_twice_is_safe() -> None:
    stepper = MetaWorldStepper(["reach-v3"], draw_goals(["reach-v3"], 0))
    stepper.close()
    stepper.close()
    assert stepper.envs == []


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", ALL_V3_ENVIRONMENTS)
def test_no_episode_of_any_task_depends_on_what_was_played_before(name: str, version: str) -> None:
    stepper = MetaWorldStepper([name], draw_goals([name], 0, num_goals=2), reward_version=version)
    before = play(stepper, 0, 40)
    play(stepper, 1, 40)
    assert play(stepper, 0, 40) == before
    stepper.close()


def test_a_loaded_state_goes_on_bit_for_bit_in_mid_episode() -> None:
    def made() -> TaskSet:
        return make_task_set(["push", "door-open"], seed=3, stepping="metaworld", horizon=30)

    first, second = made(), made()
    first.reset()
    generator = np.random.default_rng(3)
    for actions in generator.uniform(-1, 1, (47, 2, 4)):
        first.step(actions)
    second.load_state_dict(first.state_dict())
    for actions in generator.uniform(-1, 1, (40, 2, 4)):
        one, two = first.step(actions), second.step(actions)
        assert all(np.array_equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))
        assert all(np.array_equal(one[4][key], two[4][key]) for key in one[4])
    other = make_task_set(["push", "door-open"], seed=3, goals_seed=4, stepping="metaworld", horizon=30)
    with pytest.raises(UserError, match="cannot be reproduced"):
        other.load_state_dict(first.state_dict())
    for envs in (first, second, other):
        envs.close()


@pytest.mark.parametrize("stepping", ["auto", "metaworld"])
def test_copies_of_a_task_play_what_one_environment_plays(stepping: Literal["auto", "metaworld"]) -> None:
    """The copies of a task are several environments, each with its own episode."""
    options: dict[str, Any] = {"seed": 3, "horizon": 9, "stepping": stepping}
    envs, alone = make_task_set(["reach", "push"], copies=2, **options), make_task_set(["reach", "push"], **options)
    assert (envs.num_envs, envs.num_tasks) == (4, 2)
    episodes, actions = np.array([4, 7, 1, 0]), np.random.default_rng(0).uniform(-1, 1, (8, 4, 4))
    first, _ = envs.reset(options={"episodes": episodes})
    steps = [envs.step(each) for each in actions]
    for copy in range(2):
        rows = [copy, 2 + copy]
        assert np.array_equal(alone.reset(options={"episodes": episodes[rows]})[0], first[rows])
        for together, each in zip(steps, actions, strict=True):
            single = alone.step(each[rows])
            for ours, theirs in zip(single[:4], together[:4], strict=True):
                assert np.array_equal(ours, theirs[rows])
            assert np.array_equal(single[4]["success"], together[4]["success"][rows])
    for made in (envs, alone):
        made.close()
