"""Prioritised replay: how often transitions are drawn, what they are drawn by, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mtrl_conic.training.priorities import CANDIDATES, Priorities
from tests.training.test_replay import K, equal, fill, make


def shares(errors: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return the share of each of n transitions of one task among those chosen, from uniform candidates."""
    count = len(errors)
    priorities = Priorities(alpha, 1, count, device="cpu")
    priorities.take(torch.arange(count)[None], errors[None])
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randint(count, (1, 40_000 * CANDIDATES), generator=generator)
    chosen = candidates.gather(1, priorities.choose(candidates, generator))
    return torch.bincount(chosen[0], minlength=count) / chosen.numel()


def test_transitions_are_chosen_in_proportion_to_a_power_of_their_error() -> None:
    """The candidates are chosen without replacement, which favours small errors a little."""
    errors = torch.tensor([0.09] * 50 + [0.99] * 50)
    low, high = shares(errors, 1.0).view(2, 50).sum(1).tolist()
    assert 0.1 / 1.1 < low < 1.2 * 0.1 / 1.1
    assert low + high == pytest.approx(1)
    low, high = shares(errors, 0.5).view(2, 50).sum(1).tolist()
    assert 0.1**0.5 / (1 + 0.1**0.5) < low < 1.2 * 0.1**0.5 / (1 + 0.1**0.5)


def test_none_is_drawn_more_than_eight_times_as_often_and_none_is_forgotten() -> None:
    errors = torch.full((100,), 0.09)
    errors[7], errors[8], errors[9] = 1000.0, 0.0, torch.nan
    found = shares(errors, 1.0)
    assert 0.9 * CANDIDATES / 100 < found[7] <= 1.02 * CANDIDATES / 100
    assert (found[8:10] > 0).all()
    assert (found[8:10] < 0.005).all()


def test_errors_belong_to_the_rows_of_the_last_batch_of_their_task() -> None:
    """Only the even transitions of the second task have an error."""
    replay = make(capacity=200, priority_exponent=1.0)
    fill(replay, 0, 100)
    for _ in range(200):
        times = replay.sample(20).rewards.round()
        errors = torch.zeros(times.shape)
        errors[1] = (times[1] % 2 == 0) * 100.0
        replay.prioritise(errors)
    times = torch.cat([replay.sample(20).rewards.round() for _ in range(50)], 1)
    even = (times % 2 == 0).double().mean(1)
    assert even[1] > 0.99
    assert ((even[[0, 2]] - 0.5).abs() < 0.06).all()


def test_new_transitions_come_soon() -> None:
    """They have the priority of the largest errors of recent batches, so they are drawn eight times as often."""
    replay = make(capacity=1000, slack=0, priority_exponent=1.0)
    fill(replay, 0, 1000)
    for _ in range(1000):
        replay.prioritise(torch.full(replay.sample(20).rewards.shape, 0.01))
    for _ in range(300):
        replay.sample(20)
        replay.prioritise(torch.full((K, 20), 0.01).index_fill_(1, torch.tensor(0), 50.0))
    fill(replay, 1000, 1020)
    times = torch.cat([replay.sample(20).rewards.round() for _ in range(200)], 1)
    assert 0.05 < (times >= 1000).double().mean() < 0.17, "a fiftieth of the transitions"


def test_priorities_are_saved_with_the_rows_that_they_belong_to(tmp_path: Path) -> None:
    replay = make(tmp_path, priority_exponent=0.6)
    for stop in range(4, 32, 4):
        fill(replay, stop - 4, stop)
        for _ in range(20):
            replay.prioritise(replay.sample(4).rewards % 5)
        saved = replay.save()
    again = make(tmp_path, priority_exponent=0.6)
    again.load(saved)
    for _ in range(20):
        batch = replay.sample(4)
        assert equal(batch, again.sample(4))
        for each in (replay, again):
            each.prioritise(batch.rewards % 3)
        fill(replay, 40, 41)
        fill(again, 40, 41)


def test_a_saved_replay_may_only_now_be_given_priorities(tmp_path: Path) -> None:
    before = make(tmp_path)
    fill(before, 0, 4)
    saved = before.save()
    after = make(tmp_path, priority_exponent=0.6)
    after.load(saved)
    after.prioritise(after.sample(5).rewards)
    assert not before.prioritised
    with pytest.raises(RuntimeError, match="without priorities"):
        before.prioritise(torch.zeros(K, 5))
