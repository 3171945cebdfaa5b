"""The time of an update with each balancer, compared with `ls`, its matrix products and a plain implementation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.protocol import Batch
from mtrl_conic.bench.plain import PlainMTSAC
from mtrl_conic.bench.products import MatrixProducts
from mtrl_conic.bench.turns import measure
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError, not_installed, unknown
from mtrl_conic.execution import Compiled, CudaGraph, Eager, choose_device
from mtrl_conic.execution.memory import keep_freed_memory
from mtrl_conic.schema import parse

PLAIN, PRODUCTS = "K backwards, explicit PCGrad", "matrix products of ls alone"
JAX, JAX_PCGRAD = "JAX, no balancer", "JAX, vmapped PCGrad"
_TASKS, _OBSERVATION, _ACTION = 10, 49, 4
_WARM_UP = 5
"""Rounds before the first measurement; the last of them records a CUDA graph."""


@dataclass(frozen=True)
class UpdateBenchmark:
    """Seconds of one update by item, one number per round; the items take turns within a round."""

    rounds: dict[str, list[float]]
    config: AgentConfig
    threads: int
    compiled: bool
    device: str = "cpu"

    def milliseconds(self, item: str) -> float:
        """Return the median over the rounds in milliseconds."""
        return 1e3 * statistics.median(self.rounds[item])

    def ratio(self, item: str, base: str) -> float:
        """Return the median over the rounds of the time of `item` divided by that of `base`."""
        return statistics.median(a / b for a, b in zip(self.rounds[item], self.rounds[base], strict=True))

    def table(self) -> str:
        """Return medians and ratios as lines of text."""
        where = setting(self.config, self.threads, self.compiled, self.device)
        head = f"MT10 update: {where}, median of {len(self.rounds['ls'])}"
        lines = [head, f"{'item':<32}{'ms':>9}{'x ls':>8}{'x products':>12}{'x plain':>13}"]
        for item in self.rounds:
            ratios = f"{self.ratio(item, 'ls'):8.3f}{self.ratio(item, PRODUCTS):12.3f}{self.ratio(item, PLAIN):13.3f}"
            lines.append(f"{item:<32}{self.milliseconds(item):9.1f}{ratios}")
        return "\n".join(lines)


def setting(config: AgentConfig, threads: int, compiled: bool, device: str = "cpu") -> str:
    """Return a description of what was measured."""
    where = f"{threads} threads" if device == "cpu" else torch.cuda.get_device_name(device)
    return (
        f"{config.base} base, {config.network} network, {config.batch_size} rows per task, "
        f"critics {config.depth}x{config.width}, {config.precision}, {where}" + (", compiled" if compiled else "")
    )


def run(
    names: Sequence[str] = ("pcgrad", "conicgrad"),
    *,
    rounds: int = 15,
    threads: int = 1,
    compile: bool = False,
    device: str = "cpu",
    peers: Sequence[str] = (),
    **fields: Any,
) -> UpdateBenchmark:
    """Measure the update with `ls` and the balancers `names`, the products of `ls`, and other implementations.

    With one thread, processor time is measured, which other processes affect less; with more threads, wall time. On a
    GPU, it is wall time until the GPU has finished, and updates recorded as CUDA graphs are measured too.

    Args:
        names: names of balancers.
        rounds: number of measurements of each item, after five rounds of warm-up.
        threads: number of processor threads.
        compile: whether to measure compiled updates too.
        device: device of all implementations: `cpu` or a GPU.
        peers: other implementations besides the plain one: `jax`, if it is installed.
        fields: fields of `AgentConfig`; the default base is classic.
    """
    for name in names:
        balancers.get(name)
    if rounds < 1:
        raise UserError(f"rounds={rounds}: at least 1")
    keep_freed_memory()
    torch.set_num_threads(threads)
    where = choose_device(device)
    clock = _gpu_clock if where.type == "cuda" else time.process_time if threads == 1 else time.perf_counter
    config = parse(AgentConfig, fields)
    items = _items(["ls", *(name for name in names if name != "ls")], config, compile, where)
    for peer in peers:
        items |= _peer(peer, config, threads, where)
    measured = measure(items, rounds, clock, warm_up=_WARM_UP)
    return UpdateBenchmark(measured, config, threads, compile, str(where))


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _items(
    names: Sequence[str], config: AgentConfig, compile: bool, device: torch.device
) -> dict[str, Callable[[], object]]:
    spec, batch = mt10_spec(), mt10_batch(config.batch_size, device=device)

    def ours(name: str, execution: Eager) -> Callable[[], object]:
        agent = MTSAC(spec, balancer=name, device=str(device), execution=execution, config=config)
        rows = agent.schedule.batch_size
        return partial(agent.update, batch if rows == config.batch_size else mt10_batch(rows, device=device))

    items = {name: ours(name, Compiled() if compile else Eager()) for name in names}
    if compile:
        items |= {f"{name}, not compiled": ours(name, Eager()) for name in names}
    if device.type == "cuda":
        items |= {f"{name}, recorded": ours(name, CudaGraph()) for name in names}
    items[PRODUCTS] = _products(ours("ls", Eager()))
    with device:
        items[PLAIN] = partial(PlainMTSAC(spec, config).update, batch)
    return items


def _peer(name: str, config: AgentConfig, threads: int, device: torch.device) -> dict[str, Callable[[], object]]:
    if name != "jax":
        raise unknown("peer", name, ["jax"])
    try:
        from mtrl_conic.bench.jax_peer import JaxMTSAC
    except ImportError:
        raise not_installed("jax", "jax") from None
    batch = mt10_batch(config.batch_size, device=device)
    return {
        item: partial(JaxMTSAC(mt10_spec(), config, balance=balance, threads=threads).update, batch)
        for item, balance in ((JAX, False), (JAX_PCGRAD, True))
    }


def _products(update: Callable[[], object]) -> Callable[[], None]:
    update()  # the first one, and every tenth, also measures norms and cosines
    products = MatrixProducts()
    with products:
        update()
    return products.again()


def mt10_spec() -> TaskSpec:
    """Return a specification with the sizes of MT10."""
    return TaskSpec(tuple(f"task {k}" for k in range(_TASKS)), _OBSERVATION, _ACTION, True)


def mt10_batch(rows: int, seed: int = 0, *, device: torch.device | str = "cpu") -> Batch:
    """Return a batch of random numbers with the sizes of MT10."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(_TASKS, rows, *size, generator=generator).to(device)

    discounts = torch.zeros(_TASKS, rows, device=device)
    return Batch(normal(_OBSERVATION), normal(_ACTION).tanh(), normal(), discounts, normal(_OBSERVATION))
