"""Errors that are reported in one line, and the request to stop."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """The user's input is wrong. The message is one line that says what to do; the exit code is 2."""


class Damaged(UserError):
    """A file differs from what was written to it."""


class Failed(Exception):
    """The work cannot continue for a reason other than the user's input, such as a full disk.

    The message is one line that says what to do; the exit code is 1.
    """


class Diverged(Failed, FloatingPointError):
    """A training diverged: its numbers are not finite."""


class Interrupted(Exception):
    """A run was asked to stop; a run with a directory can be resumed from its checkpoint."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """Return an error for an unknown `name` of some `kind` that suggests the nearest `known` one."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif names:
        hint = f"known: {listed(names)}"
    else:
        hint = "there are none"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def listed(names: Iterable[object], *, most: int = 12) -> str:
    """Write names in one line: all of them, or the first `most` and the number of names."""
    words = [str(name) for name in names]
    return ", ".join(words) if len(words) <= most else f"{', '.join(words[:most])}, ... ({len(words)} in all)"


def not_installed(package: str, extra: str) -> UserError:
    """Return an error for a missing `package` of the optional part `extra`, with the command that installs it."""
    return UserError(f'{package} is not installed; in the checkout of mtrl_conic: pip install -e ".[{extra}]"')


def first_line(error: BaseException) -> str:
    """Return the message of `error` on one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def headline(error: BaseException) -> str:
    """Return the first line of a long message, such as torch's when it quotes a compiler, or the type of `error`."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def origin(error: BaseException) -> str:
    """Return where `error` was raised, preferably in the user's code: ` (lab.py, line 12)`."""
    installed = ("site-packages", "dist-packages", sysconfig.get_paths()["stdlib"], "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in installed)] or frames
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
