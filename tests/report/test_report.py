"""Tests of the report: its numbers equal those of the JSON, its page is self-contained, its figures draw."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.evaluation import statistics
from mtrl_conic.report.charts import Figure
from mtrl_conic.report.figure_files import write_figures
from mtrl_conic.report.page import html
from mtrl_conic.report.reinforcement import source
from mtrl_conic.report.reinforcement.reference import read_reference
from mtrl_conic.report.reinforcement.report import make_report
from mtrl_conic.report.reinforcement.source import read_conflicts
from mtrl_conic.report.reinforcement.words import protocol, warnings
from mtrl_conic.runs.directory import RunDirectory
from tests.training.conftest import TASKS, tiny_values

from .conftest import load, results, write_run

FIGURES = 14


class Page(HTMLParser):
    """A parsed page: tables by id, as (row name, column name) -> (shown text, exact value), links and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, dict[tuple[str, str], tuple[str, float | None]]] = {}
        self.outside: list[str] = []
        self.specifications: dict[str, dict[str, Any]] = {}
        self.boxes: list[str] = []
        self.words = self.code = ""
        self._table, self._columns, self._row = "", list[str](), list[tuple[str, float | None]]()
        self._tag, self._attributes, self._text = "", dict[str, str | None](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.outside += [
            value for key in ("src", "href") if (value := attributes.get(key)) and not value.startswith("#")
        ]
        if tag == "input":
            self.boxes.append(str(attributes["value"]))
        if tag == "table":
            self._table, self._columns = str(attributes["id"]), []
            self.tables[self._table] = {}
        if tag == "tr":
            self._row = []
        if tag in ("th", "td", "script"):
            self._tag, self._attributes, self._text = tag, attributes, ""

    def handle_data(self, data: str) -> None:
        self._text += data
        if self._tag == "script":
            self.code += data
        else:
            self.words += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and "data-chart" in self._attributes:
            self.specifications[str(self._attributes["data-chart"])] = json.loads(self._text)
        if tag == self._tag:
            self._tag = ""
        if tag == "th" and self._attributes.get("scope") == "col":
            self._columns.append(self._text)
        elif tag in ("th", "td"):
            value = self._attributes.get("data-value")
            self._row.append((self._text, None if value is None else float(value)))
        elif tag == "tr" and self._row:
            for column, cell in zip(self._columns[1:], self._row[1:], strict=True):
                self.tables[self._table][self._row[0][0], column] = cell


@pytest.fixture
def page(folder: Path) -> Page:
    return Page(html(make_report(load(folder))))


def scores(folder: Path, balancer: str, name: str = "success") -> np.ndarray:
    return np.array([[result[name][task] for task in TASKS] for result in results(folder)[balancer]])


def test_the_pages_numbers_are_those_of_the_json(page: Page, folder: Path) -> None:
    for balancer in ("ls", "conicgrad"):
        final = scores(folder, balancer)
        table = page.tables["table-headline"]
        assert table[balancer, "seeds"] == ("3", 3)
        text, value = table[balancer, "mean success"]
        assert value == pytest.approx(final.mean(), abs=1e-15)
        estimate = statistics.bootstrap(statistics.mean, final, seed=0)
        assert text == f"{final.mean():.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        assert table[balancer, "optimality gap"][1] == pytest.approx(1 - final.mean())
        assert table[balancer, "success at last step"][1] == pytest.approx(final.mean() / 2)
        for task, column in zip(TASKS, final.T, strict=True):
            assert page.tables["table-tasks"][task, balancer][1] == pytest.approx(column.mean())
            row = f"{balancer}: {task.removesuffix('-v3')}"
            assert page.tables["table-tasks_over_steps"]["150", row][1] == pytest.approx(column.mean())
        curve = page.tables["table-success_over_steps"]
        assert curve["150", balancer][1] == pytest.approx(final.mean())
        assert {key[0] for key in curve} == {"50", "100", "150"}
    difference = scores(folder, "conicgrad").mean() - scores(folder, "ls").mean()
    assert page.tables["table-against"]["conicgrad", "paired difference"][1] == pytest.approx(difference)


def test_tasks_over_steps_cover_training_without_gaps(page: Page) -> None:
    specification = page.specifications["tasks_over_steps"]
    (records,) = specification["datasets"].values()
    assert len(records) == 2 * len(TASKS) * 3
    for method, task in {(record["method"], record["task"]) for record in records}:
        stretches = [one for one in records if (one["method"], one["task"]) == (method, task)]
        assert [(one["from"], one["to"]) for one in stretches] == [(0, 50), (50, 100), (100, 150)]


def test_cost(page: Page) -> None:
    costs = {column: cell for (method, column), cell in page.tables["table-costs"].items() if method == "ls"}
    # Each of the three runs takes 150 steps and 15 s: 8 s are updates, balancing included, and 1 s is evaluation.
    assert costs["minutes per run"][1] == pytest.approx(0.25)
    assert costs["ms per step"][1] == pytest.approx(14_000 / 150)
    assert costs["ms per step: update"][1] == pytest.approx(8_000 / 150)
    assert costs["balancing (share of update)"][0] == "25 %"
    assert costs["environments (share of time)"][0] == "20 %"
    assert costs["peak memory, MiB"][1] == pytest.approx(501)
    assert costs["machine"][0] == "cpu, 1 of 2 cores"


def test_what_a_run_did_not_measure_is_left_open(folder: Path) -> None:
    for file in folder.rglob("result.json"):
        result = json.loads(file.read_text())
        del result["peak_memory_mib"], result["seconds_by_part"]["balancing"]
        file.write_text(json.dumps(result))
    costs = Page(html(make_report(load(folder)))).tables["table-costs"]
    assert costs["ls", "peak memory, MiB"] == ("-", None)
    assert costs["ls", "balancing (share of update)"][0] == "-"
    assert costs["ls", "ms per step: update"][1] == pytest.approx(6_000 / 150)


def test_checkpoints_and_speed(page: Page, folder: Path) -> None:
    runs = [
        [json.loads(line) for line in (folder / f"ls/seed_{seed}/evaluations.jsonl").read_text().splitlines()]
        for seed in range(3)
    ]
    means = np.array([[record["mean_success"] for record in run] for run in runs])
    table = page.tables["table-checkpoints"]
    assert table["ls", "final"][1] == pytest.approx(means[:, -1].mean())
    assert table["ls", "best over training, each run's own"][1] == pytest.approx(means.max(1).mean())
    assert table["ls", "best over training, of the mean curve"][1] == pytest.approx(means.mean(0).max())
    assert table["ls", "mean of the last 5 evaluations"][1] == pytest.approx(means.mean())
    area = ((means[:, 1:] + means[:, :-1]) / 2).mean()
    assert page.tables["table-speed"]["ls", "area under the curve"][1] == pytest.approx(area)
    assert page.tables["table-speed"]["ls", "steps to 0.8"] == ("never", None)


def test_the_page_stands_alone(page: Page) -> None:
    assert page.outside == []
    assert "window.vegaEmbed=" in page.code
    assert page.boxes == ["conicgrad", "ls", "steps", "minutes"]
    for words in ("50 steps (episodes per task: 1)", "2 episodes per task", "classic base"):
        assert words in page.words


def test_missing_runs_are_told(page: Page) -> None:
    assert "training <diverged>" in page.words, "escaped in the page, whole for its reader"
    assert page.tables["table-missing"]["ls", "state"][0] == "failed"
    assert page.tables["table-missing"]["conicgrad", "state"][0] == "no such run"
    assert "1 of 7 runs are not finished, so the tables of results do not include them." in page.words


def test_every_figure_has_a_text_and_its_numbers(page: Page) -> None:
    assert len(page.specifications) == FIGURES
    for name, specification in page.specifications.items():
        assert len(specification["description"]) > 40
        assert f"table-{name}" in page.tables or name in ("heat_map", "task_bars")


def marks(figure: Figure, hidden: list[str]) -> int:
    import vl_convert

    (parameter,) = [one for one in figure.specification["params"] if one["name"] == "hidden"]
    params = [{**parameter, "value": hidden}]
    svg = vl_convert.vegalite_to_svg({**figure.specification, "params": params})
    return len(re.findall(r'aria-roledescription="(?:point|line mark|bar|area mark|rule|rect mark|text mark)"', svg))


def test_a_method_can_be_hidden(folder: Path) -> None:
    for figure in make_report(load(folder)).figures:
        everything, nothing = marks(figure, []), marks(figure, ["ls", "conicgrad"])
        assert everything > marks(figure, ["ls"]) > nothing == 0, figure.name


def test_figures_as_files(folder: Path, tmp_path: Path) -> None:
    written = write_figures(make_report(load(folder)).figures, tmp_path / "figures")
    assert len(written) == 2 * FIGURES
    for file in written:
        assert file.read_bytes().startswith(b"%PDF" if file.suffix == ".pdf" else b"<svg")


def test_few_seeds_have_no_interval(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"ls/seed_{seed}", "ls", seed)
    page = Page(html(make_report(load(tmp_path))))
    assert "Too few seeds for an interval (finished runs; 3 are needed): ls (2)" in page.words
    assert "[" not in page.tables["table-headline"]["ls", "mean success"][0]
    assert "table-against" not in page.tables


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (2, "ls (2). These runs do not show which method is better."),
        (3, "Few seeds (finished runs): ls (3). Intervals from fewer than 5 seeds are too narrow"),
        (5, None),
    ],
)
def test_few_and_short_runs_support_nothing(seeds: int, words: str | None, tmp_path: Path) -> None:
    for seed in range(seeds):
        write_run(tmp_path / f"ls/seed_{seed}", "ls", seed)
    said = " ".join(warnings(load(tmp_path)))
    assert "seeds" not in said if words is None else words in said
    assert "Short runs: at most 150 steps per task" in said


def test_runs_that_share_no_step_but_their_end(tmp_path: Path) -> None:
    """Both runs end by the clock and have a single evaluation, at different steps."""
    for seed, step in ((0, 140), (1, 150)):
        run = write_run(tmp_path / f"ls/seed_{seed}", "ls", seed, minutes=2)
        last = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
        (run / "evaluations.jsonl").write_text(json.dumps({**last, "step": step}) + "\n")
    curve = Page(html(make_report(load(tmp_path)))).tables["table-success_over_steps"]
    assert list(curve) == [("145", "ls")]
    assert curve["145", "ls"][1] == pytest.approx(scores(tmp_path, "ls").mean())


def test_runs_that_the_clock_ended(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"ls/seed_{seed}", "ls", seed, minutes=1)
    said = " ".join(warnings(load(tmp_path)))
    assert "The time budget" not in said
    file = tmp_path / "ls/seed_0/result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "step": 100}))
    assert "The time budget ended runs at different steps, 100 to 150" in " ".join(warnings(load(tmp_path)))


def test_runs_that_ended_early_are_named(tmp_path: Path) -> None:
    for seed in range(5):
        run = write_run(tmp_path / "ls" / str(seed), "ls", seed)
        write_run(tmp_path / "conicgrad" / str(seed), "conicgrad", seed, steps=100_000)
        file = tmp_path / "conicgrad" / str(seed) / "result.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "stopped": "success of 0.5"}))
    (said,) = (words for words in warnings(load(tmp_path)) if "did not end" in words)
    assert f"{tmp_path}/conicgrad/0 (150 of 100,000: success of 0.5), " in said
    assert str(run.parent) not in said


def test_words_for_learners_that_differ(tmp_path: Path) -> None:
    for network in ("shared", "multihead"):
        write_run(tmp_path / network / "seed_0", "ls", 0, agent={"network": network})
    text = " ".join(protocol(load(tmp_path)))
    assert "multihead network of 2 layers" in text
    assert "This describes ls, network=multihead; the methods differ in network." in text


def test_words_for_tasks_of_gymnasium(tmp_path: Path) -> None:
    names = ["InvertedPendulum-v5", "Reacher-v5"]
    write_run(tmp_path / "ls", "ls", 0, task_set=[f"gymnasium:{name}" for name in names])
    comparison = replace(load(tmp_path), tasks=names, with_success=names[:1])
    said = " ".join([*protocol(comparison), *warnings(comparison)])
    assert "Tasks: 2 (a list of tasks), episodes of at most the time limit of each environment" in said
    assert "150 environment steps per task, 300 in total" in said
    assert "Success is defined for 1 of 2 tasks: InvertedPendulum-v5." in said
    for word in ("goal", "v2 rewards", "published"):
        assert word not in said
    write_run(tmp_path / "cut" / "ls", "ls", 0, task_set="gymnasium-control", environment={"time_limit": 25})
    (said, *_) = protocol(load(tmp_path / "cut"))
    assert "Tasks: 3 (gymnasium-control), episodes of at most 25 steps" in said


def test_csv_holds_every_evaluation(folder: Path, tmp_path: Path) -> None:
    assert main(["report", str(folder), "--out", str(tmp_path / "rows.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert len(rows) == (6 * 3 + 1) * len(TASKS)
    final = [float(row["success"]) for row in rows if (row["method"], row["evaluation"]) == ("ls", "final")]
    assert np.mean(final) == pytest.approx(scores(folder, "ls").mean())


def test_markdown_has_the_same_tables(folder: Path, tmp_path: Path, page: Page) -> None:
    figures = tmp_path / "figures"
    assert main(["report", str(folder), "--out", str(tmp_path / "report.md"), "--figures", str(figures)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert f"| ls | 3 | {page.tables['table-headline']['ls', 'mean success'][0]} |" in text
    assert len(list(figures.glob("*.svg"))) == FIGURES


def test_methods_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for width in (8, 16):
        for balancer in ("ls", "conicgrad"):
            write_run(tmp_path / f"{balancer}_{width}", balancer, 0, agent={"width": width})
    write_run(tmp_path / "longer", "ls", 0, steps=500)
    comparison = load(tmp_path)
    labels = [method.label for method in comparison.methods]
    assert sorted(labels) == [
        "conicgrad, width=16",
        "conicgrad, width=8",
        "ls, steps=150, width=16",
        "ls, steps=150, width=8",
        "ls, steps=500, width=16",
    ]
    page = Page(html(make_report(comparison, baseline="conicgrad, width=8")))
    assert "do not share one protocol: they differ in steps" in page.words
    settings = page.tables["table-settings"]
    assert settings["agent.width", "conicgrad, width=8"][0] == "8"
    assert ("seed", labels[0]) not in settings
    assert ("conicgrad, width=16", "paired difference") in page.tables["table-against"]


PUBLISHED = """number_of_environment_steps,width,mean,ci_low,ci_high
120,256,0.15,0.1,0.2
360,256,0.3,0.2,0.4
900,256,0.6,0.5,0.7
"""


def test_published_curves_over_ours(folder: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "curves.csv", tmp_path / "report.html"
    file.write_text(PUBLISHED)
    other = tmp_path / "other.csv"
    other.write_text("number_of_environment_steps,mean\n150,0.2\n")
    references = [f"V2, 10 seeds={file}", f"V1={other}"]
    assert main(["report", str(folder), "--out", str(out), "--reference", *references]) == 0
    page = Page(out.read_text())
    assert "measured with another protocol: width 256 (V2, 10 seeds), V1." in page.words
    specification = page.specifications["success_over_steps"]
    points = specification["datasets"][specification["layer"][-1]["data"]["name"]]
    # The steps are per task; the point beyond the last step of the runs is left out.
    assert [(point["step"], point["value"]) for point in points] == [(40, 0.15), (120, 0.3), (50, 0.2)]
    report = make_report(load(folder), reference=read_reference(f"V2={file}", 3))
    assert marks(report.figures[0], ["ls", "conicgrad"]) == 1, "it stays when all methods are hidden"


def test_conflict_is_counted_over_pairs(tiny: Any, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, tiny_values())
    cosines = [[1, -0.5, 0.2], [-0.5, 1, -0.1], [0.2, -0.1, 1]]
    weights = dict(zip(TASKS, (0.5, -0.25, 0.25), strict=True))
    run.append("metrics", {"step": 20, "steps_per_second": 9.0})
    norms = dict(zip(TASKS, (2.0, 0.5, 3.0), strict=True))
    gradients = {"critic/cosine": cosines, "critic/gradient_norm": norms, "critic/weight": weights}
    run.append("metrics", {"step": 40, "critic/loss": {}, **gradients})
    run.close()
    assert read_conflicts(tmp_path) == [
        {
            "step": 40,
            "critic/cosine": pytest.approx(-0.4 / 3),
            "critic/negative": pytest.approx(2 / 3),
            "critic/norms": 6.0,
            "critic/largest_weight": 0.5,
            "critic/weight/reach-v3": 1.5,
            "critic/weight/drawer-close-v3": -0.75,
            "critic/weight/window-open-v3": 0.75,
        }
    ]


def test_long_metrics_are_sampled_over_all_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        json.dumps({"step": step, "critic/loss": {}, "critic/weight": {"a": 1.0}, "pad": "x" * (step % 97)})
        for step in range(1, 5001)
    ]
    file = tmp_path / "metrics.jsonl"
    file.write_text("\n".join(lines) + '\n{"step": 5001, "half a li')
    everything = read_conflicts(tmp_path)
    assert [record["step"] for record in everything] == list(range(1, 5001))
    monkeypatch.setattr(source, "WHOLE", 1000)
    monkeypatch.setattr(source, "SAMPLE", 100)
    steps = [int(record["step"]) for record in read_conflicts(tmp_path)]
    assert 98 <= len(steps) <= 100
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    gaps = np.diff(steps)
    assert gaps.max() < 2 * 5000 / 100, "no part of training is left out"
    monkeypatch.setattr(source, "SAMPLE", 10_000)
    steps = [int(record["step"]) for record in read_conflicts(tmp_path)]
    assert steps == sorted(set(steps)), "no line twice"


def test_conflict_over_all_of_training(folder: Path, page: Page) -> None:
    def of_run(file: Path) -> tuple[float, float]:
        records = [json.loads(line) for line in file.read_text().splitlines()]
        pairs = [np.array(record["critic/cosine"])[np.tril_indices(len(TASKS), -1)] for record in records]
        norms = [list(record["critic/gradient_norm"].values()) for record in records]
        return float(np.mean([(of < 0).mean() for of in pairs])), float(np.median([max(n) / min(n) for n in norms]))

    for method in ("ls", "conicgrad"):  # only finished runs count
        files = [folder / method / f"seed_{seed}" / "metrics.jsonl" for seed in range(3)]
        negative, norms = np.mean([of_run(file) for file in files], axis=0)
        row = page.tables["table-conflict"]
        assert row[method, "critic: pairs in conflict"][1] == pytest.approx(negative)
        assert row[method, "critic: largest norm / smallest"][1] == pytest.approx(norms)


def test_weights_over_training(folder: Path, page: Page) -> None:
    weights = {
        task: np.mean(
            [
                3 * record["actor/weight"][task] / sum(record["actor/weight"].values())
                for file in folder.glob("ls/*/metrics.jsonl")
                for record in map(json.loads, file.read_text().splitlines())
            ]
        )
        for task in TASKS
    }
    table = page.tables["table-actor_weights"]
    for task, weight in weights.items():
        assert table[task, "ls"][1] == pytest.approx(weight)
    specification = page.specifications["actor_weights"]
    (cells,) = specification["datasets"].values()
    assert len(cells) == 2 * len(TASKS) * 3, "methods x tasks x lines of metrics"
    short = TASKS[0].removesuffix("-v3")
    first = [cell for cell in cells if (cell["method"], cell["task"], cell["from"]) == ("conicgrad", short, 0)]
    assert [cell["to"] for cell in first] == [50]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "report.htm"], "unknown format 'htm'; did you mean 'html'?"),
        (["--out", "report.html", "--format", "pdf"], "unknown format 'pdf'"),
        (["--out", "report.html", "--baseline", "conicgard"], "did you mean 'conicgrad'?"),
        (["--out", "nowhere/report.html"], "cannot write nowhere/report.html"),
        (["--out", "report.html", "--seed", "-1"], "--seed -1"),
        (["--out", "report.html", "--reference", "curves.csv"], "PROTOCOL=FILE"),
        (["--out", "report.html", "--reference", "V2=nowhere.csv"], "cannot read nowhere.csv"),
        (
            ["--out", "report.html", "--reference", "V2=ls/seed_0/config.yaml"],
            "needs numeric columns number_of_environment_steps",
        ),
        (
            ["--out", "report.html", "--reference", "V2=late.csv"],
            "start at 200 steps per task, but the runs end at 150",
        ),
    ],
)
def test_wrong_input(
    arguments: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "late.csv").write_text("number_of_environment_steps,mean\n600,0.5\n")
    assert main(["report", str(folder), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "ls", 0, finished=False)
    with pytest.raises(UserError, match="is finished yet"):
        load(tmp_path)
    write_run(tmp_path / "b", "ls", 1)
    write_run(tmp_path / "copy", "ls", 1)
    with pytest.raises(UserError, match="are two copies of the same run"):
        load(tmp_path)


def test_a_folder_of_another_program_is_passed_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The `config.yaml` that wandb writes into a run's directory is skipped silently; other such files are named."""
    inside, own = folder / "ls/seed_0/wandb/offline-run-1/files", folder / "site"
    for place in (inside, own):
        place.mkdir(parents=True)
        (place / "config.yaml").write_text("wandb_version: 1\n")
    torn = write_run(folder / "torn", "ls", 9)
    (torn / "result.json").write_text('{"step": 15')
    out = folder / "report.html"
    assert main(["report", str(folder), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"skipped: {own}/config.yaml is not the configuration of a run" in told
    assert f"skipped: {torn}/result.json is not valid JSON" in told
    assert str(inside) not in told
    assert Page(out.read_text()).tables["table-headline"]["ls", "seeds"][1] == 3
    assert main(["report", str(own), "--out", str(out)]) == 2
    assert "is not the configuration of a run: its kind is not one of" in capsys.readouterr().err


def test_runs_of_two_kinds_are_two_reports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "census").mkdir()
    (folder / "census/config.yaml").write_text(
        "kind: supervised\nbalancer: ls\nbalancer_options: {}\nseed: 0\nepochs: 1\n"
    )
    assert main(["report", str(folder), "--out", str(folder / "report.html")]) == 2
    assert "of a supervised problem; report on one kind at a time" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    import sys

    code = (
        "import sys, contextlib\n"
        "from mtrl_conic.cli import main\n"
        "for name in ('compare', 'runs', 'watch', 'report'):\n"
        "    with contextlib.suppress(SystemExit): main([name, '--help'])\n"
        "print('LOADED', sorted({'torch', 'mujoco', 'altair', 'vl_convert', 'jinja2', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
