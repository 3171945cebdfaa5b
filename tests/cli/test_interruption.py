"""Tests that any of several signals stops a run between two steps."""

from __future__ import annotations

import os
import signal

import pytest

from mtrl_conic.cli.interruption import asked_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_a_request(number: signal.Signals) -> None:
    as_found = signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with asked_to_stop() as asked:
            assert not asked()
            os.kill(os.getpid(), number)
            assert asked()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, as_found)


def test_under_nohup_the_end_of_the_terminal_is_none() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with asked_to_stop() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)
