"""Supervised comparisons on the run layer: processes that are killed, larger budgets, the table, Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic.cli import main
from mtrl_conic.runs.claim import claim
from mtrl_conic.runs.local import run_locally
from mtrl_conic.runs.plan import Job, plan
from mtrl_conic.runs.status import read_progress
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.training import train
from tests.runs.test_local import ENVIRONMENT, Watcher, alive, wait_for, writers
from tests.runs.test_run import same
from tests.supervised.conftest import records, write_census


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_census(tmp_path_factory.mktemp("census"))


def planned(census: Path, folder: Path, *, balancers: str, epochs: int) -> list[Job]:
    given = {"problem": "census", "data": str(census), "epochs": epochs, "batch_size": 64, "execution": {"threads": 1}}
    return plan(SupervisedConfig, {}, {**given, "balancer": balancers, "seed": 0}, folder)


def same_run(a: Path, b: Path) -> bool:
    """Bit for bit, but for the clock."""
    curves = [[line["test"] for line in records(folder / "evaluations.jsonl")] for folder in (a, b)]
    left, right = read_checkpoint(a), read_checkpoint(b)
    assert left is not None
    assert right is not None
    return curves[0] == curves[1] and same(left["learner"], right["learner"])


class KillsOnce(Watcher):
    """SIGKILL for the process of a run once it has finished an epoch."""

    killed_at = 0

    def tick(self, running: Sequence[Job]) -> None:
        for run in running:
            epoch = read_progress(run.directory).step
            if epoch and not self.killed_at:
                self.killed_at = epoch
                os.kill(int((run.directory / ".lock").read_text()), signal.SIGKILL)


def test_a_killed_process_goes_on_and_ends_with_the_same_numbers(census: Path, tmp_path: Path) -> None:
    (run,) = claim(planned(census, tmp_path / "out", balancers="gradvac", epochs=40))
    watcher = KillsOnce()
    ends = run_locally([run], jobs=1, threads=1, watcher=watcher, interrupted=lambda: False)
    assert ends == {"gradvac/seed_0": "finished"}
    assert [what for _, what in watcher.told] == ["started", "killed", "started", "finished"]
    assert 0 < watcher.killed_at < 40
    assert isinstance(run.config, SupervisedConfig)
    train(run.config, tmp_path / "whole")
    assert same_run(run.directory, tmp_path / "whole")


def supervised(census: Path, *arguments: str) -> subprocess.Popen[str]:
    given = ["supervised", "census", "--data", str(census), "--batch-size", "64", "--threads", "1", *arguments]
    command = [sys.executable, "-m", "mtrl_conic", *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)


def test_a_killed_comparison_leaves_no_process_and_the_same_command_goes_on(census: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--balancers", "ls,gradops:alpha=-2", "--epochs", "40", "--out", str(out), "--jobs", "2"]
    folders = [out / "ls" / "seed_0", out / "gradops_alpha=-2.0" / "seed_0"]
    with supervised(census, *arguments) as first:
        wait_for(lambda: all(read_progress(folder).step for folder in folders))
        orphans = writers(out)
        first.kill()
    with supervised(census, *arguments) as second:
        shown, errors = second.communicate()
    assert (second.returncode, errors) == (0, "")
    assert not any(map(alive, orphans))
    assert "Written: results.csv" in shown
    for run in planned(census, tmp_path / "whole", balancers="ls,gradops:alpha=-2", epochs=40):
        assert isinstance(run.config, SupervisedConfig)
        train(run.config, run.directory)
        assert same_run(run.directory, out / run.name), run.name


def test_more_epochs_go_on(census: Path, tmp_path: Path) -> None:
    def trained(epochs: int, folder: str) -> dict[str, Any]:
        (run,) = planned(census, tmp_path / folder, balancers="ls", epochs=epochs)
        assert isinstance(run.config, SupervisedConfig)
        return train(run.config, run.directory)

    first = trained(2, "extended")
    assert trained(4, "extended")["metrics"] == trained(4, "whole")["metrics"]
    assert same_run(tmp_path / "extended" / "ls" / "seed_0", tmp_path / "whole" / "ls" / "seed_0")
    kept = (tmp_path / "extended" / "ls" / "seed_0" / "earlier_results.jsonl").read_text()
    assert json.loads(kept) == first


def test_a_run_of_another_kind_is_told(census: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = claim(planned(census, tmp_path, balancers="ls", epochs=1))
    file = str(run.directory / "config.yaml")
    assert main(["train", file, "--run-dir", str(tmp_path / "other")]) == 2
    assert f"{file} is not a reinforcement run: its kind is supervised; see `mtrl-conic supervised`" in (
        capsys.readouterr().err
    )


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='pip install -e ".[ray]"')
@pytest.mark.slow
def test_on_a_ray_cluster(census: Path, tmp_path: Path) -> None:
    arguments = ["--balancers", "ls,stl", "--epochs", "2", "--out", str(tmp_path), "--engine", "ray"]
    with supervised(census, *arguments, "--ray-address", "local") as run:
        shown, _ = run.communicate()
    assert run.returncode == 0
    assert "2 runs in" in shown
    assert "Written: results.csv" in shown
