"""A console that shows text from other sources literally."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

from mtrl_conic.escaping import visible


class Terminal(Console):
    """Shows every text literally: it interprets no markup and no emoji names, and escapes control characters.

    Use `rich.text.Text` for styled text.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text literally; overrides the method of rich."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False, "highlight": False})


TERMINAL = Terminal()


def say(text: str) -> None:
    """Print one line for the user."""
    TERMINAL.print(text, soft_wrap=True)
