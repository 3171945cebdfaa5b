"""Tests that the memory and handles of a run do not grow with its steps, and that long records are read in part."""

from __future__ import annotations

import gc
import json
import os
import statistics
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from mtrl_conic import reading
from mtrl_conic.cli import main
from mtrl_conic.report.reinforcement import source
from mtrl_conic.runs.config import make_config
from mtrl_conic.runs.run import train
from mtrl_conic.training.callbacks import Callback
from mtrl_conic.training.trainer import Trainer
from tests.reliability.hostile import TINY
from tests.report.conftest import metrics, write_run
from tests.report.conftest import tiny as tiny

STEPS, EVERY = 120, 6


class Watched(Callback):
    """Counts from time to time the handles, threads, files, objects and bytes of a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: list[dict[str, int]] = []

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step % EVERY:
            return
        gc.collect()
        self.counts.append(
            {
                "handles": len(os.listdir("/proc/self/fd")),
                "threads": threading.active_count(),
                "files": sum(1 for _ in self.folder.rglob("*")),
                "objects": len(gc.get_objects()),
                "bytes": tracemalloc.get_traced_memory()[0],
            }
        )


def test_handles_files_threads_and_memory_stay_flat(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    config = make_config(
        str(tmp_path / "tiny.yaml"), {"steps": STEPS, "training": {"evaluate_every": EVERY, "checkpoint_every": EVERY}}
    )
    watched = Watched(tmp_path / "run")
    tracemalloc.start()
    train(config, tmp_path / "run", callbacks=[watched])
    tracemalloc.stop()
    counts = watched.counts[4:]  # by then everything that is loaded or made once exists
    early, late = counts[: len(counts) // 2], counts[len(counts) // 2 :]
    room = {"objects": 50, "bytes": 20_000}
    for name in counts[0]:
        most = max(each[name] for each in early)
        # The median, because what the interpreter keeps for itself comes and goes.
        later = statistics.median(each[name] for each in late)
        assert later <= most + room.get(name, 0), f"{name} grow: {[each[name] for each in counts]}"


def bytes_read(do: Callable[[], object]) -> int:
    """Return how many bytes this process reads, from the disk or not, while it calls `do`."""

    def count() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = count()
    do()
    return count() - before


@pytest.fixture
def long_run(tmp_path: Path) -> Path:
    """Return a finished run with 6,000 lines of metrics."""
    run = write_run(tmp_path / "run", "ls", 0)
    record = metrics(1, np.random.default_rng(0))
    lines = (json.dumps({**record, "step": step}) + "\n" for step in range(1, 6001))
    (run / "metrics.jsonl").write_text("".join(lines))
    return run


def test_runs_are_listed_by_the_ends_of_their_records(long_run: Path, tmp_path: Path) -> None:
    main(["runs", str(tmp_path)])  # loads modules
    size = (long_run / "metrics.jsonl").stat().st_size
    assert bytes_read(lambda: main(["runs", str(tmp_path)])) < size / 4
    assert issubclass(reading._Loader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), "PyYAML's own takes seconds"


def test_a_report_reads_a_part_of_long_records(long_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (long_run / "metrics.jsonl").stat().st_size
    assert bytes_read(lambda: source.read_conflicts(long_run)) >= size
    monkeypatch.setattr(source, "WHOLE", size // 2)
    monkeypatch.setattr(source, "SAMPLE", 20)
    assert bytes_read(lambda: source.read_conflicts(long_run)) < size / 4
