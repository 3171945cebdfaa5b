"""Gradients that are not finite: a method that compares none has not seen them, and no method those of heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.finite import readable
from mtrl_conic.gradients.processes import Processes

Named = dict[str, Tensor]
"""Gradients by what they belong to, or statistics by name."""


@contextmanager
def unchanged_on_error(balancer: Balancer) -> Iterator[dict[str, Tensor]]:
    """Restore the balancer's state if the block raises an error; yields the state from before, as a `state_dict`."""
    before = balancer.state_dict()
    try:
        yield before
    except BaseException:
        balancer.load_state_dict(before)
        raise


def sound_or_skipped(
    balancer: Balancer, gradients: Named, statistics: Named, before: Mapping[str, Tensor], processes: Processes
) -> tuple[Named, Named]:
    """Return combined gradients and statistics, with zeros and `skipped` if a gradient is not finite.

    A balancer that skips such a batch gets its earlier state back, without waiting for the device.

    Args:
        balancer: balancer that has combined the gradients.
        gradients: gradients by what they belong to, for the message.
        statistics: statistics of the update.
        before: the balancer's `state_dict` before the update.
        processes: processes of which none may have a gradient that is not finite.

    Raises:
        FloatingPointError: one is not finite, and the balancer has `on_nonfinite="raise"`.
    """
    if not gradients:
        return gradients, statistics
    sound = processes.finite(list(gradients.values()))
    if balancer.on_nonfinite == "raise" and readable(sound):
        if sound:
            return gradients, statistics
        wrong = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        of = wrong[0] if wrong else "a parameter in another process"
        raise FloatingPointError(
            f"{balancer.name}: the gradient of {of} is not finite: nothing was changed; on_nonfinite='skip' leaves "
            "such a batch out"
        )
    for name, value in balancer.state.items():
        earlier = before[name] if before[name].shape == value.shape else torch.zeros_like(value)
        value.copy_(torch.where(sound.to(value.device), value, earlier.to(value.device)))
    kept = {name: gradient.where(sound.to(gradient.device), 0.0) for name, gradient in gradients.items()}
    skipped = statistics.get("skipped", torch.zeros_like(sound)) | ~sound
    return kept, statistics | {"skipped": skipped}
