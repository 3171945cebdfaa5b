"""Tests of the command line: what it prints, and that wrong input ends in one line and exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtrl_conic import balancers
from mtrl_conic.cli import COMMANDS, main
from mtrl_conic.runs.config import RunConfig, make_config, preset_names
from mtrl_conic.runs.directory import RunDirectory
from tests.training.conftest import TASKS, tiny_values

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mtrl_conic", *arguments], capture_output=True, text=True, env=ENVIRONMENT, **options
    )


@pytest.fixture
def preset(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_values(steps=60)))
    return str(file)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that exits with 2, and return its only line on standard error."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("mtrl-conic: error: ")
    assert "Traceback" not in captured.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian", "mt10"], "unknown command 'trian'; did you mean 'train'?"),
        (["train", "mt11"], "unknown preset 'mt11'; did you mean 'mt10'?"),
        (["train", "mt10", "--balancer", "conigrad"], "unknown balancer 'conigrad'; did you mean 'conicgrad'?"),
        (["train", "mt10", "--balancer-options", "d=1"], "unknown option of conicgrad 'd'; "),
        (["train", "mt10", "--balancer-options", "c=2"], "conicgrad: option c=2: "),
        (["train", "mt10", "--balancer-options", "c"], "'c' is not key=value"),
        (["train", "mt10", "--task-set", "[reach-v3, drawer-clos-v3]"], "did you mean 'drawer-close-v3'"),
        (["train", "mt10", "--task-set", "mt11"], "mt1"),
        (["train", "mt10", "--task-set", "[reach-v3, reach-v3]"], "reach-v3"),
        (["train", "mt10", "--steps", "-5"], "steps=-5"),
        (["train", "mt10", "--steps", "many"], "steps='many'"),
        (["train", "mt10", "--learning-rate", "-1e-3"], "learning_rate"),
        (["train", "mt10", "--learning-rate", "nan"], "learning_rate"),
        (["train", "mt10", "--seed", "1.5"], "seed=1.5"),
        (["train", "mt10", "--horizon", "501"], "horizon=501"),
        (["train", "mt10", "--reward-version", "v3"], "reward_version='v3'"),
        (["train", "mt10", "--base", "storng"], "base='storng'"),
        (["train", "mt10", "--episodes-per-task", "51"], "episodes_per_task=51: a task has 50 goals"),
        (["train", "mt10", "--device", "cuda:64"], "cuda"),
        (["train", "mt10", "--gama", "0.9"], "unknown argument '--gama'"),
        (["train", "mt10", "--batchsize", "9"], "did you mean '--batch-size'?"),
        (["train", "mt10", "--seeds", "0,1"], "unknown argument '--seeds'; `mtrl-conic compare` trains several"),
        (["train"], "preset"),
        (["train", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["bench", "envs"], "unknown benchmark 'envs'; did you mean 'env'?"),
        (["bench", "update", "--balancers", "pcgard"], "did you mean 'pcgrad'?"),
        (["toy", "--out", "toy", "--balancers", "pcgard"], "did you mean 'pcgrad'?"),
        (["toy", "--out", "toy", "--balancers", "ls", "--steps", "-3"], "steps=-3: must be a multiple of 50"),
        (["toy", "--out", "toy", "--balancers", "ls", "--steps", "75"], "steps=75: must be a multiple of 50"),
        (["toy", "--out", "toy", "--vectors", "--problems", "classic"], "--vectors draws updates for given gradients"),
        (["toy", "--out", "toy", "--problems", "clasic"], "did you mean 'classic'?"),
        (["evaluate", "nowhere"], "nowhere is not a run directory"),
        (["evaluate", "mt10", "--policy", "exprt"], "known: agent, random, expert"),
        (["evaluate", "mt10", "--policy", "random", "--episodes-per-task", "0"], "episodes_per_task=0"),
    ],
)
def test_wrong_input(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == [], "nothing is half written"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agent: {widht: 3}", "unknown key 'agent.widht'; did you mean 'agent.width'?"),
        ("ballancer: ls", "did you mean 'balancer'?"),
        ("steps: [1", "is not valid YAML"),
        ("- steps", "must contain keys and values"),
        ("agent: 3", "agent=3"),
        ("training: {log_every: 0}", "training.log_every=0"),
    ],
)
def test_wrong_yaml(text: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    assert words in refused(capsys, "train", str(file), "--run-dir", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_run_directories_in_the_way(capsys: pytest.CaptureFixture[str], preset: str, tmp_path: Path) -> None:
    config = make_config(preset, {}).model_dump(mode="json")
    run = RunDirectory(tmp_path / "used", config)
    assert "is being written by process" in refused(capsys, "train", preset, "--run-dir", str(run.path))
    run.close()
    words = refused(capsys, "train", preset, "--run-dir", str(run.path), "--balancer", "ls")
    assert "balancer is 'conicgrad' there, 'ls' here" in words
    assert "cannot write" in refused(capsys, "train", preset, "--run-dir", preset)
    assert "cannot write" in refused(capsys, "train", preset, "--run-dir", "/proc/run")


def test_train_evaluate_and_train_again(preset: str, tmp_path: Path) -> None:
    directory = str(tmp_path / "run")
    done = command("train", preset, "--run-dir", directory, "--balancer", "pcgrad", "--width", "8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    following = [f"  mtrl-conic {name} {directory}" for name in ("evaluate", "video", "report")]
    for words in (*TASKS, "mean", "steps/s", "left", f"run: {directory}", "next:", *following):
        assert words in done.stdout, words
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["balancer"], config["agent"]["width"]) == ("pcgrad", 8)
    again = command("train", preset, "--run-dir", directory, "--balancer", "pcgrad", "--width", "8")
    assert again.returncode == 0
    assert "Final success after 60 steps per task" in again.stdout
    rates = tmp_path / "rates.json"
    shown = command("evaluate", directory, "--episodes-per-task", "2", "--json", str(rates))
    assert shown.returncode == 0, shown.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    # With the same goals and policy the returns equal those at the end of training.
    assert json.loads(rates.read_text())["returns"] == result["returns"]


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(preset: str, tmp_path: Path) -> None:
    directory = str(tmp_path / "run")
    arguments = [sys.executable, "-m", "mtrl_conic", "train", preset, "--run-dir", directory, "--steps", "1000000"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True) as run:
        assert run.stdout is not None
        while not run.stdout.readline().startswith("step 20"):
            pass
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert err == ""
    assert f"A checkpoint is in {directory}; the same command resumes" in out
    assert (tmp_path / "run" / "checkpoints" / "latest.pt").exists()


def test_help_is_complete_and_light() -> None:
    """The whole help has a flag for every field, and neither help loads torch, mujoco or numba."""
    code = (
        "import sys, contextlib\n"
        "from mtrl_conic.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['train', '--help-all'])\n"
        "main(['--help'])\n"
        "print('LOADED', sorted({'torch', 'mujoco', 'metaworld', 'numba', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "LOADED []" in done.stdout
    for flag in ("--balancer ", "--balancer-options ", "--batch-size ", "--goal-stream ", "--episodes-per-task "):
        assert flag in done.stdout
    assert "PydanticUndefined" not in done.stdout
    for name in COMMANDS:
        assert name in done.stdout


def test_every_field_has_a_description() -> None:
    def check(model: Any) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                check(inner)
            else:
                assert field.description, name

    check(RunConfig)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str) -> None:
    config = make_config(name, {})
    balancers.check_options(config.balancer, config.balancer_options)


def test_options_of_the_presets_balancer_do_not_stick_to_another(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("balancer: conicgrad\nbalancer_options: {c: 0.3}\n")
    assert make_config(str(file), {}).balancer_options == {"c": 0.3}
    assert make_config(str(file), {"balancer": "ls"}).balancer_options == {}


def test_balancers_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balancers"]) == 0
    out = capsys.readouterr().out
    for name in balancers.available():
        assert name in out


def test_full_descriptions_of_some_methods_and_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balancers", "conicgrad", "uw+cagrad"]) == 0
    out = capsys.readouterr().out
    assert "Guarantees (convex form): cos(d, g0) >= c" in out
    assert "c=0.5: smallest cosine between the direction and the mean gradient" in out
    assert "Args:" not in out
    assert "`uw` for the losses, then `cagrad` for the gradients" in out
    assert "cagrad:" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["networks", "paco"]) == 0
    assert "sets=5: number of parameter sets" in capsys.readouterr().out
    assert main(["balancers", "conigrad"]) == 2
    assert "did you mean 'conicgrad'?" in capsys.readouterr().err
    assert main(["networks", "pacco"]) == 2
    assert "did you mean 'paco'?" in capsys.readouterr().err


def test_random_policy(capsys: pytest.CaptureFixture[str], preset: str, tmp_path: Path) -> None:
    assert main(["evaluate", preset, "--policy", "random", "--episodes-per-task", "1"]) == 0
    assert "drawer-close-v3" in capsys.readouterr().out
    tmp_path.joinpath("config.yaml").write_text(Path(preset).read_text())
    assert main(["evaluate", str(tmp_path), "--policy", "random", "--episodes-per-task", "1"]) == 0
    assert "drawer-close-v3" in capsys.readouterr().out, "in the environments of a run"


def test_a_list_of_balancers_in_a_file_is_for_comparisons(
    capsys: pytest.CaptureFixture[str], preset: str, tmp_path: Path
) -> None:
    file = tmp_path / "several.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(Path(preset).read_text()), "balancer": ["ls", "pcgrad"]}))
    assert main(["train", str(file), "--run-dir", str(tmp_path / "run")]) == 2
    assert "balancer=['ls', 'pcgrad']: a run takes one value; `mtrl-conic compare`" in capsys.readouterr().err


def test_toy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--balancers", "ls,cagrad:c=0.4,rescale=none", "gradops:alpha=-2", "--problems", "gradops"]
    assert main(["toy", *arguments, "--steps", "200", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for label in ("ls", "cagrad:c=0.4,rescale=none", "gradops:alpha=-2"):
        assert label in out
    assert {"gradops", "gradops.svg", "table.csv"} <= {file.name for file in tmp_path.iterdir()}
    assert len(list((tmp_path / "gradops").glob("*.csv"))) == 3


def test_bench_update(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "update", "--rounds", "1", "--batch-size", "2", "--width", "8", "--balancers", "mgda"]) == 0
    out = capsys.readouterr().out
    for item in ("ls", "mgda", "K backwards"):
        assert item in out
