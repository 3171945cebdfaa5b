"""Updates of one agent, or of several that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mtrl_conic.agents.mtsac.component import Statistics
from mtrl_conic.agents.mtsac.work import Cache, work_alone, work_together
from mtrl_conic.execution.cuda_graph import Recorded
from mtrl_conic.training.replay import Batch

if TYPE_CHECKING:
    from mtrl_conic.agents.mtsac.agent import MTSAC


class Updates:
    """Makes the updates of agents, all at once; where they are recorded (`MTSAC.records`), from recordings.

    Args:
        agents: of the same configuration, and with as many updates behind them.
    """

    def __init__(self, agents: Sequence[MTSAC]) -> None:
        self._agents = agents
        self._tensors: list[object] = []
        self._compiled: Cache = {}
        self._recordings: dict[tuple[bool, bool], Recorded] = {}

    def __call__(self, batches: Sequence[Batch]) -> list[Statistics]:
        """One update of every agent on its batch."""
        inputs = [agent.draw(batch) for agent, batch in zip(self._agents, batches, strict=True)]
        first = self._agents[0]
        if first.records:
            with first.watch("update"):
                statistics: list[Statistics] = self._recording(first)(*inputs)
        else:
            statistics = self._work(*inputs, compare=first.compares, act=first.acts)
        for agent in self._agents:
            agent.updates += 1
        return statistics

    def _recording(self, first: MTSAC) -> Recorded:
        # A recording holds the addresses of tensors: it is worth nothing once an agent has others.
        tensors = [agent.tensors for agent in self._agents]
        if tensors != self._tensors:
            self._tensors, self._recordings = tensors, {}
        kind = first.compares, first.acts
        if kind not in self._recordings:
            self._recordings[kind] = Recorded(partial(self._work, compare=kind[0], act=kind[1]))
        return self._recordings[kind]

    def _work(self, *inputs: Any, compare: bool, act: bool) -> list[Statistics]:
        works = [
            agent.steps(*given, compare=compare, act=act) for agent, given in zip(self._agents, inputs, strict=True)
        ]
        if len(works) == 1:
            first = self._agents[0]
            return [work_alone(works[0], first.watch, self._compiled if first.compiles else None)]
        return work_together(works, [agent.watch for agent in self._agents])
