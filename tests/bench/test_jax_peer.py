"""The update in JAX equals the plain update in torch, so that both benchmarks measure the same computation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mtrl_conic.agents.mtsac.config import AgentConfig
from mtrl_conic.bench import update
from mtrl_conic.bench.plain import PlainMTSAC
from mtrl_conic.cli import main
from mtrl_conic.schema import parse
from tests.balancers import oracles

CONFIG = parse(AgentConfig, {"width": 8, "batch_size": 3})


def test_an_unknown_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "update", "--peer", "jaxx", "--width", "8", "--batch-size", "2"]) == 2
    assert "did you mean 'jax'" in capsys.readouterr().err


def test_without_jax(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "mtrl_conic.bench.jax_peer", raising=False)
    assert main(["bench", "update", "--peer", "jax", "--width", "8", "--batch-size", "2"]) == 2
    assert 'pip install -e ".[jax]"' in capsys.readouterr().err


def layers(module: nn.Module) -> list[Any]:
    """Return the weights and offsets of a network of torch as those of the peer."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]


def test_a_step_equals_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax", reason='jax is not installed; pip install -e ".[jax]"')
    from mtrl_conic.bench.jax_peer import JaxMTSAC

    torch.manual_seed(0)
    plain = PlainMTSAC(update.mt10_spec(), CONFIG, balance=False)
    peer = JaxMTSAC(update.mt10_spec(), CONFIG, balance=False)
    critics = [layers(critic) for critic in plain.critics]
    peer.state |= jax.tree.map(jax.numpy.array, {"critics": critics, "targets": critics, "actor": layers(plain.actor)})
    batch = update.mt10_batch(CONFIG.batch_size)
    noise = [torch.randn(batch.actions.shape) for _ in range(6)]
    drawn: Iterator[torch.Tensor] = iter(noise)
    monkeypatch.setattr(torch, "randn_like", lambda mean: next(drawn))
    state = peer.state
    for turn in range(3):
        plain.update(batch)
        arrays = tuple(part.numpy() for part in batch[:5])
        state = peer.step(state, arrays, [each.numpy() for each in noise[2 * turn : 2 * turn + 2]], (None, None))
    found = {
        "critics": [layers(critic) for critic in plain.critics],
        "targets": [layers(critic) for critic in plain.targets],
        "actor": layers(plain.actor),
        "temperature": plain.log_temperature.detach().numpy(),
    }
    for name, expected in found.items():
        for ours, theirs in zip(jax.tree.leaves(expected), jax.tree.leaves(state[name]), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=2e-5, err_msg=name)


def test_pcgrad_of_the_peer_is_pcgrad() -> None:
    jax = pytest.importorskip("jax", reason='jax is not installed; pip install -e ".[jax]"')
    from mtrl_conic.bench.jax_peer import pcgrad, visits

    rows = oracles.gradients(5, 20)
    order = np.asarray(visits(jax.random.key(3), 5))
    assert all(sorted([task, *others]) == list(range(5)) for task, others in enumerate(order))
    expected = oracles.pcgrad(rows, torch.from_numpy(order.copy()))
    found = pcgrad(jax.numpy.array(rows.float().numpy()), jax.numpy.array(order))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_measured_beside_ours() -> None:
    pytest.importorskip("jax", reason='jax is not installed; pip install -e ".[jax]"')
    bench = update.run(["pcgrad"], rounds=1, peers=["jax"], width=8, batch_size=2)
    assert list(bench.rounds)[-2:] == [update.JAX, update.JAX_PCGRAD]
    assert "JAX, vmapped PCGrad" in bench.table()
