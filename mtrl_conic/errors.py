"""Errors that the user can mend, told in one line; what ends a run in one line; and the request to stop."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """The user's input is wrong. The message is one line that says what to do; the exit code is 2."""


class Damaged(UserError):
    """A file is not what was written into it."""


class Failed(Exception):
    """What was asked for cannot go on, and its input is not to blame: no room, say.

    The message is one line that says what to do; the exit code is 1.
    """


class Diverged(Failed, FloatingPointError):
    """The numbers of a training went bad."""


class Interrupted(Exception):
    """A run was asked to stop; where it has a directory, that goes on from its checkpoint."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """An error for an unknown `name` of some `kind`, naming the nearest of the `known` ones."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif names:
        hint = f"known: {listed(names)}"
    else:
        hint = "it takes none"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def listed(names: Iterable[object], *, most: int = 12) -> str:
    """Names in one line: all of them, or the first `most` and how many there are."""
    words = [str(name) for name in names]
    return ", ".join(words) if len(words) <= most else f"{', '.join(words[:most])}, ... ({len(words)} in all)"


def not_installed(package: str, extra: str) -> UserError:
    """An error for a `package` that only the optional part `extra` of this one needs, with how to install it."""
    return UserError(f'{package} is not installed; in the checkout of mtrl_conic: pip install -e ".[{extra}]"')


def first_line(error: BaseException) -> str:
    """The message of `error` on one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def origin(error: BaseException) -> str:
    """Where `error` was raised, in code that is not installed if there is some: ` (lab.py, line 12)`."""
    installed = ("site-packages", "dist-packages", sysconfig.get_paths()["stdlib"], "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in installed)] or frames
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
