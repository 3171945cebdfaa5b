"""The registry of networks and of their options. Modules are imported on first use, because torch takes seconds."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic.fields import FieldInfo

from mtrl_conic import schema
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.networks import trunks
from mtrl_conic.plugins import same_definition

if TYPE_CHECKING:
    from torch import nn

MakeTrunk = Callable[..., "nn.Module"]
"""A class, or a function that makes a trunk: (spec, extra, hidden, *, generator, **options) -> the module before the
last layer, from observations (K, B, D) and, in a critic, actions (K, B, extra) to (K, B, hidden.width). Its other
keyword arguments are the network's options. A trunk with a method `make_output(outputs, generator)` also makes the
last layer, from (K, B, hidden.width) to (K, B, outputs). See `mtrl_conic.networks.trunks.shared.Shared`."""
Class = TypeVar("Class", bound="type[nn.Module]")

_REGISTRY: dict[str, MakeTrunk] = {}
_GIVEN = ("spec", "extra", "hidden", "generator")
"""The arguments of every trunk; its other arguments are options."""


@dataclass(frozen=True)
class Network:
    """A chosen network with its options."""

    name: str
    """The registered name, or that of the given class or function."""
    make_trunk: MakeTrunk
    options: Mapping[str, Any] = field(default_factory=dict)
    """The given options after checking."""

    @property
    def own_output(self) -> bool:
        """Whether each task has its own last layer; the class declares this with `own_output = True`."""
        return bool(getattr(_plain(self.make_trunk), "own_output", False))


def register_network(name: str) -> Callable[[Class], Class]:
    """Register a network under `name`, which must be unused; a decorator. See `MakeTrunk`."""

    def add(cls: Class) -> Class:
        home = f"{trunks.__name__}.{name}"
        taken = _REGISTRY.get(name)
        other = taken is not None and not same_definition(taken, cls)
        if other or (name in _built_in() and cls.__module__ != home):
            raise UserError(f"a network named {name!r} already exists")
        _REGISTRY[name] = cls
        return cls

    return add


def available() -> list[str]:
    """Return the names of all networks, sorted."""
    return sorted({*_REGISTRY, *_built_in()})


def get(name: str) -> MakeTrunk:
    """Return the factory of the trunks of the network `name`.

    Raises:
        UserError: the network is not known; for your own network, import the module that registers it.
    """
    if name not in _REGISTRY and name in _built_in():
        import_module(f"{trunks.__name__}.{name}")
    if name not in _REGISTRY:
        raise unknown("network", name, available())
    return _REGISTRY[name]


def options(name: str) -> dict[str, FieldInfo]:
    """Return the options of the network `name`: default, range and description of each."""
    return dict(schema.options_model(_plain(get(name)), besides=_GIVEN).model_fields)


def check_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert and check the options in `given`; an error names the option and its range."""
    return dict(choose(name, given).options)


def choose(network: str | MakeTrunk, given: Mapping[str, Any] | None = None) -> Network:
    """Choose a network with its options.

    Args:
        network: a name, a class or a function, see `MakeTrunk`.
        given: options of the network.

    Raises:
        UserError: an unknown name or option, a value out of range, or an object that makes no trunk.
    """
    make = get(network) if isinstance(network, str) else network
    if not callable(make) or (hasattr(make, "state_dict") and not isinstance(make, type)):
        raise UserError(
            f"network={type(make).__name__}(...) is one module, and actor and critics each need a trunk of their own: "
            "give a name, a class, or a function that makes one"
        )
    name = network if isinstance(network, str) else name_of(network)
    model = schema.options_model(_plain(make), besides=_GIVEN)
    return Network(name, make, schema.check_options(name, model, given or {}))


def name_of(make: MakeTrunk) -> str:
    """Return the registered name of a factory of trunks, or its own name."""
    plain = _plain(make)
    registered = [name for name, known in _REGISTRY.items() if known is make]
    return registered[0] if registered else getattr(plain, "__name__", type(plain).__name__)


def _built_in() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(trunks.__path__)]


def _plain(make: MakeTrunk) -> Any:
    while isinstance(make, functools.partial):
        make = make.func
    return make
