"""The losses of soft actor-critic (Haarnoja et al., 2018), one per task."""

from __future__ import annotations

from torch import Tensor

from mtrl_conic.agents.protocol import ERRORS, Statistics
from mtrl_conic.gradients import Layout
from mtrl_conic.networks.actor_critic import Actor, Critic
from mtrl_conic.networks.gaussian import squashed_sample


def critic_losses(
    critic: Critic,
    observations: Tensor,
    actions: Tensor,
    targets: Tensor,
    weights: tuple[Tensor, ...] = (),
    *,
    errors: bool = False,
) -> tuple[Tensor, Statistics]:
    """Return the mean loss of each task, summed over the critics, (K,), and statistics.

    The statistics are the mean value of each task, (K,), and with `errors` the absolute difference between the mean
    value of the critics and the target for each row, (K, B). `weights` are `Batch.weights`.
    """
    outputs = critic(observations, actions)
    losses = _mean(critic.value.loss(outputs, targets), *weights).sum(0)
    values = critic.value.mean(outputs.detach())
    told = {"critic/value": _mean(values, *weights).mean(0) if weights else values.mean((0, 2))}
    if errors:
        told[ERRORS] = (values.mean(0) - critic.value.of_target(targets)).abs()
    return losses, told


def actor_losses(
    actor: Actor,
    observations: Tensor,
    noise: Tensor,
    temperature: Tensor,
    own: dict[str, Tensor],
    masks: tuple[Tensor, ...] = (),
    weights: tuple[Tensor, ...] = (),
    *,
    critic: Layout,
    first_critic: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the mean of alpha log pi - Q of each task, (K,), and the mean log-density, (K,).

    `own` are the per-task parameters of the critic, passed as an input with a task axis so that they stay with the
    rows of their task. `masks` is empty or the mask of the actions, see `squashed_sample`; `weights` are
    `Batch.weights`; with `first_critic`, Q is the value of the first critic alone (TD3, Fujimoto et al., 2018,
    Algorithm 1).
    """
    actions, log_density = squashed_sample(actor(observations), noise, *masks)
    module = critic.module
    assert isinstance(module, Critic)
    with critic.swapped(own):
        values = module.values(observations, actions, first=first_critic)
    losses = temperature.unsqueeze(-1) * log_density - values
    return _mean(losses, *weights), _mean(log_density, *weights)


def _mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over the rows of each task, (..., K, B) -> (..., K)."""
    return values.mean(-1) if weights is None else (values * weights).sum(-1)
