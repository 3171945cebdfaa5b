"""Checks of configurations before anything is built or written."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mtrl_conic import balancers, networks
from mtrl_conic.agents import registry
from mtrl_conic.agents.mtsac.making import make_networks, settled
from mtrl_conic.envs.names import check_spec, is_metaworld
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.success import check_episodes
from mtrl_conic.execution.compiled import check_compiler
from mtrl_conic.execution.cores import check_fits_cores
from mtrl_conic.execution.device import choose_device
from mtrl_conic.execution.memory import free_memory
from mtrl_conic.runs.config import RunConfig, require_modules
from mtrl_conic.runs.configuration import Configuration
from mtrl_conic.runs.making import make_agent, spec_of
from mtrl_conic.runs.room import PROCESS, check_room, of_process


def check(config: RunConfig) -> None:
    """Check combinations of fields before anything is built or written."""
    require_modules(dict(config), of="this run")
    check_spec(config.task_set)
    balancers.check_options(config.balancer, config.balancer_options)
    networks.check_options(config.agent.network, config.agent.network_options)
    for episodes in (config.training.training_episodes_per_task, config.training.episodes_per_task):
        check_goals(config, episodes)
    check_fits_cores("threads", config.execution.threads)
    check_fits_cores("stepping_threads", config.execution.stepping_threads)
    device = choose_device(config.execution.device)
    if config.execution.compile is True:
        check_compiler()
    if config.training.replay == "disk" and device.type != "cpu":
        raise UserError("replay=disk needs --device cpu; use replay=memory on a GPU")


def check_goals(config: RunConfig, episodes_per_task: int) -> None:
    """Check that Meta-World's tasks have enough goals; Gymnasium's tasks have any number of episodes."""
    if is_metaworld(config.task_set):
        check_episodes(episodes_per_task, config.environment.num_goals)


def check_fits(config: RunConfig, directory: Path) -> None:
    """Check that a run on Meta-World fits into the machine before its environments are created; see `check_room`.

    The sizes of other tasks are known only after one environment of each is created.

    Args:
        config: configuration of the run.
        directory: directory of the run, which need not exist.
    """
    if is_metaworld(config.task_set):
        check_room(config, spec_of(config), directory)


def check_jobs(configs: Sequence[Configuration], jobs: int) -> None:
    """Check that a number of processes of a comparison fits into memory.

    Raises:
        UserError: it does not fit; the message names a number that fits.
    """
    sizes = sorted((_process_bytes(config) for config in configs), reverse=True)[:jobs]
    room = free_memory(torch.device("cpu"))
    fitting = sum(total <= room for total in itertools.accumulate(sizes))
    if fitting < len(sizes):
        raise UserError(
            f"--jobs {jobs}: {len(sizes)} runs at a time would take {sum(sizes) / 1e9:,.1f} GB of memory, and "
            f"{room / 1e9:,.1f} GB are free; --jobs {max(1, fitting)} fits"
        )


def _process_bytes(config: Configuration) -> int:
    if isinstance(config, RunConfig) and is_metaworld(config.task_set):
        return of_process(config, spec_of(config))
    return PROCESS  # the sizes of other tasks are not known yet


def probe(configs: Sequence[RunConfig]) -> None:
    """Find errors before the first step: reset and step your own environments, build networks without memory.

    Raises:
        UserError: an environment, a network or a balancer fails, or they do not fit together.
    """
    specs: dict[str, TaskSpec] = {}
    checked: list[tuple[Any, ...]] = []
    for config in configs:
        tasks = repr((config.task_set, config.environment, config.execution.stepping_options))
        if tasks not in specs:
            specs[tasks] = spec_of(config, probe=True)
        whole = (tasks, config.algorithm, config.algorithm_options, config.agent, config.method)
        if whole not in checked:
            checked.append(whole)
            if config.algorithm != registry.MTSAC:
                make_agent(config, specs[tasks])
                continue
            agent, network = settled(config.agent, {}, None, torch.device("cpu"))
            with torch.device("meta"):
                make_networks(specs[tasks], agent, network, torch.Generator())
            names = specs[tasks].task_names
            balancers.make(config.balancer, len(names), task_names=names, **config.balancer_options)
