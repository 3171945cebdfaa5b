"""The supervised problems, each in a module of its own that is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mtrl_conic.errors import unknown

if TYPE_CHECKING:
    from mtrl_conic.supervised.problem import Problem

_CLASSES = {
    "census": "census.Census",
    "recommendation": "recommendation.Recommendation",
    "nyuv2": "nyuv2.NYUv2",
    "cityscapes": "cityscapes.CityScapes",
    "celeba": "celeba.CelebA",
    "regression": "regression.Regression",
}


def available() -> list[str]:
    """The names of all problems."""
    return list(_CLASSES)


def get(name: str) -> type[Problem]:
    """The class behind `name`; an unknown name is an error that tells the nearest one."""
    if name not in _CLASSES:
        raise unknown("problem", name, _CLASSES)
    module, _, attribute = _CLASSES[name].partition(".")
    problem: type[Problem] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return problem
