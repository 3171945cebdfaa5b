"""Tests of the success protocol: each goal once, success anywhere or at the end, and experts that succeed."""

from __future__ import annotations

import numpy as np
import pytest

from mtrl_conic.envs import TaskSet, make_task_set
from mtrl_conic.envs.stepper import Step, Stepper
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.policies import expert_policy, random_policy
from mtrl_conic.evaluation.success import Evaluator


class Counting(Stepper):
    """Two tasks in which success depends only on the numbers of the step and the episode."""

    task_names = ("early", "late")
    observation_dim, action_dim, num_episodes = 1, 1, 6

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.count = np.zeros(2)
        self.episode = np.zeros(2)

    def reset(self, task: int, episode: int) -> np.ndarray:
        self.started.append((task, episode))
        self.count[task], self.episode[task] = 0, episode
        return np.array([float(episode)])

    def step(self, actions: np.ndarray) -> Step:
        self.count += 1
        # `early` succeeds only at its second step in odd episodes, `late` at the last step of episodes 0 and 1.
        early = self.count[0] == 2 and self.episode[0] % 2 == 1
        late = self.count[1] == 5 and self.episode[1] < 2
        return Step(self.count[:, None].copy(), self.episode + 0.0, np.array([early, late]), np.zeros(2, dtype=bool))

    def close(self) -> None:
        pass


def zeros(observations: np.ndarray) -> np.ndarray:
    return np.zeros((2, 1), np.float32)


def test_rates_by_hand() -> None:
    result = Evaluator(TaskSet(Counting(), horizon=5), 6).evaluate(zeros)
    assert result.success == {"early": 3 / 6, "late": 2 / 6}
    assert result.success_at_end == {"early": 0.0, "late": 2 / 6}
    assert result.returns == {"early": 5 * 2.5, "late": 5 * 2.5}
    deviation = 5 * np.std(range(6), ddof=1)  # the return of an episode is five times its number
    assert result.return_std == {"early": pytest.approx(deviation), "late": pytest.approx(deviation)}
    assert result.record()["mean_return"] == 12.5
    assert Evaluator(TaskSet(Counting(), horizon=5), 1).evaluate(zeros).return_std == {"early": 0.0, "late": 0.0}
    assert result.mean_success == pytest.approx(5 / 12)
    assert result.episodes_per_task == 6
    assert result.record()["mean_success_at_end"] == pytest.approx(1 / 6)


def test_every_goal_is_visited_exactly_once() -> None:
    """Only episodes with steps count: the reset at an episode's end draws another one that is never stepped."""
    stepper = Counting()
    envs = TaskSet(stepper, horizon=5)
    visited: list[tuple[float, float]] = []

    def policy(observations: np.ndarray) -> np.ndarray:
        if stepper.count[0] == 0:
            visited.append((stepper.episode[0], stepper.episode[1]))
        return zeros(observations)

    Evaluator(envs, 6).evaluate(policy)
    assert visited == [(n, n) for n in range(6)]


def test_the_first_n_goals() -> None:
    result = Evaluator(TaskSet(Counting(), horizon=5), 6).evaluate(zeros, episodes_per_task=2)
    assert result.success == {"early": 0.5, "late": 1.0}


@pytest.mark.parametrize("episodes", [0, 7, -1])
def test_more_goals_than_there_are(episodes: int) -> None:
    with pytest.raises(UserError, match="a task has 6 goals, choose 1 to 6"):
        Evaluator(TaskSet(Counting()), episodes)


def test_breaking_off() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        Evaluator(TaskSet(Counting()), 1).evaluate(zeros, each_step=stop)


@pytest.mark.parametrize("stepping", ["fast", "metaworld"])
def test_experts_succeed(stepping: str) -> None:
    """An error in autoreset, success or observations would fail here; the slow test below uses all goals."""
    envs = make_task_set("mt10", stepping=stepping, seed=1)  # type: ignore[arg-type]
    episodes = 4 if stepping == "fast" else 1
    result = Evaluator(envs, episodes).evaluate(expert_policy(envs))
    assert result.mean_success >= 0.9, result.success
    envs.close()


@pytest.mark.slow
@pytest.mark.parametrize("stepping", ["fast", "metaworld"])
def test_experts_succeed_on_all_goals(stepping: str) -> None:
    envs = make_task_set("mt10", stepping=stepping, seed=0)  # type: ignore[arg-type]
    result = Evaluator(envs, 50).evaluate(expert_policy(envs))
    assert result.mean_success >= 0.95, result.success
    envs.close()


def test_random_policy_repeats_and_fails() -> None:
    envs = make_task_set("mt10", seed=0)
    first = Evaluator(envs, 1).evaluate(random_policy(envs, seed=1))
    assert first == Evaluator(envs, 1).evaluate(random_policy(envs, seed=1))
    assert first.mean_success <= 0.3
    envs.close()
