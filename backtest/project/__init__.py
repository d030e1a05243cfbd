"""A project of one's own: what `backtest init` lays out, so that the first run needs nothing but an installed package.

The files beside this one are copied as they stand, the project's name put in; the sample market is made, and the schema
of its config written beside it. All of it appears at once, or not at all.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from importlib.resources import files
from pathlib import Path

from backtest.errors import InputError

TEMPLATES = {
    "README.md": "README.md",
    "config.toml": "config.toml",
    "strategy.py": "strategy.py",
    "explore.ipynb": "explore.ipynb",
    "gitignore": ".gitignore",
}
"""Files laid out, and what they are called there."""
SAMPLE = "data/sample"
SCHEMA = "backtest.schema.json"


def make_project(folder: str | Path) -> Path:
    """Lay a project out in a new or empty folder, and say where. InputError for a name that will not do, or where
    something lies already.
    """
    target = Path(folder)
    check_place(target)
    aside = target.with_name(f".{target.name[:40]}.partial-{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        _lay_out(aside, target.name)
        if target.is_dir():
            target.rmdir()  # an empty one, which not every system writes over
        os.replace(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def next_steps(project: Path) -> list[str]:
    """Commands to go on with, as they are typed."""
    return [f"cd {shlex.quote(str(project))}", "backtest run config.toml", "backtest compare config.toml"]


def check_place(target: Path) -> None:
    """InputError where a project cannot be: the name is none for a folder and a run, or something is there."""
    if not re.fullmatch(r"\w[\w.-]*", target.name):
        raise InputError(
            f"{str(target)!r} names the project's folder and its results; use letters, digits, '-', '_' and '.', "
            f"such as {_nearest_name(target.name)!r}"
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{target}: is no folder; choose another name")
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target}: exists and is not empty; choose another name, or empty it")
    if target.is_dir() and target.resolve() == Path.cwd().resolve():
        raise InputError(f"{target}: is the folder you are in; go up, and name a new one")
    above = next((each for each in target.parents if each.exists()), None)
    if above is not None and not above.is_dir():
        raise InputError(f"{target}: {above} is a file, not a folder; choose another place")


def _nearest_name(name: str) -> str:
    """The name with everything else out of it."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "carry"


def _lay_out(folder: Path, name: str) -> None:
    """Write the project's files."""
    from backtest.config.schema import schema_text
    from backtest.market.synthetic import make_sample

    for template, called in TEMPLATES.items():
        text = (files(__package__) / template).read_text(encoding="utf-8")
        (folder / called).write_text(text.replace("PROJECT", name), encoding="utf-8")
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")
    make_sample(folder / SAMPLE)
