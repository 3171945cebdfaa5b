"""A run small enough for tests: three real Meta-World tasks, short episodes, a narrow network."""

from __future__ import annotations

from typing import Any

import pytest

from mtrl_conic.runs.config import RunConfig
from mtrl_conic.schema import parse

TASKS = ["reach-v3", "drawer-close-v3", "window-open-v3"]


def tiny_values(**overrides: Any) -> dict[str, Any]:
    """Nested values of a configuration; `overrides` replace top-level keys or update sections."""
    values: dict[str, Any] = {
        "task_set": TASKS,
        "balancer": "conicgrad",
        "seed": 3,
        "steps": 150,
        "execution": {"device": "cpu", "threads": 1},
        "environment": {"horizon": 40},
        "agent": {"width": 16, "depth": 2, "batch_size": 8, "random_steps": 30},
        "training": {
            "replay_capacity": 60,
            "log_every": 20,
            "evaluate_every": 50,
            "checkpoint_every": 25,
            "training_episodes_per_task": 1,
            "episodes_per_task": 2,
        },
    }
    for key, value in overrides.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    return values


@pytest.fixture
def tiny() -> RunConfig:
    return parse(RunConfig, tiny_values())
