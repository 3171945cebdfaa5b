"""Tests of processes of environments that are killed, hang, are asked to stop, or lose their parent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mtrl_conic import TaskSet, workers
from mtrl_conic.envs.gymnasium import workers as of_envs
from mtrl_conic.errors import UserError
from tests.envs.falling import AT, Falling

ROOT = str(Path(__file__).parents[2])


def make(what: str = "", once: Path | None = None, *, vector: Any = "async", random: bool = False) -> TaskSet:
    once_ = None if once is None else str(once)
    environments = {"fine": Falling, "falling": lambda: Falling(what, once_, random)}
    return TaskSet.from_gymnasium(environments, success=None, seed=1, horizon=8, vector=vector, worker_timeout=20.0)


def play(envs: TaskSet, steps: int = 12) -> list[NDArray[Any]]:
    rng, told = np.random.default_rng(0), []
    told.append(envs.reset(seed=1)[0])
    for _ in range(steps):
        observations, rewards, *_ = envs.step(rng.uniform(-1, 1, envs.action_space.shape))
        told += [observations, rewards]
    return told


def same(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def processes(envs: TaskSet) -> list[Any]:
    return [worker.process for worker in envs.stepper._envs._workers]  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["killed", "leaves"])
def test_a_lost_process_is_replaced_and_the_numbers_stay(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = make(vector="sync")
    expected = play(undisturbed)
    envs = make(what, tmp_path / "once")
    try:
        assert same(play(envs), expected)
        assert (tmp_path / "once").exists()
    finally:
        envs.close()
    (warning,) = [record.getMessage() for record in caplog.records]
    how = {"killed": "was killed by SIGKILL", "leaves": "ended with exit code 3"}[what]
    assert re.match(rf"task 'falling', episode \d+, step {AT}: its process {how}; it is restarted", warning)


def test_a_hanging_process_is_replaced(tmp_path: Path) -> None:
    envs = make("hangs", tmp_path / "once")
    envs.stepper._envs._timeout = 1.0  # type: ignore[attr-defined]
    try:
        assert same(play(envs), play(make(vector="sync")))
    finally:
        envs.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("killed", "its process was killed by SIGKILL, and a new one was killed by SIGKILL: check what its"),
        ("hangs", "its process did not answer for 1 seconds, and a new one did not answer for 1 seconds: .*timeout"),
    ],
)
def test_one_that_is_lost_again_is_reported_by_task(what: str, words: str) -> None:
    envs = make(what)
    envs.stepper._envs._timeout = 1.0  # type: ignore[attr-defined]
    try:
        with pytest.raises(UserError, match=rf"task 'falling', episode \d+, step {AT}: {words}"):
            play(envs)
        observations, _ = envs.reset()
        assert np.isfinite(observations).all(), "the others, and new episodes, go on"
    finally:
        envs.close()
    assert not any(process.is_alive() for process in processes(envs))


def test_a_new_process_that_sees_something_else_is_told(tmp_path: Path) -> None:
    envs = make("killed", tmp_path / "once", random=True)
    try:
        with pytest.raises(UserError, match="observes something else: the environment is not determined by"):
            play(envs)
    finally:
        envs.close()


def test_closing_does_not_wait_for_the_dead_or_the_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_envs, "_CLOSING_SECONDS", 0.5)
    envs = make("hangs")
    envs.reset()
    for process in processes(envs)[:1]:
        process.kill()
    hanging = processes(envs)[1]
    for worker in envs.stepper._envs._workers[1:]:  # type: ignore[attr-defined]
        for _ in range(AT):
            worker.send(("step", np.zeros(1, np.float32)))
    envs.close()
    envs.close()
    assert not hanging.is_alive()
    with pytest.raises(UserError, match="have been closed"):
        envs.step(np.zeros((2, 1)))


def test_processes_leave_the_terminals_signals_to_their_parent() -> None:
    envs = make()
    try:
        envs.reset()
        for process in processes(envs):
            for number in workers.REQUESTS:
                os.kill(process.pid, number)
        time.sleep(0.2)
        envs.step(np.zeros((2, 1)))
        assert all(process.is_alive() for process in processes(envs))
    finally:
        envs.close()


PROGRAM = """
import sys, time
from mtrl_conic import TaskSet
from tests.envs.falling import Falling
import numpy as np
if __name__ == "__main__":
    tasks = {name: lambda: Falling(WHAT) for name in ("one", "two")}
    envs = TaskSet.from_gymnasium(tasks, success=None, vector="async")
    envs.reset()
    print(*[worker.process.pid for worker in envs.stepper._envs._workers], flush=True)
    END
"""


def program(tmp_path: Path, what: str, end: str) -> subprocess.Popen[str]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("WHAT", repr(what)).replace("END", end))
    environment = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, env=environment, text=True)


def is_running(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """This includes a process that never returns from its step."""
    with program(tmp_path, "hangs", "\n    ".join(["for _ in range(9):", "    envs.step(np.zeros((2, 1)))"])) as parent:
        assert parent.stdout is not None
        children = [int(number) for number in parent.stdout.readline().split()]
        assert len(children) == 2
        time.sleep(1.0)
        assert all(map(is_running, children))
        parent.kill()
    wait_for(lambda: not any(map(is_running, children)))


def test_a_program_that_closes_nothing_ends(tmp_path: Path) -> None:
    with program(tmp_path, "", "envs.step(np.zeros((2, 1)))") as parent:
        assert parent.wait(120) == 0
