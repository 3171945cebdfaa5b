"""The file of a replay's rings: made whole, checked before it is mapped, with a checksum of every step in it."""

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
"""Steps whose checksums are made at once: they take eight bytes for each number."""
_PIECE = 1 << 20
"""Bytes that are read and written again at once, where the system has no call that reserves them."""


def map_file(file: Path, shape: Shape) -> tuple[Rows, bool]:
    """The array in `file`, mapped for reading and writing, and whether it was made here and now, of zeros.

    A new file is sparse: it takes up what was reserved, see `reserve`.

    Args:
        file: of NumPy's format.
        shape: (K, rows, W) of the array.

    Raises:
        Damaged: what is there is no such file, or not all of it.
        UserError: it holds an array of another shape.
    """
    made = not file.exists()
    if made:
        with replacing(file) as fresh:
            np.lib.format.open_memmap(fresh, mode="w+", dtype=np.float32, shape=shape).flush()
    elif (there := _shape(file)) != shape:
        raise UserError(f"{file} holds a replay of shape {there}, not {shape}")
    return np.lib.format.open_memmap(file, mode="r+"), made


def reserve(rows: Rows, runs: Iterable[tuple[int, int]]) -> None:
    """Take up the space of some rows of every task, so that a full disk is an error here.

    Where a mapping is written that has no space behind it, a full disk is a signal (SIGBUS) and the end of the process.

    Args:
        rows: of `map_file`.
        runs: first row, and the one behind the last, of each.

    Raises:
        OSError: there is no room.
    """
    assert isinstance(rows, np.memmap)
    assert rows.filename is not None
    num_tasks, count, width = rows.shape
    of_row = width * rows.itemsize
    opened = os.open(rows.filename, os.O_RDWR | os.O_CLOEXEC)
    try:
        for start, stop in runs:
            whole = (start, stop) == (0, count)  # then all tasks are one piece
            for task in range(1 if whole else num_tasks):
                length = (num_tasks if whole else 1) * (stop - start) * of_row
                _take_up(opened, rows.offset + (task * count + start) * of_row, length)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(rows.filename)) from None
    finally:
        os.close(opened)


def fitting_rows(file: Path, shape: Shape, *, fewest: int) -> int:
    """How many rows the rings have: those of the file, where it is there and has enough; else those of `shape`.

    Raises:
        Damaged: what is there is no such file, or not all of it.
    """
    if not file.exists():
        return shape[1]
    num_tasks, rows, width = _shape(file)
    return rows if (num_tasks, width) == (shape[0], shape[2]) and fewest <= rows < shape[1] else shape[1]


def checksums(rows: Rows) -> NDArray[np.int64]:
    """One for each step, (K, n, W) -> (n,): no change of a single number leaves it as it was.

    It is the sum of the numbers' bits, each times an odd number of its own, modulo 2^64.
    """
    words = rows.shape[0] * rows.shape[2]
    factors = (2 * np.arange(words, dtype=np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
    factors = factors.reshape(rows.shape[0], 1, rows.shape[2])
    sums = np.empty(rows.shape[1], np.uint64)
    for at in range(0, len(sums), _STEPS):
        part = np.ascontiguousarray(rows[:, at : at + _STEPS], np.float32).view(np.uint32)
        sums[at : at + _STEPS] = (part * factors).sum((0, 2), dtype=np.uint64)
    return sums.view(np.int64)


def _take_up(opened: int, start: int, length: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(opened, start, length)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    end = start + length
    while start < end:  # what is written has its space
        start += os.pwrite(opened, os.pread(opened, min(_PIECE, end - start), start), start)


def _shape(file: Path) -> Shape:
    """Of the array in `file`, all of which is there."""
    with open_regular(file) as handle:
        try:
            version = np.lib.format.read_magic(handle)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, kind = read(handle)
        except Exception as error:  # a header is a Python literal: what is none fails in many ways
            raise Damaged(f"{file} is damaged or no replay: {first_line(error)}") from None
        size = handle.tell() + 4 * int(np.prod(shape, dtype=np.float64))
        there = handle.seek(0, 2)
    if len(shape) != 3 or fortran or kind != np.float32:
        raise Damaged(f"{file} is damaged or no replay: it holds {kind} of shape {shape}")
    if there != size:
        raise Damaged(f"{file} is damaged: it has {there:,} bytes, not {size:,}")
    return shape[0], shape[1], shape[2]
