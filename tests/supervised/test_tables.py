"""Layers and features of tables, against the plain way to compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrl_conic.supervised.data.history import rates, sums_before
from mtrl_conic.supervised.networks.table import Dropout, EmbeddedTable, OneHotLinear
from mtrl_conic.supervised.problems import get
from tests.supervised.conftest import write_kuairand

SIZES = (3, 1, 5)


def batch(rows: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(0, size, (rows,), generator=generator) for size in SIZES]
    return torch.randn(rows, 2, generator=generator), torch.stack(codes, 1)


def one_hot(codes: Tensor) -> Tensor:
    parts = [functional.one_hot(column, size) for column, size in zip(codes.T, SIZES, strict=True)]
    return torch.cat(parts, 1).float()


def test_one_hot_linear_is_a_linear_layer_on_one_hot_codes() -> None:
    torch.manual_seed(0)
    layer, (numbers, codes) = OneHotLinear(2, SIZES, 4), batch()
    codes[codes == 4] = 3  # a value that no row holds has the gradient zero
    dense = torch.cat([numbers, one_hot(codes)], 1)
    weight = torch.cat([layer.weight, layer.table.T], 1)
    expected, actual = dense @ weight.T + layer.bias, layer(numbers, codes)
    torch.testing.assert_close(actual, expected)
    # Several backward passes through one graph, as K tasks make.
    for seed in (1, 2):
        slope = torch.randn(actual.shape, generator=torch.Generator().manual_seed(seed))
        wanted = torch.autograd.grad(expected, list(layer.parameters()), slope, retain_graph=True)
        found = torch.autograd.grad(actual, list(layer.parameters()), slope, retain_graph=True)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)


def test_one_hot_linear_without_categories_or_without_numbers() -> None:
    numbers, codes = batch()
    assert OneHotLinear(2, (), 4)(numbers, codes[:, :0]).shape == (20, 4)
    layer = OneHotLinear(0, SIZES, 4)
    torch.testing.assert_close(layer(numbers[:, :0], codes), one_hot(codes) @ layer.table + layer.bias)


def test_one_hot_linear_sorts_more_than_16_bits_of_values() -> None:
    layer = OneHotLinear(1, (70_000,), 2)
    codes = torch.tensor([[69_999], [5], [69_999]])
    layer(torch.zeros(3, 1), codes).sum().backward()
    assert layer.table.grad is not None
    assert layer.table.grad[69_999].tolist() == [2.0, 2.0]
    assert layer.table.grad.sum() == 6


def test_one_hot_linear_begins_like_a_linear_layer() -> None:
    torch.manual_seed(0)
    layer, plain = OneHotLinear(20, [30] * 9, 200), nn.Linear(290, 200)
    for parameter in (layer.weight, layer.table, layer.bias):
        assert parameter.abs().max() <= 290**-0.5
        torch.testing.assert_close(parameter.std(), plain.weight.std(), rtol=0.15, atol=0)


def test_vectors_of_categories_begin_small() -> None:
    torch.manual_seed(0)
    numbers, codes = batch()
    layer = EmbeddedTable(2, SIZES, 8)
    made = layer(numbers, codes)
    assert made.shape == (20, layer.features)
    assert layer.table.weight.std() < 0.02


@pytest.mark.parametrize("p", [0.3, 0.75])
def test_dropout_keeps_the_share_and_the_mean(p: float) -> None:
    torch.manual_seed(0)
    layer, x = Dropout(p), torch.ones(333, 1001, requires_grad=True)
    made = layer(x)
    kept = made != 0
    assert abs(kept.float().mean() - (1 - p)) < 0.005
    torch.testing.assert_close(made[kept], torch.full_like(made[kept], 1 / (1 - p)), rtol=1e-4, atol=0)
    torch.testing.assert_close(torch.autograd.grad(made.sum(), x)[0], made.detach())
    assert abs(torch.corrcoef(kept.float().T[:50]).fill_diagonal_(0)).max() < 0.25, "neighbours share no draw"
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_sums_before_counts_earlier_moments_of_the_same_key() -> None:
    generator = np.random.default_rng(0)
    keys, times = generator.integers(0, 6, 80), generator.integers(0, 9, 80).astype(np.int64)
    values = generator.integers(0, 5, (80, 2))
    expected = [values[(keys == k) & (times < t)].sum(0) for k, t in zip(keys, times, strict=True)]
    np.testing.assert_array_equal(sums_before(keys, times, values), expected)
    np.testing.assert_array_equal(sums_before(keys, times, values[:, 0]), np.array(expected)[:, 0])


def test_rates_begin_at_the_prior() -> None:
    assert rates(np.zeros(1), np.zeros(1), 0.3, strength=10).tolist() == [0.3]
    assert rates(np.array([10.0]), np.array([10.0]), 0.0, strength=10).tolist() == [0.5]


def test_recommendation_features_know_nothing_of_their_own_hour_or_later(tmp_path: Path) -> None:
    """Turning all outcomes from the first moment of validation on changes the features of later moments alone."""
    columns = dict(np.load(write_kuairand(tmp_path / "a.npz")))
    kind = get("recommendation")
    before = kind.load(tmp_path / "a.npz", kind.options_model(), seed=0, workers=0)
    time = columns["date"].astype(np.int64) * 10_000 + columns["hourmin"]
    clicked = np.sort(time[columns["is_click"] == 1])
    moment = clicked[len(before.training)]
    for name in ("long_view", "is_profile_enter", "is_like"):
        columns[name] = np.where(time >= moment, 1 - columns[name], columns[name])
    np.savez(tmp_path / "b.npz", **columns)
    after = kind.load(tmp_path / "b.npz", kind.options_model(), seed=0, workers=0)
    assert torch.equal(before.training.inputs[0], after.training.inputs[0])  # type: ignore[attr-defined]
    first, second = (problem.validation.inputs[0] for problem in (before, after))  # type: ignore[union-attr]
    same = (first == second).all(1).tolist()
    own = int((clicked == moment).sum())
    assert same[:own] == [True] * own
    assert not all(same)
