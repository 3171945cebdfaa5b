"""Tests of the running mean of any method's weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtrl_conic import balancers
from mtrl_conic.errors import UserError
from mtrl_conic.gradients import backward
from tests.balancers import oracles
from tests.balancers.test_registry import few, run, some_losses

WEIGHTED = [
    name
    for name in balancers.available()
    if (each := balancers.make(name, 3)).has_weights and each.batches == 1 and name != "crmogm"
]
every = pytest.mark.parametrize("name", WEIGHTED)


@every
def test_it_is_the_running_mean_of_the_methods_weights(name: str) -> None:
    method, smoothed = balancers.make(name, 4, seed=3), balancers.make("crmogm", 4, seed=3, of=name, beta=0.7)
    expected = None
    for seed, jacobian in enumerate(few(4)):
        losses = some_losses(4, seed)
        weights = method.weights(jacobian @ jacobian.mT, losses)
        expected = weights if expected is None else 0.7 * expected + 0.3 * weights
        found, statistics = smoothed(jacobian @ jacobian.mT, losses)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(statistics["unsmoothed"], weights)
        method.observe(losses.flip(0))
        smoothed.observe(losses.flip(0))


@every
def test_it_takes_what_the_method_takes(name: str) -> None:
    method, smoothed = balancers.make(name, 4), balancers.make("crmogm", 4, of=name)
    for trait in (
        "needs",
        "compares_gradients",
        "needs_losses",
        "positive_losses",
        "observes",
        "every_task",
        "scaling",
    ):
        assert getattr(method, trait) == getattr(smoothed, trait), trait
    assert method.refuses_negative == smoothed.refuses_negative
    if not method.compares_gradients:
        losses = some_losses(4)
        torch.testing.assert_close(smoothed.without_gradients(losses).weights, method.without_gradients(losses).weights)


@every
def test_its_state_is_its_own_and_the_methods(name: str) -> None:
    first = balancers.make("crmogm", 4, of=name)
    run(first, few(4))
    second = balancers.make("crmogm", 4, of=name)
    second.load_state_dict(first.state_dict())
    following = few(4, 6)[4:]
    for one, other in zip(run(first, following, 4), run(second, following, 4), strict=True):
        assert torch.equal(one, other)
    first.reset()
    for one, other in zip(run(first, few(4)), run(balancers.make("crmogm", 4, of=name), few(4)), strict=True):
        assert torch.equal(one, other)


@every
def test_a_batch_of_problems_is_a_loop_over_them(name: str) -> None:
    if balancers.get(name).draws:
        pytest.skip("draws: a batch takes other numbers than a loop")
    steps = [torch.stack([oracles.gradients(4, seed=10 * step + row) for row in range(3)]) for step in range(3)]
    together = balancers.make("crmogm", 4, of=name)
    together.reset((3,))
    many = run(together, steps)
    for row in range(3):
        alone = run(balancers.make("crmogm", 4, of=name), [step[row] for step in steps])
        for one, all_of_them in zip(alone, many, strict=True):
            torch.testing.assert_close(all_of_them[row], one, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["mgda", "upgrad", "pcgrad"])
def test_it_is_that_of_torchjd(name: str) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")

    class Given(aggregation.Weighting):  # type: ignore[name-defined,misc]
        def forward(self, weights: torch.Tensor) -> torch.Tensor:
            return weights

    theirs = aggregation.CRMOGMWeighting(Given(), alpha=0.8)
    ours = balancers.make("crmogm", 4, of=name, beta=0.8)
    for jacobian in few(4):
        weights, statistics = ours(jacobian @ jacobian.mT)
        torch.testing.assert_close(weights, theirs(statistics["unsmoothed"]))


def test_the_methods_options_stand_behind_its_name() -> None:
    written = "crmogm:of=cagrad:c=.9:rescale=square,beta=0.5,crmogm:beta=0.5,of=upgrad,ls"
    methods = balancers.parse_methods(written)
    assert methods == [
        ("crmogm", {"of": "cagrad:c=0.9:rescale=square", "beta": 0.5}),
        ("crmogm", {"beta": 0.5, "of": "upgrad"}),
        ("ls", {}),
    ]
    label = balancers.label(*methods[0])
    assert label == "crmogm:of=cagrad:c=0.9:rescale=square,beta=0.5"
    assert balancers.parse_methods(label) == methods[:1]
    assert balancers.parse_methods("crmogm:beta=0.5,of=cagrad:c=0.9") == [
        ("crmogm", {"beta": 0.5, "of": "cagrad:c=0.9"})
    ]
    jacobian = oracles.gradients(3)
    inner = balancers.make("cagrad", 3, c=0.9, rescale="square").direction(jacobian)
    torch.testing.assert_close(balancers.make("crmogm", 3, **methods[0][1]).direction(jacobian), inner)


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("cagrd", "crmogm: option of='cagrd': unknown balancer 'cagrd'.*did you mean 'cagrad'"),
        ("cagrad:d=1", "unknown option of cagrad 'd'"),
        ("cagrad:c=2", r"cagrad: option c='2': input should be less than 1"),
        ("cagrad:c", "c: write a method within another as name:key=value:key=value"),
        ("moco", "moco has no weights of its own"),
    ],
)
def test_a_method_that_cannot_be_smoothed_is_told_in_one_line(of: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        balancers.check_options("crmogm", {"of": of})
    with pytest.raises(UserError, match=words.rpartition(": ")[2]):
        balancers.get("crmogm")(3, of=of)  # type: ignore[call-arg]


def test_methods_of_several_batches_are_refused() -> None:
    balancers.make("crmogm", 3, of="modo:sampling=single")
    with pytest.raises(UserError, match="modo takes 2 batches, and its weights are means already"):
        balancers.make("crmogm", 3, of="modo")


def test_a_preference_is_the_methods() -> None:
    written = balancers.parse_methods("crmogm:of=upgrad:preference=0.7+0.2+0.1")
    assert written == [("crmogm", {"of": "upgrad:preference=0.7+0.2+0.1"})]
    jacobian = oracles.gradients(3)
    expected = balancers.make("upgrad", 3, preference="0.7+0.2+0.1").direction(jacobian)
    torch.testing.assert_close(balancers.make("crmogm", 3, **written[0][1]).direction(jacobian), expected)
    assert balancers.check_options("crmogm", {"of": "upgrad:preference=a:2+b:1"})["of"] == "upgrad:preference=a:2+b:1"


def test_a_task_that_was_absent_begins_with_its_own_weight() -> None:
    net, made = nn.Linear(4, 3), balancers.make("crmogm", 3, of="ls", beta=0.9)
    losses = [net(torch.randn(5, 4)).square().mean(0) for _ in range(2)]
    backward([losses[0][0], losses[0][1], None], made, shared=net.parameters())
    told = backward(losses[1], made, shared=net.parameters())
    assert told["weight"].tolist() == pytest.approx([0.9 / 2 + 0.1 / 3, 0.9 / 2 + 0.1 / 3, 1 / 3])
