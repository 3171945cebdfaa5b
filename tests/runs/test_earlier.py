"""Tests that files of earlier versions are still read, which kept the execution settings in several sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import Interrupted, UserError
from mtrl_conic.runs.config import RunConfig, make_config
from mtrl_conic.runs.earlier import in_their_places
from mtrl_conic.runs.run import train
from mtrl_conic.runs.stored import read_config
from mtrl_conic.schema import parse
from tests.runs.test_run import lines
from tests.training.conftest import tiny_values


def as_before(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration as an earlier version wrote them."""
    execution = {key: value for key, value in values["execution"].items() if key != "worker_timeout"}  # is newer
    sections: dict[str, dict[str, Any]] = {"environment": {}, "agent": {}}
    for name in ("stepping", "stepping_threads", "vector"):
        sections["environment"][name] = execution.pop(name)
    for name in ("compile", "record_updates"):
        sections["agent"][name] = execution.pop(name)
    others = {key: value for key, value in values.items() if key != "execution"}
    return {**others, **execution, **{name: {**values[name], **moved} for name, moved in sections.items()}}


def test_a_run_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(steps=60, execution={"stepping_threads": 2, "compile": False}))
    asked = iter(range(10_000))
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", interrupted=lambda: next(asked) > 44)
    file = tmp_path / "run" / "config.yaml"
    before = as_before(config.model_dump(mode="json"))
    assert before["threads"] == 1
    assert before["environment"]["stepping_threads"] == 2
    file.write_text(yaml.safe_dump(before, sort_keys=False))
    assert parse(RunConfig, read_config(tmp_path / "run")) == config
    train(config, tmp_path / "run")
    train(config, tmp_path / "whole")
    for name in ("metrics", "evaluations"):
        assert lines(tmp_path / "run", name) == lines(tmp_path / "whole", name)


def test_a_run_of_before_fields_were_there_goes_on(tmp_path: Path) -> None:
    """A new field's default is what earlier versions did, so a configuration without the field means the default."""
    config = parse(RunConfig, tiny_values(steps=40))
    train(config, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    written = yaml.safe_load(file.read_text())
    for name in ("temperatures", "batch", "log_std", "deviation_rate"):
        del written["agent"][name]
    for name in ("algorithm", "algorithm_options"):
        del written[name]
    file.write_text(yaml.safe_dump(written, sort_keys=False))
    more = config.model_copy(update={"steps": 60})
    assert train(more, tmp_path / "run")["step"] == 60
    assert yaml.safe_load(file.read_text())["agent"]["temperatures"] == "task"
    file.write_text(yaml.safe_dump(written, sort_keys=False))
    other = parse(RunConfig, tiny_values(steps=80, agent={"temperatures": "shared"}))
    with pytest.raises(UserError, match=r"agent\.temperatures is 'task' there, 'shared' here"):
        train(other, tmp_path / "run")


def test_a_file_of_ones_own_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"task_set": "mt10", "threads": 2, "agent": {"width": 8, "compile": False}}))
    config = make_config(str(file), {"execution": {"device": "cpu"}})
    assert (config.execution.threads, config.execution.compile, config.execution.device) == (2, False, "cpu")
    assert config.agent.width == 8


def test_nothing_else_is_moved() -> None:
    today = parse(RunConfig, tiny_values()).model_dump(mode="json")
    assert in_their_places(today) == today
    assert in_their_places({"threads": 2, "execution": {"threads": 1}}) == {"execution": {"threads": 1}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"threads": 2}, "unknown key 'threads'; did you mean 'execution.threads'"),
        ({"agent": {"compile": False}}, "unknown key 'agent.compile'; did you mean 'execution.compile'"),
    ],
)
def test_elsewhere_the_place_is_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_config("mt10", given)


def test_an_agent_that_an_earlier_version_saved_is_loaded(tmp_path: Path) -> None:
    agent = MTSAC(TaskSpec(("a", "b"), 3, 2, one_hot=False), balancer="ls", width=4, device="cpu")
    agent.save(tmp_path / "agent.pt")
    saved = torch.load(tmp_path / "agent.pt", weights_only=True)
    saved["config"] |= {"compile": "auto", "record_updates": False}
    torch.save(saved, tmp_path / "earlier.pt")
    again = MTSAC.load(tmp_path / "earlier.pt", device="cpu")
    assert again.config == agent.config
