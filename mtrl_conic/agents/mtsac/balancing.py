"""The balancers of an agent's components: every component has its own balancer of the same method."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError

Method = str | type[Balancer] | Balancer
"""A name, a class, or a balancer that is copied."""


class Balancing:
    """A method with its options, and the components that use it.

    Args:
        method: see `Method`.
        options: options of the method; a balancer instance takes none.
        task_names: names of the K tasks.
        of: the components whose gradients it combines; the other one uses the mean gradient.
        seed: seed of the agent.
        device: device of the agent.

    Raises:
        UserError: an unknown name or option, a value out of range, a balancer of another number of tasks, or one that
            cannot balance the losses of the component that it is for.
    """

    def __init__(
        self,
        method: Method,
        options: Mapping[str, Any] | None,
        task_names: Sequence[str],
        *,
        of: Literal["both", "critic", "actor"],
        seed: int,
        device: torch.device,
    ) -> None:
        given = dict(options or {})
        self.options = balancers.check_options(method, given) if isinstance(method, str) else given
        """The options that were given."""
        made = balancers.make(method, len(task_names), task_names=task_names, **self.options)
        if of == "actor" and made.positive_losses:
            raise UserError(
                f"balance=actor: {made.name} needs positive losses, which the actor does not have; use balance=critic"
            )
        self.name = made.name
        """The registered name of the method, or the name of its class if it is not registered."""
        registered = not isinstance(method, Balancer) and self.name in balancers.available()
        self.named = isinstance(method, str) or registered
        """Whether the name and the options describe the balancer completely."""
        self._method, self._task_names, self._of = method, task_names, of
        self._seed, self._on_host = seed, device.type == "cpu"

    def make(self, component: Literal["critic", "actor"]) -> Balancer:
        """Make the balancer of a component, in its initial state."""
        # Components draw different numbers: a shared seed would give both the same task order.
        seed = 2 * self._seed + (component == "actor")
        chosen = self._own(seed)
        left_out = self._of not in ("both", component)
        # The actor's losses can have either sign.
        if left_out or (component == "actor" and chosen.positive_losses):
            chosen = balancers.make("ls", len(self._task_names), seed=seed)
        # On a GPU, raising an error would wait for the device; the next log line reports the loss anyway.
        chosen.on_nonfinite = "raise" if self._on_host else "skip"
        return chosen

    def _own(self, seed: int) -> Balancer:
        if not isinstance(self._method, Balancer):
            names = self._task_names
            return balancers.make(self._method, len(names), seed=seed, task_names=names, **self.options)
        own = copy.deepcopy(self._method)
        own.seed = seed
        own.reset(())
        return own
