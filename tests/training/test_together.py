"""Several seeds in one process: what each leaves is what it leaves alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.directory import read_checkpoint
from mtrl_conic.runs.run import train
from mtrl_conic.schema import parse
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.together import Meeting, train_together
from mtrl_conic.training.trainer import Interrupted, Trainer

from ..agents.test_mtsac import SMALL, SPEC, make_batch
from .conftest import tiny_values

SEEDS = (3, 4, 5)


def directories(parent: Path) -> dict[int, Path]:
    return {seed: parent / f"seed_{seed}" for seed in SEEDS}


def flat(path: Path) -> dict[str, Any]:
    saved = read_checkpoint(path)
    assert saved is not None
    return saved


def assert_close(one: Path, other: Path) -> None:
    """Up to rounding the same networks, from the same experience."""
    left, right = flat(one), flat(other)
    assert left["step"] == right["step"] == 150
    assert left["agent"]["updates"] == right["agent"]["updates"] == 120
    for component in ("critic", "actor"):
        for name, value in left["agent"][component]["network"].items():
            torch.testing.assert_close(right["agent"][component]["network"][name], value, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    found = directories(tmp_path_factory.mktemp("alone"))
    for seed, path in found.items():
        train(parse(RunConfig, tiny_values(seed=seed)), path)
    return found


def test_every_seed_learns_as_if_alone(alone: dict[int, Path], tmp_path: Path) -> None:
    together = directories(tmp_path)
    results = train_together(parse(RunConfig, tiny_values()), together)
    assert list(results) == list(SEEDS)
    for seed in SEEDS:
        assert_close(alone[seed], together[seed])
        assert results[seed]["step"] == 150
        assert {"targets", "critic", "actor"} <= set(results[seed]["seconds_by_part"])
    assert train_together(parse(RunConfig, tiny_values()), together) == results, "finished: nothing is touched"


class StopsAt(Callback):
    def __init__(self, step: int) -> None:
        self.step, self.asked = step, threading.Event()

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            self.asked.set()


def test_seeds_that_stopped_at_different_steps_go_on(alone: dict[int, Path], tmp_path: Path) -> None:
    config, together = parse(RunConfig, tiny_values()), directories(tmp_path)
    early = StopsAt(60)
    with pytest.raises(Interrupted):  # one seed by itself, not as far as the others will be
        train(config.model_copy(update={"seed": 4}), together[4], callbacks=[early], interrupted=early.asked.is_set)
    assert flat(together[4])["step"] == 60
    late = StopsAt(80)
    with pytest.raises(Interrupted):
        train_together(
            config, together, callbacks=lambda seed: [late] if seed == 3 else [], interrupted=late.asked.is_set
        )
    assert {flat(path)["step"] for path in together.values()} <= {80, 81}
    train_together(config, together)
    for seed in SEEDS:
        assert_close(alone[seed], together[seed])


class Fails(Callback):
    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == 70:
            raise FloatingPointError("training diverged")


def test_a_seed_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    together = directories(tmp_path)
    with pytest.raises(FloatingPointError, match="diverged"):
        train_together(parse(RunConfig, tiny_values()), together, callbacks=lambda seed: [Fails()] if seed == 4 else [])
    assert [(path / "result.json").exists() for path in together.values()] == [True, False, True]


def test_a_directory_that_is_refused_stops_all(tmp_path: Path) -> None:
    together = directories(tmp_path)
    train(parse(RunConfig, tiny_values(seed=4, steps=40)), together[4])
    with pytest.raises(UserError, match="another configuration"):
        train_together(parse(RunConfig, tiny_values()), together)
    assert not (together[3] / "result.json").exists()


def test_an_update_that_fails_is_told_to_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    agents = [MTSAC(SPEC, balancer="ls", seed=seed, **SMALL) for seed in SEEDS]
    meeting, told = Meeting(len(agents)), []

    def broken(*_: Any) -> None:
        raise RuntimeError("out of memory")

    def ask(agent: MTSAC) -> None:
        try:
            meeting.update(agent, make_batch())
        except RuntimeError as error:
            told.append(str(error))

    monkeypatch.setattr("mtrl_conic.agents.mtsac.updates.work_together", broken)
    threads = [threading.Thread(target=ask, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert told == ["out of memory"] * 3
