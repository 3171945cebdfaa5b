"""The lock of a run directory: one process writes to it, and others can see that it is being written.

Raises:
    UserError: on import, if the system has no such lock.
"""

from __future__ import annotations

from typing import IO, Any

from mtrl_conic.errors import UserError

try:
    import fcntl
except ImportError:
    raise UserError(
        "runs need the file locks of Linux or macOS, which Windows does not have; use Linux there, in WSL 2"
    ) from None


def lock(file: IO[Any]) -> None:
    """Take the lock of an open file, until it is closed or the process ends.

    Raises:
        OSError: another process holds it.
    """
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def look(file: IO[Any]) -> None:
    """Hold a shared lock of an open file, which only the lock of a writer excludes.

    Raises:
        BlockingIOError: a process is writing.
    """
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
