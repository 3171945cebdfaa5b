"""Successive projections of gradients onto the normal planes of others, in coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from mtrl_conic.linalg.vectors import positive


def surgery(gramian: Tensor, order: Tensor) -> Tensor:
    """Return the coefficients that successive projections remove from each gradient (Yu et al., 2020).

    For task i, v starts as g_i; for every other task j in its order, where v.g_j < 0, v <- v - (v.g_j / ||g_j||^2) g_j.

    Args:
        gramian: (..., K, K) float64.
        order: (..., K, K - 1), for each task an order of the others.

    Returns:
        (..., K, K) with rows c_i, none positive: v = g_i - sum_j c_ij g_j at the end.
    """
    # Row i of everything below is task i's own problem, its axes in the order of its visits.
    ratios = gramian / positive(gramian.diagonal(dim1=-2, dim2=-1)).unsqueeze(-2)
    visited = ratios.unsqueeze(-3).expand(*order.shape[:-1], *ratios.shape[-2:])
    steps = order.unsqueeze(-1).expand(*order.shape, gramian.shape[-1])
    rows = visited.gather(-2, steps).gather(-1, order.unsqueeze(-2).expand(*order.shape, order.shape[-1]))
    left = ratios.gather(-1, order)
    taken = []
    for step, row in enumerate(rows.unbind(-2)):
        coefficient = left[..., step : step + 1].clamp(max=0)
        left = torch.addcmul(left, coefficient, row, value=-1)
        taken.append(coefficient)
    lost = torch.zeros_like(gramian)
    return lost.scatter(-1, order, torch.cat(taken, -1)) if taken else lost
