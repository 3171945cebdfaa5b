"""NYUv2: segmentation, depth and surface normals of indoor scenes, from MTAN's files or from a small archive."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtrl_conic.errors import UserError
from mtrl_conic.reading import check_regular
from mtrl_conic.supervised.data.files import Sample
from mtrl_conic.supervised.data.optional import library
from mtrl_conic.supervised.data.scenes import MTANFolder, normals_from_depth, sample
from mtrl_conic.supervised.data.tables import reading
from mtrl_conic.supervised.problem import Options, Settings
from mtrl_conic.supervised.problems.scenes import SceneOptions, Scenes

_METRES = 10 / 255
"""Metres per grey level of the depth images in the archive."""
_FOCAL = 518.9 / 640
"""Focal length of NYUv2's depth camera divided by the width of its image (Silberman et al., ECCV 2012, toolbox)."""
_FINE = 40
_PICTURE_BYTES = 1 << 26
"""Size limit of an image in the archive; the original ones have 20 thousand bytes."""
_VOID = 39
"""The label shared by "other properties" and unlabelled pixels. It is ignored."""


class NYUv2(Scenes):
    """Thirteen classes, depth in metres and surface normals; 795 training and 654 test images."""

    name = "nyuv2"
    classes = 13
    normals = True
    settings = Settings(epochs=200, batch_size=2, learning_rate=1e-4, halve_every=100, selection="mean_of_last_10")
    source = "NYUv2. There is no validation split."

    @classmethod
    def load(cls, data: Path, options: Options, *, seed: int, workers: int) -> NYUv2:
        """Read MTAN's layout, or an archive `*.zip` with `meta/class13Mapping.mat`, in the folder `data`."""
        assert isinstance(options, SceneOptions)
        if (data / "train").is_dir():
            training, test = (MTANFolder(data / split, classes=cls.classes, normals=True) for split in ("train", "val"))
            return cls(training, test, options, workers=workers)
        archive = data if data.suffix == ".zip" else next(iter(sorted(data.glob("*.zip"))), None)
        if archive is None:
            raise UserError(
                f"{data} contains neither MTAN's folder train/ nor a .zip archive of images, depth and labels"
            )
        classes = _thirteen(archive.parent / "meta" / "class13Mapping.mat")
        first, second = (Archive(archive, split, classes) for split in ("train", "test"))
        return SmallNYUv2(first, second, options, workers=workers)


class SmallNYUv2(NYUv2):
    """NYUv2 read from the small archive."""

    source = (
        "NYUv2 at a small size. There is no validation split. Depth has 256 levels of 4 cm each. Normals are not "
        "measured: they are computed from that depth, pixel by pixel. Label 39 of 40 (void and other properties) is "
        "ignored."
    )


class Archive:
    """Scenes stored as `<split>/{image/<n>.jpg, depth/<n>.png, label40/<n>.png}` in one ZIP file.

    Args:
        file: the archive.
        split: `train` or `test`.
        classes: class of each of the 40 fine labels, (40,); -1 for none.
    """

    def __init__(self, file: Path, split: str, classes: NDArray[np.int64]) -> None:
        self.file, self.split, self.classes = file, split, classes
        self._open: zipfile.ZipFile | None = None
        names = set(self._archive().namelist())
        self.numbers = sorted(m[1] for name in names if (m := re.fullmatch(rf"{split}/image/(\d+)\.jpg", name)))
        if not self.numbers:
            raise UserError(f"{file} contains no {split}/image/<n>.jpg")
        for number in self.numbers:
            for name in self._names(number)[1:]:
                if name not in names:
                    raise UserError(f"{file} contains {split}/image/{number}.jpg but not {name}")

    def __len__(self) -> int:
        return len(self.numbers)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open archive out of the pickled state; every process opens it for itself."""
        return {**self.__dict__, "_open": None}

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """Read a scene as `Reader.read` does."""
        image, depth, label = (self._picture(name) for name in self._names(self.numbers[row]))
        if image.ndim != 3 or image.shape[2] != 3 or not image.shape[:2] == depth.shape == label.shape:
            raise UserError(
                f"{self.file}, {self.split} {self.numbers[row]}: the shapes of image {image.shape}, "
                f"depth {depth.shape} and label {label.shape} do not match"
            )
        if label.max() >= _FINE:
            raise UserError(
                f"{self.file}, {self._names(self.numbers[row])[2]}: found the label {label.max()}; labels are 0 to 39"
            )
        metres = torch.from_numpy(depth.astype(np.float32) * _METRES)[None]
        scene = {
            "image": torch.from_numpy(image.astype(np.float32) / 255).movedim(-1, 0),
            "label": torch.from_numpy(self.classes[label].astype(np.float32)),
            "depth": metres,
            "normal": normals_from_depth(metres, focal=_FOCAL * depth.shape[1]),
        }
        return sample(scene, generator)

    def _names(self, number: str) -> tuple[str, str, str]:
        folder = self.split
        return f"{folder}/image/{number}.jpg", f"{folder}/depth/{number}.png", f"{folder}/label40/{number}.png"

    def _archive(self) -> zipfile.ZipFile:
        if self._open is None:
            with reading(self.file):
                self._open = zipfile.ZipFile(check_regular(self.file))
        return self._open

    def _picture(self, name: str) -> NDArray[Any]:
        image = library("PIL.Image")
        with reading(f"{name} in {self.file}"):
            with self._archive().open(name) as packed:
                data = packed.read(_PICTURE_BYTES)
            with image.open(io.BytesIO(data)) as picture:
                return np.asarray(picture)


def _thirteen(file: Path) -> NDArray[np.int64]:
    """Return the class, 0 to 12, of each of the 40 fine labels; -1 for none."""
    from scipy.io import loadmat

    with reading(f"the classes from {file}"):
        fine = loadmat(check_regular(file))["classMapping13"]["labels13"][0, 0].reshape(-1).astype(np.int64) - 1
    if len(fine) != _FINE or fine.min() < 0 or fine.max() > 12:
        raise UserError(f"{file} must map 40 labels to the classes 1 to 13")
    fine[_VOID] = -1
    return np.asarray(fine)
