"""An agent in one file, and what is told of it where its policy goes."""

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
"""Of no agent's configuration any more, but of those that earlier versions saved."""
_KINDS = {"spec": dict, "config": dict, "balancer": str, "seed": int, "state": dict}
"""What a file must hold."""


@dataclass(frozen=True)
class SavedAgent:
    """What an agent was made from, and its state."""

    spec: TaskSpec
    config: AgentConfig
    balancer: str
    balancer_options: dict[str, Any]
    seed: int
    state: dict[str, Any]
    named: bool = True
    """Whether name and options of the balancer say all."""

    @classmethod
    def of(cls, agent: MTSAC) -> SavedAgent:
        """Of an agent as it is now."""
        method = agent.balancing
        return cls(agent.spec, agent.config, method.name, method.options, agent.seed, agent.state_dict(), method.named)

    def arguments(self, balancer: Method | None = None) -> dict[str, Any]:
        """What `MTSAC` takes to make the agent again.

        Args:
            balancer: see `read`.
        """
        options = {} if isinstance(balancer, Balancer) else self.balancer_options
        method = self.balancer if balancer is None else balancer
        return {"balancer": method, "balancer_options": options, "seed": self.seed, "config": self.config}

    def write(self, path: Path) -> None:
        """Put it in the place of what `path` holds.

        Raises:
            UserError: it cannot be written; what was there before is still there.
        """
        buffer = io.BytesIO()
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        torch.save({**values, "spec": asdict(self.spec), "config": self.config.model_dump()}, buffer)
        files.write(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path, *, balancer: Method | None = None, tasks: TaskSpec | None = None) -> SavedAgent:
        """What `write` wrote, on the CPU. Nothing is unpickled but tensors and numbers.

        Args:
            path: of the file.
            balancer: given in the place of the one that it names.
            tasks: that it must be of.

        Raises:
            UserError: there is no file, it holds something else, an agent of other tasks, or one whose balancer it
                cannot name.
        """
        saved = _read(path)
        spec, named = TaskSpec.read(saved["spec"]), saved.get("named", True)
        if tasks not in (None, spec):
            raise UserError(f"the agent at {path} was trained on other tasks or sizes: {', '.join(spec.task_names)}")
        if balancer is None and not named:
            name = saved["balancer"]
            raise UserError(f"the agent at {path} has a balancer of its own, {name}: give it again, balancer=...")
        config = {name: value for name, value in saved["config"].items() if name not in _EXECUTION}
        checked = parse(AgentConfig, config, where=str(path))
        return cls(spec, checked, saved["balancer"], saved["balancer_options"], saved["seed"], saved["state"], named)


def provenance(agent: MTSAC) -> dict[str, Any]:
    """Where a policy comes from, in plain values."""
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
        raise UserError(f"{path} is damaged or is no saved agent: {error}") from None
    if isinstance(saved, dict) and {"agent", "replay"} <= saved.keys():
        raise UserError(f"{path} is a run's checkpoint, no saved agent; `mtrl-conic export` takes the run's folder")
    missing = set(_KINDS) - (saved.keys() if isinstance(saved, dict) else set())
    if missing:
        raise UserError(f"{path} is no saved agent: {min(missing)} is missing")
    for name, kind in _KINDS.items():
        if not isinstance(saved[name], kind):
            raise UserError(f"{path} is no saved agent: its {name} is {str(saved[name])[:40]!r}")
    return dict(saved)
