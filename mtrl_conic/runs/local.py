"""Execution of runs in processes of this machine, each with its own threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from mtrl_conic.runs.plan import Job
from mtrl_conic.runs.pool import End, Outcome, Watcher, carry_out
from mtrl_conic.workers import PARENT

_KILL_SECONDS = 10.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_locally(
    runs: Sequence[Job], *, jobs: int, threads: int, watcher: Watcher, interrupted: Callable[[], bool]
) -> dict[str, End]:
    """Execute all `runs`, `jobs` at a time; a run that fails does not stop the others.

    Args:
        runs: claimed unfinished runs.
        jobs: number of processes at a time.
        threads: number of threads of each process whose run does not set it.
        watcher: watcher that is informed of events.
        interrupted: function; once it returns true, every process is asked to write its checkpoint and end.

    Returns:
        The end of each run that was started, by name.
    """

    def start(run: Job) -> _Process:
        return _Process(run, run.threads or threads)

    return carry_out(runs, start, jobs=jobs, watcher=watcher, interrupted=interrupted)


class _Process:
    """A process that executes a run's command. Its output is kept in `output.txt`."""

    def __init__(self, run: Job, threads: int) -> None:
        self.arguments: Sequence[str] = run.command(threads)
        self._output, self._errors = run.directory / "output.txt", run.directory / "errors.tmp"
        self._stopping = False
        with self._output.open("a") as output, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mtrl_conic", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, PARENT: str(os.getpid()), **dict.fromkeys(THREAD_VARIABLES, str(threads))},
                # Ctrl-C in the terminal reaches the comparison alone, which then asks each process once.
                start_new_session=True,
            )

    def has_started(self) -> bool:
        return True

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that waits for a lost disk cannot be killed
            self._process.wait(_KILL_SECONDS)
        self._errors.unlink(missing_ok=True)

    def outcome(self) -> Outcome | None:
        code = self._process.poll()
        if code is None:
            return None
        errors = self._errors.read_text(errors="replace")
        self._errors.unlink(missing_ok=True)
        if code == 0 or self._stopping:
            with suppress(OSError), self._output.open("a") as output:
                output.write(errors)
            return Outcome("finished" if code == 0 else "stopped")
        if code < 0:
            return Outcome("killed", f"killed by {signal.Signals(-code).name}", errors)
        return Outcome.of_code(code, errors)
