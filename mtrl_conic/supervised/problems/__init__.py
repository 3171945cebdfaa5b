"""The registry of supervised problems. The module of a problem is imported when the problem is requested."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from mtrl_conic.errors import UserError, unknown
from mtrl_conic.plugins import same_definition

if TYPE_CHECKING:
    from mtrl_conic.supervised.problem import Problem

Class = TypeVar("Class", bound="type[Problem]")

_REGISTRY: dict[str, str | type[Problem]] = {
    "census": "census.Census",
    "recommendation": "recommendation.Recommendation",
    "nyuv2": "nyuv2.NYUv2",
    "cityscapes": "cityscapes.CityScapes",
    "celeba": "celeba.CelebA",
    "regression": "regression.Regression",
}
"""Maps a name to a class, or to the module and class name of a built-in problem."""


def register_problem(name: str) -> Callable[[Class], Class]:
    """Class decorator that registers a `Problem` under `name`.

    Raises:
        UserError: the name is already taken.
    """

    def add(cls: Class) -> Class:
        taken = _REGISTRY.get(name)
        if taken is not None and not same_definition(taken, cls):
            raise UserError(f"a problem named {name!r} already exists")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def available() -> list[str]:
    """Return the sorted names of all registered problems."""
    return list(_REGISTRY)


def get(name: str) -> type[Problem]:
    """Return the class registered under `name`.

    Raises:
        UserError: the name is unknown; the message suggests the nearest one.
    """
    if name not in _REGISTRY:
        raise unknown("problem", name, _REGISTRY)
    known = _REGISTRY[name]
    if not isinstance(known, str):
        return known
    module, _, attribute = known.partition(".")
    problem: type[Problem] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return problem
