"""The preset of the older tables: what it sets, and a best over training that is never without its label."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mtrl_conic.agents.model_card import model_card
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.runs.checking import check
from mtrl_conic.runs.config import make_config
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.making import make_envs

ROOT = Path(__file__).parent.parent.parent
SMALL = [
    *("--task-set", "[reach, drawer-close]", "--steps", "90", "--evaluate-every", "20", "--horizon", "20"),
    *("--width", "8", "--batch-size", "4", "--random-steps", "10", "--threads", "1", "--device", "cpu"),
]


def test_the_preset_is_the_protocol() -> None:
    config = make_config("mt10_legacy", {})
    environment = config.environment
    assert (environment.reward_version, environment.horizon, environment.num_goals) == ("v1", 150, 1)
    assert not environment.one_hot
    agent = config.agent
    assert (agent.reward_scale, agent.deviation_rate, agent.temperatures) == ("deviation", 0.001, "shared")
    assert (agent.batch, agent.batch_size, agent.log_std, agent.random_steps) == ("uniform", 128, "tanh", 1500)
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
    assert "the same episodes select and score it" in line
    config, agent, envs = load_agent(tmp_path, device="cpu")
    envs.close()
    assert isinstance(agent, MTSAC)
    card = model_card(agent.policy(), run=config.model_dump(mode="json"), result=result)
    assert "rewards v1, horizon 20, one fixed goal per task" in card
    assert "The final agent is evaluated, not the best one during training" in card


def test_other_runs_report_the_final_agent_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "mt10_legacy", *SMALL, "--report-best", "false", "--run-dir", str(tmp_path)]) == 0
    assert "best_over_training" not in (tmp_path / "result.json").read_text()
    assert "best over training" not in capsys.readouterr().out


def test_a_fixed_goal_is_evaluated_once() -> None:
    config = make_config("mt10_legacy", {"training": {"episodes_per_task": 50}})
    with pytest.raises(UserError, match="episodes_per_task=50: a task has one goal, choose 1"):
        check(config)


@pytest.mark.parametrize("network", ["soft_modularization", "multihead", "single_task"])
def test_networks_that_tell_tasks_apart_need_no_one_hot(network: str, tmp_path: Path) -> None:
    arguments = [
        "train",
        "mt10_legacy",
        *SMALL,
        "--steps",
        "20",
        "--network",
        network,
        "--run-dir",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 0


def test_the_settings_in_the_docs_and_the_script_are_commands(tmp_path: Path) -> None:
    """Every row of the methods' settings is one of `compare`, and the script runs all of them."""
    page = (ROOT / "docs" / "papers.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `(--balancers [^`]+)`", page, flags=re.MULTILINE)
    script = (ROOT / "scripts" / "mt10_legacy.sh").read_text()
    assert len(rows) == 11
    for row in rows:
        out = tmp_path / re.sub(r"\W+", "_", row)
        assert main(["compare", "mt10_legacy", *shlex.split(row), "--seeds", "0", "--out", str(out), "--dry-run"]) == 0
        for method in shlex.split(row)[1].split(","):
            assert method in script, method
    for words in ("2000000", "0,1,2,3,4,5,6,7,8,9", "--balance critic", "--temperatures task --batch balanced"):
        assert words in script
