"""Each folder of kept results says how it was made and shows a picture or a table."""

from __future__ import annotations

import csv
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from mtrl_conic.cli import main
from mtrl_conic.cli.bench import MEASURES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAGES = sorted(RESULTS.rglob("README.md"))
FOLDERS = sorted({file.parent for file in RESULTS.rglob("*") if file.is_file()} - {RESULTS, RESULTS / "mt10"})
SCRIPT = re.compile(r"scripts/[\w/.-]+\.(?:sh|py)")
LARGEST = 100_000
"""Bytes of a picture."""


def linked(page: Path) -> set[Path]:
    return {page.parent / link for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(RESULTS)))
def test_a_folder_shows_its_command_and_a_picture_or_table(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert "```sh\n" in page, "no command"
    assert "![" in page or "|---|" in page, "neither a picture nor a table"
    name = folder.relative_to(RESULTS)
    assert (ROOT / "scripts" / f"{name}.sh").is_file(), "no script of the same name"


def test_pictures_exist_are_small_and_are_shown() -> None:
    shown = {path for page in PAGES for path in linked(page)}
    assert all(path.is_file() for path in shown)
    drawn = set(RESULTS.rglob("*.png"))
    assert drawn <= shown
    assert [path for path in drawn if path.stat().st_size > LARGEST] == []


def test_scripts_that_are_named_exist() -> None:
    scripts = ROOT / "scripts"
    named = {name for page in PAGES for name in SCRIPT.findall(page.read_text())}
    table = (scripts / "README.md").read_text()
    named |= {f"scripts/{name}" for name in re.findall(r"`([\w/]+\.(?:sh|py))`", table)}
    named |= {name for script in scripts.rglob("*.sh") for name in SCRIPT.findall(script.read_text())}
    assert len(named) > 20
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_the_benchmarks_of_the_script_are_commands() -> None:
    named = re.findall(r"^bench ([\w-]+)", (ROOT / "scripts" / "bench.sh").read_text(), re.MULTILINE)
    assert set(named) == set(MEASURES)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module(request.param)


def write(file: Path, rows: list[dict[str, object]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def row(seed: int, step: int, success: float, balancer: str = "ls") -> dict[str, object]:
    values = {"step": step, "seconds": 60, "task": "reach-v3", "success": success, "return": 9 * success}
    return {**values, "seed": seed, "balancer": balancer}


@pytest.mark.parametrize("script", ["draw_curves"], indirect=True)
def test_each_experiment_of_a_folder_is_a_curve(script: ModuleType, tmp_path: Path) -> None:
    for name, rate in (("one", 0.25), ("two", 0.75)):
        (tmp_path / f"{name}.yaml").touch()
        write(tmp_path / f"{name}.csv", [row(0, 10, 0.0), row(0, 20, rate)])
    write(tmp_path / "others.csv", [{"step": 1}])
    comparison = script.read(tmp_path)
    assert comparison.labels == ["one", "two"]
    assert [method.runs[0].result["success"]["reach-v3"] for method in comparison.methods] == [0.25, 0.75]


@pytest.mark.parametrize("script", ["draw_finals"], indirect=True)
def test_final_numbers_are_those_of_the_last_evaluation(script: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "curves.csv", [row(0, 10, 0.1), row(0, 20, 0.2), row(1, 25, 0.5)])
    values = next(iter(script.agents(tmp_path).to_dict()["datasets"].values()))
    assert sorted(value["value"] for value in values) == [0.2, 0.5]
    write(tmp_path / "curves.csv", [row(0, 10, 0.5), row(0, 10, 1.0, "conicgrad")])
    drawn = script.agents(tmp_path).to_dict()
    assert {value["balancer"] for value in next(iter(drawn["datasets"].values()))} == {"ls", "conicgrad"}
    assert drawn["encoding"]["color"]["field"] == "return"
    script.draw([tmp_path])
    assert (tmp_path / "finals.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("script", ["draw_finals"], indirect=True)
def test_metrics_are_compared_with_the_single_tasks(script: ModuleType, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"method": method, "seed": 0, "metric": metric, "value": 0.5} for method in ("stl", "ls") for metric in "ab"
    ]
    write(tmp_path / "results.csv", rows)
    drawn = script.supervised(tmp_path).to_dict()
    assert drawn["facet"]["sort"] == ["a", "b"]
    assert [layer["mark"]["type"] for layer in drawn["spec"]["layer"]] == ["rule", "point", "tick"]
    write(tmp_path / "results.csv", rows[2:])
    assert len(script.supervised(tmp_path).to_dict()["spec"]["layer"]) == 2


@pytest.mark.parametrize("script", ["kept_runs"], indirect=True)
def test_the_report_of_kept_evaluations_keeps_them(script: ModuleType, tmp_path: Path) -> None:
    result = RESULTS / "mt10" / "balancers_classic"
    script.write(result, tmp_path / "runs")
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "evaluations.csv")]) == 0
    kept, again = (script.read_rows(folder / "evaluations.csv") for folder in (result, tmp_path))
    assert [row | {"run": ""} for row in again] == [row | {"run": ""} for row in kept]
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report.md")]) == 0
    assert "unknown, ? of ? cores" in (tmp_path / "report.md").read_text()
