"""The preset of the older tables: what it sets, and a best over training that is never without its label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtrl_conic import MTSAC
from mtrl_conic.agents.model_card import model_card
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import make_config
from mtrl_conic.runs.run import check, load_agent, make_envs

SMALL = [
    *("--task-set", "[reach, drawer-close]", "--steps", "90", "--evaluate-every", "20", "--horizon", "20"),
    *("--width", "8", "--batch-size", "4", "--random-steps", "10", "--threads", "1", "--device", "cpu"),
]


def test_the_preset_is_the_protocol() -> None:
    config = make_config("mt10_legacy", {})
    environment = config.environment
    assert (environment.reward_version, environment.horizon, environment.num_goals) == ("v1", 150, 1)
    assert not environment.one_hot
    assert config.steps // config.training.evaluate_every == 200
    check(config)
    envs = make_envs(config)
    assert envs.single_observation_space.shape == (39,)
    assert envs.stepper.num_episodes == 1
    assert len(envs.task_names) == 10
    envs.close()


def test_best_over_training_is_reported_beside_the_final_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "mt10_legacy", *SMALL, "--run-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    evaluations = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert [record["step"] for record in evaluations] == [20, 40, 60, 80, 90]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["success"] == evaluations[-1]["success"], "the final agent's stays what it is"
    best = result["best_over_training"]
    assert best["evaluations"] == 5
    assert best["mean_success"] == max(record["mean_success"] for record in evaluations)
    assert best["step"] == next(r["step"] for r in evaluations if r["mean_success"] == best["mean_success"])
    line = next(line for line in said.splitlines() if f"{best['mean_success']:.3f}, at step" in line)
    assert line.startswith("best over training: ")
    assert "chosen by the episodes it reports" in line
    config, agent, envs = load_agent(tmp_path, device="cpu")
    envs.close()
    assert isinstance(agent, MTSAC)
    card = model_card(agent.policy(), run=config.model_dump(mode="json"), result=result)
    assert "rewards v1, horizon 20, one fixed goal per task" in card
    assert "The final agent, not the best over training" in card


def test_other_runs_report_the_final_agent_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "mt10_legacy", *SMALL, "--report-best", "false", "--run-dir", str(tmp_path)]) == 0
    assert "best_over_training" not in (tmp_path / "result.json").read_text()
    assert "best over training" not in capsys.readouterr().out


def test_a_fixed_goal_is_evaluated_once() -> None:
    config = make_config("mt10_legacy", {"training": {"episodes_per_task": 50}})
    with pytest.raises(UserError, match="episodes_per_task=50: a task has one goal, choose 1"):
        check(config)


def test_networks_that_route_by_the_task_say_what_they_miss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "mt10_legacy", *SMALL, "--network", "soft_modularization", "--run-dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "set one_hot=true" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
