"""The page on the papers' experiments: every row has a verdict, and every command in it is one."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from mtrl_conic import balancers
from mtrl_conic.cli import COMMANDS, compare, supervised, toy
from mtrl_conic.supervised.config import SupervisedConfig

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "papers.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 4]
COMMANDS_THERE = re.findall(r"`mtrl-conic ([^`]+)`", PAGE)
PARSERS = {"compare": compare, "supervised": supervised, "toy": toy}


def test_every_row_has_a_verdict() -> None:
    assert len(ROWS) >= 20
    for row in ROWS:
        verdict = row.split(" | ")[3]
        assert verdict.startswith(("verdict", "holds", "does not", "cannot be told")), row


@pytest.mark.parametrize("line", COMMANDS_THERE)
def test_commands_are_commands(line: str) -> None:
    name, *rest = shlex.split(line)
    assert name in COMMANDS
    if name not in PARSERS:
        return
    parser = argparse.ArgumentParser()
    PARSERS[name].add_arguments(parser)
    given = parser.parse_args(rest)
    methods = given.balancers if name == "toy" else [given.balancer]
    for method in (method for text in methods for method in SupervisedConfig.read_methods(text)):
        assert method[0] in {*balancers.available(), "stl", "rotograd"}


def test_what_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for file in re.findall(r"`((?:scripts|tests)/[^`]+)`", PAGE):
        assert (ROOT / file.split()[0]).exists(), file
