"""The headline numbers of README.md and results/mt10/README.md are those of the kept curves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("headline", ROOT / "scripts" / "headline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(script: ModuleType) -> None:
    for path in script.PAGES:
        assert path.read_text() == script.updated(path.read_text()), "run python scripts/headline.py"


def test_a_page_out_of_date_is_told_apart(script: ModuleType) -> None:
    assert script.updated("<!-- headline -->\nold\n<!-- end -->") != "<!-- headline -->\nold\n<!-- end -->"
    with pytest.raises(ValueError, match="0 places"):
        script.updated("no such place")


def test_only_the_last_evaluation_counts(script: ModuleType, tmp_path: Path) -> None:
    rows = [
        f"{step},{60 * step},{task},{rate},{seed}"
        for step, rate in ((10, 0.1), (90, 0.5))
        for task in "ab"
        for seed in "012"
    ]
    (tmp_path / "curves.csv").write_text("\n".join(["step,seconds,task,success,seed", *rows]))
    assert script.line(tmp_path / "curves.csv") == "| 90 | **.500** [.500, .500] | 3 | 1 h 30 min |\n"
    (tmp_path / "curves.csv").write_text("\n".join(["step,seconds,task,success,seed", "10,600,a,1.0,0"]))
    assert script.line(tmp_path / "curves.csv") == "| 10 | **1.000** (an interval needs 3 seeds) | 1 | 10 min |\n"
