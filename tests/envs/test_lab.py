"""Tests of the custom example on the command line: trained, stopped, resumed, evaluated, exported, compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mtrl_conic import plugins
from mtrl_conic.cli import main
from mtrl_conic.envs import make_task_set
from mtrl_conic.errors import UserError

PAGE = (Path(__file__).parents[2] / "docs" / "own_environments.md").read_text()
SMALL = [
    *(
        "--width=8",
        "--actor-width=8",
        "--batch-size=4",
        "--random-steps=20",
        "--replay-capacity=500",
        "--compile=false",
    ),
    *("--evaluate-every=60", "--checkpoint-every=20", "--log-every=20", "--replay-capacity=500"),
    *("--training-episodes-per-task=1", "--episodes-per-task=2", "--steps=90"),
]
IMPORT = "--import=envs/lab.py"


def commands() -> list[list[str]]:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    return [shlex.split(line)[1:] for line in block.splitlines()]


def test_the_commands_of_the_page_run(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, evaluate, export, describe, *_ = commands()
    assert main([*train, *SMALL]) == 0
    assert "no success is defined for arm" in capsys.readouterr().out
    result = json.loads((lab / "runs" / "lab" / "result.json").read_text())
    assert (set(result["success"]), set(result["returns"])) == ({"cart", "heavy_cart"}, {"cart", "heavy_cart", "arm"})
    assert main(evaluate) == 0
    assert main(export) == 0
    assert list((lab / "exported").glob("*.safetensors"))
    assert main([*describe, "--width=8", "--actor-width=8"]) == 0
    assert "3 tasks" in capsys.readouterr().out


@pytest.mark.slow
def test_the_comparison_of_the_page_runs(lab: Path) -> None:
    *_, compare, report = commands()
    assert main([*compare, *SMALL]) == 0
    assert main(report) == 0
    page = (lab / "report.html").read_text()
    assert all(word in page for word in ("softest", "heavy_cart", "arm"))


def test_processes_of_a_comparison_import_it_too(lab: Path) -> None:
    compared = ["compare", "lab", IMPORT, "--balancers=softest", "--network=waves", "--out=runs"]
    assert main([*compared, *SMALL, "--steps=25"]) == 0
    (config,) = (yaml.safe_load(file.read_text()) for file in lab.glob("runs/**/config.yaml"))
    assert config["imports"] == ["envs/lab.py"]


def test_processes_of_environments_find_it_too(lab: Path) -> None:
    plugins.load(["envs/lab.py"])
    envs = make_task_set([{"id": "lab/Cart-v0", "kwargs": {"mass": 2.0}}], vector="async")
    try:
        assert envs.reset()[0].shape == (1, 4)
    finally:
        envs.close()


def test_a_stopped_run_goes_on_with_the_same_command(lab: Path) -> None:
    command = ["train", "lab", IMPORT, "--run-dir=runs/a", *SMALL, "--steps=200"]
    root = str(Path(__file__).parents[2])
    program = subprocess.Popen(
        [sys.executable, "-m", "mtrl_conic", *command],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (lab / "runs/a/checkpoints/latest.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 1
    assert not (lab / "runs/a/result.json").exists()
    assert main(command) == 0
    assert json.loads((lab / "runs/a/result.json").read_text())["step"] == 200


def test_a_run_says_which_import_it_needs_and_imports_nothing_by_itself(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "lab", IMPORT, "--network=waves", "--run-dir=runs/a", *SMALL, "--steps=25"]) == 0
    del sys.modules["lab"]  # as in a process that has not imported the module
    for command in (
        ["evaluate", "runs/a"],
        ["export", "runs/a", "--out=exported"],
        ["video", "runs/a", "--out=a.gif"],
        ["train", "runs/a/config.yaml", "--run-dir=runs/b"],
        ["compare", "runs/a/config.yaml", "--out=runs/c"],
        ["describe", "runs/a/config.yaml"],
    ):
        assert main(command) == 2, command
        assert "give --import envs/lab.py" in capsys.readouterr().err
        assert "lab" not in sys.modules
    assert not (lab / "runs" / "b").exists()
    assert main(["runs", "runs"]) == 0
    assert main(["report", "runs/a", "--out=report.md"]) == 0


def test_a_module_in_an_id_is_imported_where_the_command_line_names_it(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "own.yaml").write_text("task_set: ['gymnasium:lab:lab/Arm-v0']\n")
    (lab / "envs" / "lab.py").rename(lab / "lab.py")
    assert main(["train", "own.yaml", "--run-dir=runs/a", *SMALL]) == 2
    assert "own.yaml needs your own code" in capsys.readouterr().err
    assert "lab" not in sys.modules
    task_set = "--task-set=[gymnasium:lab:lab/Arm, {name: cart, id: lab/Cart-v0, success: at_mark}]"
    assert main(["train", "own", task_set, "--run-dir=runs/a", *SMALL, "--steps=25"]) == 0
    config = yaml.safe_load((lab / "runs/a/config.yaml").read_text())
    assert config["imports"] == ["lab"]
    assert set(json.loads((lab / "runs/a/result.json").read_text())["returns"]) == {"lab/Arm", "cart"}


def test_a_list_of_entries_in_a_file(lab: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (lab / "tasks.yaml").write_text(block)
    assert main(["train", "tasks.yaml", IMPORT, "--run-dir=runs/a", "--balancer=ls", *SMALL, "--steps=25"]) == 0
    result = json.loads((lab / "runs/a/result.json").read_text())
    assert set(result["returns"]) == {"lab/Arm-v0", "cart", "heavy"}
    assert set(result["success"]) == {"cart", "heavy"}


RANDOM = """
import gymnasium as gym, numpy as np
from mtrl_conic.envs import TaskSet, register_task_set
class Noisy(gym.Wrapper):
    def step(self, action):
        observation, *rest = self.env.step(action)
        return observation + np.random.default_rng().normal(size=3).astype("f"), *rest
@register_task_set("noisy")
def noisy(**options):
    return TaskSet.from_gymnasium({"noisy": lambda: Noisy(gym.make("Pendulum-v1"))}, **options)
"""


def test_a_run_that_cannot_be_retraced_is_warned_of_and_starts_new_episodes(
    lab: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtrl_conic import plugins
    from mtrl_conic.errors import Interrupted
    from mtrl_conic.runs.config import make_config
    from mtrl_conic.runs.run import train

    (lab / "noisy.py").write_text(RANDOM)
    plugins.load(["noisy.py"])
    small = {
        "agent": {"width": 8, "actor_width": 8, "batch_size": 4, "random_steps": 20, "n_step": 3},
        "execution": {"compile": False},
        "training": {"checkpoint_every": 30, "replay_capacity": 80, "episodes_per_task": 1},
    }
    config = make_config("noisy", {**small, "steps": 60})
    asked = iter(range(10_000))
    with pytest.raises(Interrupted):
        train(config, lab / "run", interrupted=lambda: next(asked) > 44)
    assert "observations differ at step 1" in caplog.text
    assert "this run starts anyway, but if it is resumed, it will start new episodes" in caplog.text
    caplog.clear()
    refusing = config.model_copy(update={"training": config.training.model_copy(update={"on_untraceable": "refuse"})})
    with pytest.raises(UserError, match="the saved episodes cannot be reproduced, the observation of noisy differs"):
        train(refusing, lab / "run")
    assert train(config, lab / "run")["step"] == 60
    assert "the observation of noisy differs" in caplog.text
    assert "new episodes are started" in caplog.text
    assert "this run starts anyway" not in caplog.text
    sys.modules.pop("noisy")


DRAWN = """
import gymnasium as gym, numpy as np
from gymnasium.spaces import Box
from mtrl_conic.envs import TaskSet, register_task_set
class Drawn(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space, action_space = Box(-1, 1, (2,), np.float32), Box(-1, 1, (1,), np.float32)
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = self.np_random.uniform(-1, 1, 2).astype("f")
        return self.seen, {}
    def step(self, action):
        self.seen = np.clip(self.seen + 0.1 * action, -1, 1)
        return self.seen, 0.0, False, False, {}
    def render(self):
        return np.full((16, 16, 3), 100, np.uint8) if self.render_mode else None
@register_task_set("drawn")
def drawn(**options):
    return TaskSet.from_gymnasium({"drawn": Drawn}, horizon=12, **options)
"""


def test_a_video_of_environments_that_draw_themselves(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio", reason="imageio is not installed")
    from mtrl_conic.evaluation import pictures

    monkeypatch.setattr(pictures, "check_gl", lambda: None)  # these environments do not use MuJoCo
    (lab / "drawn.py").write_text(DRAWN)
    try:
        assert main(["train", "drawn", "--import=drawn.py", "--run-dir=a", "--balancer=ls", *SMALL, "--steps=25"]) == 0
        assert main(["video", "a", "--import=drawn.py", "--out=a.gif", "--size=32"]) == 0
    finally:
        sys.modules.pop("drawn", None)
    assert (lab / "a.gif").stat().st_size > 100
