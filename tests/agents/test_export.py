"""Tests that an exported policy is described next to the files that it is loaded from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic.agents.export import export_policy
from mtrl_conic.errors import UserError
from tests.agents.test_policy import make_agent

RUN: dict[str, Any] = {
    "task_set": ["gymnasium:one", "gymnasium:three"],
    "environment": {"time_limit": None},
    "training": {"episodes_per_task": 20},
}
RESULT = {
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


def test_the_card_says_what_was_trained_and_what_it_reached(tmp_path: Path) -> None:
    files = export_policy(make_agent().policy(), tmp_path, run=RUN, result=RESULT)
    assert sorted(files) == sorted(tmp_path.iterdir())
    card = (tmp_path / "README.md").read_text()
    for words in (
        "| network | shared |",
        "| balancer | ls |",
        "| seed | 4 |",
        "| one | 2 | 1 |",
        "| three | 4 | 3 |",
        "| one | 0.25 | 0.20 | 17.2 |",
        "| three | - | - | -3.5 |",
        "No success is defined for three.",
        "12,000 environment steps",
        "20 episodes per task",
        "torch 2.13.0",
        "the limit of the task or of its environment",
    ):
        assert words in card, words
    export_policy(make_agent().policy(), tmp_path)
    assert "Not evaluated." in (tmp_path / "README.md").read_text()


def test_the_code_on_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waves_of_mine.py").write_text("registered = True\n")
    export_policy(make_agent().policy(), tmp_path, run={**RUN, "imports": ["some/where/waves_of_mine.py"]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    namespace: dict[str, Any] = {}
    exec((tmp_path / "README.md").read_text().split("```")[1].removeprefix("python\n"), namespace)
    assert namespace["action"].shape == (1,)
    assert abs(namespace["action"]).max() <= 2
    assert namespace["waves_of_mine"].registered, "networks of the user's own are registered first"


def test_onnx_of_all_tasks_and_of_one(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    files = export_policy(make_agent().policy(), tmp_path, onnx=True, onnx_tasks=["three"])
    assert {"policy.onnx", "three.onnx"} <= {file.name for file in files}
    card = (tmp_path / "README.md").read_text()
    assert "`policy.onnx` maps `observations` (K, B, D)" in card
    assert "`three.onnx` maps `observations` (B, d)" in card


def test_an_unknown_task_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'thre'; did you mean 'three'"):
        export_policy(make_agent().policy(), tmp_path, onnx_tasks=["thre"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"onnx": True}, {"onnx_tasks": ["one"]}])
def test_a_missing_package_is_noticed_before_anything_is_written(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="onnxscript is not installed"):
        export_policy(make_agent().policy(), tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
