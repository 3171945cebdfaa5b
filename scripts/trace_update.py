"""Print the files that a reader of one update visits, from the trainer to the step of the critic's optimiser.

    python scripts/trace_update.py [--balancer conicgrad] [--base strong]

The script executes an eager update and records every call of a function of the package until the critic's optimiser
steps. It follows calls within the packages that execute an update: training, agents and execution. A call into the
packages below them is recorded once, by the file that is called, because its docstring describes what it does; calls of
networks are not recorded, because they stand for the functions in the formulas. The output is the files and the number
of changes of file from one call to the next, on that path and over all calls.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import mtrl_conic
from mtrl_conic import MTSAC, make_task_set
from mtrl_conic.execution import Eager
from mtrl_conic.training.config import TrainingConfig
from mtrl_conic.training.trainer import Trainer

ROOT = str(Path(mtrl_conic.__file__).parent) + "/"
CARRIERS = ("training", "agents", "execution")
_START, _END = Trainer._update.__code__, torch.optim.AdamW.step.__wrapped__.__code__  # type: ignore[attr-defined]


class Calls:
    """The files of the calls between two functions, in the order of the calls."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.all: list[str] = []
        self._on = False

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """Record a call; the hook of `sys.setprofile`."""
        if event != "call":
            return
        if frame.f_code in (_START, _END):
            self._on = frame.f_code is _START
        if not self._on or not frame.f_code.co_filename.startswith(ROOT):
            return
        file = frame.f_code.co_filename.removeprefix(ROOT)
        self.all.append(file)
        if _package(file) in CARRIERS or (_package(file) != "networks" and _package(_caller(frame)) in CARRIERS):
            self.read.append(file)


def _package(file: str) -> str:
    return file.partition("/")[0]


def _caller(frame: FrameType) -> str:
    """Return the file of the nearest caller of a frame within the package."""
    above = frame.f_back
    while above is not None and not above.f_code.co_filename.startswith(ROOT):
        above = above.f_back
    return "" if above is None else above.f_code.co_filename.removeprefix(ROOT)


def trace(balancer: str, base: str) -> Calls:
    """Record the calls of one update on MT10."""
    envs = make_task_set("mt10")
    agent = MTSAC(envs, balancer=balancer, base=base, width=32, random_steps=8, device="cpu", execution=Eager())
    trainer = Trainer(envs, agent, config=TrainingConfig(replay_capacity=100))
    trainer.train(20)  # so that everything that is created at first use exists
    path = Calls()
    sys.setprofile(path.note)
    try:
        trainer.train(21)
    finally:
        sys.setprofile(None)
        envs.close()
    return path


def changes(files: list[str]) -> int:
    """Return how often the file differs from the previous one."""
    return sum(one != other for one, other in pairwise(files))


def main() -> None:
    """Print the path, and both counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--balancer", default="conicgrad")
    parser.add_argument("--base", default="strong")
    arguments = parser.parse_args()
    path = trace(arguments.balancer, arguments.base)
    for file, before in zip(path.read, [None, *path.read], strict=False):
        if file != before:
            print(file)
    print(f"read: {len(set(path.read))} files, {changes(path.read)} changes of file")
    print(f"all calls: {len(set(path.all))} files, {changes(path.all)} changes of file")


if __name__ == "__main__":
    main()
