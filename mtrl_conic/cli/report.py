"""One page of evidence from runs: tables with intervals, learning curves, conflict, cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtrl_conic.errors import UserError, unknown

FORMATS = ("html", "md", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and what to write."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="runs, or folders that hold some")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="report.html, .md or .csv")
    parser.add_argument("--format", help="html: one page that needs no network; md: its tables; csv: every evaluation")
    parser.add_argument("--baseline", metavar="METHOD", help="held against the others [ls, or else the first]")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write every figure there as SVG and PDF")
    parser.add_argument(
        "--reference",
        nargs="+",
        default=[],
        metavar="PROTOCOL=FILE",
        help="published curves to lay over: a CSV with number_of_environment_steps and mean, and what it measured",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap [0]")


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    kind = arguments.format or arguments.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed}: 0 or more")
    from mtrl_conic.report import render
    from mtrl_conic.report.data import load
    from mtrl_conic.report.reference import read_reference

    runs = load(arguments.folders)
    reference = [point for given in arguments.reference for point in read_reference(given, len(runs.tasks))]
    report = render.make_report(runs, baseline=arguments.baseline, seed=arguments.seed, reference=reference)
    write = {"html": render.html, "md": render.as_markdown, "csv": render.as_csv}[kind]
    try:
        arguments.out.write_text(write(report))
        print(f"Written: {arguments.out}")
        if arguments.figures:
            written = render.write_figures(report, arguments.figures)
            print(f"Written: {len(written)} files in {arguments.figures}")
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None
    return 0
