"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtrl_conic.errors import Failed, UserError, first_line

_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE})
"""No space, no quota, over the limit of `ulimit -f`, a disk that went read-only, is broken, or is gone."""


@contextmanager
def replacing(file: Path, *, ending: str = ".tmp") -> Iterator[Path]:
    """A path beside `file` to write to: what is there at the end of the block takes the place of what `file` holds.

    A crash or a full disk leaves the one or the other, whole. A link goes on pointing where it did, and the new file
    may be read and written by those who could read and write the old one.

    Args:
        file: to replace; where it is a pipe, a device or an open file's number, its own path is given.
        ending: of the path's name.

    Raises:
        OSError: it cannot be written; nothing of it is left behind.
    """
    mode = file.stat().st_mode if file.exists() else None
    if (mode is not None and not stat.S_ISREG(mode)) or _is_open(file):
        yield file
        return
    place = Path(os.path.realpath(file))
    fresh = place.with_name(f"{place.name}{ending}")
    try:
        yield fresh
        if mode is not None:
            fresh.chmod(stat.S_IMODE(mode))
        sync(fresh)
        fresh.replace(place)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync(place.parent)


def replace(file: Path, data: bytes) -> None:
    """Put `data` in the place of what `file` holds; see `replacing`."""
    with replacing(file) as fresh:
        fresh.write_bytes(data)


def write(file: Path, data: str | bytes) -> None:
    """`replace`, for a file that the user names.

    Raises:
        UserError: it cannot be written; what was there before is still there.
    """
    with told_of(file):
        replace(file, data.encode() if isinstance(data, str) else data)


def append(file: Path, data: bytes) -> None:
    """Add `data` to what `file` holds, all or nothing.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        before = os.fstat(opened).st_size
        try:
            while data:  # the first part of it may still find room where the whole does not
                data = data[os.write(opened, data) :]
        except OSError:
            os.ftruncate(opened, before)
            raise
    finally:
        os.close(opened)


@contextmanager
def told_of(file: Path) -> Iterator[None]:
    """Turns what goes wrong while `file`, which the user named, is written into one line.

    Raises:
        UserError: in the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or first_line(error)}") from None


@contextmanager
def stopped_by_storage(run: Path) -> Iterator[None]:
    """Turns a refusal of the storage, while the run in the folder `run` is carried out, into one line.

    Raises:
        Failed: in the place of an `OSError` for want of room, quota or a disk that works.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise Failed(
            f"{error.filename or run}: {error.strerror}; make room, then the same command goes on from the last "
            f"checkpoint in {run}"
        ) from error


def _is_open(file: Path) -> bool:
    """Whether a path such as `/dev/stdout` stands for a file that somebody has open, whatever its name is."""
    folder = os.path.realpath(file.parent)
    return folder == "/dev" or folder.startswith("/proc/")


def sync(path: Path) -> None:
    """Wait until `path` is on the disk: what a file holds, or, of a folder, which files are in it.

    A rename lasts once the folder that it happened in is synced.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
