"""Flags for every field of a configuration, and the values that are given with them."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from mtrl_conic import plugins
from mtrl_conic.errors import UserError
from mtrl_conic.reading import parse_yaml
from mtrl_conic.schema import is_scalar, leaves, members, owner

IMPORTS = "imports"
"""The field of a configuration whose flag is `--import MODULE`, once per module."""
DEFAULT_PRESET = "mt10"
"""The preset whose values the help shows if no preset is given."""
_TYPES = {
    **{int: "INT", float: "FLOAT", str: "TEXT", list: "LIST", dict: "KEY=VALUE"},
    **{type(None): "none", bool: "true|false"},
}


def add_imports(parser: argparse._ActionsContainer) -> None:
    """Add `--import MODULE`; the modules are imported before the command runs."""
    parser.add_argument(
        "--import",
        dest=IMPORTS,
        action="append",
        default=argparse.SUPPRESS,
        metavar="MODULE",
        help=(
            "module, or path to a .py file, to import first; it registers your own balancers, networks, environments "
            "and task sets. May be repeated"
        ),
    )


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add `--allow-changes`, for commands that execute a single run."""
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help=(
            "resume the run even if settings such as the learning rate or the batch size differ; changes.jsonl "
            "records the changes and their step"
        ),
    )


def add_fields(
    parser: argparse.ArgumentParser, model: type[pydantic.BaseModel], *, leave_out: Collection[str] = ()
) -> None:
    """Add a flag for each field of `model` and of its nested models, by the field's own name; values stay text.

    Args:
        parser: parser of a command.
        model: class of the configuration.
        leave_out: names of fields that the command takes in another way.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    for path, field in leaves(model):
        if path[-1] in leave_out:
            continue
        section = owner(model, path)
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        if path == (IMPORTS,):
            add_imports(groups[section])
            continue
        groups[section].add_argument(
            "--" + path[-1].replace("_", "-"),
            dest=".".join(path),
            default=argparse.SUPPRESS,
            metavar=_type_words(field),
            nargs="+" if field.annotation == dict[str, Any] else None,
            help=_help(
                field,
                "required" if field.is_required() else field.get_default(call_default_factory=True, validated_data={}),
            ),
        )


def described(model: type[pydantic.BaseModel], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the help of the flag of each field of `model` by its `dest`, with `values` in place of the defaults."""
    helps = {}
    for path, field in leaves(model):
        value: Any = values
        for part in path:
            value = value[part]
        helps[".".join(path)] = _help(field, value)
    return helps


def shown_preset(name: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the name of a preset, and the help of each field by `dest` with its values.

    Args:
        name: name of the preset; None means `DEFAULT_PRESET`.
        given: values that override those of the preset, nested like a `RunConfig`.

    Raises:
        UserError: as in `make_config`.
    """
    from mtrl_conic.runs.config import RunConfig, make_config

    preset = name or DEFAULT_PRESET
    return preset, described(RunConfig, make_config(preset, given).model_dump(mode="json"))


def given_fields(
    arguments: argparse.Namespace, model: type[pydantic.BaseModel], *, many: bool = False
) -> dict[str, Any]:
    """Return the fields that were given as flags, nested like `model`, with values read as YAML.

    Args:
        arguments: arguments parsed with the flags of `add_fields`.
        model: class of the configuration, as in `add_fields`.
        many: whether `a,b` is a list of values for a field that takes a single value.

    Raises:
        UserError: a value cannot be read, or is a list where a run takes a single value.
    """
    nested: dict[str, Any] = {}
    given = vars(arguments)
    for path, field in leaves(model):
        if ".".join(path) in given:
            value = given[".".join(path)]
            if path == (IMPORTS,):
                nested[IMPORTS] = list(value)
                continue
            inner = nested
            for part in path[:-1]:
                inner = inner.setdefault(part, {})
            read = _read_many if many and is_scalar(field) else _read
            words = _words(field)
            inner[path[-1]] = _pairs(value) if field.annotation == dict[str, Any] else read(value, path[-1], words)
            if not many and "," in value and not {str, list, dict}.intersection(members(field.annotation)):
                raise UserError(
                    f"{path[-1]}={value!r}: a run takes one value; `mtrl-conic compare` trains several runs"
                )
    return nested


def given_run(arguments: argparse.Namespace, *, many: bool = False) -> dict[str, Any]:
    """Return the fields of a `RunConfig` that were given as flags, as `given_fields` does.

    A module that an id in `--task-set` names, as in `gymnasium:my_module:MyEnv-v0`, is imported and counts as given
    with `--import`. This holds for the command line only: a module that a file names is not imported.
    """
    from mtrl_conic.envs.gymnasium.entries import modules_of
    from mtrl_conic.runs.config import RunConfig

    given = given_fields(arguments, RunConfig, many=many)
    task_set = given.get("task_set")
    named = modules_of(task_set) if isinstance(task_set, str | list) else []
    plugins.load(named)
    if named:
        given[IMPORTS] = list(dict.fromkeys([*given.get(IMPORTS, ()), *named]))
    return given


def _pairs(items: Sequence[str]) -> dict[str, Any]:
    pairs = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"{item!r} is not key=value, such as c=0.5")
        pairs[key] = _read(value, key)
    return pairs


def _words(field: FieldInfo) -> tuple[Any, ...]:
    """Return the words that a field takes if it is a `Literal`, else none."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _read(text: str, name: str, words: tuple[Any, ...] = ()) -> Any:
    if text in words:
        return text
    if text == "none":  # as the help shows it
        return None
    try:
        return parse_yaml(text, name)
    except UserError:
        raise UserError(f"{name}: cannot read {text!r}") from None


def _read_many(text: str, name: str, words: tuple[Any, ...] = ()) -> Any:
    value = _read(text, name, words)
    if isinstance(value, str) and "," in value:
        return [_read(part.strip(), name, words) for part in value.split(",")]
    return value


def whole(text: str) -> int:
    """Read a whole number from an argument: 40000, 40_000 or 4e4."""
    try:
        number = int(text) if text.lstrip("+-").replace("_", "").isdecimal() else float(text)
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")


def _type_words(field: FieldInfo) -> str:
    """Return the metavar of a field, such as `INT`, `FLOAT|none` or `classic|strong`."""
    return "|".join(dict.fromkeys(_TYPES.get(kind, str(kind)) for kind in members(field.annotation)))


def _help(field: FieldInfo, value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(f"{key}={of}" for key, of in value.items())
    elif isinstance(value, list):
        value = ",".join(map(str, value))
    shown = "none" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{field.description} [{shown}]".replace("%", "%%")
