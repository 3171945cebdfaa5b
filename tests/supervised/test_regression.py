"""A user's own table in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.runs.stored import read_result
from mtrl_conic.supervised.data.rows import Rows
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
