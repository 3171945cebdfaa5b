"""Write a report of runs with tables, confidence intervals, learning curves, conflicts and cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtrl_conic import files
from mtrl_conic.cli.flags import whole
from mtrl_conic.cli.terminal import say
from mtrl_conic.errors import UserError, unknown

if TYPE_CHECKING:
    from mtrl_conic.report.figure_files import Look
    from mtrl_conic.report.page import Report

FORMATS = ("html", "md", "csv", "tex")


EXAMPLES = {
    "a self-contained page": "mtrl-conic report runs/cmp --out report.html",
    "the main table for a paper, and figures for one column": "mtrl-conic report runs/cmp --out table.tex "
    "--figures figures --figure-width 3.25",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs, the file to write, and what it contains."""
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="run directories, or folders that contain some"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, whose suffix .html, .md, .csv or .tex chooses the format",
    )
    parser.add_argument(
        "--format",
        help=(
            "format: html (a self-contained page), md (its tables), csv (all evaluations) or tex (tables for LaTeX) "
            "[that of the suffix of --out]"
        ),
    )
    parser.add_argument(
        "--baseline", metavar="METHOD", help="method that the others are compared with [ls, otherwise the first]"
    )
    parser.add_argument(
        "--methods", nargs="+", default=[], metavar="METHOD", help="methods of the report, in this order [all]"
    )
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="folder to which every figure is also written as SVG and PDF"
    )
    parser.add_argument(
        "--figure-width",
        type=float,
        metavar="INCHES",
        help="width of the figures, such as 3.25 for one column [as in the report]",
    )
    parser.add_argument("--figure-font", metavar="NAME", help="font of the figures, such as Helvetica [sans-serif]")
    parser.add_argument("--figure-font-size", type=float, metavar="POINTS", help="font size of the figures [8]")
    parser.add_argument(
        "--reference",
        nargs="+",
        default=[],
        metavar="PROTOCOL=FILE",
        help=(
            "published curves to add, each with its protocol and a CSV file with the columns "
            "number_of_environment_steps and mean"
        ),
    )
    for kind, at in (("random", "0"), ("reference", "1")):
        parser.add_argument(
            f"--{kind}-returns",
            type=Path,
            metavar="FILE",
            help=f"returns that are normalised to {at}: a file of `evaluate --json`, or YAML lines `task: return`",
        )
    parser.add_argument("--seed", type=whole, default=0, help="seed of the bootstrap [0]")


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    kind = arguments.format or arguments.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed}: must be 0 or more")
    from mtrl_conic.report import page
    from mtrl_conic.report.figure_files import write_figures

    look = _look(arguments)
    report = _report(arguments)
    write = {"html": page.html, "md": page.as_markdown, "csv": page.as_csv, "tex": page.as_tex}[kind]
    files.check_place(arguments.out)
    if arguments.figures:
        with files.told_of(arguments.figures):  # reports an unusable folder before anything is written
            arguments.figures.mkdir(parents=True, exist_ok=True)
    files.write(arguments.out, write(report))
    say(f"Written: {arguments.out}")
    if arguments.figures:
        written = write_figures(report.figures, arguments.figures, look)
        say(f"Written: {len(written)} files in {arguments.figures}")
    return 0


def _look(arguments: argparse.Namespace) -> Look | None:
    """Return the look of the figures; None means as in the report."""
    from mtrl_conic.report.figure_files import Look

    given = {name: getattr(arguments, f"figure_{name}") for name in ("width", "font", "font_size")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not arguments.figures:
        raise UserError(f"--figure-{next(iter(given)).replace('_', '-')} needs --figures DIR")
    return Look(**given) if given else None


def _report(arguments: argparse.Namespace) -> Report:
    from mtrl_conic.report.sources import find

    found = find(arguments.folders)
    for words in found.skipped:
        say(f"skipped: {words}")
    if found.kind == "supervised":
        for option in ("reference", "random_returns", "reference_returns"):
            if getattr(arguments, option):
                raise UserError(
                    f"--{option.replace('_', '-')} applies to runs of an agent, not of a supervised problem"
                )
        from mtrl_conic.report.supervised import report as supervised
        from mtrl_conic.report.supervised.source import summarise

        return supervised.make_report(
            summarise(found.directories), baseline=arguments.baseline, methods=arguments.methods
        )
    from mtrl_conic.report.reinforcement.reference import read_reference
    from mtrl_conic.report.reinforcement.report import make_report
    from mtrl_conic.report.reinforcement.scale import read_scale
    from mtrl_conic.report.reinforcement.source import load

    runs = load(found.directories).only(arguments.methods)
    return make_report(
        runs,
        baseline=arguments.baseline,
        seed=arguments.seed,
        reference=[point for given in arguments.reference for point in read_reference(given, len(runs.tasks))],
        scale=read_scale(arguments.random_returns, arguments.reference_returns, runs.tasks, runs.methods[0].config),
    )
