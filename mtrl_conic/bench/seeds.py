"""How long the updates of several seeds take: one after the other, together, and replayed from a recording."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.agents.mtsac.updates import Updates
from mtrl_conic.bench.update import mt10_batch, mt10_spec, setting
from mtrl_conic.errors import UserError
from mtrl_conic.execution.device import choose_device
from mtrl_conic.schema import parse
from mtrl_conic.training.replay import Batch

_WARM_UP = 41
"""Updates on a GPU before the measurements: then the recording is made of both, those that compare gradients and those
that do not."""

_UPDATES = 10
"""Of a round: one of them compares gradients whatever the balancer."""


@dataclass(frozen=True)
class SeedsBenchmark:
    """Milliseconds of one update of all seeds."""

    rounds: dict[tuple[int, str], list[float]]
    """(seeds, way) -> one number a round."""
    head: str
    """What was measured."""

    def table(self) -> str:
        """Medians, and what a seed costs of one trained alone."""
        lines = [self.head, f"{'seeds':>5}  {'way':<24}{'ms':>9}{'of alone':>10}"]
        alone = statistics.median(next(iter(self.rounds.values())))
        for (seeds, way), values in self.rounds.items():
            median = statistics.median(values)
            lines.append(f"{seeds:>5}  {way:<24}{median:9.2f}{median / seeds / alone:10.3f}")
        return "\n".join(lines)


def run(
    balancer: str = "conicgrad",
    *,
    seeds: Sequence[int] = (1, 4, 10),
    rounds: int = 15,
    threads: int = 1,
    device: str = "auto",
    **fields: Any,
) -> SeedsBenchmark:
    """Measure an MT10 update of each number of seeds.

    Args:
        balancer: a name.
        seeds: how many, one number or more.
        rounds: measurements of each, of ten updates.
        threads: processor threads.
        device: as `MTSAC` takes it; updates are recorded on a GPU alone.
        fields: of `AgentConfig`; the base is strong unless told.
    """
    if rounds < 1 or not seeds or min(seeds) < 1:
        raise UserError(f"rounds={rounds}, seeds={','.join(map(str, seeds))}: all of them at least 1")
    torch.set_num_threads(threads)
    where = choose_device(device)
    config = parse(AgentConfig, {"base": "strong"} | fields)
    measured = {}
    for number in seeds:
        for way, update in _ways(number, balancer, config, where).items():
            measured[number, way] = _measure(update, rounds, where)
    head = f"MT10 updates, {balancer}: {setting(config, threads)}, {where}, median of {rounds}"
    return SeedsBenchmark(measured, head)


def _ways(number: int, balancer: str, config: AgentConfig, device: torch.device) -> dict[str, Callable[[], object]]:
    def agents(record: bool) -> list[MTSAC]:
        chosen = config.model_copy(update={"record_updates": record})
        return [
            MTSAC(mt10_spec(), balancer=balancer, seed=seed, device=str(device), config=chosen)
            for seed in range(number)
        ]

    batches = [Batch(*(part.to(device) for part in mt10_batch(config.batch_size, seed))) for seed in range(number)]
    ways: dict[str, Callable[[], object]] = {"one after the other": partial(_each, agents(False), batches)}
    if number > 1:
        ways["together"] = partial(Updates(agents(False)), batches)
    if device.type == "cuda":
        ways["recorded"] = partial(Updates(agents(True)), batches)
    return ways


def _each(agents: Sequence[MTSAC], batches: Sequence[Batch]) -> None:
    for agent, batch in zip(agents, batches, strict=True):
        agent.update(batch)


def _measure(update: Callable[[], object], rounds: int, device: torch.device) -> list[float]:
    for _ in range(_WARM_UP if device.type == "cuda" else 2):
        update()
    found = []
    for _ in range(rounds):
        _finish(device)
        start = time.perf_counter()
        for _ in range(_UPDATES):
            update()
        _finish(device)
        found.append(1e3 * (time.perf_counter() - start) / _UPDATES)
    return found


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
