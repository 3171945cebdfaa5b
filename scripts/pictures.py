"""The writing of small PNG pictures, which the scripts that draw a kept result share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

COLOURS = 256
"""The number of colours of a picture; its file is then about a third as large."""


def write_png(specification: dict[str, Any], path: Path) -> None:
    """Render a Vega-Lite specification on white to `path`."""
    image = vl_convert.vegalite_to_png(specification | {"background": "white"}, scale=1.5)
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
