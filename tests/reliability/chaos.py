"""Kills at random moments and at every write: the same command again ends with the numbers of a run that nobody killed.

    python -m tests.reliability.chaos --kills 200 [--seed 0]

A scenario is a command line over a directory. It is carried out once undisturbed; then, again and again in a fresh
directory, it is killed (SIGKILL, with all its workers), once or several times, and given again until it ends. Lost is a
directory that is refused, a command that fails, or a number that differs from the undisturbed run's.

Kills come at a random moment of the run, or at the n-th time that it opens a file of its directory for writing,
renames, makes or removes one: an audit hook counts these in the process and ends it there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability import hostile

_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
_PATIENCE = 300.0
"""Seconds until a command that should have ended counts as hanging."""


@dataclass(frozen=True)
class Scenario:
    """A command whose directory is killed and taken up again."""

    name: str
    arguments: Callable[[Path], list[str]]
    """Folder -> the command line."""
    result: Callable[[Path], Any]
    """Folder -> all numbers that must not depend on kills."""


@dataclass
class Summary:
    """What was lost."""

    kills: int = 0
    by_scenario: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Counts, and what was lost."""
        counts = ", ".join(f"{name} {count}" for name, count in self.by_scenario.items())
        return [f"{self.kills} kills ({counts})", *self.lost, f"lost: {len(self.lost)}"]


def run_numbers(directory: Path) -> dict[str, Any]:
    """Everything of a run that is no time: metrics, evaluations and the final result."""
    lines = {
        name: [_timeless(json.loads(line)) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "evaluations")
    }
    result = json.loads((directory / "result.json").read_text())
    return lines | {"result": {key: result[key] for key in ("step", "success", "returns") if key in result}}


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("time", "steps_per_second", "seconds")}


def folder_numbers(directory: Path) -> dict[str, Any]:
    """The numbers of all runs of a comparison."""
    runs = sorted(file.parent for file in directory.rglob("result.json"))
    return {str(run.relative_to(directory)): run_numbers(run) for run in runs}


def supervised_numbers(directory: Path) -> dict[str, Any]:
    """The measures of all runs of a supervised comparison."""
    found = {}
    for file in sorted(directory.rglob("result.json")):
        result = json.loads(file.read_text())
        found[str(file.parent.relative_to(directory))] = {
            key: value for key, value in result.items() if isinstance(value, (dict, list)) and "seconds" not in key
        } | {"versions": None, "machine": None}
    return found


def scenarios(folder: Path) -> list[Scenario]:
    """The commands that are killed; presets and tables are written into `folder`."""
    preset, table = folder / "tiny.yaml", folder / "table.csv"
    preset.write_text(hostile.TINY)
    table.write_text(hostile.TABLE)
    train = ["train", str(preset), "--run-dir"]
    compare = ["compare", str(preset), "--balancers", "ls,pcgrad", "--seeds", "0", "--jobs", "2", "--out"]
    regression = ["supervised", "regression", "--data", str(table), "--targets", "a,b", "--balancers", "ls,pcgrad"]
    regression += ["--seeds", "0", "--epochs", "3", "--batch-size", "8", "--out"]
    return [
        Scenario("train", lambda out: [*train, str(out)], run_numbers),
        Scenario("replay on disk", lambda out: [*train, str(out), "--replay", "disk"], run_numbers),
        Scenario("compare", lambda out: [*compare, str(out)], folder_numbers),
        Scenario("supervised", lambda out: [*regression, str(out)], supervised_numbers),
    ]


def chaos(kills: int, *, seed: int, folder: Path, names: Sequence[str] = ()) -> Summary:
    """Carry out `kills` kills over the scenarios, in turn."""
    rng = random.Random(seed)
    summary = Summary()
    chosen = [each for each in scenarios(folder) if not names or each.name in names]
    expected, lengths = {}, {}
    for scenario in chosen:
        start = time.monotonic()
        code, output = carry_out(scenario.arguments(folder / "undisturbed"), folder / "undisturbed")
        if code != 0:
            raise RuntimeError(f"{scenario.name} fails undisturbed: {output}")
        lengths[scenario.name] = time.monotonic() - start
        expected[scenario.name] = scenario.result(folder / "undisturbed")
        shutil.rmtree(folder / "undisturbed")
    number = 0
    while summary.kills < kills:
        scenario = chosen[number % len(chosen)]
        number += 1
        done = _disturb(scenario, folder / "disturbed", expected[scenario.name], lengths[scenario.name], number, rng)
        summary.kills += done[0]
        summary.by_scenario[scenario.name] = summary.by_scenario.get(scenario.name, 0) + done[0]
        summary.lost += done[1]
        shutil.rmtree(folder / "disturbed", ignore_errors=True)
    return summary


def _disturb(
    scenario: Scenario, out: Path, expected: Any, length: float, number: int, rng: random.Random
) -> tuple[int, list[str]]:
    """Kill one run a few times, and let it end: kills that met it alive, and what was lost."""
    arguments, kills, told = scenario.arguments(out), 0, []
    for _ in range(rng.choice((1, 1, 2, 3))):
        at_write = rng.randrange(1, 60) if number % 2 else None
        after = None if at_write else rng.uniform(0.0, 1.1 * length)
        told.append(f"write {at_write}" if at_write else f"{after:.2f} s")
        code, output = carry_out(arguments, out, kill_at_write=at_write, kill_after=after)
        kills += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):
            return kills, [f"{scenario.name}, killed at {', '.join(told)}: exit code {code}: {output[-400:]}"]
    code, output = carry_out(arguments, out)
    if code != 0:
        return kills, [f"{scenario.name}, killed at {', '.join(told)}: exit code {code}: {output[-400:]}"]
    found = scenario.result(out)
    lost = [] if found == expected else [f"{scenario.name}, killed at {', '.join(told)}: other numbers"]
    return kills, lost


def carry_out(
    arguments: Sequence[str], out: Path, *, kill_at_write: int | None = None, kill_after: float | None = None
) -> tuple[int, str]:
    """Exit code (minus a signal's number) and output of a command, in a forked session of its own, perhaps killed."""
    with tempfile.TemporaryFile() as kept:
        child = os.fork()
        if child == 0:
            _become(arguments, out, kept.fileno(), kill_at_write)
        code = _wait(child, kill_after)
        kept.seek(0)
        return code, kept.read().decode("utf-8", "replace")


def _become(arguments: Sequence[str], out: Path, output: int, kill_at_write: int | None) -> None:
    from mtrl_conic.cli import main

    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        if kill_at_write is not None:
            _die_at_write(kill_at_write, str(out))
        code = main(list(arguments))
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _die_at_write(number: int, folder: str) -> None:
    """Kill this process's session at the `number`-th change that it is about to make in `folder`."""
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = (event == "open" and _writing(given)) or event in _EVENTS
        if writes and str(given[0]).startswith(folder):
            seen += 1
            if seen >= number:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)


def _writing(given: tuple[Any, ...]) -> bool:
    _, mode, flags = given
    return any(letter in (mode or "") for letter in "wax+") or bool(flags & (os.O_WRONLY | os.O_RDWR))


def _wait(child: int, kill_after: float | None) -> int:
    start, killed = time.monotonic(), False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end_session(child)
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - start
        if (kill_after is not None and passed >= kill_after and not killed) or passed > _PATIENCE:
            killed = True
            _end_session(child)
        time.sleep(0.002)


def _end_session(leader: int) -> None:
    """Kill what is left of a session: a machine that loses its power spares no worker."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def main(argv: Sequence[str] | None = None) -> int:
    """The long form, with its counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenarios", default="", help="names separated by commas; all of them if not given")
    given = parser.parse_args(argv)
    hostile.import_everything()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        names = [name for name in given.scenarios.split(",") if name]
        summary = chaos(given.kills, seed=given.seed, folder=folder, names=names)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(summary.lines()))
    return 1 if summary.lost else 0


if __name__ == "__main__":
    sys.exit(main())
