"""The state of an agent: that of its parts, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Part(Protocol):
    """Whatever carries something from update to update."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on."""

    def load_state_dict(self, saved: Any, /) -> Any:
        """Continue from a `state_dict`."""


def state_of(agent: object, parts: Sequence[str]) -> dict[str, Any]:
    """The states of an agent's parts by name; None for those that this one has not."""
    present = _parts(agent, parts)
    return {name: None if part is None else part.state_dict() for name, part in present.items()}


def load_state(agent: object, parts: Sequence[str], saved: Mapping[str, Any]) -> None:
    """Continue from what `state_of` gave for an agent of the same configuration."""
    for name, part in _parts(agent, parts).items():
        if part is not None:
            part.load_state_dict(saved[name])


def _parts(agent: object, names: Sequence[str]) -> dict[str, Part | None]:
    return {name: getattr(agent, name) for name in names}
