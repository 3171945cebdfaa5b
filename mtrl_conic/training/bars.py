"""Bars that show how far training has come: on a terminal, and in a notebook."""

from __future__ import annotations

import builtins
import html
import time
from typing import Any, Protocol

_EVERY = 0.5
"""Seconds between two drawings in a notebook, whose every drawing is a message to the browser."""


class Bar(Protocol):
    """What is shown while training goes on."""

    def show(self, step: int, words: str) -> None:
        """The step that training has come to, and words beside it."""

    def stop(self) -> None:
        """Leave it as it is."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(builtins, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class TerminalBar:
    """On a terminal.

    Args:
        until: the step at which training ends.
    """

    def __init__(self, until: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        words = TextColumn("{task.description}", markup=False)
        self._bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), words)
        self._task = self._bar.add_task("", total=until)
        self._bar.start()

    def show(self, step: int, words: str) -> None:
        """Move it."""
        self._bar.update(self._task, completed=step, description=words)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


class NotebookBar:
    """In a notebook, by what every notebook has: it needs no widgets.

    Args:
        until: the step at which training ends.
    """

    def __init__(self, until: int) -> None:
        from IPython.display import HTML, display

        self._html, self._until = HTML, until
        self._begun, self._first = time.monotonic(), -1
        self._drawn, self._last = 0.0, (0, "")
        self._handle: Any = display(HTML(""), display_id=True)

    def show(self, step: int, words: str) -> None:
        """Move it, now and then."""
        self._first = step if self._first < 0 else self._first
        changed, self._last = words != self._last[1], (step, words)
        if changed or time.monotonic() - self._drawn > _EVERY:
            self._draw()

    def stop(self) -> None:
        """Leave it as it is at the end."""
        self._draw()

    def _draw(self) -> None:
        (step, words), spent = self._last, time.monotonic() - self._begun
        left = spent * (self._until - step) / (step - self._first) if step > self._first else None
        said = [f"step {step:,} of {self._until:,}", words]
        if left is not None and step < self._until:
            said.insert(1, f"{left / 60:.1f} minutes left")
        text = html.escape(", ".join(part for part in said if part))
        self._handle.update(self._html(f'<progress max="{self._until}" value="{step}"></progress> {text}'))
        self._drawn = time.monotonic()
