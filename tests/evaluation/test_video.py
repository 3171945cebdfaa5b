"""Tests of videos of a real run, drawn without a display, and of the error without GL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation.success import Evaluator
from mtrl_conic.evaluation.video import write
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.run import train
from mtrl_conic.schema import parse
from tests.training.conftest import TASKS, tiny_values

imageio_ffmpeg: Any = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "egl", "OMP_NUM_THREADS": "1", "COLUMNS": "400"}
GREEN = (46, 160, 67)
SIZE = 64


def video(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `video` in another process, because MuJoCo chooses its GL when it is imported."""
    command = [sys.executable, "-m", "mtrl_conic", "video", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **environment}, check=False)


def drawn(*arguments: str) -> list[np.ndarray]:
    """Run `video`, and return the frames of the file in its last argument, with all tasks in one row."""
    done = video(*arguments)
    if done.returncode == 2 and "MuJoCo cannot render here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stderr) == (0, "")
    if arguments[-1].endswith(".gif"):
        with Image.open(arguments[-1]) as gif:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    decode = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", arguments[-1], "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = subprocess.run(decode, capture_output=True, check=True).stdout
    return list(np.frombuffer(pixels, np.uint8).reshape(-1, SIZE + 16, SIZE * len(TASKS), 3))


def is_green(frame: np.ndarray, place: int) -> bool:
    """Return whether the left edge of a cell has the colour of success, up to the losses of the video."""
    edge = frame[SIZE // 3 : SIZE // 2, place * SIZE + 1, :3].mean(0)
    return bool(np.abs(edge - GREEN).max() < 40)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("video") / "run"
    train(parse(RunConfig, tiny_values(steps=60)), directory)
    yield directory
    shutil.rmtree(directory)


def test_the_marks_are_those_of_the_evaluation(run: Path, tmp_path: Path) -> None:
    goals, file = (0, 1, 2), tmp_path / "all.mp4"
    given = ",".join(map(str, goals))
    frames = drawn(str(run), "--goals", given, "--size", str(SIZE), "--every", "8", "--out", str(file))
    episodes = np.array_split(np.array(frames), len(goals))
    assert [len(episode) for episode in episodes] == [40 / 8 + 10] * 3
    assert not np.array_equal(episodes[0][0][:SIZE], episodes[1][0][:SIZE]), "another goal looks otherwise"
    _, agent, envs = load_agent(run)
    seen = []
    for last, episode in enumerate(episodes):
        marks = [is_green(episode[-1], place) for place in range(len(TASKS))]
        assert not any(is_green(episode[0], place) for place in range(len(TASKS)))
        rates = Evaluator(envs, last + 1).evaluate(lambda seen: agent.act(seen, deterministic=True)).success
        seen.append(marks)
        assert np.mean(seen, axis=0).tolist() == pytest.approx(list(rates.values()))
    envs.close()


def test_a_gif_of_another_checkpoint_and_fewer_steps(run: Path, tmp_path: Path) -> None:
    kept, file = tmp_path / "kept.pt", tmp_path / "new" / "short.gif"
    shutil.copy(run / "checkpoints" / "latest.pt", kept)
    size = ("--size", str(SIZE), "--fps", "10")
    frames = drawn(str(run), "--checkpoint", str(kept), "--steps", "5", "--every", "1", *size, "--out", str(file))
    assert len(frames) == 5 + 1
    with Image.open(file) as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [100] * 5 + [1000], "the last one stays"
    assert [path.name for path in file.parent.iterdir()] == ["short.gif"], "nothing else is left"


def test_gymnasium_tasks(tmp_path: Path) -> None:
    tasks = ["gymnasium:InvertedPendulum-v5", "gymnasium:Reacher-v5"]
    values = tiny_values(steps=40, task_set=tasks)
    del values["environment"]
    train(parse(RunConfig, values), tmp_path / "run")
    frames = drawn(str(tmp_path / "run"), "--size", str(SIZE), "--steps", "12", "--out", str(tmp_path / "run.gif"))
    assert frames[0].shape[1] == 2 * SIZE
    assert frames[0][SIZE // 2 :, :SIZE].std() > 5, "something is drawn"


def test_without_gl_one_line_says_what_to_install(run: Path, tmp_path: Path) -> None:
    # With this variable GL's dispatcher finds no driver, as on a machine without one.
    out = tmp_path / "new" / "video.mp4"
    done = video(str(run), "--out", str(out), __EGL_VENDOR_LIBRARY_FILENAMES="/nowhere.json")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri" in line
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "video.avi"], "video.avi is neither .mp4 nor .gif"),
        (["--goals", "1,x"], "--goals 1,x: must be numbers of 0 or more"),
        (["--goals", "50"], "a task has 50 goals"),
        (["--every", "0"], "--every 0: must be at least 1"),
        (["--checkpoint", "result.json"], "result.json is damaged or not a checkpoint"),
    ],
)
def test_wrong_input(
    arguments: list[str],
    words: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run)
    assert main(["video", ".", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not list(run.glob("video*"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*/file/video.gif: "):
        write([], tmp_path / "file" / "video.gif", fps=20)
