"""The example of an agent of one's own, `agents/td3.py`, trained as it is; and the page about it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from mtrl_conic import TaskSet, plugins
from mtrl_conic.agents import Agent, TaskSpec
from mtrl_conic.evaluation import Evaluator, random_policy
from mtrl_conic.training import Trainer, TrainingConfig

ROOT = Path(__file__).parent.parent.parent


class Aim(gym.Env):
    """Five shots at a mark that is shown; the reward is minus the distance."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, actions: int = 1) -> None:
        self.action_space = Box(-1.0, 1.0, (actions,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.mark = self.np_random.uniform(-0.9, 0.9, 1).astype(np.float32)
        self.shots = 0
        return self.mark, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.shots += 1
        return self.mark, -float(np.abs(action - self.mark).mean()), self.shots == 5, False, {}


def make_envs(seed: int = 0) -> TaskSet:
    return TaskSet.from_gymnasium({"one": Aim, "two": lambda: Aim(2)}, horizon=5, seed=seed)


@pytest.fixture(scope="module")
def td3() -> ModuleType:
    plugins.load([str(ROOT / "agents" / "td3.py")])
    import td3

    return td3


def make_agent(td3: ModuleType, balancer: str = "pcgrad") -> Agent:
    agent: Agent = td3.TD3(TaskSpec.of(make_envs()), balancer=balancer)
    return agent


def test_it_learns(td3: ModuleType) -> None:
    envs, agent = make_envs(), make_agent(td3)
    evaluator = Evaluator(make_envs(seed=1), 20)
    by_chance = evaluator.evaluate(random_policy(evaluator.envs)).returns
    trainer = Trainer(envs, agent, config=TrainingConfig(replay_capacity=2000))
    trainer.train(700)
    learned = evaluator.evaluate(agent.policy().act).returns
    assert agent.updates == 500
    assert all(learned[task] > 0.4 * by_chance[task] for task in learned), (learned, by_chance)
    assert set(trainer.watch.seconds) >= {"critic", "actor", "stepping"}


def test_it_goes_on_bit_for_bit(td3: ModuleType) -> None:
    agent, other = make_agent(td3, "conicgrad"), make_agent(td3, "conicgrad")
    trainer = Trainer(make_envs(), agent, config=TrainingConfig(replay_capacity=100))
    trainer.train(220)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))  # optimisers take over what they get
    batch = trainer.replay.sample(8)
    told, found = agent.update(batch), other.update(batch)
    assert told.keys() == found.keys()
    assert all(torch.equal(told[name], found[name]) for name in told)
    observations = np.zeros((2, agent.spec.observation_dim), np.float32)
    assert np.array_equal(agent.act(observations), other.act(observations))


def test_the_page_runs_as_written(td3: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_agent.md").read_text(), flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(code.replace("10_000", "210"), found)
    assert found["agent"].updates == 10
