"""Checks, before anything starts, that runs fit into the memory and the disk of the machine."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtrl_conic.agents.mtsac.making import make_networks
from mtrl_conic.agents.registry import MTSAC
from mtrl_conic.envs.names import is_metaworld
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.memory import free_memory
from mtrl_conic.networks.registry import choose
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.training.replay import parts_of, rows_for, slack_for

Parts = dict[str, int]
"""Bytes by part; each is a lower bound, so that nothing is refused that would fit."""

_GROWS_WITH = {
    "the replay": ("training.checkpoint_every", "training.replay_capacity", "environment.copies"),
    "the networks": ("agent.width", "agent.actor_width", "agent.depth", "agent.actor_depth"),
    "an update": ("agent.batch_size", "agent.n_step"),
    "the environments": ("environment.copies",),
    "an evaluation": ("training.episodes_per_task", "training.training_episodes_per_task"),
}
"""The fields that each part grows with."""
_FLOAT = 4
PROCESS = 200 << 20
"""The bytes of a process that has loaded torch."""
_ENVIRONMENT, _WORKER = 100 << 10, 50 << 20
"""The bytes of an environment in the process of the run, and in a separate process."""


def check_room(config: RunConfig, spec: TaskSpec, directory: Path) -> None:
    """Check that a run fits into memory and disk.

    Args:
        config: configuration of the run.
        spec: names and sizes of its tasks.
        directory: directory of the run, which need not exist.

    Raises:
        UserError: it does not fit; the message names the field to lower and a value that fits.
    """
    limits = _limits(config, spec, directory)
    for limit in limits:
        if not limit.holds(config):
            raise _too_large(config, limit, limits)


def of_process(config: RunConfig, spec: TaskSpec) -> int:
    """Return the bytes of memory of a run's process."""
    on_gpu = choose_device(config.execution.device).type != "cpu"
    parts = beside(config, spec) if on_gpu else beside(config, spec) | on_device(config, spec)
    return PROCESS + sum(parts.values())


def on_device(config: RunConfig, spec: TaskSpec) -> Parts:
    """Return the bytes on the device of the agent."""
    agent, num_tasks = config.agent, len(spec.task_names)
    rows = num_tasks * agent.batch_size
    hidden = agent.width * agent.depth + (agent.actor_width or agent.width) * (agent.actor_depth or agent.depth)
    replay = replay_bytes(config, spec) if config.training.replay == "memory" else 0
    if config.algorithm != MTSAC:  # whose other sizes are unknown
        return {"the replay": replay}
    return {
        "the replay": replay,
        "the networks": network_bytes(config, spec),
        "an update": rows * _FLOAT * (sum(parts_of(spec.observation_dim, spec.action_dim)) + hidden + 2 * agent.n_step),
    }


def beside(config: RunConfig, spec: TaskSpec) -> Parts:
    """Return the bytes of memory that are needed besides the agent."""
    count = len(spec.task_names) * config.environment.copies
    horizon = config.environment.horizon if is_metaworld(config.task_set) else config.environment.time_limit or 1
    each = _FLOAT * horizon * spec.action_dim + (_WORKER if config.execution.vector == "async" else _ENVIRONMENT)
    episodes = max(config.training.episodes_per_task, config.training.training_episodes_per_task)
    return {"the environments": count * each, "an evaluation": episodes * 3 * len(spec.task_names) * 8}


def on_disk(config: RunConfig, spec: TaskSpec) -> Parts:
    """Return the bytes of the run directory: three checkpoints, and the part of the replay that will be written."""
    steps = None if config.training.replay == "disk" else config.steps
    return {"the replay": replay_bytes(config, spec, steps=steps), "the networks": 3 * network_bytes(config, spec)}


def replay_bytes(config: RunConfig, spec: TaskSpec, *, steps: int | None = None) -> int:
    """Return the bytes of the replay, after a number of steps if given."""
    copies, training = config.environment.copies, config.training
    rows = rows_for(training.replay_capacity, copies, slack_for(training.checkpoint_every, copies))
    of_row = _FLOAT * sum(parts_of(spec.observation_dim, spec.action_dim))
    return len(spec.task_names) * of_row * (rows if steps is None else min(rows, steps + copies))


def network_bytes(config: RunConfig, spec: TaskSpec) -> int:
    """Return the bytes of actor, critic and target, their gradients, and two moments of each parameter."""
    if config.algorithm != MTSAC:
        return 0
    agent = config.agent.model_copy(update={"precision": "float32"})
    network = choose(agent.network, agent.network_options)
    try:
        with torch.device("meta"):
            critic, actor = make_networks(spec, agent, network, torch.Generator())
    except (RuntimeError, NotImplementedError):  # a user's network that cannot be built on the meta device
        return 0
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in (critic, actor)]
    return _FLOAT * (5 * sizes[0] + 4 * sizes[1])


@dataclass(frozen=True)
class _Limit:
    """A limited resource."""

    what: str
    parts: Callable[[RunConfig], Parts]
    """Configuration -> the amount that its run needs."""
    room: int
    """Bytes."""

    def holds(self, config: RunConfig) -> bool:
        """Return whether a run fits."""
        return sum(self.parts(config).values()) <= self.room


def _limits(config: RunConfig, spec: TaskSpec, directory: Path) -> list[_Limit]:
    device, host = choose_device(config.execution.device), torch.device("cpu")
    limits = [
        _Limit("memory" if device == host else "GPU memory", lambda of: on_device(of, spec), free_memory(device)),
        _Limit("memory", lambda of: beside(of, spec), free_memory(host)),
        _Limit("disk", lambda of: on_disk(of, spec), _free_disk(directory)),
    ]
    longest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if longest != resource.RLIM_INFINITY:
        what = "the file size that `ulimit -f` allows"
        limits.append(_Limit(what, lambda of: {"the replay": replay_bytes(of, spec)}, longest))
    return limits


def _too_large(config: RunConfig, limit: _Limit, limits: Sequence[_Limit]) -> UserError:
    taken = limit.parts(config)
    part = max(taken, key=lambda part: taken[part])
    words = f"{part} would take {_size(taken[part])} of {limit.what}, and {_size(limit.room)} are free"
    fitting = {key: _fitting(config, key, limits) for key in _GROWS_WITH[part] if _value(config, key)}
    culprits = [key for key, most in fitting.items() if most]
    if not culprits:
        return UserError(words)
    key = max(culprits, key=lambda key: _value(config, key))
    return UserError(f"{key}={_value(config, key)}: {words}; {_rounded(fitting[key])} fits")


def _fitting(config: RunConfig, key: str, limits: Sequence[_Limit]) -> int:
    """Return the largest value of a field with which everything fits, 0 if there is none."""
    least, most = 0, _value(config, key)
    while most - least > 1:
        middle = (least + most) // 2
        changed = _changed(config, key, middle)
        if all(limit.holds(changed) for limit in limits):
            least = middle
        else:
            most = middle
    return least


def _value(config: RunConfig, key: str) -> int:
    section, name = key.split(".")
    return int(getattr(getattr(config, section), name) or 0)


def _changed(config: RunConfig, key: str, value: Any) -> RunConfig:
    section, name = key.split(".")
    inner = getattr(config, section).model_copy(update={name: value})
    return config.model_copy(update={section: inner})


def _free_disk(directory: Path) -> int:
    """Return the bytes that may still be written, including those of an existing replay."""
    there = next(folder for folder in (directory.absolute(), *directory.absolute().parents) if folder.exists())
    replay = directory / "checkpoints" / "replay.npy"
    already = 512 * replay.stat().st_blocks if replay.exists() else 0
    return int(shutil.disk_usage(there).free) + already


def _size(count: int) -> str:
    """Format bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def _rounded(count: int) -> int:
    """Round down to two digits."""
    digits = str(count)
    return int(digits[:2].ljust(len(digits), "0"))
