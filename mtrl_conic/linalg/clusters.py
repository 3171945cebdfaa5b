"""Clusters of numbers on the line."""

from __future__ import annotations

import torch
from torch import Tensor


def cluster_means(values: Tensor, count: int) -> Tensor:
    """Replace each value (..., K) by the mean of its cluster, for `count` optimal clusters.

    The clusters have the smallest sum of squared distances from their means.

    On the line the clusters of an optimal k-means are intervals, so that a dynamic programme over the sorted values
    finds them exactly (Wang and Song, Ckmeans.1d.dp, 2011), without an iteration or a starting point. It never branches
    on the data.

    Args:
        values: (..., K).
        count: number of clusters, at most K.
    """
    ordered, order = values.sort(-1)
    size = values.shape[-1]
    # Costs of the intervals [i, j]: sums of squares about their means, about the overall mean to keep digits.
    centred = ordered - ordered.mean(-1, keepdim=True)
    sums, squares = (_from_zero(part.cumsum(-1)) for part in (centred, centred.square()))
    length = torch.arange(1, size + 1, device=values.device) - torch.arange(size, device=values.device).unsqueeze(-1)
    total = sums[..., None, 1:] - sums[..., :-1, None]
    cost = squares[..., None, 1:] - squares[..., :-1, None] - total.square() / length.clamp_min(1)
    cost = torch.where(length >= 1, cost.clamp_min(0), torch.inf)  # (..., i, j)
    best, starts = cost[..., 0, :], []
    for _ in range(count - 1):
        before = torch.cat([torch.full_like(best[..., :1], torch.inf), best[..., :-1]], -1)
        found = (before.unsqueeze(-1) + cost).min(-2)
        best = found.values
        starts.append(found.indices)
    return _means(ordered, starts).gather(-1, order.argsort(-1))


def _from_zero(sums: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(sums[..., :1]), sums], -1)


def _means(ordered: Tensor, starts: list[Tensor]) -> Tensor:
    """Means of the intervals found, from the last to the first; `starts[c][j]` begins the one that ends in j."""
    places = torch.arange(ordered.shape[-1], device=ordered.device)
    last = torch.full_like(ordered[..., :1], ordered.shape[-1] - 1, dtype=torch.int64)
    result = torch.zeros_like(ordered)
    for begin_of in [*reversed(starts), None]:
        first = torch.zeros_like(last) if begin_of is None else begin_of.gather(-1, last.clamp_min(0))
        inside = (places >= first) & (places <= last)
        mean = torch.where(inside, ordered, 0.0).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True).clamp_min(1)
        result = torch.where(inside, mean, result)
        last = first - 1
    return result
