"""Tests of tables and figures for a paper: LaTeX whose marks the intervals support, figures that fit a column."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.escaping import in_latex
from mtrl_conic.evaluation.estimates import Estimate
from mtrl_conic.report.charts import DASHES, SHAPES, styles
from mtrl_conic.report.figure_files import Look, drawn_width, fitted, write_figures
from mtrl_conic.report.latex import BEST, SECOND, as_latex, marks
from mtrl_conic.report.reinforcement.report import make_report
from mtrl_conic.report.tables import Table, Worded

from .conftest import LAB, load, write_lab, write_run


def cell(value: float, half: float = 0.05, runs: int = 5) -> Estimate:
    return Estimate(value, value - half, value + half, runs)


@pytest.mark.parametrize(
    ("cells", "sign", "found"),
    [
        ([cell(0.9), cell(0.7), cell(0.5)], 1, {0: BEST, 1: SECOND}),
        ([cell(0.9), cell(0.7), cell(0.5)], -1, {2: BEST, 1: SECOND}),
        ([cell(0.9), cell(0.85), cell(0.5)], 1, {}),
        ([cell(0.9), cell(0.7), cell(0.65)], 1, {0: BEST}),
        ([cell(0.9), cell(0.7)], 1, {0: BEST}),
        ([cell(0.9), Estimate(0.1, None, None, 2)], 1, {}),
        ([cell(0.9, runs=4), cell(0.1, runs=4)], 1, {}),
        ([cell(0.9)], 1, {}),
        (["a", cell(0.2), None, Worded("0.9 ± 0.0", cell(0.9))], 1, {3: BEST}),
    ],
)
def test_marks_need_intervals_that_lie_apart(cells: list[Any], sign: int, found: dict[int, str]) -> None:
    assert marks(cells, sign) == found


TABLE = Table(
    "headline",
    "Final success, 50 %",
    "A note.",
    ["method", "mean_success", "gap"],
    [["ls", cell(0.5), cell(0.5)], ["conicgrad:c=0.9 & {x}", cell(0.9), cell(0.1)]],
    better={"mean_success": 1, "gap": -1},
)


def test_a_table_in_latex() -> None:
    text = as_latex([TABLE, Table("other", "Not of rivals", "", ["a"], [["b"]])], "mtrl_conic 0.1.0, today")
    assert text.startswith("% mtrl\\_conic 0.1.0, today\n% In the preamble: \\usepackage{booktabs}\n")
    assert "% A note.\n\\begin{table}" in text
    assert "\\caption{Final success, 50 \\%. Brackets: 95 \\% intervals. Bold: best. Underlined: second." in text
    assert "    method & mean\\_success & gap \\\\\n    \\midrule\n" in text
    assert "    ls & 0.500 [0.450, 0.550] & 0.500 [0.450, 0.550] \\\\\n" in text
    row = "conicgrad:c=0.9 \\& \\{x\\} & \\textbf{0.900} [0.850, 0.950] & \\textbf{0.100} [0.050, 0.150] \\\\\n"
    assert row in text
    assert "Not of rivals" not in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1


def test_rivals_side_by_side() -> None:
    table = Table("tasks", "By task", "", ["task", "a", "b"], [["x", cell(0.1), cell(0.9)]], across=1)
    assert "x & 0.100 [0.050, 0.150] & \\textbf{0.900} [0.850, 0.950] \\\\" in as_latex([table], "")


def test_everything_special_is_in_latex() -> None:
    assert in_latex("a_b&c%d$e#f{g}h") == r"a\_b\&c\%d\$e\#f\{g\}h"
    assert in_latex("\\input{x}~^") == r"\textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{}"
    assert in_latex("a\x1b[31m\nb") == r"a\textbackslash{}x1b[31m\textbackslash{}nb"


def test_the_command_writes_tables_for_latex(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.tex"
    assert main(["report", str(folder), "--out", str(out), "--methods", "ls", "conicgrad"]) == 0
    text = out.read_text()
    assert text.count("\\begin{table}") == text.count("\\end{table}") >= 2
    rows = [line.split(" & ")[0].strip() for line in text.splitlines() if " & " in line]
    assert rows[:3] == ["method", "ls", "conicgrad"], "in the order that was asked for"
    assert "\\textbf" not in text, "three seeds support nothing"
    if shutil.which("pdflatex"):
        whole = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\end{document}"
        (tmp_path / "paper.tex").write_text(whole)
        subprocess.run(["pdflatex", "-halt-on-error", "paper.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_methods_and_their_order(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = load(folder)
    assert comparison.only([]).labels == comparison.labels == ["conicgrad", "ls"]
    assert comparison.only(["ls", "conicgrad", "ls"]).labels == ["ls", "conicgrad"]
    assert make_report(comparison.only(["ls"])).result.startswith("There is only one method, ls")
    assert main(["report", str(folder), "--out", str(tmp_path / "x.md"), "--methods", "conicgard"]) == 2
    assert "unknown method 'conicgard'; did you mean 'conicgrad'?" in capsys.readouterr().err


@pytest.mark.parametrize("width", [3.25, 6.75])
def test_figures_fit_their_column(folder: Path, tmp_path: Path, width: float) -> None:
    report = make_report(load(folder))
    look = Look(width=width, font="serif", font_size=7)
    for figure in report.figures:
        import vl_convert

        specification = fitted(figure.specification, look)
        svg = vl_convert.vegalite_to_svg(specification)
        assert drawn_width(svg) == pytest.approx(72 * width, abs=3), figure.name
        assert 'font-family="serif"' in svg
        assert 'font-size="7px"' in svg
    first = fitted(report.figures[0].specification, look)
    assert first["height"] < 0.7 * 72 * width, "no taller than it is wide"
    (svg_file, pdf) = write_figures(report.figures[:1], tmp_path / "figures", look)
    assert drawn_width(svg_file.read_text()) == pytest.approx(72 * width, abs=3)
    box = re.search(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)", pdf.read_bytes())
    assert box is not None
    assert float(box[1]) == pytest.approx(72 * width, abs=3), "a pixel is a point"


def test_small_charts_fit_a_column(tmp_path: Path) -> None:
    import vl_convert

    report = make_report(load(write_lab(tmp_path, rated=LAB[2:])))
    (figure,) = (figure for figure in report.figures if figure.name == "return_over_steps")
    for width in (3.25, 6.75):
        svg = vl_convert.vegalite_to_svg(fitted(figure.specification, Look(width=width)))
        assert drawn_width(svg) == pytest.approx(72 * width, abs=3)


def test_a_look_that_cannot_be(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="figure width -1: it must be between 1 and 50 inches"):
        Look(width=-1)
    with pytest.raises(UserError, match="it must be between 2 and 72 points"):
        Look(font_size=float("nan"))
    assert main(["report", str(folder), "--out", str(tmp_path / "r.html"), "--figure-width", "3"]) == 2
    assert "--figure-width needs --figures DIR" in capsys.readouterr().err


def test_no_two_methods_look_the_same_without_colour() -> None:
    found = styles([str(number) for number in range(len(SHAPES) * len(DASHES))])
    assert len({(style.shape, style.dash) for style in found.values()}) == len(found)


def test_single_seeds_are_thin_lines_where_there_is_no_interval(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "few" / f"seed_{seed}", "ls", seed)
    report = make_report(load(tmp_path / "few"))
    (records,) = report.figures[0].specification["datasets"].values()
    assert {(record["seed"], record["step"]) for record in records if "seed" in record} == {
        (seed, step) for seed in (0, 1) for step in (50, 100, 150)
    }
    write_run(tmp_path / "few" / "seed_2", "ls", 2)
    report = make_report(load(tmp_path / "few"))
    (records,) = report.figures[0].specification["datasets"].values()
    assert not [record for record in records if "seed" in record], "three have an interval"


def test_maps_have_a_chart_per_method(folder: Path) -> None:
    report = make_report(load(folder))
    (figure,) = (figure for figure in report.figures if figure.name == "tasks_over_steps")
    assert figure.specification["facet"]["field"] == "method"
    tasks = {record["task"] for records in figure.specification["datasets"].values() for record in records}
    assert not [task for task in tasks if task.endswith("-v3")]
