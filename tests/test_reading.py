"""Foreign text files end in a value or in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtrl_conic.errors import UserError
from mtrl_conic.reading import NODES, YAML_CHARACTERS, parse_json, parse_yaml, read_json, read_text, read_yaml


def test_what_is_right_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: &x [1, 1e3, null]\nb: *x\nc: {d: café}\n")
    assert read_yaml(file) == {"a": [1, 1000.0, None], "b": [1, 1000.0, None], "c": {"d": "café"}}
    file.write_text('{"a": [1, NaN]}')
    assert read_json(file)["a"][0] == 1


def test_a_key_may_replace_a_merged_one() -> None:
    text = "a: &a {k: 1, l: 2}\nb: {<<: *a, k: 3}\n1: x\n'1': y"
    assert parse_yaml(text, "a.yaml") == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}, 1: "x", "1": "y"}


def test_a_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "device", "loop", ".", "nowhere", "a\0b", "a" * 5000):
        with pytest.raises(UserError, match="cannot read"):
            read_text(tmp_path / name)


def test_text_that_is_too_large_or_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="not UTF-8 text, byte 3 is 0xe9"):
        read_text(file)
    with pytest.raises(UserError, match="more than 3 bytes"):
        read_text(file, most=3)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join(['*' + chr(97 + i)] * 9)}]}}\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 20_000, "nested"),
        ("a: " + "[" * 40 + "]" * 40, "nested"),
        (BOMB, f"more than {NODES:,} values"),
        (MERGES, f"more than {NODES:,} values"),
        ("a: &a [*a]", "refers to a value that contains it"),
        ("a: " + "9" * 5000, "5000 digits"),
        ("a: 2026-13-45", "not valid YAML"),
        ("!!int x", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("x" * (YAML_CHARACTERS + 1), "too long"),
        ("a\0b", "not valid YAML"),
        ("agent: {width: 32}\nsteps: 60\nagent: {depth: 1}", "the key 'agent' occurs twice"),
        ("agent: {width: 32, depth: 1, width: 64}", "the key 'width' occurs twice"),
    ],
)
def test_yaml_that_would_hang_or_blow_up(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse_yaml(text, "a.yaml")
    assert "\n" not in str(caught.value)
    assert "a.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 20_000, "9" * 5000, "{", b"\xff\xfe", ""])
def test_json_that_is_none(text: str | bytes) -> None:
    with pytest.raises(UserError, match=r"a\.json"):
        parse_json(text, "a.json")
