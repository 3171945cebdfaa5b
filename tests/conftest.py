"""What several parts of the tests use."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from mtrl_conic.balancers import registry as balancers
from mtrl_conic.envs import registry as task_sets
from mtrl_conic.networks import registry as networks

LAB = Path(__file__).parent.parent / "envs" / "lab.py"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that holds `envs/lab.py`, not yet imported; nothing of it is left behind."""
    for registry in (balancers, task_sets, networks):
        monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "envs").mkdir()
    shutil.copy(LAB, tmp_path / "envs")
    registered = dict(gym.registry)
    yield tmp_path
    sys.modules.pop("lab", None)
    gym.registry.clear()
    gym.registry.update(registered)
