"""The provenance of a run: the command, the code and the machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROVENANCE = "provenance"
"""The file with a line for each time that a run was started or resumed."""
_PACKAGES = ["mtrl-conic", "torch", "numpy", "scipy", "numba", "gymnasium", "metaworld", "mujoco", "pydantic"]
_SECONDS = 10
"""The timeout for git, so that a slow file server does not delay a run."""


def provenance() -> dict[str, Any]:
    """Return the provenance of this process: time, command, commit, versions, Python and the machine.

    The commit is that of the checkout of this package, and `clean` says whether its tree has no changes; both are None
    for an installed package.
    """
    import torch

    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain") if commit else None
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(sys.argv),
        "commit": commit,
        "clean": None if changes is None else not changes,
        "versions": {**versions(_PACKAGES), "cuda": torch.version.cuda},
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "host": platform.node(),
    }


def versions(packages: list[str]) -> dict[str, str]:
    """Return the versions of the installed packages."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the name of the processor, or its architecture if the system does not give the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _git(*arguments: str) -> str | None:
    """Return the output of git for the checkout of this package; None without a checkout or without git."""
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
