"""What several parts of the tests use."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest
import torch

from mtrl_conic.balancers import registry as balancers
from mtrl_conic.envs import registry as task_sets
from mtrl_conic.networks import registry as networks

# Most tests compare exact numbers, which are those of a CPU. It must be set before torch looks for GPUs.
if not os.environ.get("MTRL_CONIC_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

LAB = Path(__file__).parent.parent / "envs" / "lab.py"


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that holds `envs/lab.py`, not yet imported; nothing of it is left behind."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "envs").mkdir()
    shutil.copy(LAB, tmp_path / "envs")
    registered = dict(gym.registry)
    yield tmp_path
    sys.modules.pop("lab", None)
    for registry in (balancers._REGISTRY, task_sets._REGISTRY, networks._REGISTRY):
        for name in [name for name, made in registry.items() if not made.__module__.startswith("mtrl_conic.")]:
            del registry[name]
    gym.registry.clear()
    gym.registry.update(registered)
