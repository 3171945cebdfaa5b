"""Files that anybody may have written, read so that none of them hangs, blows up or runs anything.

What is no regular file, too large, not UTF-8, nested too deep, a reference to itself or a number of hundreds of digits
is a `UserError` of one line that names the file.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from mtrl_conic.errors import UserError, first_line

TEXT_BYTES = 1 << 24
"""Of the largest file that is read whole."""
YAML_CHARACTERS = 1 << 18
"""Of the longest YAML: its reader takes seconds for more."""
DEPTH = 32
"""Of sections in sections."""
NODES = 100_000
"""Values of a YAML text once its aliases are written out."""
DIGITS = 40
"""Of a whole number."""


def open_regular(file: Path) -> BinaryIO:
    """`file`, opened for reading bytes; a pipe or a device in its place would never end.

    Raises:
        FileNotFoundError: there is none.
        UserError: it is something else than a file, or cannot be opened.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {file}: {getattr(error, 'strerror', None) or first_line(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"cannot read {file}: it is no regular file")
    return os.fdopen(descriptor, "rb")


def check_regular(file: Path) -> Path:
    """`file`, for libraries that open it by its name.

    Raises:
        UserError: it cannot be read, or is no regular file.
    """
    try:
        open_regular(file).close()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    return file


def read_text(file: Path, *, most: int = TEXT_BYTES) -> str:
    """The UTF-8 text in `file`.

    Args:
        file: to read.
        most: bytes that it may have.

    Raises:
        UserError: it cannot be read, or is no such text.
    """
    try:
        with open_regular(file) as handle:
            data = handle.read(most + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > most:
        raise UserError(f"cannot read {file}: it has more than {most:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"cannot read {file}: it is not UTF-8 text, byte {error.start} is {data[error.start]:#x}"
        ) from None


def read_json(file: Path) -> Any:
    """The JSON value in `file`; see `read_text` for what is refused."""
    return parse_json(read_text(file), str(file))


def read_yaml(file: Path) -> Any:
    """The YAML value in `file`; see `read_text` for what is refused."""
    return parse_yaml(read_text(file), str(file))


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text.

    Args:
        text: of any length.
        where: it comes from, for the message.

    Raises:
        UserError: it is something else.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise UserError(f"{where} is nested too deep") from None
    except ValueError as error:  # bytes that are no text are one, too
        raise UserError(f"{where} is not valid JSON: {first_line(error)}") from None


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text: plain values, lists and mappings. Tags that would make anything else are refused.

    Args:
        text: of at most `YAML_CHARACTERS`.
        where: it comes from, for the message.

    Raises:
        UserError: it is something else.
    """
    if len(text) > YAML_CHARACTERS:
        raise UserError(f"{where} is too long: YAML of {len(text):,} characters, at most {YAML_CHARACTERS:,}")
    try:
        _check_size(text)
        return yaml.load(text, Loader=_Loader)  # it is a safe one
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML's own constructors fail in their own ways, on `2026-13-45` or `!!int x`.
        raise UserError(f"{where} is not valid YAML: {first_line(error)}") from None


def as_yaml(values: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads as the same."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False))


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the same in C, ten times as fast
    """PyYAML's safe loader with a limit on digits."""

    def construct_whole(self, node: Any) -> int:
        if len(self.construct_scalar(node)) > DIGITS:
            raise yaml.YAMLError(f"a number of {len(node.value)} digits")
        value: int = self.construct_yaml_int(node)
        return value


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper: what `_Loader` would take for a number is quoted."""


for _kind in (_Loader, _Dumper):  # `4e4`, which YAML 1.2 takes for a number and PyYAML for text
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def _check_size(text: str) -> None:
    """That a YAML text is neither nested too deep nor grows by its aliases, before anything is made of it.

    Raises:
        yaml.YAMLError: it does, or is no YAML.
    """
    nodes, sizes = 0, dict[str | None, int]()
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError("an alias stands for what it stands in, or for nothing")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = nodes - before
        if len(opened) > DEPTH:
            raise yaml.YAMLError(f"it is nested more than {DEPTH} deep")
        if nodes > NODES:
            raise yaml.YAMLError(f"it has more than {NODES:,} values")
