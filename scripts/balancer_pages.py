"""Bring the generated parts of docs/balancers/ up to date: options, state, cost and, with --toy, pictures.

    python scripts/balancer_pages.py [--toy FOLDER]

Text between `<!-- generated -->` and `<!-- end -->` is written here: options and state come from the code, times from
results/bench/solvers.txt. Pictures come from the folder of `mtrl-conic toy --balancers all --out FOLDER`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mtrl_conic import balancers

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "balancers"
BENCHMARK = ROOT / "results" / "bench" / "solvers.txt"
_BLOCK = re.compile(r"(<!-- generated -->\n).*?(<!-- end -->)", re.DOTALL)
_NEEDS = {
    "gramian": "the Gram matrix",
    "losses": "the losses",
    "jacobian": "the gradients themselves",
    "nothing": "nothing but the number of tasks",
}


def updated(page: str, name: str) -> str:
    """The page of the balancer `name` with its generated part as it should be."""
    text, count = _BLOCK.subn(lambda found: found[1] + generated(name) + found[2], page)
    if count != 1:
        raise ValueError(f"the page of {name} has {count} generated parts, not one")
    return text


def generated(name: str) -> str:
    """Options, what it takes, state and cost of the balancer `name`."""
    method, made = balancers.get(name), balancers.make(name, 2)
    rows = []
    for option, field in balancers.options(name).items():
        kind = _type(field.annotation) + _range(field.metadata)
        rows.append(f"| `{option}` | {kind} | `{field.default}` | {field.description} |\n")
    table = "".join(["| option | type | default | meaning |\n|---|---|---|---|\n", *rows]) if rows else "No options.\n"
    takes = [_NEEDS[method.needs]]
    if method.needs_losses and method.compares_gradients:
        takes.append("the losses")
    if made.positive_losses:
        takes.append("which should be positive")
    if made.observes:
        takes.append("the losses of the same batch after the step (`observe`)")
    if made.draws:
        takes.append("random numbers, from its own seed")
    state = ", ".join(f"`{key}`" for key in made.state) or "none"
    return f"{table}\nTakes {', '.join(takes)}. State: {state}.\n{_cost(name)}"


def _cost(name: str) -> str:
    solve, way = measured(BENCHMARK.read_text(), name)
    parts = [f"{solve} ms for the weights alone"] if solve else []
    parts.append(f"{way} ms from a 10 x 685,602 float32 Jacobian to the direction")
    return f"\nMeasured at K = 10 on one core: {', '.join(parts)} ([benchmark](../../results/bench/solvers.txt)).\n"


def measured(text: str, name: str) -> tuple[str, str]:
    """Milliseconds at K = 10 of the weights alone (empty if it has none) and from Jacobian to direction."""
    first, second = text.split("Jacobian to direction", 1)
    solve = re.search(rf"^{name} +[\d.]+ +([\d.]+)", first, flags=re.MULTILINE)
    way = re.search(rf"^{name} +([\d.]+)", second, flags=re.MULTILINE)
    if way is None:
        raise ValueError(f"{BENCHMARK} does not tell the time of {name}")
    return solve[1] if solve else "", way[1]


def _type(annotation: object) -> str:
    values = getattr(annotation, "__args__", None)
    return " or ".join(f"`{value}`" for value in values) if values else getattr(annotation, "__name__", "")


def _range(metadata: list[object]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [(sign, getattr(limit, key)) for limit in metadata for key, sign in signs.items() if hasattr(limit, key)]
    return "".join(f", {sign} {value}" for sign, value in limits)


def draw_pictures(folder: Path) -> None:
    """A picture per balancer on the classic problem, and one of all balancers per problem that `folder` holds."""
    from mtrl_conic.toy.comparison import read_trajectory
    from mtrl_conic.toy.picture import draw
    from mtrl_conic.toy.problems import PROBLEMS

    out = PAGES / "pictures"
    out.mkdir(exist_ok=True)
    for problem in PROBLEMS.values():
        files = sorted((folder / problem.name).glob("*.csv"))
        done = [read_trajectory(file, problem, file.stem) for file in files]
        if done:
            draw(problem, done, out / f"all_{problem.name}.png")
            _shrink(out / f"all_{problem.name}.png")
        for trajectory in done if problem.name == "classic" else []:
            if trajectory.label in balancers.available():
                draw(problem, [trajectory], out / f"{trajectory.label}.png")
                _shrink(out / f"{trajectory.label}.png")


def _shrink(path: Path) -> None:
    """A palette of 32 colours: a fourth of the bytes."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(32, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Write what is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", type=Path, help="folder of a run of all balancers on the toy problems")
    arguments = parser.parse_args()
    if arguments.toy:
        draw_pictures(arguments.toy)
    for name in balancers.available():
        page = PAGES / f"{name}.md"
        page.write_text(updated(page.read_text(), name))


if __name__ == "__main__":
    main()
