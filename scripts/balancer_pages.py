"""Update the generated parts of docs/balancers/ and of README.md: options, state, cost, tables and pictures.

    python scripts/balancer_pages.py [--toy FOLDER]

The script writes the text between `<!-- generated -->` and `<!-- end -->`: options and state come from the code, times
from results/bench/solvers.txt, the tables from the pages. Pictures come from the folder of
`mtrl-conic toy --balancers all --out FOLDER`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import torch

from mtrl_conic import balancers
from mtrl_conic.balancers import Outcome
from mtrl_conic.balancers.references import link

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "balancers"
BENCHMARK = ROOT / "results" / "bench" / "solvers.txt"
_BLOCK = re.compile(r"(<!-- generated -->\n).*?(<!-- end -->)", re.DOTALL)
_MODULE = "| [`rotograd`](rotograd.md) | RotoGrad | a module of the network | yes | K dim² |\n"
"""The row of a method that is not a balancer, but has a page among them."""
_NEEDS = {
    "gramian": "the Gram matrix",
    "losses": "the losses",
    "jacobian": "the gradients themselves",
    "nothing": "nothing but the number of tasks",
}


def updated(page: str, name: str) -> str:
    """Return the page of the balancer `name` with its generated part and the link to its paper up to date."""
    return _filled(with_link(page, name), generated(name), f"the page of {name}")


def with_link(page: str, name: str) -> str:
    """Return the page with a link where it first names the paper."""
    paper = re.escape(balancers.get(name).paper[1:])  # a page may begin it with a capital
    return re.sub(rf"\[?(\w{paper})\]?(\(http[^)]*\))?", rf"[\1]({link(name)})", page, count=1)


def _filled(text: str, part: str, what: str) -> str:
    filled, count = _BLOCK.subn(lambda found: found[1] + part + found[2], text)
    if count != 1:
        raise ValueError(f"{what} has {count} generated parts, not one")
    return filled


def with_pages() -> list[str]:
    """Return the balancers that have a page."""
    return [name for name in balancers.available() if (PAGES / f"{name}.md").exists()]


def index(page: str) -> str:
    """Return the index of all pages with its table up to date."""
    rows = ["| name | method | weights from | keeps a state | cost |\n|---|---|---|---|---|\n"]
    for name in with_pages():
        text, made = (PAGES / f"{name}.md").read_text(), balancers.make(name, 2)
        title = _found(r"# (.*) \(`", text, name)
        cost = _found(r"^Cost of the weights: ([^,;:.\n]*)", text, name)
        state = "yes" if made.state.keys() - {"draws"} else "no"
        rows.append(f"| [`{name}`]({name}.md) | {title} | {made.needs} | {state} | {cost} |\n")
    return _filled(page, "".join([*rows, _MODULE]), "the index of balancers")


def front(page: str) -> str:
    """Return the README with its table of balancers up to date."""
    rows = ["| name | weights from | what it does |\n|---|---|---|\n"]
    for name in with_pages():
        text = _found(r"^\*(.*)\*$", (PAGES / f"{name}.md").read_text(), name)
        rows.append(f"| `{name}` | {balancers.get(name).needs} | {text} |\n")
    return _filled(page, "".join(rows), "README.md")


def _found(pattern: str, text: str, name: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"the page of {name} has no match of {pattern}")
    return found[1]


def generated(name: str) -> str:
    """Return the generated part of the page of `name`: its options, inputs, state and cost."""
    method, made = balancers.get(name), balancers.make(name, 2)
    rows = []
    for option, field in balancers.options(name).items():
        kind = _type(field.annotation, field.metadata)
        rows.append(f"| `{option}` | {kind} | `{field.default}` | {field.description} |\n")
    table = "".join(["| option | type | default | meaning |\n|---|---|---|---|\n", *rows]) if rows else "No options.\n"
    takes = [_NEEDS[method.needs]]
    if made.needs_losses and made.compares_gradients:
        takes.append("the losses")
    if made.positive_losses:
        takes.append("which should be positive")
    if made.observes:
        takes.append("the losses of the same batch after the step (`observe`)")
    if made.draws:
        takes.append("random numbers, from its own seed")
    state = ", ".join(f"`{key}`" for key in made.state) or "none"
    parts = [f"Takes {', '.join(takes)}. State: {state}."]
    uniform = torch.full((2,), 0.5, dtype=torch.float64)
    promises = made.guarantees(Outcome(torch.eye(2, dtype=torch.float64), uniform))
    if promises:
        parts.append(
            f"Checked on every result: {', '.join(promises)}. If a check fails, the statistic `fallback` is 1."
        )
    if made.scaling:
        parts.append(f"If all gradients are multiplied by s, the weights are multiplied by s^{made.scaling:.3g}.")
    return f"{table}\n{' '.join(parts)}\n{_cost(name)}"


def _cost(name: str) -> str:
    solve, way = measured(BENCHMARK.read_text(), name)
    if not way:
        return ""
    parts = [f"{solve} ms for the weights alone"] if solve else []
    parts.append(f"{way} ms from a 10 x 685,602 float32 Jacobian to the direction")
    return f"\nMeasured at K = 10 on one core: {', '.join(parts)} ([benchmark](../../results/bench/solvers.txt)).\n"


def measured(text: str, name: str) -> tuple[str, str]:
    """Return the milliseconds at K = 10 for the weights alone and from Jacobian to direction; empty if not measured."""
    first, second = text.split("Jacobian to direction", 1)
    solve = re.search(rf"^{name} +[\d.]+ +([\d.]+)", first, flags=re.MULTILINE)
    way = re.search(rf"^{name} +([\d.]+)", second, flags=re.MULTILINE)
    return solve[1] if solve else "", way[1] if way else ""


def _type(annotation: Any, metadata: Sequence[object] = ()) -> str:
    """Describe a type, such as `float, > 0`; alternatives are separated by `or`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    if origin is Annotated:
        (field,) = annotation.__metadata__
        return _type(parts[0], field.metadata)
    if parts:
        return " or ".join(_type(part) for part in parts)
    return str(annotation.__name__) + _range(metadata)


def _range(metadata: Sequence[object]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [(sign, getattr(limit, key)) for limit in metadata for key, sign in signs.items() if hasattr(limit, key)]
    return "".join(f", {sign} {value}" for sign, value in limits)


def draw_pictures(folder: Path) -> None:
    """Draw a picture per balancer in `folder` on the classic problem, and one per problem if it has all balancers."""
    from pictures import write_small
    from PIL import Image

    from mtrl_conic.toy.comparison import read_trajectory
    from mtrl_conic.toy.picture import draw
    from mtrl_conic.toy.problems import PROBLEMS

    out = PAGES / "pictures"
    out.mkdir(exist_ok=True)
    for problem in PROBLEMS.values():
        files = sorted((folder / problem.name).glob("*.csv"))
        done = [read_trajectory(file, problem, file.stem) for file in files]
        if {trajectory.label for trajectory in done} >= set(balancers.available()):
            picture = out / f"all_{problem.name}.png"
            draw(problem, done, picture, scale=1)
            write_small(Image.open(picture), picture)
        for trajectory in done if problem.name == "classic" else []:
            if trajectory.label in balancers.available():
                picture = out / f"{trajectory.label}.png"
                draw(problem, [trajectory], picture)
                write_small(Image.open(picture), picture)


def main() -> None:
    """Update all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", type=Path, help="folder of a run of all balancers on the toy problems")
    arguments = parser.parse_args()
    if arguments.toy:
        draw_pictures(arguments.toy)
    for name in with_pages():
        page = PAGES / f"{name}.md"
        page.write_text(updated(page.read_text(), name))
    for path, update in ((PAGES / "README.md", index), (ROOT / "README.md", front)):
        path.write_text(update(path.read_text()))


if __name__ == "__main__":
    main()
