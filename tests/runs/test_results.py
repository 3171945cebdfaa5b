"""Tests that a damaged result is named even if it is valid JSON, and that the other runs are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic.errors import UserError
from mtrl_conic.report.sources import find
from mtrl_conic.runs.results import check_result
from tests.report.conftest import write_run


def damage(file: Path, changed: dict[str, Any], *, line: int | None = None) -> None:
    lines = [json.loads(text) for text in ([file.read_text()] if line is None else file.read_text().splitlines())]
    place = line or 0
    lines[place] = {key: value for key, value in {**lines[place], **changed}.items() if value != "gone"}
    file.write_text("".join(json.dumps(each) + "\n" for each in lines))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"success_at_end": "gone"}, "it has no success_at_end"),
        ({"returns": {"reach-v3": 1.0}}, "its success is of other tasks"),
        ({"returns": [1]}, "its returns is '[1]'"),
        ({"seconds_by_part": {"stepping": "x"}}, "its seconds_by_part is"),
        ({"machine": {}}, "its machine is '{}'"),
        ({"mean_success": "x"}, "its mean_success is 'x'"),
    ],
)
def test_a_damaged_result_of_an_agent(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    whole, damaged = write_run(tmp_path / "a", "ls", 0), write_run(tmp_path / "b", "ls", 1)
    check_result(json.loads((whole / "result.json").read_text()), "reinforcement", whole)
    damage(damaged / "result.json", changed)
    found = find([tmp_path])
    assert found.directories == [whole]
    (said,) = found.skipped
    assert str(damaged / "result.json") in said
    assert words in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"success": {"reach-v3": 1.0}}, "its success is of other tasks"),
        ({"success_at_end": 3}, "its success_at_end is '3'"),
        ({"time": "gone"}, "its time is 'None'"),
    ],
)
def test_a_damaged_evaluation(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    whole, damaged = write_run(tmp_path / "a", "ls", 0), write_run(tmp_path / "b", "ls", 1)
    damage(damaged / "evaluations.jsonl", changed, line=1)
    found = find([tmp_path])
    assert found.directories == [whole]
    assert f"{damaged / 'evaluations.jsonl'}, line 2, is damaged: {words}" in found.skipped[0]


def test_a_result_without_evaluations(tmp_path: Path) -> None:
    damaged = write_run(tmp_path / "a", "ls", 0)
    (damaged / "evaluations.jsonl").unlink()
    with pytest.raises(UserError, match=r"has a result, but .* contains no evaluation"):
        find([tmp_path])


SUPERVISED = {
    "step": 1,
    "seconds": 1.0,
    "metrics": {"a r2": 0.5},
    "measured": [{"name": "a r2", "task": "a"}],
    "selected_epochs": {"a": 1},
    "facts": ["x"],
    "seconds_per_epoch": 1.0,
    "cpu_seconds_per_epoch": 1.0,
    "peak_memory_bytes": 1,
}


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_damaged_supervised_result(name: str) -> None:
    check_result(SUPERVISED, "supervised", Path("r.json"))
    for changed in ({**SUPERVISED, name: "x"}, {key: value for key, value in SUPERVISED.items() if key != name}):
        with pytest.raises(UserError, match=rf"r\.json is damaged: it.* {name}"):
            check_result(changed, "supervised", Path("r.json"))
