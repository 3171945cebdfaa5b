"""Tests that tables, data sets, trajectories, policies and agents that are not as expected give one line."""

from __future__ import annotations

import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mtrl_conic import MTSAC, Policy, TaskSet, files
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.run import train
from mtrl_conic.schema import parse
from mtrl_conic.supervised import problems
from mtrl_conic.supervised.problem import Problem
from mtrl_conic.supervised.problems import nyuv2
from mtrl_conic.toy import comparison
from tests.supervised import conftest as data
from tests.training.conftest import tiny_values


def load(problem: str, file: Path, **options: Any) -> Problem:
    found = problems.get(problem)
    return found.load(file, found.options_model(**options), seed=0, workers=0)


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        do()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def in_its_place(file: Path) -> None:
    """Replace a file by a pipe: opening it as a file would wait for ever."""
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "npy", "npz", "parquet"])
def test_a_pipe_in_the_place_of_a_table(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"table.{ending}"
    os.mkfifo(file)
    assert refused(lambda: load("regression", file, targets=["a"])) == f"cannot read {file}: it is not a regular file"


@pytest.mark.parametrize(
    ("problem", "write", "name"),
    [
        ("recommendation", lambda folder: data.write_kuairand(folder / "a.npz", rows=40), "a.npz"),
        ("celeba", lambda folder: data.write_celeba(folder, images=6), "Eval/list_eval_partition.txt"),
        ("celeba", lambda folder: data.write_celeba(folder, images=6), "Img/img_align_celeba/000001.jpg"),
        ("nyuv2", data.write_archive, "nyuv2.zip"),
        ("nyuv2", data.write_archive, "meta/class13Mapping.mat"),
    ],
)
def test_a_pipe_in_the_place_of_a_part_of_a_data_set(
    problem: str, write: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    write(tmp_path)
    in_its_place(tmp_path / name)
    said = refused(lambda: next(iter(load(problem, tmp_path).training.batches(2))))
    assert f"{name}: it is not a regular file" in said


def test_a_pipe_in_the_place_of_an_image(tmp_path: Path) -> None:
    from mtrl_conic.supervised.data.scenes import MTANFolder

    data.write_mtan(tmp_path, classes=7, label="label", normals=False, size=(32, 64), images=1)
    reader = MTANFolder(tmp_path / "train", classes=7, normals=False)
    in_its_place(tmp_path / "train/depth/0.npy")
    assert "it is not a regular file" in refused(lambda: reader.read(0, None))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\x1f\x8b" * 50),
        ("a.csv.gz", b"\x1f\x8bjunk"),
        ("a.csv.xz", b"\xfd7zXZ\x00junk"),
        ("a.csv.zip", b"PK\x03\x04junk"),
        ("a.npy", b"\x93NUMPY\x01\x00P\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }\n"),
        ("a.npz", b"PK\x03\x04junk"),
        ("a.parquet", b"PAR1junkPAR1"),
    ],
)
def test_binary_tables_that_are_none(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refused(lambda: load("regression", tmp_path / name, targets=["a"]))


def test_a_picture_that_is_none_and_one_that_is_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    data.write_celeba(tmp_path, images=6)
    picture = tmp_path / "Img/img_align_celeba/000001.jpg"
    batches = lambda: list(load("celeba", tmp_path).training.batches(6))  # noqa: E731
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "pixels" in refused(batches)
    monkeypatch.undo()
    picture.write_bytes(b"\xff\xd8junk")
    assert str(picture) in refused(batches)


def test_a_packed_picture_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of zeros takes only a kilobyte in the archive."""
    monkeypatch.setattr(nyuv2, "_PICTURE_BYTES", 1 << 20)
    data.write_archive(tmp_path, images=1)
    with zipfile.ZipFile(tmp_path / "nyuv2.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "nyuv2.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content if "image" not in name else bytes(1 << 26))
    tracemalloc.start()
    assert "cannot read train/image/0001.jpg in" in refused(lambda: load("nyuv2", tmp_path))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 24


@pytest.mark.parametrize(
    "content", [None, b"", b"step,start,x1,x2\n1,0,a,b\n", b"step,start,x1,x2\n1,0,1,1\n", b"\xff"]
)
def test_a_trajectory_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    run = lambda: comparison.run(["ls"], tmp_path, problems=["classic"], steps=50)  # noqa: E731
    run()
    file = tmp_path / "classic" / "ls.csv"
    in_its_place(file) if content is None else file.write_bytes(content)
    assert str(file) in refused(run)
    (tmp_path / "run.json").unlink()
    assert "no run.json" in refused(run)


@pytest.fixture
def agent() -> MTSAC:
    envs = TaskSet.from_gymnasium({"a": "Pendulum-v1", "b": "Pendulum-v1"}, seed=0)
    return MTSAC(envs, balancer="ls", width=4, depth=1)


def test_no_flipped_bit_of_a_saved_agent_goes_on_as_another_number(agent: MTSAC, tmp_path: Path) -> None:
    file = tmp_path / "agent.pt"
    agent.save(file)
    whole, state = file.read_bytes(), agent.state_dict()
    found = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            loaded = MTSAC.load(file).state_dict()
        except UserError:
            found += 1
            continue
        torch.testing.assert_close(loaded, state, rtol=0, atol=0)
    assert found > 30


def test_a_tensor_that_is_marked_as_a_folder_is_not_taken_for_memory_as_it_was(agent: MTSAC, tmp_path: Path) -> None:
    file = tmp_path / "agent.pt"
    agent.save(file)
    whole = bytearray(file.read_bytes())
    place = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)  # of the second part in the directory
    whole[place + 38] ^= 16
    file.write_bytes(bytes(whole))
    assert "is not what was written" in refused(lambda: MTSAC.load(file))


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"spec": 3}, "its spec is '3'"), ({"config": []}, "its config is"), ({"seed": "x"}, "its seed is 'x'")],
)
def test_a_foreign_agent(agent: MTSAC, changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.pt"
    agent.save(file)
    torch.save({**torch.load(file, weights_only=True), **changed}, file)
    assert words in refused(lambda: MTSAC.load(file))
    in_its_place(file)
    assert "not a regular file" in refused(lambda: MTSAC.load(file))


@pytest.mark.parametrize(
    "changed",
    [
        {"actor": {"hidden": {"width": 10**12, "depth": 1}}},
        {"actor": {"hidden": {"width": 4, "depth": 10**9}}},
        {"actor": {"hidden": {"width": "x", "depth": 1}}},
        {"spec": {"observation_dim": 10**12}},
        {"spec": {"task_names": 3}},
        {"spec": {"action_bounds": "x"}},
    ],
)
def test_a_policy_that_is_described_as_another(agent: MTSAC, changed: dict[str, Any], tmp_path: Path) -> None:
    """The description is checked before a network is built for which there may be no memory."""
    agent.policy().save(tmp_path)
    file = tmp_path / "policy.json"
    described = json.loads(file.read_text())
    for key, value in changed.items():
        described[key] = {**described[key], **value}
    file.write_text(json.dumps(described))
    assert refused(lambda: Policy.load(tmp_path))


def test_weights_that_are_none(agent: MTSAC, tmp_path: Path) -> None:
    import hashlib

    weights, described = agent.policy().save(tmp_path)
    weights.write_bytes(b"\xff" * 64)
    values = json.loads(described.read_text())
    values["weights"]["sha256"] = hashlib.sha256(b"\xff" * 64).hexdigest()
    described.write_text(json.dumps(values))
    assert "contains no weights" in refused(lambda: Policy.load(tmp_path))


def test_a_pipe_that_nothing_reads_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refused(lambda: files.write(pipe, "text")) == f"cannot write {pipe}: No such device or address"
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)


@pytest.mark.parametrize("name", ["classic.svg", "classic_losses.svg", "classic_front.csv", "table.csv"])
def test_a_folder_in_the_place_of_a_file_of_the_toys_changes_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    words = refused(lambda: comparison.run(["ls"], tmp_path, problems=["classic"], steps=100, seed=0))
    assert words == f"cannot write {tmp_path / name}: Is a directory"
    assert {file.name for file in tmp_path.iterdir()} == {name, "run.json"}


def test_a_report_without_a_folder_makes_no_figures(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "no" / "report.md", tmp_path / "figures"
    assert main(["report", str(tiny_run), "--out", str(out), "--figures", str(figures)]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert not figures.exists()


def test_a_pipe_in_the_place_of_the_metrics_changes_no_run(tiny_run: Path) -> None:
    config = parse(RunConfig, tiny_values(steps=30))
    in_its_place(tiny_run / "metrics.jsonl")
    before = (tiny_run / "provenance.jsonl").read_bytes()
    assert "metrics.jsonl: it is not a regular file" in refused(lambda: train(config, tiny_run))
    assert (tiny_run / "provenance.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["provenance.jsonl", "evaluations.jsonl", "result.json"])
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(name: str, tiny_run: Path) -> None:
    in_its_place(tiny_run / name)
    assert f"{name}: it is not a regular file" in refused(
        lambda: train(parse(RunConfig, tiny_values(steps=30)), tiny_run)
    )


@pytest.mark.parametrize("command", ["train", "describe"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["mt10", "--task-set", "0x10"], "task_set"), (["mt10", "--import", "a" * 300 + ".py"], "")],
)
def test_arguments_of_another_form(
    command: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert words in told


def test_a_name_that_is_too_long_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "a" * 300]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_configuration_without_a_field_is_reported_with_its_default(tiny_run: Path, tmp_path: Path) -> None:
    file = tiny_run / "config.yaml"
    values = yaml.safe_load(file.read_text())
    del values["minutes"], values["environment"]["one_hot"]
    file.write_text(yaml.safe_dump(values))
    assert main(["report", str(tiny_run), "--out", str(tmp_path / "report.csv")]) == 0


@pytest.fixture
def tiny_run(tmp_path: Path) -> Path:
    train(parse(RunConfig, tiny_values(steps=20)), tmp_path / "run")
    return tmp_path / "run"
