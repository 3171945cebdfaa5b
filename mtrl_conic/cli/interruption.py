"""Stopping between two steps when the user interrupts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Provide a function that tells whether Ctrl-C (or SIGTERM, or SIGHUP) has been received.

    The first signal only sets what the function returns; a second Ctrl-C raises KeyboardInterrupt at once. Under
    `nohup`, SIGHUP stays ignored.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    stopping = (signal.SIGINT, signal.SIGTERM, *([] if nohup else [signal.SIGHUP]))
    before = {number: signal.signal(number, ask) for number in stopping}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
