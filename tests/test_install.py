"""Installing: what `make` says, the hints of optional parts, and systems that are not supported."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mtrl_conic
from mtrl_conic.errors import not_installed

ROOT = Path(__file__).parent.parent


def test_make_alone_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.findall(r"^([a-z0-9]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets
    assert {"install", "mt10", "test", "clean"} <= set(targets)


def test_every_hint_names_an_optional_part_of_this_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    code = (ROOT / "mtrl_conic").rglob("*.py")
    named = [extra for file in pages for extra in re.findall(r"pip install -e [\"']\.\[(\w+)\]", file.read_text())]
    named += [extra for file in code for extra in re.findall(r'not_installed\([^)]*"(\w+)"\)', file.read_text())]
    assert extras >= set(named) >= {"video", "supervised", "ray", "wandb", "onnx"}
    for file in (*pages, *(ROOT / "mtrl_conic").rglob("*.py")):
        assert "mtrl-conic[" not in file.read_text(), f"{file} names a package index that does not have it"
    assert str(not_installed("imageio", "video")).endswith('pip install -e ".[video]"')


def test_windows_is_refused_in_one_line() -> None:
    """It has no `fcntl`. What needs no run, balancers say, goes on working there."""
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from mtrl_conic.cli import main\n"
        "assert main(['balancers']) == 0\n"
        "sys.exit(main(['train', 'mt10']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Windows" in done.stderr
    assert "WSL" in done.stderr


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mtrl_conic.__version__
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()
