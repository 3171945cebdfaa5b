"""Settings of the documentation: `make docs` builds it from these pages and the package's docstrings."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

project = "mtrl_conic"
release = metadata.version("mtrl-conic")
copyright = "the authors of mtrl_conic"

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["api/modules.rst"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"mtrl_conic {release}"
html_math_renderer = "mathml"
html_copy_source = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

apidoc_modules = [
    {
        "path": "../mtrl_conic",
        "destination": "api",
        "exclude_patterns": ["../mtrl_conic/commands*", "../mtrl_conic/bench*", "../mtrl_conic/__main__.py"],
        "separate_modules": True,
        "module_first": True,
        "max_depth": 1,
        "automodule_options": {"members"},
    }
]
autodoc_member_order = "bysource"
autodoc_default_options = {"ignore-module-all": True}  # re-exports are described where they lie
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
# Several modules have a `Progress`, an `MTSAC` or a `label` of their own, and a name in a docstring does not say which.
suppress_warnings = ["ref.python"]


def read_as_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in single backticks: keep reStructuredText from seeing more in them."""
    parts = re.split(r"(`[^`]+`)", "\n".join(lines))
    for place, part in enumerate(parts):
        if place % 2:
            after = parts[place + 1][:1]
            parts[place] = f"`{part}`" + ("\\ " if after.isalnum() else "")
        else:
            parts[place] = re.sub(r"([*|]|(?<=\w)_(?=\W|$))", r"\\\1", part)
    lines[:] = "".join(parts).split("\n")
    app.env.temp_data["text"] = list(lines)


def keep_attributes(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Undo what napoleon makes of an attribute's docstring: it takes all before a colon for a type."""
    if what in ("attribute", "data", "property"):
        lines[:] = app.env.temp_data["text"]


def describe_fields(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """List a configuration's fields with their defaults and meanings, which stand at the fields, not in a docstring."""
    if not (inspect.isclass(obj) and issubclass(obj, pydantic.BaseModel)):
        return
    for field, info in obj.model_fields.items():
        default = info.get_default(call_default_factory=True, validated_data={})
        shown = "" if isinstance(default, pydantic.BaseModel) else f" By default ``{default!r}``."
        lines += ["", f"``{field}``: ``{kind(info.annotation)}``", f"    {info.description or ''}.{shown}"]


def kind(annotation: Any) -> str:
    """A field's type in words that a reader knows: without its constraints, alternatives with a bar."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(kind, parts))
    if origin is Literal:
        return " | ".join(map(repr, parts))
    return "None" if annotation is NoneType else inspect.formatannotation(annotation)


def hide_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """A configuration's signature repeats all its fields."""
    return ("", None) if inspect.isclass(obj) and issubclass(obj, pydantic.BaseModel) else None


def link_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to Markdown files beside the documentation: to the page that includes one, or to the file itself."""
    source[0] = re.sub(r"\]\((\.\./)+CONTRIBUTING\.md\)", "](/contributing.md)", source[0])
    source[0] = re.sub(r"\[([^]]*)\]\(((?:\.\./)+results/[^)]*\.md)\)", r"{download}`\1 <\2>`", source[0])


def write_math(self: Any, node: nodes.math | nodes.math_block) -> None:
    """MathML, which browsers draw themselves: the pages ask for nothing from outside."""
    # The converter knows \\big only as an opening or closing one.
    formula = re.sub(r"\\([bB]ig)(?=[(\[])", r"\\\1l", node.astext())
    formula = re.sub(r"\\([bB]ig)(?=[)\]])", r"\\\1r", formula)
    block = isinstance(node, nodes.math_block)
    drawn = tex2mathml(formula, as_block=block)
    self.body.append(f'<div style="overflow-x: auto; font-size: 85%">{drawn}</div>' if block else drawn)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("source-read", link_outside)
    app.connect("autodoc-process-docstring", read_as_text, priority=400)  # before napoleon writes its own
    app.connect("autodoc-process-docstring", keep_attributes, priority=600)
    app.connect("autodoc-process-docstring", describe_fields)
    app.connect("autodoc-process-signature", hide_signature)
