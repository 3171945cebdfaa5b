"""The state of an agent: the states of its parts by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from mtrl_conic.errors import UserError

_THEIR_OWN = {"optimizer", "balancer"}
"""The parts whose states grow with the first update, and which check their states themselves."""


class Part(Protocol):
    """A part with a state that persists between updates."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next update depends on."""

    def load_state_dict(self, saved: Any, /) -> Any:
        """Continue from a `state_dict`."""


def state_of(agent: object, parts: Sequence[str]) -> dict[str, Any]:
    """Return the states of an agent's parts by name; None for parts that the agent does not have."""
    present = _parts(agent, parts)
    return {name: None if part is None else part.state_dict() for name, part in present.items()}


def load_state(agent: object, parts: Sequence[str], saved: Mapping[str, Any]) -> None:
    """Continue from the result of `state_of` for an agent of the same configuration.

    Raises:
        UserError: the state is that of another agent.
    """
    present = {name: part for name, part in _parts(agent, parts).items() if part is not None}
    for name, part in present.items():
        other = difference(part.state_dict(), saved.get(name), name)
        if other:
            raise UserError(f"this is the state of another agent: {other}")
    for name, part in present.items():
        part.load_state_dict(saved[name])


def difference(own: Any, saved: Any, name: str) -> str:
    """Return what is missing in a saved state or has another shape than in the agent's state; empty if it fits.

    Args:
        own: state of the agent.
        saved: a saved state.
        name: name of the part that both belong to.
    """
    if isinstance(own, Tensor):
        if not isinstance(saved, Tensor):
            return f"{name} is missing"
        return "" if own.shape == saved.shape else f"{name} has shape {_shape(saved)} there, {_shape(own)} here"
    if not isinstance(own, Mapping):
        return ""
    if not isinstance(saved, Mapping):
        return f"{name} is missing"
    more = [key for key in saved if key not in own]
    if more and not set(own) & _THEIR_OWN:
        return f"{name}.{more[0]} does not exist in this agent"
    below = (difference(own[key], saved.get(key), f"{name}.{key}") for key in own if key not in _THEIR_OWN)
    return next(filter(None, below), "")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "1"


def _parts(agent: object, names: Sequence[str]) -> dict[str, Part | None]:
    return {name: getattr(agent, name) for name in names}
