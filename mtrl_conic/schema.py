"""Checked configuration: what pydantic finds wrong, in one line that says how to mend it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic.errors import UserError, unknown

Model = TypeVar("Model", bound=pydantic.BaseModel)


class Role(Enum):
    """A mark in the annotation of a field that may differ between the sittings of a run."""

    EXECUTION = "how or where a run is carried out"
    BUDGET = "how long it goes on"
    SETTING = "a constant of learning: it changes what the run is, and only when that is asked for"


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


def options_model(make: Callable[..., Any], *, besides: Collection[str]) -> type[pydantic.BaseModel]:
    """The keyword arguments of a class or function, as a model: default, range and description of each.

    Args:
        make: whose annotations say what each argument takes.
        besides: arguments that are no options.
    """
    function = getattr(make, "__init__") if isinstance(make, type) else make  # noqa: B009  # the class's own
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.name not in ("self", *besides):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    return pydantic.create_model("Options", **fields)


def check_options(name: str, model: type[pydantic.BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given`, converted and checked; an error names the option and its range.

    Args:
        name: of what takes them.
        model: of its options.
        given: some of them.
    """
    for key in given:
        if key not in model.model_fields:
            raise unknown(f"option of {name}", key, model.model_fields)
    try:
        return {key: value for key, value in model(**given) if key in given}
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = first["loc"][0]  # what follows names one of the kinds of value that it may have
        if first["type"] == "missing":
            raise UserError(f"{name} needs its option {option}") from None
        raise UserError(f"{name}: option {option}={first['input']!r}: {_message(first)}") from None


def owner(model: type[pydantic.BaseModel], path: tuple[str, ...]) -> str:
    """What the class that declares the field at `path` says of itself, in its first line."""
    for part in path[:-1]:
        model = model.model_fields[part].annotation  # type: ignore[assignment]  # a model, as `leaves` found it
    declaring = [cls for cls in model.__mro__ if path[-1] in inspect.get_annotations(cls)]
    return (declaring[-1].__doc__ or "").strip().splitlines()[0].rstrip(".")


def leaves(model: type[pydantic.BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Path and field of everything in `model` that is no model itself and that can be chosen."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if get_origin(inner) is Literal and len(get_args(inner)) == 1:
            continue
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


def members(annotation: Any) -> list[Any]:
    """What a value of this type may be: the types of a union, the words of a Literal."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin is Literal:
        return list(get_args(annotation))
    if origin in (Union, UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [origin or annotation]


def is_scalar(field: FieldInfo) -> bool:
    """Whether the field takes single values only: no lists, no mappings."""
    return not {list, dict} & {member for member in members(field.annotation) if isinstance(member, type)}


def _in_words(model: type[pydantic.BaseModel], found: Any, where: str) -> UserError:
    path = [str(part) for part in found["loc"]]
    prefix = f"{where}: " if where else ""
    if found["type"] == "extra_forbidden":
        elsewhere = [".".join(place) for place, _ in leaves(model) if place[-1] == path[-1]]
        known = elsewhere or [".".join([*path[:-1], name]) for name in _fields_at(model, path[:-1])]
        return UserError(f"{prefix}{unknown('key', '.'.join(path), known)}")
    message = _message(found)
    if not path:
        return UserError(f"{prefix}{message}")
    return UserError(f"{prefix}{'.'.join(path)}={found['input']!r}: {message}")


def _message(found: Any) -> str:
    message = str(found["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _fields_at(model: type[pydantic.BaseModel], path: list[str]) -> list[str]:
    for part in path:
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, pydantic.BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
