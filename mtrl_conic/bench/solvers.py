"""The time of a balancer, from the Gram matrix to the weights and from a Jacobian to the direction."""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.bench.turns import measure
from mtrl_conic.errors import UserError

_AGGREGATORS = {
    "pcgrad": ("PCGrad", False),
    "mgda": ("MGDA", False),
    "cagrad": ("CAGrad", 0.4),
    "nashmtl": ("NashMTL", True),
    "fairgrad": ("FairGrad", 2.0),
    "imtl_g": ("IMTLG", False),
    "aligned_mtl": ("AlignedMTL", False),
    "gradvac": ("GradVac", False),
    "upgrad": ("UPGrad", False),
    "graddrop": ("GradDrop", False),
    "config": ("ConFIG", False),
    "dualproj": ("DualProj", False),
    "excessmtl": ("ExcessMTL", False),
}
"""Balancer -> torchjd's class and its argument: none, the number of tasks, or a number."""


@dataclass(frozen=True)
class SolverBenchmark:
    """Seconds by item, one number per round; the items take turns within a round."""

    solves: dict[tuple[str, int], list[float]]
    """(balancer, K) -> seconds from the Gram matrix and losses to the weights."""
    ways: dict[tuple[str, str], list[float]]
    """(balancer, `ours` or `torchjd`) -> seconds from a float32 Jacobian to the direction."""
    tasks: int
    """K of `ways`."""
    parameters: int
    """P of `ways`."""
    threads: int
    notes: list[str] = field(default_factory=list)
    """Omitted items with the reason, and the comparison with SLSQP."""

    def table(self) -> str:
        """Return medians in milliseconds, and the ratio of torchjd's time to ours, as lines of text."""
        sizes = sorted({size for _, size in self.solves})
        names = sorted({name for name, _ in self.solves})
        lines = [f"solve alone, ms, {self.threads} threads", f"{'balancer':<14}" + "".join(f"K={k:<8}" for k in sizes)]
        for name in names:
            lines.append(f"{name:<14}" + "".join(f"{_median(self.solves[name, size]):<10.2f}" for size in sizes))
        lines += ["", f"Jacobian to direction, K = {self.tasks}, P = {self.parameters:,}, float32, ms"]
        lines.append(f"{'balancer':<14}{'ours':<10}{'torchjd':<10}{'ratio':<10}")
        for name in sorted({name for name, _ in self.ways}):
            ours, theirs = self.ways[name, "ours"], self.ways.get((name, "torchjd"))
            line = f"{name:<14}{_median(ours):<10.2f}"
            if theirs:
                ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
                line += f"{_median(theirs):<10.2f}{ratio:<10.2f}"
            lines.append(line)
        return "\n".join([*lines, "", *self.notes])


def run(
    names: Sequence[str] = (),
    *,
    sizes: Sequence[int] = (2, 10, 50),
    tasks: int = 10,
    parameters: int = 685_602,
    rounds: int = 15,
    threads: int = 1,
) -> SolverBenchmark:
    """Measure balancers in one run, together with torchjd's aggregators and SLSQP if they are installed.

    Args:
        names: names of balancers; all if empty.
        sizes: numbers of tasks K for the time from the Gram matrix to the weights.
        tasks: K for the time from the Jacobian to the direction.
        parameters: P for the time from the Jacobian to the direction.
        rounds: number of measurements of each item; the medians are reported.
        threads: number of processor threads; with one, processor time is measured, otherwise wall time.
    """
    chosen = list(names) or balancers.available()
    for name in chosen:
        balancers.get(name)
    if rounds < 1 or min(sizes, default=1) < 1 or tasks < 1 or parameters < 1:
        raise UserError("bench solvers: rounds, sizes, tasks and parameters must be at least 1")
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    notes: list[str] = []
    solves = _measure(_solves(chosen, sizes), rounds, clock)
    ways = _measure(_ways(chosen, tasks, parameters, notes), rounds, clock)
    if "cagrad" in chosen:
        notes += _beside_slsqp(max(sizes), rounds, clock)
    return SolverBenchmark(solves, ways, tasks, parameters, threads, notes)


def _median(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def _measure(items: dict[Any, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[Any, list[float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages' solvers
        return measure(items, rounds, clock, warm_up=2)


def _jacobian(tasks: int, parameters: int, dtype: torch.dtype) -> Tensor:
    """Return gradients with cosines of about -.5 to .5: half noise, half a mixture of three common directions."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(3, parameters, generator=generator, dtype=dtype)
    mix = torch.randn(tasks, 3, generator=generator, dtype=dtype) / 3**0.5
    return torch.randn(tasks, parameters, generator=generator, dtype=dtype) + mix @ common


def _solves(names: Sequence[str], sizes: Sequence[int]) -> dict[tuple[str, int], Callable[[], object]]:
    items: dict[tuple[str, int], Callable[[], object]] = {}
    for size in sizes:
        jacobian = _jacobian(size, 2 * size, torch.float64)
        gramian, losses = jacobian @ jacobian.mT, torch.ones(size, dtype=torch.float64)
        for name in names:
            balancer = balancers.make(name, size)
            if balancer.has_weights:
                items[name, size] = partial(balancer, gramian, losses)
        if "conicgrad" in names:
            exact = balancers.make("conicgrad", size, solver="exact")
            items["conicgrad exact", size] = partial(exact, gramian)
    return items


def _ways(
    names: Sequence[str], tasks: int, parameters: int, notes: list[str]
) -> dict[tuple[str, str], Callable[[], object]]:
    jacobian, losses = _jacobian(tasks, parameters, torch.float32), torch.ones(tasks)
    items: dict[tuple[str, str], Callable[[], object]] = {}
    for name in names:
        balancer = balancers.make(name, tasks)
        items[name, "ours"] = partial(balancer.direction, jacobian, losses)
        if name in _AGGREGATORS:
            try:
                aggregator = _aggregator(name, tasks)
            except ImportError as error:
                notes.append(f"torchjd's {name} left out: {error}")
                continue
            items[name, "torchjd"] = partial(aggregator, jacobian)
    return items


def _aggregator(name: str, tasks: int) -> Callable[[Tensor], Tensor]:
    """Return torchjd's aggregator for a balancer; raise an ImportError if a package is missing."""
    kind, argument = _AGGREGATORS[name]
    made = getattr(importlib.import_module("torchjd.aggregation"), kind)
    if argument is False:
        aggregator: Callable[[Tensor], Tensor] = made()
    else:
        aggregator = made(tasks if argument is True else argument)
    return aggregator


def _beside_slsqp(size: int, rounds: int, clock: Callable[[], float]) -> list[str]:
    """Compare our solver for CAGrad's weights with scipy's SLSQP, called as in public code, in time and duality gap."""
    try:
        optimize = importlib.import_module("scipy.optimize")
    except ImportError:
        return ["CAGrad by SLSQP left out: scipy is not installed"]
    jacobian = _jacobian(size, 2 * size, torch.float64)
    gramian = jacobian @ jacobian.mT
    matrix, balancer = gramian.numpy(), balancers.make("cagrad", size)
    uniform = torch.full((size,), 1 / size, dtype=torch.float64).numpy()
    radius = 0.4 * float(matrix.mean()) ** 0.5

    def objective(weights: Any) -> Any:
        return weights @ matrix @ uniform + radius * (weights @ matrix @ weights + 1e-8) ** 0.5

    def by_slsqp() -> Any:
        simplex = {"type": "eq", "fun": lambda weights: 1 - weights.sum()}
        bounds = [(0, 1)] * size
        return optimize.minimize(objective, uniform, method="SLSQP", bounds=bounds, constraints=simplex).x

    times = _measure({"ours": lambda: balancer(gramian), "SLSQP": by_slsqp}, rounds, clock)
    found = torch.as_tensor(by_slsqp())
    norm = (found @ gramian @ found).sqrt()
    slope = gramian.mean(1) + radius * gramian @ found / norm
    gap = float((found @ slope - slope.min()) / gramian.mean())
    ours = float(balancer(gramian).statistics["dual_gap"])
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["SLSQP"], strict=True))
    return [
        f"CAGrad, K = {size}: ours {_median(times['ours']):.2f} ms, duality gap {ours:.1e}; "
        f"SLSQP {_median(times['SLSQP']):.2f} ms, gap {gap:.1e}; {ratio:.1f} times the time"
    ]
