"""Adam for a tensor in a balancer's state, which is updated in place."""

from __future__ import annotations

import torch
from torch import Tensor

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def adam_state(name: str, start: Tensor) -> dict[str, Tensor]:
    """Return the state entries of the parameter `name`, initialised to `start`, and of its Adam moments."""
    return {
        name: start,
        f"{name}.mean": torch.zeros_like(start),
        f"{name}.square": torch.zeros_like(start),
        f"{name}.bias": torch.ones(*start.shape[:-1], 2, dtype=start.dtype),
    }


def adam_step(state: dict[str, Tensor], name: str, gradient: Tensor, lr: float, weight_decay: float = 0.0) -> None:
    """Make one step on `state[name]` against `gradient`, with torch's defaults (Kingma and Ba, ICLR 2015).

    Args:
        state: state with the entries of `adam_state`.
        name: name of the parameter.
        gradient: gradient, of the parameter's shape.
        lr: step size.
        weight_decay: added to the gradient as weight_decay * parameter, as torch.optim.Adam does.
    """
    parameter, mean, square, bias = (state[name + part] for part in ("", ".mean", ".square", ".bias"))
    if weight_decay:
        gradient = gradient.add(parameter, alpha=weight_decay)
    mean.lerp_(gradient, 1 - _BETA1)
    square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
    # The betas' powers: 1 minus them corrects the bias of moments that began at zero.
    bias[..., 0].mul_(_BETA1)
    bias[..., 1].mul_(_BETA2)
    first, second = (1 - bias).split(1, -1)
    parameter.addcdiv_(mean, square.div(second).sqrt_().add_(_EPSILON).mul_(first), value=-lr)
