"""Encoders mixed by attention to what is known of the task."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from mtrl_conic.agents.mtsac.agent import MTSAC
from mtrl_conic.envs.names import MT50
from mtrl_conic.envs.spec import TaskSpec
from mtrl_conic.errors import UserError
from mtrl_conic.networks.metadata import NAMES, read_metadata
from mtrl_conic.networks.trunks.care import CARE
from tests.agents.test_mtsac import SMALL, SPEC, A, B, D, K, make_batch
from tests.networks.test_architectures import assert_gradients_equal_separate_backwards


def make_agent(spec: TaskSpec = SPEC, **options: Any) -> MTSAC:
    return MTSAC(spec, balancer="conicgrad", network="care", network_options={"size": 6, **options}, **SMALL)


def trunk(agent: MTSAC) -> CARE:
    care = agent.actor.network.trunk
    assert isinstance(care, CARE)
    return care


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"right": [1, 0], "left": [0.5, -1], "up": [0, 2], "down": [0, -2]}))
    return path


def test_attention_sums_to_one_and_follows_the_task() -> None:
    code, weights = trunk(make_agent()).mixture(torch.randn(K, B, D))
    assert code.shape == (K, 1, 6)
    assert weights.shape == (K, 1, 6)
    assert torch.allclose(weights.sum(-1), torch.ones(K, 1))
    assert (weights > 0).all()
    assert not torch.allclose(weights[0], weights[1])


def test_the_layers_read_the_mixture_and_the_code() -> None:
    care, observations = trunk(make_agent()), torch.randn(K, B, D)
    code, weights = care.mixture(observations)
    state = observations[..., :-K]
    size, mixed = 6, torch.zeros(K, B, 6)
    for i, layer in enumerate(care.second):  # each encoder by itself
        rows = slice(i * size, (i + 1) * size)
        first = torch.relu(state @ care.first.weight[rows].T + care.first.bias[rows])
        mixed = mixed + weights[..., [i]] * layer(first)
    expected = care.layers(torch.cat([mixed, code.repeat(1, B, 1)], dim=-1))
    assert torch.allclose(care(observations), expected, atol=1e-6)


def test_attention_passes_no_gradient_to_the_code() -> None:
    care = trunk(make_agent())
    assert care.vectors is not None
    code, weights = care.mixture(torch.randn(K, B, D))
    assert torch.autograd.grad(weights[..., 0].sum(), care.vectors.weight, allow_unused=True) == (None,)
    assert torch.autograd.grad(code.sum(), care.vectors.weight)[0].abs().sum() > 0


@pytest.mark.parametrize("learned", [True, False])
def test_gradients_equal_separate_backwards(learned: bool, file: Path) -> None:
    agent = make_agent(metadata="" if learned else str(file))
    assert_gradients_equal_separate_backwards(agent)
    assert bool(agent.critic.layout.own) == learned


def test_vectors_of_a_file_stay_and_are_saved(file: Path, tmp_path: Path) -> None:
    agent = make_agent(metadata=str(file))
    given = torch.tensor([[0.5, -1], [1, 0], [0, 2]])
    for update in range(3):
        agent.update(make_batch(update))
    assert trunk(agent).metadata is not None
    assert torch.equal(trunk(agent).metadata, given)
    agent.save(tmp_path / "agent.pt")
    file.write_text(file.read_text().replace("0.5", "0.7"))
    assert torch.equal(trunk(MTSAC.load(tmp_path / "agent.pt", device="cpu")).metadata, given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"left": [1], "right": [2]}', "unknown task of metadata=FILE 'up'"),
        ('{"left": [1], "rigth": [2], "up": [1]}', "'right'; did you mean 'rigth'"),
        ('{"left": [1], "right": [2, 3], "up": [1]}', "right has 2 numbers, left has 1"),
        ('{"left": [1], "right": ["a"], "up": [1]}', "right must have a list of finite numbers"),
        ('{"left": [NaN], "right": [1], "up": [1]}', "left must have a list of finite numbers"),
        ("[1]", "must map tasks to lists of numbers"),
        ("{", "is not valid JSON"),
        (None, "No such file or directory; give a JSON file, or metadata=names"),
    ],
)
def test_a_file_that_does_not_fit_in_one_line(text: str | None, words: str, file: Path) -> None:
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError) as caught:
        make_agent(metadata=str(file))
    assert words.replace("FILE", str(file)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_packages_vectors_are_those_of_the_script() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "task_name_vectors.py"))
    assert json.loads(NAMES.read_text()) == script["name_vectors"](MT50)


def test_names_that_share_rare_words_lie_close() -> None:
    vectors = read_metadata("names", MT50)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(50), atol=1e-3)
    cosines = vectors @ vectors.T - 2 * torch.eye(50)
    assert cosines.max() < 0.999  # no two are the same

    def cosine(one: str, two: str) -> float:
        return float(cosines[MT50.index(one), MT50.index(two)])

    assert cosine("drawer-open-v3", "drawer-close-v3") > 0.5 > cosine("drawer-open-v3", "reach-v3")
    assert cosine("window-open-v3", "window-close-v3") > cosine("window-open-v3", "door-open-v3")


def test_names_of_mt10() -> None:
    spec = TaskSpec(MT50[:3], D, A, True)
    vectors = trunk(make_agent(spec, metadata="names")).metadata
    assert vectors is not None
    assert torch.equal(vectors, read_metadata("names", MT50)[:3])
