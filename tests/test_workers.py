"""Processes that work for another one: whom they listen to, and when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.envs.test_workers import is_running, wait_for

ROOT = str(Path(__file__).parents[1])
ENVIRONMENT = {**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}

STUBBORN = """
import os, signal, sys, time
from mtrl_conic import workers
signal.signal(signal.SIGTERM, lambda *given: open(sys.argv[1], "a").write("asked"))
workers.end_with(os.getppid(), grace=1.0)
print(os.getpid(), flush=True)
while True:
    time.sleep(1)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_process_that_does_not_end_when_asked_ends_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, STUBBORN, str(tmp_path / "asked")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not is_running(child))
    assert (tmp_path / "asked").read_text() == "asked"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_request_to_a_whole_group_ends_in_a_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    """As of a Ctrl-C in a terminal, while environments step in processes of their own."""
    preset, out = tmp_path / "preset.yaml", tmp_path / "run"
    values = {
        "task_set": ["gymnasium:Pendulum-v1", "gymnasium:MountainCarContinuous-v0"],
        "balancer": "ls",
        "steps": 1_000_000,
        "execution": {"threads": 1, "vector": "async", "compile": False},
        "agent": {"width": 4, "depth": 1, "batch_size": 2, "random_steps": 2},
        "environment": {"time_limit": 20},
        "training": {"replay_capacity": 200, "log_every": 10, "checkpoint_every": 20, "evaluate_every": 1_000_000},
    }
    preset.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "mtrl_conic", "train", str(preset), "--run-dir", str(out)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, env=ENVIRONMENT, start_new_session=True) as run:  # type: ignore[call-overload]
        wait_for(lambda: (out / "checkpoints" / "latest.pt").exists() or run.poll() is not None, 120)
        time.sleep(0.2)
        children = [int(child) for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
        assert len(children) >= 4, "two that train, two that evaluate"
        os.killpg(run.pid, number)
        shown, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (1, "")
    assert "Stopped. A checkpoint is in" in shown
    wait_for(lambda: not any(map(is_running, children)))
