"""Preparation before the work itself, mostly compilation: it is announced to a listener and timed separately."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Preparation:
    """Measures the seconds that are spent in preparation; nested blocks count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The seconds of all blocks that have ended."""
        self._tell: Callable[[str], None] = lambda words: None
        self._inside = False

    @contextmanager
    def __call__(self, words: str) -> Iterator[None]:
        """Mark a block as preparation, such as `compiling`."""
        if self._inside:
            yield
            return
        self._inside, start = True, time.perf_counter()
        self._tell(words)
        try:
            yield
        finally:
            self._inside = False
            self.seconds += time.perf_counter() - start
            self._tell("")

    @contextmanager
    def told_to(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Until the block ends, call `tell` with what is being prepared, and with an empty text when that is done."""
        before, self._tell = self._tell, tell
        try:
            yield
        finally:
            self._tell = before


PREPARATION = Preparation()
"""The preparation of this process, since compilers work for the whole process."""
