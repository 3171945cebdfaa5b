"""Kill commands at random moments and writes; given again, they must end with the numbers of a run that was not killed.

    python -m tests.reliability.chaos --kills 200 [--seed 0]

A scenario is a command line over a directory. It is carried out once undisturbed. Then, again and again in a fresh
directory, it is killed (SIGKILL) once or several times, and given again until it ends. A run counts as lost if its
directory is refused, if a command fails or hangs, or if a number differs from the undisturbed run's.

A kill comes

- at a random moment of the run, and hits the command alone or all processes that it started,
- at the n-th time that the command opens a file of its directory for writing, or renames, makes or removes one: an
  audit hook counts these calls in the process and kills it; in a comparison it may be a process of one of the runs,
- at the n-th step of the evaluations.
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

_WRITES, _STEPS = 60, 40
"""The latest write or step of an evaluation that a kill comes at; a run that has fewer is not killed."""
_SHOTS = "MTRL_CONIC_CHAOS"
"""The environment variable that tells a process of a comparison's run when to die."""
_HANGS = 124
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
_PATIENCE = 300.0
"""Seconds after which a command that should have ended counts as hanging."""


@dataclass(frozen=True)
class Scenario:
    """A command that is killed and resumed in the same directory."""

    name: str
    arguments: Callable[[Path], list[str]]
    """Folder -> the command line."""
    result: Callable[[Path], Any]
    """Folder -> all numbers that must not depend on kills."""
    ways: tuple[str, ...]
    """How it is killed: `moment`, `all`, `write`, `process`, `evaluation`."""
    share: int = 1
    """How often its turn comes."""


@dataclass
class Summary:
    """The number of kills, and the runs that were lost to them."""

    kills: int = 0
    by_scenario: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the counts, and a line for each run that was lost."""
        counts = ", ".join(f"{name} {count}" for name, count in self.by_scenario.items())
        return [f"{self.kills} kills ({counts})", *self.lost, f"lost: {len(self.lost)}"]


def run_numbers(directory: Path) -> dict[str, Any]:
    """Return the metrics, evaluations and final result of a run, without its times."""
    lines = {
        name: [_timeless(json.loads(line)) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "evaluations")
    }
    result = json.loads((directory / "result.json").read_text())
    return lines | {"result": {key: result[key] for key in _RESULT if key in result}}


_RESULT = ("step", "success", "returns", "metrics", "selected_epochs")


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _SECONDS}


_SECONDS = ("time", "steps_per_second", "seconds", "epoch_seconds", "epoch_cpu_seconds")


def folder_numbers(directory: Path) -> dict[str, Any]:
    """Return the numbers of all runs of a comparison."""
    runs = sorted(file.parent for file in directory.rglob("result.json"))
    return {str(run.relative_to(directory)): run_numbers(run) for run in runs}


def scenarios(folder: Path) -> list[Scenario]:
    """Return the commands to kill, and write their presets and tables into `folder`."""
    preset, table = folder / "tiny.yaml", folder / "table.csv"
    preset.write_text(hostile.TINY)
    table.write_text(hostile.TABLE)
    train = ["train", str(preset), "--run-dir"]
    compare = ["compare", str(preset), "--balancers", "ls,pcgrad", "--seeds", "0", "--jobs", "2", "--out"]
    regression = ["supervised", "regression", "--data", str(table), "--targets", "a,b", "--balancers", "ls,pcgrad"]
    regression += ["--seeds", "0", "--epochs", "3", "--batch-size", "8", "--out"]
    alone, many = ("moment", "write", "evaluation"), ("moment", "all", "write", "process")
    return [
        Scenario("train", lambda out: [*train, str(out)], run_numbers, alone, 3),
        Scenario("replay on disk", lambda out: [*train, str(out), "--replay", "disk"], run_numbers, alone, 3),
        Scenario("compare", lambda out: [*compare, str(out)], folder_numbers, many),
        Scenario("supervised", lambda out: [*regression, str(out)], folder_numbers, many),
    ]


def chaos(
    kills: int,
    *,
    seed: int,
    folder: Path,
    names: Sequence[str] = (),
    told: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Carry out `kills` kills over the scenarios, in turn.

    Args:
        kills: The number of kills; only those that hit a running command count.
        seed: The seed of all random choices.
        folder: The folder of all directories.
        names: The names of the scenarios; all of them if empty.
        told: Called with the counts so far after each run.
    """
    rng = random.Random(seed)
    summary = Summary()
    chosen = [each for each in scenarios(folder) if not names or each.name in names]
    hostile.main(scenarios(folder)[0].arguments(folder / "first"))  # what is loaded here is loaded in every fork
    expected, lengths = {}, {}
    for scenario in chosen:
        start = time.monotonic()
        code, output = carry_out(scenario.arguments(folder / "undisturbed"), folder / "undisturbed")
        if code != 0:
            raise RuntimeError(f"{scenario.name} fails undisturbed: {output}")
        lengths[scenario.name] = time.monotonic() - start
        expected[scenario.name] = scenario.result(folder / "undisturbed")
        shutil.rmtree(folder / "undisturbed")
    turns = [scenario for scenario in chosen for _ in range(scenario.share)]
    number = 0
    while summary.kills < kills:
        scenario = turns[number % len(turns)]
        way = scenario.ways[number // len(turns) % len(scenario.ways)]
        number += 1
        killed, lost = _disturb(
            scenario, folder / "disturbed", expected[scenario.name], lengths[scenario.name], way, rng
        )
        summary.kills += killed
        name = f"{scenario.name}, {way}"
        summary.by_scenario[name] = summary.by_scenario.get(name, 0) + killed
        summary.lost += lost
        told(summary)
        shutil.rmtree(folder / "disturbed", ignore_errors=True)
    return summary


def _disturb(
    scenario: Scenario, out: Path, expected: Any, length: float, way: str, rng: random.Random
) -> tuple[int, list[str]]:
    """Kill one run a few times and let it end; return the number of kills that hit it, and what was lost."""
    arguments, kills, told = scenario.arguments(out), 0, []
    for _ in range(rng.choice((1, 1, 2, 3))):
        kill = Kill(way, rng.uniform(0.0, 1.1 * length), rng.randrange(1, _STEPS if way == "evaluation" else _WRITES))
        told.append(str(kill))
        code, output = carry_out(arguments, out, kill)
        kills += kill.shot(out) if way == "process" else code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):
            return kills, [f"{scenario.name}, {', '.join(told)}: exit code {code}: {output[-400:]}"]
    code, output = carry_out(arguments, out)
    if code != 0:
        return kills, [f"{scenario.name}, {', '.join(told)}: exit code {code}: {output[-400:]}"]
    found = scenario.result(out)
    lost = [] if found == expected else [f"{scenario.name}, {', '.join(told)}: other numbers"]
    return kills, lost


@dataclass(frozen=True)
class Kill:
    """When a command is killed, and which of its processes."""

    way: str
    after: float
    """Seconds, for `moment` and `all`."""
    count: int
    """Of writes, or of steps in evaluations."""

    def __str__(self) -> str:
        return f"{self.way} after {self.after:.2f} s" if self.timed else f"{self.way} {self.count}"

    @property
    def timed(self) -> bool:
        """Whether the kill comes at a moment of the run."""
        return self.way in ("moment", "all")

    def mark(self, out: Path) -> Path:
        """Return the file by which the first process that is about to die keeps the others from dying too."""
        return out.with_name(f"{out.name}.shot")

    def shot(self, out: Path) -> bool:
        """Return whether a process of a run was killed, and remove its mark so that the next one can be."""
        there = self.mark(out).exists()
        self.mark(out).unlink(missing_ok=True)
        return there

    def arm(self, out: Path) -> None:
        """Make this process, or one that it starts, die at the chosen write or step."""
        if self.way == "write":
            _die_at_write(self.count, str(out))
        elif self.way == "evaluation":
            _die_in_evaluation(self.count)
        elif self.way == "process":
            hook = Path(tempfile.mkdtemp(prefix="chaos-hook-", dir=out.parent))
            (hook / "sitecustomize.py").write_text("from tests.reliability import chaos\nchaos.die_as_told()\n")
            os.environ["PYTHONPATH"] = os.pathsep.join([str(hook), *sys.path])
            os.environ[_SHOTS] = json.dumps([self.count, str(out), str(self.mark(out))])


def carry_out(arguments: Sequence[str], out: Path, kill: Kill | None = None) -> tuple[int, str]:
    """Run a command in a forked session, perhaps kill it, and return its exit code (minus a signal) and output."""
    with tempfile.TemporaryFile() as kept:
        child = os.fork()
        if child == 0:
            _become(arguments, out, kept.fileno(), kill)
        code = _wait(child, kill)
        kept.seek(0)
        return code, kept.read().decode("utf-8", "replace")


def _become(arguments: Sequence[str], out: Path, output: int, kill: Kill | None) -> None:
    from mtrl_conic.cli import main

    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        if kill is not None:
            kill.arm(out)
        code = main(list(arguments))
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def die_as_told() -> None:
    """Arm a process of a comparison's run, which imports this module before anything else."""
    count, folder, mark = json.loads(os.environ[_SHOTS])
    _die_at_write(count, folder, Path(mark))


def _die_at_write(number: int, folder: str, mark: Path | None = None) -> None:
    """Kill this process's session at the `number`-th change that it is about to make in `folder`.

    Args:
        number: The number of the change.
        folder: The folder in which changes are counted.
        mark: A file that is made first; if it exists, another process has died, and this one continues.
    """
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = (event == "open" and _writing(given)) or event in _EVENTS
        if writes and f"{given[0]}{os.sep}".startswith(f"{folder}{os.sep}"):
            seen += 1
            if seen == number and _is_first(mark):
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)


def _is_first(mark: Path | None) -> bool:
    if mark is None:
        return True
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _die_in_evaluation(number: int) -> None:
    """Kill this process's session at the `number`-th step of its evaluations."""
    from mtrl_conic.evaluation.success import Evaluator

    evaluate, seen = Evaluator.evaluate, 0

    def dying(self: Evaluator, act: Any, *, each_step: Callable[[], None] = lambda: None, **given: Any) -> Any:
        def step() -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                os.killpg(0, signal.SIGKILL)
            each_step()

        return evaluate(self, act, each_step=step, **given)

    Evaluator.evaluate = dying  # type: ignore[method-assign]


def _writing(given: tuple[Any, ...]) -> bool:
    _, mode, flags = given
    return any(letter in (mode or "") for letter in "wax+") or bool(flags & (os.O_WRONLY | os.O_RDWR))


def _wait(child: int, kill: Kill | None) -> int:
    start, killed = time.monotonic(), False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end(os.killpg, child)
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - start
        if passed > _PATIENCE:
            _end(os.kill, *_descendants(child), child)
            os.waitpid(child, 0)
            return _HANGS
        if kill is not None and kill.timed and passed >= kill.after and not killed:
            killed = True
            started = _descendants(child) if kill.way == "all" else ()
            _end(os.killpg, child)
            _end(os.kill, *started)
        time.sleep(0.002)


def _descendants(process: int) -> list[int]:
    """Return all descendants of a process; each run of a comparison is a separate session."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(status.parent.name))
    found, waiting = [], [process]
    while waiting:
        waiting += (new := parents.get(waiting.pop(), []))
        found += new
    return found


def _end(kill: Callable[[int, int], None], *numbers: int) -> None:
    for number in numbers:
        try:
            kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


class _Told:
    """Prints the progress from time to time."""

    def __init__(self) -> None:
        self._said = self._lost = 0

    def __call__(self, summary: Summary) -> None:
        for lost in summary.lost[self._lost :]:
            self._lost += 1
            print(lost, flush=True)
        if summary.kills >= self._said + 20:
            self._said = summary.kills
            print(f"{summary.kills} kills, lost: {len(summary.lost)}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the long form, and print its counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenarios", default="", help="names separated by commas; all of them if not given")
    given = parser.parse_args(argv)
    hostile.import_everything()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        names = [name for name in given.scenarios.split(",") if name]
        summary = chaos(given.kills, seed=given.seed, folder=folder, names=names, told=_Told())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(summary.lines()))
    return 1 if summary.lost else 0


if __name__ == "__main__":
    sys.exit(main())
