"""Notebooks: the one in the documentation runs, and what they show of objects, progress and results."""

from __future__ import annotations

import ast
import builtins
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic import MTSAC, Policy, TaskSet
from mtrl_conic.evaluation.record import Record
from mtrl_conic.training.ready import Progress

NOTEBOOK = Path(__file__).parent.parent / "docs" / "first_steps.ipynb"


def run_cells(sources: list[str]) -> list[Any]:
    """What the last line of each cell is, where that is an expression."""
    namespace: dict[str, Any] = {}
    shown = []
    for source in sources:
        *body, last = ast.parse(source).body
        ends_in_value = isinstance(last, ast.Expr)
        exec(compile(ast.Module(body if ends_in_value else [*body, last], []), "cell", "exec"), namespace)
        shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if ends_in_value else None)
    return shown


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    shorter = {"1_000, evaluate_every=500": "8", "width=64": "width=8", "random_steps=200": "random_steps=4"}
    sources = ["".join(cell["source"]) for cell in cells]
    for long, short in {**shorter, "episodes_per_task=3": "episodes_per_task=1"}.items():
        assert sum(long in source for source in sources) == 1, long
        sources = [source.replace(long, short) for source in sources]
    tasks, agent, learned, result, policy, torques, products = run_cells(sources)
    assert isinstance(tasks, TaskSet)
    assert isinstance(agent, MTSAC)
    assert learned is agent
    assert agent.updates == 4
    assert "<td>heavy</td>" in result._repr_html_()
    assert isinstance(policy, Policy)
    assert torques.shape == (1,)
    assert (products > 0).all()


RECORD = {
    "success": {"reach": 0.5},
    "mean_success": 0.5,
    "success_at_end": {"reach": 0.25},
    "mean_success_at_end": 0.25,
    "returns": {"reach": 12.0, "<b>": -3.0},
    "episodes_per_task": 4,
}


def test_objects_say_what_they_are() -> None:
    tasks = TaskSet.from_gymnasium({"one": "Pendulum-v1", "two": "Pendulum-v1"}, copies=2)
    agent = MTSAC(tasks, balancer="conicgrad", balancer_options={"c": 0.75}, width=8, depth=2, seed=3)
    words = "2 tasks: one, two; observations (5,), actions (1,)"
    assert repr(tasks) == f"TaskSet({words}; 2 environments of each)"
    assert repr(agent.policy()) == f"Policy({words})"
    assert repr(agent) == (
        f"MTSAC(2 tasks, conicgrad:c=0.75, classic base, shared network of 2 x 8, {agent.device}, seed 3, 0 updates)"
    )
    many = repr(MTSAC("mt50", width=8).policy())
    assert "... (50 in all)" in many
    assert len(many) < 300
    tasks.close()


def test_a_result_is_a_table_in_a_notebook() -> None:
    html = Record(RECORD)._repr_html_()
    assert "<th>task</th><th>success</th><th>at last step</th><th>return</th>" in html
    assert "<td>reach</td><td>0.500</td><td>0.250</td><td>12.00</td>" in html
    assert "<td>&lt;b&gt;</td><td></td><td></td><td>-3.000</td>" in html
    assert "<td>mean</td><td>0.500</td>" in html
    assert json.loads(json.dumps(Record(RECORD))) == RECORD
    returns_only = {**RECORD, "success": {}, "success_at_end": {}, "mean_success": None}
    assert "mean" not in Record(returns_only)._repr_html_()


class ZMQInteractiveShell:
    """What IPython's kernel calls itself."""


def test_progress_in_a_notebook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[str] = []
    handle = types.SimpleNamespace(update=drawn.append)
    module: Any = types.ModuleType("IPython.display")
    module.HTML, module.display = str, lambda *_, **__: handle
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    trainer: Any = types.SimpleNamespace(step=0)
    progress = Progress(100)
    progress.on_start(trainer)
    for trainer.step in range(1, 101):
        progress.on_step(trainer)
        if trainer.step == 50:
            progress.on_evaluation(trainer, {**RECORD, "returns": {"reach": 1.0}})
    progress.on_stop(trainer)
    assert len(drawn) < 10, "not a message for every step"
    assert any("step 50 of 100" in html and "success 0.500" in html for html in drawn)
    assert drawn[-1].startswith('<progress max="100" value="100"></progress> step 100 of 100')
    assert capsys.readouterr().out == "", "no bar of characters besides"
