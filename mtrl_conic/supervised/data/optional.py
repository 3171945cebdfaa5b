"""Imports of the optional libraries that only some supervised problems need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mtrl_conic.errors import not_installed


def library(name: str) -> Any:
    """Import and return the module `name`.

    Raises:
        UserError: the library is not installed; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError:
        package = {"PIL": "pillow"}.get(name.partition(".")[0], name.partition(".")[0])
        raise not_installed(package, "supervised") from None
