"""A run's agent, read from its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mtrl_conic.agents import Agent
from mtrl_conic.envs import TaskSet
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.runs.config import RunConfig, require_modules
from mtrl_conic.runs.configuration import check_kind
from mtrl_conic.runs.making import make_agent, make_evaluation_envs
from mtrl_conic.runs.stored import read_checkpoint, read_config
from mtrl_conic.schema import parse


class LoadedRun(NamedTuple):
    """A run loaded from its checkpoint."""

    config: RunConfig
    agent: Agent
    envs: TaskSet
    """The task set for evaluation; the caller closes it."""


def load_agent(directory: Path, *, device: str = "auto", checkpoint: Path | None = None) -> LoadedRun:
    """Load the configuration of a run, the agent of its last checkpoint, and a task set for evaluation.

    Args:
        directory: directory of the run.
        device: device of the networks.
        checkpoint: another file to load, such as `checkpoints/best.pt`, see `KeepBest`.
    """
    config, saved = read_run(directory, checkpoint=checkpoint)
    config = config.model_copy(update={"execution": config.execution.model_copy(update={"device": device})})
    envs = make_evaluation_envs(config)
    agent = make_agent(config, envs)
    take_up(agent, saved, of=checkpoint or directory)
    return LoadedRun(config, agent, envs)


def read_run(directory: Path, *, checkpoint: Path | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """Read the configuration of a run and the content of its last checkpoint, or of the file `checkpoint`."""
    values = read_config(directory)
    check_kind(values, "reinforcement", where=directory)
    require_modules(values, of=str(directory))
    config = parse(RunConfig, values, where=str(directory / "config.yaml"))
    saved = read_checkpoint(directory, checkpoint)
    if saved is None:
        raise UserError(f"the run {directory} has no checkpoint yet")
    if "agent" not in saved or "step" not in saved:
        raise UserError(f"{checkpoint or directory} has no checkpoint of an agent")
    return config, saved


def take_up(agent: Agent, saved: dict[str, Any], *, of: Path) -> None:
    """Load the state in a checkpoint into an agent.

    Args:
        agent: agent of the run's configuration.
        saved: content of the checkpoint.
        of: the run or the file, for the message.

    Raises:
        UserError: the state is that of another agent.
    """
    try:
        agent.load_state_dict(saved["agent"])
    except (UserError, RuntimeError, KeyError, TypeError) as error:  # torch raises these for other shapes and names
        raise UserError(f"the checkpoint of {of} does not fit its configuration: {first_line(error)}") from None
