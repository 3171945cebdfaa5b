"""Run a comparison on a Ray cluster of two nodes on this machine, and kill one node in the middle.

`python -m tests.runs.cluster_program PRESET OUT` prints the outcome as JSON on its last line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from mtrl_conic import cli
from mtrl_conic.runs.claim import claim
from mtrl_conic.runs.cluster import connected, run_on_cluster
from mtrl_conic.runs.config import RunConfig, read_preset
from mtrl_conic.runs.plan import Job, plan
from mtrl_conic.runs.pool import End
from mtrl_conic.runs.status import read_progress

STORE = 100 * 2**20


class KillsANode:
    """A watcher that kills the second node by SIGKILL, once each node has a run that is past its first checkpoint."""

    def __init__(self, cluster: Any, node: Any) -> None:
        self.cluster, self.node = cluster, node
        self.told: list[tuple[str, str, str]] = []

    def started(self, run: Job) -> None:
        self.told.append((run.name, "started", ""))

    def ended(self, run: Job, end: End, words: str) -> None:
        self.told.append((run.name, end, words))

    def tick(self, running: Sequence[Job]) -> None:
        if self.node is not None and sum(read_progress(run.directory).step > 30 for run in running) == 2:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = None


def main(preset: str, out: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    runs = claim(plan(RunConfig, read_preset(preset), {"balancer": ["ls", "conicgrad"], "seed": [0, 1]}, Path(out)))
    watcher = KillsANode(cluster, second)
    with connected(cluster.address) as ray:
        ends = run_on_cluster(ray, runs, main=cli.main, watcher=watcher, interrupted=lambda: False)
    cluster.shutdown()
    print(json.dumps({"ends": ends, "told": watcher.told, "killed": watcher.node is None}))


if __name__ == "__main__":
    main(*sys.argv[1:])
