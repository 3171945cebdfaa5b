"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def replace(file: Path, data: bytes) -> None:
    """Put `data` in the place of what `file` holds: a crash or a full disk leaves the one or the other, whole.

    Raises:
        OSError: it cannot be written; nothing of it is left behind.
    """
    fresh = file.with_name(f"{file.name}.tmp")
    try:
        with fresh.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync(file.parent)


def sync(path: Path) -> None:
    """Wait until `path` is on the disk: what a file holds, or, of a folder, which files are in it.

    A rename lasts once the folder that it happened in is synced.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
