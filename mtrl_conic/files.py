"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtrl_conic.errors import Failed, UserError, first_line

_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE})
"""Errors of storage: no space, no quota, the limit of `ulimit -f`, a read-only, broken or missing disk."""


@contextmanager
def replacing(file: Path, *, ending: str = ".tmp") -> Iterator[Path]:
    """Yield a path beside `file` to write to; its content replaces that of `file` at the end of the block.

    After a crash or with a full disk, `file` has either the old or the new content. A link keeps its target, and the
    new file has the permissions of the old one.

    Args:
        file: file to replace; for a pipe, a device or the number of an open file, its own path is yielded.
        ending: ending of the yielded path.

    Raises:
        OSError: the file cannot be written; no partial file remains.
    """
    mode = file.stat().st_mode if file.exists() else None
    if mode is not None and stat.S_ISFIFO(mode):
        # Opening a pipe that nothing reads would block forever.
        held = os.open(file, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield file
        finally:
            os.close(held)
        return
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
    """Replace the content of `file` by `data`; see `replacing`."""
    with replacing(file) as fresh:
        fresh.write_bytes(data)


def write(file: Path, data: str | bytes) -> None:
    """Replace the content of a file that the user named; see `replace`.

    Raises:
        UserError: the file cannot be written; its previous content is kept.
    """
    with told_of(file):
        replace(file, data.encode() if isinstance(data, str) else data)


def check_place(file: Path) -> None:
    """Refuse a place that `write` could not write to, before anything else is written.

    Raises:
        UserError: `file` is a folder, or its own folder does not exist.
    """
    with told_of(file):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not file.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def append(file: Path, data: bytes) -> None:
    """Append `data` to `file` completely or not at all.

    Raises:
        OSError: the data cannot be written; the file is unchanged.
        UserError: the path is a pipe or a device.
    """
    try:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:  # raised for a pipe that nothing reads
            raise
        raise UserError(f"cannot write {file}: it is not a regular file") from None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise UserError(f"cannot write {file}: it is not a regular file")
        before = os.fstat(opened).st_size
        try:
            while data:  # on a nearly full disk, only a first part may be written
                data = data[os.write(opened, data) :]
        except OSError:
            os.ftruncate(opened, before)
            raise
    finally:
        os.close(opened)


@contextmanager
def told_of(file: Path) -> Iterator[None]:
    """Convert errors while writing `file`, which the user named, to an error of one line.

    Raises:
        UserError: instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or first_line(error)}") from None


@contextmanager
def stopped_by_storage(run: Path) -> Iterator[None]:
    """Convert errors of storage during the run in the folder `run` to an error of one line.

    Raises:
        Failed: instead of an `OSError` caused by a full disk, a quota or a broken disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise Failed(
            f"{error.filename or run}: {error.strerror}; free some space, then the same command resumes from the last "
            f"checkpoint in {run}"
        ) from error


def _is_open(file: Path) -> bool:
    """Return whether a path such as `/dev/stdout` refers to a file that is open under another name."""
    folder = os.path.realpath(file.parent)
    return folder == "/dev" or folder.startswith("/proc/")


def sync(path: Path) -> None:
    """Wait until `path` is on the disk: the content of a file, or the entries of a folder.

    A rename is durable once its folder is synced.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
