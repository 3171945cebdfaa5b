"""`requirements.lock` is what `make lock` writes for the packages and versions of today."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("supervised", "video")


def locked(python: str) -> dict[str, str]:
    """Name -> version, on Linux; each with a hash."""
    found = {}
    for entry in re.split(r"^(?=[a-z])", (ROOT / "requirements.lock").read_text(), flags=re.M)[1:]:
        requirement = Requirement(entry.partition("\\")[0].strip())
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"{requirement} has no hash"
        if applies(requirement, python):
            (pinned,) = requirement.specifier
            assert pinned.operator == "=="
            assert canonicalize_name(requirement.name) not in found
            found[canonicalize_name(requirement.name)] = pinned.version
    return found


def applies(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return requirement.marker is None or requirement.marker.evaluate({**environment, "platform_machine": "x86_64"})


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_holds_what_is_needed_in_the_versions_that_were_tested(python: str) -> None:
    found = locked(python)
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = setup["options"]["install_requires"]
    needed += "".join(setup["options.extras_require"][extra] for extra in EXTRAS)
    for line in needed.split("\n"):
        if line.strip() and applies(requirement := Requirement(line), python):
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, "run make lock"
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#") or not applies(requirement := Requirement(line), python):
            continue
        version = found.get(canonicalize_name(requirement.name))
        assert version is None or version in requirement.specifier, f"{requirement.name}: run make lock"


def test_the_lock_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
