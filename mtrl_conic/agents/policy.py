"""The policy of an agent as a separate object that acts, can be saved and loaded, and knows its provenance."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mtrl_conic import files
from mtrl_conic.agents.normalisation.observations import Standardize
from mtrl_conic.envs.spec import TaskSpec, as_tensor
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.gradients.mode import in_evaluation
from mtrl_conic.networks.actor_critic import Actor
from mtrl_conic.networks.onnx_file import write_onnx
from mtrl_conic.networks.registry import MakeTrunk
from mtrl_conic.reading import open_regular, read_json

FORMAT = 2
DESCRIPTION = "policy.json"
"""The file that `Policy.save` writes last; it names the file of the weights beside it."""


class Policy(nn.Module):
    """The deterministic policy of an actor: the mode of its actions.

    Args:
        spec: names and sizes of the tasks.
        actor: the network that maps observations to a Gaussian over actions before tanh.
        observations: the module that normalises observations; None for no normalisation.
        provenance: origin of the policy in plain values, which is saved with it.
    """

    _mask: Tensor | None
    _low: Tensor
    _high: Tensor

    def __init__(
        self,
        spec: TaskSpec,
        actor: Actor,
        observations: Standardize | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.provenance = dict(provenance or {})
        self.actor = actor
        self.observations = nn.Identity() if observations is None else observations
        device = next(actor.parameters()).device
        self.register_buffer("_mask", spec.action_mask(device), persistent=False)
        for side, name in enumerate(("_low", "_high")):
            self.register_buffer(name, spec.action_limits(side).to(device), persistent=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.in_words()})"

    def forward(self, rows: Tensor) -> Tensor:
        """Observations (K, B, D), B rows per task -> actions (K, B, A) in [-1, 1], with 0 for padding."""
        actions: Tensor = self.actor(self.observations(rows)).mean.tanh()
        return actions if self._mask is None else actions * self._mask

    @overload
    def act(self, observations: Tensor, *, task: str | None = None, own_units: bool = False) -> Tensor: ...

    @overload
    def act(self, observations: ArrayLike, *, task: str | None = None, own_units: bool = False) -> NDArray[Any]: ...

    @torch.no_grad()
    def act(
        self, observations: ArrayLike | Tensor, *, task: str | None = None, own_units: bool = False
    ) -> NDArray[Any] | Tensor:
        """Return actions for observations.

        Args:
            observations: numbers in an array, a list or a tensor: B rows of every task, (K, B, D) or (K B, D), ordered
                by task; (K, D) is one row per task. With `task`, observations of that task: one, (D,), or several, (B,
                D), or in the task's own size without one-hot code and padding.
            task: name of a task.
            own_units: whether to map the actions from [-1, 1] to the bounds of the task's own action space.

        Returns:
            float32 of the shape of the observations, with the size of the actions as the last axis: A, with 0 for
            padding; with `task`, the size of that task's actions. A tensor for tensors, otherwise an array.

        Raises:
            UserError: an unknown task, another shape, or values that are not numbers.
        """
        given = as_tensor(observations)
        actions = self(self.spec.rows(given, task).to(self._low.device))
        if own_units:
            actions = self.in_own_units(actions)
        actions = self.spec.shaped(actions, given, task)
        return actions.to(given.device) if isinstance(observations, Tensor) else actions.cpu().numpy()

    def in_own_units(self, actions: Tensor) -> Tensor:
        """Map actions (K, B, A) from [-1, 1] to the bounds of each task's own action space."""
        own: Tensor = self._low + (actions.double() + 1) / 2 * (self._high - self._low)
        return own.float()

    def save(self, directory: str | Path) -> list[Path]:
        """Write the weights as safetensors and then `policy.json`, which names them.

        A policy that was there before is replaced completely or not at all.

        Args:
            directory: folder to write to; it is created if needed.

        Returns:
            The files written.

        Raises:
            UserError: the policy cannot be written, or its network keeps numbers that would not be.
        """
        folder = Path(directory)
        # Views into the block of an optimiser cannot be saved as they are.
        tensors = {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}
        weights = safetensors.torch.save(tensors)
        digest = hashlib.sha256(weights).hexdigest()
        name = f"actor-{digest[:12]}.safetensors"
        described = {
            "format": FORMAT,
            "mtrl_conic": version("mtrl-conic"),
            "weights": {"file": name, "sha256": digest},
            "spec": asdict(self.spec),
            "actor": self.actor.description(),
            "observation_scale": self.observations.over if isinstance(self.observations, Standardize) else "none",
            "provenance": self.provenance,
        }
        if self._low.device.type == "cpu":  # elsewhere, products are rounded in other ways
            self._check_rebuilt(self._of(described, tensors, self.actor.network.make_trunk))
        with files.told_of(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = _weights_named_in(folder)
            files.replace(folder / name, weights)
            files.replace(folder / DESCRIPTION, (json.dumps(described, indent=2) + "\n").encode())
            if before is not None and before.name != name:
                before.unlink(missing_ok=True)
        return [folder / name, folder / DESCRIPTION]

    def _check_rebuilt(self, again: Policy) -> None:
        """Check that a policy that was built again from what is saved acts like this one.

        Raises:
            UserError: it does not, because the network keeps numbers that are not part of its state.
        """
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn((len(self.spec.task_names), 4, self.spec.observation_dim), generator=generator)
        with torch.no_grad(), in_evaluation(self):
            if not torch.allclose(again(rows), self(rows), rtol=1e-3, atol=1e-4, equal_nan=True):
                raise UserError(
                    f"the network {self.actor.network.name} keeps numbers outside its state_dict, so a saved policy "
                    "would act differently: give them to register_buffer"
                )

    @classmethod
    def load(cls, directory: str | Path, *, network: MakeTrunk | None = None) -> Policy:
        """Load a policy that `save` wrote, onto the CPU. Nothing is unpickled.

        Args:
            directory: folder that it was saved in.
            network: the factory of its actor's trunk, if its name is not registered.

        Raises:
            UserError: the policy does not exist, it is damaged, or its network is not registered.
        """
        folder = Path(directory)
        described = _read_description(folder)
        weights = _read_weights(folder, described["weights"])
        try:
            return cls._of(described, weights, network)
        except UserError:
            raise
        except Exception as error:  # values of other kinds and sizes fail anywhere in a network
            raise UserError(f"the weights in {folder} do not fit their description: {first_line(error)}") from None

    @classmethod
    def _of(cls, described: Mapping[str, Any], weights: Mapping[str, Tensor], network: MakeTrunk | None) -> Policy:
        largest = sum(weight.numel() for weight in weights.values())
        if any(size > largest for size in _whole_numbers([described["spec"], described["actor"]])):
            # Such a network might not fit into memory.
            raise ValueError(f"it describes a network with more than the {largest:,} numbers saved")
        spec, over = TaskSpec.read(described["spec"]), described.get("observation_scale")
        actor = Actor.described(spec, described["actor"], network=network)
        scale = Standardize(spec, over) if over in ("shared", "task") else None
        policy = cls(spec, actor, scale, provenance=described["provenance"])
        policy.load_state_dict(weights)
        return policy.requires_grad_(False).eval()

    def export_onnx(self, file: str | Path, *, task: str | None = None, own_units: bool = False) -> Path:
        """Write the policy for ONNX runtimes, for any number B of rows (needs `onnx` and `onnxscript`).

        Args:
            file: file to write; it is replaced.
            task: the task whose own `observations`, (B, d), are mapped to its own `actions`, (B, a). None: the
                observations of all tasks, (K, B, D), are mapped to (K, B, A).
            own_units: see `act`.

        Raises:
            UserError: an unknown task, a missing package, or a file that cannot be written.
        """
        place = None if task is None else self.spec.place(task)
        size = self.spec.observation_dim if place is None else self.spec.own_observation_dim(place)
        example = torch.zeros(2, size) if place is not None else torch.zeros(len(self.spec.task_names), 2, size)
        return write_onnx(_Exported(self, place, own_units), example, Path(file))


class _Exported(nn.Module):
    """The module that is exported to ONNX."""

    def __init__(self, policy: Policy, place: int | None, own_units: bool) -> None:
        super().__init__()
        self.policy = copy.deepcopy(policy).cpu().eval()
        self.place, self.own_units = place, own_units

    def forward(self, observations: Tensor) -> Tensor:
        policy, place = self.policy, self.place
        actions: Tensor = policy(observations if place is None else policy.spec.rows_of_task(observations, place))
        if self.own_units:
            actions = policy.in_own_units(actions)
        return actions if place is None else actions[place, :, : policy.spec.own_action_dim(place)]


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    if not file.exists():
        raise UserError(f"there is no saved policy at {folder}: it has no {file.name}")
    described = read_json(file)
    form = described.get("format") if isinstance(described, dict) else None
    if form != FORMAT:
        raise UserError(f"{file} has format {form!r}, but this version reads {FORMAT}; save the policy again")
    missing = [key for key in ("weights", "spec", "actor", "provenance") if not isinstance(described.get(key), dict)]
    if missing:
        raise UserError(f"{file} does not describe a policy: {missing[0]!r} is missing")
    return dict(described)


def _read_weights(folder: Path, named: Mapping[str, Any]) -> dict[str, Tensor]:
    file = folder / Path(str(named.get("file"))).name
    try:
        with open_regular(file) as opened:
            data = opened.read()
    except OSError as error:
        described = folder / DESCRIPTION
        raise UserError(f"{described} names weights that are not there: {file.name}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != named.get("sha256"):
        raise UserError(f"{file} is damaged: its checksum is not that in {DESCRIPTION}")
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # safetensors' own error, or one for numbers that do not form a tensor
        raise UserError(f"{file} contains no weights: {first_line(error)}") from None


def _whole_numbers(values: Any) -> Iterator[int]:
    """Yield all whole numbers in nested lists and mappings."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _whole_numbers(value)
    elif isinstance(values, int):
        yield values


def _weights_named_in(folder: Path) -> Path | None:
    """Return the weights file of a policy that is already saved in `folder`, or None."""
    try:
        return folder / Path(_read_description(folder)["weights"]["file"]).name
    except (UserError, KeyError, TypeError):
        return None
