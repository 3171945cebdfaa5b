"""Networks by name, class or function, each with its options."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from mtrl_conic import MTSAC, Policy, networks
from mtrl_conic.cli import main
from mtrl_conic.cli.terminal import TERMINAL
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.execution.choice import make_execution
from mtrl_conic.gradients import Linear
from mtrl_conic.networks import Hidden, trunks
from mtrl_conic.runs.checking import check
from mtrl_conic.runs.config import make_config
from tests.agents.test_mtsac import SMALL, SPEC, D, K, make_batch, parameters


class Narrow(nn.Module):
    """One layer of units behind a narrow one."""

    def __init__(
        self,
        spec: TaskSpec,
        extra: int,
        hidden: Hidden,
        *,
        generator: torch.Generator,
        neck: Annotated[int, Field(ge=1, description="units of the narrow layer")] = 2,
    ) -> None:
        super().__init__()
        self.neck = Linear(spec.observation_dim + extra, neck, generator=generator)
        self.layer = Linear(neck, hidden.width, generator=generator)

    def forward(self, observations: Tensor, *actions: Tensor) -> Tensor:
        return torch.relu(self.layer(self.neck(torch.cat([observations, *actions], dim=-1))))


class NarrowHeads(Narrow):
    """The same with heads."""

    own_output = True


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry with one more network."""
    known = {name: networks.get(name) for name in networks.available()}
    monkeypatch.setattr("mtrl_conic.networks.registry._REGISTRY", {**known, "narrow": Narrow})


def make_narrow(spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator, neck: int = 3) -> nn.Module:
    return Narrow(spec, extra, hidden, generator=generator, neck=neck)


def neck(agent: MTSAC) -> int:
    return int(agent.actor.network.trunk.neck.weight.shape[0])


def test_a_file_is_a_network_of_its_name() -> None:
    files = {module.name for module in pkgutil.iter_modules(trunks.__path__)}
    assert files <= set(networks.available())
    for name in files:
        assert networks.get(name).__module__ == f"mtrl_conic.networks.trunks.{name}"
        assert networks.choose(name).name == name


def test_names_are_known_without_torch() -> None:
    code = (
        "import sys; from mtrl_conic import networks; from mtrl_conic.agents.mtsac.config import AgentConfig;"
        "assert 'multihead' in networks.available(); AgentConfig(network='shared'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("narrow")
def test_a_name_is_taken_once() -> None:
    with pytest.raises(UserError, match="'multihead' already exists"):
        networks.register_network("multihead")(torch.nn.Identity)
    assert networks.register_network("narrow")(Narrow) is Narrow
    with pytest.raises(UserError, match="'narrow' already exists"):
        networks.register_network("narrow")(torch.nn.Identity)


@pytest.mark.usefixtures("narrow")
def test_options_are_what_the_class_takes() -> None:
    (option,) = networks.options("narrow").items()
    assert (option[0], option[1].default, option[1].description) == ("neck", 2, "units of the narrow layer")
    assert set(networks.options("shared")) == {"residual", "embedding", "film"}
    assert set(networks.options("soft_modularization")) == {"modules"}
    assert networks.check_options("narrow", {"neck": "5"}) == {"neck": 5}
    assert neck(MTSAC(SPEC, network="narrow", network_options={"neck": 5}, **SMALL)) == 5


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("sharde", {}, "unknown network 'sharde'; did you mean 'shared'"),
        ("soft_modularization", {"residual": True}, "unknown option of soft_modularization 'residual'"),
        ("soft_modularization", {"module": 2}, "did you mean 'modules'"),
        ("soft_modularization", {"modules": 0}, "soft_modularization: option modules=0"),
        ("multihead", {"embedding": -1}, "multihead: option embedding=-1"),
    ],
)
def test_wrong_options_in_one_line_before_anything_is_built(network: str, options: dict[str, Any], words: str) -> None:
    config = make_config("mt10_small", {"agent": {"network": network, "network_options": options}})
    for refuse in (lambda: check(config), lambda: MTSAC(SPEC, network=network, network_options=options, **SMALL)):
        with pytest.raises(UserError) as caught:
            refuse()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_options_of_a_presets_network_are_not_those_of_another(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("agent:\n  network: soft_modularization\n  network_options:\n    modules: 2\n")
    assert make_config(str(preset), {}).agent.network_options == {"modules": 2}
    assert make_config(str(preset), {"agent": {"network": "shared"}}).agent.network_options == {}
    given = {"agent": {"network_options": {"modules": 3}}}
    assert make_config(str(preset), given).agent.network_options == {"modules": 3}


@pytest.mark.parametrize(
    ("network", "options", "width", "heads"),
    [
        (Narrow, {}, 2, False),
        (Narrow, {"neck": 4}, 4, False),
        (partial(Narrow, neck=5), {}, 5, False),
        (make_narrow, {}, 3, False),
        (NarrowHeads, {}, 2, True),
        (partial(NarrowHeads, neck=6), {}, 6, True),
    ],
    ids=["class", "class-option", "partial", "function", "heads", "heads-partial"],
)
def test_a_class_or_a_function_in_the_place_of_a_name(
    network: Any, options: dict[str, Any], width: int, heads: bool, tmp_path: Path
) -> None:
    agent = MTSAC(SPEC, balancer="conicgrad", network=network, network_options=options, device="cpu", **SMALL)
    assert neck(agent) == width
    assert ("output.weight" in agent.actor.layout.own) == heads
    agent.update(make_batch())
    agent.save(tmp_path / "agent.pt")
    agent.policy().save(tmp_path / "policy")
    again = MTSAC.load(tmp_path / "agent.pt", network=network, device="cpu")
    assert torch.equal(parameters(again), parameters(agent))
    observations = np.ones((K, D), np.float32)
    policy = Policy.load(tmp_path / "policy", network=network)
    assert np.array_equal(policy.act(observations), agent.policy().act(observations))
    for load in (lambda: MTSAC.load(tmp_path / "agent.pt"), lambda: Policy.load(tmp_path / "policy")):
        with pytest.raises(UserError, match=f"unknown network {agent.network.name!r}"):
            load()


@pytest.mark.usefixtures("narrow")
def test_a_registered_class_is_recorded_under_its_name() -> None:
    assert MTSAC(SPEC, network=Narrow, **SMALL).config.network == "narrow"
    assert MTSAC(SPEC, network=NarrowHeads, **SMALL).config.network == "NarrowHeads"


def test_options_from_the_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(TERMINAL, "_width", 200)  # made by another test, it knows the width of then
    chosen = ["--network", "soft_modularization", "--network-options", "modules=2", "--width", "8"]
    assert main(["describe", "mt10_small", *chosen]) == 0
    told = capsys.readouterr().out
    assert "network soft_modularization, modules=2" in told
    assert "trunk.first.1.weight" in told
    assert "trunk.first.2.weight" not in told
    assert main(["networks"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in networks.available())
    assert "modules=4: number of modules in each layer" in told


def test_one_module_cannot_be_all_of_them() -> None:
    with pytest.raises(UserError, match=r"Identity\(...\) is one module, and actor and critics each need"):
        MTSAC(SPEC, network=torch.nn.Identity(), **SMALL)  # type: ignore[arg-type]


def test_kept_configurations_are_read() -> None:
    files = sorted((Path(__file__).parents[2] / "results").rglob("*.yaml"))
    kept = [file for file in files if "\nagent:\n" in file.read_text()]
    assert len(kept) > 20
    for file in kept:
        check(make_config(str(file), {"execution": {"device": "cpu"}}))


class Dropped(nn.Module):
    """A trunk with what behaves differently in training: dropout and the statistics of a batch."""

    def __init__(self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.observation_dim + extra, hidden.width)
        self.norm, self.dropout = nn.BatchNorm1d(hidden.width), nn.Dropout(0.5)

    def forward(self, observations: Tensor, *actions: Tensor) -> Tensor:
        y = self.layer(torch.cat([observations, *actions], dim=-1))
        y = self.dropout(self.norm(y.flatten(0, 1)).view_as(y))
        return torch.relu(y)


@pytest.mark.parametrize("average_over", [0, 3])
def test_actions_do_not_depend_on_what_is_for_training(average_over: int) -> None:
    agent = MTSAC(SPEC, balancer="ls", network=Dropped, average_over=average_over, **SMALL)
    for seed in range(3):
        agent.update(make_batch(seed))
    observations = torch.randn(K, D).numpy()
    expected = agent.policy().act(observations)
    before = {name: value.clone() for name, value in agent.actor.network.named_buffers()}
    for _ in range(3):
        assert np.array_equal(agent.act(observations, deterministic=True), expected)
    other = observations.copy()
    other[1] += 3
    assert np.array_equal(agent.act(other, deterministic=True)[0], expected[0])
    agent.act(observations)
    assert all(torch.equal(value, before[name]) for name, value in agent.actor.network.named_buffers())
    assert all(module.training for module in agent.actor.network.modules())


class Encoders(nn.Module):
    """A trunk with an encoder for each task, selected by the position of the task's rows."""

    def __init__(self, spec: TaskSpec, extra: int, hidden: Hidden, *, generator: torch.Generator) -> None:
        super().__init__()
        inputs = spec.observation_dim + extra
        self.encoders = nn.ModuleList(nn.Linear(inputs, hidden.width) for _ in spec.task_names)

    def forward(self, observations: Tensor, *actions: Tensor) -> Tensor:
        x = torch.cat([observations, *actions], dim=-1)
        return torch.stack([torch.relu(each(rows)) for each, rows in zip(self.encoders, x, strict=False)])


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_encoder_for_each_task_is_trained_for_each(compile: bool) -> None:
    execution = make_execution(torch.device("cpu"), compile=compile)
    agent = MTSAC(SPEC, balancer="conicgrad", network=Encoders, execution=execution, **SMALL)
    for component in (agent.actor, agent.critic):
        before = {name: value.clone() for name, value in component.network.named_parameters()}
        agent.update(make_batch())
        for name, value in component.network.named_parameters():
            assert not torch.equal(value, before[name]), name


def test_a_network_that_does_not_fit_is_refused_in_one_line() -> None:
    class Wide(Narrow):
        """A trunk of another width."""

        def forward(self, observations: Tensor, *actions: Tensor) -> Tensor:
            return super().forward(observations, *actions).repeat(1, 1, 2)

    def unseeded(spec: TaskSpec, extra: int, hidden: Hidden) -> nn.Module:
        return nn.Identity()

    with pytest.raises(UserError, match=r"must return \(K, B, hidden\.width\), here .* and returned"):
        MTSAC(SPEC, balancer="ls", network=Wide, **SMALL).update(make_batch())
    with pytest.raises(UserError, match=r"must take \(spec, extra, hidden, \*, generator\)"):
        MTSAC(SPEC, balancer="ls", network=unseeded, **SMALL)
