"""Tests of the example of a custom agent, `agents/td3.py`, trained as it is, and of the page about it."""

from __future__ import annotations

import copy
import re
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from mtrl_conic import TaskSet, plugins
from mtrl_conic.agents import Agent, TaskSpec, register_agent
from mtrl_conic.agents import registry as agents_registry
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation import Evaluator, random_policy
from mtrl_conic.runs.config import make_config
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.training import Trainer, TrainingConfig

ROOT = Path(__file__).parent.parent.parent


class Aim(gym.Env):
    """An environment with five shots at a visible mark; the reward is minus the distance from it."""

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
    other.load_state_dict(copy.deepcopy(agent.state_dict()))  # optimisers keep the tensors that they are given
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


TASKS = "[gymnasium:Pendulum-v1, gymnasium:MountainCarContinuous-v0]"
BRIEF = [
    *("--task-set", TASKS, "--time-limit", "20", "--log-every", "50", "--evaluate-every", "100", "--threads", "1"),
    *("--training-episodes-per-task", "1", "--episodes-per-task", "1", "--device", "cpu"),
]
OWN = ["--import", str(ROOT / "agents" / "td3.py"), "--algorithm", "td3"]


def test_every_command_knows_a_registered_agent(
    td3: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "seed_0"
    train = ["train", "own", *OWN, "--algorithm-options", "width=8", *BRIEF, "--balancer", "conicgrad:c=0.9"]
    assert main([*train, "--steps", "210", "--run-dir", str(run)]) == 0
    assert "td3, conicgrad:c=0.9, seed 0" in capsys.readouterr().out
    assert main([*train, "--steps", "220", "--run-dir", str(run)]) == 0
    assert "Resuming 2 tasks at step 210" in capsys.readouterr().out
    config, agent, envs = load_agent(run, device="cpu")
    envs.close()
    assert (config.algorithm, config.algorithm_options) == ("td3", {"width": 8})
    assert isinstance(agent, td3.TD3)
    assert agent.updates == 20
    assert main(["evaluate", str(run), *OWN[:2], "--episodes-per-task", "1"]) == 0
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 0
    assert "Learner: the user's own agent td3, width=8" in (tmp_path / "page.md").read_text()
    capsys.readouterr()
    assert main(["export", str(run), *OWN[:2], "--out", str(tmp_path / "policy")]) == 2
    assert "the policy of td3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--algorithm", "td4"], "unknown algorithm 'td4'; did you mean 'td3'?"),
        (
            ["--algorithm", "td3", "--algorithm-options", "widht=8"],
            "unknown option of td3 'widht'; did you mean 'width'",
        ),
        (["--algorithm", "td3", "--algorithm-options", "width=0"], "td3: option width=0"),
        (["--algorithm", "td3", "--batch-size", "8"], "batch_size is an option of mtsac; those of td3"),
        (["--algorithm-options", "width=8"], "mtsac takes no algorithm_options"),
    ],
)
def test_an_agent_is_asked_for_wrongly(
    td3: ModuleType, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "own", *arguments, *BRIEF, "--run-dir", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_options_of_a_preset_are_mtsac_s(td3: ModuleType) -> None:
    assert make_config("mt10_small", {"algorithm": "td3"}).agent == AgentConfig()
    assert make_config("mt10_small", {}).agent != AgentConfig()


def test_a_name_is_taken_once(td3: ModuleType) -> None:
    for name in ("td3", "mtsac"):
        with pytest.raises(UserError, match=f"an agent named '{name}' already exists"):
            register_agent(name)(object)


@pytest.mark.parametrize("value", [np.arange(3.0), deque([1.0]), lambda: 0, torch.nn.Linear(1, 1)])
def test_a_state_that_no_checkpoint_keeps_is_told_at_once(value: object, td3: ModuleType) -> None:
    class Kept(td3.TD3):  # type: ignore[misc, name-defined]
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "mine": value}

    with pytest.raises(UserError, match=r"state_dict\(\)\['mine'\] cannot be kept in a checkpoint"):
        agents_registry._check_state("kept", Kept(TaskSpec.of(make_envs()), balancer="ls"))


def test_an_agent_with_other_arguments_is_told(td3: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_registry, "_REGISTRY", {"bare": lambda spec: None})
    given = {"balancer": "ls", "balancer_options": {}, "seed": 0, "device": torch.device("cpu"), "options": {}}
    with pytest.raises(UserError, match=r"the algorithm bare must take \(spec, \*, balancer, .*unexpected keyword"):
        agents_registry.make("bare", TaskSpec.of(make_envs()), **given)  # type: ignore[arg-type]


def test_an_agent_that_lacks_a_method_is_told(td3: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_registry, "_REGISTRY", {"bare": lambda spec, **_: SimpleNamespace(spec=spec, seed=0)})
    given = {"balancer": "ls", "balancer_options": {}, "seed": 0, "device": torch.device("cpu"), "options": {}}
    with pytest.raises(UserError, match=r"'bare' lacks device, watch, updates, components, schedule, policy, act, "):
        agents_registry.make("bare", TaskSpec.of(make_envs()), **given)  # type: ignore[arg-type]


def test_a_policy_that_does_not_act_is_told(td3: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle(td3.TD3):  # type: ignore[misc, name-defined]
        def policy(self) -> None:
            return None

    monkeypatch.setattr(agents_registry, "_REGISTRY", {"idle": Idle})
    given = {"balancer": "ls", "balancer_options": {}, "seed": 0, "device": torch.device("cpu"), "options": {}}
    with pytest.raises(UserError, match=r"'idle': policy\(\) must return an object with act\(\), not NoneType"):
        agents_registry.make("idle", TaskSpec.of(make_envs()), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "value", "words"),
    [
        ("random_actions", None, r"random_actions\(\) must return an array \(2, 2\), not NoneType"),
        ("act", np.zeros((3, 1)), r"act\(\) must return an array \(2, 2\), not \(3, 1\)"),
        ("act", [["left"], ["right"]], r"act\(\) must return an array \(2, 2\): could not convert"),
        ("observe", [0.0], r"observe\(\) must return an array \(2,\), not \(1,\)"),
        ("update", None, r"update\(\) must return tensors by name, not NoneType"),
        ("update", {"critic/loss": 1.0}, r"update\(\) must return tensors: 'critic/loss' is float"),
        ("update", {"critic/loss": torch.zeros(3)}, r"'critic/loss' of each task, \(2,\), not \(3,\)"),
    ],
)
def test_what_an_agent_returns_is_checked(method: str, value: Any, words: str, td3: ModuleType) -> None:
    envs = make_envs()
    agent = td3.TD3(TaskSpec.of(envs), width=8)
    setattr(agent, method, lambda *_, **__: value)
    with pytest.raises(UserError, match=words):
        Trainer(envs, agent).train(steps=205)


@pytest.mark.parametrize(("returned", "words"), [({}, "nothing"), ({"errors": torch.zeros(2)}, r"\(2,\)")])
def test_priorities_need_the_error_of_each_row(returned: dict[str, torch.Tensor], words: str, td3: ModuleType) -> None:
    envs = make_envs()
    agent = td3.TD3(TaskSpec.of(envs), width=8)
    agent.schedule = replace(agent.schedule, priority_exponent=1.0)
    agent.update = lambda batch: returned
    with pytest.raises(UserError, match=rf"must return 'errors' of each row, \(2, 64\), not {words}: its schedule has"):
        Trainer(envs, agent).train(steps=205)


def test_actions_that_require_gradients_are_taken(td3: ModuleType) -> None:
    envs = make_envs()
    agent = td3.TD3(TaskSpec.of(envs), width=8)
    agent.act = lambda observations: agent.networks["actor"](torch.as_tensor(observations)[:, None])[:, 0]
    Trainer(envs, agent).train(steps=205)
    assert agent.updates == 5
