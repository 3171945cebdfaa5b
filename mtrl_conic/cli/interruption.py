"""Stopping when the user says so, between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C (or SIGTERM, or SIGHUP) into a request; the second one ends the process at once.

    Under `nohup` SIGHUP stays ignored.
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
