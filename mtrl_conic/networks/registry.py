"""Networks by name. Nothing here needs torch: a configuration is checked before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mtrl_conic.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

MakeTrunk = Callable[..., "nn.Module"]
"""(spec, extra, config, shape, *, generator) -> what lies before the last layer: a module from observations (K, B, O)
and, in a critic, actions (K, B, extra) to (K, B, shape.width). See `mtrl_conic.networks.trunks.Trunk`."""
Class = TypeVar("Class", bound="type[nn.Module]")


class Architecture(NamedTuple):
    """What a name stands for."""

    trunk: MakeTrunk | str
    """A class, or where it lies as `module:name`, imported when it is used."""
    own_output: bool
    """Whether each task has a last layer of its own."""


_TRUNK = "mtrl_conic.networks.trunks:Trunk"
_REGISTRY = {
    "shared": Architecture(_TRUNK, False),
    "multihead": Architecture(_TRUNK, True),
    "single_task": Architecture(_TRUNK, True),
    "soft_modularization": Architecture("mtrl_conic.networks.soft_modularization:SoftModularization", False),
}


def register_network(name: str, *, own_output: bool = False) -> Callable[[Class], Class]:
    """Class decorator that makes a trunk known by `name`, for `AgentConfig.network`; a name is taken once.

    Args:
        name: of the network.
        own_output: whether each task has a last layer of its own, as in `multihead`.
    """

    def add(cls: Class) -> Class:
        taken = _REGISTRY.get(name)
        if taken is not None and getattr(taken.trunk, "__qualname__", "") != cls.__qualname__:
            raise UserError(f"a network named {name!r} exists already")
        _REGISTRY[name] = Architecture(cls, own_output)
        return cls

    return add


def available_networks() -> list[str]:
    """The names of all networks, sorted."""
    return sorted(_REGISTRY)


def check_network(name: str) -> str:
    """`name`, where it is known.

    Raises:
        UserError: it is not; one of the user's own is known once the module that registers it is imported.
    """
    if name not in _REGISTRY:
        raise unknown("network", name, available_networks())
    return name


def find_network(name: str) -> tuple[MakeTrunk, bool]:
    """The trunk of a network, and whether each task has a last layer of its own."""
    trunk, own_output = _REGISTRY[check_network(name)]
    if isinstance(trunk, str):
        module, _, attribute = trunk.partition(":")
        trunk = getattr(import_module(module), attribute)
    return trunk, own_output
