"""What TensorBoard, wandb and trackio are told, read back from what they wrote."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
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
    return pytest.mark.skipif(missing, reason=f'{package} is not installed; pip install "mtrl-conic[{package}]"')


def record_with(name: str, config: RunConfig, tmp_path: Path) -> Path:
    """A run recorded by a service in a process of its own: they leave threads behind."""
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
    (file,) = directory.glob("wandb/offline-run-*-conicgrad-seed_3/*.wandb")
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
    assert {row[0] for row in rows} == {"conicgrad/seed_3"}
    assert max(row[1] for row in rows) == 60
    assert any(b"evaluation/mean_success" in bytes(row[2]) for row in rows)


def test_an_unknown_recorder_or_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        recorders.make_recorders(["wandbb"], tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r'pip install "mtrl-conic\[wandb\]"'):
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
