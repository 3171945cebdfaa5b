"""Tests that every registered balancer must pass; registering a new one is enough for it to be tested."""

from __future__ import annotations

import io
from typing import Annotated, Any

import pydantic
import pytest
import torch
from pydantic import Field
from torch import Tensor

from mtrl_conic import balancers
from mtrl_conic.balancers import Balancer
from mtrl_conic.errors import UserError
from tests.balancers import oracles

NAMES = balancers.available()
GRAMIAN = [name for name in NAMES if balancers.get(name).needs in ("gramian", "nothing")]
STATEFUL = [name for name in NAMES if balancers.make(name, 3).state]
# The tests hold for these variants too.
VARIANTS: dict[str, dict[str, Any]] = {
    "cagrad": {"c": 0.9, "rescale": "square"},
    "conicgrad": {"solver": "exact"},
    "aligned_mtl": {"mode": "median"},
    "nashmtl": {"update_every": 3},
    "gradops": {"alpha": "auto"},
    "fairgrad": {"alpha": 5},
    "dwa": {"window": 2},
    "stch": {"warmup": 2},
    "famo": {"components": "both"},
    "modo": {"sampling": "triple"},
    "sdmgrad": {"sampling": "triple"},
    "crmogm": {"of": "famo"},
    "pmgda": {"sigma": 0.9, "tolerance": 0.01},
    "composed": {"losses": "stch:warmup=2", "of": "upgrad"},
}
CASES = [(name, {}) for name in NAMES] + list(VARIANTS.items())
every = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}{'-variant' if o else ''}" for n, o in CASES])


def some_losses(num_tasks: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)
    return 0.2 + torch.rand(num_tasks, generator=generator, dtype=torch.float64)


def run(balancer: Balancer, jacobians: list[Tensor], first_seed: int = 0) -> list[Tensor]:
    """Run a few updates, with losses before and after each step, and return their directions."""
    directions = []
    for count, jacobian in enumerate(jacobians):
        losses = some_losses(jacobian.shape[-2], first_seed + count).expand(*jacobian.shape[:-2], -1)
        directions.append(balancer.direction(jacobian, losses))
        balancer.observe(0.9 * losses.flip(-1))
    return directions


def few(num_tasks: int, count: int = 4, **shape: Any) -> list[Tensor]:
    return [oracles.gradients(num_tasks, seed=seed, **shape) for seed in range(count)]


@every
@pytest.mark.parametrize("num_tasks", [1, 2, 3, 10, 50])
def test_shapes_and_finite_output(name: str, options: dict[str, Any], num_tasks: int) -> None:
    balancer = balancers.make(name, num_tasks, **options)
    jacobian, losses = oracles.gradients(num_tasks, dim=60), some_losses(num_tasks)
    direction, statistics = balancer.direct(jacobian, losses)
    assert direction.shape == (60,)
    assert direction.isfinite().all()
    for figure in statistics.values():
        assert figure.shape in ((), (num_tasks,))
        assert figure.isfinite().all()
    if balancer.needs != "jacobian":
        weights = balancers.make(name, num_tasks, **options).weights(jacobian @ jacobian.mT, losses)
        assert weights.shape == (num_tasks,)
        assert weights.dtype == torch.float64
        torch.testing.assert_close(weights @ jacobian, direction, rtol=1e-6, atol=1e-8)


def awkward() -> dict[str, Tensor]:
    plain = oracles.gradients(4)
    zero_row = plain.clone()
    zero_row[2] = 0
    return {
        "zero row": zero_row,
        "all zero": torch.zeros(4, 30, dtype=torch.float64),
        "duplicates": plain[[0, 0, 1, 1]],
        "all equal": plain[[0, 0, 0, 0]],
        "opposed": torch.cat([plain[:2], -plain[:2]]),
        "rank one": oracles.rank_deficient(4, 1),
        "rank three": oracles.rank_deficient(4, 3),
        "far apart": plain * torch.tensor([[1e-6], [1.0], [1e3], [1e6]], dtype=torch.float64),
        "tiny": plain * 1e-12,
        "huge": plain * 1e12,
        "nearly equal": plain[:1] + 1e-9 * plain,
    }


@every
@pytest.mark.parametrize("kind", awkward())
def test_awkward_gradients(name: str, options: dict[str, Any], kind: str) -> None:
    balancer = balancers.make(name, 4, **options)
    jacobian = awkward()[kind]
    for direction in run(balancer, [jacobian] * 3 + few(4, 2)):
        assert direction.isfinite().all()
    assert all(tensor.isfinite().all() for tensor in balancer.state.values())


@every
def test_rank_deficient_ten_tasks(name: str, options: dict[str, Any]) -> None:
    for rank in (1, 3, 9):
        directions = run(balancers.make(name, 10, **options), [oracles.rank_deficient(10, rank, seed=rank)])
        assert directions[0].isfinite().all()


@every
def test_one_task_gives_its_gradient_up_to_scale(name: str, options: dict[str, Any]) -> None:
    jacobian = oracles.gradients(1)
    for direction in run(balancers.make(name, 1, **options), [jacobian] * 2):
        torch.testing.assert_close(direction / direction.norm(), jacobian[0] / jacobian[0].norm())


@every
def test_permutation_of_the_tasks(name: str, options: dict[str, Any]) -> None:
    if balancers.get(name).draws:
        pytest.skip("draws: equal in distribution only, see the method's own tests")
    order = torch.tensor([2, 0, 3, 1])
    plain, permuted = balancers.make(name, 4, **options), balancers.make(name, 4, **options)
    for seed, jacobian in enumerate(few(4)):
        losses = some_losses(4, seed)
        expected = plain.direction(jacobian, losses)
        actual = permuted.direction(jacobian[order], losses[order])
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)
        plain.observe(losses.flip(0))
        permuted.observe(losses.flip(0)[order])


@every
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_scaling_law(name: str, options: dict[str, Any], scale: float) -> None:
    plain, scaled = balancers.make(name, 5, **options), balancers.make(name, 5, **options)
    factor = scale ** (1 + plain.scaling)
    expected = run(plain, few(5))
    actual = run(scaled, [jacobian * scale for jacobian in few(5)])
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(other / factor, one, rtol=1e-5, atol=1e-6)


@every
def test_float32_input(name: str, options: dict[str, Any]) -> None:
    jacobians = few(5)
    narrow = run(balancers.make(name, 5, **options), [jacobian.float() for jacobian in jacobians])
    wide = run(balancers.make(name, 5, **options), [jacobian.float().double() for jacobian in jacobians])
    for one, other in zip(narrow, wide, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


@every
def test_batch_equals_loop(name: str, options: dict[str, Any]) -> None:
    if balancers.get(name).draws:
        pytest.skip("draws: a batch takes other numbers than a loop, see the method's own tests")
    batches = [torch.stack([oracles.gradients(4, seed=10 * step + row) for row in range(6)]) for step in range(3)]
    batched = balancers.make(name, 4, **options)
    batched.reset((2, 3))
    together = run(batched, [batch.view(2, 3, 4, 30) for batch in batches])
    for row in range(6):
        alone = run(balancers.make(name, 4, **options), [batch[row] for batch in batches])
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(many.view(6, 30)[row], one, rtol=1e-7, atol=1e-9)


@every
def test_number_of_threads_does_not_matter(name: str, options: dict[str, Any]) -> None:
    jacobians = few(10, 2)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(torch.stack(run(balancers.make(name, 10, **options), jacobians)))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


@every
def test_saved_state_continues_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    first = balancers.make(name, 4, **options)
    run(first, few(4))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = balancers.make(name, 4, **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    following = few(4, 6)[4:]
    for one, other in zip(run(first, following, 4), run(second, following, 4), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)


@every
def test_reset_forgets(name: str, options: dict[str, Any]) -> None:
    balancer = balancers.make(name, 4, **options)
    first = run(balancer, few(4))
    balancer.reset()
    for one, other in zip(first, run(balancer, few(4)), strict=True):
        assert torch.equal(one, other)


@every
def test_state_dict_is_a_copy_and_state_is_written_in_place(name: str, options: dict[str, Any]) -> None:
    balancer = balancers.make(name, 4, **options)
    run(balancer, few(4, 2))  # moco learns the number of parameters at its first call
    places = {key: tensor.data_ptr() for key, tensor in balancer.state.items()}
    saved = balancer.state_dict()
    kept = {key: tensor.clone() for key, tensor in saved.items()}
    run(balancer, few(4, 4), 2)
    balancer.load_state_dict(saved)
    assert all(torch.equal(saved[key], kept[key]) for key in kept)
    assert {key: tensor.data_ptr() for key, tensor in balancer.state.items()} == places


@every
def test_two_components_share_nothing(name: str, options: dict[str, Any]) -> None:
    """Public code shares one balancer among critic, actor and temperature, which mixes their states."""
    critic, actor = balancers.make(name, 4, **options), balancers.make(name, 4, **options)
    alone = run(balancers.make(name, 4, **options), few(4))
    between = [oracles.gradients(4, seed=100 + seed) for seed in range(4)]
    mixed = []
    for step, jacobian in enumerate(few(4)):
        mixed += run(critic, [jacobian], step)
        run(actor, [between[step]], 50 + step)
    for one, other in zip(alone, mixed, strict=True):
        assert torch.equal(one, other)


def test_a_shared_object_would_be_told_apart() -> None:
    """The check above is not vacuous: a method with a state does mix if one object serves two components."""
    differing = set()
    for name in STATEFUL:
        shared = balancers.make(name, 4)
        alone = run(balancers.make(name, 4), few(4))
        mixed = []
        for step, jacobian in enumerate(few(4)):
            mixed += run(shared, [jacobian], step)
            run(shared, [oracles.gradients(4, seed=100 + step)], 50 + step)
        if not all(torch.equal(one, other) for one, other in zip(alone, mixed, strict=True)):
            differing.add(name)
    assert {"conicgrad", "famo", "pcgrad", "gradnorm", "moco", "uw"} <= differing


@every
def test_input_is_left_alone(name: str, options: dict[str, Any]) -> None:
    jacobian, losses = oracles.gradients(4), some_losses(4)
    kept, kept_losses = jacobian.clone(), losses.clone()
    balancers.make(name, 4, **options).direction(jacobian, losses)
    assert torch.equal(jacobian, kept)
    assert torch.equal(losses, kept_losses)


@every
def test_no_gradient_flows(name: str, options: dict[str, Any]) -> None:
    jacobian = oracles.gradients(4).requires_grad_()
    assert not balancers.make(name, 4, **options).direction(jacobian, some_losses(4).requires_grad_()).requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_is_described(name: str) -> None:
    method = balancers.get(name)
    assert method.name == name
    assert method.paper
    assert method.__doc__
    for field in balancers.options(name).values():
        assert field.description
        assert field.default is not ...


@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_is_told_in_one_line(name: str) -> None:
    balancer = balancers.make(name, 3)
    with pytest.raises(UserError, match="must have shape"):
        balancer.direct(torch.zeros(4, 5), torch.ones(3))
    if balancer.needs == "losses" or balancer.needs_losses:
        with pytest.raises(UserError, match="needs the losses"):
            balancer.direction(torch.zeros(3, 5))
        with pytest.raises(UserError, match="losses must have shape"):
            balancer.direction(torch.zeros(3, 5), torch.ones(4))
    if balancer.needs == "jacobian":
        with pytest.raises(UserError, match="call direction"):
            balancer.weights(torch.eye(3))
    if balancer.state.keys() - {"draws"}:
        with pytest.raises(UserError, match=r"reset\(\(2,\)\)"):
            balancer.direction(torch.zeros(2, 3, 5), torch.ones(2, 3))
        with pytest.raises(UserError, match="another balancer"):
            balancer.load_state_dict(balancers.make(name, 4).state_dict())
    with pytest.raises(UserError, match="another balancer"):
        balancer.load_state_dict({"nothing": torch.zeros(3)})


def test_unknown_names_and_options() -> None:
    with pytest.raises(UserError, match="did you mean 'cagrad'"):
        balancers.make("cagrd", 3)
    with pytest.raises(UserError, match="did you mean 'solver'"):
        balancers.make("conicgrad", 3, solvr="exact")
    with pytest.raises(UserError, match=r"conicgrad: option c=1\.5"):
        balancers.make("conicgrad", 3, c=1.5)
    with pytest.raises(UserError, match="there are none"):
        balancers.make("si", 3, c=1)
    with pytest.raises(UserError, match="num_tasks"):
        balancers.make("ls", 0)


def test_options_are_converted() -> None:
    assert balancers.check_options("nashmtl", {"update_every": "50"}) == {"update_every": 50}
    assert balancers.check_options("cagrad", {"c": "0.9"}) == {"c": 0.9}


def test_a_name_is_taken_once() -> None:
    with pytest.raises(UserError, match="already exists"):

        @balancers.register("ls")
        class Mine(Balancer):
            pass


def test_own_balancer_with_options() -> None:
    class Mine(Balancer):
        paper = "mine"

        def __init__(
            self,
            num_tasks: int,
            *,
            seed: int = 0,
            power: Annotated[float, Field(ge=0, description="of the norms")] = 1.0,
        ) -> None:
            super().__init__(num_tasks, seed=seed)
            self.power = power

        def balance(self, gramian: Tensor, losses: Tensor | None = None) -> balancers.Balance:
            return balancers.Balance(gramian.diagonal(dim1=-2, dim2=-1) ** -self.power, {})

    from mtrl_conic.balancers import registry

    try:
        balancers.register("mine")(Mine)
        assert balancers.options("mine")["power"].default == 1.0
        weights = balancers.make("mine", 2, power=2).weights(torch.diag(torch.tensor([1.0, 2.0])))
        torch.testing.assert_close(weights, torch.tensor([1.0, 0.25], dtype=torch.float64))
        with pytest.raises(UserError, match="power"):
            balancers.make("mine", 2, power=-1)
    finally:
        registry._REGISTRY.pop("mine")


def test_all_names_of_the_contract_are_there() -> None:
    contract = """ls si rlw dwa uw gls stch imtl_l famo gradnorm mgda pcgrad gradvac graddrop cagrad imtl_g nashmtl
        fairgrad aligned_mtl moco sdmgrad upgrad gradops conicgrad"""
    assert set(NAMES) >= set(contract.split())


def test_options_of_the_contract() -> None:
    expected = {
        "gradops": {"alpha"},
        "conicgrad": {"c", "solver", "form", "gamma", "lr"},
        "cagrad": {"c", "rescale"},
        "nashmtl": {"update_every"},
        "famo": {"gamma", "lr", "components"},
        "sdmgrad": {"lam"},
        "aligned_mtl": {"mode"},
    }
    for name, options in expected.items():
        assert options <= balancers.options(name).keys()
    assert issubclass(type(balancers.options("cagrad")["c"]), pydantic.fields.FieldInfo)


def test_make_takes_a_class_or_a_balancer() -> None:
    cagrad = balancers.get("cagrad")
    made = balancers.make(cagrad, 3, seed=1, c="0.9")
    assert isinstance(made, cagrad)
    assert made.c == 0.9
    assert balancers.make(made, 3) is made
    with pytest.raises(UserError, match="balances 3 tasks, not 4"):
        balancers.make(made, 4)
    with pytest.raises(UserError, match="takes no c any more"):
        balancers.make(made, 3, c=0.5)
    with pytest.raises(UserError, match="unknown option of cagrad 'd'"):
        balancers.make(cagrad, 3, d=1)
    with pytest.raises(UserError, match="derived from Balancer"):
        balancers.make(dict, 3)  # type: ignore[arg-type]


def test_methods_are_read_as_they_are_written() -> None:
    assert balancers.parse_methods("ls, gradops:alpha=-2,conicgrad:c=0.25,solver=exact,gradops") == [
        ("ls", {}),
        ("gradops", {"alpha": -2.0}),
        ("conicgrad", {"c": 0.25, "solver": "exact"}),
        ("gradops", {}),
    ]
    assert [name for name, _ in balancers.parse_methods("all")] == balancers.available()
    assert balancers.label("conicgrad", {"c": 0.25, "solver": "exact"}) == "conicgrad:c=0.25,solver=exact"
    for text, words in (
        ("gradop", "did you mean 'gradops'"),
        ("gradops:beta=1", "unknown option of gradops 'beta'"),
        ("gradops:alpha", "name:key=value"),
        ("c=1", "unknown balancer 'c=1'"),
        ("nashmtl,nashmtl:update_every=1,nashmtl", "nashmtl would run twice"),
        (" , ", "at least one balancer"),
    ):
        with pytest.raises(UserError, match=words):
            balancers.parse_methods(text)


@pytest.mark.parametrize("name", NAMES)
def test_input_of_another_kind_is_told_in_one_line(name: str) -> None:
    balancer, losses = balancers.make(name, 3), torch.ones(3)
    for wrong, words in (
        ([[1.0, 2.0]] * 3, "jacobian must be a tensor, not a list"),
        (torch.ones(3, 5, dtype=torch.int64), "floating-point type, not torch.int64"),
        (torch.ones(3, 5, dtype=torch.complex64), "floating-point type, not torch.complex64"),
        (torch.ones(5), r"must have shape \(..., 3, P\), a row per task, not \(5,\)"),
        (torch.ones(()), "a row per task"),
        (torch.ones(4, 5), r"must have shape \(..., 3, 5\), not \(4, 5\)"),
    ):
        with pytest.raises(UserError, match=words):
            balancer.direction(wrong, losses)  # type: ignore[arg-type]
    if balancer.needs_losses:
        with pytest.raises(UserError, match="losses must be a tensor, not a list"):
            balancer.direction(torch.ones(3, 5), [1.0, 1.0, 1.0])  # type: ignore[arg-type]


def test_a_state_knows_its_method() -> None:
    """The state of rlw and pcgrad is only a count of draws, but one cannot load that of the other."""
    with pytest.raises(UserError, match="saved by pcgrad, not by this rlw of 3 tasks"):
        balancers.make("rlw", 3).load_state_dict(balancers.make("pcgrad", 3).state_dict())
    older = {"draws": torch.tensor(7)}
    balancer = balancers.make("rlw", 3)
    balancer.load_state_dict(older)
    assert balancer.state["draws"] == 7


def test_losses_alone_are_not_enough_to_compare_gradients() -> None:
    with pytest.raises(UserError, match="mgda compares the tasks' gradients"):
        balancers.make("mgda", 3).without_gradients(torch.ones(3))
    weights = balancers.make("si", 3).without_gradients(torch.tensor([1.0, 2.0, 4.0])).weights
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64))


def test_what_to_do_with_input_that_is_not_finite_is_one_of_two() -> None:
    with pytest.raises(UserError, match="'raise' or 'skip', not 'ignore'"):
        balancers.make("mgda", 3, on_nonfinite="ignore")  # type: ignore[arg-type]
