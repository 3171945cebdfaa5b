"""Tests of the installed wheel: a path with blanks, a user without rights to write, no compiler, no compiled code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.reliability.hostile import TABLE, TINY

ROOT = Path(__file__).parents[2]
SOURCES = ("mtrl_conic", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
NOBODY = 65534
TARGETS = ("--data", "table.csv", "--targets", "a,b", "--balancers", "ls", "--epochs", "1")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """Unpack the wheel into a folder that every user may read and nobody may write."""
    place = Path(tempfile.mkdtemp(prefix="a path with blanks "))
    sources = place / "sources"
    sources.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources)
    arguments = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(place)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, str(sources)], check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    shutil.rmtree(sources)
    for file in (place, *place.rglob("*")):
        file.chmod(0o555 if file.is_dir() else 0o444)
    yield place / "site"
    for file in (place, *place.rglob("*")):
        file.chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a working directory that everyone may use; only their user may use those of pytest."""
    place = Path(tempfile.mkdtemp(prefix="work in "))
    place.chmod(0o777)
    (place / "tiny.yaml").write_text(TINY)
    (place / "table.csv").write_text(TABLE)
    yield place
    shutil.rmtree(place)


def command(site: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the wheel as a user without a home directory or special rights."""
    path = [str(site), *(entry for entry in sys.path if entry.endswith("-packages"))]
    given = {"PATH": os.environ["PATH"], "HOME": "/proc/none", "PYTHONPATH": os.pathsep.join(path)}
    given |= {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [*_without_rights(), sys.executable, *arguments], cwd=folder, env=given, capture_output=True, text=True
    )


@cache
def _without_rights() -> tuple[str, ...]:
    """Return the prefix of a command by which even root is bound by the permissions of files."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root writes everywhere, and there is no setpriv")
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for rights in (
        (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        ("--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"),  # if only root may run the interpreter
    ):
        if subprocess.run([setpriv, *rights, sys.executable, "-c", program], capture_output=True).returncode == 0:
            return (setpriv, *rights)
    pytest.skip("nobody but root may run this interpreter")


def run(site: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command(site, folder, "-m", "mtrl_conic", *arguments, **environment)


def test_all_of_a_run_by_a_user_who_may_write_nothing_else(site: Path, folder: Path) -> None:
    where = command(site, folder, "-c", "import mtrl_conic; print(mtrl_conic.__file__)")
    assert where.stdout.startswith(str(site)), where.stderr
    for arguments in (
        ["train", "tiny.yaml", "--balancer", "conicgrad", "--run-dir", "a run/seed 0"],
        ["runs", "a run"],
        ["evaluate", "a run/seed 0", "--episodes-per-task", "1", "--json", "rates of it.json"],
        ["report", "a run", "--out", "a page.html"],
        ["export", "a run/seed 0", "--out", "a policy"],
        ["toy", "--out", "toy pictures", "--balancers", "ls", "--problems", "classic", "--steps", "100"],
        ["supervised", "regression", *TARGETS, "--batch-size", "8", "--out", "a comparison", "--jobs", "1"],
    ):
        done = run(site, folder, *arguments)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_what_cannot_be_kept_is_compiled_all_the_same(site: Path, folder: Path) -> None:
    program = (
        "import torch; from mtrl_conic.linalg import gram; rows = torch.ones(3, 5000)\n"
        "print(gram._suits_compiled(rows), gram.gramian_of(rows)[0, 1].item())"
    )
    done = command(site, folder, "-c", program)
    assert done.stdout == "True 5000.0\n", done.stderr
    (line,) = done.stderr.splitlines()
    assert "set NUMBA_CACHE_DIR" in line
    done = command(site, folder, "-c", program, NUMBA_CACHE_DIR=str(folder / "cache"))
    assert (done.stdout, done.stderr) == ("True 5000.0\n", "")
    assert any((folder / "cache").rglob("*.nbi"))


def test_without_compiled_code(site: Path, folder: Path) -> None:
    done = run(site, folder, "train", "tiny.yaml", "--balancer", "conicgrad", NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_without_a_compiler(site: Path, folder: Path) -> None:
    (folder / "bin").mkdir()
    path = str(folder / "bin")
    done = run(site, folder, "train", "tiny.yaml", "--compile", "true", PATH=path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "compile=true needs a C++ compiler" in line
    for compiled in ("auto", "false"):
        done = run(site, folder, "train", "tiny.yaml", "--compile", compiled, PATH=path)
        assert done.returncode == 0, done.stderr
    # If the compiler that is named does not exist, the updates run without compilation.
    done = run(site, folder, "train", "tiny.yaml", "--compile", "true", "--steps", "7", PATH=path, CXX="none-such")
    assert done.returncode == 0, done.stderr
    assert "updates are not compiled" in done.stderr


def test_a_folder_that_nobody_may_write_is_one_line(site: Path, folder: Path) -> None:
    if os.geteuid() == 0:
        folder.chmod(0o755)
    done = run(site, folder, "train", "tiny.yaml", "--run-dir", "/nonexistent/run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mtrl-conic: error: cannot write to run directory /nonexistent/run")
