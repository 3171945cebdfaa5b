"""Gradients that occur in training but not among random numbers: opposed, parallel, dependent, stationary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Draw = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(gradients (N, K, P), noise (N, 1, 1), generator) -> gradients (N, K, P)."""


def jacobians(
    kind: str, count: int, num_tasks: int, parameters: int, dtype: torch.dtype, *, seed: int = 0, scaled: bool = True
) -> Tensor:
    """Random gradients (count, K, P) of a `kind` in `KINDS`, exact up to a noise of 0 to 1 %.

    Args:
        kind: relation of the gradients of a problem.
        count: N.
        num_tasks: K, at least 2.
        parameters: P.
        dtype: type that they are rounded to.
        seed: seed of the draws.
        scaled: whether to multiply each problem's gradients by a common factor of 1e-30 to 1e30.
    """
    generator = torch.Generator().manual_seed(seed)
    plain = _normal((count, num_tasks, parameters), generator)
    noise = 10.0 ** (-2 - 6 * _uniform((count, 1, 1), generator))
    noise = torch.where(_uniform((count, 1, 1), generator) < 0.3, 0.0, noise)
    drawn = KINDS[kind](plain, noise, generator)
    scale = 10.0 ** (60 * _uniform((count, 1, 1), generator) - 30)
    return (drawn * scale if scaled else drawn).to(dtype)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _like_another(plain: Tensor, noise: Tensor, generator: torch.Generator, sign: float) -> Tensor:
    """Give the second half of the tasks the directions of the first half, times `sign`."""
    half = plain.shape[1] // 2
    factors = sign * (0.5 + _uniform((len(plain), half, 1), generator))
    others = factors * plain[:, :half] + noise * plain[:, -half:]
    return torch.cat([plain[:, : plain.shape[1] - half], others], 1)


def _opposed(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    return _like_another(plain, noise, generator, -1)


def _parallel(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    return _like_another(plain, noise, generator, 1)


def _dependent(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Put all gradients in the span of half as many directions."""
    rank = max(1, plain.shape[1] // 2)
    mix = _normal((len(plain), plain.shape[1], rank), generator)
    return mix @ plain[:, :rank] + noise * plain


def _stationary(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Let the last gradient cancel a mixture of the others, as at a point of the Pareto front."""
    mixture = _uniform((len(plain), 1, plain.shape[1] - 1), generator) @ plain[:, :-1]
    return torch.cat([plain[:, :-1], noise * plain[:, -1:] - mixture], 1)


def _zero(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Set one gradient to zero, and in some problems all."""
    shares = _uniform((len(plain), plain.shape[1], 1), generator)
    all_of_them = _uniform((len(plain), 1, 1), generator) < 0.1
    return torch.where((shares == shares.amax(1, keepdim=True)) | all_of_them, 0.0, plain)


def _nearly_collinear(plain: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Put all gradients along one line, in either direction."""
    signs = _normal((len(plain), plain.shape[1], 1), generator).sign()
    return signs * (0.5 + _uniform((len(plain), plain.shape[1], 1), generator)) * plain[:, :1] + noise * plain


KINDS: dict[str, Draw] = {
    "independent": lambda plain, noise, generator: plain,
    "opposed": _opposed,
    "parallel": _parallel,
    "dependent": _dependent,
    "stationary": _stationary,
    "zero": _zero,
    "collinear": _nearly_collinear,
}
