"""Tests that no flipped bit changes a checkpoint undetected, and that a run survives one damaged checkpoint."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from mtrl_conic.errors import Damaged, UserError
from mtrl_conic.runs import checkpoints
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.run import train
from tests.reliability.chaos import run_numbers

STATE = {"step": 7, "weights": torch.arange(40.0), "nested": {"list": [1, 2.5, "x"]}}


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a == b


def flip(file: Path, place: int, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


def test_no_flipped_bit_goes_on_as_another_value(tmp_path: Path) -> None:
    file = tmp_path / "latest.pt"
    checkpoints.write(tmp_path, "latest", STATE)
    whole, found = file.read_bytes(), 0
    for place in range(0, len(whole), 7):
        flip(file, place, place % 8)
        try:
            assert equal(checkpoints.read(file), STATE), f"bit {place % 8} of byte {place}"
        except Damaged:
            found += 1
        file.write_bytes(whole)
    assert found > len(whole) // 7 // 4, "the rest is padding"


def test_the_one_before_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoints.newest(tmp_path) is None
    for step in (1, 2, 3):
        checkpoints.write(tmp_path, "latest", {**STATE, "step": step})
    latest, previous = tmp_path / "latest.pt", tmp_path / "previous.pt"
    state = checkpoints.newest(tmp_path)
    assert state is not None
    assert state["step"] == 3
    assert not caplog.records
    latest.write_bytes(latest.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        state = checkpoints.newest(tmp_path)
    assert state is not None
    assert state["step"] == 2
    (record,) = caplog.records
    assert str(latest) in record.getMessage()
    previous.unlink()
    os.mkfifo(previous)
    with pytest.raises(UserError, match="nothing was deleted") as caught:
        checkpoints.newest(tmp_path)
    assert str(latest) in str(caught.value)
    assert str(previous) in str(caught.value)
    assert latest.exists()


@pytest.mark.parametrize("replay", ["memory", "disk"])
def test_a_run_goes_on_from_the_checkpoint_before(tiny: RunConfig, tmp_path: Path, replay: str) -> None:
    config = tiny.model_copy(update={"training": tiny.training.model_copy(update={"replay": replay})})
    kept = {"training": config.training.model_copy(update={"checkpoint_every": 20}), "steps": 60}
    config = config.model_copy(update=kept)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "damaged")
    (tmp_path / "damaged/result.json").unlink()
    folder = tmp_path / "damaged/checkpoints"
    flip(folder / "latest.pt", (folder / "latest.pt").stat().st_size // 2)
    train(config, tmp_path / "damaged")
    assert run_numbers(tmp_path / "damaged") == run_numbers(tmp_path / "whole")
    assert (folder / "latest.damaged").exists()
    checkpoints.read(folder / "latest.pt")

    (tmp_path / "damaged/result.json").unlink()
    ring = folder / "replay.npy"
    flip(ring, 128 + 4)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(UserError, match=r"replay\.npy is damaged: 1 of its"):
        train(config, tmp_path / "damaged")
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    ring.write_bytes(ring.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"replay\.npy is damaged: it has"):
        train(config, tmp_path / "damaged")
    ring.unlink()
    with pytest.raises(UserError, match=r"replay\.npy is missing"):
        train(config, tmp_path / "damaged")
