"""Numbers that are not finite end a run with one line; its last checkpoint is kept and resumes with other settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mtrl_conic import MTSAC
from mtrl_conic.cli import main
from mtrl_conic.errors import Diverged, UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.configuration import keys_of
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.schema import Role, parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.sound import unsound
from mtrl_conic.training.trainer import Trainer
from tests.training.conftest import TASKS, tiny_values

Output = pytest.CaptureFixture[str]


@pytest.fixture
def preset(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values(steps=60)))
    return str(file)


def said(capsys: Output) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_state_is_looked_through() -> None:
    state = {"a": {"b": [torch.ones(2), {"c": torch.tensor([1.0, torch.nan])}]}, "n": 3, "whole": torch.ones(2).long()}
    assert unsound(state) == "a.b.1.c"
    assert unsound({"a": state["n"], "b": (torch.ones(1),)}) == ""
    assert unsound({"a": torch.tensor(-torch.inf)}) == "a"


def test_a_run_that_diverged_goes_on_with_another_learning_rate(
    preset: str, tmp_path: Path, capsys: Output, caplog: pytest.LogCaptureFixture
) -> None:
    run, command = tmp_path / "run", ["train", preset, "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--learning-rate", "1e30"]) == 1
    line = said(capsys)
    assert line.startswith("mtrl-conic: error: training diverged at step ")
    assert any(task in line for task in TASKS)
    assert "critic" in line or "actor" in line
    assert "lower the learning rate" in line
    assert "--allow-changes" in line
    before = (run / "checkpoints" / "latest.pt").read_bytes()

    assert main(command) == 2
    assert "agent.learning_rate is 1e+30 there, 0.0003 here" in (line := said(capsys))
    assert "or add --allow-changes to resume with the change" in line
    assert main([*command, "--learning-rate", "1e-4", "--width", "8", "--allow-changes"]) == 2
    assert "agent.width is 16 there" in said(capsys), "no setting but what an agent is made of"
    assert (run / "checkpoints" / "latest.pt").read_bytes() == before

    assert main([*command, "--learning-rate", "1e-4", "--allow-changes"]) == 0
    change = json.loads((run / "changes.jsonl").read_text())
    assert change == {"step": 25, "changes": {"agent.learning_rate": [1e30, 1e-4]}}
    assert yaml.safe_load((run / "config.yaml").read_text())["agent"]["learning_rate"] == 1e-4
    saved = read_checkpoint(run)
    assert saved is not None
    for component in ("critic", "actor"):
        (group,) = saved["agent"][component]["optimizer"]["param_groups"]
        assert group["lr"] == 1e-4
    assert not unsound(saved["agent"])

    capsys.readouterr()
    assert main([*command, "--learning-rate", "1e30", "--steps", "70"]) == 0, "the command that it began with"
    assert "keeps the earlier change of agent.learning_rate" in caplog.text
    assert json.loads((run / "result.json").read_text())["step"] == 70
    assert len((run / "changes.jsonl").read_text().splitlines()) == 1
    assert main(["report", str(run), "--out", str(tmp_path / "report.md")]) == 0
    assert "agent.learning_rate from 1e+30 to 0.0001 at step 25" in (tmp_path / "report.md").read_text()


CHANGES = {
    "agent.actor_every": 2,
    "agent.actor_twins": "first",
    "agent.actor_weight_decay": 0.1,
    "agent.batch_size": 3,
    "agent.discount": 0.9,
    "agent.learning_rate": 1e-4,
    "agent.n_step": 2,
    "agent.precision": "bfloat16",
    "agent.priority_exponent": 0.6,
    "agent.reset_every": 20,
    "agent.target_entropy": -3.0,
    "agent.target_rate": 0.01,
    "agent.temperature_learning_rate": 1e-4,
    "agent.twins": "mean",
    "agent.updates_per_step": 2,
    "agent.weight_decay": 0.1,
    "training.evaluate_every": 20,
    "training.training_episodes_per_task": 3,
}
"""Another value of every setting."""


def test_every_setting_is_documented_and_may_be_changed(preset: str, tmp_path: Path) -> None:
    settings = keys_of(RunConfig, Role.SETTING)
    docs = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    (named,) = re.findall(r"`--allow-changes` accepts changes of (.*?); for supervised runs", docs, re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(key.split(".")[1] for key in settings)
    assert settings == CHANGES.keys()
    run, command = tmp_path / "run", ["train", preset, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    of = {key.split(".")[1].replace("_", "-"): str(value) for key, value in CHANGES.items()}
    flags = [word for name, value in of.items() for word in (f"--{name}", value)]
    assert main([*command, "--steps", "110", *flags, "--allow-changes"]) == 0
    change = json.loads((run / "changes.jsonl").read_text())
    assert change["step"] == 60
    assert {key: now for key, (_, now) in change["changes"].items()} == CHANGES
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    seen = [(each["step"], each["episodes_per_task"]) for each in evaluations]
    assert seen == [(50, 1), (60, 2), (80, 3), (100, 3), (110, 2)], "every 50 steps before, every 20 after"


def test_a_comparison_goes_on_with_a_run_that_was_changed(preset: str, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "out"
    command = ["compare", preset, "--balancers", "ls", "--learning-rate", "1e30", "--jobs", "1", "--out", str(out)]
    assert main(command) == 1
    (config,) = out.rglob("config.yaml")
    run = str(config.parent)
    assert main(["train", str(config), "--run-dir", run, "--learning-rate", "1e-4", "--allow-changes"]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert "1 runs in" in (shown := capsys.readouterr().out)
    assert "1 finished" in shown


def test_no_checkpoint_of_bad_numbers_takes_the_place_of_a_good_one(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(steps=60))
    train(config.model_copy(update={"steps": 40}), tmp_path / "run")
    before = (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes()

    class Now(Callback):
        def on_step(self, trainer: Trainer) -> None:
            with torch.no_grad():
                trainer.agent._target_block[0] = torch.inf  # type: ignore[attr-defined]  # as an optimiser's step may
            trainer.stop("enough")

    with pytest.raises(Diverged, match=r"training diverged at step 41: .*not finite"):
        train(config, tmp_path / "run", callbacks=[Now()])
    assert (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes() == before
    train(config, tmp_path / "run")


def test_actions_that_are_not_finite_name_the_tasks(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(steps=60))

    class Now(Callback):
        def on_start(self, trainer: Trainer) -> None:
            made = trainer.agent.act

            def act(observations: Any, **given: Any) -> Any:
                actions = np.array(made(observations, **given))
                actions[1] = np.nan
                return actions

            trainer.agent.act = act  # type: ignore[method-assign]

    with pytest.raises(Diverged, match=rf"at step \d+: the policy's actions for {TASKS[1]} are not finite; lower"):
        train(config, tmp_path / "run", callbacks=[Now()])


def test_a_supervised_run_that_diverged_goes_on(tmp_path: Path, capsys: Output) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,c,d\n" + "".join(f"{i},{i * i % 7},{i % 3},{(i * 5) % 11}\n" for i in range(40)))
    run = ["--run-dir", str(tmp_path / "run"), "--epochs", "3", "--batch-size", "8"]
    command = ["supervised", "regression", "--data", str(table), "--targets", "a,b", "--balancers", "pcgrad", *run]
    assert main([*command, "--learning-rate", "1e30"]) == 1
    line = said(capsys)
    assert line.startswith("mtrl-conic: error: training diverged after epoch 0: ")
    assert "(a" in line or "of a" in line or "b" in line
    assert "--allow-changes" in line
    assert main([*command, "--learning-rate", "1e-3"]) == 2
    assert "--allow-changes" in said(capsys)
    assert main([*command, "--learning-rate", "1e-3", "--allow-changes"]) == 0
    change = json.loads((tmp_path / "run" / "changes.jsonl").read_text())
    assert change["changes"] == {"learning_rate": [1e30, 1e-3]}
    assert main([*command[:-6], "--out", str(tmp_path / "out"), "--allow-changes"]) == 2
    assert "--allow-changes needs --run-dir" in capsys.readouterr().err


def test_the_state_of_another_agent_is_told(tmp_path: Path, capsys: Output) -> None:
    values = tiny_values(steps=30)
    train(parse(RunConfig, values), tmp_path / "a")
    train(parse(RunConfig, {**values, "agent": {**values["agent"], "width": 8}}), tmp_path / "b")
    latest = Path("checkpoints") / "latest.pt"
    (tmp_path / "a" / latest).write_bytes((tmp_path / "b" / latest).read_bytes())
    for command in (["evaluate"], ["export", "--out", str(tmp_path / "policy")]):
        assert main([command[0], str(tmp_path / "a"), *command[1:]]) == 2
        line = said(capsys)
        assert "is the state of another agent: critic.network." in line, command
        assert " there, " in line

    small, large = (MTSAC("mt1:reach-v3", width=width, depth=1, device="cpu") for width in (4, 8))
    with pytest.raises(UserError, match=r"critic\.network\..* has shape .* there, .* here"):
        large.load_state_dict(small.state_dict())
    with pytest.raises(UserError, match=r"another agent: (generator|updates) is missing"):
        large.load_state_dict({})
    small.save(tmp_path / "agent.pt")
    state = torch.load(tmp_path / "agent.pt", weights_only=True)
    state["config"]["width"] = 8
    torch.save(state, tmp_path / "agent.pt")
    with pytest.raises(UserError, match=r"agent\.pt: this is the state of another agent: critic\.network"):
        MTSAC.load(tmp_path / "agent.pt", device="cpu")
