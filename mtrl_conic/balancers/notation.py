"""The notation of methods on a command line: `name:key=value,key=value`, with colons only if one contains another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtrl_conic.balancers.inner import split_inner
from mtrl_conic.balancers.registry import available, check_options
from mtrl_conic.errors import UserError

Method = tuple[str, dict[str, Any]]
"""The name and the options of a balancer."""


def label(name: str, options: Mapping[str, Any]) -> str:
    """Return the notation of a method, such as `gradops:alpha=-2`."""
    return name + (":" + ",".join(f"{key}={value}" for key, value in options.items()) if options else "")


def parse_inner(text: str) -> Method:
    """Parse the notation of `inner_label` into a name and checked options.

    Raises:
        UserError: an unknown name or option, or a value out of range.
    """
    name, options = split_inner(text)
    return name, check_options(name, options)


def parse_methods(
    text: str,
    *,
    every: Callable[[], list[str]] = available,
    check: Callable[[str, dict[str, Any]], dict[str, Any]] = check_options,
) -> list[Method]:
    """Parse `ls,gradops:alpha=-2,conicgrad:c=0.9,solver=exact` into names and checked options.

    A part whose first `=` comes before any `:` belongs to the method before it.

    Args:
        text: methods separated by commas.
        every: returns the names that `all` stands for.
        check: converts the options of a name, and raises an error for an unknown name or option.

    Raises:
        UserError: there is no method, one occurs twice, or `check` raises.
    """
    chosen: list[Method] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, option = part.partition(":")
        if "=" in name and chosen:
            name, option = "", part
        if name == "all":
            chosen += [(each, {}) for each in every()]
        elif name:
            chosen.append((name, {}))
        if option:
            key, equals, value = option.partition("=")
            if not equals or not chosen:
                raise UserError(f"{part}: write options as name:key=value,key=value")
            chosen[-1][1][key.strip()] = value.strip()
    if not chosen:
        raise UserError("name at least one balancer")
    checked = [(name, check(name, options)) for name, options in chosen]
    labels = [label(*method) for method in checked]
    for each in labels:
        if labels.count(each) > 1:
            raise UserError(f"{each} would run twice")
    return checked
