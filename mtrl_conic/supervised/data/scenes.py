"""Scenes with per-pixel labels, depth and normals: the file layout of MTAN, and data augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mtrl_conic.errors import UserError
from mtrl_conic.reading import open_regular
from mtrl_conic.supervised.data.files import Reader, Sample
from mtrl_conic.supervised.data.tables import reading

Scene = dict[str, Tensor]
"""Tensors of one scene: `image` (3, H, W) with values in 0..1, integer `label` (H, W) with -1 where a pixel has no
label, `depth` (1, H, W) with 0 where it is unknown, and optionally `normal` (3, H, W), zero where it is unknown."""

SCALES = (1.0, 1.2, 1.5)


class MTANFolder:
    """Scenes stored as `<root>/<split>/{image,label,depth,normal}/<i>.npy` (Liu et al., MTAN, CVPR 2019, their code).

    Args:
        folder: folder of the split.
        classes: number of classes; labels are -1 to classes - 1.
        label: name of the folder that contains the labels.
        normals: whether the data set contains surface normals.

    Raises:
        UserError: a folder is missing or empty, or a file that belongs to an image is missing.
    """

    def __init__(self, folder: Path, *, classes: int, label: str = "label", normals: bool) -> None:
        self.folder, self.classes = folder, classes
        self.kinds = {"image": "image", "label": label, "depth": "depth"} | ({"normal": "normal"} if normals else {})
        images = folder / "image"
        self.count = len(list(images.glob("*.npy"))) if images.is_dir() else 0
        if not self.count:
            raise UserError(
                f"{images} contains no .npy files; MTAN's layout is {{train,val}}/{{image,label,depth}}/<i>.npy"
            )
        for row in range(self.count):
            for kind in self.kinds.values():
                if not (folder / kind / f"{row}.npy").is_file():
                    raise UserError(f"{folder / kind / f'{row}.npy'} is missing: there are {self.count} images")

    def __len__(self) -> int:
        return self.count

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """Read a scene as `Reader.read` does."""
        files = {kind: self.folder / name / f"{row}.npy" for kind, name in self.kinds.items()}
        arrays = {kind: _load(file) for kind, file in files.items()}
        shape = arrays["image"].shape[:2]
        channels = {"image": 3, "depth": 1, "normal": 3}
        scene = {}
        for kind, array in arrays.items():
            expected = shape if kind == "label" else (*shape, channels[kind])
            if array.shape != expected or array.ndim < 2:
                raise UserError(f"{files[kind]} has shape {array.shape}, not {expected}")
            scene[kind] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        check_labels(files["label"], arrays["label"], self.classes)
        return sample(_channels_first(scene), generator)


def check_labels(file: object, labels: NDArray[Any], classes: int) -> None:
    """Check that the labels are whole numbers, each of them -1 or a class.

    Raises:
        UserError: a label is neither.
    """
    if len(labels) and not (labels.min() >= -1 and labels.max() < classes and (labels == np.floor(labels)).all()):
        wrong = labels[(labels < -1) | (labels >= classes) | (labels != np.floor(labels))][0]
        raise UserError(f"{file} contains the label {wrong:g}; labels are 0 to {classes - 1}, and -1 for none")


def sample(scene: Scene, generator: np.random.Generator | None) -> Sample:
    """Turn a scene into inputs and targets, and augment it if a generator is given."""
    if generator is not None:
        scene = augmented(scene, generator)
    targets = [scene["label"].to(torch.int64), scene["depth"]]
    return (scene["image"],), (*targets, *([scene["normal"]] if "normal" in scene else []))


def augmented(scene: Scene, generator: np.random.Generator) -> Scene:
    """Apply a random crop, enlarged to the full size by a factor of 1, 1.2 or 1.5, and a random horizontal flip.
    Depth is divided by the factor, because nearer objects look larger. A flip negates the first component of the
    normals. Labels and depth are resized with nearest neighbours, images and normals bilinearly.
    """
    height, width = scene["image"].shape[-2:]
    scale = SCALES[int(generator.integers(len(SCALES)))]
    rows, columns = int(height / scale), int(width / scale)
    top, left = int(generator.integers(height - rows + 1)), int(generator.integers(width - columns + 1))
    made = {
        kind: _resized(part[..., top : top + rows, left : left + columns], kind, (height, width))
        for kind, part in scene.items()
    }
    made["depth"] = made["depth"] / scale
    if generator.random() < 0.5:
        made = {kind: part.flip(-1) for kind, part in made.items()}
        if "normal" in made:
            made["normal"] = made["normal"] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    return made


def _resized(part: Tensor, kind: str, size: tuple[int, int]) -> Tensor:
    batched = part.reshape(1, -1, *part.shape[-2:]).float()
    if kind in ("label", "depth"):
        made = functional.interpolate(batched, size=size, mode="nearest")
    else:
        made = functional.interpolate(batched, size=size, mode="bilinear", align_corners=True)
    return made.reshape(*part.shape[:-2], *size)


class Kept:
    """Scenes of a reader, reduced in size and cached in memory once they have been read.

    Args:
        reader: a reader whose rows are not augmented if no generator is given.
        shrink: factor by which the sides of the images are divided. Pixels of the image are averaged; of labels,
            depth and normals every `shrink`-th pixel is kept.
    """

    def __init__(self, reader: Reader, shrink: int) -> None:
        self.reader, self.shrink = reader, shrink
        self._scenes: dict[int, Scene] = {}

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, row: int, generator: np.random.Generator | None) -> Sample:
        """Read a scene as `Reader.read` does."""
        if row not in self._scenes:
            (image,), targets = self.reader.read(row, None)
            scene = {"image": functional.avg_pool2d(image, self.shrink)}
            height, width = (side * self.shrink for side in scene["image"].shape[-2:])
            for kind, part in zip(("label", "depth", "normal"), targets, strict=False):
                scene[kind] = part[..., : height : self.shrink, : width : self.shrink].clone()
            self._scenes[row] = scene
        return sample(self._scenes[row], generator)


def normals_from_depth(depth: Tensor, *, focal: float) -> Tensor:
    """Compute unit surface normals (3, H, W) from a depth map (1, H, W); they are zero where depth is missing.

    Pixels are back-projected with a pinhole camera whose principal point is the centre of the image. A normal is the
    cross product of the central differences along the two axes, turned towards the camera. The axes are x to the
    right, y down and z away from the camera, so a wall that faces the camera has the normal (0, 0, -1). A normal is
    also missing where the depth of a neighbouring pixel is missing.

    Args:
        depth: depth in metres, 0 where it is missing.
        focal: focal length in pixels.
    """
    height, width = depth.shape[-2:]
    rows = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    points = torch.cat([depth * columns / focal, depth * rows[:, None] / focal, depth])
    padded = functional.pad(points[None], (1, 1, 1, 1), mode="replicate")[0]
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    normal = functional.normalize(torch.linalg.cross(down, across, dim=0), dim=0)
    valid = padded[2:] > 0
    around = valid[:, 1:-1, 2:] & valid[:, 1:-1, :-2] & valid[:, 2:, 1:-1] & valid[:, :-2, 1:-1] & (depth > 0)
    return normal * around


def _channels_first(scene: Scene) -> Scene:
    return {kind: part if kind == "label" else part.movedim(-1, 0) for kind, part in scene.items()}


def _load(file: Path) -> NDArray[Any]:
    with reading(file), open_regular(file) as opened:
        array: NDArray[Any] = np.load(opened, allow_pickle=False)
    return array


def stacked_shape(readers: Sequence[Any]) -> tuple[int, int]:
    """Return the size (H, W) of the images, taken from the first image of each reader.

    Raises:
        UserError: the sizes differ.
    """
    shapes = {tuple(reader.read(0, None)[0][0].shape[-2:]) for reader in readers}
    if len(shapes) > 1:
        raise UserError(f"the images have different sizes: {', '.join(map(str, sorted(shapes)))}")
    height, width = shapes.pop()
    return height, width
