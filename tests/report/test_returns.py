"""Tests of returns as a measure: alone, beside success, and normalised."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mtrl_conic.cli import main
from mtrl_conic.evaluation import estimates
from mtrl_conic.evaluation.words import estimate
from mtrl_conic.report.figure_files import write_figures
from mtrl_conic.report.page import html
from mtrl_conic.report.reinforcement.report import make_report

from .conftest import LAB, load, results, write_lab, write_run
from .test_report import Page, marks

RATED = LAB[2:]


def returns(folder: Path, balancer: str) -> np.ndarray:
    """Return the final returns of R runs on K tasks, of shape (R, K)."""
    return np.array([[result["returns"][task] for task in LAB] for result in results(folder)[balancer]])


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Return a folder of runs on four tasks, none of which defines success."""
    return write_lab(tmp_path / "lab", rated=())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder of runs on four tasks, two of which define success."""
    return write_lab(tmp_path / "mixed", rated=RATED)


def test_tasks_without_success_are_compared_by_their_returns(lab: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(lab), "--out", str(out)]) == 0
    page = Page(out.read_text())
    for balancer in ("ls", "conicgrad"):
        for task, column in zip(LAB, returns(lab, balancer).T, strict=True):
            text, value = page.tables["table-return_tasks"][task, balancer]
            assert value == pytest.approx(column.mean())
            half = stats.t.ppf(0.975, 2) * column.std(ddof=1) / np.sqrt(3)
            interval = (column.mean() - half, column.mean() + half)
            assert text == estimate(estimates.Estimate(column.mean(), *interval, 3))
            curve = page.tables["table-return_over_steps"]["150", f"{balancer}: {task}"]
            assert curve[1] == pytest.approx(column.mean())
    ours, theirs = returns(lab, "conicgrad"), returns(lab, "ls")
    means = np.stack([ours.mean(0), theirs.mean(0)])
    ranks = stats.rankdata(-means, axis=0).mean(1)
    headline = page.tables["table-return_headline"]
    assert headline["conicgrad", "mean rank"][1] == pytest.approx(ranks[0])
    assert headline["ls", "mean rank"][1] == pytest.approx(ranks[1])
    assert "[" in headline["ls", "mean rank"][0]
    wins = np.mean([[(np.sign(a - b) + 1) / 2 for a in ours for b in theirs]])
    chance = page.tables["table-return_against"]["conicgrad", "probability of improvement over ls"]
    assert chance[1] == pytest.approx(wins)
    assert "No task defines success." in page.words
    assert not [name for name in page.tables if name in ("table-headline", "table-tasks", "table-speed")]


def test_a_mean_over_tasks_of_different_scales_is_not_taken(lab: Path) -> None:
    page = Page(html(make_report(load(lab))))
    assert {column for _, column in page.tables["table-return_headline"]} == {"seeds", "mean rank"}
    assert "table-return_speed" not in page.tables
    assert {column for _, column in page.tables["table-return_against"]} == {
        "probability of improvement over ls",
        "p (Holm)",
    }


def test_a_single_task_has_all_aggregates_but_those_of_a_bound(tmp_path: Path) -> None:
    folder = write_lab(tmp_path, rated=(), tasks=LAB[:1])
    page = Page(html(make_report(load(folder))))
    mean = np.mean([result["returns"][LAB[0]] for result in results(folder)["ls"]])
    headline = page.tables["table-return_headline"]
    assert headline["ls", "mean return"][1] == pytest.approx(mean)
    assert {column for _, column in headline} == {"seeds", "mean return", "interquartile mean", "mean rank"}
    assert page.tables["table-return_over_steps"]["150", "ls"][1] == pytest.approx(mean)
    assert {column for _, column in page.tables["table-return_speed"]} == {"area under the curve"}


def test_a_mixed_set_shows_both_and_leaves_nothing_out(mixed: Path) -> None:
    page = Page(html(make_report(load(mixed))))
    rates = np.array([[result["success"][task] for task in RATED] for result in results(mixed)["ls"]])
    assert page.tables["table-headline"]["ls", "mean success"][1] == pytest.approx(rates.mean())
    assert {task for task, _ in page.tables["table-tasks"]} == set(RATED)
    assert {task for task, _ in page.tables["table-return_tasks"]} == set(LAB)
    assert "Success is defined for 2 of 4 tasks: Hopper-v5, InvertedPendulum-v5." in page.words
    assert "Success is not defined for Pendulum-v1, Reacher-v5." in page.words
    for name in ("success_over_steps", "return_over_steps", "success_over_minutes", "return_over_minutes"):
        assert f"table-{name}" in page.tables
    (records,) = page.specifications["return_over_steps"]["datasets"].values()
    assert {record["task"] for record in records} == set(LAB)
    for component in ("critic", "actor"):
        assert {task for task, _ in page.tables[f"table-{component}_weights"]} == set(LAB)


def test_returns_stand_beside_success_where_all_tasks_define_it(folder: Path) -> None:
    page = Page(html(make_report(load(folder))))
    tasks = {task for task, _ in page.tables["table-tasks"]}
    assert {task for task, _ in page.tables["table-return_tasks"]} == tasks
    assert "table-return_headline" not in page.tables


def scale_files(tmp_path: Path) -> list[str]:
    """Write one file like those of `evaluate --json` and one by hand, and return the options that name them."""
    random, reference = tmp_path / "random.json", tmp_path / "reference.yaml"
    random.write_text(json.dumps({"success": {}, "returns": {task: -500 * k for k, task in enumerate(LAB)}}))
    reference.write_text("".join(f"{task}: {500 - 500 * k}\n" for k, task in enumerate(LAB)))
    return ["--random-returns", str(random), "--reference-returns", str(reference)]


def test_returns_on_one_scale_have_all_aggregates(lab: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(lab), "--out", str(out), *scale_files(tmp_path)]) == 0
    page = Page(out.read_text())
    normalised = {name: (returns(lab, name) + 500 * np.arange(4)) / 500 for name in ("ls", "conicgrad")}
    for name, scores in normalised.items():
        headline = page.tables["table-normalised_return_headline"]
        assert headline[name, "mean normalised return"][1] == pytest.approx(scores.mean())
        gap = np.maximum(1 - scores, 0).mean()
        assert headline[name, "optimality gap"][1] == pytest.approx(gap)
        assert page.tables["table-normalised_return_tasks"][LAB[1], name][1] == pytest.approx(scores[:, 1].mean())
        assert page.tables["table-return_tasks"][LAB[1], name][1] == pytest.approx(returns(lab, name)[:, 1].mean())
    difference = normalised["conicgrad"].mean() - normalised["ls"].mean()
    beside = page.tables["table-normalised_return_against"]
    assert beside["conicgrad", "paired difference"][1] == pytest.approx(difference)
    assert "Pendulum-v1: random 0, reference 500; Reacher-v5: random -500, reference 0" in page.words
    assert {"normalised_return_over_steps", "normalised_return_heat_map", "normalised_return_profiles"} <= set(
        page.specifications
    )


@pytest.mark.parametrize(
    ("random", "reference", "words"),
    [
        ("a: 0\n", None, "--random-returns and --reference-returns must be given together"),
        ("Pendulum-v1: 0\n", "Pendulum-v1: 1\n", "lacks the return of Reacher-v5; it contains Pendulum-v1"),
        ("Pendulum-v1: 1\nReacher-v5: 1\n", "Pendulum-v1: 1\nReacher-v5: 2\n", "the same return of Pendulum-v1"),
        ("Pendulum-v1: low\nReacher-v5: 1\n", "", "contains no returns"),
        ("[1, 2]", "", "contains no returns"),
        ("{", "", "is not valid YAML"),
        (
            json.dumps({"returns": {"Pendulum-v1": 1, "Reacher-v5": 1}, "environment": {"time_limit": 50}}),
            "Pendulum-v1: 0\nReacher-v5: 0\n",
            "is of environments with time_limit=50, and the runs have None",
        ),
    ],
)
def test_a_wrong_scale_is_one_line(
    random: str, reference: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", "ls", 0, tasks=LAB[:2], rated=(), task_set=[f"gymnasium:{task}" for task in LAB[:2]])
    arguments = ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report.html")]
    for option, text in (("random", random), ("reference", reference)):
        if text is not None:
            (tmp_path / option).write_text(text)
            arguments += [f"--{option}-returns", str(tmp_path / option)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert main([*arguments[:-1], str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "report.html").exists()


def test_published_curves_of_success_need_success(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "curve.csv").write_text("number_of_environment_steps,mean\n40,0.1\n")
    arguments = ["report", str(lab), "--out", str(lab / "out.html"), "--reference", f"V2={lab / 'curve.csv'}"]
    assert main(arguments) == 2
    assert "but no task of these runs defines success" in capsys.readouterr().err


def test_one_method_with_one_seed_is_a_report_too(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "ls", 0, tasks=LAB[:2], rated=(), task_set=[f"gymnasium:{task}" for task in LAB[:2]])
    page = Page(html(make_report(load(tmp_path))))
    (result,) = results(tmp_path)["ls"]
    for task, value in result["returns"].items():
        assert page.tables["table-return_tasks"][task, "ls"][1] == value


def test_figures_of_returns_draw_and_hide(mixed: Path, tmp_path: Path) -> None:
    report = make_report(load(mixed))
    figures = {figure.name: figure for figure in report.figures}
    small = figures["return_over_steps"]
    assert marks(small, []) > marks(small, ["ls"]) > marks(small, ["ls", "conicgrad"]) == 0
    written = write_figures(report.figures, tmp_path / "figures")
    assert len(written) == 2 * len(figures)


def test_rows_of_all_tasks(mixed: Path, tmp_path: Path) -> None:
    assert main(["report", str(mixed), "--out", str(tmp_path / "rows.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert len(rows) == 6 * 3 * len(LAB)
    assert {row["task"] for row in rows if row["success"]} == set(RATED)
    finals = [float(row["return"]) for row in rows if (row["method"], row["evaluation"]) == ("ls", "final")]
    assert np.mean(finals) == pytest.approx(returns(mixed, "ls").mean())
