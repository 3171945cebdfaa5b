"""An exported actor acts as the agent does, elsewhere, and says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtrl_conic.agents.export import export_agent, load_policy
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError

SPEC = TaskSpec(("one", "three"), 4 + 2, 3, True, (2, 4), (1, 3))


def make_agent(network: str = "shared", scale: str = "none") -> MTSAC:
    sizes: dict[str, Any] = {"width": 8, "depth": 2, "layer_norm": "both", "observation_scale": scale}
    agent = MTSAC(SPEC, balancer="ls", device="cpu", seed=4, network=network, **sizes)
    for rows in np.random.default_rng(1).normal(2, 3, size=(20, 2, 6)).astype(np.float32):
        agent.observe(rows, np.zeros(2), np.zeros(2, np.bool_))
    return agent


@pytest.mark.parametrize("scale", ["none", "shared", "task"])
@pytest.mark.parametrize("network", ["shared", "multihead", "soft_modularization", "single_task"])
def test_a_loaded_policy_acts_as_the_agent_does(network: str, scale: str, tmp_path: Path) -> None:
    agent = make_agent(network, scale)
    files = agent.export(tmp_path / "out")
    assert sorted(file.name for file in files) == ["README.md", "actor.safetensors", "config.json"]
    policy = load_policy(tmp_path / "out")
    rows = np.random.default_rng(0).normal(size=(20, 2, 6)).astype(np.float32)
    for observations in rows:
        assert np.array_equal(policy.act(observations), agent.act(observations, deterministic=True))
    alone = policy.act(rows[0, 0, :2], task="one")
    assert np.array_equal(alone, agent.act(rows[0, 0, :2], task="one", deterministic=True))
    assert alone.shape == (1,)


def test_a_fresh_process_acts_identically(tmp_path: Path) -> None:
    agent = make_agent()
    agent.export(tmp_path)
    observation = np.linspace(-1, 1, 4).astype(np.float32)
    code = (
        "import numpy as np; from mtrl_conic.agents.export import load_policy;"
        f"print(load_policy({str(tmp_path)!r}).act(np.linspace(-1, 1, 4).astype(np.float32), task='three').tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == agent.act(observation, task="three", deterministic=True).tolist()


def test_the_card_says_what_was_trained_and_what_it_reached(tmp_path: Path) -> None:
    run: dict[str, Any] = {
        "task_set": ["gymnasium:one", "gymnasium:three"],
        "environment": {"time_limit": None},
        "training": {"episodes_per_task": 20},
    }
    result = {
        "step": 12000,
        "success": {"one": 0.25},
        "success_at_end": {"one": 0.2},
        "mean_success": 0.25,
        "mean_success_at_end": 0.2,
        "returns": {"one": 17.25, "three": -3.5},
        "episodes_per_task": 20,
        "versions": {"torch": "2.13.0"},
        "finished": "2026-01-01T00:00:00Z",
    }
    export_agent(make_agent(), tmp_path, run=run, result=result)
    card = (tmp_path / "README.md").read_text()
    for words in (
        "| one | 2 | 1 |",
        "| three | 4 | 3 |",
        "| one | 0.25 | 0.20 | 17.2 |",
        "| three | - | - | -3.5 |",
        "No success is defined for three.",
        "12,000 environment steps",
        "20 episodes per task",
        "torch 2.13.0",
        "each environment's own limit",
    ):
        assert words in card, words
    export_agent(make_agent(), tmp_path)
    assert "Not evaluated." in (tmp_path / "README.md").read_text()
    code = (tmp_path / "README.md").read_text().split("```")[1].removeprefix("python\n")
    namespace: dict[str, Any] = {}
    exec(code.replace('load_policy(".")', f"load_policy({str(tmp_path)!r})"), namespace)
    assert namespace["action"].shape == (1,)


@pytest.mark.parametrize("scale", ["none", "task"])
def test_onnx_computes_the_same(scale: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    agent = make_agent("multihead", scale)
    files = agent.export(tmp_path, onnx=True)
    assert files[-1].name == "actor.onnx"
    observations = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    (actions,) = ReferenceEvaluator(onnx.load(files[-1])).run(None, {"observations": observations})
    assert np.allclose(actions, agent.act(observations, deterministic=True), atol=1e-6)


def test_what_cannot_be_loaded_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no exported agent"):
        load_policy(tmp_path)
    make_agent().export(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 9}))
    with pytest.raises(UserError, match="format 9, this version reads 1"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        load_policy(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        make_agent().export(tmp_path / "file")
