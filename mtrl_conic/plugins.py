"""Your own modules: when they are imported, they register balancers, networks and other objects by name.

A module registers by being imported: balancers (`balancers.register`), networks (`networks.register_network`), task
sets (`envs.register_task_set`), environments (`gymnasium.register`) and everything else that has a registry. A file
never causes an import: a run directory names the modules that it needs, and `require` asks the user for them.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from mtrl_conic.errors import UserError, first_line, origin

GROUP = "mtrl_conic.plugins"
"""The group of entry points that name modules of installed packages; every command imports these modules."""

_LOGGER = logging.getLogger(__name__)


def load(modules: Iterable[str]) -> None:
    """Import modules, in this order.

    The folder of a file, and for modules given by name the working directory, are appended to the module search path,
    so that a module can import those beside it, also in processes that this one starts.

    Args:
        modules: names (`my_package.tasks`) or paths to files (`path/to/lab.py`).

    Raises:
        UserError: a module does not exist, another one has its name, or it fails.
    """
    for module in modules:
        importlib.invalidate_caches()
        if _is_file(module):
            _find_file(module)
        else:
            _search(Path.cwd())
        _import(module)


def load_installed() -> list[str]:
    """Import the modules that installed packages name as entry points; if one fails, warn and skip it.

    Returns:
        The imported modules, as `name (package version)`.
    """
    loaded = []
    for entry in _entries():
        try:
            entry.load()
        except Exception as error:
            _LOGGER.warning("the plug-in %s is skipped: %s: %s", _told(entry), type(error).__name__, first_line(error))
        else:
            loaded.append(_told(entry))
    return loaded


def require(modules: Sequence[str], *, of: str) -> None:
    """Check that modules have been imported.

    Args:
        modules: modules as for `load`.
        of: the object that needs them, for the message.

    Raises:
        UserError: a module was not imported; the message says which `--import` to give.
    """
    missing = [module for module in modules if module_name(module) not in sys.modules]
    if missing:
        # The names come from an untrusted file: quote them for a shell, and escape what a terminal would interpret.
        words = (shlex.quote(module) if module.isprintable() else repr(module) for module in missing)
        flags = " ".join(f"--import {word}" for word in words)
        raise UserError(f"{of} needs your own code, which is imported only on request: give {flags}")


def module_name(module: str) -> str:
    """Return the name under which a module is imported; that of a file is the name of the file."""
    return Path(module).stem if _is_file(module) else module


def absolute(modules: Iterable[str]) -> list[str]:
    """Convert paths to files to absolute paths, for a process in another working directory."""
    return [str(Path(module).resolve()) if _is_file(module) else module for module in modules]


def same_definition(first: object, second: object) -> bool:
    """Return whether two classes or functions come from one definition, which was executed again."""
    names = ("__module__", "__qualname__")
    return all(getattr(first, name, None) == getattr(second, name, None) for name in names)


def _is_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module


def _search(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _find_file(module: str) -> None:
    """Make a file the module that its name refers to."""
    name = module_name(module)
    try:
        file = Path(module).resolve()
        there_is = file.is_file()
    except (OSError, RuntimeError, ValueError):  # a link to itself, a name that no file can have
        there_is = False
    if not there_is:
        raise UserError(f"--import {module}: there is no such file")
    if not name.isidentifier():
        raise UserError(f"--import {module}: a module's name is letters, digits and underscores; rename the file")
    _search(file.parent)
    taken = sys.modules.get(name)
    found = importlib.util.find_spec(name) if taken is None else None
    there = getattr(taken, "__file__", None) if found is None else found.origin
    if there is None or Path(there).resolve() != file:
        raise UserError(
            f"--import {module}: {name!r} is already the name of {there or 'another module'}; rename the file"
        )


def _import(module: str) -> None:
    name = module_name(module)
    try:
        importlib.import_module(name)
    except UserError as error:
        raise UserError(f"--import {module}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"--import {module}: there is no module {error.name!r} here; a file is given by its path, "
                f"such as path/to/{name}.py"
            ) from None
        raise UserError(f"--import {module}: it needs {error.name!r}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"--import {module}: {type(error).__name__}: {first_line(error)}{origin(error)}") from error


def _entries() -> list[EntryPoint]:
    """Return the entry points of installed packages, without those from the working directory."""
    here = Path.cwd()
    path = [folder for folder in sys.path if folder and Path(folder).resolve() != here]
    found: dict[tuple[str, str], EntryPoint] = {}
    for package in distributions(path=path):
        for entry in package.entry_points.select(group=GROUP):
            found.setdefault((package.name, entry.name), entry)
    return list(found.values())


def _told(entry: EntryPoint) -> str:
    return f"{entry.name} ({entry.dist.name} {entry.dist.version})" if entry.dist else entry.name
