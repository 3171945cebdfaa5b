"""Libraries that only supervised problems need, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mtrl_conic.errors import not_installed


def library(name: str) -> Any:
    """The module `name`.

    Raises:
        UserError: not installed, with how to install it.
    """
    try:
        return import_module(name)
    except ImportError:
        package = {"PIL": "pillow"}.get(name.partition(".")[0], name.partition(".")[0])
        raise not_installed(package, "supervised") from None
