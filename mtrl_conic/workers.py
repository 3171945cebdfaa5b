"""Processes that work for another one: they leave it to that one when to stop, and end when it is gone."""

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
"""Signals by which a terminal or a scheduler asks all processes of a group to stop, whichever of them can answer."""
TIMEOUT = 300.0
"""Seconds for an answer, where nothing else is said: far above what the slowest environments take to be made."""
PARENT = "MTRL_CONIC_PARENT"
"""The environment variable by which a process knows who started it."""
_POLL_SECONDS = 0.5
_parents: list[int] = []
_PR_SET_PDEATHSIG = 1


def leave_requests_to_parent(*, but: signal.Signals | None = None) -> None:
    """The signals in `REQUESTS` do nothing here from now on; called in a worker's main thread.

    Args:
        but: one that keeps its meaning, where something else ends the worker by it.
    """
    for number in REQUESTS:
        if number != but:
            signal.signal(number, _do_nothing)  # a handler is not handed on to programs that the worker starts
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)


@contextmanager
def requests_held_back() -> Iterator[None]:
    """Processes that are started in this block get no signal of `REQUESTS` before they ask for it.

    It is `leave_requests_to_parent` that does; until then a Ctrl-C would end them while they load.
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
    """Whether this process ends with the one that started it, see `end_with`."""
    return bool(_parents)


def end_with(parent: int, *, grace: float = 0.0, at_once: bool = False) -> None:
    """End this process once it is no child of `parent` any more: that one is gone.

    Args:
        parent: its number.
        grace: seconds to end by itself, being asked by SIGTERM; 0: none.
        at_once: have the kernel do it too, where it can (Linux), so that code which never comes back from a library
            ends as well. It counts the end of the thread that started this process for that of the parent.
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
    """See `leave_requests_to_parent`."""
