"""Worker processes, which leave requests to stop to their parent, and end when the parent has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals by which a terminal or a scheduler asks all processes of a group to stop."""
TIMEOUT = 300.0
"""The default number of seconds to wait for an answer, far more than the slowest environments take to be created."""
PARENT = "MTRL_CONIC_PARENT"
"""The environment variable that gives a process the number of its parent."""
_POLL_SECONDS = 0.5
_parents: list[int] = []
_PR_SET_PDEATHSIG = 1


def leave_requests_to_parent(*, but: signal.Signals | None = None) -> None:
    """Ignore the signals in `REQUESTS` from now on; must be called in the main thread of a worker.

    Args:
        but: a signal that is not ignored, because something else ends the worker by it.
    """
    for number in REQUESTS:
        if number != but:
            # Programs that the worker starts do not inherit a handler, unlike SIG_IGN.
            signal.signal(number, _do_nothing)
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)


@contextmanager
def requests_held_back() -> Iterator[None]:
    """Block the signals in `REQUESTS` for processes that are started in this block.

    The processes unblock the signals by `leave_requests_to_parent`. Otherwise, a Ctrl-C would end them while they load.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def works_for_another() -> bool:
    """Return whether this process ends with its parent, see `end_with`."""
    return bool(_parents)


def end_with(parent: int, *, grace: float = 0.0, at_once: bool = False) -> None:
    """End this process once it is no longer a child of `parent`, because the parent has ended.

    Args:
        parent: process number of the parent.
        grace: seconds that this process has to end by itself after a SIGTERM; 0: it is killed at once.
        at_once: whether the kernel also kills this process (only on Linux), even if it does not return from a library
            call. The kernel does so when the thread that started this process ends.
    """
    _parents.append(parent)
    if at_once and sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        if grace:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _do_nothing(number: int, frame: object) -> None:
    """Handle a signal by doing nothing."""
