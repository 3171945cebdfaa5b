"""The losses of soft actor-critic (Haarnoja et al., 2018), one per task."""

from __future__ import annotations

from torch import Tensor

from mtrl_conic.gradients import Layout
from mtrl_conic.networks.actor_critic import Actor, Critic
from mtrl_conic.networks.gaussian import squashed_sample


def critic_losses(critic: Critic, observations: Tensor, actions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss of each task's values against their targets, summed over the twins, (K,); and the mean value, (K,)."""
    outputs = critic(observations, actions)
    losses = critic.value.loss(outputs, targets).mean(-1).sum(0)
    return losses, critic.value.mean(outputs.detach()).mean((0, 2))


def actor_losses(
    actor: Actor,
    observations: Tensor,
    noise: Tensor,
    temperature: Tensor,
    own: dict[str, Tensor],
    mask: Tensor | None = None,
    *,
    critic: Layout,
) -> tuple[Tensor, Tensor]:
    """Mean of alpha log pi - Q of each task, (K,); and the mean log-density, (K,).

    `own` are the critic's task parameters: as an input with a task axis they follow the rows they belong to. `mask` is
    that of the actions, see `squashed_sample`.
    """
    actions, log_density = squashed_sample(actor(observations), noise, mask)
    module = critic.module
    assert isinstance(module, Critic)
    with critic.swapped(own):
        values = module.values(observations, actions)
    return (temperature.unsqueeze(-1) * log_density - values).mean(-1), log_density.mean(-1)
