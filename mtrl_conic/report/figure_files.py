"""Figures as files for a paper: SVG and PDF, of the width and with the letters of its column."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtrl_conic import files
from mtrl_conic.errors import UserError
from mtrl_conic.escaping import as_file_name
from mtrl_conic.report.charts import Figure

POINTS = 72
"""Of an inch; a pixel of a specification becomes one of them."""
_COLUMN = 200
"""Points that a small chart has at least, its axis included."""
_HEIGHT = 0.6
"""Of a chart of measured numbers, as part of its width, at most."""
_TRIES = 4
"""Drawings until axes and legends, whose size comes out of the drawing, leave the width that was asked for."""


@dataclass(frozen=True)
class Look:
    """What figures for a paper look like."""

    width: float | None = None
    """Inches; None: as wide as on the page."""
    font: str = "sans-serif"
    font_size: float = 8.0
    """Points."""

    def __post_init__(self) -> None:
        if self.width is not None and not 1 <= self.width <= 50:
            raise UserError(f"a figure of {self.width:g} inches: 1 to 50")
        if not 2 <= self.font_size <= 72:
            raise UserError(f"letters of {self.font_size:g} points: 2 to 72")

    @property
    def config(self) -> dict[str, Any]:
        """Of a specification in Vega-Lite."""
        size = self.font_size
        letters = {"labelFontSize": size, "titleFontSize": size, "titleFontWeight": "normal"}
        legend = {"orient": "bottom", "columns": 2, "symbolSize": 4 * size, "gradientLength": 100} if self.width else {}
        return {
            "font": self.font,
            "axis": {**letters, "labelSeparation": size / 2, "tickSize": 3},
            "legend": {**letters, **legend},
            "header": {**letters, "labelFontSize": size},
            "text": {"fontSize": size},
            "view": {"stroke": None},
        }


def write_figures(figures: Sequence[Figure], folder: Path, look: Look | None = None) -> list[Path]:
    """Every figure as SVG and PDF.

    Args:
        figures: of a report.
        folder: made where it is missing.
        look: None: as on the page.

    Returns:
        The files.

    Raises:
        UserError: a file cannot be written; what was there before is still there.
    """
    import vl_convert

    with files.told_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        specification = figure.specification if look is None else fitted(figure.specification, look)
        svg = vl_convert.vegalite_to_svg(specification)
        for suffix, data in ((".svg", svg.encode()), (".pdf", vl_convert.svg_to_pdf(svg))):
            file = folder / f"{as_file_name(figure.name)}{suffix}"
            files.write(file, data)
            written.append(file)
    return written


def fitted(specification: dict[str, Any], look: Look) -> dict[str, Any]:
    """A specification that draws with the letters and in the width of `look`."""
    import vl_convert

    made = copy.deepcopy(specification)
    made["config"] = look.config
    if look.width is None:
        return made
    wanted, columns, inner = look.width * POINTS, 1, made
    if "facet" in made:
        columns = made["columns"] = max(1, int(wanted // _COLUMN))
        inner = made["spec"]
    inner["width"] = wanted / columns
    if _has_measured_height(inner):
        inner["height"] = min(inner["height"], round(_HEIGHT * wanted / columns))
    for _ in range(_TRIES):
        drawn = drawn_width(vl_convert.vegalite_to_svg(made))
        if abs(drawn - wanted) < 1:
            break
        inner["width"] = max(20.0, inner["width"] - (drawn - wanted) / columns)
    return made


def _has_measured_height(specification: dict[str, Any]) -> bool:
    """Whether the height is a choice: where the axis has names, it is that of their rows."""
    layers = [specification, *specification.get("layer", [])]
    return all(layer.get("encoding", {}).get("y", {}).get("type", "quantitative") == "quantitative" for layer in layers)


def drawn_width(svg: str) -> float:
    """Pixels, of a drawing."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    assert found is not None
    return float(found[1])
