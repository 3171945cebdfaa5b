"""Checks of configurations by pydantic models, with errors of one line that say how to fix them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic.errors import UserError, unknown

Model = TypeVar("Model", bound=pydantic.BaseModel)


class Role(Enum):
    """A mark in the annotation of a field whose value may differ when a run is resumed."""

    EXECUTION = "how or where a run is executed"
    BUDGET = "how long a run is trained"
    SETTING = "a constant of learning or of its protocol, which changes the results: it is changed only on request"


def parse(model: type[Model], values: Mapping[str, Any], *, where: str = "") -> Model:
    """Make a `model` from `values`.

    Args:
        model: pydantic model that forbids unknown keys.
        values: values, possibly nested, as read from YAML or flags.
        where: origin of the values, which begins the message.

    Raises:
        UserError: a value is wrong, missing or unknown; the message is about the first one.
    """
    try:
        return model.model_validate(dict(values))
    except pydantic.ValidationError as error:
        # An unknown key is reported first, because a misspelt key is often also reported as missing.
        errors = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise _in_words(model, errors[0], where) from None


def options_model(make: Callable[..., Any], *, besides: Collection[str]) -> type[pydantic.BaseModel]:
    """Make a model of the keyword arguments of a class or function, with the default, range and description of each.

    Args:
        make: class or function, whose annotations describe its arguments.
        besides: names of arguments that are not options.
    """
    function = getattr(make, "__init__") if isinstance(make, type) else make  # noqa: B009  # that of the class itself
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.name not in ("self", *besides):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    return pydantic.create_model("Options", **fields)


def check_arguments(make: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any], *, takes: str) -> None:
    """Check that a user's class or function accepts the arguments with which it is called.

    Args:
        make: class or function.
        given: its positional arguments.
        named: its keyword arguments.
        takes: what it must take, the beginning of the message.

    Raises:
        UserError: it does not accept them.
    """
    try:
        inspect.signature(make).bind(*given, **named)
    except TypeError as error:
        raise UserError(f"{takes}: {error}") from None


def check_options(name: str, model: type[pydantic.BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert and check the options in `given`, and return them.

    Args:
        name: name of the object that takes the options, for the message.
        model: model of its options, see `options_model`.
        given: values of some of the options.

    Raises:
        UserError: an option is unknown, missing or out of range; the message names it and its range.
    """
    for key in given:
        if key not in model.model_fields:
            raise unknown(f"option of {name}", key, model.model_fields)
    try:
        return {key: value for key, value in model(**given) if key in given}
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = first["loc"][0]  # the rest names the type in a union that was tried
        if first["type"] == "missing":
            raise UserError(f"{name} needs its option {option}") from None
        raise UserError(f"{name}: option {option}={first['input']!r}: {_message(first)}") from None


def owner(model: type[pydantic.BaseModel], path: tuple[str, ...]) -> str:
    """Return the first line of the docstring of the class that declares the field at `path`."""
    for part in path[:-1]:
        model = model.model_fields[part].annotation  # type: ignore[assignment]  # a model, as `leaves` found it
    declaring = [cls for cls in model.__mro__ if path[-1] in inspect.get_annotations(cls)]
    return (declaring[-1].__doc__ or "").strip().splitlines()[0].rstrip(".")


def leaves(model: type[pydantic.BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield the path and the field of each value in `model` and its nested models that can be chosen."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if get_origin(inner) is Literal and len(get_args(inner)) == 1:
            continue
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), field


def flat_items(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested configuration, each with its path with dots; an empty section is a value."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def members(annotation: Any) -> list[Any]:
    """Return the alternatives of an annotation: the types of a union, the words of a Literal."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin is Literal:
        return list(get_args(annotation))
    if origin in (Union, UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [origin or annotation]


def is_scalar(field: FieldInfo) -> bool:
    """Return whether the field takes only single values, not lists or mappings."""
    return not {list, dict} & {member for member in members(field.annotation) if isinstance(member, type)}


def _in_words(model: type[pydantic.BaseModel], found: Any, where: str) -> UserError:
    path = [str(part) for part in found["loc"]]
    prefix = f"{where}: " if where else ""
    if found["type"] == "extra_forbidden":
        elsewhere = [".".join(place) for place, _ in leaves(model) if place[-1] == path[-1]]
        known = elsewhere or [".".join([*path[:-1], name]) for name in _fields_at(model, path[:-1])]
        return UserError(f"{prefix}{unknown('key', '.'.join(path), known)}")
    if found["type"] == "missing":
        said = next((field.description for place, field in leaves(model) if [*place] == path), None)
        return UserError(f"{prefix}{'.'.join(path)} is required" + (f": {said}" if said else ""))
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
