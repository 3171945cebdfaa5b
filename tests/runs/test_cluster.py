"""Tests of comparisons on a real Ray cluster on this machine: a lost node, a crash, a stop, wrong input."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import yaml

from mtrl_conic.cli import main
from mtrl_conic.runs.config import RunConfig, read_preset
from mtrl_conic.runs.plan import plan
from mtrl_conic.runs.run import train
from mtrl_conic.runs.status import read_error, read_progress, read_state
from tests.runs.test_run import same_run
from tests.training.conftest import tiny_values

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='ray is not installed; pip install -e ".[ray]"'
)
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
    # Ray gives its workers the lowest priority, which starves them when other processes are busy.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture
def preset(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values(steps=120)))
    return str(file)


@needs_ray
@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_nothing(preset: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.runs.cluster_program", preset, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    runs = plan(RunConfig, read_preset(preset), {"balancer": ["ls", "conicgrad"], "seed": [0, 1]}, out)
    assert said["ends"] == {run.name: "finished" for run in runs}
    assert said["killed"], "both nodes were at work when one was lost"
    (lost,) = [name for name, what, _ in said["told"] if what == "killed"]
    assert [what for name, what, _ in said["told"] if name == lost] == ["started", "killed", "started", "finished"]
    assert "Resuming 3 tasks at step" in (out / lost / "output.txt").read_text()
    for run in runs:
        train(run.config, tmp_path / "here" / run.name)
        assert same_run(run.directory, tmp_path / "here" / run.name), run.name


def compare(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mtrl_conic", "compare", *arguments, "--engine", "ray"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)


@needs_ray
@pytest.mark.slow
def test_a_crash_is_recorded_and_a_stop_leaves_checkpoints(preset: str, tmp_path: Path) -> None:
    """The first learning rate diverges; the other two runs train for a million steps unless they are stopped."""
    out = tmp_path / "out"
    rates = ["--learning-rate", "1e30,1e-3,1e-4", "--steps", "1000000", "--jobs", "2", "--ray-address", "local"]
    bad, stopped, waiting = (out / f"conicgrad_learning_rate={rate}/seed_3" for rate in ("1e+30", "0.001", "0.0001"))
    with compare(preset, *rates, "--out", str(out)) as run:
        while read_state(bad) != "failed" or min(read_progress(one).step for one in (stopped, waiting)) < 20:
            assert run.poll() is None
            time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        shown, errors = run.communicate()
    assert (run.returncode, errors) == (1, "")
    assert "the same command resumes" in shown
    assert [read_state(one) for one in (bad, stopped, waiting)] == ["failed", "stale", "stale"]
    assert (stopped / "checkpoints" / "latest.pt").exists()
    assert read_error(bad).startswith("mtrl-conic: error: training diverged")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "rey"], "unknown engine 'rey'; did you mean 'ray'?"),
        (["--ray-address", "auto"], "--ray-address and --gpus-per-run need --engine ray"),
        (["--gpus-per-run", "1"], "--ray-address and --gpus-per-run need --engine ray"),
        (["--engine", "ray", "--gpus-per-run", "-1"], "--gpus-per-run -1: must be 0 or more"),
    ],
)
def test_wrong_options(
    arguments: list[str], words: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", preset, "--out", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_ray
def test_a_cluster_that_is_not_there(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    arguments = ["--out", str(tmp_path / "out"), "--engine", "ray", "--ray-address", address]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing Ray warns
        assert main(["compare", preset, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no Ray cluster at {address}: " in line
    assert not (tmp_path / "out").exists()


def test_ray_that_is_not_installed(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["compare", preset, "--out", str(tmp_path / "out"), "--engine", "ray"]) == 2
    assert 'pip install -e ".[ray]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
