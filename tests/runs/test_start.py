"""Tests of what a run records and checks besides its steps: provenance, current activity, its clock, dry runs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.cli import main
from mtrl_conic.execution.preparation import PREPARATION, Preparation
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import DOING
from mtrl_conic.runs.run import train
from mtrl_conic.schema import parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer
from tests.training.conftest import tiny_values


class Looks(Callback):
    """A callback that records each activity it is told of, and the provenance at the start of training."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.told, self.left = directory, [], []
        self.provenance: dict[str, Any] = {}

    def on_start(self, trainer: Trainer) -> None:
        self.provenance = json.loads((self.directory / "provenance.jsonl").read_text().splitlines()[-1])

    def on_doing(self, trainer: Trainer, words: str) -> None:
        self.told.append(words)
        self.left.append((self.directory / DOING).read_text())


def test_provenance_and_what_it_is_doing(tmp_path: Path) -> None:
    look = Looks(tmp_path)
    train(parse(RunConfig, tiny_values(steps=60)), tmp_path, callbacks=[look])
    package = Path(__file__).parents[2]
    said = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert look.provenance["commit"] == (said.stdout.strip() or None)
    assert look.provenance["clean"] in ((True, False) if look.provenance["commit"] else (None,))
    assert look.provenance["versions"].keys() >= {"mtrl-conic", "torch", "numpy", "gymnasium"}
    for key in ("command", "python", "processor", "cores", "time", "system"):
        assert look.provenance[key], key
    assert look.told[0] == "compiling"
    assert [words for words in look.told if words.startswith("eval")] == [
        "evaluating 1 of 1",
        "evaluating 1 of 2",
        "evaluating 2 of 2",
    ]
    assert look.left == look.told, "another process reads the same"
    assert look.told[-1] == (tmp_path / DOING).read_text() == ""
    train(parse(RunConfig, tiny_values(steps=80)), tmp_path)
    assert len((tmp_path / "provenance.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("where", ["step", "update", "later"])
def test_compiling_costs_no_minutes(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of it, at the first step, the first update or later, do not count against a budget of 1.2 seconds."""
    update, calls = MTSAC.update, 0

    def slow(agent: MTSAC, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if where == "update" and calls == 1:
            time.sleep(2)
        if where == "later" and calls == 5:
            with PREPARATION("compiling"):
                time.sleep(2)
        return update(agent, *arguments)

    class Sleeps(Callback):
        def on_start(self, trainer: Trainer) -> None:
            if where == "step":
                step = trainer.envs.step

                def first(actions: Any) -> Any:
                    monkeypatch.setattr(trainer.envs, "step", step)
                    time.sleep(2)
                    return step(actions)

                monkeypatch.setattr(trainer.envs, "step", first)

    monkeypatch.setattr(MTSAC, "update", slow)
    config = parse(RunConfig, tiny_values(steps=10**6, minutes=0.02, execution={"overlap": False}))
    result = train(config, tmp_path, callbacks=[Sleeps()])
    assert calls > 6
    assert 1.2 <= result["seconds"] < 3


def test_one_preparation_within_another_counts_once() -> None:
    preparation, told = Preparation(), list[str]()
    with preparation.told_to(told.append), preparation("a"), preparation("b"):
        time.sleep(0.05)
    assert told == ["a", ""]
    assert 0.05 <= preparation.seconds < 0.5


class Broken(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, **_: Any) -> Any:
        super().reset(seed=0)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        raise ZeroDivisionError("no such road")


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_dry_run_finds_what_the_first_step_would(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gymnasium.register("Broken-v0", entry_point=Broken)
    monkeypatch.chdir(tmp_path)
    out = ["--out", "out"] if command == "compare" else []
    try:
        assert main([command, "own", "--task-set", "gymnasium:Broken-v0", *out, "--dry-run"]) == 2
    finally:
        gymnasium.registry.pop("Broken-v0")
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such road" in line
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_train_prints_the_complete_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "mt10_small", "--balancer", "conicgrad:c=0.9", "--dry-run", "--width"]
    assert main([*command, "100000000"]) == 2, "the networks are measured without memory"
    assert "agent.width=100000000: the networks would take" in capsys.readouterr().err
    assert main([*command, "1000"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    config = parse(RunConfig, shown)
    assert (config.kind, config.method, config.agent.width) == ("reinforcement", "conicgrad:c=0.9", 1000)
    assert shown["training"]["episodes_per_task"] == 50
    assert not list(tmp_path.iterdir())
