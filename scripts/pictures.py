"""What the scripts that draw a kept result share: reading its tables, and writing small PNG pictures.

python scripts/pictures.py screenshot.png results/comparison/page.png
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

COLOURS = 256
"""The number of colours of a picture, as many as a palette has; its file is then about half as large."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_png(specification: dict[str, Any], path: Path) -> None:
    """Render a Vega-Lite specification on white to `path`."""
    image = vl_convert.vegalite_to_png(specification | {"background": "white"}, scale=1.25)
    write_small(Image.open(io.BytesIO(image)), path)


def write_small(picture: Image.Image, path: Path) -> None:
    """Write a picture with few colours to `path`.

    The palette covers the range of the colours. The one that Pillow selects by default follows their frequency instead,
    and thin lines of two colours then share one.
    """
    few = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write_small(Image.open(arguments.picture), arguments.out)
