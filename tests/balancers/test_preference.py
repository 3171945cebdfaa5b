"""Tests of a preference over tasks: how it is written, and how each method uses it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtrl_conic import MTSAC, balancers
from mtrl_conic.balancers import label, parse_methods
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward

K, P = 4, 9
METHODS = [name for name in balancers.available() if "preference" in balancers.options(name)]
TEXT = "2+1+4+3"
SHARES = torch.tensor([0.2, 0.1, 0.4, 0.3], dtype=torch.float64)
NAMES = ("push", "reach", "gym:Cart-v0", "lift")


def jacobian(seed: int = 0) -> Tensor:
    return torch.randn(K, P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def losses() -> Tensor:
    return torch.tensor([0.5, 2.0, 1.0, 0.3], dtype=torch.float64)


# The notation of a preference.


def test_one_preference_has_one_text() -> None:
    same = [" 0.20+.1+ 0.4+0.30", [0.2, 0.1, 0.4, 0.3], (0.2, 0.1, 0.4, 0.3)]
    assert {balancers.check_options("ls", {"preference": given})["preference"] for given in same} == {"0.2+0.1+0.4+0.3"}
    named = balancers.check_options("ls", {"preference": {"reach": 2, "gym:Cart-v0": 1.5}})["preference"]
    assert named == "reach:2+gym:Cart-v0:1.5"
    (method,) = parse_methods(f"stch:mu=0.5,preference={named}")
    assert method == ("stch", {"mu": 0.5, "preference": named})
    assert parse_methods(label(*method)) == [method]


@pytest.mark.parametrize("text", ["a+b", "0.5+x", "0.5+", "a:1+2", "a:1+a:2", [1, None]])
def test_what_is_no_preference_says_how_to_write_one(text: object) -> None:
    with pytest.raises(UserError, match=r"ls: option preference=.*write a number of each task"):
        balancers.make("ls", 2, preference=text)


@pytest.mark.parametrize("text", ["-1+2", "nan+1", "inf+1"])
def test_numbers_out_of_range(text: str) -> None:
    with pytest.raises(UserError, match="finite and not negative"):
        balancers.make("ls", 2, preference=text)


def test_what_does_not_fit_the_tasks_is_told() -> None:
    with pytest.raises(UserError, match="preference=1\\+2\\+3: 3 numbers for 2 tasks"):
        balancers.make("ls", 2, preference="1+2+3")
    with pytest.raises(UserError, match="some task must count"):
        balancers.make("ls", 2, preference="0+0")
    with pytest.raises(UserError, match="have no names"):
        balancers.make("ls", 2, preference="a:1+b:2")
    with pytest.raises(UserError, match="did you mean 'reach'"):
        balancers.make("ls", 2, preference="reac:1+push:2", task_names=("reach", "push"))
    with pytest.raises(UserError, match="push is missing"):
        balancers.make("ls", 2, preference="reach:1", task_names=("reach", "push"))


@pytest.mark.parametrize("name", METHODS)
def test_names_are_put_in_the_order_of_the_tasks(name: str) -> None:
    text = "reach:1+lift:3+push:2+gym:Cart-v0:4"
    given = jacobian(), losses()
    by_name = balancers.make(name, K, preference=text, task_names=NAMES).direction(*given)
    assert torch.equal(by_name, balancers.make(name, K, preference=TEXT).direction(*given))


# The effect of a preference.


def test_these_methods_take_it() -> None:
    assert set(METHODS) >= {"ls", "stch", "aligned_mtl", "upgrad", "gradops"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", METHODS)
def test_all_alike_is_no_preference(name: str, seed: int) -> None:
    options = {"warmup": 1} if name == "stch" else {}
    plain, alike = (balancers.make(name, K, **options, **more) for more in ({}, {"preference": "1+1+1+1"}))
    for _ in range(3):
        expected, found = (each.direction(jacobian(seed), losses()) for each in (plain, alike))
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_a_task_that_counts_more_is_served_more(name: str) -> None:
    options = {"warmup": 1} if name == "stch" else {}
    gains = []
    for share in (1, 6):
        balancer = balancers.make(name, K, preference=[share, 1, 1, 1], **options)
        for _ in range(2):
            direction = balancer.direction(jacobian(), losses())
        gains.append(float(jacobian()[0] @ direction / direction.norm()))
    assert gains[1] > gains[0] + 0.05


def test_ls_is_the_weighted_mean() -> None:
    direction = balancers.make("ls", K, preference=TEXT).direction(jacobian())
    assert torch.allclose(direction, SHARES @ jacobian(), rtol=1e-12)


@pytest.mark.parametrize("ideal", ["", "0.1+0.5+0+0.2"])
def test_stch_is_the_gradient_of_its_formula(ideal: str) -> None:
    balancer = balancers.make("stch", K, warmup=1, mu=0.7, preference=TEXT, ideal=ideal)
    first = torch.tensor([1.0, 3.0, 2.0, 0.9], dtype=torch.float64)
    below = torch.tensor([float(part) for part in ideal.split("+")] if ideal else [0.0] * K, dtype=torch.float64)
    balancer.weights(torch.eye(K), first)
    now = losses().requires_grad_()
    logs = ((now - below) / (first - below)).log()
    (K * 0.7 * torch.logsumexp(K * SHARES * logs / 0.7, 0)).backward()
    assert now.grad is not None
    assert torch.allclose(balancer.weights(torch.eye(K), losses()), now.grad, rtol=1e-9)


@pytest.mark.parametrize(("name", "theirs"), [("upgrad", "UPGrad"), ("aligned_mtl", "AlignedMTL")])
def test_the_same_as_torchjd(name: str, theirs: str) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    for seed in range(4):
        expected = getattr(aggregation, theirs)(pref_vector=SHARES)(jacobian(seed))
        found = balancers.make(name, K, preference=TEXT).direction(jacobian(seed))
        assert torch.allclose(found, expected, rtol=1e-4, atol=2e-3)  # the accuracy of torchjd's solver


def test_upgrad_is_the_mean_of_the_projections_that_each_task_alone_asks_for() -> None:
    alone = [[float(task == other) for other in range(K)] for task in range(K)]
    parts = torch.stack([balancers.make("upgrad", K, preference=each).direction(jacobian()) for each in alone])
    found = balancers.make("upgrad", K, preference=TEXT).direction(jacobian())
    assert torch.allclose(found, SHARES @ parts, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.0, -1.0, 2.0])
def test_gradops_weighs_its_projected_gradients(alpha: float) -> None:
    rows = jacobian(1)
    assert (rows @ rows.T < 0).any(1).all(), "every task conflicts with some other here"
    parts = []
    for task in range(K):
        others = torch.cat([rows[:task], rows[task + 1 :]])
        parts.append(rows[task] - others.T @ torch.linalg.lstsq(others.T, rows[task]).solution)
    projected = torch.stack(parts)
    projections = (projected.sum(0) @ rows.T) / rows.norm(dim=1)
    wanted = SHARES * (projections / projections.mean()) ** alpha
    expected = (wanted / wanted.mean()) @ projected
    found = balancers.make("gradops", K, alpha=alpha, preference=TEXT).direction(rows)
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in METHODS if not balancers.get(name).every_task])
def test_among_the_tasks_of_a_batch_it_is_what_is_left_of_it(name: str) -> None:
    parameter = torch.nn.Parameter(torch.zeros(P, dtype=torch.float64))
    rows = jacobian()
    present = [0, 2, 3]
    given = [rows[task] @ parameter if task in present else None for task in range(K)]
    backward(given, balancers.make(name, K, preference=TEXT), shared=[parameter])
    expected = balancers.make(name, 3, preference="2+4+3").direction(rows[present], rows[present] @ parameter)
    assert parameter.grad is not None
    assert torch.allclose(parameter.grad, expected, rtol=1e-9)


# Preferences by the names of the tasks.


def test_an_agent_takes_it_by_the_names_of_its_tasks() -> None:
    spec = TaskSpec(("left", "right", "up"), 7, 2, True)
    text = "up:5+left:1+right:2"
    agent = MTSAC(spec, balancer="upgrad", balancer_options={"preference": text}, width=8, device="cpu")
    for component in (agent.critic, agent.actor):
        assert component.balancer.preference == (1 / 8, 2 / 8, 5 / 8)
    with pytest.raises(UserError, match="did you mean 'up'"):
        MTSAC(spec, balancer="ls", balancer_options={"preference": "upp:5+left:1+right:2"}, device="cpu")
