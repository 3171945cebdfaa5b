"""A package imports only packages below it, and no modules import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mtrl_conic

ROOT = Path(mtrl_conic.__file__).parent
LAYERS = """_lazy archives compilation errors escaping files reading schema plugins workers
linalg
balancers
gradients
envs
networks
execution
agents
evaluation
training
runs
api
toy supervised
report
bench
cli
__main__ __init__""".splitlines()
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer.split()}
KNOWN: set[tuple[str, str]] = set()
"""Arrows that still point up."""
MODULES = {
    ".".join(file.with_suffix("").parts): path for path in ROOT.rglob("*.py") for file in [path.relative_to(ROOT)]
}


def imports(path: Path) -> Iterator[str]:
    """The package's own modules that a file imports, in functions too; what is for types alone is left out."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mtrl_conic":
            module = (node.module or "").removeprefix("mtrl_conic").lstrip(".")
            names = (alias.name for alias in node.names if alias.name != "__version__")
            for name in (".".join(filter(None, (module, name))) for name in names):
                yield next(
                    m for m in (name, f"{name}.__init__", module, f"{module}.__init__".lstrip(".")) if m in MODULES
                )
        waiting += ast.iter_child_nodes(node)


GRAPH = {module: set(imports(path)) - {module} for module, path in MODULES.items() if module != "__init__"}


def test_imports_point_down() -> None:
    arrows = {(module.split(".")[0], other.split(".")[0]) for module, found in GRAPH.items() for other in found}
    up = {(one, other) for one, other in arrows if one != other and RANK[one] <= RANK[other]}
    up -= {(one, other) for one, other in up if RANK[one] == RANK[other] == 0}
    assert up == KNOWN, "imports that point up, or a known one that is gone"


def test_no_circle_of_modules() -> None:
    tuple(TopologicalSorter(GRAPH).static_order())
