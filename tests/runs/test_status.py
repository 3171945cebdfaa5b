"""Tests of the state and the progress of a run, read from its directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtrl_conic.errors import UserError
from mtrl_conic.runs.config import RunConfig
from mtrl_conic.runs.configuration import Budget
from mtrl_conic.runs.directory import RunDirectory
from mtrl_conic.runs.records import last_record
from mtrl_conic.runs.status import Progress, find_runs, read_error, read_progress, read_state

METHOD = "balancer: ls\nbalancer_options: {}\nseed: 0\n"


def test_a_runs_life(tiny: RunConfig, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, tiny.model_dump(mode="json"))
    assert read_state(tmp_path) == "running"
    run.close()
    assert read_state(tmp_path) == "waiting"
    run.append("metrics", {"step": 20, "time": 4.0, "steps_per_second": 5.0})
    assert read_state(tmp_path) == "stale"
    (tmp_path / "error.txt").write_text("command\nTraceback\nFloatingPointError: diverged\n")
    assert read_state(tmp_path) == "failed"
    assert read_error(tmp_path) == "FloatingPointError: diverged"
    run.finish({"step": 20, "seconds": 4.0})
    assert read_state(tmp_path) == "finished"


def test_progress(tiny: RunConfig, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, tiny.model_dump(mode="json"))
    assert read_progress(tmp_path) == Progress()
    assert Progress().seconds_left(Budget(100, "step")) is None
    run.append("metrics", {"step": 20, "time": 4.0, "steps_per_second": 5.0})
    none = {"mean_success": 0.5, "success": {"a": 0.5}, "returns": {}, "episodes_per_task": 1}
    run.append("evaluations", {"step": 25, "time": 6.0, **none})
    assert read_progress(tmp_path) == Progress(25, 6.0, 5.0, 25, 0.5)
    run.append("evaluations", {"step": 25, "time": 6.0, **none, "returns": {"a": 9.0, "b": -3.0}})
    assert read_progress(tmp_path) == Progress(25, 6.0, 5.0, 25, 0.5, {"b": -3.0}), "the return of what has no success"
    run.close()
    assert Progress(step=25, seconds=6.0).seconds_left(Budget(100, "step")) == pytest.approx(18)
    assert Progress(step=25, seconds=6.0).seconds_left(Budget(100, "step", 0.2)) == pytest.approx(6), (
        "the clock ends it first"
    )
    assert Progress(step=100, seconds=6.0).seconds_left(Budget(100, "step")) == 0


@pytest.mark.parametrize("padding", [0, 10, 65_530, 200_000])
def test_the_last_whole_line_is_found_wherever_a_read_begins(padding: int, tmp_path: Path) -> None:
    records = [{"step": step, "pad": "x" * padding} for step in (1, 2)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3, "half a li')
    assert last_record(tmp_path, "metrics") == records[1]
    (tmp_path / "metrics.jsonl").write_text(text[: padding + 15])
    assert last_record(tmp_path, "metrics") == {}
    assert last_record(tmp_path, "evaluations") == {}


def test_finding_runs(tmp_path: Path) -> None:
    for name in ("b/seed_1", "b/seed_0", "a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(f"kind: reinforcement\nsteps: 1\n{METHOD}")
    found = find_runs([tmp_path, tmp_path / "a"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a", "b/seed_0", "b/seed_1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no runs in"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(UserError, match="there is no folder"):
        find_runs([tmp_path / "nowhere"])


def test_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels = ["gradops_alpha=-10", "gradops_alpha=-2", "gradops_alpha=0.5", "gradops_alpha=2", "run-9", "run-10"]
    names = [f"{label}/seed_{seed}" for label in labels for seed in (0, 9, 10)]
    for name in reversed(names):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(f"kind: reinforcement\nsteps: 1\n{METHOD}")
    assert [str(path.relative_to(tmp_path)) for path in find_runs([tmp_path])] == names


def test_links_to_runs_are_followed_and_each_run_is_found_once(tiny: RunConfig, tmp_path: Path) -> None:
    for name in ("a", "b"):
        RunDirectory(tmp_path / "runs" / name, tiny.model_dump(mode="json")).close()
    links = tmp_path / "links"
    links.mkdir()
    (links / "first").symlink_to(tmp_path / "runs" / "a")
    (links / "again").symlink_to(tmp_path / "runs" / "a")
    (links / "round").symlink_to(links)
    assert [path.resolve() for path in find_runs([links])] == [tmp_path / "runs" / "a"]
    assert len(find_runs([links, tmp_path / "runs"])) == 2


def test_what_is_no_run_is_skipped_and_named(tmp_path: Path) -> None:
    """The configuration that a logger keeps within a run is neither a run nor named."""
    for name, text in (
        ("run", f"kind: supervised\nepochs: 1\n{METHOD}"),
        ("run/wandb/files", "_wandb: {value: 1}\n"),
        ("other", "seed: 1\n"),
        ("broken", "seed: [1\n"),
        ("list", "- kind\n"),
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "config.yaml").write_bytes(b"\xff\xfe\x00")
    told: list[str] = []
    assert find_runs([tmp_path], skipped=told.append) == [tmp_path / "run"]
    assert len(told) == 4
    for name in ("other", "broken", "list", "binary"):
        assert any(str(tmp_path / name / "config.yaml") in words for words in told), name
    with pytest.raises(UserError, match="its kind is not one of"):
        find_runs([tmp_path / "other"])
