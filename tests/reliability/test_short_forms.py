"""Tests that run the first cases of `make chaos` and `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability import hostile
from tests.reliability.chaos import chaos
from tests.reliability.fuzz import judge, run_forked

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    hostile.import_everything()


def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    summary = chaos(5, seed=0, folder=tmp_path, names=["train"])
    assert summary.kills >= 5
    assert not summary.lost, "\n".join(summary.lost)


def test_sixty_command_lines_end_in_a_code_and_a_line(tmp_path: Path) -> None:
    """The cases run in another process, because they fork, and a fork lacks the threads that other tests started."""
    command = [sys.executable, "-m", "tests.reliability.fuzz", "--cases", "60", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 cases" in done.stdout


def test_a_dry_run_and_a_refusal_leave_a_folder_as_it_was(tmp_path: Path) -> None:
    """This includes an empty folder that the user made for the run."""
    (tmp_path / "table.csv").write_text(hostile.TABLE)
    (tmp_path / "run").mkdir()
    command = ["supervised", "regression", "--targets", "a,b", "--balancer", "ls", "--run-dir", "run"]
    code, output = run_forked([*command, "--data", "table.csv", "--dry-run"], cwd=tmp_path, seconds=60)
    assert code == "0", output
    assert "targets:\n  - a\n  - b" in output
    code, output = run_forked([*command, "--data", "nowhere.csv"], cwd=tmp_path, seconds=60)
    assert code == "2", output
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "run", tmp_path / "table.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "device.yaml"], "it is not a regular file"),
        (["train", "pipe.yaml"], "it is not a regular file"),
        (["train", "latin.yaml"], "it is not UTF-8 text"),
        (["train", "deep.yaml"], "nested"),
        (["train", "mt10", "--steps", "9" * 5000], "steps: cannot read"),
        (["watch", "run", "--every=--"], "-- is not a value"),
        (["train", "mt10", "--import", "loop.yaml/x.py"], "there is no such file"),
        (["runs", "no\x1b[31m/such\nfolder"], "no\\x1b[31m/such\\nfolder"),
    ],
)
def test_each_kind_of_fault_is_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    hostile._write(folder, {"latin.yaml": "a: caf\xe9".encode("latin-1"), "deep.yaml": b"a: " + b"[" * 20_000})
    (folder / "device.yaml").symlink_to("/dev/zero")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(folder / "pipe.yaml")
    code, output = run_forked(arguments, cwd=folder, seconds=60)
    assert code == "2"
    assert words in output
    assert not judge(code, output), output
