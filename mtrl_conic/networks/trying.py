"""One pass through the networks of a user before they are trained, so that mistakes end in one line."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError, first_line, origin
from mtrl_conic.gradients.mode import in_evaluation
from mtrl_conic.networks.actor_critic import Actor, Critic

_ROWS = 2


def check_networks(spec: TaskSpec, name: str, critic: Critic, actor: Actor) -> None:
    """Check that networks compute outputs from zeros, with parameters in float32.

    Networks of this package, and those on torch's meta device, are not tried.

    Args:
        spec: names and sizes of the tasks.
        name: name of the network that actor and critic are built from.
        critic: the critic.
        actor: the actor.

    Raises:
        UserError: a parameter has no size or another type, or the network raises an error or returns something else.
    """
    if not actor.is_users:
        return
    for part in (critic, actor):
        _check_parameters(name, part)
    if any(parameter.is_meta for parameter in actor.parameters()):
        return
    count = len(spec.task_names)
    observations, actions = torch.zeros(count, _ROWS, spec.observation_dim), torch.zeros(count, _ROWS, spec.action_dim)
    try:
        with torch.no_grad(), in_evaluation(critic), in_evaluation(actor), torch.random.fork_rng([]):
            critic(observations, actions)
            actor(observations)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the network {name}: {type(error).__name__}: {first_line(error)}{origin(error)}") from error


def _check_parameters(name: str, network: nn.Module) -> None:
    for path, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise UserError(f"the network {name}: {path} has no size yet; use layers that are given their sizes")
        if parameter.dtype != torch.float32:
            raise UserError(f"the network {name}: {path} is of type {parameter.dtype}; parameters must be float32")
