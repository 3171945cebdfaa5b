"""Reading of untrusted files without hanging, without excessive memory and without running code.

A file that is not regular, too large, not UTF-8, nested too deeply, or that contains a reference to itself or a number
with hundreds of digits, raises a `UserError` of one line that names the file.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from typing_extensions import override

from mtrl_conic.errors import UserError, first_line

TEXT_BYTES = 1 << 24
"""The size of the largest file that is read whole."""
YAML_CHARACTERS = 1 << 18
"""The length of the longest YAML text; longer ones take seconds to read."""
DEPTH = 32
"""The largest depth of nested sections."""
NODES = 100_000
"""The largest number of values of a YAML text after its aliases are expanded."""
DIGITS = 40
"""The largest number of digits of an integer."""


def open_regular(file: Path) -> BinaryIO:
    """Open a regular file for reading bytes; a pipe or a device, which might never end, is refused.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: it is not a regular file, or cannot be opened.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {file}: {getattr(error, 'strerror', None) or first_line(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"cannot read {file}: it is not a regular file")
    return os.fdopen(descriptor, "rb")


def check_regular(file: Path) -> Path:
    """Check and return `file`, for libraries that open it by name.

    Raises:
        UserError: it cannot be read, or is not a regular file.
    """
    try:
        open_regular(file).close()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    return file


def read_text(file: Path, *, most: int = TEXT_BYTES) -> str:
    """Return the UTF-8 text in `file`.

    Args:
        file: file to read.
        most: largest number of bytes.

    Raises:
        UserError: it cannot be read, or is not such a text.
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
    """Return the JSON value in `file`; see `read_text` for the errors."""
    return parse_json(read_text(file), str(file))


def read_yaml(file: Path) -> Any:
    """Return the YAML value in `file`; see `read_text` for the errors."""
    return parse_yaml(read_text(file), str(file))


def parse_json(text: str | bytes, where: str) -> Any:
    """Return the value of a JSON text.

    Args:
        text: text of any length.
        where: origin of the text, for the message.

    Raises:
        UserError: the text is not JSON.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise UserError(f"{where} is nested too deeply") from None
    except ValueError as error:  # includes UnicodeDecodeError, for bytes that are not text
        raise UserError(f"{where} is not valid JSON: {first_line(error)}") from None


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text: plain values, lists and mappings. Tags for other objects are refused.

    Args:
        text: text of at most `YAML_CHARACTERS`.
        where: origin of the text, for the message.

    Raises:
        UserError: the text is not such YAML.
    """
    if len(text) > YAML_CHARACTERS:
        raise UserError(f"{where} is too long: YAML of {len(text):,} characters, at most {YAML_CHARACTERS:,}")
    try:
        _check_size(text)
        return yaml.load(text, Loader=_Loader)  # a safe loader
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML's constructors raise various errors, for example for `2026-13-45` or `!!int x`.
        raise UserError(f"{where} is not valid YAML: {first_line(error)}") from None


def as_yaml(values: Any) -> str:
    """Write plain values as YAML, from which `parse_yaml` reads equal values."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False))


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the same in C, ten times as fast
    """PyYAML's safe loader with a limit on the number of digits, which refuses a key that occurs twice."""

    @override
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                if (key.tag, key.value) in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} occurs twice")
                seen.add((key.tag, key.value))
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found

    def construct_whole(self, node: Any) -> int:
        if len(self.construct_scalar(node)) > DIGITS:
            raise yaml.YAMLError(f"a number of {len(node.value)} digits")
        value: int = self.construct_yaml_int(node)
        return value


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes text that `_Loader` would read as a number."""


for _kind in (_Loader, _Dumper):  # `4e4` is a number in YAML 1.2, but a text in PyYAML
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def _check_size(text: str) -> None:
    """Check, before objects are created, that a YAML text is not nested too deeply and does not grow by its aliases.

    Raises:
        yaml.YAMLError: it does, or it is not YAML.
    """
    nodes, sizes = 0, dict[str | None, int]()
    opened: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError("an alias refers to a value that contains it, or to nothing")
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
