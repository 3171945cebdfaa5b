"""Checkpoints on disk: the latest and the previous one, which are used only if they are undamaged."""

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
    """Replace the checkpoint called `name` by `state` completely or not at all; the latest becomes the previous one."""
    import torch  # takes seconds, which commands that only list runs need not spend

    file = folder / f"{name}.pt"
    with replacing(file) as fresh:
        with fresh.open("wb") as handle:
            writer = _Writer(handle)
            torch.save(state, writer)  # type: ignore[arg-type]  # it only writes to the file
        if writer.refused is not None:
            raise writer.refused
        sync(fresh)
        if name == LATEST and file.exists():
            # If the process is killed here, the run resumes from the previous checkpoint, with the same result.
            file.replace(folder / f"{PREVIOUS}.pt")


class _Writer:
    """The file object for `torch.save`, which reports a full disk in several ways of its own."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.refused: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write until the disk is full."""
        if self.refused is None:
            try:
                self._handle.write(data)
            except OSError as error:
                self.refused = error
        return len(data)

    def flush(self) -> None:
        """Do nothing, because the file is closed afterwards."""


def newest(
    folder: Path,
    *,
    use: Callable[[State], None] = lambda state: None,
    taken: Callable[[str], None] = lambda name: None,
) -> State | None:
    """Return the latest undamaged checkpoint, or None if there are no checkpoints.

    Args:
        folder: folder of a run's checkpoints.
        use: function that is called with the state; if it raises `Damaged`, the previous checkpoint is tried.
        taken: function that is called with the name of the returned checkpoint.

    Raises:
        UserError: all existing checkpoints are damaged.
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
            _LOGGER.warning("%s; the previous checkpoint is used, %s", faults[0], file)
        taken(name)
        return state
    if faults:
        raise UserError(f"no checkpoint can be used: {'; '.join(faults)}; nothing was deleted")
    return None


def set_aside(folder: Path) -> None:
    """Rename the latest checkpoint, which is damaged, so that it is not overwritten."""
    file = folder / f"{LATEST}.pt"
    if file.exists():
        file.replace(folder / f"{LATEST}.damaged")
        sync(folder)


def read(file: Path) -> State:
    """Load the state in a checkpoint onto the CPU. Loading runs no code.

    Raises:
        Damaged: the file is not a checkpoint, or it is damaged.
        UserError: the file cannot be opened.
    """
    try:
        handle = open_regular(file)
    except OSError as error:
        raise UserError(f"{file} is not a checkpoint: {error.strerror}") from None
    except UserError as error:
        raise Damaged(str(error)) from None
    with handle:
        try:
            state = load_archive(handle)
        except Damaged as error:
            raise Damaged(f"{file} is damaged or not a checkpoint: {error}") from None
    if not isinstance(state, dict):
        raise Damaged(f"{file} is not a checkpoint: it has no keys")
    return state
