"""Measure the cost of an update of each network relative to `shared`, and the cost predicted from multiplications.

    python scripts/network_costs.py [--rounds 9] >> results/architectures/networks.txt

Each round makes an update of every network. Times are processor times of the process, on one thread. The
multiplications are those of the matrix products of one update, including balancing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import torch

from mtrl_conic import MTSAC, networks
from mtrl_conic.bench import turns
from mtrl_conic.bench.products import MatrixProducts
from mtrl_conic.bench.update import mt10_batch, mt10_spec
from mtrl_conic.execution import Eager
from mtrl_conic.execution.memory import keep_freed_memory

BASES: dict[str, dict[str, Any]] = {"classic": {}, "strong": {"base": "strong", "width": 256}}


def measure(base: str, balancer: str, rounds: int) -> list[str]:
    """Return a line for each network."""
    names = ["shared", *(name for name in networks.available() if name != "shared")]
    fixed = {"balancer": balancer, "device": "cpu", **BASES[base]}
    agents = {name: MTSAC(mt10_spec(), network=name, execution=Eager(), **fixed) for name in names}
    batch = mt10_batch(agents["shared"].config.batch_size)
    counts = {}
    for name, agent in agents.items():
        agent.update(batch)  # the first update, and every tenth, also compares the gradients
        with MatrixProducts() as products:
            agent.update(batch)
        counts[name] = products.multiplications
    updates = {name: partial(agent.update, batch) for name, agent in agents.items()}
    seconds = turns.measure(updates, rounds, time.process_time, warm_up=0)
    return [line(agents[name], counts[name] / counts["shared"], seconds[name], seconds["shared"]) for name in names]


def line(agent: MTSAC, predicted: float, mine: list[float], of_shared: list[float]) -> str:
    """Return one row of the table."""
    measured = statistics.median(a / b for a, b in zip(mine, of_shared, strict=True))
    sizes = [
        sum(value.numel() for part in (agent.actor, agent.critic) for value in values(part.layout).values())
        for values in (type(agent.actor.layout).shared_values, type(agent.actor.layout).own_values)
    ]
    figures = f"{predicted:11.2f}{measured:10.2f}{measured / predicted:7.2f}"
    return f"{agent.network.name:<20}{sizes[0]:>11,}{sizes[1]:>11,}{figures}"


def main() -> None:
    """Print a table for each base."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--balancer", default="conicgrad")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    for base in BASES:
        settings = " ".join(f"{key}={value}" for key, value in BASES[base].items()) or "base=classic"
        print(f"MT10 update, {settings}, {given.balancer}: times that of shared, median of {given.rounds} rounds")
        print(f"{'network':<20}{'shared':>11}{'task':>11}{'predicted':>11}{'measured':>10}{'ratio':>7}")
        print("\n".join(measure(base, given.balancer, given.rounds)), flush=True)
        print()


if __name__ == "__main__":
    main()
