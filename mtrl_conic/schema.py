"""Checked configuration: what pydantic finds wrong, in one line that says how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic.errors import UserError, unknown

Model = TypeVar("Model", bound=pydantic.BaseModel)


def parse(model: type[Model], values: Mapping[str, Any], *, where: str = "") -> Model:
    """A `model` made from `values`, or a `UserError` about the first wrong one.

    Args:
        model: a pydantic model that forbids unknown keys.
        values: possibly nested, as read from YAML or flags.
        where: where the values come from, put before the message.
    """
    try:
        return model.model_validate(dict(values))
    except pydantic.ValidationError as error:
        # An unknown key says more than what is missing because of it.
        errors = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise _in_words(model, errors[0], where) from None


def leaves(model: type[pydantic.BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Path and field of everything in `model` that is no model itself."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), field


def flat_items(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested configuration, each with its path in dots; an empty section is a value."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_scalar(field: FieldInfo) -> bool:
    """Whether the field takes single values only: no lists, no mappings."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return not any((get_origin(kind) or kind) in (list, dict) for kind in kinds)


def _in_words(model: type[pydantic.BaseModel], found: Any, where: str) -> UserError:
    path = [str(part) for part in found["loc"]]
    prefix = f"{where}: " if where else ""
    if found["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return UserError(f"{prefix}{unknown('key', '.'.join(path), ['.'.join([*path[:-1], name]) for name in known])}")
    message = found["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not path:
        return UserError(f"{prefix}{message}")
    return UserError(f"{prefix}{'.'.join(path)}={found['input']!r}: {message}")


def _fields_at(model: type[pydantic.BaseModel], path: list[str]) -> list[str]:
    for part in path:
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, pydantic.BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
