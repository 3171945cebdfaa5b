"""Names of networks, and the options each takes. What is not looked at is not imported: torch takes seconds."""

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

if TYPE_CHECKING:
    from torch import nn

MakeTrunk = Callable[..., "nn.Module"]
"""(spec, extra, hidden, *, generator, **options) -> what lies before the last layer: a module from observations (K, B,
D) and, in a critic, actions (K, B, extra) to (K, B, hidden.width). It is a class, or a function that makes one; its
own keyword arguments are the network's options. One that has a method `make_output(outputs, generator)` makes the last
layer too, from (K, B, hidden.width) to (K, B, outputs). See `mtrl_conic.networks.trunks.shared.Shared`."""
Class = TypeVar("Class", bound="type[nn.Module]")

_REGISTRY: dict[str, MakeTrunk] = {}
_GIVEN = ("spec", "extra", "hidden", "generator")
"""What every trunk is made from; its other arguments are options."""


@dataclass(frozen=True)
class Network:
    """A network as it was chosen."""

    name: str
    """The registered one, or that of the class or function that was given."""
    make_trunk: MakeTrunk
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those that were given, checked."""

    @property
    def own_output(self) -> bool:
        """Whether each task has a last layer of its own: the class says so by `own_output = True`."""
        return bool(getattr(_plain(self.make_trunk), "own_output", False))


def register_network(name: str) -> Callable[[Class], Class]:
    """Class decorator that makes a network known by `name`; a name is taken once. See `MakeTrunk`."""

    def add(cls: Class) -> Class:
        home = f"{trunks.__name__}.{name}"
        taken = _REGISTRY.get(name)
        other = taken is not None and getattr(taken, "__qualname__", "") != cls.__qualname__
        if other or (name in _built_in() and cls.__module__ != home):
            raise UserError(f"a network named {name!r} exists already")
        _REGISTRY[name] = cls
        return cls

    return add


def available() -> list[str]:
    """The names of all networks, sorted."""
    return sorted({*_REGISTRY, *_built_in()})


def get(name: str) -> MakeTrunk:
    """What makes the trunks of the network `name`.

    Raises:
        UserError: it is not known; one of the user's own is once the module that registers it is imported.
    """
    if name not in _REGISTRY and name in _built_in():
        import_module(f"{trunks.__name__}.{name}")
    if name not in _REGISTRY:
        raise unknown("network", name, available())
    return _REGISTRY[name]


def options(name: str) -> dict[str, FieldInfo]:
    """The options that the network `name` takes: default, range and description of each."""
    return dict(schema.options_model(_plain(get(name)), besides=_GIVEN).model_fields)


def check_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given`, converted and checked; an error names the option and its range."""
    return dict(choose(name, given).options)


def choose(network: str | MakeTrunk, given: Mapping[str, Any] | None = None) -> Network:
    """A network with its options.

    Args:
        network: a name; or a class, or a function, see `MakeTrunk`.
        given: its own options.

    Raises:
        UserError: an unknown name or option, a value out of range, or something that makes no trunk.
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
    """The registered name of what makes trunks, or its own."""
    plain = _plain(make)
    registered = [name for name, known in _REGISTRY.items() if known is make]
    return registered[0] if registered else getattr(plain, "__name__", type(plain).__name__)


def _built_in() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(trunks.__path__)]


def _plain(make: MakeTrunk) -> Any:
    while isinstance(make, functools.partial):
        make = make.func
    return make
