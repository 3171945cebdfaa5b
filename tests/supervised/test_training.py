"""Runs, comparisons and the command: resuming, tables, and every wrong input in one line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtrl_conic import balancers
from mtrl_conic.cli import main
from mtrl_conic.errors import Interrupted, UserError
from mtrl_conic.report.supervised import numbers
from mtrl_conic.report.supervised.report import make_report, write
from mtrl_conic.report.supervised.source import summarise
from mtrl_conic.report.supervised.sweeps import fronts, trade_offs
from mtrl_conic.report.supervised.words import protocol
from mtrl_conic.runs.stored import read_checkpoint
from mtrl_conic.supervised import training
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.learners import Balanced, Learner, methods
from mtrl_conic.supervised.measures import delta_m
from mtrl_conic.supervised.networks.table import Dropout
from mtrl_conic.supervised.problem import Batch, Metric
from mtrl_conic.supervised.problems.census import Census, CensusOptions
from mtrl_conic.supervised.training import train
from tests.supervised.conftest import records, write_celeba, write_census, write_kuairand, write_mtan


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_census(tmp_path_factory.mktemp("census"))


def values(data: Path, **more: Any) -> dict[str, Any]:
    return {
        "problem": "census",
        "data": str(data),
        "epochs": 2,
        "batch_size": 64,
        "execution": {"device": "cpu", "threads": 1},
        **more,
    }


@pytest.mark.parametrize("name", methods())
def test_every_method_trains(name: str, census: Path, tmp_path: Path) -> None:
    result = train(SupervisedConfig.complete(values(census, balancer=name, epochs=1)), tmp_path)
    assert all(np.isfinite(value) for value in result["metrics"].values())
    told = records(tmp_path / "metrics.jsonl")[0]
    assert set(told["loss"]) == {"income", "marital", "education"}  # type: ignore[call-overload]


@pytest.mark.parametrize(("balancer", "count"), [("ls", 1), ("modo", 2), ("sdmgrad:sampling=triple", 3)])
def test_a_step_takes_the_batches_that_the_method_asks_for(
    balancer: str, count: int, census: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def step(self: Learner, *batches: Batch) -> dict[str, torch.Tensor]:
        taken.append(len(batches))
        return original(self, *batches)

    original = Learner.step
    monkeypatch.setattr(Learner, "step", step)
    rows = len(Census.load(census, CensusOptions(), seed=0, workers=0).training)
    config = SupervisedConfig.complete(values(census, balancer=balancer, epochs=1, batch_size=rows // 4))
    train(config, tmp_path)
    assert taken == [count] * (4 // count)


@pytest.mark.parametrize("name", sorted({"moco", "graddrop", "mgda", "uw"}))
def test_methods_on_the_representation(name: str, census: Path, tmp_path: Path) -> None:
    given = values(census, balancer=name, epochs=1, gradients="representation")
    if name == "moco":
        with pytest.raises(UserError, match="use --gradients parameters"):
            SupervisedConfig.complete(given)
        return
    assert train(SupervisedConfig.complete(given), tmp_path)["step"] == 1


@pytest.mark.parametrize("name", ["gradvac", "famo", "rotograd", "stl"])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(name: str, census: Path, tmp_path: Path) -> None:
    """State of balancer, optimiser, dropout and order: all of it comes back, to the last bit."""
    config = SupervisedConfig.complete(values(census, balancer=name, epochs=3, learning_rate=1e-2))
    whole = train(config, tmp_path / "whole")
    asked = iter(range(1000))
    with pytest.raises(Interrupted):  # in the middle of the second epoch
        train(config, tmp_path / "parts", interrupted=lambda: next(asked) >= 6)
    assert len(records(tmp_path / "parts" / "evaluations.jsonl")) == 1
    parts = train(config, tmp_path / "parts")
    assert parts["metrics"] == whole["metrics"]
    one, two = (read_checkpoint(tmp_path / folder) for folder in ("whole", "parts"))
    assert one is not None
    assert two is not None
    for key, tensor in one["learner"]["network"].items():
        assert torch.equal(tensor, two["learner"]["network"][key]), key
    curves = [records(tmp_path / folder / "evaluations.jsonl") for folder in ("whole", "parts")]
    assert [line["test"] for line in curves[0]] == [line["test"] for line in curves[1]]


def test_training_learns(census: Path, tmp_path: Path) -> None:
    config = SupervisedConfig.complete(values(census, balancer="pcgrad", epochs=25, learning_rate=1e-3))
    result = train(config, tmp_path)
    assert min(result["metrics"].values()) > 0.9
    assert min(records(tmp_path / "evaluations.jsonl")[0]["test"].values()) < 0.85  # type: ignore[attr-defined]


def test_global_generator_is_left_alone(census: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(SupervisedConfig.complete(values(census, epochs=1)), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_the_learning_rate_is_halved(census: Path, tmp_path: Path) -> None:
    config = SupervisedConfig.complete(values(census, epochs=3, halve_every=1, learning_rate=0.4))
    train(config, tmp_path)
    saved = read_checkpoint(tmp_path)
    assert saved is not None
    assert saved["learner"]["optimizers"][0]["param_groups"][0]["lr"] == pytest.approx(0.1)


def test_what_is_open_is_as_published(census: Path) -> None:
    config = SupervisedConfig.complete({"problem": "census", "data": str(census)})
    assert (config.epochs, config.batch_size, config.learning_rate) == (200, 1024, 1e-4)
    assert (config.gradients, config.selection) == ("parameters", "best_validation")
    assert config.options == {"college": "attended", "leave_out": [], "dropout": "each"}


def test_methods_are_read_with_options() -> None:
    parse_methods = SupervisedConfig.read_methods
    assert parse_methods("stl,gradops:alpha=-2,gradops,conicgrad:c=0.25,solver=exact") == [
        ("stl", {}),
        ("gradops", {"alpha": -2.0}),
        ("gradops", {}),
        ("conicgrad", {"c": 0.25, "solver": "exact"}),
    ]
    assert [name for name, _ in parse_methods("all")] == [*balancers.available(), "rotograd", "stl"]
    for text, words in (
        ("gradop", "did you mean 'gradops'"),
        ("gradops:beta=1", "unknown option of gradops 'beta'"),
        ("stl:c=1", "unknown option of stl 'c'; there are none"),
        ("rotograd:rate=-1", "rotograd: rate='-1'"),
        ("ls,ls", "ls would run twice"),
        ("gradops:alpha", "name:key=value"),
        ("", "at least one balancer"),
    ):
        with pytest.raises(UserError, match=words.replace("'", ".")):
            parse_methods(text)


def test_the_trade_off_of_an_option(census: Path, tmp_path: Path) -> None:
    for c in (0.9, 0.25, 0.5):
        config = SupervisedConfig.complete(values(census, epochs=1, balancer=f"conicgrad:c={c}"))
        train(config, tmp_path / f"conicgrad_c={c}" / "seed_0")
    summary = summarise(sorted(tmp_path.glob("*/seed_*")))
    (figure,) = trade_offs(summary)
    assert figure.numbers is not None
    assert [row[0] for row in figure.numbers.rows] == [0.25, 0.5, 0.9]
    changes = np.array([row[1:] for row in figure.numbers.rows], dtype=np.float64)
    np.testing.assert_allclose(changes.sum(0), 0, atol=1e-9)
    first = summary.means["conicgrad:c=0.25"]
    middle = np.mean(list(summary.means.values()), 0)
    np.testing.assert_allclose(changes[0], 100 * (first / middle - 1), rtol=1e-6)
    (picture,) = (file for file in write(summary, tmp_path) if file.suffix == ".svg")
    assert picture.name == "trade_off_conicgrad_c.svg"
    assert picture.read_text().startswith("<svg")
    ((name, options, points, nondominated, volume),) = fronts(summary).rows
    assert (name, options, points) == ("conicgrad", "c", 3)
    table = np.stack(list(summary.means.values()))
    beaten = [(table >= row).all(1) & (table > row).any(1) for row in table]
    assert nondominated == sum(not each.any() for each in beaten)
    assert isinstance(volume, float)
    assert 0 <= volume <= 1


def test_two_options_make_a_map(census: Path, tmp_path: Path) -> None:
    points = [(0.25, 0.001), (0.25, 0.01), (0.9, 0.001)]
    for c, gamma in points:
        config = SupervisedConfig.complete(values(census, epochs=1, balancer=f"conicgrad:c={c},gamma={gamma}"))
        train(config, tmp_path / f"c={c}_gamma={gamma}" / "seed_0")
    summary = summarise(sorted(tmp_path.glob("*/seed_*")))
    (figure,) = trade_offs(summary)
    assert figure.name == "trade_off_conicgrad_c_gamma"
    assert figure.specification["spec"]["encoding"]["color"]["legend"]["orient"] == "top", "no wider than a phone"
    assert figure.numbers is not None
    assert [tuple(row[:2]) for row in figure.numbers.rows] == points
    changes = np.array([row[3:] for row in figure.numbers.rows], dtype=np.float64)
    np.testing.assert_allclose(changes.sum(0), 0, atol=1e-9)
    np.testing.assert_allclose(changes.mean(1), [row[2] for row in figure.numbers.rows])  # type: ignore[arg-type]
    (picture,) = (file for file in write(summary, tmp_path) if file.suffix == ".svg")
    assert "gamma" in picture.read_text()


def test_runs_that_differ_in_a_setting_are_methods_of_their_own(census: Path, tmp_path: Path) -> None:
    """They are not seeds of one method, and the report does not state the setting of the first for all."""
    for rate in (0.1, 1e-5):
        config = SupervisedConfig.complete(values(census, epochs=1, learning_rate=rate))
        train(config, tmp_path / str(rate))
    summary = summarise([tmp_path / "0.1", tmp_path / "1e-05"])
    assert list(summary.methods) == ["ls, learning_rate=0.1", "ls, learning_rate=1e-05"]
    assert "learning rate" not in " ".join(protocol(summary))
    assert "epochs 1" in " ".join(protocol(summary))
    shutil.copytree(tmp_path / "0.1", tmp_path / "copy")
    with pytest.raises(UserError, match="two copies of the same run"):
        summarise([tmp_path / "0.1", tmp_path / "copy"])


def test_single_tasks_are_the_reference_in_any_setting(census: Path, tmp_path: Path) -> None:
    names = [("stl", 0.1), ("ls", 0.1), ("ls", 0.01)]
    for place, (balancer, rate) in enumerate(names):
        config = SupervisedConfig.complete(values(census, epochs=1, balancer=balancer, learning_rate=rate))
        train(config, tmp_path / str(place))
    summary = summarise([tmp_path / str(place) for place in range(3)])
    assert summary.single_task == ["stl"]
    assert summary.baseline is not None
    assert summary.baseline.tolist() == summary.means["stl"].tolist()


@pytest.fixture(scope="module")
def compared(census: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a comparison whose command trained its last run and found the others finished."""
    folder = tmp_path_factory.mktemp("compared")
    arguments = ["--balancers", "stl,ls,gradops:alpha=-2", "--seeds", "0,1", "--epochs", "2", "--batch-size", "64"]
    for name in ("stl/seed_0", "stl/seed_1", "ls/seed_0", "ls/seed_1", "gradops_alpha=-2.0/seed_0"):
        method, seed = name.removesuffix("/seed_0").removesuffix("/seed_1").replace("_", ":"), int(name[-1])
        train(SupervisedConfig.complete(values(census, balancer=method, seed=seed)), folder / name)
    assert main(["supervised", "census", "--data", str(census), *arguments, "--out", str(folder)]) == 0
    return folder


def test_the_command_writes_tables(compared: Path) -> None:
    assert {"results.csv", "curves.csv", "table.md", "report.html"} <= {file.name for file in compared.iterdir()}
    with (compared / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 3
    with (compared / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert len(curves) == 3 * 2 * 2 * 2 * 3
    table = (compared / "table.md").read_text()
    assert "| gradops:alpha=-2.0 | 2 |" in table
    page = (compared / "report.html").read_text()
    assert "income auc over epochs" in page
    assert "https://" not in page.split("<script")[0]


def test_runs_that_are_longer_than_asked_for_are_named(
    census: Path, compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(shutil.copytree(compared, tmp_path / "out"))
    arguments = ["--balancers", "ls", "--seeds", "0,1", "--epochs", "1", "--batch-size", "64", "--out", out]
    assert main(["supervised", "census", "--data", str(census), *arguments]) == 0
    assert "ls/seed_1 has 2 epochs already, and keeps them; 1 were asked for" in capsys.readouterr().out


def test_the_report_takes_supervised_runs(compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(compared), "--out", str(out), "--figures", str(tmp_path / "figures")]) == 0
    assert "income auc over epochs" in out.read_text()
    drawn = {file.stem for file in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {"income_auc", "marital_auc", "education_auc", "conflict", "weights"}
    assert main(["report", str(compared), "--out", str(tmp_path / "rows.csv")]) == 0
    rows, written = (file.read_text().splitlines() for file in (tmp_path / "rows.csv", compared / "curves.csv"))
    assert sorted(rows) == sorted(written), "the methods of a folder come in its order"
    as_given = ["--methods", "gradops:alpha=-2", "ls", "--baseline", "gradops:alpha=-2"]
    assert main(["report", str(compared), "--out", str(tmp_path / "two.md"), *as_given]) == 0
    assert "| gradops:alpha=-2.0 |" in (tmp_path / "two.md").read_text()
    capsys.readouterr()
    assert main(["report", str(compared), "--out", str(out), "--random-returns", "x.yaml"]) == 2
    assert "--random-returns applies to runs of an agent" in capsys.readouterr().err


def test_numbers_of_the_table(compared: Path) -> None:
    summary = summarise(sorted(compared.glob("*/seed_*")))
    assert summary.baseline is not None
    table = {str(row[0]): row for row in numbers.methods(summary).rows}
    assert table["stl"][-4] is None, "the baseline has no drop against itself"
    runs = summary.methods["ls"]
    per_run = np.array([[run.result["metrics"][m.name] for m in summary.metrics] for run in runs])
    drops = delta_m(summary.metrics, per_run, summary.baseline)
    columns = {name: place for place, name in enumerate(numbers.methods(summary).columns)}
    assert str(table["ls"][columns["delta-m % ↓"]]).startswith(f"{drops.mean():.2f} ± ")
    assert str(table["ls"][columns["average ↑"]]).startswith(f"{per_run.mean():.4f} ± ")
    sharing = [table[name][columns["mean rank ↓"]] for name in ("stl", "ls", "gradops:alpha=-2.0")]
    assert sharing[0] is None, "it shares no network with the others"
    assert sum(float(str(rank)) for rank in sharing[1:]) == pytest.approx(3.0)
    every = [float(str(row[columns["mean rank with stl ↓"]])) for row in table.values()]
    assert sum(every) == pytest.approx(6.0)


def test_metrics_of_several_kinds_have_no_average(compared: Path) -> None:
    summary = summarise(sorted(compared.glob("*/seed_*")))
    mixed = [*summary.metrics[:2], Metric("education f1", "education")]
    assert "average" not in numbers._groups(mixed)
    assert "average" in numbers._groups(summary.metrics)


def test_weights_over_epochs_are_those_that_were_recorded(compared: Path) -> None:
    summary = summarise(sorted(compared.glob("*/seed_*")))
    figures = {figure.name: figure for figure in make_report(summary).figures}
    table = figures["weights"].numbers
    assert table is not None
    runs = [run.training for run in summary.methods["gradops:alpha=-2.0"]]
    seen = np.array([[list(record["weight"].values()) for record in run] for run in runs]).mean(0)
    expected = 3 * seen / np.abs(seen).sum(1, keepdims=True)
    place = [list(table.columns).index(f"gradops:alpha=-2.0: {task}") for task in runs[0][0]["weight"]]
    found = np.array([[row[column] for column in place] for row in table.rows], dtype=np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_same_command_again_shows_the_same(
    compared: Path, census: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (compared / "results.csv").read_text()
    arguments = ["--balancers", "stl,ls", "--seeds", "0,1", "--epochs", "2", "--batch-size", "64"]
    assert main(["supervised", "census", "--data", str(census), *arguments, "--out", str(compared)]) == 0
    assert "4 runs in" in capsys.readouterr().out
    assert set((compared / "results.csv").read_text().splitlines()) < set(before.splitlines())


def test_a_run_of_a_comparison_is_the_same_alone(compared: Path, census: Path, tmp_path: Path) -> None:
    data = ["--data", str(census), "--epochs", "2", "--batch-size", "64", "--threads", "1"]
    arguments = ["--balancer", "gradops:alpha=-2", "--seed", "1", "--run-dir", str(tmp_path / "run")]
    assert main(["supervised", "census", *data, *arguments]) == 0
    kept = compared / "gradops_alpha=-2.0" / "seed_1"
    one, two = (records(folder / "evaluations.jsonl") for folder in (kept, tmp_path / "run"))
    assert [line["test"] for line in one] == [line["test"] for line in two]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["supervised", *arguments]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1, captured.err
    return captured.err


def test_wrong_arguments(census: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(census), "--out", str(tmp_path / "out")]
    for arguments, words in (
        (["censu", *data], "unknown problem 'censu'; did you mean 'census'?"),
        (["censu"], "unknown problem 'censu'; did you mean 'census'?"),
        (["census"], "data is required: folder or file"),
        (["census", *data, "--balancers", "conigrad"], "did you mean 'conicgrad'?"),
        (["census", *data, "--seeds", "a"], "seed='a': input should be a valid integer"),
        (["census", *data, "--seeds", "1,1"], "twice"),
        (["census", *data, "--epochs", "0"], "epochs=0"),
        (["census", *data, "--gradients", "both"], "gradients='both'"),
        (["census", *data, "--options", "colege=degree"], "did you mean 'college'"),
        (["census", *data, "--jobs", "0"], "at least 1"),
        (["census", *data, "--device", "cuda:9"], "cuda:9"),
        (["census", "--data", str(tmp_path / "none")], "there is no file or folder"),
        (["regression", "--data", str(census / "census-income.data"), *data[2:]], "regression needs --targets"),
    ):
        assert words in refused(capsys, *arguments), arguments
        assert not (tmp_path / "out").exists(), arguments  # a corrected command finds no other run there


def test_what_was_trained_stays_where_a_later_run_is_refused(
    census: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The finished run is kept, those that the data refuse leave no directory."""
    data = ["census", "--data", str(census), "--out", str(tmp_path), "--epochs", "1"]
    assert main(["supervised", *data, "--balancers", "ls"]) == 0
    shutil.copytree(census, tmp_path / "data")
    (tmp_path / "data" / "census-income.test").unlink()
    data[2] = str(tmp_path / "data")
    assert "census-income.test" in refused(capsys, *data, "--balancers", "mgda,ls", "--seeds", "1,2", "--jobs", "2")
    assert (tmp_path / "ls" / "seed_0" / "result.json").is_file()
    assert not list(tmp_path.glob("*/seed_[12]"))
    assert not (tmp_path / "mgda").exists()


def broken(folder: Path, name: str, change: Any) -> Path:
    file = folder / name
    file.write_text(change(file.read_text()))
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-40], "census-income.data"),
        (lambda text: text.replace("- 50000.", "50000", 1), "unknown income '50000'; the original file has"),
        (lambda text: text.replace("High school graduate", "Kindergarten", 1), "education 'Kindergarten'"),
        (lambda text: text.replace(", 1700.09", "", 1), "census-income.data"),
        (lambda text: text.replace("Never married", "Single"), "no row has 'Never married'"),
        (lambda text: "abc" + text, "column 0"),
        (lambda text: "", "census-income.data"),
    ],
)
def test_broken_census(
    change: Any, words: str, census: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(census, folder)
    broken(folder, "census-income.data", change)
    message = refused(capsys, "census", "--data", str(folder), "--epochs", "1", "--out", str(tmp_path / "out"))
    assert words in message
    assert "census-income.data" in message


def test_a_truncated_archive(census: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gzip

    packed = gzip.compress((census / "census-income.data").read_bytes())
    (tmp_path / "census-income.data.gz").write_bytes(packed[: len(packed) // 2])
    shutil.copy(census / "census-income.test", tmp_path)
    message = refused(capsys, "census", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "cannot read" in message
    assert "census-income.data.gz" in message


def test_broken_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fresh(name: str) -> Path:
        return write_mtan(tmp_path / name, classes=7, label="label", normals=False, size=(16, 16), images=2)

    def message(folder: Path) -> str:
        settings = ["--epochs", "1", "--batch-size", "2", "--options", "network=small", "augment=false"]
        return refused(capsys, "cityscapes", "--data", str(folder), *settings, "--out", str(folder / "out"))

    folder = fresh("missing")
    (folder / "train" / "depth" / "1.npy").unlink()
    assert "depth/1.npy is missing" in message(folder)
    folder = fresh("truncated")
    file = folder / "train" / "depth" / "1.npy"
    file.write_bytes(file.read_bytes()[:200])
    assert "cannot read" in message(folder)
    folder = fresh("shape")
    np.save(folder / "val" / "label" / "0.npy", np.zeros((16, 15)))
    assert "label/0.npy has shape (16, 15), not (16, 16)" in message(folder)
    folder = fresh("label")
    np.save(folder / "train" / "label" / "0.npy", np.full((16, 16), 9))
    assert "contains the label 9; labels are 0 to 6" in message(folder)
    folder = write_mtan(tmp_path / "size", classes=7, label="label", normals=False, size=(16, 20), images=2)
    assert "needs sides that are divisible by 16" in message(folder)


def test_broken_celeba(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(name: str, change: Any) -> str:
        folder = write_celeba(tmp_path / name)
        change(folder)
        return refused(
            capsys, "celeba", "--data", str(folder), "--epochs", "1", "--batch-size", "4", "--out", str(folder / "out")
        )

    attributes = "Anno/list_attr_celeba.txt"
    assert "is truncated" in message("a", lambda f: broken(f, attributes, lambda t: "\n".join(t.splitlines()[:-1])))
    assert "line 3" in message("b", lambda f: broken(f, attributes, lambda t: t.replace("-1", " 0", 1)))
    assert "line 1" in message(
        "c", lambda f: broken(f, "Eval/list_eval_partition.txt", lambda t: t.replace(" 0", " 7", 1))
    )
    picture = "Img/img_align_celeba/000002.jpg"
    assert "000002.jpg" in message("d", lambda f: (f / picture).unlink())
    assert "000002.jpg" in message("e", lambda f: (f / picture).write_bytes((f / picture).read_bytes()[:500]))


def test_broken_kuairand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_kuairand(tmp_path / "k.npz")
    columns = dict(np.load(file))

    def message(**changed: Any) -> str:
        kept = {name: array for name, array in {**columns, **changed}.items() if array is not None}
        np.savez(tmp_path / "broken.npz", **kept)
        return refused(
            capsys,
            "recommendation",
            "--data",
            str(tmp_path / "broken.npz"),
            "--epochs",
            "1",
            "--out",
            str(tmp_path / "o"),
        )

    assert "has no column 'tag'" in message(tag=None)
    assert "column 'is_like' contains 3" in message(is_like=columns["is_like"] + 3)
    assert "'user_cat' has shape (3, 4)" in message(user_cat=columns["user_cat"][:3])
    (tmp_path / "broken.npz").write_bytes(file.read_bytes()[:300])
    shutil.copy(tmp_path / "broken.npz", tmp_path / "cut.npz")
    assert "cannot read" in refused(
        capsys, "recommendation", "--data", str(tmp_path / "cut.npz"), "--epochs", "1", "--out", str(tmp_path / "o")
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("dwa", {"window": 4}),
        ("dwa:window=7", {"window": 7}),
        ("stch", {"warmup": 20, "averaged": 4}),
        ("stch:warmup=6", {"warmup": 6, "averaged": 6}),
        ("excessmtl", {"warmup": 12}),
    ],
)
def test_what_papers_give_in_epochs_is_counted_in_them(method: str, expected: dict[str, int], census: Path) -> None:
    config = SupervisedConfig.complete(values(census, balancer=method))
    problem = training._load(config)
    config = config.model_copy(update={"batch_size": len(problem.training) // 4})
    learner = training._learner(config, problem, torch.device("cpu"))
    assert isinstance(learner, Balanced)
    assert {name: getattr(learner.balancer, name) for name in expected} == expected


def test_one_layer_of_dropout_or_two(census: Path) -> None:
    found = {}
    for choice in ("each", "last"):
        config = SupervisedConfig.complete(values(census, balancer="ls", options={"dropout": choice}))
        network = training._load(config).network([0])
        found[choice] = [layer.p for layer in network.modules() if isinstance(layer, Dropout)]
    assert found == {"each": [0.3, 0.3], "last": [0.0, 0.3]}


def test_a_run_of_before_an_option_was_there_goes_on(census: Path, tmp_path: Path) -> None:
    config = SupervisedConfig.complete(values(census, balancer="ls", epochs=1))
    train(config, tmp_path)
    file = tmp_path / "config.yaml"
    written = file.read_text()
    assert "dropout: each" in written
    file.write_text("".join(line for line in written.splitlines(keepends=True) if "dropout" not in line))
    more = SupervisedConfig.complete(values(census, balancer="ls", epochs=2))
    assert train(more, tmp_path)["step"] == 2
