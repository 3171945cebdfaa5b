"""Tests of what a new user sees first: help in two lengths, hints on misspellings, versions and completion."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import mtrl_conic
from mtrl_conic import balancers
from mtrl_conic.cli import COMMANDS, main
from mtrl_conic.cli.parser import ALSO_CALLED, Parser
from mtrl_conic.runs.config import make_config

from .test_cli import refused


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def value_of(text: str, flag: str) -> str:
    """Return the value in brackets at the end of the help of a flag."""
    found = re.search(rf"^  {flag} .*?\[([^\[\]]*)\]\n(?=  -|\n|$)", text, flags=re.DOTALL | re.MULTILINE)
    assert found, flag
    return found[1]


@pytest.mark.parametrize("preset", ["mt10", "mt10_classic", "mt10_small"])
def test_help_of_train_shows_the_values_of_the_preset(capsys: pytest.CaptureFixture[str], preset: str) -> None:
    text, config = shown(capsys, "train", preset, "--help"), make_config(preset, {})
    assert f"those of {preset}." in text
    assert value_of(text, "--width") == str(config.agent.width)
    assert value_of(text, "--steps") == str(config.steps)
    assert value_of(text, "--base") == config.agent.base
    assert value_of(text, "--batch-size") == str(config.agent.batch_size)


def test_help_takes_in_what_else_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "train", "--help", "mt10", "--base", "classic", "--seed=7")
    assert value_of(text, "--width") == "400"
    assert value_of(text, "--seed") == "7"
    assert "unknown preset 'mt11'; did you mean 'mt10'?" in refused(capsys, "train", "mt11", "--help")


def test_help_of_a_supervised_problem_shows_how_it_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    from mtrl_conic.supervised.problems import get

    text, settings = shown(capsys, "supervised", "recommendation", "--help"), get("recommendation").settings
    assert value_of(text, "--epochs") == str(settings.epochs)
    assert value_of(text, "--learning-rate") == str(settings.learning_rate)


def test_short_help_has_examples_and_whole_help_every_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = shown(capsys, "train", "--help"), shown(capsys, "train", "mt10", "--help-all")
    parser = Parser("train", import_module("mtrl_conic.cli.train"))
    for flag in parser.flags:
        assert re.search(rf"^  {flag}\b", whole, flags=re.MULTILINE), flag
    assert len(short.splitlines()) < 80
    assert len(short.splitlines()) < len(whole.splitlines()) / 2
    for text in (short, whole):
        assert "  mtrl-conic train mt10_small --minutes 5\n" in text
    assert "--target-rate" not in short
    for group in ("The optimisers of actor and critic:", "The entropy temperature of each task:"):
        assert group in whole
    for kind in ("--steps INT", "--learning-rate FLOAT", "--base classic|strong", "--threads INT|none"):
        assert kind in whole
    assert "VALUE " not in whole.replace("KEY=VALUE", "")


def test_the_overview_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, shown(capsys, "--help").splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys, name, "--help")
    assert text.startswith(f"usage: mtrl-conic {name}")
    assert max(map(len, text.splitlines())) <= 80
    unbroken = re.sub(r" \\\n +", " ", text)
    command = import_module(f"mtrl_conic.cli.{name}")
    known = Parser(name, command).flags
    assert set(getattr(command, "COMMON", ())) <= set(known)
    for example in getattr(command, "EXAMPLES", {}).values():
        assert example in unbroken
        flags = re.findall(r"(?<= )--[a-z-]+", example)
        assert set(flags) <= set(known), example


def test_overview_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, shown(capsys, "--help").splitlines())) <= 85


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "mt10", "--lr", "1e-3"], "did you mean '--learning-rate'?"),
        (["train", "mt10", "--bs=3"], "did you mean '--batch-size'?"),
        (["train", "mt10", "--gamma", "0.9"], "did you mean '--discount'?"),
        (["train", "mt10", "--seed", "0,1"], "seed='0,1': a run takes one value; `mtrl-conic compare` trains several"),
        (["train", "mt10", "--balancer", "ls,mgda"], "balancer='ls,mgda': a run takes one value; `mtrl-conic compare`"),
        (["train", "mt10", "--seeds", "0,1"], "`mtrl-conic compare` trains several methods and seeds"),
        (["train", "mt10", "--resume"], "to resume a run, repeat its command with the same --run-dir"),
        (["train", "mt10", "--zzz", "1"], "mtrl-conic train --help-all lists all options"),
        (["version"], "did you mean '--version'?"),
        (["complete"], "did you mean 'completion'?"),
        (["completion", "tcsh"], "unknown shell 'tcsh'"),
        (["video", "runs/a", "--steps", "many"], "argument --steps: 'many' is not a whole number"),
        (["train", "mt10", "--task-set", "mt1:xyz"], "... (50 in all)"),
    ],
)
def test_near_misses(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_other_names_of_flags_lead_to_flags() -> None:
    known = {flag for name in COMMANDS for flag in Parser(name, import_module(f"mtrl_conic.cli.{name}")).flags}
    assert set(ALSO_CALLED.values()) <= known
    assert not set(ALSO_CALLED) & set(Parser("train", import_module("mtrl_conic.cli.train")).flags)


@pytest.mark.parametrize("text", ["4e4", "4E+4", "40_000", "40000", "4.0e4"])
def test_numbers_as_people_write_them(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "\nsteps: 40000\n" in shown(capsys, "train", "mt10", "--steps", text, "--dry-run")
    file = tmp_path / "mine.yaml"
    file.write_text(f"steps: {text}\nagent: {{learning_rate: 1e-4}}\n")
    config = make_config(str(file), {})
    assert (config.steps, config.agent.learning_rate) == (40000, 1e-4)


def test_text_that_looks_like_a_number_stays_text() -> None:
    from mtrl_conic.reading import as_yaml, parse_yaml

    values = {"name": "1e5", "other": "12", "number": 1e5, "list": ["2e3", 2e-30]}
    assert parse_yaml(as_yaml(values), "here") == values


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shown(capsys, "--version").splitlines()
    assert first == f"mtrl-conic {mtrl_conic.__version__}"
    assert f"torch {version('torch')}," in second
    assert "metaworld 3.1.1," in second


def completed(script: str, *words: str) -> list[str]:
    """Return what bash offers to complete the last word."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mtrl_conic; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion_in_bash(capsys: pytest.CaptureFixture[str]) -> None:
    script = shown(capsys, "completion", "bash")
    assert completed(script, "mtrl-conic", "des") == ["describe"]
    assert completed(script, "mtrl-conic", "train", "mt10_s") == ["mt10_small"]
    assert completed(script, "mtrl-conic", "train", "mt10", "--balancer", "coni") == ["conicgrad"]
    assert set(completed(script, "mtrl-conic", "compare", "mt10", "--balancers", "")) == set(balancers.available())
    assert completed(script, "mtrl-conic", "train", "mt10", "--base", "") == ["classic", "strong"]
    assert "--target-rate" in completed(script, "mtrl-conic", "train", "mt10", "--ta")
    assert completed(script, "mtrl-conic", "watch", "runs/a", "--ev") == ["--every"]
    assert completed(script, "mtrl-conic", "report", "runs/a", "x") == [], "files, by the shell itself"


def test_completion_in_zsh_and_fish(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bashcompinit" in shown(capsys, "completion", "zsh")
    fish = shown(capsys, "completion", "fish")
    for name in COMMANDS:
        assert f"-f -a {name} -d " in fish
    assert "__fish_seen_subcommand_from train' -l target-rate" in fish
    if shutil.which("fish"):
        subprocess.run(["fish", "--no-execute"], input=fish, text=True, check=True)
