"""Videos of a policy: a grid with a cell for every task, marked from its first success on."""

from __future__ import annotations

import errno
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mtrl_conic import files
from mtrl_conic.envs.task_set import TaskSet
from mtrl_conic.errors import UserError, not_installed
from mtrl_conic.evaluation.success import Act

Picture = NDArray[np.uint8]
"""(H, W, 3)"""
Pictures = Callable[[], Sequence[Picture]]
"""A function that returns the current images of a task set's environments, one per task."""

FORMATS = (".mp4", ".gif")
_HOLD = 10
"""The number of frames for which the end of an episode is shown, so that its marks can be read."""
_ASPECT = 1.8
"""The approximate ratio of columns to rows of the grid."""
_GREEN, _DARK, _WHITE = (46, 160, 67), (20, 23, 26), (255, 255, 255)


@dataclass
class _Cell:
    task: str
    picture: Picture = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    succeeded_at: int | None = None


def frames(
    envs: TaskSet,
    pictures: Pictures,
    act: Act,
    *,
    goals: Sequence[int],
    title: str,
    size: int = 240,
    every: int = 4,
    steps: int | None = None,
) -> Iterator[Picture]:
    """Yield the frames of one episode after the other, with all tasks side by side.

    A task whose episode has ended keeps its last image. Success means success at any step of the episode.

    Args:
        envs: task set to step, which must not be used elsewhere.
        pictures: function that returns the images of `envs`.
        act: `act` method of a policy.
        goals: numbers of the episodes, the same for all tasks; on Meta-World, the indices of the goals.
        title: text below the grid, after the goal and the step.
        size: size of a cell in pixels.
        every: number of steps between two frames.
        steps: largest number of steps of each episode; None: the whole episode.
    """
    for goal in goals:
        observations, _ = envs.reset(options={"episodes": [goal] * envs.num_tasks})
        cells = [_Cell(task) for task in envs.task_names]
        limit = min(envs.horizon, steps or envs.horizon)
        running = np.ones(envs.num_tasks, dtype=bool)
        step = 0
        while running.any() and step < limit:
            if step % every == 0:
                # Rendered before the step, because a step that ends an episode also starts the next one.
                _look(cells, pictures, running)
                yield _grid(cells, f"goal {goal}, step {step}   {title}", size)
            observations, _, terminated, truncated, infos = envs.step(act(observations))
            step += 1
            for place in np.flatnonzero(running & infos["success"]):
                if cells[place].succeeded_at is None:
                    cells[place].succeeded_at = step
            running &= ~(terminated | truncated)
        for _ in range(_HOLD):
            yield _grid(cells, f"goal {goal}, step {step}   {title}", size)


def write(shown: Iterable[Picture], file: Path, *, fps: int) -> int:
    """Write frames as an MP4 or a GIF file, depending on its name, completely or not at all.

    Returns:
        The number of frames.

    Raises:
        UserError: another format, a missing package, or a file that cannot be written.
    """
    imageio = _writer_library(file)
    with files.told_of(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".gif":
            whole = io.BytesIO()
            count = _fill(imageio.get_writer(whole, format="GIF", duration=1000 / fps, loop=0), shown)
            files.replace(file, whole.getvalue())
            return count
        with files.replacing(file, ending=f".tmp{file.suffix}") as fresh:  # imageio infers the format from the suffix
            count = _fill(imageio.get_writer(fresh, fps=fps, macro_block_size=2, quality=7), shown)
            _check_whole(fresh, count)
    return count


def _fill(writer: Any, shown: Iterable[Picture]) -> int:
    """Write all frames, and return their number."""
    count = 0
    with writer:
        for frame in shown:
            writer.append_data(frame)
            count += 1
    return count


def _check_whole(file: Path, count: int) -> None:
    """Check that all frames were written, because the program that writes MP4 files does not report a full disk."""
    import imageio_ffmpeg

    try:
        there, _ = imageio_ffmpeg.count_frames_and_secs(str(file))
    except (OSError, RuntimeError):
        there = 0
    if there != count:
        raise OSError(errno.EIO, f"only {there} of {count} frames were written; the disk may be full")


def check_writable(file: Path) -> None:
    """Check that `write` supports the format and has its packages, before anything is rendered.

    Raises:
        UserError: another format, or a missing package.
    """
    _writer_library(file)


def _writer_library(file: Path) -> Any:
    if file.suffix not in FORMATS:
        raise UserError(f"{file} is neither .mp4 nor .gif")
    try:
        import imageio.v2 as imageio

        if file.suffix == ".mp4":
            import imageio_ffmpeg  # noqa: F401  # imageio loads it only once it writes
    except ImportError as error:
        raise not_installed(str(error.name), "video") from None
    return imageio


def _look(cells: Sequence[_Cell], pictures: Pictures, running: NDArray[np.bool_]) -> None:
    for cell, picture, goes_on in zip(cells, pictures(), running, strict=True):
        if goes_on:
            cell.picture = picture


def _grid(cells: Sequence[_Cell], caption: str, size: int) -> Picture:
    columns = min(len(cells), math.ceil(math.sqrt(_ASPECT * len(cells))))
    rows = math.ceil(len(cells) / columns)
    bar = _text_size(size) + 8
    # Both sides must be even, because H.264 stores colours at half the resolution.
    height = 2 * math.ceil((rows * size + bar) / 2)
    grid = Image.new("RGB", (2 * math.ceil(columns * size / 2), height), _DARK)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        grid.paste(_drawn(cell, size), (column * size, row * size))
    _write(ImageDraw.Draw(grid), (6, rows * size + 3), caption, size)
    return np.asarray(grid)


def _drawn(cell: _Cell, size: int) -> Image.Image:
    image = ImageOps.pad(Image.fromarray(cell.picture), (size, size), color=_DARK)
    draw = ImageDraw.Draw(image)
    bar = _text_size(size) + 8
    succeeded = cell.succeeded_at is not None
    draw.rectangle((0, 0, size, bar), _GREEN if succeeded else _DARK)
    _write(draw, (6, 3), cell.task.removesuffix("-v3"), size)
    if succeeded:
        draw.rectangle((0, 0, size - 1, size - 1), outline=_GREEN, width=max(3, size // 50))
        draw.rectangle((0, size - bar, size, size), _GREEN)
        _write(draw, (6, size - bar + 3), f"success at step {cell.succeeded_at}", size)
    else:
        draw.rectangle((0, 0, size - 1, size - 1), outline=_DARK)
    return image


def _text_size(size: int) -> int:
    return max(8, size // 16)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int) -> None:
    draw.text(at, text, _WHITE, font=ImageFont.load_default(_text_size(size)))
