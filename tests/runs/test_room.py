"""Tests that settings too large for the machine are refused before anything starts, with a number that fits."""

from __future__ import annotations

import os
import re
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from mtrl_conic.cli import main
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution import memory
from mtrl_conic.runs import checking, room
from mtrl_conic.runs.checking import check_jobs
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.making import make_agent, make_envs, spec_of
from mtrl_conic.schema import parse
from mtrl_conic.training.trainer import Trainer
from tests.training.conftest import TASKS, tiny_values

MEMORY, DISK = 2_000_000_000, 1_000_000_000


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine appear to have 2 GB of free memory and 1 GB of free disk."""
    for module in (room, checking):
        monkeypatch.setattr(module, "free_memory", lambda device: MEMORY)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=DISK))


@pytest.fixture
def preset(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values()))
    return str(file)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("checkpoint-every", 10_000_000, "training.checkpoint_every=10000000: the replay would take .* of memory, and"),
        ("replay-capacity", 90_000_000, "training.replay_capacity=90000000: the replay would take .* of memory, and"),
        ("batch-size", 100_000_000, "agent.batch_size=100000000: an update would take .* of memory, and"),
        ("n-step", 100_000_000, "agent.n_step=100000000: an update would take .* of memory, and"),
        ("width", 1_000_000, "agent.width=1000000: the networks would take .* of memory, and"),
        ("copies", 1_000_000, "environment.copies=1000000: .* would take .* of memory, and"),
    ],
)
def test_a_size_that_does_not_fit(
    flag: str, value: int, words: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for command in (["train", preset, "--run-dir"], ["train", preset, "--dry-run", "--run-dir"]):
        assert main([*command, str(out), f"--{flag}", str(value)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        found = re.search(rf"{words} 2\.0 GB are free; (\d+) fits$", line)
        assert found, line
        assert not out.exists()
    assert main(["train", preset, "--run-dir", str(out), "--dry-run", f"--{flag}", found[1]]) == 0
    assert main(["compare", preset, "--out", str(out), "--dry-run", f"--{flag}", str(value)]) == 2


@pytest.mark.usefixtures("machine")
def test_a_replay_on_disk_is_held_against_the_disk(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", preset, "--run-dir", str(tmp_path / "run"), "--replay", "disk", "--dry-run"]
    assert main([*command, "--replay-capacity", "3_000_000"]) == 2
    assert re.search(r"capacity=3000000: the replay would take 3\.. GB of disk, and 1\.0", capsys.readouterr().err)
    assert main([*command[:4], "--dry-run", "--replay-capacity", "1_500_000", "--steps", "9"]) == 0, "sparse"


@pytest.mark.usefixtures("machine")
def test_tasks_of_ones_own_are_held_against_the_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "train",
        "own",
        "--task-set",
        "[gymnasium:Pendulum-v1]",
        "--steps",
        "5",
        "--run-dir",
        str(tmp_path / "a"),
    ]
    assert main([*command, "--checkpoint-every", "100_000_000"]) == 2
    assert "training.checkpoint_every=100000000: the replay would take" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_limit_of_a_files_size_counts(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        code = main(["train", preset, "--run-dir", str(tmp_path / "run"), "--replay-capacity", "50_000"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert re.search(
        r"capacity=50000: the replay would take .* of the file size that `ulimit -f` allows", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "command",
    [
        ["train", "PRESET", "--threads", "1000000"],
        ["train", "PRESET", "--stepping-threads", "1000000"],
        ["compare", "PRESET", "--threads", "1000000", "--out", "out"],
        ["supervised", "regression", "--data", "DATA", "--targets", "a", "--threads", "1000000", "--run-dir", "out"],
        ["supervised", "regression", "--data", "DATA", "--targets", "a", "--workers", "1000000", "--out", "out"],
        ["bench", "solvers", "--threads", "1000000"],
    ],
    ids=lambda command: "_".join(command[:2]),
)
def test_more_threads_than_the_machine_can_carry(
    command: list[str],
    preset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(40)))
    named = {"PRESET": preset, "DATA": str(table)}
    assert main([named.get(word, word) for word in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"(threads|workers)=1000000: this machine has .*; {len(os.sched_getaffinity(0))} fits", line)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("machine")
def test_more_runs_at_a_time_than_memory_holds(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = ",".join(map(str, range(40)))
    command = ["compare", preset, "--seeds", seeds, "--out", str(tmp_path / "out"), "--dry-run", "--jobs"]
    assert main([*command, "40"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    found = re.search(r"--jobs 40: 40 runs at a time would take .* and 2\.0 GB are free; --jobs (\d+) fits$", line)
    assert found
    assert main([*command, found[1]]) == 0
    check_jobs([parse(RunConfig, tiny_values())] * 2, 2)


def test_the_replay_takes_what_was_said(tmp_path: Path) -> None:
    config = parse(RunConfig, tiny_values(environment={"horizon": 40, "copies": 2}))
    envs = make_envs(config)
    agent = make_agent(config, envs)
    run = SimpleNamespace(checkpoints=tmp_path)
    trainer = Trainer(envs, agent, config=config.training, run=run)  # type: ignore[arg-type]
    spec = TaskSpec.of(envs)
    assert room.replay_bytes(config, spec) == trainer.replay._block.numel() * 4
    counted = [part.network for part in (agent.critic, agent.actor)]
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in counted]
    assert room.network_bytes(config, spec) == 4 * (5 * sizes[0] + 4 * sizes[1])
    assert spec == spec_of(config)
    assert len(spec.task_names) == len(TASKS)


def test_free_memory_is_within_every_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert memory.free_memory(cpu) > 100 << 20
    group = tmp_path / "groups" / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    for name, text in (("max", "50000000"), ("current", "40000000"), ("stat", "anon 1\ninactive_file 5000000")):
        (group.parent / f"memory.{name}").write_text(f"{text}\n")
    (group / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    assert memory.free_memory(cpu) == 15_000_000
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    (group.parent / "memory.max").write_text("max\n")
    assert memory.free_memory(cpu) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_cannot_be_mended_by_one_number_is_told_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config: Any = parse(RunConfig, tiny_values())
    monkeypatch.setattr(room, "free_memory", lambda device: 10)
    with pytest.raises(UserError, match=r"would take .* of memory, and 0\.0 MB are free"):
        room.check_room(config, spec_of(config), tmp_path)
