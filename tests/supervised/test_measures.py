"""Metrics and measures against other people's code and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtrl_conic.errors import UserError
from mtrl_conic.supervised.measures import delta_m, mean, mean_ranks
from mtrl_conic.supervised.metrics import AUCs, Errors, F1s, auc
from mtrl_conic.supervised.problem import Metric
from mtrl_conic.supervised.scene_metrics import DEPTH, NORMALS, SEGMENTATION, SceneMeter, scene_losses
from mtrl_conic.supervised.selection import select


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_auc_is_mann_whitney(rows: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    found = auc(scores, positive)
    if positive.min() == positive.max():
        assert math.isnan(found)
        return
    yes, no = scores[positive > 0], scores[positive == 0]
    assert found == pytest.approx(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))


def test_meters_join_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 50, generator=generator), (torch.rand(50, 2, generator=generator) < 0.5).float()
    whole, parts = AUCs(["a", "b"]), AUCs(["a", "b"])
    whole.add(outputs, [targets])
    for rows in torch.arange(50).split(7):
        parts.add([out[rows] for out in outputs], [targets[rows]])
    assert whole.values() == parts.values()
    assert whole.values()["a auc"] == pytest.approx(auc(outputs[0].double().numpy(), targets[:, 0].numpy()))


def test_f1_by_hand() -> None:
    meter = F1s(["a", "b"])
    meter.add(torch.tensor([[1.0, 1, -1, -1], [-1, -1, -1, -1]]), [torch.tensor([[1.0, 0], [0, 0], [1, 0], [0, 0]])])
    assert meter.values() == {"a f1": pytest.approx(0.5), "b f1": 0.0}


def test_errors_in_the_units_of_the_user() -> None:
    meter = Errors(["a"], np.array([10.0]))
    meter.add(torch.tensor([[1.0, 2, 3]]), [torch.tensor([[1.0], [2], [5]])])
    assert meter.values()["a mae"] == pytest.approx(20 / 3)
    assert meter.values()["a r2"] == pytest.approx(1 - (4 / 3) / np.var([1, 2, 5]))


NYUV2 = (*SEGMENTATION, *DEPTH, *NORMALS)


def test_delta_m_of_a_published_row() -> None:
    """Linear scalarisation on NYUv2 as printed by the papers: 5.59 % against their single-task row."""
    base = np.array([0.3830, 0.6376, 0.6754, 0.2780, 25.01, 19.21, 0.3014, 0.5720, 0.6915])
    scalarised = np.array([0.3929, 0.6533, 0.5493, 0.2263, 28.15, 23.96, 0.2209, 0.4750, 0.6108])
    assert float(delta_m(NYUV2, scalarised, base)) == pytest.approx(5.59, abs=0.01)
    assert float(delta_m(NYUV2, base, base)) == 0


def test_mean_rank_counts_direction_and_ties() -> None:
    metrics = [Metric("up", "a"), Metric("down", "b", higher_is_better=False)]
    table = {"x": np.array([0.9, 0.1]), "y": np.array([0.8, 0.1]), "z": np.array([0.7, 0.3])}
    assert mean_ranks(metrics, table) == {"x": 1.25, "y": 1.75, "z": 3.0}


def test_standard_error() -> None:
    found = mean([1.0, 2.0, 4.0])
    assert found.value == pytest.approx(7 / 3)
    assert found.error == pytest.approx(stats.sem([1.0, 2.0, 4.0]))
    assert mean([1.0]).error is None
    assert mean([0.5, 0.7]).text(2) == "0.60 ± 0.10"


def record(step: int, first: float, second: float) -> dict[str, object]:
    test = {"a auc": step / 10, "b auc": step / 100}
    return {"step": step, "validation": {"a auc": first, "b auc": second}, "test": test}


def test_a_gain_is_a_gain_from_a_negative_base_too() -> None:
    metrics = [Metric("r2", "a"), Metric("mae", "a", higher_is_better=False)]
    assert delta_m(metrics, np.array([[0.5, 1.0]]), np.array([-0.1, 1.0])).tolist() == pytest.approx([-300])
    assert delta_m(metrics, np.array([[0.5, 1.1]]), np.array([0.0, 1.0])).tolist() == pytest.approx([10])
    assert np.isnan(delta_m(metrics, np.array([[0.5, 1.1]]), np.array([0.0, np.nan]))).all()


def test_ranks_leave_out_what_is_not_a_number_for_a_method() -> None:
    metrics = [Metric("a", "a"), Metric("b", "b")]
    table = {"x": np.array([0.1, np.nan]), "y": np.array([0.2, 0.5])}
    assert mean_ranks(metrics, table) == {"x": 2, "y": 1}
    assert np.isnan(list(mean_ranks(metrics[1:], {name: row[1:] for name, row in table.items()}).values())).all()


def test_selection() -> None:
    metrics = [Metric("a auc", "a"), Metric("b auc", "b")]
    curve = [record(1, 0.9, 0.1), record(2, 0.7, 0.4), record(3, 0.5, 0.5)]
    values, epochs = select("best_validation", metrics, curve, each_task_alone=False)
    assert epochs == {"a": 2, "b": 2}
    assert values == {"a auc": 0.2, "b auc": 0.02}
    values, epochs = select("best_validation", metrics, curve, each_task_alone=True)
    assert epochs == {"a": 1, "b": 3}
    assert values == {"a auc": 0.1, "b auc": 0.03}
    assert select("last", metrics, curve, each_task_alone=False)[1] == {"a": 3, "b": 3}
    mean_values, _ = select("mean_of_last_10", metrics, curve, each_task_alone=False)
    assert mean_values["a auc"] == pytest.approx(0.2)
    with pytest.raises(UserError, match="no validation rows"):
        select("best_validation", metrics, [{"step": 1, "test": {}}], each_task_alone=False)


@pytest.mark.parametrize(("higher", "values"), [(True, [0.1, float("nan"), 0.5]), (False, [1.0, float("nan"), 0.5])])
def test_an_epoch_without_a_number_is_not_selected(higher: bool, values: list[float]) -> None:
    metrics = [Metric("a", "a", higher_is_better=higher)]
    curve = [{"step": at, "test": {"a": at}, "validation": {"a": value}} for at, value in enumerate(values, 1)]
    assert select("best_validation", metrics, curve, each_task_alone=False)[1] == {"a": 3}


def test_metrics_of_zero_select_the_first_epoch() -> None:
    curve = [{"step": at, "test": {"a": at}, "validation": {"a": 0.0}} for at in (1, 2, 3)]
    assert select("best_validation", [Metric("a", "a")], curve, each_task_alone=False)[1] == {"a": 1}


def scene() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Outputs and targets of one image of 2x2 with two classes; the last pixel is unknown everywhere."""
    logits = torch.tensor([[[[5.0, 0], [0, 5]], [[0, 5], [5, 0]]]])
    label = torch.tensor([[[0, 1], [0, -1]]])
    depth = torch.tensor([[[[1.0, 2], [4, 0]]]])
    normal = torch.zeros(1, 3, 2, 2)
    normal[0, 2] = torch.tensor([[1.0, 1], [1, 0]])
    predicted = torch.zeros(1, 3, 2, 2)
    predicted[0, 2, 0, :] = 2.0
    predicted[0, 0, 1, :] = 1.0
    return [logits, torch.ones(1, 1, 2, 2), predicted], [label, depth, normal]


def test_scene_metrics_by_hand() -> None:
    meter = SceneMeter(2, normals=True)
    meter.add(*scene())
    found = meter.values()
    assert found["segmentation miou"] == pytest.approx(0.5)  # class 0: 1 of 2, class 1: 1 of 2
    assert found["segmentation pixacc"] == pytest.approx(2 / 3)
    assert found["depth abs"] == pytest.approx(4 / 3)
    assert found["depth rel"] == pytest.approx((0 + 1 / 2 + 3 / 4) / 3)
    assert found["normal mean"] == pytest.approx(30)
    assert found["normal median"] == pytest.approx(0)
    assert found["normal 11.25"] == pytest.approx(2 / 3)


def test_scene_losses_by_hand() -> None:
    entropy, depth, normal = scene_losses(*scene()).tolist()
    good, bad = -math.log(1 / (1 + math.exp(-5))), -math.log(1 / (1 + math.exp(5)))
    assert entropy == pytest.approx((2 * good + bad) / 3, rel=1e-5)
    assert depth == pytest.approx(4 / 3)
    assert normal == pytest.approx(1 / 3)


def test_a_scene_without_a_known_pixel_has_no_loss() -> None:
    outputs, (label, depth, normal) = scene()
    losses = scene_losses(outputs, [torch.full_like(label, -1), torch.zeros_like(depth), torch.zeros_like(normal)])
    assert losses.tolist() == [0, 0, 0]
