"""Runs as tasks of a Ray cluster, whose machines share the folder of the comparison."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtrl_conic.errors import UserError, first_line, not_installed
from mtrl_conic.runs.local import THREAD_VARIABLES
from mtrl_conic.runs.plan import Job
from mtrl_conic.runs.pool import End, Outcome, Watcher, carry_out
from mtrl_conic.runs.status import read_state

Main = Callable[[Sequence[str]], int]
"""The main function: arguments of `mtrl-conic` -> its exit code."""
LOCK_SECONDS = 180.0
"""The seconds that a run which continues elsewhere waits for its lost process to release the directory: a file server
takes a while to notice that a machine is lost."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Return Ray after connecting it to a cluster.

    Args:
        address: address of its head, `host:port`, `auto` for the one on this machine, or `ray://host:port`. None uses
            the cluster of this machine, or starts one on this machine alone.

    Raises:
        UserError: Ray is not installed, or the cluster does not exist.
    """
    try:
        import ray
    except ImportError:
        raise not_installed("ray", "ray") from None
    _check_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(f"at {address}" if address else "here", error) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Check that the head is reachable, because Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(f"at {address}", error) from None


def _no_cluster(where: str, error: Exception) -> UserError:
    return UserError(f"no Ray cluster {where}: {first_line(error)}; start one with `ray start --head`")


def run_on_cluster(
    ray: Any,
    runs: Sequence[Job],
    *,
    jobs: int | None = None,
    threads: int = 1,
    gpus: float = 0.0,
    main: Main,
    watcher: Watcher,
    interrupted: Callable[[], bool],
) -> dict[str, End]:
    """Execute all `runs`, as many at a time as the cluster has room for; a lost run continues elsewhere.

    Args:
        ray: the connected module.
        runs: claimed unfinished runs, in directories with the same absolute path on every machine.
        jobs: largest number of runs at a time.
        threads: number of threads of each run that does not set it; the same number of processors is reserved.
        gpus: number of GPUs reserved for each run, which may be a fraction.
        main: main function of the command line, which a worker calls with a run's command.
        watcher: watcher that is informed of events.
        interrupted: function; once it returns true, every run is asked to write its checkpoint and end.

    Returns:
        The end of each run that was started, by name.

    Raises:
        UserError: no machine of the cluster has enough resources for a run.
    """
    for run in runs:
        _check_room(ray, run.threads or threads, gpus)

    def start(run: Job) -> _Task:
        return _Task(ray, run, main, run.threads or threads, gpus)

    return carry_out(runs, start, jobs=jobs or max(1, len(runs)), watcher=watcher, interrupted=interrupted)


def _check_room(ray: Any, threads: int, gpus: float) -> None:
    largest = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= gpus for node in largest):
        wanted = f"{threads} processors" + (f" and {gpus:g} GPUs" if gpus else "")
        raise UserError(f"no machine of the Ray cluster has {wanted} for a run; lower --threads or --gpus-per-run")


class _Task:
    """A Ray task that executes a run's command in its own worker process.

    The pool restarts it and reports this; Ray itself does not retry it.
    """

    def __init__(self, ray: Any, run: Job, main: Main, threads: int, gpus: float) -> None:
        self.arguments: Sequence[str] = run.command(threads)
        self._ray, self._run, self._stopping = ray, run, False
        fresh = ray.remote(max_calls=1, max_retries=0)  # a new process for every run, as on one machine
        remote = fresh(_in_worker).options(
            name=run.name,
            num_cpus=threads,
            num_gpus=gpus,
            runtime_env={"env_vars": dict.fromkeys(THREAD_VARIABLES, str(threads))},
        )
        self._reference = remote.remote(main, self.arguments, str(run.directory))

    def has_started(self) -> bool:
        return read_state(self._run.directory) == "running"

    def outcome(self) -> Outcome | None:
        if not self._ray.wait([self._reference], timeout=0)[0]:
            return None
        errors = self._ray.exceptions
        try:
            code, written = self._ray.get(self._reference)
        except errors.TaskCancelledError:
            return Outcome("stopped")
        except errors.RayTaskError as error:  # what the command does not catch itself
            return Outcome("stopped") if self._stopping else Outcome("failed", "an error", str(error))
        except errors.RayError as error:
            return Outcome("stopped") if self._stopping else Outcome("killed", f"lost ({type(error).__name__})")
        if code == 0 or self._stopping:
            return Outcome("finished" if code == 0 else "stopped")
        return Outcome.of_code(code, written)

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            # In the worker this is a Ctrl-C, at which the command writes its checkpoint.
            self._ray.cancel(self._reference, force=False)

    def kill(self) -> None:
        self._ray.cancel(self._reference, force=True)


def _in_worker(main: Main, arguments: Sequence[str], directory: str) -> tuple[int, str]:
    """Execute `mtrl-conic` in a worker; return exit code and standard error, and keep its output."""
    deadline = time.monotonic() + LOCK_SECONDS
    while read_state(Path(directory)) == "running" and time.monotonic() < deadline:
        time.sleep(0.5)
    errors = io.StringIO()
    with (Path(directory) / "output.txt").open("a", buffering=1) as output:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = main(arguments)
            except Exception:
                code = 1
                traceback.print_exc()
        if code == 0:
            output.write(errors.getvalue())
    return code, errors.getvalue()
