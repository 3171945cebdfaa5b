"""The Gram matrix of a few long rows, compiled: a matrix library has no kernel for ten columns by a million."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


# Sums may be reordered, which lets the loop over columns use the processor's vectors; nan and inf stay themselves.
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def gramian(rows: NDArray[Any], block: int) -> NDArray[np.float64]:  # pragma: no cover  # compiled
    """M (K, K) float64 of rows (K, P), contiguous along P.

    Two rows against two at a time, four sums to four loads; `block` columns are summed in the rows' own type,
    beyond that in float64.
    """
    count, columns = rows.shape
    total = np.zeros((count, count))
    zero = rows.dtype.type(0)
    for start in range(0, columns, block):
        stop = min(start + block, columns)
        for i in range(0, count, 2):
            a, b = rows[i, start:stop], rows[min(i + 1, count - 1), start:stop]
            for j in range(i, count, 2):
                c, d = rows[j, start:stop], rows[min(j + 1, count - 1), start:stop]
                ac = ad = bc = bd = zero
                for column in range(stop - start):
                    ac += a[column] * c[column]
                    ad += a[column] * d[column]
                    bc += b[column] * c[column]
                    bd += b[column] * d[column]
                total[i, j] += ac
                # Of an odd last row the partner is that row again, which is left out.
                if j + 1 < count:
                    total[i, j + 1] += ad
                if i + 1 < count:
                    total[i + 1, j] += bc
                if i + 1 < count and j + 1 < count:
                    total[i + 1, j + 1] += bd
    for i in range(count):
        for j in range(i):
            total[i, j] = total[j, i]
    return total
