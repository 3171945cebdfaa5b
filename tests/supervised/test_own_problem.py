"""A problem of one's own, in a module that is given by --import."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.supervised import problems
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.network import Outputs
from mtrl_conic.supervised.problem import Meter, Metric
from mtrl_conic.supervised.problems.regression import Regression
from mtrl_conic.supervised.training import train

MODULE = """
from mtrl_conic.supervised.problem import Settings
from mtrl_conic.supervised.problems import register_problem
from mtrl_conic.supervised.problems.regression import Regression

@register_problem("our_table")
class OurTable(Regression):
    settings = Settings(epochs=2, batch_size=16, learning_rate=1e-3, selection="best_validation")
"""


def test_a_registered_problem_runs_in_the_processes_of_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(problems, "_REGISTRY", dict(problems._REGISTRY))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "our_problem.py").write_text(MODULE)
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savetxt("table.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    command = ["supervised", "our_table", "--data=table.csv", "--targets=c,d", "--out=runs", "--jobs=1"]
    try:
        assert main(command) == 2
        assert "unknown problem 'our_table'" in capsys.readouterr().err
        assert main([*command, "--import=our_problem.py"]) == 0
    finally:
        sys.modules.pop("our_problem", None)
    (config,) = (yaml.safe_load(file.read_text()) for file in tmp_path.glob("runs/**/config.yaml"))
    assert (config["problem"], config["epochs"], config["imports"]) == ("our_table", 2, ["our_problem.py"])
    with pytest.raises(UserError, match="a problem named 'census' already exists"):
        problems.register_problem("census")(problems.get("our_table"))


class Wrong(Regression):
    """Regression, of which one part at a time is wrong."""

    wrong = ""

    def losses(self, outputs: Outputs, targets: Sequence[Tensor]) -> Tensor:
        found = super().losses(outputs, targets)
        return {"one loss": found.mean(), "a list": list(found), "too few": found[:1]}.get(self.wrong, found)  # type: ignore[return-value]

    def meter(self) -> Meter:
        meter = super().meter()
        if self.wrong == "tensors":
            values = meter.values
            meter.values = lambda: {name: torch.tensor(value) for name, value in values().items()}  # type: ignore[method-assign, misc]
        if self.wrong == "no metric":
            self.metrics = (*self.metrics, Metric("c bias", "c"))
        return meter


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("one loss", r"losses\(\) must return a tensor \(2,\), one loss per task, not a tensor \(\)"),
        ("a list", "not a list"),
        ("too few", r"not a tensor \(1,\)"),
        ("tensors", "returns a Tensor for 'c r2', not a float"),
        ("no metric", "its meter does not return the metric 'c bias', which is declared"),
    ],
)
def test_what_a_problem_returns_is_checked_before_training(
    wrong: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "_REGISTRY", dict(problems._REGISTRY))
    problems.register_problem("wrong")(type("Ours", (Wrong,), {"wrong": wrong}))
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savetxt(tmp_path / "table.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    values = {"problem": "wrong", "data": str(tmp_path / "table.csv"), "options": {"targets": ["c", "d"]}, "epochs": 1}
    with pytest.raises(UserError, match=words):
        train(SupervisedConfig.complete(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()
