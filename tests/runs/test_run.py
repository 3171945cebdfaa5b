"""Tests of whole runs on real environments: their files, and that they repeat and resume exactly."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mtrl_conic.errors import Interrupted, UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.schema import parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer
from tests.training.conftest import TASKS, tiny_values

CLOCK = ("time", "steps_per_second")


def lines(directory: Path, name: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in CLOCK} for record in records]


def same_run(a: Path, b: Path) -> bool:
    """Return whether metrics, evaluations and the last checkpoint are equal bit for bit, except for the clock."""
    logs = all(lines(a, name) == lines(b, name) for name in ("metrics", "evaluations"))
    left, right = read_checkpoint(a), read_checkpoint(b)
    assert left is not None
    assert right is not None
    for state in (left, right):
        del state["seconds"], state["watch"]
    return logs and same(left, right)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run that was never interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    train(parse(RunConfig, tiny_values()), directory)
    return directory


def test_what_a_run_leaves(whole: Path) -> None:
    config = yaml.safe_load((whole / "config.yaml").read_text())
    assert config["agent"]["discount"] == 0.99, "defaults are written out too"
    assert parse(RunConfig, config) == parse(RunConfig, tiny_values())
    metrics = lines(whole, "metrics")
    assert [record["step"] for record in metrics] == [20, 40, 60, 80, 100, 120, 140]
    last = metrics[-1]
    for name in ("critic/loss", "actor/loss", "critic/weight", "actor/gradient_norm", "temperature"):
        assert list(last[name]) == TASKS
    assert len(last["critic/cosine"]) == len(TASKS)
    assert [abs(last["actor/cosine"][i][i] - 1) < 1e-6 for i in range(3)] == [True] * 3
    assert list(metrics[1]["training/success"]) == TASKS
    evaluations = lines(whole, "evaluations")
    assert [(record["step"], record["episodes_per_task"]) for record in evaluations] == [(50, 1), (100, 1), (150, 2)]
    assert list(evaluations[-1]["success"]) == TASKS
    result = json.loads((whole / "result.json").read_text())
    assert result["success"] == evaluations[-1]["success"]
    assert result["step"] == 150
    parts = "acting stepping storing sampling targets critic actor balancing evaluation writing"
    assert set(result["seconds_by_part"]) == set(parts.split())
    assert list(whole.glob("events.out.tfevents.*"))


def test_tensorboard_reads_it(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert "critic/loss/reach-v3" in tags
    assert "critic/cosine_negative_share" in tags
    assert [event.step for event in events.Scalars("evaluation/mean_success")] == [50, 100, 150]


def test_the_same_seed_gives_the_same_numbers(whole: Path, tiny: RunConfig, tmp_path: Path) -> None:
    train(tiny, tmp_path)
    assert same_run(whole, tmp_path)


@pytest.mark.parametrize("overlap", [False, True])
def test_stepping_beside_the_update_gives_the_same_numbers(overlap: bool, whole: Path, tmp_path: Path) -> None:
    train(parse(RunConfig, tiny_values(execution={"overlap": overlap})), tmp_path / "run")
    assert same_run(whole, tmp_path / "run")


def test_another_seed_gives_others(whole: Path, tmp_path: Path) -> None:
    train(parse(RunConfig, tiny_values(seed=4, steps=60)), tmp_path)
    assert lines(whole, "metrics")[2] != lines(tmp_path, "metrics")[2]


def after(calls: int) -> Callable[[], bool]:
    left = calls

    def ask() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return ask


@pytest.mark.parametrize("calls", [0, 7, 33, 90, 91, 127, 240, 300])
def test_interrupted_anywhere_it_goes_on_bit_for_bit(calls: int, whole: Path, tiny: RunConfig, tmp_path: Path) -> None:
    """The calls fall within an episode, between updates and within evaluations; a whole run asks 310 times."""
    with pytest.raises(Interrupted):
        train(tiny, tmp_path, interrupted=after(calls))
    assert not (tmp_path / "result.json").exists()
    train(tiny, tmp_path)
    assert same_run(whole, tmp_path)


def test_the_strong_base_resumes_bit_for_bit_too(tmp_path: Path) -> None:
    """It also has return scales, n-step batches near the newest transition, priorities and resets after updates."""
    fields = {"base": "strong", "bins": 11, "network_options": {"embedding": 4}}
    fields |= {"reset_every": 50, "priority_exponent": 0.6}
    config = parse(RunConfig, tiny_values(agent=fields, balancer="gradops"))
    train(config, tmp_path / "whole")
    for calls in (60, 45):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "stopped", interrupted=after(calls))
    train(config, tmp_path / "stopped")
    assert same_run(tmp_path / "whole", tmp_path / "stopped")


def test_replay_on_disk_is_the_same_run(whole: Path, tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(training={"replay": "disk"}))
    with pytest.raises(Interrupted):
        train(config, tmp_path, interrupted=after(130))
    train(config, tmp_path)
    assert same_run(whole, tmp_path)


def test_a_finished_run_is_not_touched(whole: Path, tiny: RunConfig) -> None:
    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.name != ".lock"}
    result = train(tiny, whole)
    assert result["step"] == 150
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.name != ".lock"} == before


def test_a_run_that_ends_by_the_clock(tmp_path: Path) -> None:
    result = train(parse(RunConfig, tiny_values(steps=10**9, minutes=0.02)), tmp_path)
    assert 0 < result["step"] < 10**6


def test_a_crash_loses_nothing_before_the_checkpoint(whole: Path, tiny: RunConfig, tmp_path: Path) -> None:
    class Crash(Callback):
        def on_step(self, trainer: Trainer) -> None:
            if trainer.step == 110:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tiny, tmp_path, callbacks=[Crash()])
    saved = read_checkpoint(tmp_path)
    assert saved is not None
    assert saved["step"] == 100
    train(tiny, tmp_path)
    assert same_run(whole, tmp_path)


def test_divergence_is_told(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(agent={"learning_rate": 1e30}))
    with pytest.raises(FloatingPointError, match="training diverged"):
        train(config, tmp_path)


def test_killed_at_random_moments(whole: Path, tmp_path: Path) -> None:
    """SIGKILL may come while the run trains, evaluates or writes a checkpoint; the same command then finishes it."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values()))
    command = [sys.executable, "-m", "mtrl_conic", "train", str(file), "--run-dir", str(tmp_path / "run")]
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # the run has started; kill it some time later
        time.sleep(moments.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same_run(whole, tmp_path / "run"), f"seed {seed}"


def test_loading_the_agent_of_a_run(whole: Path) -> None:
    config, agent, envs = load_agent(whole)
    envs.close()
    assert config.balancer == "conicgrad"
    assert agent.spec.task_names == tuple(TASKS)


def test_a_run_without_checkpoint(tiny: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny.model_dump(mode="json")))
    with pytest.raises(UserError, match="no checkpoint"):
        load_agent(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"task_set": ["raech-v3"]}, "reach-v3"),
        ({"balancer": "pcgrd"}, "did you mean 'pcgrad'"),
        ({"balancer_options": {"d": 1}}, "unknown option of conicgrad"),
        ({"execution": {"device": "cuda:7"}}, "cuda"),
        ({"training": {"episodes_per_task": 51}}, "50 goals"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(
    overrides: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        train(parse(RunConfig, tiny_values(**overrides)), tmp_path / "run")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "config.yaml").exists()
