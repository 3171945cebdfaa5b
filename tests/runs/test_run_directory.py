"""Tests of the run directory: one process claims it, files are replaced whole, refusals take one line."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from mtrl_conic.errors import UserError
from mtrl_conic.runs.directory import RunDirectory
from mtrl_conic.runs.earlier import completed
from mtrl_conic.runs.stored import read_checkpoint, read_config, read_result

CONFIG = completed(
    {
        "kind": "reinforcement",
        "balancer": "ls",
        "balancer_options": {},
        "seed": 0,
        "steps": 9,
        "agent": {"width": 3},
    }
)


def test_same_configuration_is_taken_up_again(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "a", CONFIG).close()
    assert read_config(tmp_path / "a") == CONFIG
    RunDirectory(tmp_path / "a", CONFIG).close()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({**CONFIG, "balancer": "pcgrad"}, "balancer is 'ls' there, 'pcgrad' here"),
        ({**CONFIG, "agent": {**CONFIG["agent"], "width": 4}}, "agent.width is 3 there, 4 here"),
        ({**CONFIG, "balancer_options": {"c": 1}}, "balancer_options.c is None there, 1 here"),
    ],
)
def test_another_configuration_is_refused(other: dict[str, object], words: str, tmp_path: Path) -> None:
    RunDirectory(tmp_path, CONFIG).close()
    with pytest.raises(UserError, match="contains another configuration") as caught:
        RunDirectory(tmp_path, other)
    assert words in str(caught.value)
    assert read_config(tmp_path) == CONFIG
    RunDirectory(tmp_path, CONFIG).close()  # the refusal released the lock


def test_where_it_runs_may_change(tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        RunDirectory(tmp_path, {**CONFIG, "execution": {"device": device}}, free=("execution.device",)).close()


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        RunDirectory(tmp_path, CONFIG)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, CONFIG)
    with pytest.raises(UserError, match=f"being written by process {os.getpid()}"):
        RunDirectory(tmp_path, CONFIG)
    run.close()
    RunDirectory(tmp_path, CONFIG).close()


def test_a_short_look_at_the_lock_is_no_refusal(tmp_path: Path) -> None:
    RunDirectory(tmp_path, CONFIG).close()
    with (tmp_path / ".lock").open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (look.fileno(), fcntl.LOCK_UN)).start()
        RunDirectory(tmp_path, CONFIG).close()


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from mtrl_conic.runs.directory import RunDirectory;"
        f"r = RunDirectory({str(tmp_path)!r}, {CONFIG!r}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    RunDirectory(tmp_path, CONFIG).close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_no_permission() -> None:
    """The directory is in /proc because root, who can write anywhere else, cannot write there either."""
    with pytest.raises(UserError, match="cannot write to run directory"):
        RunDirectory("/proc/run", CONFIG)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="cannot write to run directory"):
        RunDirectory(tmp_path / "a", CONFIG)


def test_rewinding_drops_later_and_broken_lines(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, CONFIG)
    for step in (1, 2, 3):
        run.append("metrics", {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "torn')
    run.rewind("metrics", 2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    run.rewind("evaluations", 2)
    assert not (tmp_path / "evaluations.jsonl").exists()
    run.close()


def test_rewinding_long_records_takes_no_more_room_than_a_line(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, CONFIG)
    line = json.dumps({"step": 0, "pad": "x" * 10_000}) + "\n"
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(line.replace("0", str(step), 1) for step in range(500)))
    tracemalloc.start()
    run.rewind("metrics", 400)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    run.close()
    assert most < file.stat().st_size / 4
    assert len(file.read_text().splitlines()) == 401


def test_a_checkpoint_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of writing leaves the previous checkpoint."""
    run = RunDirectory(tmp_path, CONFIG)
    assert run.load_checkpoint() is None
    run.save_checkpoint({"step": 1, "weights": torch.ones(3)})

    class Crash(Exception):
        pass

    def torn(state: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise Crash

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(Crash):
        run.save_checkpoint({"step": 2})
    saved = read_checkpoint(tmp_path)
    assert saved is not None
    assert saved["step"] == 1
    run.close()


def test_result(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, CONFIG)
    assert run.result is None
    run.finish({"step": 3, "seconds": 1.5})
    assert read_result(tmp_path) == {"step": 3, "seconds": 1.5}
    run.close()


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        read_config(tmp_path / "nothing")


def test_a_refused_run_leaves_nothing_unless_it_had_begun(tmp_path: Path) -> None:
    refused = RunDirectory(tmp_path / "a", CONFIG)
    refused.withdraw()
    refused.close()
    assert not (tmp_path / "a").exists()

    RunDirectory(tmp_path / "planned", CONFIG).close()
    planned = RunDirectory(tmp_path / "planned", CONFIG)
    planned.withdraw()
    planned.close()
    begun = RunDirectory(tmp_path / "begun", CONFIG)
    begun.append("metrics", {"step": 1})
    begun.withdraw()
    begun.close()
    assert (tmp_path / "planned" / "config.yaml").is_file()
    assert (tmp_path / "begun" / "config.yaml").is_file()


def test_a_kill_while_the_configuration_was_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml.tmp").write_text("kind: rein")
    RunDirectory(tmp_path, CONFIG).close()
    assert read_config(tmp_path) == CONFIG


@pytest.mark.parametrize(
    "line", ['{"step": "x"}', "[]", "{", '{"step": -1}', '{"step": 3, "time": "x"}', "9" * 5000, "[" * 20_000]
)
def test_a_line_that_is_no_record_is_named_and_nothing_is_dropped(line: str, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, CONFIG)
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n{{"half')
    before = file.read_text()
    for read in (lambda: run.records("metrics"), lambda: run.rewind("metrics", 1)):
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2,"):
            read()
    assert file.read_text() == before
    run.close()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("result.json", "[]", "is not a result"),
        ("result.json", '{"step": "x", "seconds": 1}', "its step is not a number"),
        ("result.json", "{", "not valid JSON"),
        ("config.yaml", "kind: reinforcement\n", "is damaged: it has no balancer"),
        ("config.yaml", "kind: [1]\n", "its kind is not one of"),
    ],
)
def test_a_damaged_file_is_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    RunDirectory(tmp_path, CONFIG).close()
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_result(tmp_path) if name == "result.json" else read_config(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
