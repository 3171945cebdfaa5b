"""The replay against a plain list, on disk and off, killed and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtrl_conic.agents.protocol import Batch
from mtrl_conic.errors import UserError
from mtrl_conic.training.replay import Replay

K, D, A = 3, 2, 1


def fill(replay: Replay, start: int, stop: int) -> None:
    """Transition t of task k holds t + k / 10 everywhere, so that a mix-up shows."""
    for t in range(start, stop):
        value = t + np.arange(K, dtype=np.float32) / 10
        rows = np.repeat(value[:, None], D, axis=1)
        terminated, truncated = np.full(K, t % 2 == 0), np.zeros(K, np.bool_)
        replay.add(rows, rows[:, :A], value.astype(np.float64), terminated, truncated, rows + 1)


def make(tmp_path: Path | None = None, *, memory_map: bool = False, **options: Any) -> Replay:
    settings: dict[str, Any] = {"capacity": 10, "slack": 4, **options}
    capacity = settings.pop("capacity")
    file = tmp_path / "replay.npy" if tmp_path else None
    return Replay(K, capacity, D, A, file=file, memory_map=memory_map, **settings)


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a[:5], b[:5], strict=True)) and a.weights == b.weights


def test_a_batch_has_the_same_number_of_rows_of_each_task_in_place() -> None:
    replay = make()
    fill(replay, 0, 7)
    batch = replay.sample(50)
    assert batch.observations.shape == (K, 50, D)
    assert batch.actions.shape == (K, 50, A)
    assert batch.rewards.shape == batch.discounts.shape == (K, 50)
    for task in range(K):
        times = (batch.rewards[task] - task / 10).round()
        assert torch.allclose(batch.observations[task, :, 0], times + task / 10)
        assert torch.allclose(batch.next_observations[task, :, 1], times + task / 10 + 1)
        assert torch.equal(batch.discounts[task], 0.99 * (times % 2 == 1))
    assert not torch.equal(batch.rewards[0].round(), batch.rewards[1].round()), "tasks draw their own rows"


def test_only_the_last_transitions_are_drawn_all_of_them_equally() -> None:
    replay = make()
    fill(replay, 0, 37)
    assert len(replay) == 10
    times = replay.sample(20_000).rewards[0].round().long()
    counts = torch.bincount(times, minlength=37)
    assert counts[:27].sum() == 0
    assert (counts[27:] > 1700).all()
    assert (counts[27:] < 2300).all()


ENDS = {4: "terminated", 9: "truncated", 15: "terminated", 16: "truncated", 22: "truncated"}


def expected_return(t: int, newest: int, n: int, discount: float, offset: float) -> tuple[float, float, float]:
    """The n-step return of transition t by its definition: reward, discount of the bootstrap, next observation."""
    total, power = 0.0, 1.0
    for step in range(t, min(t + n, newest + 1)):
        total += power * (step + offset)
        power *= discount
        if step in ENDS:
            return total, power * (ENDS[step] != "terminated"), step + offset + 1
    return total, power, min(t + n, newest + 1) + offset


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_n_step_returns_by_their_definition(n: int) -> None:
    """Cut where an episode ends and at the newest transition, over a ring that has gone round."""
    replay = make(capacity=20, n_step=n, discount=0.5)
    for t in range(27):
        value = t + np.arange(K) / 10
        rows = np.repeat(value[:, None], D, axis=1).astype(np.float32)
        ends = [np.full(K, ENDS.get(t) == how) for how in ("terminated", "truncated")]
        replay.add(rows, rows[:, :A], value, *ends, rows + 1)
    batch = replay.sample(400)
    seen = set()
    for task in range(K):
        for row in range(400):
            t = round(batch.observations[task, row, 0].item() - task / 10)
            seen.add(t)
            reward, discount, following = expected_return(t, 26, n, 0.5, task / 10)
            assert batch.rewards[task, row].item() == pytest.approx(reward, rel=1e-5)
            assert batch.discounts[task, row].item() == discount
            assert batch.next_observations[task, row, 1].item() == pytest.approx(following, rel=1e-5)
    assert seen == set(range(7, 27))


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("steps", [3, 9, 10, 14, 23, 60])
def test_continues_bit_for_bit(memory_map: bool, steps: int, tmp_path: Path) -> None:
    """Saved every 4 steps and killed at `steps`: what follows the last save is what was never interrupted."""
    killed, whole = make(tmp_path, memory_map=memory_map), make()
    saved: dict[str, Any] = {}
    for t in range(steps):
        if t % 4 == 3:
            saved = killed.save()
        fill(killed, t, t + 1)
        killed.sample(5)
    start = saved.get("position", 0)
    resumed = make(tmp_path, memory_map=memory_map)
    if saved:
        resumed.load(saved)
    for t in range(start):
        fill(whole, t, t + 1)
        whole.sample(5)
    whole_generator = whole._generator.get_state()
    if saved:
        # `killed` was saved before step t's draw, as `whole` is now.
        assert torch.equal(saved["generator"], whole_generator)
    for t in range(start, start + 6):
        fill(resumed, t, t + 1)
        fill(whole, t, t + 1)
        assert equal(resumed.sample(7), whole.sample(7))


def test_saving_late_loses_rows_and_says_so(tmp_path: Path) -> None:
    replay = make(tmp_path)
    fill(replay, 0, 3)
    replay.save()
    fill(replay, 3, 8)
    assert replay.unsaved == 5
    with pytest.raises(RuntimeError, match="slack"):
        replay.save()


def test_a_new_file_is_sparse(tmp_path: Path) -> None:
    replay = make(tmp_path, capacity=1_000_000)
    fill(replay, 0, 2)
    replay.save()
    file = tmp_path / "replay.npy"
    assert file.stat().st_size > 50_000_000
    assert file.stat().st_blocks * 512 < 1_000_000


def test_memory_map_needs_a_file() -> None:
    with pytest.raises(UserError, match="run directory"):
        make(memory_map=True)
    with pytest.raises(UserError, match="no file"):
        make().save()


def test_another_shape_is_refused(tmp_path: Path) -> None:
    replay = make(tmp_path)
    fill(replay, 0, 2)
    replay.save()
    with pytest.raises(UserError, match="shape"):
        make(tmp_path, capacity=20).save()
    assert np.load(tmp_path / "replay.npy").shape == (K, 18, 2 * D + A + 3)


def test_seeds_draw_different_batches() -> None:
    replays = [make(seed=seed) for seed in (0, 0, 1)]
    for replay in replays:
        fill(replay, 0, 10)
    first, second, third = (replay.sample(20) for replay in replays)
    assert equal(first, second)
    assert not equal(first, third)


@pytest.mark.parametrize("n_step", [1, 3])
def test_returns_stay_within_one_environment_of_a_task(n_step: int, tmp_path: Path) -> None:
    """Two environments per task, by a list for each: the first ends at every fifth step, the second never."""
    replay = make(tmp_path, capacity=16, slack=7, copies=2, n_step=n_step, discount=0.5)
    for t in range(31):
        values = t + np.tile([0.0, 1000.0], K)  # of the N = 2 K environments, those of a task side by side
        rows = np.repeat(values[:, None], D, axis=1).astype(np.float32)
        terminated = np.tile([t % 5 == 4, False], K)
        replay.add(rows, rows[:, :A], values, terminated, np.zeros(2 * K, np.bool_), rows + 0.5)
        if t % 3 == 0:
            saved = replay.save()
    assert len(replay) == 16
    batch = replay.sample(400)
    starts = set()
    for first, reward, discount, last in zip(
        batch.observations[1, :, 0].tolist(),
        batch.rewards[1].tolist(),
        batch.discounts[1].tolist(),
        batch.next_observations[1, :, 0].tolist(),
        strict=True,
    ):
        copy, t = divmod(int(first), 1000)
        ends = [t] if copy == 0 and t % 5 == 4 else []
        steps = [t]
        while len(steps) < n_step and not ends and steps[-1] < 30:
            steps.append(steps[-1] + 1)
            ends += [steps[-1]] if copy == 0 and steps[-1] % 5 == 4 else []
        assert reward == pytest.approx(sum(0.5**n * (step + 1000 * copy) for n, step in enumerate(steps)))
        assert discount == (0 if ends else 0.5 ** len(steps))
        assert last == steps[-1] + 1000 * copy + 0.5
        starts.add(int(first))
    assert starts == {*range(23, 31), *range(1023, 1031)}
    again = make(tmp_path, capacity=16, slack=7, copies=2, n_step=n_step, discount=0.5)
    again.load(saved)
    assert sorted(set(again.sample(400).observations[0, :, 0].int().tolist())) == sorted(starts)


@pytest.mark.parametrize("memory_map", [False, True])
def test_no_return_goes_on_over_a_cut_which_is_saved_with_the_rest(memory_map: bool, tmp_path: Path) -> None:
    """New episodes were started behind the transition of time 2."""
    replay = make(tmp_path, memory_map=memory_map, n_step=3, discount=1.0)
    fill(replay, 1, 2)
    two, no = np.full((K, D), 2, np.float32), np.zeros(K, np.bool_)
    replay.add(two, two[:, :A], np.full(K, 2.0), no, no, two)
    replay.save()
    replay.cut()
    fill(replay, 3, 5)
    again = make(tmp_path, memory_map=memory_map, n_step=3, discount=1.0)
    again.load(replay.save())
    for kept in (replay, again):
        batch = kept.sample(100)
        before = batch.observations[..., 0] < 2.5
        # A return is 1 + 2 from time 1 and 2 from time 2, and bootstraps there; never 1 + 2 + 3.
        assert batch.rewards[before].max() < 3.5
        assert (batch.discounts[before] == 1).all()


def test_a_replay_on_a_gpu_goes_on_on_a_cpu(tmp_path: Path) -> None:
    """The state of a GPU's generator has another size."""
    drawn = []
    for _ in range(2):
        replay = make(tmp_path)
        fill(replay, 0, 8)
        replay.load({**replay.save(), "generator": torch.zeros(16, dtype=torch.uint8)})
        drawn.append(replay.sample(5))
    assert equal(*drawn)
