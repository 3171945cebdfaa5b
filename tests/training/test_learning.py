"""`learn` called again: after an error, after an evaluation, after loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box

from mtrl_conic import MTSAC, TaskSet
from mtrl_conic.envs.gymnasium import workers
from mtrl_conic.evaluation.success import Evaluator
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer

AGENT: dict[str, Any] = {
    "balancer": "ls",
    "width": 8,
    "depth": 1,
    "batch_size": 4,
    "n_step": 3,
}


class Walk(gym.Env):
    """Its observation counts the steps of the episode, so that a transition says what it joins."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    fails: ClassVar[dict[str, BaseException]] = {}
    reward = 1.0
    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        Walk.episodes += 1
        self.number, self.steps = Walk.episodes, 0
        if "reset" in Walk.fails:
            raise Walk.fails.pop("reset")
        return np.array([self.number, 0.0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 3 and "step" in Walk.fails:
            raise Walk.fails.pop("step")
        return np.array([self.number, float(self.steps)]), Walk.reward, False, False, {}


@pytest.fixture(autouse=True)
def fresh() -> None:
    Walk.fails, Walk.reward, Walk.episodes = {}, 1.0, 0


def make_envs(**options: Any) -> TaskSet:
    return TaskSet.from_gymnasium({"one": Walk, "two": Walk}, horizon=10, **options)


def transitions(agent: MTSAC) -> Any:
    """Observations, discounts and next observations of many draws."""
    trainer = agent._trainer
    assert trainer is not None
    batch = trainer.replay.sample(2000)
    return batch.observations[..., :2], batch.next_observations[..., :2], batch.rewards


def check_transitions(agent: MTSAC) -> None:
    """Each stays in its episode, goes one to three steps on, and counts as many rewards."""
    before, after, rewards = transitions(agent)
    assert (before[..., 0] == after[..., 0]).all(), "it joins two episodes"
    steps = after[..., 1] - before[..., 1]
    assert ((steps >= 1) & (steps <= 3)).all()
    assert (rewards <= steps + 1e-5).all()


@pytest.mark.parametrize("where", ["step", "reset"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_error_learning_goes_on_in_new_episodes(where: str, error: type[BaseException]) -> None:
    agent = MTSAC(make_envs(), **AGENT, reward_scale="return", random_steps=5)
    agent.learn(12)
    Walk.fails = {where: error()}
    with pytest.raises(error):
        agent.learn(20)
    episodes = Walk.episodes
    agent.learn(25)
    assert Walk.episodes > episodes
    assert agent.updates > 20
    check_transitions(agent)
    assert float(agent.return_scale._largest.max()) <= sum(0.99**k for k in range(10)) + 1e-6


def test_after_an_interrupt_environments_in_processes_go_on_in_new_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = TaskSet.from_gymnasium({"one": "Pendulum-v1"}, horizon=10, vector="async")
    agent = MTSAC(envs, **AGENT, random_steps=5)
    agent.learn(3)
    wait = workers.wait

    def interrupted(*args: Any) -> None:
        monkeypatch.setattr(workers, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        agent.learn(4)
    agent.learn(12)
    envs.close()
    assert agent.updates == 10


def test_evaluating_on_the_agents_own_environments_between_two_calls() -> None:
    envs = make_envs()
    agent = MTSAC(envs, **AGENT, random_steps=5)
    agent.learn(14)
    Evaluator(envs, 2).evaluate(agent.policy().act)
    agent.learn(16)
    check_transitions(agent)


def test_episodes_go_on_between_two_calls() -> None:
    agent = MTSAC(make_envs(), **AGENT, random_steps=5)
    agent.learn(3)
    episodes = Walk.episodes
    for _ in range(2):
        agent.learn(3)
    assert Walk.episodes == episodes
    check_transitions(agent)


def test_a_loaded_agent_goes_on_with_what_it_learned(tmp_path: Path) -> None:
    agent = MTSAC(make_envs(), **AGENT, random_steps=5)
    agent.learn(12)
    agent.save(tmp_path / "agent.pt")
    again = MTSAC.load(tmp_path / "agent.pt", envs=make_envs(), device="cpu")
    again.random_actions = None  # type: ignore[assignment, method-assign]  # it must not be asked for any
    made = again.updates
    again.learn(4)
    assert again.updates == made + 3, "from the first step that has a transition before it"


def test_divergence_names_task_component_step_and_a_remedy() -> None:
    class Grows(Callback):
        def on_step(self, trainer: Trainer) -> None:
            Walk.reward = 1e30

    agent = MTSAC(make_envs(), **AGENT, random_steps=5)
    with pytest.raises(
        FloatingPointError,
        match=r"^training diverged at step \d+: .*critic.* (one|two) .*; lower the learning rate, or .*smaller scale$",
    ) as caught:
        agent.learn(40, callbacks=[Grows()])
    assert "actions" not in str(caught.value)
    assert "\n" not in str(caught.value)
