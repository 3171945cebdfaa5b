"""Figures as SVG and PDF files for a paper, with a given column width and font."""

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
"""Points per inch. One pixel of a specification becomes one point."""
_COLUMN = 200
"""Minimal width of a small chart in points, including its axis."""
_HEIGHT = 0.6
"""Maximal height of a chart of measured numbers, as a fraction of its width."""
_TRIES = 4
"""Number of renderings. The size of axes and legends is known only after rendering, so the width is adjusted."""


@dataclass(frozen=True)
class Look:
    """The appearance of figures for a paper."""

    width: float | None = None
    """Width in inches; None keeps the width that the figure has on the page."""
    font: str = "sans-serif"
    font_size: float = 8.0
    """Points."""

    def __post_init__(self) -> None:
        if self.width is not None and not 1 <= self.width <= 50:
            raise UserError(f"figure width {self.width:g}: it must be between 1 and 50 inches")
        if not 2 <= self.font_size <= 72:
            raise UserError(f"font size {self.font_size:g}: it must be between 2 and 72 points")

    @property
    def config(self) -> dict[str, Any]:
        """Return the `config` of a Vega-Lite specification."""
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
    """Write every figure as SVG and PDF.

    Args:
        figures: figures of a report.
        folder: folder, which is created if it does not exist.
        look: the appearance; None keeps that of the page.

    Returns:
        The paths of the files.

    Raises:
        UserError: a file cannot be written; an earlier version of it is kept.
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
    """Return a specification with the font and the width of `look`."""
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
    """Return whether the height can be chosen. An axis of names determines the height by its rows."""
    layers = [specification, *specification.get("layer", [])]
    return all(layer.get("encoding", {}).get("y", {}).get("type", "quantitative") == "quantitative" for layer in layers)


def drawn_width(svg: str) -> float:
    """Return the width of an SVG in pixels."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)"', svg)
    assert found is not None
    return float(found[1])
