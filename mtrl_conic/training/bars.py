"""Progress bars for training, on a terminal and in a notebook."""

from __future__ import annotations

import builtins
import html
import time
from typing import Any, Protocol

_EVERY = 0.5
"""Seconds between two updates of the bar in a notebook, where each update is a message to the browser."""


class Bar(Protocol):
    """The interface of a progress bar."""

    def show(self, step: int, words: str) -> None:
        """Show the current step and a text beside it."""

    def stop(self) -> None:
        """Leave the bar in its last state."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(builtins, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class TerminalBar:
    """A progress bar on a terminal.

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
        """Show the current step and a text beside it."""
        self._bar.update(self._task, completed=step, description=words)

    def stop(self) -> None:
        """Remove the bar and restore the terminal."""
        self._bar.stop()


class NotebookBar:
    """A progress bar in a notebook; it uses plain HTML and needs no widgets.

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
        """Show the current step and a text beside it, at most once per interval."""
        self._first = step if self._first < 0 else self._first
        changed, self._last = words != self._last[1], (step, words)
        if changed or time.monotonic() - self._drawn > _EVERY:
            self._draw()

    def stop(self) -> None:
        """Leave the bar in its last state."""
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
