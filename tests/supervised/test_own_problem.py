"""A problem of one's own, in a module that is given by --import."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.supervised import problems

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
