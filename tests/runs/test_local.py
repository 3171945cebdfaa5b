"""Tests of comparisons on this machine with runs that are killed, crash or are interrupted."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtrl_conic import workers
from mtrl_conic.cli import main
from mtrl_conic.cli.board import Board
from mtrl_conic.cli.terminal import Terminal
from mtrl_conic.errors import UserError
from mtrl_conic.runs import plan as planning
from mtrl_conic.runs.claim import claim
from mtrl_conic.runs.config import RunConfig, read_preset
from mtrl_conic.runs.directory import RunDirectory, open_run
from mtrl_conic.runs.local import run_locally
from mtrl_conic.runs.plan import Job
from mtrl_conic.runs.pool import End
from mtrl_conic.runs.run import train
from mtrl_conic.runs.status import read_error, read_progress, read_state
from mtrl_conic.supervised.config import SupervisedConfig
from tests.runs.test_run import same_run
from tests.training.conftest import TASKS, tiny_values

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


class Watcher:
    """A watcher that records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, run: Job) -> None:
        self.told.append((run.name, "started"))

    def ended(self, run: Job, end: End, words: str) -> None:
        self.told.append((run.name, end))

    def tick(self, running: Sequence[Job]) -> None:
        pass


class KillsOnce(Watcher):
    """A watcher that kills the process of one run by SIGKILL once the run is past its first checkpoint."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.killed_at = name, 0

    def tick(self, running: Sequence[Job]) -> None:
        for run in running:
            step = read_progress(run.directory).step
            if run.name == self.name and step > 30 and not self.killed_at:
                self.killed_at = step
                os.kill(int((run.directory / ".lock").read_text()), signal.SIGKILL)


@pytest.fixture
def preset(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values(steps=80)))
    return str(file)


def plan(preset: str, given: dict[str, Any], folder: Path) -> list[Job]:
    return planning.plan(RunConfig, read_preset(preset), given, folder)


def never() -> bool:
    return False


def test_two_balancers_by_two_seeds_with_one_killed_in_the_middle(preset: str, tmp_path: Path) -> None:
    runs = claim(plan(preset, {"balancer": ["ls", "conicgrad"], "seed": [0, 1]}, tmp_path / "out"))
    assert len(runs) == 4
    watcher = KillsOnce("conicgrad/seed_0")
    ends = run_locally(runs, jobs=2, threads=1, watcher=watcher, interrupted=never)
    assert ends == {run.name: "finished" for run in runs}
    assert 30 < watcher.killed_at < 80
    told = [what for name, what in watcher.told if name == "conicgrad/seed_0"]
    assert told == ["started", "killed", "started", "finished"]
    for run in runs:
        assert not list(run.directory.glob("err*"))
        assert "Final success" in (run.directory / "output.txt").read_text()
    for run in runs:
        if run.name in ("conicgrad/seed_0", "ls/seed_1"):
            train(run.config, tmp_path / "separate" / run.name)
            assert same_run(run.directory, tmp_path / "separate" / run.name), run.name
    assert claim(runs) == [], "they are not started again"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the child process in /proc")
def test_a_run_that_is_killed_every_time_has_failed(preset: str, tmp_path: Path) -> None:
    class KillsAlways(Watcher):
        def started(self, run: Job) -> None:
            super().started(run)
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)

    watcher = KillsAlways()
    runs = claim(plan(preset, {}, tmp_path / "out"))
    ends = run_locally(runs, jobs=1, threads=1, watcher=watcher, interrupted=never)
    assert ends == {"conicgrad/seed_3": "failed"}
    assert [what for _, what in watcher.told] == ["started", "killed"] * 2 + ["started", "failed"]
    assert "SIGKILL, 3 times" in read_error(runs[0].directory)


UNTOLD = {"step": 80, "time": 12.0, "mean_success": None, "success": {}, "returns": {}, "episodes_per_task": 1}
"""An evaluation without values of any task."""


def test_the_board_on_a_terminal(preset: str, tmp_path: Path) -> None:
    (run,) = claim(plan(preset, {}, tmp_path / "out"))
    text = io.StringIO()
    with Board(Terminal(file=text, force_terminal=True, width=120), total=3, finished=1) as board:
        board.started(run)
        (run.directory / "metrics.jsonl").write_text('{"step": 50, "time": 10.0, "steps_per_second": 5.0}\n')
        board.tick([run])
        assert "step 50 of 80" in text.getvalue()
        assert "0:06 left" in text.getvalue()
        assert "1 of 3 finished, 0 failed, 1 waiting" in text.getvalue()
        board.ended(run, "failed", "MemoryError: [all of it]")
        # A Gymnasium environment may not define success.
        (run.directory / "evaluations.jsonl").write_text(json.dumps(UNTOLD) + "\n")
        board.ended(run, "finished", "")
        (run.directory / "evaluations.jsonl").write_text("damaged\n")
        board.ended(run, "finished", "")
    assert "conicgrad/seed_3: failed at step 50: MemoryError: [all of it]" in text.getvalue()
    assert "conicgrad/seed_3: finished in 0:12\n" in text.getvalue().replace("\r", "")
    assert "conicgrad/seed_3: finished in 0:00\n" in text.getvalue().replace("\r", "")


def compare(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mtrl_conic", "compare", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)


def test_a_run_that_crashes_does_not_stop_the_others(preset: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with compare(preset, "--balancers", "ls", "--learning-rate", "1e30,1e-3", "--jobs", "1", "--out", str(out)) as run:
        shown, errors = run.communicate()
    assert (run.returncode, errors) == (1, "")
    bad, good = out / "ls_learning_rate=1e+30/seed_3", out / "ls_learning_rate=0.001/seed_3"
    assert f"failed: ls_learning_rate=1e+30/seed_3, see {bad}/error.txt" in shown
    assert (read_state(bad), read_state(good)) == ("failed", "finished")
    text = (bad / "error.txt").read_text()
    assert text.startswith("mtrl-conic train ")
    assert "Traceback" not in text
    assert read_error(bad).startswith("mtrl-conic: error: training diverged")
    assert f"mtrl-conic report {out}" in shown


def test_ctrl_c_stops_all_and_says_how_to_go_on(preset: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [preset, "--seeds", "0,1,2", "--steps", "1000000", "--jobs", "2", "--out", str(out)]
    with compare(*arguments) as run:
        while min(read_progress(out / f"conicgrad/seed_{seed}").step for seed in (0, 1)) < 20:
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        shown, errors = run.communicate()
    assert (run.returncode, errors) == (1, "")
    assert "the same command resumes" in shown
    assert [read_state(out / f"conicgrad/seed_{seed}") for seed in range(3)] == ["stale", "stale", "waiting"]
    assert all((out / f"conicgrad/seed_{seed}/checkpoints/latest.pt").exists() for seed in (0, 1))


def writers(folder: Path) -> list[int]:
    """Return the ids of the processes that write runs below `folder`."""
    return [int(file.read_text()) for file in folder.rglob(".lock") if read_state(file.parent) == "running"]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_comparison_that_is_killed_leaves_no_process_and_ends_with_the_same_numbers(
    preset: str, tmp_path: Path
) -> None:
    """SIGKILL leaves the parent no time to stop its processes; the same command resumes at once."""
    out, runs = tmp_path / "out", ["conicgrad_c=0.25/seed_0", "conicgrad_c=0.9/seed_0"]
    arguments = [preset, "--balancers", "conicgrad:c=0.25,conicgrad:c=0.9", "--seeds", "0", "--out", str(out)]
    with compare(*arguments, "--jobs", "2") as first:
        wait_for(lambda: all(read_progress(out / run).step >= 20 for run in runs))
        orphans = writers(out)
        first.kill()
    with compare(*arguments, "--jobs", "2") as second:
        shown, errors = second.communicate()
    assert (second.returncode, errors) == (0, "")
    assert len(orphans) == 2
    assert not any(map(alive, orphans))
    # A run that finished before the kill reached it is not resumed.
    finished = int(next(iter(re.findall(r"(\d+) finished", shown))))
    assert shown.count("resumes at step") + finished == 2
    for run in plan(preset, {"balancer": "conicgrad:c=0.25,conicgrad:c=0.9", "seed": 0}, tmp_path / "separate"):
        train(run.config, run.directory)
        assert same_run(run.directory, out / run.name), run.name


def test_the_processes_of_a_killed_comparison_end(preset: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with compare(preset, "--steps", "1000000", "--out", str(out), "--jobs", "1") as run:
        wait_for(lambda: read_progress(out / "conicgrad/seed_3").step >= 20)
        (orphan,) = writers(out)
        run.kill()
    wait_for(lambda: not alive(orphan), 20)
    assert read_state(out / "conicgrad/seed_3") == "stale"


def test_a_run_waits_for_the_process_of_a_comparison_before_it(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orphan that was still importing modules when its comparison was killed may briefly hold the directory."""
    before = open_run(tmp_path, tiny)
    with pytest.raises(UserError, match="is being written by process"):
        open_run(tmp_path, tiny)
    monkeypatch.setattr(workers, "_parents", [1])
    threading.Timer(0.5, before.close).start()
    open_run(tmp_path, tiny).close()


def test_a_dry_run_writes_nothing(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["compare", preset, "--balancers", "all", "--seeds", "0,1", "--out", str(out), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"{out}/conicgrad/seed_1  waiting" in shown
    assert f"{out}/ls/seed_0  waiting" in shown
    assert not out.exists()


def test_a_precision_that_the_machine_decides_is_probed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "mt10_small", "--precision", "auto", "--dry-run"]) == 0
    assert "\n  precision: auto\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--balancers", "ls,conigrad"], "unknown balancer 'conigrad'; did you mean 'conicgrad'?"),
        (["--balancers", "ls,conicgrad", "--balancer-options", "c=0.3"], "unknown option of ls 'c'"),
        (["--seeds", "0,0"], "would run twice"),
        (["--seeds", "0,-1"], "seed=-1"),
        (["--width", "8,0"], "agent.width=0"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
    ],
)
def test_all_is_checked_before_anything_starts(
    arguments: list[str], words: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", preset, "--out", str(tmp_path / "out"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def test_a_directory_in_the_way_is_told_before_others_are_made(preset: str, tmp_path: Path) -> None:
    claim(plan(preset, {"seed": [1]}, tmp_path / "out"))
    with pytest.raises(UserError, match="contains another configuration"):
        claim(plan(preset, {"seed": [0, 1], "agent": {"width": 8}}, tmp_path / "out"))
    assert not (tmp_path / "out/conicgrad/seed_0").exists()


def test_listing_runs(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    runs = claim(plan(preset, {"balancer": ["ls", "conicgrad"], "seed": [0, 1]}, out))
    (runs[0].directory / "error.txt").write_text("ZeroDivisionError: by [zero]\n")
    assert main(["runs", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "4 of 4 runs" in shown
    assert "ls/seed_0: ZeroDivisionError: by [zero]" in shown
    assert main(["runs", str(out), "--where", "balancer=ls", "state=waiting"]) == 0
    shown = capsys.readouterr().out
    assert "1 of 4 runs" in shown
    assert "ls/seed_1" in shown
    assert main(["runs", str(out), "--where", "width=16", "minutes=none"]) == 0
    assert "4 of 4 runs" in capsys.readouterr().out


def test_supervised_runs_are_listed_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = SupervisedConfig.complete(
        {"problem": "census", "data": str(tmp_path), "balancer": "ls", "seed": 0, "epochs": 9}
    )
    run = RunDirectory(tmp_path / "ls" / "seed_0", config.model_dump(mode="json"))
    run.append("metrics", {"step": 4, "time": 61.0, "loss": {"income": 0.25}, "weight": {"income": 0.5}})
    run.close()
    assert main(["runs", str(tmp_path)]) == 0
    assert "ls/seed_0 stale 4 of 9 1:01" in " ".join(capsys.readouterr().out.split())
    assert main(["watch", str(run.path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "census, ls, seed 0, epoch 4 of 9" in shown
    assert "income 0.5 0.25" in shown
    for command in ("video", "evaluate"):
        assert main([command, str(run.path)]) == 2
        assert "is not a reinforcement run: its kind is supervised" in capsys.readouterr().err


def test_watching_a_run(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = claim(plan(preset, {}, tmp_path / "out"))
    assert main(["watch", str(run.directory)]) == 0
    assert ": waiting, classic base, conicgrad, seed 3, step 0 of 80" in " ".join(capsys.readouterr().out.split())
    weights = dict.fromkeys(TASKS, 0.25)
    metrics = {"step": 50, "time": 10.0, "steps_per_second": 5.0, "critic/weight": weights}
    (run.directory / "metrics.jsonl").write_text(json.dumps(metrics) + "\n")
    evaluation = {**UNTOLD, "step": 50, "mean_success": 0.5, "success": dict.fromkeys(TASKS, 0.5)}
    (run.directory / "evaluations.jsonl").write_text(json.dumps(evaluation) + "\n")
    assert main(["watch", str(run.directory)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "stale, classic base" in shown
    assert "success 0.500 at step 50" in shown
    assert "drawer-close 0.5 0.25" in shown
    assert main(["watch", str(tmp_path)]) == 2
    assert "is not a run directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("balancr=ls", "did you mean 'balancer'?"),
        ("balancer", "is not key=value"),
        ("state=finised", "did you mean 'finished'?"),
    ],
)
def test_wrong_conditions(
    condition: str, words: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(plan(preset, {}, tmp_path))
    assert main(["runs", str(tmp_path), "--where", condition]) == 2
    assert words in capsys.readouterr().err


def test_listing_passes_over_what_it_cannot_read(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in claim(plan(preset, {"seed": [0, 1, 2]}, tmp_path / "out")):
        if run.config.seed == 1:
            (run.directory / "metrics.jsonl").write_text("{torn\n")
        if run.config.seed == 2:
            (run.directory / "result.json").write_text("")
    (tmp_path / "out" / "config.yaml").write_text("title: a web page\n")
    assert main(["runs", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1 runs" in shown
    for skipped in ("seed_1", "seed_2", "out/config.yaml"):
        assert any(line.startswith("skipped: ") and skipped in line for line in shown.splitlines()), skipped
