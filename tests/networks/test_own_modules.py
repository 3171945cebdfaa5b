"""Trunks of the user's own with buffers, dropout, fixed numbers and frozen layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtrl_conic import MTSAC, Policy
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.networks import Hidden
from tests.agents.test_mtsac import SMALL, SPEC, D, K, make_batch

OBSERVATIONS = np.random.default_rng(0).normal(size=(K, D)).astype(np.float32)


class Own(nn.Module):
    """Layers of torch's own, of which one is given."""

    def __init__(
        self,
        spec: TaskSpec,
        extra: int,
        hidden: Hidden,
        *,
        generator: torch.Generator,
        middle: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        first = nn.Linear(spec.observation_dim + extra, hidden.width)
        self.layers = nn.Sequential(first, middle(hidden.width, generator), nn.Linear(hidden.width, hidden.width))

    def forward(self, *inputs: Tensor) -> Tensor:
        rows = torch.cat(inputs, -1)
        return self.layers(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).relu()  # type: ignore[no-any-return]


class Fixed(nn.Module):
    """Multiplies by fixed random numbers, which are a buffer or not."""

    def __init__(self, width: int, generator: torch.Generator, *, kept: bool) -> None:
        super().__init__()
        numbers = torch.randn(width, generator=generator)
        if kept:
            self.register_buffer("numbers", numbers)
        else:
            self.numbers = numbers

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.numbers


def agent(middle: Callable[..., nn.Module], **options: Any) -> MTSAC:
    def trunk(spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator) -> Own:
        return Own(spec, extra, hidden, generator=generator, middle=middle)

    return MTSAC(SPEC, balancer="ls", seed=1, network=trunk, **{**SMALL, **options})


def batch_norm(width: int, generator: torch.Generator) -> nn.Module:
    return nn.BatchNorm1d(width)


def dropout(width: int, generator: torch.Generator) -> nn.Module:
    return nn.Dropout(0.5)


def frozen(width: int, generator: torch.Generator) -> nn.Module:
    return nn.Linear(width, width).requires_grad_(False)


def test_the_average_and_the_target_take_over_the_statistics_of_batches() -> None:
    own = agent(batch_norm, average_over=1)
    for update in range(4):
        own.update(make_batch(update))
    assert own.average is not None
    pairs = [(own.actor.network, own.average.network), (own.critic.network, own.target)]
    for source, copied in pairs:
        buffers = dict(source.named_buffers())
        statistics = {name: value for name, value in copied.named_buffers() if "running_mean" in name}
        assert statistics
        for name, value in statistics.items():
            assert value.abs().max() > 0
            assert torch.equal(value, buffers[name])
    plain = agent(batch_norm)
    for update in range(4):
        plain.update(make_batch(update))
    actions = [one.act(OBSERVATIONS, deterministic=True) for one in (own, plain)]
    assert np.allclose(*actions), "an average over one update is the actor"


def test_dropout_depends_on_the_seed_and_the_update_alone() -> None:
    whole = agent(dropout)
    for update in range(6):
        whole.update(make_batch(update))
    torch.manual_seed(5)
    first = agent(dropout)
    for update in range(3):
        first.update(make_batch(update))
    again = agent(dropout)
    again.load_state_dict(first.state_dict())
    before = torch.get_rng_state()
    for update in range(3, 6):
        again.update(make_batch(update))
    assert torch.equal(torch.get_rng_state(), before), "torch's generator is the program's own"
    assert torch.equal(again.critic.block, whole.critic.block)
    assert torch.equal(again.actor.block, whole.actor.block)


def test_numbers_outside_the_state_are_noticed_where_a_policy_is_saved(tmp_path: Path) -> None:
    def made(kept: bool) -> MTSAC:
        return agent(lambda width, generator: Fixed(width, generator, kept=kept))

    with pytest.raises(UserError, match="keeps numbers outside its state_dict"):
        made(False).policy().save(tmp_path)
    assert not any(tmp_path.iterdir())
    own = made(True)
    own.policy().save(tmp_path)
    again = Policy.load(tmp_path, network=own.actor.network.network.make_trunk)  # type: ignore[union-attr]
    assert np.allclose(again.act(OBSERVATIONS), own.policy().act(OBSERVATIONS))


def test_weight_decay_does_not_change_a_frozen_layer() -> None:
    with pytest.raises(UserError, match=r"weight decay would change .*layers\.1\.weight"):
        agent(frozen, weight_decay=0.1)
    own = agent(frozen)
    before = own.actor.network.state_dict()["trunk.layers.1.weight"].clone()
    own.update(make_batch())
    assert torch.equal(own.actor.network.state_dict()["trunk.layers.1.weight"], before)


class Wrong(nn.Module):
    """A trunk with one mistake."""

    def __init__(self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator, how: str) -> None:
        super().__init__()
        self.how = how
        size = spec.observation_dim + extra
        self.layer = nn.LazyLinear(hidden.width) if how == "lazy" else nn.Linear(size, hidden.width)
        if how == "double":
            self.layer.double()

    def forward(self, observations: Tensor, *actions: Tensor) -> Any:
        if self.how == "no actions" and actions:
            raise TypeError("forward() takes 2 positional arguments but 3 were given")
        features = self.layer(torch.cat([observations, *actions], -1))
        return {"tuple": (features,), "nothing": None}.get(self.how, features)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("lazy", "has no size yet; use layers that are given their sizes"),
        ("double", "is of type torch.float64; parameters must be float32"),
        ("tuple", "a trunk must return a tensor .*, and returned tuple"),
        ("nothing", "and returned NoneType"),
        ("no actions", r"takes 2 positional arguments but 3 were given \(test_own_modules.py, line \d+\)"),
    ],
)
def test_mistakes_in_a_network_end_in_one_line(how: str, words: str) -> None:
    def trunk(spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator) -> Wrong:
        return Wrong(spec, extra, hidden, generator=generator, how=how)

    with pytest.raises(UserError, match=words) as caught:
        MTSAC(SPEC, balancer="ls", network=trunk, **SMALL)
    assert "\n" not in str(caught.value)
