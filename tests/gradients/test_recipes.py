"""Every recipe of the page on loops of one's own runs as written, and learns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "own_loop.md").read_text()


def recipes() -> dict[str, list[str]]:
    """Title of a section -> its examples, in order; an example goes on where the one before it ended."""
    sections = re.split(r"^#+ (.*)$", PAGE, flags=re.MULTILINE)[1:]
    found = {
        title: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }
    return {title: examples for title, examples in found.items() if examples}


RECIPES = recipes()
APART = "Several processes"


def test_all_of_the_recipes_are_there() -> None:
    assert len(RECIPES) == 8
    assert APART in RECIPES


@pytest.mark.parametrize("title", [title for title in RECIPES if title != APART])
def test_recipe(title: str) -> None:
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    before, *rest = RECIPES[title]
    once = before.replace("range(100)", "range(1)")
    assert once != before
    exec(once, namespace)
    begun = mean_loss(namespace)
    torch.manual_seed(0)
    exec(before, namespace)
    assert mean_loss(namespace) < 0.7 * begun
    for example in rest:
        exec(example, namespace)


def mean_loss(namespace: dict[str, Any]) -> float:
    return float(torch.stack([loss.detach() for loss in namespace["losses"] if loss is not None]).mean())


def test_a_newcomers_loop_is_two_lines_longer_than_a_plain_sum() -> None:
    ours = next(iter(RECIPES.values()))[0].splitlines()
    plain = [line for line in ours if "balancers" not in line and "import backward" not in line]
    plain = [
        line.split("statistics =")[0] + "sum(losses).backward()" if "backward(" in line else line for line in plain
    ]
    used = [line for line in ours if line and "import" not in line]
    assert len(used) - len([line for line in plain if line and "import" not in line]) <= 2


def test_several_processes(tmp_path: Path) -> None:
    tell = f"""
total = sum(p.double().sum() for p in trunk.parameters()).item()
open({str(tmp_path)!r} + f"/{{distributed.get_rank()}}", "w").write(repr(total))
distributed.destroy_process_group()"""
    code = RECIPES[APART][0].replace("\ndistributed.destroy_process_group()", tell)
    assert tell in code
    program = tmp_path / "program.py"
    program.write_text(code)
    torchrun = ["--standalone", "--nnodes", "1", "--nproc-per-node", "2", "--no-python"]
    command = [sys.executable, "-m", "torch.distributed.run", *torchrun, sys.executable, str(program)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text()
