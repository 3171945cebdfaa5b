"""Tests of docs/balancers: each balancer has a page that matches the code, with a picture and code that runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mtrl_conic import balancers
from mtrl_conic.balancers.references import bibtex, link, references
from mtrl_conic.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "balancers").glob("*.md"))
NAMES = [name for name in balancers.available() if (ROOT / "docs" / "balancers" / f"{name}.md").exists()]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("balancer_pages", ROOT / "scripts" / "balancer_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (ROOT / "docs" / "balancers" / f"{name}.md").read_text()


def test_every_balancer_has_a_page_and_every_page_a_balancer() -> None:
    assert {path.stem for path in PAGES} == {*balancers.available(), "rotograd", "README"}


@pytest.mark.parametrize("name", NAMES)
def test_generated_parts_are_up_to_date(name: str, script: ModuleType) -> None:
    assert page(name) == script.updated(page(name), name), "run python scripts/balancer_pages.py"
    for option in balancers.options(name):
        assert f"| `{option}` |" in page(name)


def test_a_page_out_of_date_is_told_apart(script: ModuleType) -> None:
    stale = page("cagrad").replace("| `c` |", "| `radius` |")
    assert stale != script.updated(stale, "cagrad")
    with pytest.raises(ValueError, match="generated parts"):
        script.updated("no such part", "cagrad")
    with pytest.raises(ValueError, match="generated parts"):
        script.index("no table")
    with pytest.raises(ValueError, match="has no match of"):
        script._found("# (.*)", "no title", "cagrad")
    assert script.measured("Jacobian to direction\n", "cagrad") == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_it_must(name: str) -> None:
    text = page(name)
    assert f"(`{name}`)" in text.splitlines()[0]
    assert balancers.get(name).paper[1:] in text
    assert text.count("$$") == 2
    for heading in ("What it guarantees", "Options, state and cost", "When to use it"):
        assert f"\n## {heading}\n" in text
    assert f"(pictures/{name}.png)" in text


@pytest.mark.parametrize("name", [*NAMES, "rotograd"])
def test_every_method_has_a_reference_and_its_page_a_link_to_the_paper(name: str) -> None:
    """`mtrl_conic/balancers/references.bib` has an entry for each method."""
    entry = references()[name]
    for field in ("title", "author", "year"):
        assert re.search(rf"^  {field} = {{.+}},$", entry, flags=re.MULTILINE), field
    assert entry.count("{") == entry.count("}")
    assert link(name).startswith("https://")
    assert f"]({link(name)})" in page(name), "run python scripts/balancer_pages.py"


def test_cite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balancers", "--cite", "conicgrad", "rotograd"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("@article{conicgrad,\n  title = {Fantastic Multi-Task Gradient Updates")
    assert "\n\n@inproceedings{rotograd," in out
    assert main(["balancers", "--cite", "conigrad"]) == 2
    assert "did you mean 'conicgrad'?" in capsys.readouterr().err


def test_a_method_of_ones_own_is_cited_by_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrl_conic.balancers import registry

    monkeypatch.setattr(registry, "_REGISTRY", {**registry._REGISTRY, "mine": balancers.get("ls")})
    assert bibtex("mine") == f"@misc{{mine,\n  note = {{{balancers.get('ls').paper}}}\n}}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_and_pictures_exist(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        file = path.parent / target
        assert file.exists(), target
        assert file.suffix != ".png" or file.stat().st_size < 150_000


def test_the_tables_are_up_to_date(script: ModuleType) -> None:
    assert set(re.findall(r"^\| \[`(\w+)`\]", page("README"), flags=re.MULTILINE)) == {*NAMES, "rotograd"}
    assert page("README") == script.index(page("README")), "run python scripts/balancer_pages.py"
    readme = (ROOT / "README.md").read_text()
    assert readme == script.front(readme), "run python scripts/balancer_pages.py"


@pytest.mark.parametrize("path", [*PAGES, ROOT / "docs" / "gradients.md"], ids=lambda path: path.stem)
def test_code_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrl_conic.balancers import registry

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    torch.manual_seed(0)
    for code in re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL):
        exec(compile(code, str(path), "exec"), {"__name__": "page"})
