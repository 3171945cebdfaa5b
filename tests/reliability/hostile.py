"""Files that are damaged, foreign or hostile, and command lines that meet them."""

from __future__ import annotations

import argparse
import os
import random
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mtrl_conic.cli import COMMANDS, main

TINY = """\
task_set: [gymnasium:Pendulum-v1, gymnasium:MountainCarContinuous-v0]
balancer: ls
steps: 6
threads: 1
agent: {width: 4, depth: 1, batch_size: 2, random_steps: 2, compile: false}
environment: {time_limit: 4}
training:
  replay_capacity: 20
  log_every: 2
  evaluate_every: 3
  checkpoint_every: 3
  training_episodes_per_task: 1
  episodes_per_task: 1
"""
TABLE = "a,b,c,d\n" + "".join(f"{i},{i * i % 7},{i % 3},{(i * 5) % 11}\n" for i in range(40))
_BUDGETS = ("--steps", "--minutes", "--epochs", "--seconds", "--rounds", "--every", "--fps", "--episodes-per-task")
"""What makes a command that is right take long: these get wrong values only."""
_NEVER_LONG = ("train", "compare", "supervised")

TEXTS = (
    "",
    " ",
    "-",
    "--",
    "none",
    "null",
    "true",
    "~",
    "0",
    "-1",
    "1e5",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "0x10",
    "1_0",
    "9" * 5000,
    "-" + "9" * 5000,
    "[",
    "]",
    "{",
    "{a: b",
    "[1, 2",
    "*a",
    "&a x",
    "!!python/object/apply:os.system [ls]",
    "!!binary x",
    "a,b,,c",
    ",",
    "=",
    "a=",
    "=b",
    "a=b=c",
    "a:b",
    ":",
    "ls:",
    "cagrad:c=",
    "cagrad:c=x",
    "conicgrad:c=0.5",
    "../..",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "no/such/folder/file",
    "x/[/red]",
    "[bold]x",
    "\x1b[31mred",
    "ünïcödé",
    "\u202eabc",
    "\udcff",
    "🙂" * 50,
    "a" * 5000,
    "a\nb",
    "a\tb",
    "%s%n",
    "{}",
    "{0}",
    "$HOME",
    "`ls`",
    "${x}",
    "'",
    '"',
    "\\",
    "ls,ls",
    "0,0",
    "0,1,x",
    "cuda:99",
    "meta",
    "1000000",
    "99999999999999999999",
    "2026-11-26",
    "12:30:45",
    "yes",
    "off",
    "?",
    "* *",
    "@presets/tiny.yaml",
)
"""Values that a flag or a name may be given."""

_YAML: dict[str, bytes] = {
    "empty.yaml": b"",
    "binary.yaml": bytes(range(256)),
    "latin.yaml": "balancer: caf\xe9\n".encode("latin-1"),
    "utf16.yaml": "steps: 5\n".encode("utf-16"),
    "nul.yaml": b"steps: 5\x00\n",
    "deep.yaml": b"a: " + b"[" * 20_000,
    "deep_closed.yaml": b"a: " + b"[" * 5_000 + b"]" * 5_000,
    "bomb.yaml": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "digits.yaml": b"steps: " + b"9" * 5000 + b"\n",
    "tag.yaml": b"task_set: !!python/object/apply:os.system ['touch owned']\n",
    "list.yaml": b"- 1\n- 2\n",
    "number.yaml": b"7\n",
    "text.yaml": b"just words\n",
    "tabs.yaml": b"agent:\n\twidth: 4\n",
    "twice.yaml": b"steps: 1\nsteps: 2\n",
    "keys.yaml": b"1: 2\nnull: 3\n? [a, b]\n: c\n",
    "nested.yaml": b"agent: 3\ntraining: [1]\nenvironment: words\n",
    "types.yaml": b"steps: {a: 1}\nbalancer: [ls]\ntask_set: 3\n",
    "nan.yaml": b"minutes: .nan\nsteps: .inf\n",
    "date.yaml": b"seed: 2026-11-26\n",
    "recursive.yaml": b"agent: &a {width: *a}\n",
    "unknown.yaml": b"stepz: 5\n",
    "long.yaml": b"balancer: " + b"x" * 1_000_000 + b"\n",
}
_DAMAGE: tuple[bytes, ...] = (
    b"",
    b"\x00" * 64,
    bytes(range(256)),
    b"{}",
    b"[]",
    b"null",
    b"3",
    b'"text"',
    b"{",
    b"NaN\n",
    b'{"step": "x"}\n',
    b'{"step": 1e999, "time": null}\n',
    b'{"step": -1}\n',
    b'{"step": 3}\n',
    b"9" * 5000 + b"\n",
    b"\xff\xfe\n",
    b"[" * 20_000 + b"\n",
    b'{"step": 3, "success": 5, "mean_success": "x", "returns": [], "time": {}}\n',
    b"PK\x03\x04",
    b"\x80\x04\x95",
    b"cos\nsystem\n(S'touch owned'\ntR.",
    b"kind: other\nname: x\n",
    b"a: [1, 2\n",
)
_TABLES: dict[str, bytes] = {
    "table.csv": TABLE.encode(),
    "header.csv": b"a,b,c\n",
    "empty.csv": b"",
    "binary.csv": bytes(range(256)) * 4,
    "words.csv": b"a,b,c\nx,y,z\nx,y,z\n",
    "ragged.csv": b"a,b,c\n1,2\n1,2,3,4\n",
    "huge.csv": b"a,b,c\n" + (b"1e308,1e308,1e308\n" * 20),
    "nan.csv": b"a,b,c\n" + (b"nan,1,\n" * 20),
    "junk.npz": b"PK\x03\x04junk",
}


@dataclass
class Files:
    """Names, relative to the folder, of what was made there."""

    presets: list[str]
    runs: list[str]
    tables: list[str]

    @property
    def all(self) -> list[str]:
        """Every name."""
        return [*self.presets, *self.runs, *self.tables]


def import_everything() -> None:
    """Load all commands, and what they load when they run, so that a forked process does not."""
    for name in COMMANDS:
        import_module(f"mtrl_conic.cli.{name}")
    for name in ("torch", "gymnasium", "yaml", "numpy", "pandas", "mtrl_conic.runs.run", "mtrl_conic.report.page"):
        import_module(name)


def make_files(folder: Path, rng: random.Random) -> Files:
    """Presets, runs and tables in `folder`, most of them damaged; what was there is removed."""
    whole = folder / "whole"
    kept = folder.with_name(folder.name + "-run")
    if not kept.exists():
        preset = folder / "tiny.yaml"
        preset.write_text(TINY)
        assert main(["train", str(preset), "--run-dir", str(kept)]) == 0
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.copytree(kept, whole)
    presets, tables = _write(folder / "presets", _YAML), _write(folder / "tables", _TABLES)
    (folder / "presets" / "tiny.yaml").write_text(TINY)
    special = _special(folder / "presets")
    runs = ["whole", *(_damaged(kept, folder / "damaged" / str(number), rng) for number in range(12))]
    runs = [os.path.relpath(folder / run, folder) for run in runs]
    (folder / "foreign").mkdir()
    (folder / "foreign" / "config.yaml").write_text("wandb_version: 1\n_wandb: {value: {}}\n")
    return Files(["presets/tiny.yaml", *presets, *special], [*runs, "damaged", "foreign"], tables)


def _write(folder: Path, contents: dict[str, bytes]) -> list[str]:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [f"{folder.name}/{name}" for name in contents]


def _special(folder: Path) -> list[str]:
    """Names that lead to something other than a file."""
    (folder / "folder.yaml").mkdir()
    (folder / "nowhere.yaml").symlink_to("missing")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "device.yaml").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo.yaml")
    return [f"{folder.name}/{name}.yaml" for name in ("folder", "nowhere", "loop", "device", "fifo", "missing")]


def _damaged(whole: Path, copy: Path, rng: random.Random) -> str:
    """A copy of a run with one to three of its files damaged, missing or something else than a file."""
    shutil.copytree(whole, copy)
    files = [file for file in copy.rglob("*") if file.is_file() and file.name != ".lock"]
    for file in rng.sample(files, rng.randint(1, 3)):
        content = file.read_bytes()
        file.unlink()
        way = rng.randrange(6)
        if way == 0:
            os.mkfifo(file)
        elif way == 1:
            file.mkdir()
        elif way == 2 and content:
            place = rng.randrange(len(content))
            flipped = bytes([content[place] ^ (1 << rng.randrange(8))])
            file.write_bytes(content[:place] + flipped + content[place + 1 :])
        elif way == 3:
            file.write_bytes(content[: rng.randrange(len(content) + 1)])
        elif way == 4:
            file.write_bytes(rng.choice(_DAMAGE))
    return str(copy)


def command_line(rng: random.Random, files: Files) -> list[str]:
    """A command with arguments, most of them wrong in one place or a few."""
    if rng.random() < 0.01:
        return [rng.choice(TEXTS) for _ in range(rng.randrange(3))]
    name = rng.choice(list(COMMANDS))
    arguments = [name, *_right(name, rng, files)]
    flags = _flags(name)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        arguments = _mutated(arguments, flags, rng, files)
    if name in _NEVER_LONG and "--dry-run" in flags:
        arguments.append("--dry-run")
    return arguments


def _flags(name: str) -> list[str]:
    parser = argparse.ArgumentParser()
    import_module(f"mtrl_conic.cli.{name}").add_arguments(parser)
    return [flag for action in parser._actions for flag in action.option_strings if flag not in ("-h", "--help")]


def _right(name: str, rng: random.Random, files: Files) -> list[str]:
    """Arguments as they should be, over the files as they are."""
    run, preset = rng.choice(files.runs), rng.choice(files.presets)
    table = rng.choice(files.tables)
    return {
        "train": [preset, "--run-dir", rng.choice([run, "new"])],
        "compare": [preset, "--out", rng.choice([run, "comparison"]), "--balancers", "ls,pcgrad", "--seeds", "0"],
        "runs": [run],
        "watch": [run, "--every", "0"],
        "report": [run, "--out", rng.choice(["report.html", "report.md", "report.csv", "no/folder/report.html"])],
        "evaluate": [run, "--episodes-per-task", "1"],
        "video": [run, "--out", "video.mp4", "--steps", "2"],
        "export": [run, "--out", "exported"],
        "describe": [preset],
        "balancers": [],
        "toy": ["--out", "toy", "--balancers", "ls", "--steps", "0"],
        "supervised": ["regression", "--data", table, "--targets", "a,b", "--balancers", "ls", "--out", "supervised"],
        "bench": [rng.choice(["solver", "updates", "environment"])],
    }.get(name, [])


def _mutated(arguments: list[str], flags: list[str], rng: random.Random, files: Files) -> list[str]:
    changed = list(arguments)
    flag = rng.choice(flags) if flags else "--flag"
    value = rng.choice([*TEXTS, *files.all])
    if flag in _BUDGETS:
        value = rng.choice(["", "x", "-1", "0", "nan", "-inf", "[", "--"])
    way = rng.randrange(8)
    if way < 4:
        changed += [f"{flag}={value}"] if way % 2 else [flag, value]
    elif way == 4 and len(changed) > 1:
        place = rng.randrange(1, len(changed))
        if changed[place - 1] not in _BUDGETS:
            changed[place] = value
    elif way == 5 and len(changed) > 1:
        del changed[rng.randrange(1, len(changed))]
    elif way == 6:
        changed.append(rng.choice([flag, flag[:-1], flag + "s", flag.upper(), "--" + value]))
    else:
        changed += [f"{flag}=--", flag] if rng.random() < 0.5 else [value]
    return changed
