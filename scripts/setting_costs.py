"""Measure the time of a whole training step with changed settings, relative to the preset `mt10_small`.

    python scripts/setting_costs.py actor_every=2 critics=1 [--rounds 15] [--compile] [--precision bfloat16]

A training step is a step of all ten environments with its update. The settings take turns within a round, ten steps
each. Times are processor times of the process, on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import yaml

from mtrl_conic.bench.turns import measure
from mtrl_conic.execution.memory import keep_freed_memory
from mtrl_conic.runs.config import make_config
from mtrl_conic.runs.making import make_agent, make_envs
from mtrl_conic.training.trainer import Trainer

STEPS = 10
"""The number of training steps of a setting before the next setting continues."""
_FILL = 64


def trainer(changes: dict[str, Any], *, compile: bool) -> Callable[[], object]:
    """Return a function that trains for `STEPS` steps with the preset's agent and these changes."""
    execution = {"device": "cpu", "compile": compile}
    config = make_config("mt10_small", {"agent": {**changes, "random_steps": _FILL}, "execution": execution})
    envs = make_envs(config)
    made = Trainer(envs, make_agent(config, envs))
    made.train(_FILL)
    return lambda: made.train(made.step + STEPS)


def main() -> None:
    """Print a table with a row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", metavar="NAME=VALUE")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", default="float32")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    changes = {"none": {}} | {
        text: {name: yaml.safe_load(value)} for text in given.settings for name, _, value in [text.partition("=")]
    }
    items = {
        text: trainer({**change, "precision": given.precision}, compile=given.compile)
        for text, change in changes.items()
    }
    seconds = measure(items, given.rounds, time.process_time, warm_up=2)
    compiled = ", compiled" if given.compile else ""
    print(f"MT10 training step, mt10_small, ls, {given.precision}{compiled}, 1 thread, median of {given.rounds}")
    print(f"{'change':<20}{'ms':>8}{'x none':>9}")
    for text, measured in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(measured, seconds["none"], strict=True))
        print(f"{text:<20}{1e3 * statistics.median(measured) / STEPS:8.1f}{ratio:9.2f}")


if __name__ == "__main__":
    main()
