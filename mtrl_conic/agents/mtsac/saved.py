"""An agent in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from mtrl_conic import files
from mtrl_conic.errors import UserError, first_line

_EXECUTION = ("compile", "record_updates")
"""Of no agent's configuration any more, but of those that earlier versions saved."""


def write_agent(path: Path, saved: dict[str, Any]) -> None:
    """Put a saved agent in the place of what `path` holds.

    Raises:
        UserError: it cannot be written; what was there before is still there.
    """
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    try:
        files.replace(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def read_agent(path: Path) -> dict[str, Any]:
    """What `write_agent` wrote, on the CPU. Nothing is unpickled but tensors and numbers.

    Raises:
        UserError: there is no file, or it holds something else.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file that an agent was saved to")
    if not path.exists():
        raise UserError(f"there is no saved agent at {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that mean something else lead the unpickler anywhere
        raise UserError(f"{path} is no saved agent: {_reason(error)}") from None
    if isinstance(saved, dict) and {"agent", "replay"} <= saved.keys():
        raise UserError(f"{path} is a run's checkpoint, no saved agent; `mtrl-conic export` takes the run's folder")
    missing = {"spec", "config", "balancer", "seed", "state"} - (saved.keys() if isinstance(saved, dict) else set())
    if missing:
        raise UserError(f"{path} is no saved agent: {min(missing)} is missing")
    config = {name: value for name, value in saved["config"].items() if name not in _EXECUTION}
    return {**saved, "config": config}


def _reason(error: Exception) -> str:
    """torch tells at length how to load what should not be loaded; its first sentence is enough."""
    return first_line(error).partition(". ")[0]
