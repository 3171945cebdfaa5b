"""The papers of the balancers in BibTeX: `references.bib` has an entry under the name of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from mtrl_conic.balancers.registry import available, get
from mtrl_conic.errors import unknown


@cache
def references() -> Mapping[str, str]:
    """Return a mapping from the name of each method to its entry in the file."""
    text = (resources.files("mtrl_conic.balancers") / "references.bib").read_text(encoding="utf-8")
    found = re.finditer(r"^@\w+\{(\w+),\n.*?^\}$", text, flags=re.DOTALL | re.MULTILINE)
    return {match[1]: match[0] for match in found}


def bibtex(name: str) -> str:
    """Return the BibTeX entry of a method.

    Args:
        name: name of a balancer, or `rotograd`. For your own registered balancer, the entry is made from its `paper`.

    Raises:
        UserError: no method has this name.
    """
    if name in references():
        return references()[name]
    if name not in available():
        raise unknown("balancer", name, [*available(), *references()])
    return f"@misc{{{name},\n  note = {{{get(name).paper or name}}}\n}}"


def link(name: str) -> str:
    """Return the address of the paper of a method, or an empty string if the entry has none."""
    found = re.search(r"^  url = \{(.*?)\}", references().get(name, ""), flags=re.MULTILINE)
    return found[1] if found else ""
