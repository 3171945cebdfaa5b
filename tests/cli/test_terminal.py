"""Tests that output fits a terminal of 80 columns, and has no colours if the user wants none."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from mtrl_conic.cli import main
from mtrl_conic.envs.names import MT10
from tests.report.conftest import write_run


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_watch_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", "conicgrad", 0, tasks=MT10, rated=MT10, task_set="mt10")
    with (run / "metrics.jsonl").open("a") as file:
        names = ("critic/weight", "actor/weight", "critic/loss", "temperature", "training/success", "training/return")
        values = {name: dict.fromkeys(MT10, 0.123456) for name in names}
        file.write(json.dumps({"step": 150, "time": 15.0, "steps_per_second": 10.0, **values}) + "\n")
    lines = shown(capsys, monkeypatch, "watch", str(run))
    table = lines[next(number for number, line in enumerate(lines) if "success" in line and "task" not in line) :]
    assert max(map(len, table)) <= 80
    for task in MT10:
        (row,) = [line for line in table if line.split()[:1] == [task.removesuffix("-v3")]]
        assert len(row.split()) == 7, "a cell per column, none broken"
    words = {word for line in table for word in line.split()}
    assert {"success", "training", "critic", "actor", "weight", "loss", "temperature"} <= words, "no word is broken"


def test_describe_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(capsys, monkeypatch, "describe", "mt10_small", "--task-set", "mt50")
    assert "50 tasks, " in lines[1]
    assert lines[1].endswith("... (50 in all)")
    table = lines[2:]
    assert max(map(len, table)) <= 80
    (row,) = [line for line in table if "twins.1.trunk.layers.1.linear.weight" in line]
    assert row.split()[1:] == ["256", "x", "256", "shared", "conicgrad", "65,536"]


def test_no_color(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run", "ls", 0)
    colour = re.compile(r"\x1b\[(?:[013];)?3\d")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = "\n".join(shown(capsys, monkeypatch, "runs", str(tmp_path)))
    assert colour.search(coloured)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["trian"]) == 2
    assert colour.search(capsys.readouterr().err)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = "\n".join(shown(capsys, monkeypatch, "runs", str(tmp_path)))
    assert not colour.search(plain)
    assert "finished" in plain
    assert main(["trian"]) == 2
    assert not colour.search(capsys.readouterr().err)


def test_many_tasks_are_counted_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from mtrl_conic.cli.display import _rates

    rates = {f"task-{number}": number / 40 for number in range(40)}
    assert _rates(rates) == "8 of 40 tasks at 0.8 or more, 1 at 0"
    assert _rates({"reach-v3": 0.5}) == "reach 0.50"
