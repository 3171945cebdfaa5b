"""Actions of an agent: deterministic, sampled from its actor, or uniformly random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mtrl_conic.agents.policy import Policy
from mtrl_conic.envs.spec import TaskSpec, as_tensor
from mtrl_conic.gradients.mode import in_evaluation
from mtrl_conic.networks.actor_critic import Actor
from mtrl_conic.networks.gaussian import Gaussian, squashed_sample


class Acting:
    """Computes the actions of an agent that is still learning.

    Args:
        spec: names and sizes of the tasks.
        actor: the actor that is being trained.
        standardized: the module that normalises observations for the actor.
        policy: the policy that is evaluated.
        generator: random generator of the samples, on the agent's device.
    """

    def __init__(
        self,
        spec: TaskSpec,
        actor: Actor,
        standardized: Callable[[Tensor], Tensor],
        policy: Policy,
        generator: torch.Generator,
    ) -> None:
        self._spec, self._actor, self._policy = spec, actor, policy
        self._standardized, self._generator = standardized, generator
        mask = spec.action_mask(generator.device)
        self._masks = () if mask is None else (mask,)

    @torch.no_grad()
    def act(self, observations: ArrayLike | Tensor, task: str | None, *, deterministic: bool) -> NDArray[np.float32]:
        """Return actions for observations, see `MTSAC.act`."""
        given = as_tensor(observations)
        rows = self._spec.rows(given, task).to(self._generator.device)
        with in_evaluation(self._policy if deterministic else self._actor):
            actions = self._policy(rows) if deterministic else self._sample(rows)
        result: NDArray[np.float32] = self._spec.shaped(actions, given, task).cpu().numpy()
        return result

    def _sample(self, rows: Tensor) -> Tensor:
        gaussian: Gaussian = self._actor(self._standardized(rows))
        noise = torch.randn(gaussian.mean.shape, generator=self._generator, device=rows.device)
        return squashed_sample(gaussian, noise, *self._masks)[0]

    def uniform(self, rows: int) -> NDArray[np.float32]:
        """Return uniform actions in [-1, 1], (K B, A), where B is `rows`."""
        shape = (len(self._spec.task_names), rows, self._spec.action_dim)
        drawn = 2 * torch.rand(shape, generator=self._generator, device=self._generator.device) - 1
        for mask in self._masks:
            drawn *= mask
        actions: NDArray[np.float32] = drawn.flatten(0, 1).cpu().numpy()
        return actions
