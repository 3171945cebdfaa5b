"""The terminal, as a place where foreign text is shown and does nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

from mtrl_conic.escaping import visible


class Terminal(Console):
    """Shows every text as it is: no markup, no names of emoji, control characters as escapes.

    What is to have a style is a `rich.text.Text`.
    """

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """See rich."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False, "highlight": False})


TERMINAL = Terminal()


def say(text: str) -> None:
    """One line to the user."""
    TERMINAL.print(text, soft_wrap=True)
