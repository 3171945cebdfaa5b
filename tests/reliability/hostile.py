"""Files that are damaged, foreign or hostile, and command lines that read them."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mtrl_conic.cli import COMMANDS, main
from mtrl_conic.errors import UserError
from mtrl_conic.escaping import one_line

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
"""Flags that make a correct command take long; they only get wrong values."""
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
    "junk.npy": b"\x93NUMPY\x01\x00junk",
    "huge.npy": b"\x93NUMPY\x01\x00\x50\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }\n",
    "junk.parquet": b"PAR1junkPAR1",
    "junk.csv.gz": b"\x1f\x8bjunk",
    "junk.csv.zip": b"PK\x03\x04junk",
    "junk.csv.xz": b"\xfd7zXZ\x00junk",
    "formula.csv": b"=a,[/red],\x1b[31m\n" + (b"1,2,3\n" * 20),
}
_OTHERS: dict[str, bytes] = {
    "curves.csv": b"number_of_environment_steps,mean\n2,0.5\n6,0.7\n",
    "words.csv": b"number_of_environment_steps,mean\nx,y\n",
    "nul.csv": b"number_of_environment_steps,mean\n\x00,\x00\n",
    "random.json": b'{"returns": {"Pendulum-v1": -9, "MountainCarContinuous-v0": 0}}',
    "reference.yaml": b"Pendulum-v1: 0\nMountainCarContinuous-v0: 9\n",
    "texts.yaml": b"Pendulum-v1: [x]\nMountainCarContinuous-v0: y\n",
    "vectors.json": b'{"Pendulum-v1": [1, 2], "MountainCarContinuous-v0": [0, 1]}',
    "ragged.json": b'{"Pendulum-v1": [1, "x"], "MountainCarContinuous-v0": []}',
    "list.json": b"[1, 2]",
    "empty": b"",
    "noise": bytes(range(256)) * 8,
}
_MODULES: dict[str, bytes] = {
    "quiet.py": b"",
    "raises.py": b"raise RuntimeError('no\\nlicence')\n",
    "exits.py": b"raise SystemExit(7)\n",
    "syntax.py": b"def f(:\n",
    "binary.py": bytes(range(256)),
    "twice.py": b"from mtrl_conic.balancers import register\nregister('ls')(type('A', (), {}))\n",
    "json.py": b"",
    "a-b.py": b"",
}
_SUPERVISED = """\
kind: supervised
problem: regression
balancer: ls
epochs: 2
batch_size: 8
"""


@dataclass
class Files:
    """The names, relative to the folder, of the files made there."""

    presets: list[str]
    runs: list[str]
    tables: list[str]
    data: list[str]
    """Folders and archives of the supervised problems."""
    others: list[str]
    """Published curves, returns, vectors, checkpoints."""
    modules: list[str]
    policies: list[str]
    agents: list[str]
    toys: list[str]

    @property
    def all(self) -> list[str]:
        """Return every name."""
        return [name for names in vars(self).values() for name in names]


_LOADED = (
    *("torch", "gymnasium", "yaml", "numpy", "pandas", "pyarrow.parquet", "PIL.Image", "scipy.io", "safetensors.torch"),
    *(
        "mtrl_conic.api",
        "mtrl_conic.runs.run",
        "mtrl_conic.runs.loading",
        "mtrl_conic.report.page",
        "mtrl_conic.report.reinforcement.report",
    ),
    *("mtrl_conic.report.supervised.report", "mtrl_conic.supervised.training", "mtrl_conic.toy.comparison"),
)


def import_everything() -> None:
    """Import all commands, and what they import when they run, so that a forked process need not."""
    for name in COMMANDS:
        import_module(f"mtrl_conic.cli.{name}")
    for name in _LOADED:
        import_module(name)


def make_files(folder: Path, rng: random.Random) -> Files:
    """Empty `folder` and make one set of files in it, most of them damaged."""
    kept = folder.with_name(folder.name + "-whole")
    if not kept.exists():
        _in_a_process(lambda: _make_whole(kept))
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for name, contents in (("presets", _YAML), ("tables", _TABLES), ("others", _OTHERS), ("modules", _MODULES)):
        _write(folder / name, contents)
        _add_special(folder / name, Path(next(iter(contents))).suffix)
    (folder / "presets" / "tiny.yaml").write_text(TINY)
    (folder / "presets" / "regression.yaml").write_text(_SUPERVISED)
    shutil.copytree(kept, folder / "whole")
    for number in range(12):
        _damaged(kept / "run", folder / "damaged" / str(number), rng)
    for number in range(4):
        _damaged(kept / "supervised", folder / "damaged-supervised" / str(number), rng)
        for name in ("policy", "toy"):
            _damaged(kept / name, folder / name / str(number), rng)
    for name in _DATA:
        for number in range(2):
            _damaged(kept / name, folder / "data" / f"{name}-{number}", rng)
    for number in range(6):
        _damaged(kept / "agent", folder / "agents" / str(number), rng, most=1)
    (folder / "foreign").mkdir()
    (folder / "foreign" / "config.yaml").write_text("wandb_version: 1\n_wandb: {value: {}}\n")
    return _names(folder)


_DATA = ("census", "celeba", "cityscapes", "nyuv2", "recommendation")


def _in_a_process(do: Callable[[], object]) -> None:
    """Call `do` in a child process, so that threads that it starts, as drawing does, are not missed in later forks."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0


def _names(folder: Path) -> Files:
    def below(*patterns: str) -> list[str]:
        return sorted(str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern))

    runs = [*below("damaged/*", "damaged-supervised/*/*/*"), "whole/run", "whole/supervised", "damaged", "foreign"]
    return Files(
        presets=["presets/tiny.yaml", *below("presets/*"), "presets/missing.yaml"],
        runs=runs,
        tables=["tables/table.csv", *below("tables/*"), "tables/missing.csv"],
        data=below("data/*", "data/*/*.zip", "data/*/*.npz", "whole/census", "whole/celeba"),
        others=below("others/*", "damaged/*/checkpoints/*.pt"),
        modules=below("modules/*"),
        policies=below("policy/*"),
        agents=below("agents/*/*"),
        toys=below("toy/*"),
    )


def _make_whole(kept: Path) -> None:
    """Make one undamaged file or folder of each kind that the package writes and reads."""
    from mtrl_conic.runs.loading import load_agent
    from tests.supervised import conftest as data

    kept.mkdir()
    preset, table = kept / "tiny.yaml", kept / "table.csv"
    preset.write_text(TINY)
    table.write_text(TABLE)
    regression = ["supervised", "regression", "--data", str(table), "--targets", "a,b", "--epochs", "2"]
    for arguments in (
        ["train", str(preset), "--run-dir", str(kept / "run")],
        [*regression, "--batch-size", "8", "--run-dir", str(kept / "supervised" / "ls" / "seed_0")],
        ["export", str(kept / "run"), "--out", str(kept / "policy")],
        ["toy", "--out", str(kept / "toy"), *_TOY, "100"],
    ):
        assert main(arguments) == 0, arguments
    _, agent, envs = load_agent(kept / "run", device="cpu")
    envs.close()
    (kept / "agent").mkdir()
    agent.save(kept / "agent" / "agent.pt")
    data.write_census(kept / "census", rows=40)
    data.write_celeba(kept / "celeba", images=6)
    data.write_mtan(kept / "cityscapes", classes=7, label="label", normals=False, size=(32, 64), images=2)
    data.write_archive(kept / "nyuv2")
    (kept / "recommendation").mkdir()
    data.write_kuairand(kept / "recommendation" / "kuairand.npz", rows=200)


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _add_special(folder: Path, ending: str) -> None:
    """Make a folder, links, a device and a pipe in the place of files."""
    (folder / f"folder{ending}").mkdir()
    (folder / f"nowhere{ending}").symlink_to("missing")
    (folder / f"loop{ending}").symlink_to(f"loop{ending}")
    (folder / f"device{ending}").symlink_to("/dev/zero")
    os.mkfifo(folder / f"pipe{ending}")


def _damaged(whole: Path, copy: Path, rng: random.Random, *, most: int = 3) -> None:
    """Copy a folder, with one to `most` of its files damaged, missing or replaced by a folder or a pipe."""
    shutil.copytree(whole, copy)
    files = [file for file in copy.rglob("*") if file.is_file() and file.name != ".lock"]
    for file in rng.sample(files, min(rng.randint(1, most), len(files))):
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


def command_line(rng: random.Random, files: Files) -> list[str]:
    """Return a command with arguments, mostly wrong in a few places, or one of `DOORS` with the file to read."""
    if rng.random() < 0.01:
        return [rng.choice(TEXTS) for _ in range(rng.randrange(3))]
    name = rng.choice([*COMMANDS, *DOORS])
    if name in DOORS:
        kind = files.policies if name == "Policy.load" else files.agents
        return [name, rng.choice([*kind, *kind, *kind, *files.all])]
    arguments = [name, *_right(name, rng, files)]
    trained = name == "train" and rng.random() < 0.2  # it really trains: no argument may make it long or large
    if trained:
        arguments = [name, "presets/tiny.yaml", "--run-dir", rng.choice([*files.runs, "new"])]
    flags = _flags(name)
    for _ in range(0 if trained else rng.choice((0, 1, 1, 1, 2, 3))):
        arguments = _mutated(arguments, flags, rng, files)
    if name in _NEVER_LONG and "--dry-run" in flags and not trained:
        arguments.append("--dry-run")
    return arguments


def carry_out(arguments: list[str]) -> int:
    """Run a command line, or one of the `DOORS` of the Python interface, and return its exit code."""
    if not arguments or arguments[0] not in DOORS:
        return main(arguments)
    try:
        DOORS[arguments[0]](Path(arguments[1]))
    except UserError as error:
        print(f"mtrl-conic: error: {one_line(str(error))}")
        return 2
    return 0


def _load_policy(path: Path) -> None:
    from mtrl_conic import Policy

    Policy.load(path)


def _load_agent(path: Path) -> None:
    from mtrl_conic import MTSAC

    MTSAC.load(path)


DOORS = {"Policy.load": _load_policy, "MTSAC.load": _load_agent}
"""Functions of the Python interface that read files."""


def _flags(name: str) -> list[str]:
    parser = argparse.ArgumentParser()
    import_module(f"mtrl_conic.cli.{name}").add_arguments(parser)
    return [flag for action in parser._actions for flag in action.option_strings if flag not in ("-h", "--help")]


def _right(name: str, rng: random.Random, files: Files) -> list[str]:
    """Return correct arguments over files that may be damaged."""
    run, preset, other = rng.choice(files.runs), rng.choice(files.presets), rng.choice(files.others)
    module = ["--import", rng.choice(files.modules)] if rng.random() < 0.2 else []
    right = {
        "train": [preset, "--run-dir", rng.choice([run, "new"])],
        "compare": [preset, "--out", rng.choice([run, "comparison"]), "--balancers", "ls,pcgrad", "--seeds", "0"],
        "runs": [run],
        "watch": [run, "--every", "1"],
        "report": [run, "--out", rng.choice(["report.html", "report.md", "report.csv", "no/folder/report.html"])],
        "evaluate": [run, "--episodes-per-task", "1"],
        "video": [run, "--out", "video.mp4", "--steps", "2"],
        "export": [run, "--out", "exported"],
        "describe": [preset],
        "completion": ["bash"],
        "toy": ["--out", rng.choice([*files.toys, "toy"]), *_TOY, rng.choice(["0", "100", "100"])],
        "supervised": _problem(rng, files),
        "bench": [rng.choice(["solver", "updates", "environment"])],
    }.get(name, [])
    if rng.random() < 0.5:
        right += {
            "report": rng.choice(
                [
                    ["--reference", f"V2={other}"],
                    ["--random-returns", other, "--reference-returns", "others/reference.yaml"],
                    ["--figures", "figures"],
                    ["--baseline", "ls"],
                ]
            ),
            "evaluate": rng.choice([["--checkpoint", other], ["--checkpoint", "best"], ["--json", "rates.json"]]),
            "video": ["--checkpoint", other],
            "describe": ["--network", "care", "--network-options", f"metadata={other}"],
            "runs": ["--where", "state=finished"],
        }.get(name, [])
    return [*right, *(module if name in _IMPORTING else [])]


_TOY = ("--balancers", "ls", "--problems", "classic", "--steps")
_IMPORTING = ("train", "compare", "evaluate", "video", "export", "describe", "balancers", "toy", "supervised", "bench")


def _problem(rng: random.Random, files: Files) -> list[str]:
    methods = ["--balancers", "ls", "--out", "supervised"]
    if rng.random() < 0.5:
        table = ["--data", rng.choice(files.tables), "--targets", "a,b"]
        return [rng.choice(["regression", "presets/regression.yaml"]), *table, *methods]
    data = rng.choice(files.data)
    problems = [name for name in _DATA if name in data] or _DATA
    return [rng.choice(problems), "--data", data, *methods]


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
