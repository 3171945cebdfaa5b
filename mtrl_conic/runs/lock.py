"""The lock of a run directory: one process writes to it, and others can see that it is being written.

Raises:
    UserError: on import, if the system has no such lock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO, Any, NoReturn

from mtrl_conic.errors import UserError

try:
    import fcntl
except ImportError:
    raise UserError(
        "runs need the file locks of Linux or macOS, which Windows does not have; use Linux there, in WSL 2"
    ) from None


_PAUSES = (0.02, 0.1)
"""The seconds between attempts at the lock, which a process that reads the state of the run holds for an instant."""


def take(file: IO[str], directory: Path, patience: float) -> None:
    """Take the lock of an open file, until it is closed or the process ends, and write the process's number into it.

    Args:
        file: the open file; it is closed if another process keeps the lock.
        directory: directory of the run, for the error.
        patience: seconds to wait for another process.

    Raises:
        UserError: another process holds the lock.
    """
    deadline = time.monotonic() + patience
    pauses = list(_PAUSES)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if not pauses and time.monotonic() >= deadline:
                _refuse(file, directory)
            time.sleep(pauses.pop(0) if pauses else 0.2)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def look(file: IO[Any]) -> None:
    """Hold a shared lock of an open file, which only the lock of a writer excludes.

    Raises:
        BlockingIOError: a process is writing.
    """
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _refuse(file: IO[str], directory: Path) -> NoReturn:
    file.seek(0)
    owner = file.read().strip() or "unknown"
    file.close()
    raise UserError(f"run directory {directory} is being written by process {owner}; wait for it or choose another")
