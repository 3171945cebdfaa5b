"""CelebA: forty attributes of a face, from the original files."""

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
"""Of a list of images; that of the original attributes has 25 million."""


class CelebA(Problem):
    """Forty binary attributes of one image.

    Args:
        names: names of the attributes.
        readers: readers of the training, validation and test images.
        workers: processes that read.
    """

    name = "celeba"
    settings = Settings(
        epochs=15, batch_size=256, learning_rate=3e-4, gradients="representation", selection="best_validation"
    )
    source = (
        "CelebA, aligned images resized to 64x64, the original split; F1 of each attribute, a logit above 0 is a yes."
    )

    def __init__(self, names: Sequence[str], readers: Sequence[Faces], *, workers: int) -> None:
        self.tasks = tuple(names)
        self.metrics = tuple(Metric(f"{name} f1", name) for name in names)
        self.training, self.validation, self.test = (Files(reader, workers=workers) for reader in readers)

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> CelebA:
        """`Anno/list_attr_celeba.txt`, `Eval/list_eval_partition.txt`, `Img/img_align_celeba/` in `data`."""
        names, files, labels = _attributes(data / "Anno" / "list_attr_celeba.txt")
        parts = _partition(data / "Eval" / "list_eval_partition.txt", files)
        folder = data / "Img" / "img_align_celeba"
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}")
        readers = []
        for number, split in enumerate(("training", "validation", "test")):
            rows = np.flatnonzero(parts == number)
            if not len(rows):
                raise UserError(f"{data / 'Eval' / 'list_eval_partition.txt'} has no {split} image ({number})")
            readers.append(Faces(folder, [files[row] for row in rows], labels[rows]))
        return cls(names, readers, workers=workers)

    def network(self, tasks: Sequence[int]) -> TaskNetwork:
        """The published nine layers."""
        return nine_layers(len(tasks))

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        """Binary cross-entropy."""
        return binary_losses(outputs, targets)

    def meter(self) -> Meter:
        """F1."""
        return F1s(self.tasks)


class Faces:
    """JPEG files with their labels.

    Args:
        folder: folder of the images.
        files: names.
        labels: (N, attributes) of 0 and 1.
    """

    def __init__(self, folder: Path, files: Sequence[str], labels: NDArray[np.float32]) -> None:
        self.folder, self.files, self.labels = folder, files, labels

    def __len__(self) -> int:
        return len(self.files)

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """See `Reader.read`; there is no augmentation."""
        image = library("PIL.Image")
        file = self.folder / self.files[row]
        with reading(file), open_regular(file) as opened, image.open(opened) as picture:
            small = picture.convert("RGB").resize((_SIZE, _SIZE), image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).movedim(-1, 0)
        return (pixels,), (torch.from_numpy(self.labels[row]),)


def _attributes(file: Path) -> tuple[list[str], list[str], NDArray[np.float32]]:
    """Names of the attributes, of the images, and labels (N, attributes)."""
    lines = _lines(file)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise UserError(f"{file} should begin with the number of images, then the attributes' names")
    names, rows = lines[1].split(), [line.split() for line in lines[2:]]
    if len(rows) != int(lines[0]):
        raise UserError(f"{file} is truncated: it announces {int(lines[0])} images and holds {len(rows)}")
    for number, row in enumerate(rows, start=3):
        if len(row) != len(names) + 1 or not set(row[1:]) <= {"1", "-1"}:
            raise UserError(f"{file}, line {number}: not a file name and {len(names)} values of 1 or -1")
    labels = np.array([row[1:] for row in rows]) == "1"
    return names, [row[0] for row in rows], labels.astype(np.float32)


def _partition(file: Path, files: Sequence[str]) -> NDArray[np.int64]:
    """(N,) of 0, 1 or 2: training, validation, test."""
    rows = [line.split() for line in _lines(file)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise UserError(f"{file}, line {number}: not a file name and 0, 1 or 2")
    of = {name: int(part) for name, part in rows}
    missing = [name for name in files if name not in of]
    if missing:
        raise UserError(f"{file} does not say which part {missing[0]} belongs to")
    return np.array([of[name] for name in files])


def _lines(file: Path) -> list[str]:
    return read_text(file, most=_TEXT_BYTES).splitlines()
