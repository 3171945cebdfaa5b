"""Methods as they are written on a command line: `name:key=value,key=value`, one within another with colons alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtrl_conic.balancers.registry import available, check_options
from mtrl_conic.errors import UserError

Method = tuple[str, dict[str, Any]]
"""A balancer's name and options."""


def label(name: str, options: Mapping[str, Any]) -> str:
    """A method as it is written: `gradops:alpha=-2`."""
    return name + (":" + ",".join(f"{key}={value}" for key, value in options.items()) if options else "")


def inner_label(name: str, options: Mapping[str, Any]) -> str:
    """A method as it is written within an option of another: `cagrad:c=0.9:rescale=square`, colons throughout."""
    return ":".join([name, *(f"{key}={value}" for key, value in options.items())])


def parse_inner(text: str) -> Method:
    """What `inner_label` writes as name and options, checked and converted.

    Raises:
        UserError: an unknown name or option, or a value out of range.
    """
    name, *parts = (part.strip() for part in text.split(":"))
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if equals:
            options[key.strip()] = value.strip()
        elif options:  # values may have colons, as a preference by name has
            options[next(reversed(options))] += f":{part}"
        else:
            raise UserError(f"{part}: write a method within another as name:key=value:key=value")
    return name, check_options(name, options)


def parse_methods(
    text: str,
    *,
    every: Callable[[], list[str]] = available,
    check: Callable[[str, dict[str, Any]], dict[str, Any]] = check_options,
) -> list[Method]:
    """`ls,gradops:alpha=-2,conicgrad:c=0.9,solver=exact` as names and options, checked and converted.

    A part whose first `=` comes before any `:` belongs to the method before it.

    Args:
        text: methods, with commas between them.
        every: the names that `all` stands for.
        check: (name, options) -> the options converted; an unknown name or option is its error.

    Raises:
        UserError: no method, the same one twice, or what `check` refuses.
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
