"""Gradients that are not finite: a method that compares none has not seen them, and no method those of heads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.finite import readable


def must_be_masked(
    balancer: Balancer, named: Mapping[str, Tensor], sound: Tensor, before: Mapping[str, Tensor]
) -> bool:
    """Return whether the caller must replace gradients by zero where they are not `sound`.

    The balancer's state is restored in that case, without waiting for the device.

    Args:
        balancer: balancer that has combined the gradients.
        named: gradients by what they belong to, for the message.
        sound: whether () all of them are finite.
        before: the balancer's `state_dict` before the update.

    Raises:
        FloatingPointError: one is not finite, and the balancer has `on_nonfinite="raise"`.
    """
    if balancer.on_nonfinite == "raise" and readable(sound):
        if sound:
            return False
        wrong = [name for name, gradient in named.items() if not gradient.isfinite().all()]
        of = wrong[0] if wrong else "a parameter in another process"
        balancer.load_state_dict(dict(before))
        raise FloatingPointError(
            f"{balancer.name}: the gradient of {of} is not finite: nothing was changed; on_nonfinite='skip' leaves "
            "such a batch out"
        )
    for name, value in balancer.state.items():
        earlier = before[name] if before[name].shape == value.shape else torch.zeros_like(value)
        value.copy_(torch.where(sound.to(value.device), value, earlier.to(value.device)))
    return True


def zero_unless(sound: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient, or zeros where the update is not `sound` ()."""
    return gradient.where(sound.to(gradient.device), 0.0)
