"""Modules of one's own: found by name or path, never by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtrl_conic import plugins
from mtrl_conic.errors import UserError


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Modules and search path are those of before again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_file_is_imported_under_its_name_and_finds_what_lies_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "beside_own.py", "VALUE = 3\n")
    write(tmp_path / "mine" / "own_tasks.py", "from beside_own import VALUE\n")
    plugins.load(["mine/own_tasks.py"])
    assert sys.modules["own_tasks"].VALUE == 3
    first = sys.modules["own_tasks"]
    plugins.load([str(tmp_path / "mine" / "own_tasks.py"), "own_tasks"])
    assert sys.modules["own_tasks"] is first
    assert plugins.absolute(["mine/own_tasks.py", "own_tasks"]) == [
        str(tmp_path / "mine" / "own_tasks.py"),
        "own_tasks",
    ]


def test_a_module_of_the_working_directory_is_found_behind_all_others(tmp_path: Path) -> None:
    write(tmp_path / "own_module.py", "")
    write(tmp_path / "json.py", "raise RuntimeError")
    plugins.load(["own_module"])
    assert "own_module" in sys.modules
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize(
    ("given", "text", "words"),
    [
        ("missing_one.py", None, "--import missing_one.py: there is no such file"),
        ("missing_one", None, "there is no module 'missing_one' here; a file is given by its path, such as path/to/"),
        ("json.py", "", "'json' is already the name of .*json.*; rename the file"),
        ("a-b.py", "", "letters, digits and underscores; rename"),
        ("own_a.py", "import missing_two", "--import own_a.py: it needs 'missing_two', which is not installed"),
        ("own_b.py", "\nx = 1 / 0", r"own_b.py: ZeroDivisionError: division by zero \(own_b.py, line 2\)"),
        ("own_c.py", "def f(:", r"own_c.py: SyntaxError: .*own_c.py, line 1\)"),
        ("own_d.py", "raise SystemExit(3)", "own_d.py: SystemExit: 3"),
        (
            "own_e.py",
            "from mtrl_conic.networks.registry import register_network\n@register_network('shared')\nclass A: pass",
            "own_e.py: a network named 'shared' already exists",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(given: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        write(tmp_path / given, text)
    with pytest.raises(UserError, match=words) as caught:
        plugins.load([given])
    assert "\n" not in str(caught.value)


def test_what_is_needed_is_asked_for_and_not_imported(tmp_path: Path) -> None:
    write(tmp_path / "own_f.py", "")
    plugins.require(["json", "elsewhere/json.py"], of="runs/a")
    with pytest.raises(UserError, match=r"runs/a needs .* give --import 'my files/own_f.py' --import own_g$"):
        plugins.require(["json", "my files/own_f.py", "own_g"], of="runs/a")
    assert "own_f" not in sys.modules
    with pytest.raises(UserError, match=r"give --import 'a; rm b' --import 'c.\\x1b\[31m\\nd'$"):
        plugins.require(["a; rm b", "c.\x1b[31m\nd"], of="runs/a")


def install(folder: Path, name: str, module: str, text: str) -> None:
    """A package as pip leaves it, with one entry point."""
    write(folder / f"{module}.py", text)
    write(folder / f"{name}-1.0.dist-info" / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    write(folder / f"{name}-1.0.dist-info" / "entry_points.txt", f"[{plugins.GROUP}]\n{name} = {module}\n")


def test_installed_plugins_are_imported_and_a_broken_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = tmp_path / "site"
    install(site, "good", "own_h", "")
    install(site, "broken", "own_i", "raise ValueError('no licence')")
    monkeypatch.syspath_prepend(site)
    assert plugins.load_installed() == ["good (good 1.0)"]
    assert "own_h" in sys.modules
    assert "the plug-in broken (broken 1.0) is skipped: ValueError: no licence" in caplog.text


def test_a_folder_that_one_stands_in_is_no_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m` puts it on the path."""
    install(tmp_path, "foreign", "own_j", "raise AssertionError")
    for folder in ("", str(tmp_path)):
        monkeypatch.setattr(sys, "path", [folder, *sys.path])
        assert plugins.load_installed() == []
