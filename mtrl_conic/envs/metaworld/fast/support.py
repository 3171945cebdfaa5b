"""Whether the compiled stepper supports a task set, without importing the stepper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata

from packaging.version import Version

from mtrl_conic.envs.metaworld.fast.tasks import SPECS

VERSIONS = {"mujoco": "3.3.0", "metaworld": "3.1.1"}
"""The versions that the kernels reproduce exactly."""
OLDEST = {"numpy": "2.0", "numba": "0.61"}
"""The oldest supported versions; before version 2, NumPy computes in float64 what is float32 here."""


def supports(task_names: Sequence[str], reward_version: str = "v2") -> str | None:
    """Return why the tasks cannot use compiled stepping; None if they can.

    It requires the exact versions of mujoco and metaworld that the kernels were checked against, because with other
    versions the results might differ silently.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set, so nothing is compiled"
    for package, wanted in VERSIONS.items():
        found = _version(package)
        if found != wanted:
            return f"{package} {wanted} is needed and {found or 'none'} is installed"
    for package, wanted in OLDEST.items():
        found = _version(package)
        if found is None or Version(found) < Version(wanted):
            return f"{package} {wanted} or later is needed and {found or 'none'} is installed"
    if reward_version not in SPECS:
        return f"rewards {reward_version!r} have no kernels; {' and '.join(SPECS)} have"
    missing = [name for name in dict.fromkeys(task_names) if name not in SPECS[reward_version]]
    if missing:
        return f"no kernel for {', '.join(missing)} with rewards {reward_version}"
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
