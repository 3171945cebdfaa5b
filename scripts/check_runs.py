"""Check that finished runs beat random actions by given margins, and that their saved agents act the same when loaded.

Use: python scripts/check_runs.py runs/a --random random.json --margins Hopper-v5=150 Reacher-v5=20
A folder of runs stands for all runs below it. The exit code is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mtrl_conic import Policy
from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.runs.loading import load_agent
from mtrl_conic.runs.status import find_runs
from mtrl_conic.runs.stored import read_result

ROWS = 50
"""The number of observations of each task for which the actions are compared."""


def margins_hold(run: Path, random: dict[str, float], margins: dict[str, float]) -> bool:
    """Return whether the run's final returns exceed those of random actions by the margins; print a line per task."""
    result = read_result(run)
    assert result is not None
    holds = True
    for task, margin in margins.items():
        gained = result["returns"][task] - random[task]
        holds &= gained >= margin
        word = "holds" if gained >= margin else "FAILS"
        print(
            f"{run}: {task} returns {result['returns'][task]:.1f}, random {random[task]:.1f}, margin {margin:g}: {word}"
        )
    return holds


def acts_the_same(run: Path) -> bool:
    """Return whether the saved agent and its saved policy give exactly the same actions in a new process."""
    _, agent, envs = load_agent(run, device="cpu")
    policy = agent.policy()
    envs.close()
    assert isinstance(agent, MTSAC), run
    assert isinstance(policy, Policy)
    observations = np.random.default_rng(0).normal(size=(ROWS, agent.num_tasks, agent.spec.observation_dim))
    observations = observations.astype(np.float32)
    if agent.spec.one_hot:
        observations[:, :, agent.spec.bare_dim :] = np.eye(agent.num_tasks)
    here = np.stack([policy.act(rows) for rows in observations])
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        agent.save(files / "agent.pt")
        policy.save(files / "policy")
        np.save(files / "observations.npy", observations)
        subprocess.run([sys.executable, __file__, "--act", folder], check=True)
        same = [np.array_equal(here, np.load(files / name)) for name in ("saved.npy", "policy.npy")]
    print(f"{run}: {ROWS} x {agent.num_tasks} actions in a fresh process: {'identical' if all(same) else 'DIFFERENT'}")
    return all(same)


def act(folder: Path) -> None:
    """Write the actions of the saved agent and of its saved policy, in the new process."""
    observations = np.load(folder / "observations.npy")
    policies = {
        "saved": MTSAC.load(folder / "agent.pt", device="cpu").policy(),
        "policy": Policy.load(folder / "policy"),
    }
    for name, policy in policies.items():
        np.save(folder / f"{name}.npy", np.stack([policy.act(rows) for rows in observations]))


def main() -> int:
    """Check every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--random", type=Path, help="file written by `evaluate --policy random --json`")
    parser.add_argument("--margins", nargs="+", default=[], metavar="TASK=RETURN")
    parser.add_argument("--act", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.act:
        act(arguments.act)
        return 0
    margins = {task: float(value) for task, _, value in (text.partition("=") for text in arguments.margins)}
    random = json.loads(arguments.random.read_text())["returns"] if margins else {}
    finished = [run for run in find_runs(arguments.runs) if read_result(run) is not None]
    held = [margins_hold(run, random, margins) & acts_the_same(run) for run in finished]
    return 0 if held and all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
