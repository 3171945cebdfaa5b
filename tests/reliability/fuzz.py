"""Run random command lines over random files; each must end with an exit code and, if the user is at fault, one line.

    python -m tests.reliability.fuzz --cases 20000 [--seed 0] [--seconds 60]

A case is a command with arguments, most of them wrong in one place, over a folder of files that are damaged, foreign or
hostile: presets, runs, checkpoints, tables, data sets, curves, modules, policies, saved agents. It runs in a forked
process that has everything imported, with a limit of time. Each of these is a failure: a traceback, an exit code other
than 0 and 2, a refusal (2) without exactly one line that says why, no end within the limit, a file that was changed or
made although the command was refused, and a file that was made by the code in a pickle or a YAML tag.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability import hostile

SECONDS = 60.0
"""The limit of a case in seconds; cases that are refused, and runs of the tiny presets, take a few seconds."""
_REFUSED = 2
_ATTEMPTS = "provenance.jsonl"
"""The file that records every attempt to resume a run, with time and versions."""


@dataclass
class Failure:
    """A case that did not end as it should."""

    arguments: list[str]
    why: str
    output: str


@dataclass
class Summary:
    """The exit codes of the cases, and the failures."""

    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the counts, and one line for each kind of failure."""
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


def fuzz(
    cases: int,
    *,
    seed: int,
    folder: Path,
    seconds: float = SECONDS,
    told: Callable[[int, Summary], None] = lambda number, summary: None,
) -> Summary:
    """Run `cases` random command lines over files made in `folder`."""
    rng = random.Random(seed)
    summary = Summary()
    files = hostile.make_files(folder, rng)
    with Runner(folder, seconds) as runner:
        for number in range(cases):
            if number % 500 == 0 and number:
                files = hostile.make_files(folder, rng)  # some commands write; new files are also damaged in other ways
            arguments = hostile.command_line(rng, files)
            before = _state(folder)
            code, output = runner.run(arguments)
            summary.codes[code] += 1
            changed = sorted(set(before.items()) ^ set(_state(folder).items()))
            why = judge(code, output)
            begun = "cannot write" in output  # say, one of several files, because a folder has its name
            changed = [entry for entry in changed if Path(entry[0]).name != _ATTEMPTS]
            if code == str(_REFUSED) and changed and not begun and not why:
                why = f"refused, yet {Path(changed[0][0]).name} was changed"
            if (folder / "owned").exists():
                why = "a file ran code"
            if why:
                summary.failures.append(Failure(arguments, why, output))
            told(number + 1, summary)
    return summary


def _state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the kind, size and time of change of each file, and the kind alone of folders and locks."""
    found: dict[str, tuple[int, ...]] = {}
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                status = entry.stat(follow_symlinks=False)
                kept = is_folder or entry.name == ".lock"  # its content names the last holder
                found[entry.path] = (status.st_mode, *(() if kept else (status.st_size, status.st_mtime_ns)))
                if is_folder:
                    waiting.append(entry.path)
    return found


def judge(code: str, output: str) -> str:
    """Return why a case is a failure, or an empty text if it is none."""
    if code == "no end":
        return "no end within the limit"
    if "Traceback (most recent call last)" in output:
        last = [line for line in output.splitlines() if line.strip()][-1]
        return f"traceback, {last.split(':')[0]} in {_where(output)}"
    if code not in ("0", "2"):
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
    """Run a command line in a forked process with everything imported; return its exit code and output."""
    with Runner(cwd, seconds) as runner:
        return runner.run(arguments)


class Runner:
    """A forked process that carries out one command line after another, and is replaced if one ends or hangs it.

    Args:
        cwd: The working directory of the commands.
        seconds: The limit for each command; time in which the process waited for a processor does not count.
    """

    def __init__(self, cwd: Path, seconds: float) -> None:
        self._cwd, self._seconds = cwd, seconds
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `__exit__`
        self._child: int | None = None
        self._cases = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
        self._output.close()

    def run(self, arguments: Sequence[str]) -> tuple[str, str]:
        """Carry out a command line and return its exit code and output."""
        if self._child is None or self._cases == _CASES:
            self._end()
            self._fork()
        self._cases += 1
        os.ftruncate(self._output.fileno(), 0)
        self._to.write(json.dumps(list(arguments)) + "\n")
        self._to.flush()
        code = self._answer()
        size = os.fstat(self._output.fileno()).st_size
        return code, os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def _fork(self) -> None:
        (read_command, write_command), (self._answers, write_answer) = os.pipe(), os.pipe()
        self._cases, self._child = 0, os.fork()
        if self._child == 0:
            os.close(write_command)
            _serve(read_command, write_answer, self._cwd, self._output.fileno())
        os.close(read_command)
        os.close(write_answer)
        self._to = os.fdopen(write_command, "w")

    def _answer(self) -> str:
        start, waited = time.monotonic(), 0.0
        while waited < self._seconds:
            if select.select([self._answers], [], [], 1.0)[0]:
                code = os.read(self._answers, 100).decode()
                return code or f"{self._end()}"
            waited = time.monotonic() - start - self._starved()
        self._end()
        return "no end"

    def _starved(self) -> float:
        """Return the seconds in which the process was ready to run and others ran instead."""
        return int(Path(f"/proc/{self._child}/schedstat").read_text().split()[1]) / 1e9

    def _end(self) -> int:
        """Kill the process if it still runs, and return its exit code."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        self._to.close()
        os.close(self._answers)
        time.sleep(0.01)
        done, status = os.waitpid(child, os.WNOHANG)
        if not done:
            os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)


_CASES = 20
"""The number of command lines per process; forking one with everything imported takes longer than most of them."""


def _serve(commands: int, answers: int, cwd: Path, output: int) -> None:
    """Carry out commands in the child; this function never returns."""
    try:
        os.setsid()
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for line in os.fdopen(commands):
            os.lseek(output, 0, os.SEEK_SET)
            os.write(answers, str(_carry_out(json.loads(line), output)).encode())
    finally:
        os._exit(70)


def _carry_out(arguments: list[str], output: int) -> int:
    out = os.fdopen(os.dup(output), "w", errors="backslashreplace", buffering=1)
    with out, redirect_stdout(out), redirect_stderr(out):
        try:
            return hostile.carry_out(arguments)
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
            return 1


class _Told:
    """Prints the progress from time to time, and keeps the whole output of each failure."""

    def __init__(self, keep: Path | None) -> None:
        self._keep, self._kept = keep, 0
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)

    def __call__(self, number: int, summary: Summary) -> None:
        if number % 1000 == 0:
            print(f"{number} cases, {len(summary.failures)} failures", flush=True)
        for failure in summary.failures[self._kept :]:
            if self._keep is not None:
                text = f"{failure.arguments}\n{failure.why}\n\n{failure.output}"
                (self._keep / f"{self._kept:04d}.txt").write_text(text, errors="backslashreplace")
            self._kept += 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the long form, and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--keep", type=Path, help="folder for the whole output of each failure")
    given = parser.parse_args(argv)
    hostile.import_everything()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        summary = fuzz(given.cases, seed=given.seed, folder=folder, seconds=given.seconds, told=_Told(given.keep))
    finally:
        for each in (folder, folder.with_name(folder.name + "-whole")):
            shutil.rmtree(each, ignore_errors=True)
    print("\n".join(summary.lines()))
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
