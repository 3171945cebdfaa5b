"""The accuracy with which the balancers solve their defining equations, over many random Gram matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.linalg.cosines import normalise
from mtrl_conic.linalg.inverse import ridged_solve
from mtrl_conic.linalg.vectors import dot, matvec

_BATCH = 500
STUDY = {2: 3000, 3: 3000, 10: 3000, 50: 1000}
"""K -> number of matrices in the study, 10,000 together."""


def random_gramians(count: int, num_tasks: int, *, seed: int = 0) -> Tensor:
    """Return random matrices (count, K, K) with conditions of 1 to 1e8 and scales of 1e-6 to 1e6."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(count, num_tasks, num_tasks, generator=generator, dtype=torch.float64)
    rotations = torch.linalg.qr(raw).Q
    uniform = torch.rand(count, num_tasks + 2, generator=generator, dtype=torch.float64)
    condition = -8 * uniform[:, :1]
    exponents = condition * uniform[:, 2:]
    exponents[:, 0], exponents[:, -1] = 0, condition[:, 0]
    gramians: Tensor = (rotations * 10.0 ** exponents.unsqueeze(1)) @ rotations.mT
    scales: Tensor = 10.0 ** (12 * uniform[:, 1, None, None] - 6)
    return (gramians + gramians.mT) * scales


def residuals(gramians: Tensor) -> dict[str, Tensor]:
    """Return the error (N,) of each method's defining equation for each of the matrices (N, K, K).

    Each error is a difference divided by the size of its terms, so it does not depend on scale.
    """
    num_tasks = gramians.shape[-1]
    square = gramians.diagonal(dim1=-2, dim2=-1)
    mean_square = gramians.mean((-2, -1))
    results = {}

    def gap(weights: Tensor, slope: Tensor, terms: Tensor) -> Tensor:
        return (dot(weights, slope).squeeze(-1) - slope.amin(-1)) / dot(weights, terms).squeeze(-1)

    weights = balancers.make("mgda", num_tasks).weights(gramians)
    results["mgda"] = gap(weights, matvec(gramians, weights), matvec(gramians.abs(), weights))

    for lam in (0.3, 0.6):
        pulled = balancers.make("sdmgrad", num_tasks, lam=lam).weights(gramians) * (1 + lam)
        tasks = pulled - lam / num_tasks
        results[f"sdmgrad lam={lam}"] = gap(tasks, matvec(gramians, pulled), matvec(gramians.abs(), pulled))

    # The duality gaps are divided by ||g0||^2; g_i.d has the size of ||g_i|| ||g0||.
    size = (mean_square / square.mean(-1)).sqrt()
    for c in (0.1, 0.4, 0.9):
        balance = balancers.make("cagrad", num_tasks, c=c)(gramians)
        results[f"cagrad c={c}"] = balance.statistics["dual_gap"].abs() * size
    for c in (0.1, 0.25, 0.5, 0.75, 0.9):
        balance = balancers.make("conicgrad", num_tasks, c=c, solver="exact")(gramians)
        results[f"conicgrad exact c={c}"] = balance.statistics["dual_gap"].abs() * size

    weights = balancers.make("upgrad", num_tasks).weights(gramians)
    products = matvec(gramians, weights)
    sizes = (dot(weights, products) * square).sqrt()
    results["upgrad"] = (-products / sizes).amax(-1).clamp_min(0)

    cosines = normalise(gramians)
    equations = {"nashmtl": (balancers.make("nashmtl", num_tasks), 1.0)}
    for alpha in (0.5, 2.0, 5.0):
        equations[f"fairgrad alpha={alpha}"] = (balancers.make("fairgrad", num_tasks, alpha=alpha), alpha)
    for name, (balancer, alpha) in equations.items():
        balancer.reset(tuple(gramians.shape[:-2]))
        weights = balancer.weights(gramians)
        wanted = weights ** (-1 / alpha)
        terms = matvec(gramians.abs(), weights) + wanted
        results[name] = ((matvec(gramians, weights) - wanted).abs() / terms).amax(-1)

    raw = ridged_solve(cosines.matrix, torch.ones_like(cosines.norms))
    terms = matvec(cosines.matrix.abs(), raw.abs()) + 1
    results["imtl_g"] = ((matvec(cosines.matrix, raw) - 1).abs() / terms).amax(-1)
    return results


def study(counts: dict[int, int]) -> dict[str, dict[int, float]]:
    """Return, by method and K, the largest residual over `counts[K]` random matrices."""
    worst: dict[str, dict[int, float]] = {}
    for num_tasks, count in counts.items():
        for seed, first in enumerate(range(0, count, _BATCH)):
            gramians = random_gramians(min(_BATCH, count - first), num_tasks, seed=seed)
            for name, residual in residuals(gramians).items():
                sizes = worst.setdefault(name, {})
                sizes[num_tasks] = max(sizes.get(num_tasks, 0.0), float(residual.max()))
    return worst


def table(worst: dict[str, dict[int, float]], counts: dict[int, int]) -> str:
    """Return the study as lines of text."""
    head = f"{'largest residual':<24}" + "".join(f"K={size:<8}" for size in counts)
    lines = [f"{name:<24}" + "".join(f"{sizes[k]:<10.1e}" for k in counts) for name, sizes in worst.items()]
    drawn = f"{'random matrices':<24}" + "".join(f"{count:<10}" for count in counts.values())
    return "\n".join([head, *lines, drawn])
