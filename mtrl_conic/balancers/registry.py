"""Names of balancers, and the options each takes, with their ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic import schema
from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.preference import PER_TASK, in_order
from mtrl_conic.errors import UserError, unknown

_REGISTRY: dict[str, type[Balancer]] = {}


def register(name: str) -> Callable[[type[Balancer]], type[Balancer]]:
    """Class decorator that makes a balancer known by `name`; a name is taken once."""

    def add(cls: type[Balancer]) -> type[Balancer]:
        if name in _REGISTRY and _REGISTRY[name].__qualname__ != cls.__qualname__:
            raise UserError(f"a balancer named {name!r} exists already: {_REGISTRY[name].__qualname__}")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def available() -> list[str]:
    """The names of all balancers, sorted."""
    return sorted(_REGISTRY)


def get(name: str) -> type[Balancer]:
    """The class behind `name`; an unknown name is an error that tells the nearest one."""
    if name not in _REGISTRY:
        raise unknown("balancer", name, available())
    return _REGISTRY[name]


def options(name: str) -> dict[str, FieldInfo]:
    """The options that the balancer `name` takes: default, range and description of each."""
    return dict(_options_model(get(name)).model_fields)


def check_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options in `given`, converted and checked; an error names the option and its range."""
    return _checked(get(name), given)


def _checked(cls: type[Balancer], given: dict[str, Any]) -> dict[str, Any]:
    return schema.check_options(cls.name, _options_model(cls), given)


def make(
    balancer: str | type[Balancer] | Balancer,
    num_tasks: int,
    *,
    seed: int = 0,
    on_nonfinite: Literal["raise", "skip"] = "raise",
    task_names: Sequence[str] = (),
    **options: Any,
) -> Balancer:
    """A balancer for K tasks.

    Args:
        balancer: one of `available()`, or a class, of which a new one is made; or a balancer, which is taken as it is.
        num_tasks: K, the number of tasks.
        seed: of its own random numbers.
        on_nonfinite: what a new one does with input that is not finite, see `Balancer`.
        task_names: of the K tasks, where they have any, for a preference that is written by name.
        options: the method's own, see `options(name)`.

    Raises:
        UserError: an unknown name or option, a value out of range, or a balancer of another number of tasks.
    """
    if isinstance(balancer, Balancer):
        return _as_it_is(balancer, num_tasks, options)
    cls = get(balancer) if isinstance(balancer, str) else balancer
    if not (isinstance(cls, type) and issubclass(cls, Balancer)):
        raise UserError(f"a balancer is a name, a class derived from Balancer or an object of one, not {balancer!r}")
    if on_nonfinite not in ("raise", "skip"):
        raise UserError(f"on_nonfinite is 'raise' or 'skip', not {on_nonfinite!r}")
    checked = _checked(cls, options)
    for option in checked.keys() & PER_TASK:
        checked[option] = checked[option] and in_order(option, checked[option], task_names)
    made = cls(num_tasks, seed=seed, **checked)
    made.on_nonfinite = on_nonfinite
    return made


def _as_it_is(balancer: Balancer, num_tasks: int, options: dict[str, Any]) -> Balancer:
    if balancer.num_tasks != num_tasks:
        raise UserError(f"this {balancer.name} balances {balancer.num_tasks} tasks, not {num_tasks}")
    if options:
        raise UserError(f"this {balancer.name} is made already: it takes no {', '.join(options)} any more")
    return balancer


def _options_model(cls: type[Balancer]) -> type[pydantic.BaseModel]:
    return schema.options_model(cls, besides=("num_tasks", "seed"))
