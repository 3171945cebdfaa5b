from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import pytest
import torch

from mtrl_conic import balancers
from mtrl_conic.cli import main
from mtrl_conic.errors import UserError
from mtrl_conic.toy import comparison, fronts, maps, vectors
from mtrl_conic.toy import paths as toy
from mtrl_conic.toy.paths import Trajectory
from mtrl_conic.toy.problems import PROBLEMS, Problem


def classic_by_hand(x1: float, x2: float, scale: float) -> tuple[float, float]:
    f1 = math.log(max(abs(0.5 * (-x1 - 7) - math.tanh(-x2)), 5e-6)) + 6
    f2 = math.log(max(abs(0.5 * (-x1 + 3) + math.tanh(-x2) + 2), 5e-6)) + 6
    q1 = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    q2 = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    c1, c2 = max(math.tanh(0.5 * x2), 0), max(math.tanh(-0.5 * x2), 0)
    return scale * (c1 * f1 + c2 * q1), c1 * f2 + c2 * q2


def gradops_by_hand(x1: float, x2: float) -> tuple[float, float]:
    c1, c2 = max(math.tanh(5 * x2), 0), max(math.tanh(-5 * x2), 0)
    fa = math.log(max(abs(5 * (-x1 - 0.7) - math.tanh(-3 * x2)), 5e-4)) + 1
    fb = math.log(max(abs(5 * (-x1 + 0.7) - math.tanh(-3 * x2)), 5e-4)) + 1
    qa = 1.5 * math.tanh(2 * (-x1 + 0.7) ** 2) * (x1**2 + 1) + (-x2 - 0.8) ** 2 - 2.5
    qb = 1.5 * math.tanh(2 * (-x1 - 0.7) ** 2) * (x1**2 + 1) + (-x2 - 0.8) ** 2 - 2.5
    return c1 * fa + c2 * qa, c1 * fb + c2 * qb


@pytest.mark.parametrize("x2", [-9.0, -0.6, 0.0, 0.4, 7.5])
@pytest.mark.parametrize("x1", [-8.5, -0.3, 0.0, 0.9, 9.0])
def test_losses_are_those_of_the_papers(x1: float, x2: float) -> None:
    point = torch.tensor([x1, x2], dtype=torch.float64)
    for name, expected in (
        ("classic", classic_by_hand(x1, x2, 1.0)),
        ("classic_scaled", classic_by_hand(x1, x2, 0.1)),
        ("gradops", gradops_by_hand(x1, x2)),
    ):
        torch.testing.assert_close(PROBLEMS[name].losses(point), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", PROBLEMS)
def test_losses_are_above_their_floor(name: str) -> None:
    problem = PROBLEMS[name]
    assert (problem.grid[1] > torch.tensor(problem.floor)).all()


def test_the_floor_of_a_scaled_loss_is_scaled() -> None:
    """As in the papers' scripts, -21 below each loss, times its scale: a method of losses sees each above its own."""
    problem = PROBLEMS["classic_scaled"]
    assert PROBLEMS["classic"].floor == (-21.0, -21.0)
    assert problem.floor == (-2.1, -21.0)
    points = torch.tensor(problem.starts, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([points], lr=1e-3)
    for _ in range(50):
        descent.zero_grad()
        (problem.losses(points) - torch.tensor([-2.1, -21.0], dtype=torch.float64)).log().sum().backward()
        descent.step()
    trajectory = toy.descend(problem, balancers.make("si", 2), steps=50)
    torch.testing.assert_close(trajectory.points[-1], points.detach())


@pytest.mark.parametrize(("name", "optimum"), [("classic", (0.0, -8.355)), ("classic_scaled", (-5.73, -8.41))])
def test_optimum_of_the_mean(name: str, optimum: tuple[float, float]) -> None:
    torch.testing.assert_close(PROBLEMS[name].optimum, torch.tensor(optimum, dtype=torch.float64), rtol=0, atol=0.01)


def test_front_of_the_classic_problem() -> None:
    front = PROBLEMS["classic"].front
    assert front[:, 0].min() == pytest.approx(-7, abs=0.05)
    assert front[:, 0].max() == pytest.approx(7, abs=0.05)
    assert (front[:, 1] + 8.355).abs().max() < 0.4
    losses = PROBLEMS["classic"].losses(front)
    better = (losses[:, None] <= losses).all(-1) & (losses[:, None] < losses).any(-1)
    assert not better.any()


@pytest.mark.parametrize("name", balancers.available())
def test_every_balancer_descends_without_nan(name: str) -> None:
    for problem in PROBLEMS.values():
        trajectory = toy.descend(problem, balancers.make(name, 2), steps=6)
        assert trajectory.finite
        assert trajectory.points.shape == (1, len(problem.starts), 2)


@pytest.mark.parametrize("name", ["ls", "conicgrad", "famo"])
def test_starts_do_not_meet(name: str) -> None:
    """All starts at once give the paths of each alone."""
    problem = PROBLEMS["classic"]
    together = toy.descend(problem, balancers.make(name, 2), steps=100).points
    for start, place in enumerate(problem.starts):
        one = Problem("one", problem.losses, (place,), 100, problem.floor, problem.box, problem.near, problem.shore)
        alone = toy.descend(one, balancers.make(name, 2)).points
        torch.testing.assert_close(alone[:, 0], together[:, start], rtol=1e-9, atol=1e-9)


def test_ls_is_adam_on_the_mean() -> None:
    problem = PROBLEMS["classic"]
    points = torch.tensor(problem.starts, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([points], lr=1e-3)
    for _ in range(50):
        descent.zero_grad()
        problem.losses(points).mean(-1).sum().backward()
        descent.step()
    trajectory = toy.descend(problem, balancers.make("ls", 2), steps=50)
    torch.testing.assert_close(trajectory.points[-1], points.detach())


def path_to(problem: Problem, distances: list[list[float]]) -> Trajectory:
    offsets = torch.tensor(distances, dtype=torch.float64)
    points = problem.optimum + torch.stack([offsets, torch.zeros_like(offsets)], -1)
    return Trajectory(problem, "ls", torch.arange(len(distances)) * 50, points)


def test_arrival_is_when_all_starts_stay() -> None:
    problem = PROBLEMS["classic"]
    gone_again = path_to(problem, [[1.0, 0.0], [0.1, 1.0], [0.1, 0.1], [0.0, 0.1]])
    assert gone_again.steps_to_optimum == 100
    assert gone_again.at_optimum == 2
    half = path_to(problem, [[1.0, 1.0], [0.1, 3.0]])
    assert half.steps_to_optimum is None
    assert (half.at_optimum, half.on_front) == (1, 2)
    assert path_to(problem, [[0.0, 9.0]]).on_front == 1


def test_run_writes_paths_fronts_pictures_and_a_table(tmp_path: Path) -> None:
    seen: list[str] = []
    table = comparison.run(
        ["ls", "gradops:alpha=-2"],
        tmp_path,
        problems=["gradops"],
        steps=100,
        each=lambda trajectory: seen.append(trajectory.label),
    )
    assert seen == ["ls", "gradops:alpha=-2"]
    assert len(table.splitlines()) == 3
    with (tmp_path / "gradops" / "ls.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3
    assert (float(rows[0]["x1"]), float(rows[0]["x2"])) == PROBLEMS["gradops"].starts[0]
    with (tmp_path / "table.csv").open() as file:
        assert [row["balancer"] for row in csv.DictReader(file)] == ["ls", "gradops:alpha=-2"]
    assert (tmp_path / "gradops_front.csv").stat().st_size > 100
    picture = (tmp_path / "gradops.svg").read_text()
    assert picture.startswith("<svg")
    assert "gradops:alpha=-2" in picture


def test_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    seen: list[str] = []
    for names in (["ls"], ["ls", "famo", "ls"]):
        comparison.run(
            names, tmp_path, problems=["gradops"], steps=100, each=lambda trajectory: seen.append(trajectory.label)
        )
    assert seen == ["ls", "famo"]
    with pytest.raises(UserError, match="choose another folder"):
        comparison.run(["ls"], tmp_path, problems=["gradops"], steps=50)


def test_all_with_a_variant(tmp_path: Path) -> None:
    table = comparison.run(["all", "gradops:alpha=-2"], tmp_path, problems=["gradops"], steps=50)
    first = table.partition("\n\n")[0]
    assert [line.split()[1] for line in first.splitlines()[1:]] == [*balancers.available(), "gradops:alpha=-2"]


def test_together_goes_where_each_goes_alone() -> None:
    problems = [PROBLEMS["classic"], PROBLEMS["classic_scaled"]]
    names = ["famo", "cagrad", "si"]
    together = toy.descend_together(problems, {name: balancers.make(name, 2) for name in names}, 100)
    for name in names:
        for problem in problems:
            path = next(done for done in together if (done.label, done.problem) == (name, problem)).points
            alone = toy.descend(problem, balancers.make(name, 2), steps=100).points
            torch.testing.assert_close(path, alone, rtol=1e-9, atol=1e-9)


def test_pictures_as_png(tmp_path: Path) -> None:
    from mtrl_conic.toy.picture import draw

    problem = PROBLEMS["gradops"]
    draw(problem, [toy.descend(problem, balancers.make("ls", 2), steps=100)], tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_names_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'classic'"):
        comparison.run(["ls"], tmp_path, problems=["clasic"])
    with pytest.raises(UserError, match="did you mean 'cagrad'"):
        comparison.run(["cagrd"], tmp_path)
    with pytest.raises(UserError, match="key=value"):
        comparison.run(["cagrad:c"], tmp_path)
    with pytest.raises(UserError, match="option c='2'"):
        comparison.run(["cagrad:c=2"], tmp_path)
    with pytest.raises(UserError, match="at least one"):
        comparison.run([], tmp_path)


@pytest.mark.slow
def test_conicgrad_reaches_the_optimum_from_every_start() -> None:
    trajectory = toy.descend(PROBLEMS["classic"], balancers.make("conicgrad", 2))
    assert trajectory.at_optimum == 5
    assert trajectory.steps_to_optimum is not None


@pytest.mark.slow
def test_gradops_moves_along_the_front_with_alpha() -> None:
    """From the start that no groove catches; from the others a large alpha stops at x2 = 0."""
    problem, ends = PROBLEMS["gradops"], []
    for alpha in (-5, -2, 0, 2):
        trajectory = toy.descend(problem, balancers.make("gradops", 2, alpha=alpha))
        assert torch.cdist(trajectory.points[-1, 1:2], problem.front).min() < problem.near
        ends.append(float(trajectory.points[-1, 1, 0]))
    assert all(after - before > 0.02 for before, after in itertools.pairwise(ends))


def test_losses_over_steps_are_drawn(tmp_path: Path) -> None:
    comparison.run(["ls", "mgda"], tmp_path, problems=["classic"], steps=50)
    picture = (tmp_path / "classic_losses.svg").read_text()
    assert picture.startswith("<svg")
    for words in ("ls", "mgda", "mean loss", "(-8.5, 7.5)"):
        assert words in picture
    assert not (tmp_path / "fronts.csv").exists(), "one variant of each traces no front"


def test_variants_of_a_method_trace_a_front(tmp_path: Path) -> None:
    names = fronts.over_preferences(["ls"], 3)
    assert names == ["ls:preference=0.1667+0.8333", "ls:preference=0.5+0.5", "ls:preference=0.8333+0.1667"]
    table = comparison.run([*names, "mgda"], tmp_path, problems=["gradops"], steps=50)
    with (tmp_path / "fronts.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["problem"], row["balancer"], row["variants"]) == ("gradops", "ls", "3")
    assert 1 <= int(row["nondominated"]) < int(row["points"]) <= 9
    assert "hypervolume" in table
    assert (tmp_path / "gradops_traced.svg").read_text().startswith("<svg")


def test_the_true_front_covers_all_there_is() -> None:
    problem = PROBLEMS["classic"]
    ends = problem.losses(problem.front)
    whole = fronts.Traced(problem, "all", {"all": ends}).row()
    half = fronts.Traced(problem, "half", {"half": ends[: len(ends) // 2]}).row()
    assert float(whole[-1]) == pytest.approx(1, abs=2e-3)
    assert float(half[-1]) < 0.9
    assert fronts.Traced(problem, "high", {"high": ends + 100}).row()[-1] == "0.000"


def test_what_takes_no_preference_is_told() -> None:
    with pytest.raises(UserError, match=r"mgda does not accept a preference; these methods do: .*ls"):
        fronts.over_preferences(["mgda"], 3)
    with pytest.raises(UserError, match="at least 2"):
        fronts.over_preferences(["ls"], 1)
    every = fronts.over_preferences(["all"], 2)
    assert len(every) == 2 * sum("preference" in balancers.options(name) for name in balancers.available())


def test_update_vectors_of_every_balancer(tmp_path: Path) -> None:
    table = vectors.run(["all", "conicgrad:c=0.9"], tmp_path)
    for name, gradients in vectors.GRADIENTS.items():
        assert (gradients @ gradients.T < 0).any(), "some conflict"
        assert "conicgrad:c=0.9" in (tmp_path / f"vectors_{name}.svg").read_text()
    with (tmp_path / "vectors.csv").open() as file:
        rows = {(row["tasks"], row["balancer"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * (len(balancers.available()) + 1)
    assert rows["two", "ls"]["with_mean"] == "1.000"
    assert float(rows["three", "conicgrad:c=0.9"]["with_mean"]) >= 0.9 - 1e-3

    def worst(tasks: str, name: str) -> float:
        return min(map(float, rows[tasks, name]["with_tasks"].split()))

    for tasks in ("two", "three"):
        assert min(worst(tasks, "upgrad"), worst(tasks, "gradops")) >= -1e-3
    assert worst("three", "pcgrad") < -0.3, "with three tasks its update conflicts"
    assert worst("three", "ls") < -0.3
    assert float(rows["three", "conicgrad"]["with_mean"]) < 0.9, "it has adapted"
    assert len(table.splitlines()) == 1 + len(rows)


def test_the_command_draws_vectors_and_traces_fronts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "--vectors", "--balancers", "ls,mgda", "--out", str(tmp_path / "vectors")]) == 0
    assert (tmp_path / "vectors" / "vectors_three.svg").exists()
    arguments = ["toy", "--balancers", "ls", "--preferences", "2", "--problems", "gradops", "--steps", "50"]
    assert main([*arguments, "--out", str(tmp_path / "front")]) == 0
    assert "nondominated" in capsys.readouterr().out
    assert main(["toy", "--balancers", "mgda", "--preferences", "2", "--out", str(tmp_path / "none")]) == 2


def test_pairs_of_two_options_make_a_map(tmp_path: Path) -> None:
    pairs = [(0.1, 0.001), (0.1, 0.01), (0.9, 0.01)]
    names = [f"conicgrad:c={c},gamma={gamma}" for c, gamma in pairs]
    comparison.run([*names, "cagrad:c=0.5"], tmp_path, problems=["gradops"], steps=50)
    (picture,) = tmp_path.glob("gradops_*_c_gamma.svg")
    assert picture.name == "gradops_conicgrad_c_gamma.svg"
    assert "starts at the optimum" in picture.read_text()
    problem = PROBLEMS["classic"]
    at_once = path_to(problem, [[0.0, 0.1], [0.1, 0.0]])
    labels = [f"conicgrad:c={c},gamma={gamma}" for c, gamma in pairs]
    grid = [Trajectory(problem, label, at_once.steps, at_once.points) for label in labels]
    assert list(maps.grids(grid)) == [("conicgrad", "c", "gamma")]
    assert maps.grids(grid[:2]) == {}


def test_a_folder_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "--balancers", "ls", "--problems", "classic", "--out", "a" * 300]) == 2
    assert f"cannot write {'a' * 300}: File name too long" in capsys.readouterr().err.replace("\n", "")
