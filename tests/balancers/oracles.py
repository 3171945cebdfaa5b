"""Slow reference versions of the methods in the space of the gradients, written from the papers."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gradients(num_tasks: int, dim: int = 30, *, seed: int = 0, shift: float = 0.0) -> Tensor:
    """Return random float64 gradients (K, P); `shift` adds a common part, which makes conflicts rarer."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(dim, generator=generator, dtype=torch.float64)
    return torch.randn(num_tasks, dim, generator=generator, dtype=torch.float64) + shift * common


def rank_deficient(num_tasks: int, rank: int, dim: int = 30, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(num_tasks, rank, generator=generator, dtype=torch.float64)
    return mix @ torch.randn(rank, dim, generator=generator, dtype=torch.float64)


def pcgrad(jacobian: Tensor, order: Tensor) -> Tensor:
    """Return the direction for a visiting order (K, K - 1), with a row per task."""
    changed = jacobian.clone()
    for i, others in enumerate(order.tolist()):
        for j in others:
            inner = changed[i] @ jacobian[j]
            if inner < 0:
                changed[i] -= inner / (jacobian[j] @ jacobian[j]) * jacobian[j]
    return changed.mean(0)


def conicgrad(jacobian: Tensor, weights: Tensor, c: float) -> Tensor:
    """Return the d in the cone that maximises g_w.d, with the norm of the mean gradient."""
    mean, combined = jacobian.mean(0), weights @ jacobian
    axis = mean / mean.norm()
    along = axis @ combined
    if along >= c * combined.norm():
        return mean.norm() * combined / combined.norm()
    across = combined - along * axis
    return mean.norm() * (c * axis + math.sqrt(1 - c * c) * across / across.norm())


def conicgrad_printed(jacobian: Tensor, weights: Tensor, c: float) -> Tensor:
    """Return the direction of the paper's equation 8, by an explicit solve in P dimensions."""
    mean = jacobian.mean(0)
    matrix = c * c * (mean @ mean) * torch.eye(len(mean), dtype=mean.dtype) - torch.outer(mean, mean)
    direction = torch.linalg.solve(matrix, weights @ jacobian)
    return direction * mean.norm() / direction.norm()


def cone_samples(jacobian: Tensor, c: float, count: int, *, seed: int = 0) -> Tensor:
    """Return random feasible directions (count, P) of ConicGrad: in the span and the cone, as long as the mean."""
    generator = torch.Generator().manual_seed(seed)
    mean = jacobian.mean(0)
    axis = mean / mean.norm()
    across = torch.randn(count, len(jacobian), generator=generator, dtype=torch.float64) @ jacobian
    across = across - (across @ axis)[:, None] * axis
    across = across / across.norm(dim=1, keepdim=True)
    cosine = c + (1 - c) * torch.rand(count, 1, generator=generator, dtype=torch.float64) ** 3
    return mean.norm() * (cosine * axis + (1 - cosine**2).sqrt() * across)


def gradvac(jacobian: Tensor, order: Tensor, targets: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return the direction and the updated running cosines, from the paper's formulas on the gradients."""
    targets, changed = targets.clone(), jacobian.clone()
    for i, others in enumerate(order.tolist()):
        for j in others:
            v, g, target = changed[i], jacobian[j], targets[i, j].item()
            cosine = (v @ g / (v.norm() * g.norm())).item()
            if cosine < target:
                numerator = v.norm() * (target * math.sqrt(1 - cosine**2) - cosine * math.sqrt(1 - target**2))
                changed[i] = v + numerator / (g.norm() * math.sqrt(1 - target**2)) * g
            targets[i, j] = (1 - beta) * target + beta * cosine
    return changed.mean(0), targets


def off_the_others(jacobian: Tensor) -> Tensor:
    """Return GradOPS' g'_i: each gradient in conflict loses its least-squares projection on the span of the others."""
    changed = jacobian.clone()
    for i in range(len(jacobian)):
        others = torch.cat([jacobian[:i], jacobian[i + 1 :]])
        if (others @ jacobian[i] < 0).any():
            changed[i] -= others.mT @ torch.linalg.lstsq(others.mT, jacobian[i, :, None], driver="gelsd").solution[:, 0]
    return changed


def gradops(jacobian: Tensor, alpha: float) -> Tensor:
    """Return GradOPS' direction by Algorithm 1."""
    changed = off_the_others(jacobian)
    projections = jacobian @ changed.sum(0) / jacobian.norm(dim=1)
    ratios = projections / projections.mean()
    weights = ratios**alpha / (ratios**alpha).mean()
    return weights @ changed


def nonnegative_least_squares(matrix: Tensor, target: Tensor) -> Tensor:
    """Return the x >= 0 with the least ||A x - b||, by trying every set of positive entries."""
    best, least = torch.zeros(matrix.shape[1], dtype=matrix.dtype), target.norm()
    for code in range(1, 2 ** matrix.shape[1]):
        chosen = torch.tensor([j for j in range(matrix.shape[1]) if code >> j & 1])
        part = torch.linalg.lstsq(matrix[:, chosen], target[:, None]).solution[:, 0]
        error = (matrix[:, chosen] @ part - target).norm()
        if (part >= 0).all() and error < least:
            least = error
            best = torch.zeros_like(best).index_put((chosen,), part)
    return best


def upgrad(jacobian: Tensor) -> Tensor:
    """Return the mean of the projections on the dual cone: each is the shortest g_i + G^T x with x >= 0."""
    return (jacobian + torch.stack([nonnegative_least_squares(jacobian.mT, -g) @ jacobian for g in jacobian])).mean(0)
