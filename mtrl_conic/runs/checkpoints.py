"""Checkpoints on disk: two generations, and none of them used unless it is whole."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from mtrl_conic.archives import load_archive
from mtrl_conic.errors import Damaged, UserError
from mtrl_conic.files import replacing, sync
from mtrl_conic.reading import open_regular

LATEST, PREVIOUS = "latest", "previous"
State = dict[str, Any]

_LOGGER = logging.getLogger(__name__)


def write(folder: Path, name: str, state: State) -> None:
    """Put `state` in the place of the checkpoint called `name`, all or nothing; the latest becomes the previous one."""
    import torch  # seconds, which listing runs need not spend

    file = folder / f"{name}.pt"
    with replacing(file) as fresh:
        with fresh.open("wb") as handle:
            writer = _Writer(handle)
            torch.save(state, writer)  # type: ignore[arg-type]  # what it writes to need not be read
        if writer.refused is not None:
            raise writer.refused
        sync(fresh)
        if name == LATEST and file.exists():
            file.replace(
                folder / f"{PREVIOUS}.pt"
            )  # a kill here leaves the previous one, which goes on to the same end


class _Writer:
    """What `torch.save` writes to: it tells of a full disk in its own way, and in several."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.refused: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, until there is no room."""
        if self.refused is None:
            try:
                self._handle.write(data)
            except OSError as error:
                self.refused = error
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is closed after it."""


def newest(
    folder: Path,
    *,
    use: Callable[[State], None] = lambda state: None,
    taken: Callable[[str], None] = lambda name: None,
) -> State | None:
    """The latest checkpoint that is whole, or None where there is none at all.

    Args:
        folder: of a run's checkpoints.
        use: called with the state; it raises `Damaged` where something that belongs to it is, and the one before is
            tried.
        taken: told the name of the one that is returned.

    Raises:
        UserError: there are some, and all are damaged.
    """
    faults: list[str] = []
    for name in (LATEST, PREVIOUS):
        file = folder / f"{name}.pt"
        if not file.exists():
            continue
        try:
            state = read(file)
            use(state)
        except Damaged as error:
            faults.append(str(error))
            continue
        if faults:
            _LOGGER.warning("%s; the checkpoint before it is taken, %s", faults[0], file)
        taken(name)
        return state
    if faults:
        raise UserError(f"no checkpoint can be used: {'; '.join(faults)}; nothing was deleted")
    return None


def set_aside(folder: Path) -> None:
    """Move the latest checkpoint, which is damaged, out of the way of those that follow."""
    file = folder / f"{LATEST}.pt"
    if file.exists():
        file.replace(folder / f"{LATEST}.damaged")
        sync(folder)


def read(file: Path) -> State:
    """The state in a checkpoint, on the CPU. Loading runs no code.

    Raises:
        Damaged: it is no checkpoint, or not what was written.
        UserError: it cannot be opened.
    """
    try:
        handle = open_regular(file)
    except OSError as error:
        raise UserError(f"{file} is no checkpoint: {error.strerror}") from None
    except UserError as error:
        raise Damaged(str(error)) from None
    with handle:
        try:
            state = load_archive(handle)
        except Damaged as error:
            raise Damaged(f"{file} is damaged or no checkpoint: {error}") from None
    if not isinstance(state, dict):
        raise Damaged(f"{file} is no checkpoint: it has no keys")
    return state
