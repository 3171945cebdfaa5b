"""The notation of a method inside an option of another, such as `cagrad:c=0.9:rescale=square`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtrl_conic.errors import UserError


def inner_label(name: str, options: Mapping[str, Any]) -> str:
    """Return the notation of a method inside an option of another."""
    return ":".join([name, *(f"{key}={value}" for key, value in options.items())])


def split_inner(text: str) -> tuple[str, dict[str, str]]:
    """Split the notation of `inner_label` into a name and options as text, which are not checked.

    Raises:
        UserError: the notation is another one.
    """
    name, *parts = (part.strip() for part in text.split(":"))
    options: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if equals:
            options[key.strip()] = value.strip()
        elif options:  # a value may contain colons, such as a preference by task name
            options[next(reversed(options))] += f":{part}"
        else:
            raise UserError(f"{part}: write a method within another as name:key=value:key=value")
    return name, options
