from __future__ import annotations

import pickle

import metaworld
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from mtrl_conic.envs.metaworld.goals import GOAL_SPACES, Goals, draw_goals
from mtrl_conic.envs.names import MT10, MT25, MT50
from mtrl_conic.errors import UserError


def goals_of(benchmark: metaworld.Benchmark) -> Goals:
    goals: dict[str, list[object]] = {}
    for task in benchmark.train_tasks:
        goals.setdefault(task.env_name, []).append(pickle.loads(task.data)["rand_vec"])
    return {name: np.array(rows) for name, rows in goals.items()}


def assert_same(mine: Goals, theirs: Goals) -> None:
    assert list(mine) == list(theirs)
    for name, goals in theirs.items():
        assert np.array_equal(mine[name], goals), name


# Each draws in another way: without rejection, with rejection, and with rejection by a fixed target. With seed 10
# rejection by the goal's own target would give other goals.
@pytest.mark.parametrize(("name", "seed"), [("door-open-v3", 0), ("peg-insert-side-v3", 0), ("sweep-into-v3", 10)])
def test_goals_are_those_of_mt1(name: str, seed: int) -> None:
    assert_same(draw_goals([name], seed), goals_of(metaworld.MT1(name, seed=seed)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 12345])
def test_goals_are_those_of_mt10(seed: int) -> None:
    assert_same(draw_goals(MT10, seed), goals_of(metaworld.MT10(seed=seed)))


@pytest.mark.slow
def test_goals_are_those_of_mt25_and_mt50() -> None:
    assert_same(draw_goals(MT25, 3), goals_of(metaworld.MT25(seed=3)))
    assert_same(draw_goals(MT50, 4), goals_of(metaworld.MT50(seed=4)))


@pytest.mark.slow
@pytest.mark.parametrize("name", MT50)
def test_goals_of_every_task_are_those_of_mt1(name: str) -> None:
    for seed in (0, 7):
        assert_same(draw_goals([name], seed), goals_of(metaworld.MT1(name, seed=seed)))


@pytest.mark.slow
@pytest.mark.parametrize("name", MT50)
def test_goal_spaces_are_those_of_metaworld(name: str) -> None:
    env = ALL_V3_ENVIRONMENTS[name]()
    space = env._random_reset_space
    assert space is not None
    assert GOAL_SPACES[name].low == tuple(space.low.tolist())
    assert GOAL_SPACES[name].high == tuple(space.high.tolist())
    env.close()


def test_goals_of_a_task_depend_on_the_seed_and_on_the_tasks_before_it() -> None:
    zero, one = draw_goals(MT10, 0), draw_goals(MT10, 1)
    assert not any(np.array_equal(zero[name], one[name]) for name in MT10)
    assert np.array_equal(draw_goals(["reach-v3"], 0)["reach-v3"], zero["reach-v3"])
    assert not np.array_equal(draw_goals(["push-v3"], 0)["push-v3"], zero["push-v3"])


@pytest.mark.parametrize("name", MT50)
def test_goals_are_playable_and_all_different(name: str) -> None:
    goals = draw_goals([name], 0)[name]
    space = GOAL_SPACES[name]
    assert len(np.unique(goals, axis=0)) == 50
    assert (goals >= space.low).all()
    assert (goals <= space.high).all()
    assert all(space.accepts(goal) for goal in goals)


def test_drawing_leaves_the_global_generator_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.uniform()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    draw_goals(MT10, 0)
    assert np.random.uniform() == expected  # noqa: NPY002


def test_a_seed_out_of_range_and_an_unknown_task_are_refused() -> None:
    with pytest.raises(UserError, match="0 to 4294967295, not -1"):
        draw_goals(["reach-v3"], -1)
    with pytest.raises(UserError, match="did you mean 'reach-v3'"):
        draw_goals(["reach-v2"], 0)
