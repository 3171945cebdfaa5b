"""A user's own table in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.report.supervised.source import summarise
from mtrl_conic.runs.stored import read_result
from mtrl_conic.supervised.data.rows import Rows
from mtrl_conic.supervised.data.tables import standardised
from mtrl_conic.supervised.problems.regression import Regression, RegressionOptions


def frame(rows: int = 300) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, rows))
    return pd.DataFrame({"x": x, "y": y, "sum": 10 * (x + y), "difference": x - y + 5})


def load(file: Path, targets: list[str], **options: object) -> Regression:
    return Regression.load(file, RegressionOptions(targets=targets, **options), seed=0, workers=0)  # type: ignore[arg-type]


def test_formats_agree(tmp_path: Path) -> None:
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", **{name: table[name].to_numpy() for name in table})
    np.save(tmp_path / "t.npy", table.to_records(index=False))
    splits = [load(file, ["sum"]).training for file in sorted(tmp_path.iterdir())]
    assert len(splits) == 5
    for split in splits:
        assert isinstance(split, Rows)
        torch.testing.assert_close(split.inputs[0], splits[0].inputs[0])  # type: ignore[attr-defined]
        torch.testing.assert_close(split.targets[0], splits[0].targets[0])  # type: ignore[attr-defined]


def test_blocks_of_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((40, 2)), goal=np.arange(40.0))
    problem = load(tmp_path / "t.npz", ["goal", "x.1"])
    assert problem.tasks == ("goal", "x.1")
    (numbers, categories), _ = next(problem.test.batches(5))
    assert numbers.shape == (5, 1)
    assert categories.shape == (5, 0)


def test_the_command_learns_and_reports_in_the_units_of_the_user(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    arguments = ["--targets", "sum,difference", "--epochs", "30", "--learning-rate", "0.01", "--batch-size", "32"]
    out = tmp_path / "out"
    assert main(["supervised", "regression", "--data", str(tmp_path / "t.csv"), *arguments, "--out", str(out)]) == 0
    result = read_result(out / "ls" / "seed_0")
    assert result is not None
    metrics = result["metrics"]
    assert metrics["sum r2"] > 0.95
    assert metrics["difference r2"] > 0.95
    assert 3 < metrics["sum mae"] / metrics["difference mae"] < 30


def test_wrong_tables(tmp_path: Path) -> None:
    table = frame()
    table["name"] = "a"
    table.to_csv(tmp_path / "t.csv", index=False)
    for targets, words in (
        ([], "regression needs --targets"),
        (["summ"], "unknown column of .*t.csv 'summ'; did you mean 'sum'"),
        (["name"], "column 'name' does not contain numbers"),
        (["x", "y", "sum", "difference", "name"], "no columns are left|does not contain numbers"),
    ):
        with pytest.raises(UserError, match=words):
            load(tmp_path / "t.csv", targets)
    table.loc[3, "y"] = np.nan
    table.to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(UserError, match="column 'y' has missing"):
        load(tmp_path / "gap.csv", ["sum"])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1abc")
    with pytest.raises(UserError, match=r"cannot read .*cut.parquet"):
        load(tmp_path / "cut.parquet", ["sum"])
    np.save(tmp_path / "plain.npy", np.zeros((20, 3)))
    with pytest.raises(UserError, match="no named columns"):
        load(tmp_path / "plain.npy", ["sum"])
    frame(5).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(UserError, match="5 rows"):
        load(tmp_path / "short.csv", ["sum"])
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path, ["sum"])


def test_targets_are_named_once(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="'sum' is twice"):
        load(tmp_path / "t.csv", ["sum", "sum"])
    with pytest.raises(ValueError, match="'sum' is a target and left out"):
        load(tmp_path / "t.csv", ["sum"], leave_out=["sum"])
    with pytest.raises(UserError, match="of 300 rows is no row"):
        load(tmp_path / "t.csv", ["sum"], validation=0.001)


def test_a_column_that_is_constant_in_training_is_zero_everywhere(tmp_path: Path) -> None:
    """The computed deviation of equal numbers is not always zero: that of 140 times 0.1 is 3e-17."""
    table = frame()
    order = Regression.load  # the split depends on the seed alone
    table["k"] = 0.1
    table.to_csv(tmp_path / "t.csv", index=False)
    assert table["k"].to_numpy()[:140].std() > 0
    problem = order(tmp_path / "t.csv", RegressionOptions(targets=["sum"]), seed=0, workers=0)
    rows = next(problem.test.batches(300)).inputs[0]
    assert rows[:, -1].tolist() == [0.0] * len(rows)
    varied, scaled = np.full((150, 1), 0.1), np.full((140, 1), 0.1)
    varied[-1] = 0.2
    assert all((part == 0).all() for part in standardised(scaled, varied))


def test_other_data_at_the_same_path_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finished run would be shown with the numbers of the data before, and others would be compared with it."""
    table = frame(60)
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["supervised", "regression", "--data", str(tmp_path / "t.csv"), "--targets", "sum", "--epochs", "1"]
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 0
    (tmp_path / "moved").mkdir()
    (tmp_path / "t.csv").rename(tmp_path / "moved" / "t.csv")
    elsewhere = [part.replace(str(tmp_path / "t.csv"), str(tmp_path / "moved" / "t.csv")) for part in command]
    assert main([*elsewhere, "--run-dir", str(tmp_path / "run")]) == 0, "the same data in another place"
    table["x"] *= 2
    table.to_csv(tmp_path / "t.csv", index=False)
    for epochs in ("1", "2"):
        command[-1] = epochs
        assert main([*command, "--run-dir", str(tmp_path / "run")]) == 2
        assert "was trained on other data" in capsys.readouterr().err
    assert main([*command, "--run-dir", str(tmp_path / "other")]) == 0
    with pytest.raises(UserError, match="were trained on different data"):
        summarise([tmp_path / "run", tmp_path / "other"])


def test_what_a_method_or_a_selection_needs_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame(60).to_csv(tmp_path / "t.csv", index=False)
    command = ["supervised", "regression", "--data", str(tmp_path / "t.csv"), "--targets", "sum,x", "--epochs", "1"]
    assert main([*command, "--balancers", "modo", "--out", str(tmp_path / "out")]) == 2
    assert "modo needs 2 batches of 128 rows for a step, and there are 42 training rows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--balancer", "imtl_l+imtl_g", "--run-dir", str(tmp_path / "pair")]) == 0
    rows = ["--options", "validation=0.02"]
    assert main([*command[:-1], "3", *rows, "--run-dir", str(tmp_path / "one")]) == 0
    result = read_result(tmp_path / "one")
    assert result is not None
    assert set(result["selected_epochs"].values()) == {3}, "R2 of one validation row is not a number"
