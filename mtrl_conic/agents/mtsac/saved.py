"""Saving an agent to one file, and the provenance of its policy."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mtrl_conic import files
from mtrl_conic.agents.mtsac.balancing import Method
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.archives import load_archive
from mtrl_conic.balancers import Balancer
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import Damaged, UserError
from mtrl_conic.reading import open_regular
from mtrl_conic.schema import parse

if TYPE_CHECKING:
    from mtrl_conic.agents.mtsac.agent import MTSAC

_EXECUTION = ("compile", "record_updates")
"""Fields that only configurations saved by earlier versions contain."""
_KINDS = {"spec": dict, "config": dict, "balancer": str, "seed": int, "state": dict}
"""The required entries of a file."""


@dataclass(frozen=True)
class SavedAgent:
    """The arguments and the state of an agent."""

    spec: TaskSpec
    config: AgentConfig
    balancer: str
    balancer_options: dict[str, Any]
    seed: int
    state: dict[str, Any]
    named: bool = True
    """Whether the name and the options describe the balancer completely."""

    @classmethod
    def of(cls, agent: MTSAC) -> SavedAgent:
        """Return the saved form of an agent in its current state."""
        method = agent.balancing
        return cls(agent.spec, agent.config, method.name, method.options, agent.seed, agent.state_dict(), method.named)

    def arguments(self, balancer: Method | None = None) -> dict[str, Any]:
        """Return the arguments with which `MTSAC` makes the agent again.

        Args:
            balancer: see `read`.
        """
        options = {} if isinstance(balancer, Balancer) else self.balancer_options
        method = self.balancer if balancer is None else balancer
        return {"balancer": method, "balancer_options": options, "seed": self.seed, "config": self.config}

    def write(self, path: Path) -> None:
        """Replace the content of `path`.

        Raises:
            UserError: the file cannot be written; its previous content is kept.
        """
        buffer = io.BytesIO()
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        torch.save({**values, "spec": asdict(self.spec), "config": self.config.model_dump()}, buffer)
        files.write(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path, *, balancer: Method | None = None, tasks: TaskSpec | None = None) -> SavedAgent:
        """Read a file that `write` wrote, onto the CPU. Only tensors and numbers are unpickled.

        Args:
            path: path of the file.
            balancer: a balancer that replaces the one in the file.
            tasks: tasks that the agent must have.

        Raises:
            UserError: the file does not exist or contains something else, the agent has other tasks, or its balancer is
                not registered.
        """
        saved = _read(path)
        spec, named = TaskSpec.read(saved["spec"]), saved.get("named", True)
        if tasks not in (None, spec):
            raise UserError(f"the agent at {path} was trained on other tasks or sizes: {', '.join(spec.task_names)}")
        if balancer is None and not named:
            name = saved["balancer"]
            raise UserError(f"the agent at {path} has a balancer that is not registered, {name}: pass balancer=...")
        config = {name: value for name, value in saved["config"].items() if name not in _EXECUTION}
        checked = parse(AgentConfig, config, where=str(path))
        return cls(spec, checked, saved["balancer"], saved["balancer_options"], saved["seed"], saved["state"], named)


def provenance(agent: MTSAC) -> dict[str, Any]:
    """Return the provenance of a policy in plain values."""
    return {
        "agent": type(agent).__name__,
        "base": agent.config.base,
        "balancer": agent.balancing.name,
        "balancer_options": agent.balancing.options,
        "seed": agent.seed,
        "updates": agent.updates,
        "config": agent.config.model_dump(mode="json"),
    }


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file that an agent was saved to")
    try:
        with open_regular(path) as handle:
            saved = load_archive(handle)
    except OSError:
        raise UserError(f"there is no saved agent at {path}") from None
    except Damaged as error:
        raise UserError(f"{path} is damaged or is not a saved agent: {error}") from None
    if isinstance(saved, dict) and {"agent", "replay"} <= saved.keys():
        raise UserError(f"{path} is the checkpoint of a run, not a saved agent: use `mtrl-conic export` on the run")
    missing = set(_KINDS) - (saved.keys() if isinstance(saved, dict) else set())
    if missing:
        raise UserError(f"{path} is not a saved agent: {min(missing)} is missing")
    for name, kind in _KINDS.items():
        if not isinstance(saved[name], kind):
            raise UserError(f"{path} is not a saved agent: its {name} is {str(saved[name])[:40]!r}")
    return dict(saved)
