"""What comes before the first run: `backtest init` and `backtest schema`, a project of one's own and what its editor
can know of configs; `backtest warm`, the core compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli.progress import tell_of_compiling
from backtest.cli.screen import AsJson, answering, say
from backtest.errors import InputError

Name = Annotated[Path, typer.Argument(metavar="NAME", help="Folder of the project, new or empty.", show_default=False)]


def init(name: Name, as_json: AsJson = False) -> None:
    """Lay out a project of your own: config, strategy, notebook and the sample market, ready to run."""
    with answering():
        from backtest.project import make_project, next_steps

        project = make_project(name)
        steps = next_steps(project)
        words = "\n".join([f"Project: {project}", "Next:", *(f"  {step}" for step in steps)])
        say({"project": str(project), "next": steps}, as_json, words)


def schema(
    sweep: Annotated[bool, typer.Option("--sweep", help="Of a sweep, which must say what it tries.")] = False,
    account: Annotated[bool, typer.Option("--account", help="Of an account for `backtest margin`.")] = False,
) -> None:
    """Print the JSON schema of a config: `backtest schema > backtest.schema.json` beside it.

    An editor that knows TOML (Even Better TOML in VS Code, Taplo) then completes, explains and checks every key of a
    file whose first line is: #:schema ./backtest.schema.json
    """
    with answering():
        from backtest.config.schema import schema_text

        if sweep and account:
            raise InputError("--sweep and --account are two kinds of file; ask for one of them")
        typer.echo(schema_text("sweep" if sweep else "account" if account else "run"), nl=False)


def warm(as_json: AsJson = False) -> None:
    """Compile the core ahead, all of it: once after an install, a minute or two. Runs compile what they need anyway."""
    with answering():
        tell_of_compiling(as_json)
        from backtest.research.warm import warm as compile_core

        seconds = compile_core()
        say({"seconds": seconds}, as_json, f"The core is compiled ({seconds:.1f} s).")
