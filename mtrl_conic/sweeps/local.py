"""Runs as processes of this machine: a few at a time, each on its own threads."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from mtrl_conic.sweeps.grid import PlannedRun
from mtrl_conic.sweeps.status import ERROR_FILE, read_error
from mtrl_conic.training.run_directory import write_text

ATTEMPTS = 3
"""A run that a signal killed (no memory left, say) goes on from its checkpoint; after so many it has failed."""
_POLL_SECONDS = 0.2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

End = Literal["finished", "failed", "stopped", "killed"]


class Watcher(Protocol):
    """Is told what happens to the runs."""

    def started(self, run: PlannedRun) -> None:
        """A process of the run starts."""

    def ended(self, run: PlannedRun, end: End, words: str) -> None:
        """Its process is gone; `words` say why it failed or was killed. A killed one starts again."""

    def tick(self, running: Sequence[PlannedRun]) -> None:
        """Some time has passed."""


def run_locally(
    runs: Sequence[PlannedRun], *, jobs: int, threads: int, watcher: Watcher, interrupted: Callable[[], bool]
) -> dict[str, End]:
    """Train all `runs`, `jobs` at a time; a run that fails does not stop the others.

    Args:
        runs: claimed and not finished.
        jobs: processes at a time.
        threads: of each process, where the run's configuration does not say.
        watcher: is told what happens.
        interrupted: once it says yes, every process is asked to write its checkpoint and end.

    Returns:
        How each run that was started ended, by name.
    """
    pool = _Pool(runs, threads, watcher)
    try:
        while pool.active or pool.waiting:
            if interrupted():
                pool.stop()
            pool.fill(jobs)
            pool.collect()
            watcher.tick([process.run for process in pool.active])
            time.sleep(_POLL_SECONDS if pool.active else 0)
    finally:
        for process in pool.active:
            process.kill()
    return pool.ends


class _Pool:
    def __init__(self, runs: Sequence[PlannedRun], threads: int, watcher: Watcher) -> None:
        self._threads, self._watcher = threads, watcher
        self.waiting = deque(runs)
        self.active: list[_Process] = []
        self.ends: dict[str, End] = {}
        self._attempts: Counter[str] = Counter()

    def fill(self, jobs: int) -> None:
        while self.waiting and len(self.active) < jobs:
            run = self.waiting.popleft()
            self._attempts[run.name] += 1
            self.active.append(_Process(run, run.config.threads or self._threads))
            self._watcher.started(run)

    def collect(self) -> None:
        for process in [process for process in self.active if process.has_ended()]:
            self.active.remove(process)
            run = process.run
            end = process.end(last=self._attempts[run.name] == ATTEMPTS)
            if end == "killed":
                self.waiting.appendleft(run)
            else:
                self.ends[run.name] = end
            self._watcher.ended(run, end, process.words)

    def stop(self) -> None:
        self.waiting.clear()
        for process in self.active:
            process.stop()


class _Process:
    """A process that trains one run. Its output is kept in `output.txt`, a traceback in `error.txt`."""

    def __init__(self, run: PlannedRun, threads: int) -> None:
        self.run = run
        self.words = ""
        """Why it failed or was killed, once it has ended."""
        directory = run.directory
        self._arguments = ["train", str(directory / "config.yaml"), "--run-dir", str(directory)]
        self._arguments += ["--threads", str(threads)]
        self._output, self._errors = directory / "output.txt", directory / "errors.tmp"
        self._stopping = False
        (directory / ERROR_FILE).unlink(missing_ok=True)
        with self._output.open("a") as output, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mtrl_conic", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))},
                # Ctrl-C in the terminal reaches the comparison alone, which then asks each process once.
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.unlink()

    def end(self, *, last: bool) -> End:
        """How it ended; `last`: a kill is a failure, for it will not be started again."""
        code = self._process.returncode
        errors = self._errors.read_text(errors="replace")
        self._errors.unlink()
        if code == 0 or self._stopping:
            with self._output.open("a") as output:
                output.write(errors)
            return "finished" if code == 0 else "stopped"
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code < 0 and not last:
            self.words = reason
            return "killed"
        if code < 0:
            reason += f", {ATTEMPTS} times; is there memory for so many jobs?"
        write_text(self.run.directory / ERROR_FILE, f"mtrl-conic {shlex.join(self._arguments)}\n{reason}\n{errors}")
        self.words = read_error(self.run.directory)
        return "failed"
