"""The file of a replay's rings: created completely, checked before it is mapped, with checksums of its steps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtrl_conic.errors import Damaged, UserError, first_line
from mtrl_conic.files import replacing
from mtrl_conic.reading import open_regular

Rows = NDArray[np.float32]
Shape = tuple[int, int, int]

_STEPS = 1024
"""The number of steps whose checksums are computed at a time, which takes eight bytes for each number."""
_PIECE = 1 << 20
"""The number of bytes that are rewritten at a time if the system has no call that reserves space."""


def map_file(file: Path, shape: Shape) -> tuple[Rows, bool]:
    """Map the array in a file for reading and writing; a missing file is created with zeros.

    A new file is sparse: it takes space for the rows that were reserved, see `reserve`.

    Args:
        file: file in NumPy's format.
        shape: (K, rows, W) of the array.

    Returns:
        The array, and whether the file was created.

    Raises:
        Damaged: the file is not in this format or incomplete.
        UserError: the file contains an array of another shape.
    """
    made = not file.exists()
    if made:
        with replacing(file) as fresh:
            np.lib.format.open_memmap(fresh, mode="w+", dtype=np.float32, shape=shape).flush()
    elif (there := _shape(file)) != shape:
        raise UserError(f"{file} holds a replay of shape {there}, not {shape}")
    return np.lib.format.open_memmap(file, mode="r+"), made


def reserve(rows: Rows, runs: Iterable[tuple[int, int]]) -> None:
    """Reserve the disk space of some rows of every task, so that a full disk raises an error here.

    If no space is reserved, writing to the mapping on a full disk ends the process with a signal (SIGBUS).

    Args:
        rows: array from `map_file`.
        runs: ranges of rows, each with its first row and the one after its last.

    Raises:
        OSError: the disk is full.
    """
    assert isinstance(rows, np.memmap)
    assert rows.filename is not None
    num_tasks, count, width = rows.shape
    of_row = width * rows.itemsize
    opened = os.open(rows.filename, os.O_RDWR | os.O_CLOEXEC)
    try:
        for start, stop in runs:
            whole = (start, stop) == (0, count)  # then all tasks are contiguous
            for task in range(1 if whole else num_tasks):
                length = (num_tasks if whole else 1) * (stop - start) * of_row
                _allocate(opened, rows.offset + (task * count + start) * of_row, length)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(rows.filename)) from None
    finally:
        os.close(opened)


def fitting_rows(file: Path, shape: Shape, *, fewest: int) -> int:
    """Return the number of rows of the rings: that of the file if it exists and has enough, otherwise that of `shape`.

    Raises:
        Damaged: the file is not in this format or incomplete.
    """
    if not file.exists():
        return shape[1]
    num_tasks, rows, width = _shape(file)
    return rows if (num_tasks, width) == (shape[0], shape[2]) and fewest <= rows < shape[1] else shape[1]


def checksums(rows: Rows) -> NDArray[np.int64]:
    """Return the checksums (n,) of n steps (K, n, W); a change of any single number changes the checksum.

    A checksum is the sum of the numbers' bits, each multiplied by a different odd number, modulo 2^64.
    """
    words = rows.shape[0] * rows.shape[2]
    factors = (2 * np.arange(words, dtype=np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    factors = factors.reshape(rows.shape[0], 1, rows.shape[2])
    sums = np.empty(rows.shape[1], np.uint64)
    for at in range(0, len(sums), _STEPS):
        part = np.ascontiguousarray(rows[:, at : at + _STEPS], np.float32).view(np.uint32)
        sums[at : at + _STEPS] = (part * factors).sum((0, 2), dtype=np.uint64)
    return sums.view(np.int64)


def _allocate(opened: int, start: int, length: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(opened, start, length)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    end = start + length
    while start < end:  # written bytes have space
        start += os.pwrite(opened, os.pread(opened, min(_PIECE, end - start), start), start)


def _shape(file: Path) -> Shape:
    """Return the shape of the array in a complete file."""
    with open_regular(file) as handle:
        try:
            version = np.lib.format.read_magic(handle)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, kind = read(handle)
        except Exception as error:  # a header is a Python literal, and reading an invalid one can fail in many ways
            raise Damaged(f"{file} is damaged or no replay: {first_line(error)}") from None
        size = handle.tell() + 4 * int(np.prod(shape, dtype=np.float64))
        there = handle.seek(0, 2)
    if len(shape) != 3 or fortran or kind != np.float32:
        raise Damaged(f"{file} is damaged or no replay: it holds {kind} of shape {shape}")
    if there != size:
        raise Damaged(f"{file} is damaged: it has {there:,} bytes, not {size:,}")
    return shape[0], shape[1], shape[2]
