"""The Gram matrix of rows in compiled code, since matrix libraries have no kernel for ten rows by a million columns.

Rows are processed four at a time: each number that is read is used in four products, and sixteen sums stay in the
processor's registers. Numbers are widened to float64 when they are read, so that products of float32 are exact.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mtrl_conic.compilation import compiled_and_kept

Rows = NDArray[Any]
Matrix = NDArray[np.float64]

_SUMS = 256
"""The number of columns of a weighted sum that are processed at a time."""
_BLOCK = 2048
"""The number of columns that are processed at a time for all pairs of rows, so that they stay in the cache."""

# Sums may be reordered, which lets a loop over columns use the processor's vectors; nan and inf stay themselves.
_compiled = partial(compiled_and_kept, nogil=True, fastmath={"reassoc", "contract", "nsz"})


def is_compiled() -> bool:
    """Return whether this code is compiled; interpreted, with `NUMBA_DISABLE_JIT`, it would take hours."""
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # numba takes it from the environment


@_compiled
def add_gramian(rows: Rows, total: Matrix) -> None:  # pragma: no cover  # compiled
    """Add M = J J^T of rows J (K, P), each contiguous, to the first K rows and columns of the symmetric `total`.

    The sides of `total` are K rounded up to a multiple of four.
    """
    count, columns = rows.shape
    last = count - 1
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        for i in range(0, count, 4):
            # The last row stands in for the rows beyond it; the entries that it adds there are never used.
            a, b = rows[i, start:stop], rows[min(i + 1, last), start:stop]
            c, d = rows[min(i + 2, last), start:stop], rows[min(i + 3, last), start:stop]
            if count - i <= 2:
                _within_two(a, b, total[i:, i:])
            else:
                _within_four(a, b, c, d, total[i:, i:])
            for j in range(i + 4, count, 4):
                p, q = rows[j, start:stop], rows[min(j + 1, last), start:stop]
                if count - j <= 2:
                    _four_by_two(a, b, c, d, p, q, total[i:, j:])
                else:
                    r, s = rows[min(j + 2, last), start:stop], rows[min(j + 3, last), start:stop]
                    _four_by_four(a, b, c, d, p, q, r, s, total[i:, j:])
    for i in range(count):
        for j in range(i):
            total[i, j] = total[j, i]


@_compiled
def sum_rows(rows: Rows, weights: Rows, total: Rows) -> None:  # pragma: no cover  # compiled
    """Write J^T w into `total` (P,), for rows J (K, P), each contiguous, and weights w in float64.

    Rows are read five at a time. The weights are padded with zeros to a multiple of five, and the last row stands in
    for the rows beyond it.
    """
    count, columns = rows.shape
    last, sums = count - 1, np.empty(_SUMS)
    for start in range(0, columns, _SUMS):
        stop = min(start + _SUMS, columns)
        for i in range(0, count, 5):
            a, b, c = rows[i, start:stop], rows[min(i + 1, last), start:stop], rows[min(i + 2, last), start:stop]
            d, e = rows[min(i + 3, last), start:stop], rows[min(i + 4, last), start:stop]
            _add_five(a, b, c, d, e, weights[i : i + 5], sums, i == 0)
        written = total[start:stop]
        for x in range(stop - start):
            written[x] = sums[x]


@_compiled
def _add_five(
    a: Rows, b: Rows, c: Rows, d: Rows, e: Rows, weights: Rows, sums: Rows, anew: bool
) -> None:  # pragma: no cover  # compiled
    p, q, r, s, t = weights[0], weights[1], weights[2], weights[3], weights[4]
    if anew:
        sums[: len(a)] = 0
    for x in range(len(a)):
        sums[x] += p * np.float64(a[x]) + q * np.float64(b[x]) + r * np.float64(c[x])
        sums[x] += s * np.float64(d[x]) + t * np.float64(e[x])


@_compiled
def _within_two(a: Rows, b: Rows, total: Matrix) -> None:  # pragma: no cover  # compiled
    aa = ab = bb = 0.0
    for x in range(len(a)):
        at, bt = np.float64(a[x]), np.float64(b[x])
        aa += at * at
        ab += at * bt
        bb += bt * bt
    total[0, 0] += aa
    total[0, 1] += ab
    total[1, 1] += bb


@_compiled
def _within_four(a: Rows, b: Rows, c: Rows, d: Rows, total: Matrix) -> None:  # pragma: no cover  # compiled
    aa = ab = ac = ad = bb = bc = bd = cc = cd = dd = 0.0
    for x in range(len(a)):
        at, bt, ct, dt = np.float64(a[x]), np.float64(b[x]), np.float64(c[x]), np.float64(d[x])
        aa += at * at
        ab += at * bt
        ac += at * ct
        ad += at * dt
        bb += bt * bt
        bc += bt * ct
        bd += bt * dt
        cc += ct * ct
        cd += ct * dt
        dd += dt * dt
    total[0, 0] += aa
    total[0, 1] += ab
    total[0, 2] += ac
    total[0, 3] += ad
    total[1, 1] += bb
    total[1, 2] += bc
    total[1, 3] += bd
    total[2, 2] += cc
    total[2, 3] += cd
    total[3, 3] += dd


@_compiled
def _four_by_two(
    a: Rows, b: Rows, c: Rows, d: Rows, p: Rows, q: Rows, total: Matrix
) -> None:  # pragma: no cover  # compiled
    ap = aq = bp = bq = cp = cq = dp = dq = 0.0
    for x in range(len(a)):
        at, bt, ct, dt = np.float64(a[x]), np.float64(b[x]), np.float64(c[x]), np.float64(d[x])
        pt, qt = np.float64(p[x]), np.float64(q[x])
        ap += at * pt
        aq += at * qt
        bp += bt * pt
        bq += bt * qt
        cp += ct * pt
        cq += ct * qt
        dp += dt * pt
        dq += dt * qt
    total[0, 0] += ap
    total[0, 1] += aq
    total[1, 0] += bp
    total[1, 1] += bq
    total[2, 0] += cp
    total[2, 1] += cq
    total[3, 0] += dp
    total[3, 1] += dq


@_compiled
def _four_by_four(
    a: Rows, b: Rows, c: Rows, d: Rows, p: Rows, q: Rows, r: Rows, s: Rows, total: Matrix
) -> None:  # pragma: no cover  # compiled
    ap = aq = ar = as_ = bp = bq = br = bs = cp = cq = cr = cs = dp = dq = dr = ds = 0.0
    for x in range(len(a)):
        at, bt, ct, dt = np.float64(a[x]), np.float64(b[x]), np.float64(c[x]), np.float64(d[x])
        t = np.float64(p[x])
        ap += at * t
        bp += bt * t
        cp += ct * t
        dp += dt * t
        t = np.float64(q[x])
        aq += at * t
        bq += bt * t
        cq += ct * t
        dq += dt * t
        t = np.float64(r[x])
        ar += at * t
        br += bt * t
        cr += ct * t
        dr += dt * t
        t = np.float64(s[x])
        as_ += at * t
        bs += bt * t
        cs += ct * t
        ds += dt * t
    total[0, 0] += ap
    total[0, 1] += aq
    total[0, 2] += ar
    total[0, 3] += as_
    total[1, 0] += bp
    total[1, 1] += bq
    total[1, 2] += br
    total[1, 3] += bs
    total[2, 0] += cp
    total[2, 1] += cq
    total[2, 2] += cr
    total[2, 3] += cs
    total[3, 0] += dp
    total[3, 1] += dq
    total[3, 2] += dr
    total[3, 3] += ds
