"""Checkpoints on disk: two generations, and none of them used unless it is whole.

A checkpoint is the zip archive that `torch.save` writes, with a CRC-32 of everything in it. torch does not look at
these, so that a flipped bit would go on as another number; here they are compared before anything is loaded.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtrl_conic.errors import Damaged, UserError, first_line
from mtrl_conic.files import sync
from mtrl_conic.reading import open_regular

LATEST, PREVIOUS = "latest", "previous"
State = dict[str, Any]

_LOGGER = logging.getLogger(__name__)


def write(folder: Path, name: str, state: State) -> None:
    """Put `state` in the place of the checkpoint called `name`, all or nothing; the latest becomes the previous one."""
    import torch  # seconds, which listing runs need not spend

    file = folder / f"{name}.pt"
    fresh = file.with_suffix(".tmp")
    torch.save(state, fresh)
    sync(fresh)
    if name == LATEST and file.exists():
        file.replace(folder / f"{PREVIOUS}.pt")  # a kill here leaves the previous one, which goes on to the same end
    fresh.replace(file)
    sync(folder)


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
    import torch

    with handle:
        wrong = _wrong(handle)
        if wrong:
            raise Damaged(f"{file} is damaged or no checkpoint: {wrong}")
        handle.seek(0)
        try:
            state = torch.load(handle, map_location="cpu", weights_only=True)
        except Exception as error:  # bytes that mean something else lead the unpickler anywhere
            raise Damaged(f"{file} is no checkpoint: {first_line(error).partition('. ')[0]}") from None
    if not isinstance(state, dict):
        raise Damaged(f"{file} is no checkpoint: it has no keys")
    return state


def _wrong(handle: Any) -> str:
    """What is wrong with an archive, empty where everything in it is as it was written."""
    try:
        with zipfile.ZipFile(handle) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                return "it is compressed"
            part = archive.testzip()
            return f"its part {part} is not what was written" if part is not None else ""
    except Exception as error:  # zipfile has many ways to trip over a damaged archive
        return first_line(error)
