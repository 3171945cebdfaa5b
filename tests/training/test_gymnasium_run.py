"""Runs on Gymnasium tasks: resumed bit for bit, evaluated with and without success, exported, described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mtrl_conic.cli import main
from mtrl_conic.cli.display import show_result
from mtrl_conic.errors import Interrupted, UserError
from mtrl_conic.evaluation.words import estimate, number, return_estimates
from mtrl_conic.runs.checking import check
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.schema import parse


def config(**values: Any) -> RunConfig:
    return parse(
        RunConfig,
        {
            "task_set": ["gymnasium:Pendulum-v1", "gymnasium:Reacher-v5", "gymnasium:InvertedPendulum-v5"],
            "steps": 90,
            "execution": {"device": "cpu", "threads": 1},
            "environment": {"time_limit": 30},
            "agent": {"width": 8, "depth": 2, "batch_size": 4, "random_steps": 20},
            "training": {
                "replay_capacity": 60,
                "log_every": 30,
                "evaluate_every": 40,
                "checkpoint_every": 25,
                "training_episodes_per_task": 1,
                "episodes_per_task": 2,
            },
            **values,
        },
    )


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    result = train(config(), whole)
    asked = iter(range(10_000))
    with pytest.raises(Interrupted):
        train(config(), halves, interrupted=lambda: next(asked) > 47)
    again = train(config(), halves)
    kept = ("step", "success", "mean_success", "returns")
    assert {key: result[key] for key in kept} == {key: again[key] for key in kept}
    one, two = read_checkpoint(whole), read_checkpoint(halves)
    assert one is not None
    assert two is not None
    for name, value in one["agent"]["actor"]["network"].items():
        assert torch.equal(value, two["agent"]["actor"]["network"][name]), name

    # Pendulum-v1 says nothing of success: left out, not counted as failure.
    assert set(result["success"]) == {"Reacher-v5", "InvertedPendulum-v5"}
    assert set(result["returns"]) == {"Pendulum-v1", "Reacher-v5", "InvertedPendulum-v5"}
    assert result["mean_success"] == sum(result["success"].values()) / 2
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert any("Pendulum-v1" in line.get("training/return", {}) for line in lines)
    assert not any("Pendulum-v1" in line.get("training/success", {}) for line in lines)

    assert main(["export", str(whole), "--out", str(tmp_path / "out")]) == 0
    assert "No success is defined for Pendulum-v1" in (tmp_path / "out" / "README.md").read_text()
    assert main(["evaluate", str(whole), "--episodes-per-task", "1"]) == 0
    assert "no success is defined for Pendulum-v1" in capsys.readouterr().out


def test_several_environments_per_task(tmp_path: Path) -> None:
    """Budgets stay steps of each task, updates stay one for each of them, and it resumes bit for bit."""
    environment = {"time_limit": 30, "copies": 4}
    agent = {"base": "strong", "width": 8, "batch_size": 4, "random_steps": 20, "n_step": 3, "target_entropy": None}
    several = config(environment=environment, agent=agent)
    result = train(several, tmp_path / "whole")
    assert result["step"] == 92, "the first multiple of four at which 90 steps of each task are done"
    asked = iter(range(10_000))
    with pytest.raises(Interrupted):
        train(several, tmp_path / "halves", interrupted=lambda: next(asked) > 12)
    train(several, tmp_path / "halves")
    one, two = read_checkpoint(tmp_path / "whole"), read_checkpoint(tmp_path / "halves")
    assert one is not None
    assert two is not None
    assert one["agent"]["updates"] == two["agent"]["updates"] == 92 - 20
    for name, value in one["agent"]["actor"]["network"].items():
        assert torch.equal(value, two["agent"]["actor"]["network"][name]), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [32, 60, 92], "the first steps at or behind each multiple of 30"
    steps = [json.loads(line)["step"] for line in (tmp_path / "halves" / "evaluations.jsonl").read_text().splitlines()]
    assert steps == [40, 80, 92]


@pytest.fixture(scope="module")
def without_success(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a task that says nothing of success, three episodes behind its final return."""
    run, short = tmp_path_factory.mktemp("without") / "run", config()
    training = short.training.model_copy(update={"episodes_per_task": 3, "report_best": True})
    train(short.model_copy(update={"task_set": "gymnasium:Pendulum-v1", "training": training}), run)
    return run


def test_a_run_without_any_success_reports_returns(without_success: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads((without_success / "result.json").read_text())
    assert result["success"] == {}
    assert result["mean_success"] is None, "neither success nor failure"
    assert result["returns"]["Pendulum-v1"] == result["mean_return"] < 0
    (of,) = return_estimates(result).values()
    assert of.low is not None
    evaluations = [json.loads(line) for line in (without_success / "evaluations.jsonl").read_text().splitlines()]
    best = max(evaluations, key=lambda record: float(record["mean_return"]))
    assert result["best_over_training"] == {**best, "chosen_by": "mean_return", "evaluations": 3}

    show_result(result, without_success)
    said = capsys.readouterr().out
    assert "Final return after 90 steps per task" in said
    assert f"Pendulum-v1   {estimate(of)}" in said
    assert f"best over training: mean return {number(best['mean_return'])}, at step {best['step']}" in said
    assert "success  " not in said, "no empty columns"


def test_returns_are_listed_and_watched(
    without_success: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = json.loads((without_success / "result.json").read_text())
    (tmp_path / "runs").symlink_to(without_success, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    value = number(result["returns"]["Pendulum-v1"])
    assert f"Pendulum-v1 {value}" in " ".join(capsys.readouterr().out.split())
    assert main(["watch", str(without_success)]) == 0
    said = capsys.readouterr().out
    assert f"return Pendulum-v1 {value} at step 90" in " ".join(said.split())
    assert re.search(r"training +critic", said), "the title of a column stands in two lines"
    (of,) = return_estimates(result).values()
    assert estimate(of) in said


def test_returns_go_to_tensorboard(without_success: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(without_success))
    events.Reload()
    evaluations = [json.loads(line) for line in (without_success / "evaluations.jsonl").read_text().splitlines()]
    for name in ("evaluation/returns/Pendulum-v1", "evaluation/mean_return"):
        told = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(line["step"], pytest.approx(line["mean_return"])) for line in evaluations]
        assert told == expected, name
    assert "evaluation/mean_success" not in events.Tags()["scalars"]


def test_unknown_environments_are_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task 'Reachr-v5': .*Reacher"):
        check(config(task_set=["gymnasium:Pendulum-v1", "gymnasium:Reachr-v5"]))


def test_describe_tells_whose_parameters_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "gymnasium_control", "--width", "8", "--actor-width", "8"]) == 0
    assert "5 tasks" in capsys.readouterr().out
    size = ["--actor-width", "8", "--actor-depth", "1", "--width", "8"]
    assert main(["describe", "mt10", "--base", "classic", "--network", "multihead", *size]) == 0
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in said.splitlines()]
    actor = rows[rows.index(["actor"]) : rows.index(["critic"])]
    # 49 inputs, 8 units and offsets for all; a head of 8 x 8 and offsets for each of ten tasks.
    assert ["all shared", "shared", "400"] in actor
    assert ["all task", "task", "720"] in actor
    assert any("conicgrad" in row for row in actor)


@pytest.mark.parametrize(
    ("task_set", "words"),
    [
        ("[gymnasium:Pendulum-v1, gymnasium:CartPole-v1]", "task 'CartPole-v1': actions are discrete (Discrete(2))"),
        ("gymnasium:Blackjack-v1", "task 'Blackjack-v1': observations are a Tuple"),
        ("[]", "a task set needs at least one task"),
        ("[gymnasium:Pendulum-v1, gymnasium:Pendulum-v1]", "Pendulum-v1 is listed twice"),
    ],
)
def test_a_wrong_set_is_one_line_and_nothing_is_written(
    task_set: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "gymnasium_control", "--task-set", task_set, "--run-dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
