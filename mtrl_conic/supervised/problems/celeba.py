"""CelebA: forty attributes of face images, read from the original files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtrl_conic.errors import UserError
from mtrl_conic.reading import open_regular, read_text
from mtrl_conic.supervised.data.files import Files, Sample
from mtrl_conic.supervised.data.optional import library
from mtrl_conic.supervised.data.tables import reading
from mtrl_conic.supervised.metrics import F1s
from mtrl_conic.supervised.network import Outputs, TaskNetwork
from mtrl_conic.supervised.networks.celeba import nine_layers
from mtrl_conic.supervised.problem import Meter, Metric, Options, Problem, Settings
from mtrl_conic.supervised.problems.census import binary_losses

_SIZE = 64
_TEXT_BYTES = 1 << 28
"""Size limit of the text files; the original list of attributes has 25 million bytes."""


class CelebA(Problem):
    """Forty binary attributes of one image.

    Args:
        names: names of the attributes.
        readers: readers of the training, validation and test images.
        workers: number of processes that read images.
    """

    name = "celeba"
    settings = Settings(
        epochs=15, batch_size=256, learning_rate=3e-4, gradients="representation", selection="best_validation"
    )
    source = (
        "CelebA, aligned images resized to 64x64, the original split; F1 of each attribute, which is predicted if its "
        "logit is positive."
    )

    def __init__(self, names: Sequence[str], readers: Sequence[Faces], *, workers: int) -> None:
        self.tasks = tuple(names)
        self.metrics = tuple(Metric(f"{name} f1", name) for name in names)
        self.training, self.validation, self.test = (Files(reader, workers=workers) for reader in readers)

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> CelebA:
        """Read `Anno/list_attr_celeba.txt`, `Eval/list_eval_partition.txt` and `Img/img_align_celeba/` in `data`."""
        names, files, labels = _attributes(data / "Anno" / "list_attr_celeba.txt")
        parts = _partition(data / "Eval" / "list_eval_partition.txt", files)
        folder = data / "Img" / "img_align_celeba"
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
        readers = []
        for number, split in enumerate(("training", "validation", "test")):
            rows = np.flatnonzero(parts == number)
            if not len(rows):
                raise UserError(f"{data / 'Eval' / 'list_eval_partition.txt'} lists no {split} image ({number})")
            readers.append(Faces(folder, [files[row] for row in rows], labels[rows]))
        return cls(names, readers, workers=workers)

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """Create the published network of nine layers."""
        return nine_layers(len(tasks))

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Return the binary cross-entropy of each attribute."""
        return binary_losses(outputs, targets)

    def meter(self) -> Meter:
        """F1."""
        return F1s(self.tasks)


class Faces:
    """Reads face images with their labels.

    Args:
        folder: folder of the images.
        files: names of the image files.
        labels: labels (N, attributes), 0 or 1.
    """

    def __init__(self, folder: Path, files: Sequence[str], labels: NDArray[np.float32]) -> None:
        self.folder, self.files, self.labels = folder, files, labels

    def __len__(self) -> int:
        return len(self.files)

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """Read an image as `Reader.read` does, without augmentation."""
        image = library("PIL.Image")
        file = self.folder / self.files[row]
        with reading(file), open_regular(file) as opened, image.open(opened) as picture:
            small = picture.convert("RGB").resize((_SIZE, _SIZE), image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).movedim(-1, 0)
        return (pixels,), (torch.from_numpy(self.labels[row]),)


def _attributes(file: Path) -> tuple[list[str], list[str], NDArray[np.float32]]:
    """Return the names of the attributes, the names of the images, and the labels (N, attributes)."""
    lines = _lines(file)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise UserError(f"{file} must begin with the number of images, followed by the names of the attributes")
    names, rows = lines[1].split(), [line.split() for line in lines[2:]]
    if len(rows) != int(lines[0]):
        raise UserError(f"{file} is truncated: it announces {int(lines[0])} images but lists {len(rows)}")
    for number, row in enumerate(rows, start=3):
        if len(row) != len(names) + 1 or not set(row[1:]) <= {"1", "-1"}:
            raise UserError(f"{file}, line {number}: expected a file name and {len(names)} values of 1 or -1")
    labels = np.array([row[1:] for row in rows]) == "1"
    return names, [row[0] for row in rows], labels.astype(np.float32)


def _partition(file: Path, files: Sequence[str]) -> NDArray[np.int64]:
    """Return the split of each image (N,): 0 for training, 1 for validation, 2 for test."""
    rows = [line.split() for line in _lines(file)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise UserError(f"{file}, line {number}: expected a file name and 0, 1 or 2")
    of = {name: int(part) for name, part in rows}
    missing = [name for name in files if name not in of]
    if missing:
        raise UserError(f"{file} does not assign {missing[0]} to a split")
    return np.array([of[name] for name in files])


def _lines(file: Path) -> list[str]:
    return read_text(file, most=_TEXT_BYTES).splitlines()
