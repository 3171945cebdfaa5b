"""The actor alone, on disk: weights as safetensors, sizes and names as JSON, the policy as ONNX where asked for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mtrl_conic.agents.model_card import model_card
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.normalisation.observations import Standardize
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.networks.actor_critic import Actor
from mtrl_conic.networks.gaussian import Gaussian
from mtrl_conic.schema import parse

if TYPE_CHECKING:
    from mtrl_conic.agents.mtsac.agent import MTSAC

FORMAT = 1
WEIGHTS, CONFIG, CARD, ONNX = "actor.safetensors", "config.json", "README.md", "actor.onnx"
_SCALE = "observations."


class Policy(nn.Module):
    """The deterministic policy of an actor: the mode of its actions.

    Args:
        spec: of the tasks.
        config: of the agent.
    """

    def __init__(self, spec: TaskSpec, config: AgentConfig) -> None:
        super().__init__()
        self.spec = spec
        self.actor = Actor(spec, config, generator=torch.Generator())
        over = config.observation_scale
        self.observations = nn.Identity() if over == "none" else Standardize(spec, over)
        self._mask = spec.action_mask()

    def weights(self) -> dict[str, Tensor]:
        """What the file holds: the actor's under their own names, before them those of the observations' scale."""
        scale = {_SCALE + name: value for name, value in self.observations.state_dict().items()}
        return scale | self.actor.state_dict()

    def load_weights(self, saved: dict[str, Tensor]) -> None:
        """Take over what `weights` gave."""
        scale = {name.removeprefix(_SCALE): value for name, value in saved.items() if name.startswith(_SCALE)}
        self.observations.load_state_dict(scale)
        self.actor.load_state_dict({name: value for name, value in saved.items() if not name.startswith(_SCALE)})

    def forward(self, observations: Tensor) -> Tensor:
        """(K, D), a row per task -> actions (K, A) in [-1, 1]."""
        return self._actions(observations.unsqueeze(1)).squeeze(1)

    def _actions(self, rows: Tensor) -> Tensor:
        gaussian: Gaussian = self.actor(self.observations(rows))
        actions = gaussian.mean.tanh()
        if self._mask is not None:
            actions = actions * self._mask
        return actions

    @torch.no_grad()
    def act(self, observations: NDArray[np.floating[Any]], *, task: str | None = None) -> NDArray[np.float32]:
        """As `MTSAC.act(..., deterministic=True)`."""
        rows = torch.as_tensor(self.spec.rows(observations, task), dtype=torch.float32)
        actions: NDArray[np.float32] = self._actions(rows).flatten(0, 1).numpy()
        if task is None:
            return actions
        place = self.spec.task_names.index(task)
        return actions[place, : self.spec.own_action_dim(place)]


def export_agent(
    agent: MTSAC,
    directory: str | Path,
    *,
    onnx: bool = False,
    run: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write `actor.safetensors`, `config.json`, a model card `README.md` and, with `onnx`, `actor.onnx`.

    Args:
        agent: whose actor is written.
        directory: made where it is missing; files of these names are replaced.
        onnx: also write the deterministic policy for ONNX runtimes: `observations` (K, D) to `actions` (K, A).
        run: complete configuration of the run that trained the agent, for the card.
        result: `result.json` of that run, for the card.

    Returns:
        The files written.

    Raises:
        UserError: the directory cannot be written, or `onnx` is not installed.
    """
    folder, spec = Path(directory), agent.spec
    policy = Policy(spec, agent.config)
    policy.actor.load_state_dict({name: value.cpu() for name, value in agent.policy.state_dict().items()})
    if agent.observation_scale is not None:
        policy.observations.load_state_dict(agent.observation_scale.standardize.state_dict())
    described = {
        "format": FORMAT,
        "mtrl_conic": version("mtrl-conic"),
        "spec": {field: getattr(spec, field) for field in spec.__dataclass_fields__},
        "agent": agent.config.model_dump(mode="json"),
        "balancer": agent.balancer_name,
        "balancer_options": agent.balancer_options,
        "seed": agent.seed,
    }
    files = [folder / name for name in (WEIGHTS, CONFIG, CARD)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Views into the optimiser's block cannot be saved as they are.
        save_file({name: value.contiguous().clone() for name, value in policy.weights().items()}, files[0])
        files[1].write_text(json.dumps(described, indent=2) + "\n")
        files[2].write_text(model_card(agent, run=run, result=result, onnx=onnx))
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    if onnx:
        files.append(_write_onnx(policy, folder / ONNX))
    return files


def load_policy(directory: str | Path) -> Policy:
    """The policy that `export_agent` wrote, on the CPU. Nothing is unpickled.

    Raises:
        UserError: it is not there, or not readable.
    """
    folder = Path(directory)
    try:
        described = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except OSError as error:
        raise UserError(f"there is no exported agent at {folder}: {first_line(error)}") from None
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} is not valid JSON: {first_line(error)}") from None
    if described.get("format") != FORMAT:
        raise UserError(f"{folder} has format {described.get('format')!r}, this version reads {FORMAT}")
    policy = Policy(
        TaskSpec.read(described["spec"]), parse(AgentConfig, described["agent"], where=str(folder / CONFIG))
    )
    policy.load_weights(weights)
    return policy.eval()


def _write_onnx(policy: Policy, file: Path) -> Path:
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it, and onnx
    except ImportError:
        raise UserError("ONNX needs two more packages: pip install onnx onnxscript") from None
    spec = policy.spec
    example = torch.zeros(len(spec.task_names), spec.observation_dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations inside its exporter
        torch.onnx.export(
            policy.eval(),
            (example,),
            file,
            input_names=["observations"],
            output_names=["actions"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return file
