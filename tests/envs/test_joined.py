"""Tests of several steppers joined in one: each task behaves as it does alone, in the order of the set."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mtrl_conic.envs import Step, TaskSet, make_task_set
from mtrl_conic.envs.joined import JoinedStepper
from mtrl_conic.envs.metaworld.reference import MetaWorldStepper
from tests.envs.test_task_set import NAMES, Walk, actions_of, flat


class Cut(Walk):
    """A walk that truncates its episodes beyond 0.5."""

    def step(self, actions: NDArray[np.float32]) -> Step:
        return super().step(actions)._replace(truncated=self.state[:, 0] > 0.5)


def test_a_joined_set_is_the_whole_one() -> None:
    """The order of the tasks in the parts differs from that of the set."""
    whole = TaskSet(Walk(), seed=1, horizon=9)
    joined = TaskSet(JoinedStepper([Walk(("far", "near")), Walk(("middle",))], NAMES), seed=1, horizon=9)
    assert flat(whole.reset()) == flat(joined.reset())
    for actions in actions_of(0, 60):
        assert flat(whole.step(actions)) == flat(joined.step(actions))
    other = TaskSet(JoinedStepper([Walk(("middle", "far")), Walk(("near",))], NAMES), horizon=9)
    other.load_state_dict(whole.state_dict())
    for actions in actions_of(1, 30):
        assert flat(other.step(actions)) == flat(joined.step(actions))


def test_a_part_that_cuts_its_episodes_cuts_no_others() -> None:
    stepper = JoinedStepper([Walk(("near",)), Cut(("far",))], ("far", "near"))
    for task in (0, 1):
        stepper.reset(task, 0)
    cut = []
    for _ in range(30):
        step = stepper.step(np.ones((2, 1), np.float32))
        assert step.truncated is not None
        assert step.truncated.tolist() == [step.observations[0, 0] > 0.5, False]
        cut.append(bool(step.truncated[0]))
    assert set(cut) == {False, True}


def test_parts_are_closed_with_it() -> None:
    parts = Walk(("near",)), Walk(("far",))
    TaskSet(JoinedStepper(parts, ("near", "far"))).close()
    assert [part.closed for part in parts] == [1, 1]


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="every task once"):
        JoinedStepper([Walk(("near", "far")), Walk(("far",))], ("near", "far"))
    with pytest.raises(ValueError, match="every task once"):
        JoinedStepper([Walk(("near",))], ("near", "far"))
    fewer = Walk(("far",))
    fewer.num_episodes = 3
    with pytest.raises(ValueError, match="the same sizes"):
        JoinedStepper([Walk(("near",)), fewer], ("near", "far"))


@pytest.mark.parametrize("copies", [1, 2])
def test_compiled_and_plain_tasks_of_one_set_are_metaworlds(copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference for a task with a kernel and one without is Meta-World's own code for both."""
    from mtrl_conic.envs import make
    from mtrl_conic.envs.metaworld import fast

    if fast.supports(["reach-v3"]) is not None:
        pytest.skip("there is no compiled stepping here")
    supports = fast.supports

    def but_not_push(names: list[str], reward_version: str = "v2") -> str | None:
        return "no kernel for push-v3" if "push-v3" in names else supports(names, reward_version)

    monkeypatch.setattr(fast, "supports", but_not_push)
    make._warn_of_slow_stepping.cache_clear()
    mixed = make_task_set(["push", "reach"], seed=5, horizon=8, copies=copies)
    plain = make_task_set(["push", "reach"], seed=5, horizon=8, copies=copies, stepping="metaworld")
    assert isinstance(mixed.stepper, JoinedStepper)
    assert [type(part) for part in mixed.stepper.parts] == [fast.FastStepper, MetaWorldStepper]
    assert np.array_equal(mixed.reset()[0], plain.reset()[0])
    for actions in np.random.default_rng(0).uniform(-1, 1, (20, 2 * copies, 4)).astype(np.float32):
        one, two = mixed.step(actions), plain.step(actions)
        assert np.array_equal(one[0], two[0])
        assert np.allclose(one[1], two[1], rtol=1e-12, atol=0)
        assert np.array_equal(one[3], two[3])
        assert np.array_equal(one[4]["success"], two[4]["success"])
    mixed.close()
    plain.close()
