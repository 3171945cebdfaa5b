"""Names that do something where they are shown: none of them does."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mtrl_conic.cli import main
from mtrl_conic.escaping import as_file_name, in_csv, in_markdown, one_line, visible
from mtrl_conic.report.figure_files import write_figures
from mtrl_conic.report.page import Report, as_csv, as_markdown, as_tex, html
from mtrl_conic.report.reinforcement.report import make_report
from mtrl_conic.report.tables import Table, in_terminal
from tests.report.conftest import load, write_run
from tests.report.conftest import tiny as tiny

NAMES = (
    "=HYPERLINK(1)",
    "@sum",
    "<script>alert(1)</script>",
    "[x](javascript:1)",
    "a|b`c`",
    "x/[/red]",
    "\x1b[31mred\x07",
    "a\nb\u202e",
)


def test_each_kind_of_text() -> None:
    assert visible("café [x] 🙂") == "café [x] 🙂"
    assert visible("\x1b[31m\n\u202e") == "\\x1b[31m\\n\\u202e"
    assert one_line("a" * 3000) == "a" * 2000 + " ..."
    assert [in_csv(text) for text in ("=1+1", "+x", "-x", "@x", "\tx", "-1.5", "ls")] == [
        *("'=1+1", "'+x", "'-x", "'@x", "\\tx", "-1.5", "ls")
    ]
    assert in_markdown("<b>[x](y) `z` a|b c*d \\") == r"\<b\>\[x\](y) \`z\` a\|b c\*d \\"
    assert as_file_name("../a b/ü:c=0.9") == "..-a-b-ü-c=0.9"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of runs whose method and tasks have these names."""
    tmp_path = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(NAMES):
        run = write_run(tmp_path / str(seed), "ls", seed, tasks=NAMES, rated=NAMES[:4])
        config = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump({**config, "balancer": name}))
    return make_report(load(tmp_path))


def test_no_cell_of_a_csv_is_a_formula(report: Report) -> None:
    rows = list(csv.reader(io.StringIO(as_csv(report))))
    cells = {cell for row in rows for cell in row}
    assert {"'=HYPERLINK(1)", "'@sum", "\\x1b[31mred\\x07"} <= cells
    for cell in cells:
        assert cell.isprintable()
        if cell[:1] in tuple("=+-@"):
            float(cell)


def test_markdown_has_text_alone(report: Report) -> None:
    written = as_markdown(report)
    assert all(line.isprintable() for line in written.splitlines())
    assert "\\<script\\>alert(1)" in written
    assert "\\[x\\](javascript:1)" in written
    assert not re.findall(r"(?<!\\)[<>`\[\]](?![\d.-])", re.sub(r"\d\]|\[\d", "", written))
    tables = [block.splitlines() for block in written.split("\n\n") if block.startswith("|")]
    assert tables
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, "a name adds no column"


def test_latex_has_text_alone(report: Report) -> None:
    written = as_tex(report)
    assert all(line.isprintable() for line in written.splitlines())
    assert "\\ensuremath{<}script\\ensuremath{>}alert(1)" in written
    assert "\\textbackslash{}x1b[31mred" in written
    rows = [line for line in written.splitlines() if line.endswith(" \\\\")]
    assert rows
    assert not [row for row in rows if re.search(r"(?<!\\)[%$#_~^|<>](?!})", row)]


def test_the_page_and_its_figures(report: Report, tmp_path: Path) -> None:
    page = html(report)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    named = replace(report.figures[0], name="../../outside")
    written = write_figures([named], tmp_path / "figures")
    assert {file.parent for file in written} == {tmp_path / "figures"}
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {"..-..-outside.pdf", "..-..-outside.svg"}
    assert "\\x1b[31mred" in str(named.specification)
    assert "\\u202e" in (tmp_path / "figures" / "..-..-outside.svg").read_text(), "and the process goes on"


def test_a_table_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("t", "t", "", ["\x1b[31m", "b"], [["a\nb", 1.0]])
    assert in_terminal(table).splitlines()[:2] == ["\\x1b[31m  b", "a\\nb      1.000"]


@pytest.mark.parametrize("command", [["runs"], ["watch"]])
def test_runs_and_watch_show_names_as_they_are(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    run = write_run(tmp_path / "x" / "[red]\x1b[31m" / "[" / "red]", "ls", 0, tasks=NAMES, rated=())
    (run / "result.json").unlink()
    (run / "error.txt").write_text("command\n\x1b[2Jgone [bold]\n")
    assert main([*command, str(run)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone [bold]" in shown
    if command == ["watch"]:
        for name in NAMES:
            assert visible(name) in shown


def test_a_run_directory_with_markup_in_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.reliability.hostile import TINY

    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert main(["train", "tiny.yaml", "--run-dir", "x/[/red]\x1b[31m"]) == 0
    shown = capsys.readouterr().out
    assert "run: x/[/red]\\x1b[31m" in shown
    assert "\x1b" not in shown
    assert main(["evaluate", "x/[/red]\x1b[31m", "--episodes-per-task", "1"]) == 0
    assert "x/[/red]\\x1b[31m: agent" in capsys.readouterr().out


def test_a_warning_is_one_plain_line() -> None:
    code = (
        "import logging\nfrom mtrl_conic.cli import main\nmain(['--version'])\n"
        "logging.getLogger('mtrl_conic').warning('a %s', 'b\\x1b[31m\\nc')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "a b\\x1b[31m\\nc\n"


def test_the_model_card(tmp_path: Path) -> None:
    from mtrl_conic import MTSAC, TaskSet
    from mtrl_conic.agents.model_card import model_card

    envs = TaskSet.from_gymnasium(dict.fromkeys(NAMES[:4], "Pendulum-v1"), seed=0)
    agent = MTSAC(envs, balancer="ls", width=4, depth=1)
    card = model_card(agent.policy())
    assert "<script>" not in card.replace("\\<", "").partition("## Use")[0]
    assert "| \\[x\\](javascript:1) | 3 | 1 |" in card


def test_a_module_of_the_working_directory_is_not_taken_for_another(tmp_path: Path) -> None:
    """`python -m` puts that folder first on the path."""
    for name in ("rich", "yaml", "pydantic", "torch", "own_environment"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'a').write(__name__)\nraise SystemExit(3)\n")
    run = write_run(tmp_path / "run", "ls", 0)
    config = yaml.safe_load((run / "config.yaml").read_text())
    changed = {**config, "imports": ["own_environment"], "task_set": ["gymnasium:own_environment:Own-v0"]}
    (run / "config.yaml").write_text(json.dumps(changed))
    for command in (["runs", "run"], ["evaluate", "run"]):
        done = subprocess.run([sys.executable, "-m", "mtrl_conic", *command], cwd=tmp_path, capture_output=True)
        assert done.returncode == (0 if command[0] == "runs" else 2), done.stderr
    assert not (tmp_path / "ran").exists()
