"""Tests that a larger budget extends an existing run, and that budget and execution are not part of its identity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import open_run
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import is_finished, read_config
from mtrl_conic.schema import parse
from tests.runs.test_run import lines
from tests.training.conftest import tiny_values


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished run of 100 steps."""
    directory = tmp_path_factory.mktemp("short")
    train(parse(RunConfig, tiny_values(steps=100)), directory)
    return directory


def test_a_finished_run_goes_on_with_more_steps_and_equals_the_longer_one(short: Path, tmp_path: Path) -> None:
    shutil.copytree(short, tmp_path / "extended")
    before = json.loads((short / "result.json").read_text())
    result = train(parse(RunConfig, tiny_values()), tmp_path / "extended")
    assert result["step"] == 150
    train(parse(RunConfig, tiny_values()), tmp_path / "longer")
    assert lines(tmp_path / "extended", "metrics") == lines(tmp_path / "longer", "metrics")
    final, longer = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("extended", "longer"))
    assert (final["success"], final["returns"]) == (longer["success"], longer["returns"])
    evaluations = lines(tmp_path / "extended", "evaluations")
    assert [(record["step"], record["episodes_per_task"]) for record in evaluations] == [(50, 1), (100, 2), (150, 2)]
    assert json.loads((tmp_path / "extended/earlier_results.jsonl").read_text()) == before
    assert read_config(tmp_path / "extended")["steps"] == 150


def test_an_extension_that_is_killed_goes_on_too(short: Path, tmp_path: Path) -> None:
    """The kill comes right after the earlier result is set aside; the final evaluation of that result is kept."""
    shutil.copytree(short, tmp_path / "run")
    config = parse(RunConfig, tiny_values())
    extended = open_run(tmp_path / "run", config)
    extended.go_on()
    extended.close()
    train(config, tmp_path / "run")
    assert [record["step"] for record in lines(tmp_path / "run", "evaluations")] == [50, 100, 150]


def test_a_refused_extension_leaves_the_result(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is refused before the first step: here the environments cannot be made, or the replay does not fit."""
    shutil.copytree(short, tmp_path / "run")
    file = tmp_path / "longer.yaml"
    file.write_text(yaml.safe_dump(tiny_values()))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}

    def refuse(*arguments: object) -> None:
        raise UserError("it does not work today")

    for place in ("make_evaluation_envs", "make_agent", "check_fits"):
        with monkeypatch.context() as patched:
            patched.setattr(f"mtrl_conic.runs.run.{place}", refuse)
            assert main(["train", str(file), "--run-dir", str(tmp_path / "run")]) == 2
        assert "it does not work today" in capsys.readouterr().err
        after = {path: path.read_bytes() for path in before}
        changed = {path.name for path in before if after[path] != before[path]}
        assert changed <= {"provenance.jsonl"}
    assert train(parse(RunConfig, tiny_values()), tmp_path / "run")["step"] == 150


def test_an_extension_that_is_taken_back_restores_the_result(short: Path, tmp_path: Path) -> None:
    """It was killed before another checkpoint, and the first command is given again: nothing is evaluated twice."""
    shutil.copytree(short, tmp_path / "run")
    extended = open_run(tmp_path / "run", parse(RunConfig, tiny_values()))
    extended.go_on()
    extended.close()
    assert not (tmp_path / "run/result.json").exists()
    train(parse(RunConfig, tiny_values(steps=100)), tmp_path / "run")
    for name in ("result.json", "evaluations.jsonl"):
        assert (tmp_path / "run" / name).read_text() == (short / name).read_text(), name
    assert read_config(tmp_path / "run")["steps"] == 100


def test_a_smaller_or_equal_budget_leaves_a_finished_run_alone(short: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in short.rglob("*") if file.name != ".lock"}
    for budget in ({"steps": 100}, {"steps": 60}, {"steps": 10**6, "minutes": 1e-4}):
        assert train(parse(RunConfig, tiny_values(**budget)), short)["step"] == 100
    assert {file: file.stat().st_mtime_ns for file in short.rglob("*") if file.name != ".lock"} == before


def test_minutes_are_a_budget_too(short: Path) -> None:
    seconds = json.loads((short / "result.json").read_text())["seconds"]
    for minutes, finished in ((seconds / 60 - 1e-3, True), (seconds / 60 + 1, False), (None, False)):
        assert is_finished(short, parse(RunConfig, tiny_values(steps=10**6, minutes=minutes))) is finished, minutes


def test_how_and_where_it_runs_is_no_identity(short: Path, tmp_path: Path) -> None:
    shutil.copytree(short, tmp_path / "run")
    changed = {
        "execution": {
            "threads": 2,
            "overlap": True,
            "stepping": "metaworld",
            "stepping_threads": 2,
            "compile": False,
            "record_updates": True,
        },
        "training": {"replay": "disk", "log_every": 10},
    }
    train(parse(RunConfig, tiny_values(steps=100, **changed)), tmp_path / "run")
    with pytest.raises(UserError, match=r"agent.width is 16 there, 17 here"):
        train(parse(RunConfig, tiny_values(steps=100, agent={"width": 17})), tmp_path / "run")


def test_a_stopped_run_is_extended_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, directory = tmp_path / "tiny.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(tiny_values()))
    for steps in (60, 90):
        arguments = ["train", str(file), "--run-dir", str(directory), "--steps", str(steps)]
        assert main(arguments) == 0
        assert f"after {steps} steps per task" in capsys.readouterr().out
    train(parse(RunConfig, tiny_values(steps=90)), tmp_path / "whole")
    assert lines(directory, "metrics") == lines(tmp_path / "whole", "metrics")


def test_a_comparison_is_extended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "tiny.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(tiny_values()))
    for steps, said in ((60, "1 runs in"), (90, "1 runs in"), (90, "1 finished")):
        arguments = [str(file), "--out", str(out), "--balancers", "conicgrad:c=0.25", "--steps", str(steps)]
        assert main(["compare", *arguments, "--jobs", "1"]) == 0
        assert said in capsys.readouterr().out
    (run,) = out.glob("*/seed_*")
    assert run.parent.name == "conicgrad_c=0.25"
    assert json.loads((run / "result.json").read_text())["step"] == 90
    assert len((run / "earlier_results.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("flags", [[], ["--width", "32"]])
def test_a_section_that_is_none_is_refused_with_and_without_flags(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("task_set: mt10\nagent: [1, 2]\nsteps: 60\n")
    assert main(["train", str(file), "--dry-run", *flags]) == 2
    assert "agent=[1, 2]" in capsys.readouterr().err
