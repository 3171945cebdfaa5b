"""Actors and critics for K tasks, built from layers that yield per-task gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError, first_line
from mtrl_conic.gradients import Linear, TaskLinear
from mtrl_conic.networks.gaussian import Gaussian
from mtrl_conic.networks.hidden import Hidden
from mtrl_conic.networks.registry import MakeTrunk, Network, choose
from mtrl_conic.networks.values import CategoricalValue, ScalarValue
from mtrl_conic.schema import check_arguments


def in_trunk(name: str) -> bool:
    """Return whether the parameter of this name, in an actor or a critic, is before the last layer."""
    return "trunk" in name.split(".")


class _TrunkAndOutput(nn.Module):
    """A trunk and a last layer, which is made by the trunk, separate for each task, or shared."""

    def __init__(
        self, spec: TaskSpec, extra: int, outputs: int, network: Network, hidden: Hidden, generator: torch.Generator
    ) -> None:
        super().__init__()
        takes = f"the network {network.name} must take (spec, extra, hidden, *, generator)"
        given: dict[str, Any] = {"generator": generator, **network.options}
        check_arguments(network.make_trunk, [spec, extra, hidden], given, takes=takes)
        self.trunk = network.make_trunk(spec, extra, hidden, **given)
        self._width = None if hasattr(self.trunk, "make_output") else hidden.width
        self.output: nn.Module
        make_output = getattr(self.trunk, "make_output", None)
        if callable(make_output):
            self.output = make_output(outputs, generator)
        elif network.own_output:
            self.output = TaskLinear(len(spec.task_names), hidden.width, outputs, generator=generator)
        else:
            self.output = Linear(hidden.width, outputs, generator=generator)

    @property
    def is_users(self) -> bool:
        """Whether the trunk is not one of this package's."""
        return not type(self.trunk).__module__.startswith("mtrl_conic.")

    def _outputs(self, *inputs: Tensor) -> Tensor:
        """Return the outputs (K, B, outputs) for observations (K, B, D) and, in a critic, actions (K, B, A)."""
        features = self.trunk(*inputs)
        if not isinstance(features, Tensor):
            raise UserError(
                f"a trunk must return a tensor (K, B, hidden.width), and returned {type(features).__name__}"
            )
        if self._width is not None and features.shape != (*inputs[0].shape[:-1], self._width):
            raise UserError(
                f"a trunk must return (K, B, hidden.width), here {(*inputs[0].shape[:-1], self._width)}, and returned "
                f"{tuple(features.shape)}"
            )
        outputs: Tensor = self.output(features)
        return outputs


class Actor(_TrunkAndOutput):
    """A tanh-squashed Gaussian policy (Haarnoja et al., Soft actor-critic algorithms and applications, 2018).

    Args:
        spec: names and sizes of the tasks.
        network: the network that it is built from.
        hidden: settings of its hidden layers.
        log_std_range: smallest and largest log standard deviation before tanh.
        log_std: how it is limited to that range: clamped, or mapped to it by a tanh.
        generator: random generator for the initial values.
    """

    def __init__(
        self,
        spec: TaskSpec,
        network: Network,
        hidden: Hidden,
        *,
        log_std_range: tuple[float, float] = (-20.0, 2.0),
        log_std: Literal["clamp", "tanh"] = "clamp",
        generator: torch.Generator,
    ) -> None:
        super().__init__(spec, 0, 2 * spec.action_dim, network, hidden, generator)
        self.network, self.hidden, self.log_std_range, self.log_std = network, hidden, log_std_range, log_std

    def forward(self, observations: Tensor) -> Gaussian:
        """(K, B, D) -> the Gaussian before tanh, (K, B, A)."""
        mean, log_std = self._outputs(observations).chunk(2, dim=-1)
        if self.log_std == "clamp":
            return Gaussian(mean, log_std.clamp(*self.log_std_range))
        least, largest = self.log_std_range
        return Gaussian(mean, least + (largest - least) / 2 * (1 + torch.tanh(log_std)))

    def description(self) -> dict[str, Any]:
        """Return a description in plain values, from which `described` builds the actor again."""
        return {
            "network": self.network.name,
            "network_options": dict(self.network.options),
            "hidden": asdict(self.hidden),
            "log_std_range": list(self.log_std_range),
            "log_std": self.log_std,
        }

    @classmethod
    def described(cls, spec: TaskSpec, description: Mapping[str, Any], *, network: MakeTrunk | None = None) -> Actor:
        """Build an actor from a `description`; its parameters have new values.

        Args:
            spec: names and sizes of the tasks.
            description: the result of `description`.
            network: the factory of its trunk, if its name is not registered.

        Raises:
            UserError: the network is unknown, or the description is invalid.
        """
        try:
            return cls(
                spec,
                choose(description["network"] if network is None else network, description["network_options"]),
                Hidden(**description["hidden"]),
                log_std_range=tuple(description["log_std_range"]),
                log_std=description.get("log_std", "clamp"),  # older descriptions lack it
                generator=torch.Generator(),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{first_line(error)}: this does not describe an actor") from None


class ActionValue(_TrunkAndOutput):
    """One critic, whose outputs are interpreted by a `ScalarValue` or a `CategoricalValue`."""

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, D), (K, B, A) -> (K, B, outputs)."""
        return self._outputs(observations, actions)


class Critic(nn.Module):
    """Action-value networks with separate parameters, by default two.

    Args:
        spec: names and sizes of the tasks.
        network: the network that they are built from.
        hidden: settings of their hidden layers.
        value: interpretation of their outputs.
        critics: their number.
        twins: how their values are combined.
        generator: random generator for the initial values.
    """

    def __init__(
        self,
        spec: TaskSpec,
        network: Network,
        hidden: Hidden,
        *,
        value: ScalarValue | CategoricalValue,
        critics: int = 2,
        twins: Literal["min", "mean"] = "min",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.value = value
        self.reduce = torch.amin if twins == "min" else torch.mean
        self.twins = nn.ModuleList(
            ActionValue(spec, spec.action_dim, value.outputs, network, hidden, generator) for _ in range(critics)
        )

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(K, B, D), (K, B, A) -> the outputs of the C critics, (C, K, B, outputs)."""
        return torch.stack([twin(observations, actions) for twin in self.twins])

    def values(self, observations: Tensor, actions: Tensor, *, first: bool = False) -> Tensor:
        """(K, B, D), (K, B, A) -> the critics' minimum or mean, or the value of the first critic alone, (K, B)."""
        if first:
            return self.value.mean(self.twins[0](observations, actions))
        values: Tensor = self.reduce(self.value.mean(self(observations, actions)), 0)
        return values
