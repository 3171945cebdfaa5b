"""Tests of full disks: existing files stay whole, and a run ends in one line and resumes once there is room."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtrl_conic import files
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.agents.policy import Policy
from mtrl_conic.cli import main
from mtrl_conic.errors import Failed, UserError
from mtrl_conic.evaluation import video
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.run import train
from mtrl_conic.training.replay import Replay
from tests.reliability import full_disk, hostile
from tests.reliability.chaos import run_numbers
from tests.training.conftest import tiny as tiny


@contextmanager
def no_file_longer_than(count: int) -> Iterator[None]:
    """Limit files to `count` bytes, as `ulimit -f` does: a write beyond that fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a preset and a finished run, `run`."""
    made = tmp_path_factory.mktemp("full")
    (made / "tiny.yaml").write_text(hostile.TINY)
    assert main(["train", str(made / "tiny.yaml"), "--run-dir", str(made / "run")]) == 0
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "RUN", "--out", "OUT/report.html"],
        ["report", "RUN", "--out", "OUT/report.csv", "--figures", "OUT/figures"],
        ["evaluate", "RUN", "--episodes-per-task", "1", "--json", "OUT/rates.json"],
        ["export", "RUN", "--out", "OUT/policy"],
        ["toy", "--balancers", "ls", "--problems", "PROBLEM", "--steps", "100", "--out", "OUT/toy"],
    ],
    ids=lambda arguments: "_".join(arguments[:2]),
)
def test_what_was_there_stays(
    arguments: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtrl_conic.toy.problems import PROBLEMS

    named = {"RUN": str(folder / "run"), "PROBLEM": next(iter(PROBLEMS))}
    given = [named.get(word, word.replace("OUT", str(tmp_path))) for word in arguments]
    assert main(given) == 0
    before = contents(tmp_path)
    assert before
    capsys.readouterr()
    with no_file_longer_than(40):
        code = main(given)
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert (code, len(said)) == (2, 1), said
    assert "File too large" in said[0]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_video_stays(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    shown = [np.random.default_rng(n).integers(0, 255, (128, 128, 3), np.uint8) for n in range(9)]
    file = tmp_path / f"video.{ending}"
    assert video.write(shown, file, fps=5) == 9
    before = contents(tmp_path)
    with no_file_longer_than(1000), pytest.raises(UserError, match="cannot write"):
        video.write(shown, file, fps=5)
    assert contents(tmp_path) == before


def test_an_agent_and_a_policy_stay(folder: Path, tmp_path: Path) -> None:
    _, agent, envs = load_agent(folder / "run", device="cpu")
    envs.close()
    assert isinstance(agent, MTSAC)
    agent.save(tmp_path / "agent.pt")
    agent.policy().save(tmp_path / "policy")
    before = contents(tmp_path)
    agent.updates += 1
    with no_file_longer_than(40):
        for write in (lambda: agent.save(tmp_path / "agent.pt"), lambda: agent.policy().save(tmp_path / "policy")):
            with pytest.raises(UserError, match="File too large"):
                write()
    assert contents(tmp_path) == before
    Policy.load(tmp_path / "policy")


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to("file")
    files.write(link, "after")
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert file.stat().st_mode & 0o777 == 0o640
    files.write(Path("/dev/null"), "nothing")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    with (tmp_path / "shell").open("w") as output:
        command = [
            sys.executable,
            "-c",
            "from mtrl_conic import files; files.write(files.Path('/dev/stdout'), 'shown')",
        ]
        subprocess.run(command, stdout=output, check=True)
    assert (tmp_path / "shell").read_text() == "shown"


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    files.append(file, b"first\n")
    with no_file_longer_than(10), pytest.raises(OSError, match="File too large"):
        files.append(file, b"second\n")
    assert file.read_bytes() == b"first\n"


def test_a_run_that_finds_no_room_goes_on_later(tiny: RunConfig, tmp_path: Path) -> None:
    tiny = tiny.model_copy(update={"agent": tiny.agent.model_copy(update={"width": 64})})
    train(tiny, tmp_path / "whole")
    whole = run_numbers(tmp_path / "whole")
    short = tiny.model_copy(update={"steps": 50})
    train(short, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes()
    replay = (tmp_path / "run" / "checkpoints" / "replay.npy").stat().st_size
    assert len(before) > replay + 1000
    with (
        no_file_longer_than(replay + 1000),
        pytest.raises(Failed, match=r"File too large; free some space, .* in .*run"),
    ):
        train(tiny, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "latest.pt").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))
    train(tiny, tmp_path / "run")
    again = run_numbers(tmp_path / "run")
    assert (again["metrics"], again["result"]) == (whole["metrics"], whole["result"])


def test_a_disk_that_is_full_at_some_write(tmp_path: Path) -> None:
    hostile.import_everything()
    summary = full_disk.fill(4, seed=0, folder=tmp_path)
    assert summary.times == 4
    assert not summary.lost, "\n".join(summary.lost)


def replay(file: Path, *, mapped: bool) -> Replay:
    return Replay(2, 5000, 3, 1, slack=100, file=file, memory_map=mapped)


def steps(replay: Replay, count: int) -> None:
    flat = {"rewards": np.zeros(2), "terminated": np.zeros(2, np.bool_), "truncated": np.zeros(2, np.bool_)}
    for number in range(count):
        rows = np.full((2, 3), number, np.float32)
        replay.add(observations=rows, actions=rows[:, :1], next_observations=rows, **flat)  # type: ignore[arg-type]


def space_of(file: Path) -> int:
    return 512 * file.stat().st_blocks


def test_a_mapped_replay_has_its_space_from_the_start(tmp_path: Path) -> None:
    replay(tmp_path / "replay.npy", mapped=True)
    assert space_of(tmp_path / "replay.npy") >= (tmp_path / "replay.npy").stat().st_size > 100_000


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, None])
def test_space_is_taken_up_before_it_is_mapped(
    number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the system's own call the space is reserved by writing."""

    def refuse(*given: Any) -> None:
        raise OSError(number, "no such call")

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    made = replay(tmp_path / "replay.npy", mapped=True)
    assert space_of(tmp_path / "replay.npy") >= (tmp_path / "replay.npy").stat().st_size
    steps(made, 100)
    saved = made.save()
    again = replay(tmp_path / "replay.npy", mapped=False)
    again.load(saved)
    assert (again.sample(50).observations < 100).all()


@pytest.mark.parametrize("mapped", [True, False])
def test_a_full_disk_is_an_error_before_a_row_is_written(
    mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "replay.npy"
    if mapped:
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(OSError, match=r"No space left.*replay\.npy"):
            replay(file, mapped=True)
        return
    made = replay(file, mapped=False)
    steps(made, 50)
    saved = made.save()
    before = file.read_bytes()
    steps(made, 50)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"No space left.*replay\.npy"):
        made.save()
    assert file.read_bytes() == before
    replay(file, mapped=False).load(saved)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 400 KB, or skip the test if none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "small", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_full_disk_is_no_signal(mapped: bool, small_disk: Path) -> None:
    """If the space is not reserved before it is mapped, SIGBUS ends the process without a message."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            made = Replay(2, 50_000, 3, 1, slack=50_000, file=small_disk / "replay.npy", memory_map=mapped)
            steps(made, 20_000)
            made.save()
        except OSError as error:
            code = error.errno or 71
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.ENOSPC


@pytest.mark.parametrize("flags", [["--replay", "disk"], ["--replay", "memory"]], ids=["mapped", "in_memory"])
def test_a_disk_that_fills_up(flags: Sequence[str], small_disk: Path, folder: Path) -> None:
    hostile.import_everything()
    out = small_disk / "run"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(375_000))
    command = ["train", str(folder / "tiny.yaml"), "--run-dir", str(out), *flags]
    code, output, _ = full_disk.carry_out(command, out)
    assert code in (1, 2), output
    assert "Traceback" not in output
    assert output.count("mtrl-conic: error:") == 1
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    code, output, _ = full_disk.carry_out(command, out)
    assert code == 0, output
    assert run_numbers(out) == run_numbers(folder / "run")
