"""Where the numbers of a run come from: the command, the code, the machine."""

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
"""The file that has a line for each time a run was started or taken up."""
_PACKAGES = ["mtrl-conic", "torch", "numpy", "scipy", "numba", "gymnasium", "metaworld", "mujoco", "pydantic"]
_SECONDS = 10
"""For git to answer: a folder on a slow server holds no run up."""


def provenance() -> dict[str, Any]:
    """Of this process: `time`, `command`, `commit`, `clean`, `versions`, `python`, `system`, `processor`, `cores`.

    The commit is that of the checkout that this package lies in, and `clean` whether its tree has no changes; both are
    None where it was installed.
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
    """Of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's name, or its kind where the system does not tell the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _git(*arguments: str) -> str | None:
    """What git says of the checkout around this package; None where there is none, or no git."""
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
