"""Every problem end to end on tiny files in its published format, and every broken file in one line."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mtrl_conic.errors import UserError
from mtrl_conic.schema import parse
from mtrl_conic.supervised.config import SupervisedConfig
from mtrl_conic.supervised.data.scenes import augmented, normals_from_depth
from mtrl_conic.supervised.networks.celeba import nine_layers
from mtrl_conic.supervised.networks.segnet import segnet
from mtrl_conic.supervised.problem import Problem
from mtrl_conic.supervised.problems import available, get
from mtrl_conic.supervised.training import train
from tests.supervised.conftest import (
    write_archive,
    write_celeba,
    write_census,
    write_kuairand,
    write_mtan,
)


def write_table(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    x = generator.normal(size=200)
    frame = pd.DataFrame({"x": x, "kind": np.where(x > 0, "high", "low"), "twice": 2 * x, "other": -x + 100})
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def tiny_mtan(folder: Path, *, normals: bool, network: str = "small") -> Path:
    size = (32, 32) if network != "small" else (16, 32)
    return write_mtan(folder, classes=13 if normals else 7, label="label", normals=normals, size=size)


CASES: dict[str, tuple[str, Callable[[Path], Path], dict[str, object]]] = {
    "census": ("census", write_census, {}),
    "recommendation": ("recommendation", lambda f: write_kuairand(f.with_suffix(".npz")), {"hidden": [8]}),
    "nyuv2": ("nyuv2", lambda f: tiny_mtan(f, normals=True), {"network": "small"}),
    "nyuv2 archive": ("nyuv2", write_archive, {"network": "small"}),
    "cityscapes": ("cityscapes", lambda f: tiny_mtan(f, normals=False), {"network": "small"}),
    "celeba": ("celeba", write_celeba, {}),
    "regression": ("regression", write_table, {"targets": ["twice", "other"], "hidden": [16]}),
}


def load(case: str, folder: Path, **options: object) -> Problem:
    name, write, own = CASES[case]
    kind = get(name)
    return kind.load(write(folder), kind.options_model(**{**own, **options}), seed=0, workers=0)


def test_every_problem_has_a_case() -> None:
    assert {name for name, _, _ in CASES.values()} == set(available())


@pytest.mark.parametrize("case", CASES)
def test_a_problem_keeps_its_promises(case: str, tmp_path: Path) -> None:
    problem = load(case, tmp_path / "data")
    tasks = len(problem.tasks)
    batch = next(problem.training.batches(2, seed=0))
    again = next(problem.training.batches(2, seed=0))
    for part, same in zip((*batch.inputs, *batch.targets), (*again.inputs, *again.targets), strict=True):
        assert len(part) == 2
        assert torch.equal(part, same), "the same seed gives the same batch"
    torch.manual_seed(0)
    outputs = problem.network(range(tasks))(*batch.inputs)
    losses = problem.losses(outputs, batch.targets)
    assert losses.shape == (tasks,)
    assert (losses > 0).all()
    single = problem.network([tasks - 1])(*batch.inputs)
    assert len(single) == 1
    assert single[0].shape == outputs[tasks - 1].shape
    meter = problem.meter()
    for part in problem.test.batches(2):
        meter.add([out.detach() for out in problem.network(range(tasks))(*part.inputs)], part.targets)
    assert list(meter.values()) == [metric.name for metric in problem.metrics]
    assert {metric.task for metric in problem.metrics} == set(problem.tasks)


# Forty networks of five million parameters take their time.
_SLOW = pytest.param("celeba", "stl", marks=pytest.mark.slow)
_RUNS = [(case, name) for case in CASES for name in ("conicgrad", "stl") if (case, name) != ("celeba", "stl")]


@pytest.mark.parametrize(("case", "balancer"), [*_RUNS, _SLOW])
def test_end_to_end(case: str, balancer: str, tmp_path: Path) -> None:
    name, write, own = CASES[case]
    settings = {
        "epochs": 2,
        "batch_size": 2 if "table" not in case else 32,
        "options": own,
        "execution": {"device": "cpu"},
    }
    if name in ("census", "recommendation", "regression"):
        settings["batch_size"] = 64
    config = SupervisedConfig.complete(
        {"problem": name, "data": str(write(tmp_path / "data")), "balancer": balancer, **settings}
    )
    result = train(config, tmp_path / "run")
    assert result["step"] == 2
    assert set(result["metrics"]) == {metric["name"] for metric in result["measured"]}
    assert result["peak_memory_bytes"] > 0


def test_published_networks_on_their_layout(tmp_path: Path) -> None:
    """MTAN's network takes a batch of MTAN's files; SegNet has the published number of parameters."""
    folder = write_mtan(tmp_path / "data", classes=13, label="label", normals=True, size=(32, 32), images=2)
    values = {"problem": "nyuv2", "data": str(folder), "epochs": 1, "batch_size": 2, "execution": {"device": "cpu"}}
    config = SupervisedConfig.complete({**values, "balancer": "cagrad"})
    assert config.options["network"] == "mtan"
    assert set(train(config, tmp_path / "run")["metrics"]) > {"normal 11.25", "depth rel"}
    # The public code of MTAN gives 24981069 as the size of its single-task SegNet.
    assert sum(p.numel() for p in segnet([13]).parameters()) == 24_981_069


def test_shrunken_scenes_are_averages_and_every_nth_pixel(tmp_path: Path) -> None:
    folder = write_mtan(tmp_path, classes=13, label="label", normals=True, size=(32, 64))
    whole, small = (load_scenes(folder, shrink) for shrink in (1, 2))
    for split in ("training", "test"):
        (image,), (label, depth, normal) = next(getattr(whole, split).batches(3))
        (less,), others = next(getattr(small, split).batches(3))
        torch.testing.assert_close(less, image.reshape(3, 3, 16, 2, 32, 2).mean((3, 5)))
        for part, other in zip((label, depth, normal), others, strict=True):
            assert torch.equal(other, part[..., ::2, ::2])
    first, again = (next(small.training.batches(3, seed=5)) for _ in range(2))
    assert torch.equal(first.inputs[0], again.inputs[0]), "what is kept is not what was augmented"
    assert "Images: 16x32." in small.facts()


def load_scenes(folder: Path, shrink: int) -> Problem:
    kind = get("nyuv2")
    return kind.load(folder, kind.options_model(network="small", shrink=shrink), seed=0, workers=0)


def test_the_published_network_of_celeba_has_nine_shared_layers() -> None:
    trunk = nine_layers(40).trunk
    assert len([m for m in trunk.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]) == 9


def test_census_features_hold_no_label(tmp_path: Path) -> None:
    """Changing weights and labels of all rows changes no feature."""
    folder = write_census(tmp_path / "a")
    other = tmp_path / "b"
    shutil.copytree(folder, other)
    for file in other.iterdir():
        rows = [line.split(", ") for line in file.read_text().splitlines()]
        for row in rows:
            row[24], row[41], row[4] = "1.0", "- 50000.", "9th grade"
            row[7] = "Never married"
        file.write_text("".join(", ".join(row) + "\n" for row in rows))
    kind = get("census")
    one, two = (kind.load(f, kind.options_model(), seed=0, workers=0) for f in (folder, other))
    for part, same in zip(one.training.inputs, two.training.inputs, strict=True):  # type: ignore[attr-defined]
        assert torch.equal(part, same)
    assert not torch.equal(one.training.targets[0], two.training.targets[0])  # type: ignore[attr-defined]


def test_census_leaves_out_the_columns_that_are_named(tmp_path: Path) -> None:
    """The two columns are no features; the others are as they were."""
    folder, kind = write_census(tmp_path), get("census")
    options = parse(kind.options_model, {"leave_out": [22, 19]})
    whole, part = (kind.load(folder, o, seed=0, workers=0) for o in (kind.options_model(), options))
    codes, fewer = (problem.training.inputs[1] for problem in (whole, part))  # type: ignore[attr-defined]
    columns = [column for column in range(42) if column not in (0, 5, 16, 17, 18, 30, 39, 4, 7, 24, 41)]
    assert torch.equal(codes[:, [columns.index(c) for c in columns if c not in (19, 22)]], fewer)
    for wrong in (7, 0, 42):
        with pytest.raises(UserError, match=f"column {wrong} is not a categorical feature"):
            parse(kind.options_model, {"leave_out": [wrong]})


def test_census_reads_compressed_files_and_standardises_on_train(tmp_path: Path) -> None:
    folder = write_census(tmp_path)
    plain = get("census").load(folder, get("census").options_model(), seed=1, workers=0)
    for file in list(folder.iterdir()):
        with gzip.open(f"{file}.gz", "wt") as packed:
            packed.write(file.read_text())
        file.unlink()
    packed_problem = get("census").load(folder, get("census").options_model(), seed=1, workers=0)
    numbers = packed_problem.training.inputs[0]  # type: ignore[attr-defined]
    torch.testing.assert_close(numbers, plain.training.inputs[0])  # type: ignore[attr-defined]
    torch.testing.assert_close(numbers.mean(0), torch.zeros(7), atol=1e-5, rtol=0)
    assert plain.validation is not None
    assert len(plain.validation) + len(plain.test) == 300


def test_real_census(real_data: Callable[[str], Path]) -> None:
    kind = get("census")
    problem = kind.load(real_data("census_income_kdd"), kind.options_model(), seed=0, workers=0)
    assert problem.validation is not None
    assert (len(problem.training), len(problem.validation), len(problem.test)) == (199_523, 49_881, 49_881)
    shares = problem.training.targets[0].mean(0)  # type: ignore[attr-defined]
    torch.testing.assert_close(shares, torch.tensor([0.06206, 0.4335, 0.3358]), atol=1e-4, rtol=0)


def test_real_kuairand(real_data: Callable[[str], Path]) -> None:
    kind = get("recommendation")
    problem = kind.load(real_data("kuairand_pure"), kind.options_model(), seed=0, workers=0)
    assert problem.validation is not None
    rows = len(problem.training) + len(problem.validation) + len(problem.test)
    assert 95_000 < rows <= 100_900
    sums = sum(split.targets[0].sum(0) for split in (problem.training, problem.validation, problem.test))  # type: ignore[attr-defined]
    assert sums[0] > 10 * sums[1] > 10 * 3000


def test_real_nyuv2(real_data: Callable[[str], Path]) -> None:
    kind = get("nyuv2")
    problem = kind.load(real_data("nyuv2_144x192"), kind.options_model(network="small"), seed=0, workers=0)
    assert (len(problem.training), len(problem.test)) == (795, 654)
    batch = next(problem.test.batches(2))
    label, depth, normal = batch.targets
    assert label.min() >= -1
    assert label.max() <= 12
    assert 0.5 < depth.max() <= 10
    lengths = normal.norm(dim=1)
    torch.testing.assert_close(lengths[lengths > 0], torch.ones(int((lengths > 0).sum())), rtol=1e-4, atol=0)


def test_normals_of_planes() -> None:
    """A wall straight ahead looks back at the camera; a floor that recedes looks up."""
    wall = normals_from_depth(torch.full((1, 8, 9), 2.0), focal=10.0)
    torch.testing.assert_close(wall, torch.tensor([0.0, 0, -1])[:, None, None].expand(3, 8, 9))
    rows = torch.arange(8.0)[:, None] - 3.5
    floor = torch.where(rows > 0, 10.0 / rows, 0.0).expand(8, 9)[None]  # y = 1 below the camera: z = f / row
    normal = normals_from_depth(floor, focal=10.0)
    torch.testing.assert_close(normal[:, 6, 4], torch.tensor([0.0, -1, 0]), atol=1e-5, rtol=0)
    assert (normal[:, :4] == 0).all(), "no depth, no normal"


def test_augmentation_keeps_scenes_together() -> None:
    """Labels follow their pixels, depth its scale, normals their mirror."""
    plane = torch.arange(24.0).expand(12, 24)
    scene = {
        "image": plane.expand(3, 12, 24),
        "label": plane,
        "depth": plane[None] + 1,
        "normal": torch.ones(3, 12, 24),
    }
    mirrored, scaled = 0, set()
    for seed in range(40):
        made = augmented(scene, np.random.default_rng(seed))
        assert made["image"].shape == (3, 12, 24)
        scale = float((made["label"] + 1).sum() / made["depth"].sum())
        scaled.add(round(scale, 3))
        torch.testing.assert_close(made["depth"][0], (made["label"] + 1) / scale)
        falls = bool(made["label"][0, 0] > made["label"][0, -1])
        mirrored += falls
        torch.testing.assert_close(made["normal"][0], torch.full((12, 24), -1.0 if falls else 1.0))
    assert scaled == {1.0, 1.2, 1.5}
    assert 8 < mirrored < 32


def test_workers_change_nothing(tmp_path: Path) -> None:
    folder = tiny_mtan(tmp_path, normals=True)
    kind = get("nyuv2")
    here, there = (kind.load(folder, kind.options_model(network="small"), seed=0, workers=n) for n in (0, 1))
    for one, two in zip(here.training.batches(2, seed=5), there.training.batches(2, seed=5), strict=True):
        assert torch.equal(one.inputs[0], two.inputs[0])
        assert torch.equal(one.targets[2], two.targets[2])
