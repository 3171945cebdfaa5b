"""The time of a step on K tasks that share their rows, by number of tasks and parameters.

It compares the gradients of this package with the plain mean and torchjd. ConicGrad's paper (Hassanpour et al., 2025)
has a figure of the time against the number of tasks and parameters.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtrl_conic import balancers
from mtrl_conic.errors import UserError, unknown
from mtrl_conic.execution.memory import PeakMemory, keep_freed_memory
from mtrl_conic.gradients import TaskLinear
from mtrl_conic.supervised.gradients import check, write_gradients
from mtrl_conic.supervised.network import BatchedHeads, Outputs, TaskNetwork
from mtrl_conic.supervised.networks.celeba import nine_layers
from mtrl_conic.supervised.problem import Gradients

PLAIN, SINGLE = "plain mean", "single tasks"
TASKS, SIZES = (2, 5, 10, 20, 40), (1, 2, 4)
NETWORKS = ("mlp", "celeba")
WAYS = ("representation", "parameters", "torchjd", "single")
"""The items that are compared with the plain mean: both modes of `mtrl_conic.supervised.gradients`, torchjd, and a
separate network for each task, trained on its own loss."""
_FEATURES, _PARAMETERS = 256, 200_000
_AGGREGATORS = {"pcgrad": "PCGrad", "mgda": "MGDA", "upgrad": "UPGrad", "imtl_g": "IMTLG"}
"""Balancer -> torchjd's class, for classes without required arguments."""

Place = tuple[int, int, str]
"""Number of tasks, multiple of the parameters, item."""


@dataclass(frozen=True)
class ScalingBenchmark:
    """Seconds of a step by place, one number per round, and the peak memory of the process in bytes."""

    seconds: dict[Place, list[float]]
    memory: dict[Place, int]
    threads: int
    title: str
    notes: list[str]

    def ratio(self, place: Place) -> float:
        """Return the median over the rounds of the time divided by that of the plain mean."""
        plain = self.seconds[place[0], place[1], PLAIN]
        return statistics.median(a / b for a, b in zip(self.seconds[place], plain, strict=True))

    def table(self) -> str:
        """Return medians in milliseconds, ratios to the plain mean and peak memory as lines of text."""
        lines = [f"{self.title}, {self.threads} threads", f"{'tasks':<7}{'size':<6}{'item':<28}ms        times     MiB"]
        for place, seconds in self.seconds.items():
            tasks, size, item = place
            milliseconds = 1e3 * statistics.median(seconds)
            lines.append(
                f"{tasks:<7}{f'{size}x':<6}{item:<28}{milliseconds:<10.2f}{self.ratio(place):<10.2f}"
                f"{self.memory[place] / 2**20:.0f}"
            )
        return "\n".join([*lines, *self.notes])


def run(
    names: Sequence[str],
    *,
    network: str = "mlp",
    tasks: Sequence[int] = TASKS,
    sizes: Sequence[int] = SIZES,
    batch_size: int = 256,
    ways: Sequence[str] = WAYS,
    rounds: int = 15,
    threads: int = 1,
) -> ScalingBenchmark:
    """Measure a step without its optimiser: forward pass, gradients and balancing.

    Args:
        names: names of balancers.
        network: `mlp`, a trunk with 200,000 parameters times `sizes`, or `celeba`, its nine layers on 64x64 images.
        tasks: numbers of tasks.
        sizes: multiples of the parameters (mlp).
        batch_size: number of rows, which all tasks share.
        ways: items, among `WAYS`.
        rounds: number of measurements of each item; the items take turns.
        threads: number of processor threads; with one, processor time is measured, otherwise wall time.
    """
    if network not in NETWORKS:
        raise UserError(f"network={network}: known are {', '.join(NETWORKS)}")
    if min((rounds, batch_size, *tasks, *sizes)) < 1:
        raise UserError("bench scaling: rounds, rows, tasks and sizes must be at least 1")
    for way in ways:
        if way not in WAYS:
            raise unknown("way", way, WAYS)
    for name in names:
        balancers.get(name)
    keep_freed_memory()
    torch.set_num_threads(threads)
    notes: list[str] = []
    seconds: dict[Place, list[float]] = {}
    memory: dict[Place, int] = {}
    for count in tasks:
        for size in sizes if network == "mlp" else (1,):
            steps = _items(names, ways, network, count, size, batch_size, notes)
            for item, measured, peak in _measure(steps, rounds, threads):
                seconds[count, size, item], memory[count, size, item] = measured, peak
    title = f"A step on {batch_size} rows that all tasks share, {network}"
    return ScalingBenchmark(seconds, memory, threads, title, list(dict.fromkeys(notes)))


def _measure(steps: dict[str, Callable[[], object]], rounds: int, threads: int) -> list[tuple[str, list[float], int]]:
    clock = time.process_time if threads == 1 else time.perf_counter
    measured: dict[str, list[float]] = {item: [] for item in steps}
    peaks: dict[str, int] = {}
    for turn in range(rounds + 1):
        for item, step in steps.items():
            memory, start = PeakMemory(torch.device("cpu")), clock()
            step()
            if turn:  # the first round is a warm-up
                measured[item].append(clock() - start)
            peaks[item] = max(peaks.get(item, 0), memory.peak())
    return [(item, measured[item], peaks[item]) for item in steps]


def _items(
    names: Sequence[str], ways: Sequence[str], network: str, tasks: int, size: int, rows: int, notes: list[str]
) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    net = _network(network, tasks, size)
    inputs = torch.randn(rows, *((3, 64, 64) if network == "celeba" else (_FEATURES,)))
    targets = (torch.rand(tasks, rows) < 0.5).float()

    def losses(outputs: Outputs) -> Tensor:
        assert isinstance(outputs, Tensor)
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(1)

    def plain() -> None:
        net.zero_grad()
        losses(net(inputs)).mean().backward()

    items: dict[str, Callable[[], object]] = {PLAIN: plain}
    if "single" in ways:
        items[SINGLE] = _single([_network(network, 1, size) for _ in range(tasks)], inputs, targets)
    modes: tuple[Gradients, ...] = ("representation", "parameters")
    for name in names:
        balancer = balancers.make(name, tasks)
        for mode in modes:
            if mode not in ways:
                continue
            try:
                check(balancer, mode)
            except UserError as error:
                notes.append(str(error))
                continue
            items[f"{name}, {mode}"] = _balanced(net, losses, inputs, balancer, mode)
        if name in _AGGREGATORS and "torchjd" in ways:
            step = _torchjd(net, losses, inputs, _AGGREGATORS[name], notes)
            if step is not None:
                items[f"{name}, torchjd"] = step
    return items


def _network(name: str, tasks: int, size: int) -> TaskNetwork:
    return nine_layers(tasks) if name == "celeba" else _mlp(tasks, size)


def _single(nets: Sequence[TaskNetwork], inputs: Tensor, targets: Tensor) -> Callable[[], object]:
    def step() -> None:
        for net, target in zip(nets, targets, strict=True):
            net.zero_grad()
            outputs = net(inputs)
            assert isinstance(outputs, Tensor)
            nn.functional.binary_cross_entropy_with_logits(outputs[0], target).backward()

    return step


def _balanced(
    net: TaskNetwork,
    losses: Callable[[Outputs], Tensor],
    inputs: Tensor,
    balancer: balancers.Balancer,
    mode: Gradients,
) -> Callable[[], object]:
    return lambda: write_gradients(net, [(losses, [inputs])] * balancer.batches, balancer, mode=mode)


def _torchjd(
    net: TaskNetwork, losses: Callable[[Outputs], Tensor], inputs: Tensor, kind: str, notes: list[str]
) -> Callable[[], object] | None:
    """Take a step with torchjd's `mtl_backward`, one backward pass at a time, which needs the least memory."""
    try:
        autojac = importlib.import_module("torchjd.autojac")
        aggregator = getattr(importlib.import_module("torchjd.aggregation"), kind)()
    except ImportError as error:
        notes.append(f"torchjd left out: {error}")
        return None
    shared, own = list(net.trunk.parameters()), list(net.heads.parameters())

    def step() -> None:
        net.zero_grad()
        (features,) = net.represent([inputs])
        values = losses(net.heads(net.heads.copies((features,), net.num_tasks)))
        autojac.mtl_backward(
            list(values),
            features=features,
            tasks_params=[own] * len(values),
            shared_params=shared,
            retain_graph=True,  # the heads are one product, so the losses share a graph
            parallel_chunk_size=1,
        )
        autojac.jac_to_grad(shared, aggregator)

    return step


def _mlp(tasks: int, size: int) -> TaskNetwork:
    """Return a network of two hidden layers with about `size` times 200,000 parameters."""
    # width^2 + features * width = parameters
    half = _FEATURES / 2
    width = round((half * half + size * _PARAMETERS) ** 0.5 - half)
    trunk = nn.Sequential(nn.Linear(_FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    return TaskNetwork(trunk, BatchedHeads(TaskLinear(tasks, width, 1)), tasks)
