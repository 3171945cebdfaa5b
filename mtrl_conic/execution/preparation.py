"""What is done once before the work itself, compiling above all: told to whoever listens, its seconds kept apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Preparation:
    """Counts the seconds of blocks that prepare; one within another counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """In all blocks that have ended."""
        self._tell: Callable[[str], None] = lambda words: None
        self._inside = False

    @contextmanager
    def __call__(self, words: str) -> Iterator[None]:
        """A block that prepares, such as `compiling`."""
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
        """Until the block ends, `tell` hears what is prepared, and an empty text when that is done."""
        before, self._tell = self._tell, tell
        try:
            yield
        finally:
            self._tell = before


PREPARATION = Preparation()
"""Of this process: compilers work for all of it."""
