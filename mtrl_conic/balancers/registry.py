"""The registry of balancers and of their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic import schema
from mtrl_conic.balancers.base import Balancer
from mtrl_conic.balancers.inner import inner_label, split_inner
from mtrl_conic.balancers.preference import PER_TASK, in_order
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.plugins import same_definition

_REGISTRY: dict[str, type[Balancer]] = {}


def register(name: str) -> Callable[[type[Balancer]], type[Balancer]]:
    """Register a balancer class under `name`, which must be unused; a decorator."""

    def add(cls: type[Balancer]) -> type[Balancer]:
        taken = _REGISTRY.get(name)
        if taken is not None and not same_definition(taken, cls):
            raise UserError(f"a balancer named {name!r} already exists: {taken.__module__}.{taken.__qualname__}")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def available() -> list[str]:
    """Return the names of all balancers, sorted."""
    return sorted(_REGISTRY)


def get(name: str) -> type[Balancer]:
    """Return the class registered as `name`, or the composition of two methods for a name such as `imtl_l+imtl_g`.

    Raises:
        UserError: the name is unknown; the message suggests the nearest one.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    if "+" in name:
        return _composition(name)
    raise unknown("balancer", name, available())


@cache
def _composition(name: str) -> type[Balancer]:
    losses, of = name.split("+", 1)
    base: Any = _REGISTRY["composed"]

    class Pair(base):  # type: ignore[misc]
        def __init__(self, num_tasks: int, *, seed: int = 0) -> None:
            super().__init__(num_tasks, seed=seed, losses=losses, of=of)

        def __reduce__(self) -> tuple[Any, ...]:  # a class without a place in a module cannot be pickled
            return make, (name, self.num_tasks), self.__dict__

    Pair(1)  # raises an error if the two methods do not fit together
    Pair.name, Pair.__doc__ = name, f"`{losses}` for the losses, then `{of}` for the gradients; see `composed`."
    return Pair


def options(name: str) -> dict[str, FieldInfo]:
    """Return the options of the balancer `name`: default, range and description of each."""
    return dict(_options_model(get(name)).model_fields)


def check_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Convert and check the options in `given`; an error names the option and its range."""
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
    """Make a balancer for K tasks.

    Args:
        balancer: one of `available()`, a class to instantiate, or a balancer, which is returned unchanged.
        num_tasks: K, the number of tasks.
        seed: seed of its random numbers.
        on_nonfinite: what a new balancer does with input that is not finite, see `Balancer`.
        task_names: names of the K tasks, for a preference that is written by name.
        options: options of the method, see `options(name)`.

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
    checked = _by_number(cls, checked, task_names)
    takes = f"{cls.__name__} must take (num_tasks, *, seed), as Balancer does"
    schema.check_arguments(cls, [num_tasks], {"seed": seed, **checked}, takes=takes)
    made = cls(num_tasks, seed=seed, **checked)
    made.on_nonfinite = on_nonfinite
    return made


def _by_number(cls: type[Balancer], options: dict[str, Any], task_names: Sequence[str]) -> dict[str, Any]:
    """Return the options with the numbers of tasks in their order, also those of methods that a method contains."""
    ordered = {name: in_order(name, options[name], task_names) for name in options.keys() & PER_TASK if options[name]}
    for name in options.keys() & set(cls.contains):
        method, inner = split_inner(options[name])
        ordered[name] = inner_label(method, _by_number(get(method), inner, task_names))
    return options | ordered


def in_steps(name: str, given: Mapping[str, Any], epoch_steps: int) -> tuple[str, dict[str, Any]]:
    """Return a method with the options that its paper states in epochs, as numbers of steps, unless one is given.

    The options of methods that the method contains are filled in as well; a name such as `dwa+cagrad` is returned as
    `composed`.

    Args:
        name: name of the method.
        given: its options.
        epoch_steps: number of steps of an epoch.
    """
    cls = get(name)
    if name not in _REGISTRY:  # a pair takes no options
        losses, of = name.split("+", 1)
        name, cls, given = "composed", get("composed"), {"losses": losses, "of": of}
    filled = dict(given)
    if not cls.in_epochs.keys() & given.keys():
        filled |= {option: count * epoch_steps for option, count in cls.in_epochs.items()}
    for option in cls.contains:
        method, inner = split_inner(filled.get(option, options(name)[option].default))
        filled[option] = inner_label(*in_steps(method, inner, epoch_steps))
    return name, filled


def _as_it_is(balancer: Balancer, num_tasks: int, options: dict[str, Any]) -> Balancer:
    if balancer.num_tasks != num_tasks:
        raise UserError(f"this {balancer.name} balances {balancer.num_tasks} tasks, not {num_tasks}")
    if options:
        raise UserError(f"this {balancer.name} is made already: it takes no {', '.join(options)} any more")
    return balancer


def _options_model(cls: type[Balancer]) -> type[pydantic.BaseModel]:
    return schema.options_model(cls, besides=("num_tasks", "seed"))
