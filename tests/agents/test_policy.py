"""Tests that a policy acts as its agent does, in the environment's units if asked, and is saved whole or not at all."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtrl_conic import MTSAC, Policy, files, networks
from mtrl_conic.envs import TaskSet
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from tests.agents.test_masks import batch

BOUNDS = (((-2.0,), (2.0,)), ((0.0, 0.0, -5.0), (1.0, 3.0, 5.0)), ((-1.0, -1.0), (1.0, 1.0)))
SPEC = TaskSpec(("one", "three", "two"), 4 + 3, 3, True, (2, 4, 3), (1, 3, 2), BOUNDS)
NETWORKS = networks.available()


def make_agent(network: str = "shared", scale: str = "none", seed: int = 4) -> MTSAC:
    sizes: dict[str, Any] = {"width": 8, "depth": 2, "layer_norm": "both", "observation_scale": scale}
    agent = MTSAC(SPEC, balancer="ls", device="cpu", seed=seed, network=network, **sizes)
    for rows in np.random.default_rng(1).normal(2, 3, size=(20, 3, 7)).astype(np.float32):
        agent.observe(rows, np.zeros(3), np.zeros(3, np.bool_))
    return agent


def observations(batch_size: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, batch_size, 7)).astype(np.float32)


@pytest.mark.parametrize("scale", ["none", "shared", "task"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_loaded_policy_acts_as_the_agent_does(network: str, scale: str, tmp_path: Path) -> None:
    agent = make_agent(network, scale)
    agent.policy().save(tmp_path / "new" / "folder")
    policy = Policy.load(tmp_path / "new" / "folder")
    for rows in observations(20).swapaxes(0, 1):
        assert np.array_equal(policy.act(rows), agent.policy().act(rows))
        # The agent's weights lie in one block, and the rounding of products depends on where their factors lie.
        assert np.allclose(policy.act(rows), agent.act(rows, deterministic=True), atol=1e-6)
    own = rows[0, :2]
    assert np.allclose(policy.act(own, task="one"), agent.act(own, task="one", deterministic=True), atol=1e-6)


def test_a_fresh_process_acts_identically(tmp_path: Path) -> None:
    policy = make_agent().policy()
    policy.save(tmp_path)
    code = (
        "from mtrl_conic import Policy;"
        f"print(Policy.load({str(tmp_path)!r}).act([-1, 0, 0.5, 1], task='three').tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == policy.act([-1, 0, 0.5, 1], task="three").tolist()


def test_one_or_many_of_one_task_or_all() -> None:
    policy, rows = make_agent("multihead").policy(), observations()
    every = policy.act(rows)
    assert every.shape == (3, 5, 3)
    assert np.allclose(policy.act(rows.reshape(15, 7)), every.reshape(15, 3), atol=1e-6)
    assert np.allclose(policy.act(rows[:, 0]), every[:, 0], atol=1e-6)
    for place, (task, size, actions) in enumerate(zip(SPEC.task_names, (2, 4, 3), (1, 3, 2), strict=True)):
        own = rows[place, :, :size]
        full = np.concatenate([own, np.zeros((5, 4 - size)), np.tile(np.eye(3)[place], (5, 1))], axis=1)
        wanted = policy.act(np.stack([full] * 3))[place, :, :actions]
        for given in (own, full):
            assert policy.act(given, task=task).shape == (5, actions)
            assert np.allclose(policy.act(given, task=task), wanted, atol=1e-6)
            assert np.allclose(policy.act(given[0], task=task), wanted[0], atol=1e-6)


def test_lists_give_arrays_and_tensors_give_tensors() -> None:
    policy, rows = make_agent().policy(), observations()
    wanted = policy.act(rows)
    assert wanted.dtype == np.float32
    assert np.array_equal(policy.act(rows.tolist()), wanted)
    assert np.array_equal(policy.act(rows.astype(np.float64)), wanted)
    found = policy.act(torch.from_numpy(rows).requires_grad_())
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.numpy(), wanted)


def test_own_units_are_those_that_the_environment_would_have_made() -> None:
    policy, rows = make_agent().policy(), observations()
    own, unit = policy.act(rows, own_units=True), policy.act(rows)
    for place, (low, high) in enumerate(BOUNDS):
        size = len(low)
        expected = np.array(low) + (unit[place, :, :size].astype(np.float64) + 1) / 2 * (np.array(high) - low)
        assert np.array_equal(own[place, :, :size], expected.astype(np.float32))
        assert (own[place, :, size:] == 0).all()
        alone = policy.act(rows[place], task=SPEC.task_names[place], own_units=True)
        assert np.allclose(alone, own[place, :, :size], atol=1e-5)
    plain = TaskSpec(("a", "b"), 5, 2, True)
    policy = MTSAC(plain, balancer="ls", device="cpu", width=8).policy()
    rows = np.ones((2, 5), np.float32)
    assert np.allclose(policy.act(rows, own_units=True), policy.act(rows), atol=1e-6)


def test_the_bounds_of_gymnasium_environments_are_known() -> None:
    envs = TaskSet.from_gymnasium({"swing": "Pendulum-v1", "hill": "MountainCarContinuous-v0"})
    try:
        policy = MTSAC(envs, balancer="ls", device="cpu", width=8, target_entropy=None).policy()
        observed, _ = envs.reset()
        torque = policy.act(observed[0], task="swing", own_units=True)
        assert np.allclose(torque, 2 * policy.act(observed[0], task="swing"), rtol=1e-6)
        assert policy.spec.action_bounds == (((-2.0,), (2.0,)), ((-1.0,), (1.0,)))
    finally:
        envs.close()


def test_further_updates_do_not_change_it() -> None:
    agent = make_agent(scale="shared")
    policy = agent.policy()
    before = policy.act(observations())
    agent.observe(observations()[:, 0] + 9, np.zeros(3), np.zeros(3, np.bool_))
    agent.update(batch())
    assert np.array_equal(policy.act(observations()), before)
    assert not np.array_equal(agent.policy().act(observations()), before)
    assert np.allclose(agent.policy().act(observations()), agent.act(observations(), deterministic=True), atol=1e-6)
    assert (policy.provenance["updates"], agent.policy().provenance["updates"]) == (0, 1)


def test_it_says_where_it_comes_from(tmp_path: Path) -> None:
    agent = MTSAC(SPEC, balancer="conicgrad", balancer_options={"c": 0.5}, seed=7, device="cpu", width=8)
    agent.policy().save(tmp_path)
    told = Policy.load(tmp_path).provenance
    assert told["agent"] == "MTSAC"
    assert (told["balancer"], told["balancer_options"], told["seed"]) == ("conicgrad", {"c": 0.5}, 7)
    assert told["config"]["width"] == 8


def test_saving_again_leaves_one_policy(tmp_path: Path) -> None:
    for seed in (1, 2):
        written = make_agent(seed=seed).policy().save(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted(written)
    assert np.array_equal(Policy.load(tmp_path).act(observations()), make_agent(seed=2).policy().act(observations()))


@pytest.mark.parametrize("at", [0, 1])
def test_a_disk_that_is_full_leaves_the_policy_that_was_there(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_agent(seed=1).policy().save(tmp_path)
    kept, calls = files.replace, []

    def full(file: Path, data: bytes) -> None:
        calls.append(file)
        if len(calls) > at:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept(file, data)

    monkeypatch.setattr(files, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        make_agent(seed=2).policy().save(tmp_path)
    policy = Policy.load(tmp_path)
    assert np.array_equal(policy.act(observations()), make_agent(seed=1).policy().act(observations()))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    files.replace(file, b"good")

    def fail(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            files.replace(file, b"better")
    assert file.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_loaded_in_one_line(tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(UserError) as caught:
            Policy.load(tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no saved policy" in refused()
    weights, described = make_agent().policy().save(tmp_path)
    good, data = json.loads(described.read_text()), weights.read_bytes()
    for text, words in (
        ("{", "not valid JSON"),
        ("[]", "format None, but this version reads 2"),
        (json.dumps(good | {"format": 9}), "format 9, but this version reads 2"),
        (json.dumps({key: value for key, value in good.items() if key != "spec"}), "'spec' is missing"),
        (json.dumps(good | {"spec": {"tasks": 3}}), "tasks do not describe tasks"),
        (json.dumps(good | {"actor": good["actor"] | {"network": "sharde"}}), "did you mean 'shared'"),
        (json.dumps(good | {"actor": good["actor"] | {"hidden": {"width": 9, "depth": 2}}}), "do not fit"),
        (json.dumps(good | {"actor": {"layers": 3}}), "this does not describe an actor"),
        (json.dumps(good | {"weights": {"file": "gone", "sha256": ""}}), "not there: gone"),
    ):
        described.write_text(text)
        assert words in refused(), text
    described.write_text(json.dumps(good))
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "damaged" in refused()


def test_what_cannot_be_saved_or_acted_on_in_one_line(tmp_path: Path) -> None:
    policy = make_agent().policy()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        policy.save(tmp_path / "file")
    with pytest.raises(UserError, match="unknown task 'thre'; did you mean 'three'"):
        policy.act(np.zeros(4), task="thre")
    for given, task in ((np.zeros(5), "three"), (np.zeros((1, 1, 4)), "three"), (np.zeros((4, 7)), None)):
        with pytest.raises(UserError, match="must have shape"):
            policy.act(given, task=task)
    for given in ([[1.0], [1.0, 2.0]], "reach", None, [object()]):
        with pytest.raises(UserError, match="must"):
            policy.act(given, task="three")


@pytest.mark.parametrize("scale", ["none", "task"])
@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_computes_the_same_for_any_number_of_rows(network: str, scale: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    policy = make_agent(network, scale).policy()
    for task, size, own_units in ((None, 7, False), ("one", 2, True)):
        file = policy.export_onnx(tmp_path / "new" / "policy.onnx", task=task, own_units=own_units)
        model = ReferenceEvaluator(onnx.load(file))
        for count in (1, 4):
            given = observations(count) if task is None else observations(count)[0, :, :size]
            (actions,) = model.run(None, {"observations": given})
            assert np.allclose(actions, policy.act(given, task=task, own_units=own_units), atol=1e-6)
