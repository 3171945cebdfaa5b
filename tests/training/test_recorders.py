"""What TensorBoard, wandb and trackio are told, read back from what they wrote."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mtrl_conic.cli import main, recording
from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.plan import plan
from mtrl_conic.runs.run import train
from mtrl_conic.training import recorders
from mtrl_conic.training.callbacks import evaluation_scalars, scalars
from tests.training.conftest import TASKS

_PROGRAM = """
import sys, yaml
from pathlib import Path
from mtrl_conic.training.recorders import make_recorders
from mtrl_conic.runs.run import train
from mtrl_conic.runs.config import make_config
directory = Path(sys.argv[2])
train(make_config(sys.argv[3], {}), directory, callbacks=make_recorders([sys.argv[1]], directory))
"""


def installed(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f'{package} is not installed; pip install -e ".[{package}]"')


def record_with(name: str, config: RunConfig, tmp_path: Path) -> Path:
    """Run a training recorded by a service in another process, because services leave threads behind."""
    import yaml

    preset, directory = tmp_path / "tiny.yaml", tmp_path / "conicgrad" / "seed_3"
    preset.write_text(yaml.safe_dump({**config.model_dump(mode="json"), "steps": 60}))
    environment = {
        **os.environ,
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [sys.executable, "-c", _PROGRAM, name, str(directory), str(preset)],
        check=True,
        env=environment,
        capture_output=True,
    )
    return directory


@installed("wandb")
def test_wandb_offline(tiny: RunConfig, tmp_path: Path) -> None:
    directory = record_with("wandb", tiny, tmp_path)
    (file,) = directory.glob(f"wandb/offline-run-*-{recorders.identity(directory)}/*.wandb")
    data = file.read_bytes()
    told = ("evaluation/mean_success", f"evaluation/returns/{TASKS[0]}", f"evaluation/success_at_end/{TASKS[0]}")
    for word in (*told, f"critic/loss/{TASKS[0]}", "conicgrad/seed_3"):
        assert word.encode() in data, word


@installed("trackio")
def test_trackio(tiny: RunConfig, tmp_path: Path) -> None:
    record_with("trackio", tiny, tmp_path)
    (file,) = (tmp_path / "trackio").glob(f"*{recorders.PROJECT}*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("select run_name, step, metrics from metrics").fetchall()
    database.close()
    name = f"conicgrad/seed_3-{recorders.identity(tmp_path / 'conicgrad' / 'seed_3')[:8]}"
    assert {row[0] for row in rows} == {name}
    assert max(row[1] for row in rows) == 60
    assert any(b"evaluation/mean_success" in bytes(row[2]) for row in rows)


def test_an_unknown_recorder_or_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        recorders.make_recorders(["wandbb"], tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[wandb\]"'):
        recorders.make_recorders(["wandb"], tmp_path)


def test_scalars_of_a_line() -> None:
    record: dict[str, Any] = {
        "step": 5,
        "time": 1.0,
        "speed": 2.0,
        "loss": {"a": 1.0},
        "cosine": [[1, -0.5], [-0.5, 1]],
    }
    assert scalars(record) == {"speed": 2.0, "loss/a": 1.0, "cosine_mean": -0.5, "cosine_negative_share": 1.0}


def test_all_of_an_evaluation_goes_to_the_services() -> None:
    """Of two tasks one defines success. A mean that is not defined is no number."""
    record: dict[str, Any] = {
        "step": 5,
        "time": 1.0,
        "success": {"a": 0.5},
        "mean_success": 0.5,
        "success_at_end": {"a": 0.0},
        "mean_success_at_end": 0.0,
        "returns": {"a": 3.0, "b": -7.0},
        "mean_return": -2.0,
        "return_std": {"a": 1.0, "b": 2.0},
        "episodes_per_task": 2,
    }
    assert evaluation_scalars(record) == {
        "evaluation/success/a": 0.5,
        "evaluation/mean_success": 0.5,
        "evaluation/success_at_end/a": 0.0,
        "evaluation/mean_success_at_end": 0.0,
        "evaluation/returns/a": 3.0,
        "evaluation/returns/b": -7.0,
        "evaluation/mean_return": -2.0,
        "evaluation/return_std/a": 1.0,
        "evaluation/return_std/b": 2.0,
    }
    assert "evaluation/mean_success" not in evaluation_scalars({**record, "success": {}, "mean_success": None})


def test_tensorboard_has_hyperparameters(tiny: RunConfig, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    directory = tmp_path / "conicgrad" / "seed_3"
    train(tiny.model_copy(update={"steps": 60}), directory)
    events = EventAccumulator(str(directory))
    events.Reload()
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    fields = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert fields["balancer"].string_value == "conicgrad"
    assert fields["agent.width"].number_value == 16
    assert "evaluation/mean_success" in events.Tags()["scalars"]
    assert [path for path in directory.rglob("events*") if path.parent != directory] == [], "no second run beside it"


class Service(ModuleType):
    """Stands in for a service's package and keeps what `init` is given."""

    def __init__(self) -> None:
        super().__init__("service")
        self.given: list[dict[str, Any]] = []

    def init(self, **given: Any) -> Service:
        self.given.append(given)
        return self

    def log(self, values: dict[str, float], *, step: int) -> None:
        pass

    def finish(self) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, made)
    for name in ("WANDB_PROJECT", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_a_runs_identity_is_its_own_and_lasts(
    tiny: RunConfig, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of the same name in two places, one resumed, one deleted and repeated: three identities."""
    for place, steps in (("a", 40), ("a", 60), ("b", 40), ("b", 40)):
        directory = tmp_path / place / "ls" / "seed_0"
        if place == "b":
            shutil.rmtree(directory, ignore_errors=True)
        callbacks = recorders.make_recorders(["wandb", "trackio"], directory)
        train(tiny.model_copy(update={"steps": steps}), directory, callbacks=callbacks)
    wandb, trackio = service.given[::2], service.given[1::2]
    assert wandb[0]["id"] == wandb[1]["id"]
    assert len({given["id"] for given in wandb}) == 3
    assert trackio[0]["name"] == trackio[1]["name"]
    assert len({given["name"] for given in trackio}) == 3
    assert wandb[0]["name"] == "ls/seed_0"
    assert (wandb[0]["project"], wandb[0]["group"], wandb[0]["tags"]) == (recorders.PROJECT, "ls", None)


def test_labels_are_asked_for_or_the_services_own(
    tiny: RunConfig, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "tiny.yaml"
    preset.write_text(yaml.safe_dump({**tiny.model_dump(mode="json"), "steps": 40}))
    given = ["--record-project", "p", "--record-entity", "e", "--record-group", "g", "--record-tags", "x", "y"]
    command = ["train", str(preset), "--record", "wandb", "--run-dir"]
    assert main([*command, str(tmp_path / "a"), *given]) == 0
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_RUN_GROUP", "ours")
    assert main([*command, str(tmp_path / "b")]) == 0
    said = [{key: one[key] for key in ("project", "entity", "group", "tags")} for one in service.given]
    assert said[0] == {"project": "p", "entity": "e", "group": "g", "tags": ("x", "y")}
    assert said[1] == {"project": None, "entity": None, "group": None, "tags": None}


def test_compare_hands_the_recorders_on(
    tiny: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--record", "wandb", "trackio", "--record-group", "g", "--record-tags", "x", "y"]
    parser = argparse.ArgumentParser()
    recording.add_recorders(parser)
    assert list(recording.again(parser.parse_args(arguments))) == arguments
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["compare", "mt10_small", "--out", str(tmp_path / "out"), "--record", "wandb"]) == 2
    assert 'pip install -e ".[wandb]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (run,) = plan(RunConfig, tiny.model_dump(mode="json"), {}, tmp_path, arguments=tuple(arguments))
    assert run.command(1)[-len(arguments) :] == arguments
