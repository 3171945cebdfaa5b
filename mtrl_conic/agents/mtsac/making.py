"""The parts of an agent, built from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtrl_conic.agents.mtsac.component import Component
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.temperatures import Temperatures
from mtrl_conic.agents.normalisation.observations import ObservationScale
from mtrl_conic.agents.normalisation.returns import ReturnScale
from mtrl_conic.agents.normalisation.rewards import RewardScale
from mtrl_conic.balancers import Balancer
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution.device import fast_precision
from mtrl_conic.networks.actor_critic import Actor, Critic, in_trunk
from mtrl_conic.networks.registry import MakeTrunk, Network, choose
from mtrl_conic.networks.trying import check_networks
from mtrl_conic.networks.values import make_value
from mtrl_conic.schema import parse

_SURE = 32
"""With at least this many transitions per task, a batch drawn over K tasks lacks one with probability < K e^-32."""


def settled(
    config: AgentConfig | None, fields: Mapping[str, Any], network: str | MakeTrunk | None, device: torch.device
) -> tuple[AgentConfig, Network]:
    """Resolve the configuration of an agent completely, and choose its network.

    Args:
        config: configuration of the agent, or None.
        fields: fields of the configuration, if `config` is None.
        network: a network that replaces the one in the configuration.
        device: the device that determines the precision `auto`.

    Raises:
        UserError: both were given, a name is unknown, or a value is out of range.
    """
    if config is not None and fields:
        raise UserError(f"config=... and {next(iter(fields))}=... were both given: use either config or single fields")
    config = config or parse(AgentConfig, fields)
    chosen = choose(network or config.network, config.network_options)
    precision = fast_precision(device) if config.precision == "auto" else config.precision
    return config.model_copy(update={"network": chosen.name, "precision": precision}), chosen


def make_networks(
    spec: TaskSpec, config: AgentConfig, network: Network, generator: torch.Generator
) -> tuple[Critic, Actor]:
    """Make the untrained networks of an agent on torch's default device.

    Args:
        spec: names and sizes of the tasks.
        config: configuration of the agent.
        network: the network that it chooses.
        generator: random generator for the initial values, on the CPU.

    Raises:
        UserError: a network of the user's own cannot be made or cannot compute its outputs.
    """
    value, log_std_range = make_value(config), (config.log_std_min, config.log_std_max)
    of_critics: dict[str, Any] = {"value": value, "critics": config.critics, "twins": config.twins}
    critic = Critic(spec, network, config.critic_layers, **of_critics, generator=generator)
    bounds: dict[str, Any] = {"log_std_range": log_std_range, "log_std": config.log_std}
    actor = Actor(spec, network, config.actor_layers, generator=generator, **bounds)
    check_networks(spec, network.name, critic, actor)
    return critic, actor


def make_component(network: Critic | Actor, config: AgentConfig, balancer: Balancer) -> Component:
    """Make the actor or the critic with its optimiser and balancer; the network must already be on its device.

    Raises:
        UserError: batches may lack tasks, and the balancer needs every task.
    """
    if config.batch == "uniform" and config.batch_size < _SURE and balancer.every_task:
        raise UserError(
            f"{balancer.name} needs every task, and a batch=uniform with batch_size={config.batch_size} may lack one: "
            f"choose batch_size={_SURE} or more, or batch=balanced"
        )
    critic = isinstance(network, Critic)
    return Component(
        "critic" if critic else "actor",
        network,
        balancer,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay if critic else config.actor_weight_decay,
        balanced=in_trunk if config.shared_parameters == "trunk" else lambda name: True,
    )


def make_temperatures(spec: TaskSpec, config: AgentConfig, device: torch.device) -> Temperatures:
    """Make one temperature per task or one for all; the default target entropy is minus the number of actions."""
    target: float | Tensor | None = config.target_entropy
    if target is None:
        sizes = spec.action_dims
        target = -float(spec.action_dim) if sizes is None else -torch.tensor(sizes, device=device).float()
    return Temperatures(
        len(spec.task_names),
        shared=config.temperatures == "shared",
        initial=config.initial_temperature,
        target_entropy=target,
        learning_rate=config.temperature_learning_rate,
        device=device,
    )


def make_scales(
    spec: TaskSpec, config: AgentConfig, device: torch.device
) -> tuple[ObservationScale | None, ReturnScale, RewardScale | None]:
    """Make the scales of observations, returns and rewards that the configuration asks for."""
    over, count = config.observation_scale, len(spec.task_names)
    observations = None if over == "none" else ObservationScale(spec, over, device)
    rewards = RewardScale(count, config.deviation_rate) if config.reward_scale == "deviation" else None
    return observations, ReturnScale(count, config.discount, config.return_limit, device), rewards
