"""Processes that read files: lost, or asked to stop with the run that they read for."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mtrl_conic.errors import Failed, Interrupted
from mtrl_conic.runs.directory import RunDirectory
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.data import files
from mtrl_conic.supervised.data.files import Files, Sample
from mtrl_conic.supervised.learners import Learner
from mtrl_conic.supervised.training import train
from tests.supervised.conftest import write_mtan


class Numbers:
    """A row per number."""

    def __len__(self) -> int:
        return 200

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        return (torch.tensor([row]),), (torch.tensor([row]),)


def test_requests_to_stop_are_not_for_those_that_read() -> None:
    batches = Files(Numbers(), workers=1).batches(1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(worker.pid, number)
    assert [int(batch.inputs[0]) for batch in batches] == list(range(1, 200))


def test_a_process_that_is_lost_as_it_hands_over_a_batch_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(DataLoader):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(files, "DataLoader", Lost)
    folder = write_mtan(tmp_path / "data", classes=13, label="label", normals=True, size=(16, 32))
    values = {"problem": "nyuv2", "data": str(folder), "epochs": 1, "batch_size": 2, "options": {"network": "small"}}
    with pytest.raises(Failed, match=r"was lost: DataLoader worker does not answer: .*Connection reset by peer; free"):
        train(SupervisedConfig.complete(values | {"execution": {"device": "cpu"}}), tmp_path / "run")


@pytest.fixture
def config(tmp_path: Path) -> SupervisedConfig:
    folder = write_mtan(tmp_path / "data", classes=13, label="label", normals=True, size=(16, 32))
    return SupervisedConfig.complete(
        {
            "problem": "nyuv2",
            "data": str(folder),
            "epochs": 1,
            "batch_size": 2,
            "options": {"network": "small"},
            "execution": {"threads": 1, "workers": 1, "device": "cpu"},
        }
    )


# torch's own loader may find out once more that its process is lost, as it is cleared away.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("asked", [False, True])
def test_a_lost_process_is_one_line(
    asked: bool, config: SupervisedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run was asked to stop too, the process may have been with it: that is no fault."""
    killed = False
    step = Learner.step

    def kill(self: Learner, batch: object) -> object:
        nonlocal killed
        for worker in [] if killed else multiprocessing.active_children():
            killed = True
            os.kill(worker.pid, signal.SIGKILL)
        return step(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", kill)
    error, words = (
        (Interrupted, None) if asked else (Failed, r"process that reads files was lost: DataLoader worker .*repeat")
    )
    with pytest.raises(error, match=words):
        train(config, tmp_path / "run", interrupted=lambda: asked and killed)


def test_an_interrupted_run_has_ended_its_processes(
    config: SupervisedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch reports a process that is lost later wherever the program then is, for example outside the run."""
    left = []

    def close(run: RunDirectory) -> None:
        left.append(multiprocessing.active_children())
        released(run)

    released = RunDirectory.close
    monkeypatch.setattr(RunDirectory, "close", close)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", interrupted=lambda: True)
    assert left == [[]]
