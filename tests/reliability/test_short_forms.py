"""The first cases of `make chaos` and `make fuzz`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability import hostile
from tests.reliability.chaos import chaos
from tests.reliability.fuzz import fuzz, judge, run_forked


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    hostile.import_everything()


def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    summary = chaos(5, seed=0, folder=tmp_path, names=["train"])
    assert summary.kills >= 5
    assert not summary.lost, "\n".join(summary.lost)


def test_sixty_command_lines_end_in_a_code_and_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    summary = fuzz(60, seed=0, folder=folder, seconds=60)
    assert sum(summary.codes.values()) == 60
    assert not summary.failures, "\n".join(summary.lines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "device.yaml"], "it is no regular file"),
        (["train", "pipe.yaml"], "it is no regular file"),
        (["train", "latin.yaml"], "it is not UTF-8 text"),
        (["train", "deep.yaml"], "nested"),
        (["train", "mt10", "--steps", "9" * 5000], "steps: cannot read"),
        (["watch", "run", "--every=--"], "-- is no value"),
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
