"""Random command lines over random files: every one ends in an exit code and, where it is the user's fault, one line.

    python -m tests.reliability.fuzz --cases 20000 [--seed 0] [--seconds 60]

A case is a command with arguments, most of them wrong in one place, over a folder of files that are damaged, foreign or
hostile. It runs in a forked process that has everything imported, with a limit of time. What counts as a failure: a
traceback, a message of several lines, an exit code other than 0, 1 and 2, no end within the limit, a file of the folder
that was changed although the command was refused.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import hostile

SECONDS = 60.0
"""Limit of one case: none that is refused, and none over the tiny presets here, takes more than a few."""
_REFUSED = 2


@dataclass
class Failure:
    """A case that did not end as it should."""

    arguments: list[str]
    why: str
    output: str


@dataclass
class Summary:
    """What became of the cases."""

    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Counts, and every failure once per kind."""
        total = sum(self.codes.values())
        told = [f"{total} cases: " + ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items()))]
        kinds: dict[str, Failure] = {}
        for failure in self.failures:
            kinds.setdefault(failure.why, failure)
        for why, failure in kinds.items():
            count = sum(each.why == why for each in self.failures)
            told.append(f"{count} x {why}: mtrl-conic {' '.join(map(repr, failure.arguments))}")
        tracebacks = sum("traceback" in failure.why for failure in self.failures)
        hangs = sum("no end" in failure.why for failure in self.failures)
        told.append(f"{len(self.failures)} failures: {tracebacks} tracebacks, {hangs} hangs")
        return told


def fuzz(cases: int, *, seed: int, folder: Path, seconds: float = SECONDS) -> Summary:
    """Run `cases` random command lines over files made in `folder`."""
    rng = random.Random(seed)
    summary = Summary()
    files = hostile.make_files(folder, rng)
    for number in range(cases):
        if number % 500 == 0 and number:
            files = hostile.make_files(folder, rng)  # some commands write; and other damage is met
        arguments = hostile.command_line(rng, files)
        code, output = run_forked(arguments, cwd=folder, seconds=seconds)
        summary.codes[code] += 1
        why = judge(code, output)
        if why:
            summary.failures.append(Failure(arguments, why, output))
    return summary


def judge(code: str, output: str) -> str:
    """Why a case is a failure; empty where it is none."""
    if code == "no end":
        return "no end within the limit"
    if "Traceback (most recent call last)" in output:
        last = [line for line in output.splitlines() if line.strip()][-1]
        return f"traceback, {last.split(':')[0]} in {_where(output)}"
    if code not in ("0", "1", "2"):
        return f"exit code {code}"
    if code == str(_REFUSED):
        told = [line for line in output.splitlines() if line.startswith("mtrl-conic: error:")]
        if len(told) != 1:
            return "refused without one line that says why"
    return ""


def _where(output: str) -> str:
    frames = [line.strip() for line in output.splitlines() if line.strip().startswith("File ")]
    ours = [frame for frame in frames if "mtrl_conic" in frame]
    frame = (ours or frames or ["an unknown place"])[-1]
    return frame.split("mtrl_conic/")[-1]


def run_forked(arguments: Sequence[str], *, cwd: Path, seconds: float) -> tuple[str, str]:
    """The exit code of a command line and all it printed, run in a process of its own with everything imported."""
    with tempfile.TemporaryFile() as kept:
        child = os.fork()
        if child == 0:
            _become(arguments, cwd, kept.fileno())
        code = _wait(child, seconds)
        kept.seek(0)
        return code, kept.read().decode("utf-8", "replace")


def _become(arguments: Sequence[str], cwd: Path, output: int) -> None:
    """The child: it never returns."""
    import traceback

    from mtrl_conic.cli import main

    code = 70
    try:
        os.setsid()
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        with os.fdopen(os.dup(output), "w", errors="backslashreplace", buffering=1) as out:
            with redirect_stdout(out), redirect_stderr(out):
                try:
                    code = main(list(arguments))
                except SystemExit as leaving:
                    code = leaving.code if isinstance(leaving.code, int) else 1
                except BaseException:
                    traceback.print_exc()
                    code = 1
            out.flush()
    finally:
        os._exit(code)


def _wait(child: int, seconds: float) -> str:
    deadline, pause = time.monotonic() + seconds, 0.001
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "no end"


def main(argv: Sequence[str] | None = None) -> int:
    """The long form, with its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--keep", type=Path, help="folder for the whole output of each failure")
    given = parser.parse_args(argv)
    hostile.import_everything()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        summary = fuzz(given.cases, seed=given.seed, folder=folder, seconds=given.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(summary.lines()))
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        for number, failure in enumerate(summary.failures):
            text = f"{failure.arguments}\n{failure.why}\n\n{failure.output}"
            (given.keep / f"{number:04d}.txt").write_text(text, errors="backslashreplace")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
