"""Ready callbacks on whole runs: stopped early, the best kept and evaluated, nothing left open by one that raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mtrl_conic import MTSAC, make_task_set
from mtrl_conic.agents.mtsac import agent as agents
from mtrl_conic.cli import main
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution import Eager
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.schema import parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.ready import CheckpointEvery, KeepBest, StopAt, StopWithoutImprovement, value_of
from mtrl_conic.training.trainer import Trainer
from tests.training.conftest import tiny_values


def test_a_threshold_ends_the_run_normally(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values())
    result = train(config, tmp_path, callbacks=[StopAt(-1e9, metric="mean_return")])
    assert result["step"] == 50
    assert result["stopped"].startswith("mean_return ")
    assert json.loads((tmp_path / "result.json").read_text())["stopped"] == result["stopped"]
    evaluations = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["step"], line["episodes_per_task"]) for line in evaluations] == [(50, 1), (50, 2)]
    assert train(config, tmp_path) == json.loads((tmp_path / "result.json").read_text()), "it is finished"
    longer = train(parse(RunConfig, tiny_values(steps=160)), tmp_path)
    assert (longer["step"], longer.get("stopped")) == (160, None)


def test_a_threshold_that_the_final_evaluation_reaches_ends_nothing(tmp_path: Path) -> None:
    class OnlyFinal(StopAt):
        def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
            if record["episodes_per_task"] == 2:
                super().on_evaluation(trainer, record)

    result = train(parse(RunConfig, tiny_values()), tmp_path, callbacks=[OnlyFinal(-1e9, metric="mean_return")])
    assert "stopped" not in result


def test_without_improvement() -> None:
    class Told(Trainer):
        def __init__(self) -> None:
            self.stopped = None

    trainer, callback = Told(), StopWithoutImprovement(2, least=0.1)
    for step, value in enumerate([0.2, 0.5, 0.55, 0.7, 0.7, 0.6]):
        assert trainer.stopped is None, step
        callback.on_evaluation(trainer, {"step": step, "mean_success": value})
    assert trainer.stopped == "mean_success has not risen above 0.7 for 2 evaluations"


class Rates(Callback):
    """Makes up what each evaluation found, and keeps the actor of each."""

    def __init__(self, values: dict[int, float]) -> None:
        self.values, self.actors = values, dict[int, dict[str, torch.Tensor]]()

    def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
        record["mean_return"] = self.values[record["step"]]
        weights = trainer.agent.policy().state_dict()
        self.actors.setdefault(record["step"], {name: value.clone() for name, value in weights.items()})


def test_the_best_is_kept_and_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = Rates({50: 1.0, 100: 3.0, 150: 2.0})
    train(parse(RunConfig, tiny_values()), tmp_path, callbacks=[rates, KeepBest(metric="mean_return")])
    saved = read_checkpoint(tmp_path, tmp_path / "checkpoints" / "best.pt")
    assert saved is not None
    assert (saved["step"], saved["chosen_by"], saved["value"]) == (100, "mean_return", 3.0)
    _, agent, envs = load_agent(tmp_path, checkpoint=tmp_path / "checkpoints" / "best.pt", device="cpu")
    envs.close()
    assert isinstance(agent, agents.MTSAC)
    weights = agent.policy().state_dict()
    assert all(torch.equal(weights[name], kept) for name, kept in rates.actors[100].items())
    assert any(not torch.equal(weights[name], kept) for name, kept in rates.actors[150].items())
    assert main(["evaluate", str(tmp_path), "--checkpoint", "best", "--episodes-per-task", "1"]) == 0
    shown = capsys.readouterr().out
    assert "agent, checkpoint best" in shown
    assert "best: selected and scored" in shown
    assert main(["evaluate", str(tmp_path), "--checkpoint", "bets"]) == 2
    assert "bets.pt is not a checkpoint" in capsys.readouterr().err


def test_checkpoints_are_kept(tmp_path: Path) -> None:
    train(parse(RunConfig, tiny_values(steps=100)), tmp_path, callbacks=[CheckpointEvery(40)])
    assert {file.name for file in (tmp_path / "checkpoints").glob("*.pt")} == {
        "latest.pt",
        "previous.pt",
        "step_40.pt",
        "step_80.pt",
    }


def test_a_callback_that_raises_leaves_nothing_open(tmp_path: Path) -> None:
    """Neither at the start, nor at a step, nor at the end: the others are closed, and the run goes on."""
    closed: list[str] = []

    class Closes(Callback):
        def on_stop(self, trainer: Trainer) -> None:
            closed.append("closed")

    def raising(when: str) -> Callback:
        def fail(*_: Any) -> None:
            raise ZeroDivisionError(when)

        return type("Raises", (Callback,), {when: fail})()

    config = parse(RunConfig, tiny_values(steps=60, execution={"overlap": True}))
    for when in ("on_start", "on_step", "on_evaluation", "on_stop"):
        closed.clear()
        with pytest.raises(ZeroDivisionError):
            train(config, tmp_path / when, callbacks=[Closes(), raising(when), Closes()])
        assert len(closed) == (1 if when == "on_start" else 2), when
        assert train(config, tmp_path / when)["step"] == 60


def test_what_a_metric_may_be() -> None:
    record = {"step": 1, "mean_success": 0.5, "success": {"reach-v3": 0.25}, "returns": {"reach-v3": 3.0}}
    assert value_of(record, "mean_success") == 0.5
    assert value_of(record, "success/reach-v3") == 0.25
    with pytest.raises(UserError, match="did you mean 'mean_success'"):
        value_of(record, "mean_sucess")


def test_learn_evaluates_stops_and_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    envs = make_task_set("gymnasium:Pendulum-v1", seed=0, time_limit=20)
    agent = MTSAC(envs, balancer="ls", width=8, batch_size=4, random_steps=10, execution=Eager())

    class Told(Callback):
        def __init__(self) -> None:
            self.told: list[tuple[int, int]] = []

        def on_evaluation(self, trainer: Trainer, record: dict[str, Any]) -> None:
            self.told.append((record["step"], record["episodes_per_task"]))

    told = Told()
    agent.learn(50, evaluate_every=20, callbacks=[told], progress=True)
    assert told.told == [(20, 10), (40, 10), (50, 50)]
    assert "50/50" in capsys.readouterr().out
    first, again = agent.evaluate(2), agent.evaluate(2)
    assert first["returns"] == again["returns"]
    assert first["episodes_per_task"] == 2
    agent.learn(50, evaluate_every=20, callbacks=[StopAt(-1e9, metric="mean_return")])
    assert agent._trainer is not None
    assert (agent._trainer.step, agent._trainer.stopped is None) == (60, False)
    agent.learn(10)
    assert agent._trainer.step == 70
    with pytest.raises(UserError, match="no task set"):
        MTSAC(TaskSpec.of(envs)).evaluate()
