"""Tests of a method that weights losses, followed by one that combines the gradients of the weighted losses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mtrl_conic import MTSAC, balancers
from mtrl_conic.balancers.registry import in_steps
from mtrl_conic.errors import UserError
from tests.agents.test_mtsac import SMALL, SPEC, make_batch
from tests.balancers import oracles
from tests.balancers.test_registry import few, run, some_losses

LOSSES = [name for name in balancers.available() if not balancers.get(name).compares_gradients and name != "crmogm"]
GRADIENTS = [
    name
    for name in balancers.available()
    if (each := balancers.make(name, 3)).compares_gradients and each.has_weights and each.batches == 1
]
PAIRS = [(losses, "cagrad") for losses in LOSSES] + [("imtl_l", of) for of in GRADIENTS] + [("rlw", "pcgrad")]
every = pytest.mark.parametrize(("losses", "of"), PAIRS, ids=["+".join(pair) for pair in PAIRS])


@every
def test_it_is_the_second_method_on_the_gradients_of_the_weighted_losses(losses: str, of: str) -> None:
    both = balancers.make(f"{losses}+{of}", 4, seed=3)
    first, second = balancers.make(losses, 4, seed=3), balancers.make(of, 4, seed=3)
    if both.draws:
        pytest.skip("draws: the count of draws of the pair is that of both methods")
    for seed, jacobian in enumerate(few(4)):
        values = some_losses(4, seed)
        weights = first.weights(jacobian @ jacobian.mT, values)
        expected = second.direction(weights.unsqueeze(-1) * jacobian, weights * values)
        found = both.direct(jacobian, values)
        torch.testing.assert_close(found.direction, expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found.statistics["loss_weight"], weights)
        first.observe(values.flip(0))
        both.observe(values.flip(0))


@every
def test_its_state_is_that_of_both(losses: str, of: str) -> None:
    first = balancers.make(f"{losses}+{of}", 4)
    run(first, few(4))
    second = balancers.make(f"{losses}+{of}", 4)
    second.load_state_dict(first.state_dict())
    following = few(4, 6)[4:]
    for one, other in zip(run(first, following, 4), run(second, following, 4), strict=True):
        assert torch.equal(one, other)


def test_two_methods_that_draw_never_share_a_number() -> None:
    """With the same seed and count, the order of the tasks would come from the random numbers of their weights."""
    both = balancers.make("rlw+pcgrad", 4, seed=1)
    both.direct(oracles.gradients(4), some_losses(4))
    assert both.state["draws"] == 2


def test_direction_of_imtl_keeps_equal_projections() -> None:
    balancer = balancers.make("imtl_l+imtl_g", 4)
    for seed, jacobian in enumerate(few(4)):
        direction = balancer.direction(jacobian, some_losses(4, seed))
        projections = jacobian @ direction / jacobian.norm(dim=-1)
        torch.testing.assert_close(projections, projections[:1].expand(4), rtol=1e-6, atol=1e-8)


def test_a_pair_of_names_is_short_for_the_options() -> None:
    long = balancers.parse_methods("composed:losses=stch:mu=0.5:warmup=2,of=cagrad:c=.9,uw+mgda")
    assert long == [("composed", {"losses": "stch:mu=0.5:warmup=2", "of": "cagrad:c=0.9"}), ("uw+mgda", {})]
    jacobian, losses = oracles.gradients(3), some_losses(3)
    short = balancers.make("uw+mgda", 3).direction(jacobian, losses)
    assert torch.equal(short, balancers.make("composed", 3, losses="uw", of="mgda").direction(jacobian, losses))
    assert balancers.make("crmogm", 3, of="uw+mgda").needs_losses


def test_one_preference_reaches_its_method() -> None:
    jacobian = oracles.gradients(3)
    static = balancers.make("composed", 3, losses="ls:preference=0.7+0.2+0.1", of="cagrad").direction(jacobian)
    weighted = torch.tensor([[0.7], [0.2], [0.1]], dtype=torch.float64) * jacobian
    torch.testing.assert_close(static, balancers.make("cagrad", 3).direction(weighted))
    with pytest.raises(UserError, match="ls and upgrad both have a preference"):
        balancers.make("composed", 2, losses="ls:preference=1+2", of="upgrad:preference=1+2")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imtl_l+cagrd", "unknown balancer 'cagrd'; did you mean 'cagrad'"),
        ("imtl_m+cagrad", "unknown balancer 'imtl_m'; did you mean"),
        ("cagrad+imtl_l", "cagrad compares gradients: the first method"),
        ("uw+ls", "ls does not weigh gradients by their Gram matrix"),
        ("uw+moco", "moco does not weigh gradients by their Gram matrix"),
        ("uw+modo", "modo needs 2 batches"),
    ],
)
def test_methods_that_do_not_fit_are_reported(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        balancers.make(name, 3)


def test_an_agent_is_saved_under_the_pair(tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer="uw+cagrad", **SMALL)
    agent.update(make_batch())
    agent.save(tmp_path / "agent.pt")
    assert MTSAC.load(tmp_path / "agent.pt").critic.balancer.name == "uw+cagrad"


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("dwa", {}, ("dwa", {"window": 7})),
        ("dwa", {"window": 3}, ("dwa", {"window": 3})),
        ("ls", {}, ("ls", {})),
        (
            "composed",
            {"losses": "stch:mu=0.5", "of": "cagrad"},
            ("composed", {"losses": "stch:mu=0.5:warmup=35:nadir=7", "of": "cagrad"}),
        ),
        ("dwa+cagrad", {}, ("composed", {"losses": "dwa:window=7", "of": "cagrad"})),
    ],
)
def test_options_in_epochs_reach_the_methods_within(
    name: str, given: dict[str, str], expected: tuple[str, dict[str, object]]
) -> None:
    found = in_steps(name, given, 7)
    assert found == expected
    balancers.make(found[0], 2, **found[1])
