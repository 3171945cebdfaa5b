"""What the README and CONTRIBUTING say runs as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from mtrl_conic import balancers
from mtrl_conic.cli import COMMANDS, train
from mtrl_conic.cli.flags import given_fields
from mtrl_conic.envs import registry as task_sets
from mtrl_conic.gradients import TaskGradients
from mtrl_conic.runs.config import RunConfig, make_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_commands_of_the_readme_exist() -> None:
    import argparse

    commands = [
        line
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("mtrl-conic ") and "--version" not in line
    ]
    assert len(commands) >= 5
    for line in commands:
        _, name, *rest = shlex.split(line, comments=True)
        assert name in COMMANDS, line
        if name == "train":
            parser = argparse.ArgumentParser()
            train.add_arguments(parser)
            parsed = parser.parse_args(rest)
            config = make_config(parsed.preset, given_fields(parsed, RunConfig))
            balancers.check_options(config.balancer, config.balancer_options)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        for line in (line for block in blocks(text, "sh") for line in block.splitlines() if line.startswith("make ")):
            for target in line.split("#")[0].split()[1:]:
                assert "=" in target or re.search(rf"^{target}:", makefile, flags=re.MULTILINE), line


def test_three_lines_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(README, "python")[0]
    assert len([line for line in code.splitlines() if line.startswith("agent")]) == 3
    shorter = code.replace("100_000", "3").replace("seed=0)\n", "seed=0, width=8, random_steps=1)\n")
    assert shorter.count("random_steps") == 1
    namespace: dict[str, object] = {}
    exec(shorter, namespace)
    from mtrl_conic import MTSAC

    agent = MTSAC.load("agent.pt")
    observation = torch.zeros(39).numpy()
    assert agent.act(observation, task="reach-v3", deterministic=True).shape == (4,)


def test_balancer_in_plain_python() -> None:
    namespace: dict[str, object] = {}
    exec(blocks(README, "python")[1], namespace)
    direction, gradients = namespace["direction"], namespace["gradients"]
    assert isinstance(direction, torch.Tensor)
    assert isinstance(gradients, torch.Tensor)
    assert (gradients @ direction > 0).all()


def test_every_balancer_stands_in_the_readme() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE))
    assert table == set(balancers.available())


def test_a_balancer_of_your_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrl_conic.balancers import registry

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    code = blocks((ROOT / "CONTRIBUTING.md").read_text(), "python")[0]
    exec(compile(code, "inverse_norm.py", "exec"), {"__name__": "inverse_norm"})
    weights = balancers.make("inverse_norm", 2, power=1).weights(torch.diag(torch.tensor([4.0, 1.0])))
    assert torch.allclose(weights, torch.tensor([1 / 3, 2 / 3], dtype=torch.float64))


def test_a_balancer_with_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrl_conic.balancers import registry

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    code = blocks((ROOT / "CONTRIBUTING.md").read_text(), "python")[1]
    exec(compile(code, "smoothed_norm.py", "exec"), {"__name__": "smoothed_norm"})
    balancer = balancers.make("smoothed_norm", 2, rate=0.5)
    balancer.weights(torch.diag(torch.tensor([4.0, 1.0])))
    weights, statistics = balancer(torch.diag(torch.tensor([16.0, 1.0])))  # norms of 3 and 1 in the running mean
    assert torch.allclose(weights, torch.tensor([1 / 4, 3 / 4], dtype=torch.float64))
    assert not statistics["fallback"]
    with pytest.raises(FloatingPointError, match="task 0"):
        balancer(torch.diag(torch.tensor([torch.inf, 1.0])))
    assert torch.equal(balancer.state["norms"], torch.tensor([3.0, 1.0], dtype=torch.float64))


def test_gradients_page() -> None:
    torch.manual_seed(0)
    namespace: dict[str, object] = {}
    exec(blocks((ROOT / "docs" / "gradients.md").read_text(), "python")[0], namespace)
    gradients = namespace["gradients"]
    assert isinstance(gradients, TaskGradients)
    assert gradients.losses.mean() < 1.5, "the example learns: its losses begin above 3"


def test_a_task_set_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task_sets, "_REGISTRY", {})
    code, run = blocks((ROOT / "docs" / "own_environments.md").read_text(), "python")
    assert len([line for line in (code + run).splitlines() if line]) <= 25
    shorter = code.replace("20_000", "8").replace(
        "seed=0)\nagent.learn", "seed=0, width=8, random_steps=4)\nagent.learn"
    )
    assert shorter.count("random_steps") == 1
    namespace: dict[str, object] = {}
    exec(shorter.replace("(environments)", "(environments, steps=20)"), namespace)
    action = namespace["action"]
    assert isinstance(action, np.ndarray)
    assert action.shape == (1,)
    small = "steps=20, width=8, actor_width=8, random_steps=10, episodes_per_task=1, compile=False"
    shorter = run.replace("steps=20_000", small)
    assert small in shorter
    exec(shorter, namespace)
    assert set(namespace["result"]["returns"]) == {"light", "heavy", "reach"}  # type: ignore[index]


def test_a_network_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrl_conic import MTSAC
    from mtrl_conic.errors import UserError
    from mtrl_conic.networks import registry as network_registry

    known = {name: network_registry.get(name) for name in network_registry.available()}
    monkeypatch.setattr(network_registry, "_REGISTRY", {**known})
    code = blocks((ROOT / "docs" / "networks.md").read_text(), "python")[0]
    shorter = code.replace("20_000", "8").replace("width=128", "width=8, random_steps=4")
    assert shorter.count("random_steps") == 1
    namespace: dict[str, object] = {"__name__": "waves"}
    exec(compile(shorter, "waves.py", "exec"), namespace)
    agent = namespace["agent"]
    assert isinstance(agent, MTSAC)
    assert agent.updates == 4
    assert set(agent.actor.layout.shared) == set(dict(agent.actor.network.named_parameters()))
    agent.save(tmp_path / "agent.pt")
    observation = np.zeros(3, np.float32)
    again = MTSAC.load(tmp_path / "agent.pt").act(observation, task="Pendulum-v1", deterministic=True)
    assert again == agent.act(observation, task="Pendulum-v1", deterministic=True)
    monkeypatch.setattr(network_registry, "_REGISTRY", known)
    with pytest.raises(UserError, match="unknown network 'waves'"):
        MTSAC.load(tmp_path / "agent.pt")


def test_the_networks_page_lists_them_all() -> None:
    from mtrl_conic import networks

    text = (ROOT / "docs" / "networks.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == set(networks.available())


def test_python_api_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    three_lines, callback, export = blocks((ROOT / "docs" / "python_api.md").read_text(), "python")
    namespace: dict[str, object] = {}
    shorter = three_lines.replace("10_000", "8").replace("seed=0)\nagent", "seed=0, width=8, random_steps=4)\nagent")
    assert shorter.count("random_steps") == 1
    exec(shorter, namespace)
    small = '"environment": {"time_limit": 10}, "agent": {"width": 8, "random_steps": 5}, "steps": 30}'
    shorter = callback.replace('"steps": 10_000}', small)
    assert small in shorter
    exec(shorter, namespace)
    assert (tmp_path / "runs" / "pendulum" / "result.json").is_file()
    assert getattr(namespace["watch"], "steps", 0) == 30
    exec(export, namespace)
    assert (tmp_path / "policy" / "policy.json").is_file()
