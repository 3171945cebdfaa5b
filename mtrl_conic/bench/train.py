"""The time of a whole training step (ten environment steps and an update), compared with a plain implementation."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import metaworld  # noqa: F401  # registers Meta-World's vector environments
import numpy as np
import torch

from mtrl_conic import balancers
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.bench.plain import PlainMTSAC
from mtrl_conic.bench.update import setting
from mtrl_conic.envs import make_task_set
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution import Compiled, Eager
from mtrl_conic.execution.memory import keep_freed_memory
from mtrl_conic.schema import parse
from mtrl_conic.training.replay import Replay
from mtrl_conic.training.trainer import Trainer

PLAIN = "make_vec, K backwards, PCGrad"
UNBALANCED = "make_vec, one backward, no balancer"
STEPS = 10
"""The number of training steps that an item takes before the next item continues."""
_FILL = 64
"""The number of steps in the replay before the first update."""


@dataclass(frozen=True)
class TrainBenchmark:
    """Seconds of one training step by item, one number per round; the items take turns within a round."""

    rounds: dict[str, list[float]]
    config: AgentConfig
    threads: int
    compiled: bool

    def table(self) -> str:
        """Return medians and ratios as lines of text."""
        measured = setting(self.config, self.threads, self.compiled)
        head = f"MT10 training step: {measured}, median of {len(self.rounds[PLAIN])}"
        lines = [head, f"{'item':<38}{'ms':>9}{'times as fast as the plain way':>32}"]
        for item, seconds in self.rounds.items():
            ratio = statistics.median(a / b for a, b in zip(self.rounds[PLAIN], seconds, strict=True))
            lines.append(f"{item:<38}{1e3 * statistics.median(seconds):9.1f}{ratio:32.2f}")
        return "\n".join(lines)


def run(
    name: str = "conicgrad", *, rounds: int = 15, threads: int = 1, compile: bool = False, **fields: Any
) -> TrainBenchmark:
    """Measure training with a balancer, with steps before and during the update, and two plain implementations.

    Args:
        name: name of the balancer.
        rounds: number of measurements of each item, after two rounds of warm-up.
        threads: number of processor threads of the update; wall time is measured.
        compile: whether to compile the networks of our implementation.
        fields: fields of `AgentConfig`.
    """
    balancers.get(name)
    if rounds < 1:
        raise UserError(f"rounds={rounds}: at least 1")
    keep_freed_memory()
    torch.set_num_threads(threads)
    config = parse(AgentConfig, {"base": "strong", **fields, "random_steps": _FILL})
    items: dict[str, Callable[[], object]] = {
        f"ours, {name}": _ours(name, config, Compiled() if compile else Eager(), overlap=False),
        f"ours, {name}, stepping beside": _ours(name, config, Compiled() if compile else Eager(), overlap=True),
        UNBALANCED: _Plain(config, balance=False).train,
        PLAIN: _Plain(config, balance=True).train,
    }
    measured: dict[str, list[float]] = {item: [] for item in items}
    for turn in range(rounds + 2):
        for item, train in items.items():
            start = time.perf_counter()
            train()
            if turn >= 2:
                measured[item].append((time.perf_counter() - start) / STEPS)
    return TrainBenchmark(measured, config, threads, compile)


def _ours(name: str, config: AgentConfig, execution: Eager, *, overlap: bool) -> Callable[[], object]:
    envs = make_task_set("mt10")
    agent = MTSAC(envs, balancer=name, device="cpu", execution=execution, config=config)
    trainer = Trainer(envs, agent, overlap=overlap)
    trainer.train(_FILL)
    return lambda: trainer.train(trainer.step + STEPS)


class _Plain:
    """Training with Meta-World's own vector environment and the plain update, with our replay."""

    def __init__(self, config: AgentConfig, *, balance: bool) -> None:
        with warnings.catch_warnings():  # Gymnasium warns about Meta-World's spaces
            warnings.simplefilter("ignore", UserWarning)
            self.envs = gym.make_vec("Meta-World/MT10", vector_strategy="sync", seed=0, use_one_hot=True)
        self.observations, _ = self.envs.reset(seed=0)
        count, size = self.observations.shape
        spec = TaskSpec(tuple(f"task {k}" for k in range(count)), size, self.envs.action_space.sample().shape[1], True)
        self.agent = PlainMTSAC(spec, config, balance=balance)
        self.replay = Replay(count, 10_000, size, spec.action_dim, n_step=config.n_step, discount=config.discount)
        for _ in range(_FILL):
            self._step()

    def _step(self) -> None:
        rows = torch.as_tensor(self.observations, dtype=torch.float32)
        actions = self.agent.act(rows).numpy()
        following, rewards, terminated, truncated, _ = self.envs.step(actions)
        before = self.observations.astype(np.float32)
        self.replay.add(before, actions, rewards, terminated, truncated, following.astype(np.float32))
        self.observations = following

    def train(self) -> None:
        for _ in range(STEPS):
            self._step()
            self.agent.update(self.replay.sample(self.agent.config.batch_size))
