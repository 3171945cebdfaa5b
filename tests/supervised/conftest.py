"""Tiny files in the formats of the problems."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

NUMERIC = (0, 5, 16, 17, 18, 30, 39)


def census_line(generator: np.random.Generator) -> str:
    """A row that the labels can be guessed from."""
    rich, single, learned = generator.random(3) < 0.5
    cells = [str(generator.choice(["Private", "Self", "?"])) for _ in range(42)]
    for column in NUMERIC:
        cells[column] = str(generator.integers(50))
    cells[0] = str(20 + 30 * (not single) + generator.integers(10))
    cells[16] = str(5000 * rich + generator.integers(10))
    cells[9] = "Professional" if learned else "Other"
    cells[4] = "Bachelors degree(BA AB BS)" if learned else "High school graduate"
    cells[7] = "Never married" if single else "Divorced"
    cells[24] = "1700.09"
    cells[41] = "50000+." if rich else "- 50000."
    return ", ".join(cells)


def write_census(folder: Path, rows: int = 300) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name in ("census-income.data", "census-income.test"):
        (folder / name).write_text("".join(census_line(generator) + "\n" for _ in range(rows)))
    return folder


def write_mtan(
    folder: Path, *, classes: int, label: str, normals: bool, size: tuple[int, int], images: int = 4
) -> Path:
    """MTAN's layout: root/{train,val}/{image,label,depth,normal}/<i>.npy."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for row in range(images):
            arrays = {
                "image": generator.random((*size, 3)),
                label: generator.integers(-1, classes, size).astype(np.float64),
                "depth": generator.random((*size, 1)) * (generator.random((*size, 1)) < 0.9),
            }
            if normals:
                vectors = generator.normal(size=(*size, 3))
                arrays["normal"] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
            for kind, array in arrays.items():
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                np.save(folder / split / kind / f"{row}.npy", array)
    return folder


def write_celeba(folder: Path, *, images: int = 12) -> Path:
    """The original layout: forty attributes in Anno, the split in Eval, pictures of 178x218 in Img."""
    generator = np.random.default_rng(0)
    for name in ("Anno", "Eval", "Img/img_align_celeba"):
        (folder / name).mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, images + 1)]
    for name in names:
        pixels = generator.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "Img" / "img_align_celeba" / name)
    attributes = " ".join(f"Attribute_{i}" for i in range(40))
    rows = [" ".join([name, *(f"{v:2d}" for v in generator.choice([-1, 1], 40))]) for name in names]
    (folder / "Anno" / "list_attr_celeba.txt").write_text(f"{images}\n{attributes} \n" + "\n".join(rows) + "\n")
    parts = [f"{name} {0 if i < images - 4 else 1 if i < images - 2 else 2}" for i, name in enumerate(names)]
    (folder / "Eval" / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return folder


def write_archive(folder: Path, *, images: int = 3, size: tuple[int, int] = (32, 48)) -> Path:
    """The small archive of NYUv2 with its map of classes."""
    generator = np.random.default_rng(0)
    (folder / "meta").mkdir(parents=True)
    labels = np.zeros((1,), dtype=[("labels13", "O"), ("classNames", "O")])
    labels[0] = (np.arange(40, dtype=np.uint8)[None] % 13 + 1, np.array(["bed"]))
    savemat(folder / "meta" / "class13Mapping.mat", {"classMapping13": labels})
    with zipfile.ZipFile(folder / "nyuv2.zip", "w") as archive:
        for split in ("train", "test"):
            for number in range(1, images + 1):
                pictures = {
                    "image": ("jpg", generator.integers(0, 256, (*size, 3), dtype=np.uint8)),
                    "depth": ("png", generator.integers(20, 200, size, dtype=np.uint8)),
                    "label40": ("png", generator.integers(0, 40, size, dtype=np.uint8)),
                }
                for kind, (ending, pixels) in pictures.items():
                    data = io.BytesIO()
                    Image.fromarray(pixels).save(data, "JPEG" if ending == "jpg" else "PNG")
                    archive.writestr(f"{split}/{kind}/{number:04d}.{ending}", data.getvalue())
    return folder


def write_kuairand(file: Path, rows: int = 400) -> Path:
    generator = np.random.default_rng(0)
    day = 20220425 + np.arange(rows) * 6 // rows
    columns = {
        "user_id": generator.integers(0, 12, rows),
        "video_id": generator.integers(0, 50, rows),
        "author_id": generator.integers(0, 9, rows),
        "tab": generator.integers(0, 3, rows),
        "tag": generator.integers(-1, 4, rows),
        "date": day,
        "hourmin": 100 * generator.integers(0, 24, rows),
        "is_click": (generator.random(rows) < 0.8).astype(np.int8),
        "duration_ms": generator.integers(1000, 90_000, rows),
        "user_ids": np.arange(12)[::-1].copy(),
        "user_cat": generator.integers(-1, 3, (12, 4)),
    }
    columns |= {
        name: (generator.random(rows) < 0.5).astype(np.int8) for name in ("long_view", "is_profile_enter", "is_like")
    }
    np.savez(file, **columns)
    return file


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """A folder of the real data, or the test is skipped."""

    def find(name: str) -> Path:
        root = os.environ.get("MTRL_CONIC_DATA")
        if root is None or not (Path(root) / name).exists():
            pytest.skip(f"set MTRL_CONIC_DATA to a folder that holds {name}")
        return Path(root) / name

    return find


def records(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
