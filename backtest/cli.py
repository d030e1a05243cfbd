"""The command line: the same verbs as in Python, results on the screen and in a folder.

Exit codes: 0 done, 2 something given is wrong (told on the error stream, without a traceback), 3 the run itself failed.
`--json` puts one JSON object on the output and nothing else. Heavy parts are imported by the command that needs them.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from backtest import __version__
from backtest.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="backtest", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Backtests of collateralized crypto strategies: what was required, what it cost, whether they lived.",
)  # fmt: skip
data = typer.Typer(no_args_is_help=True, help="The Parquet store: make the sample, look at what is stored.")
app.add_typer(data, name="data")

BAD_INPUT, RUN_FAILED = 2, 3
Config = Annotated[Path, typer.Argument(help="The run, a .toml or .json file.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="Result folder [default: results/<name>].", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
StorePath = Annotated[Path, typer.Option("--store", help="The store's folder.")]
DEFAULT_STORE = Path("data/store")


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Strategies are looked for from the folder the command runs in."""
    if version:
        typer.echo(f"backtest {__version__}")
        raise typer.Exit
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


@contextmanager
def answering() -> Iterator[None]:
    """Turn what goes wrong into a message on the error stream and an exit code."""
    try:
        yield
    except InputError as error:
        _tell("Cannot run this:", str(error))
        raise typer.Exit(BAD_INPUT) from error
    except typer.Exit:
        raise
    except Exception as error:
        if os.environ.get("BACKTEST_TRACEBACK"):
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        hint = "This is a fault of the program or the strategy; set BACKTEST_TRACEBACK=1 to see where it came from."
        _tell("The run failed:", f"{type(error).__name__}: {error} ({where})\n{hint}")
        raise typer.Exit(RUN_FAILED) from error


def _tell(head: str, message: str) -> None:
    """One readable block on the error stream."""
    lines = "\n".join(f"  {line}" for line in message.splitlines())
    typer.echo(f"{head}\n{lines}", err=True)


@contextmanager
def progress_bar(words: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing in a log or under --json. Yields `advance(done, of)`, or None."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(words, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@app.command()
def run(config: Config, out: Out = None, as_json: AsJson = False) -> None:
    """Run a strategy and write its result folder."""
    with answering():
        import backtest

        loaded = backtest.load_config(config)
        with progress_bar(loaded.name, as_json) as progress:
            result = backtest.run(loaded, progress=progress)
        folder = result.save(out or Path("results") / loaded.name)
        if as_json:
            _print_json({"folder": str(folder), **_columns(figures=result.figures, explain=result.parts)})
            return
        print_figures(result.figures, loaded.name)
        print_figures(result.parts, "Where the money came from (USD)")
        typer.echo(f"Result folder: {folder}\nReport page:   {folder / 'report.html'}")


@app.command()
def compare(config: Config, out: Out = None, as_json: AsJson = False) -> None:
    """Run the same strategy under every margin mode, side by side."""
    with answering():
        import backtest

        loaded = backtest.load_config(config)
        with progress_bar(loaded.name, as_json) as progress:
            comparison = backtest.compare(loaded, progress=progress)
        folder = comparison.save(out or Path("results") / f"{loaded.name}-compare")
        if as_json:
            _print_json({"folder": str(folder), **_columns(**comparison.tables())})
            return
        for name, table in comparison.tables().items():
            print_figures(table, f"{loaded.name}: {name}")
        typer.echo(f"Result folder: {folder}\nReport page:   {folder / 'report.html'}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A result folder.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write [default: report.html in the folder].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report page of a saved run again."""
    with answering():
        import backtest

        page = backtest.load(folder).report(out or folder / "report.html")
        _say({"report": str(page)}, as_json, f"Report page: {page}")


@data.command()
def sample(
    store: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("data/sample"), as_json: AsJson = False
) -> None:
    """Make the synthetic sample store."""
    with answering():
        from backtest.market.synthetic import make_sample

        make_sample(store)
        _say({"store": str(store)}, as_json, f"Sample store: {store}")


@data.command("list")
def list_series(
    store: Annotated[Path, typer.Argument(help="The store's folder.")] = DEFAULT_STORE, as_json: AsJson = False
) -> None:
    """What a store holds: instruments and series by venue."""
    with answering():
        rows = _stored(store)
        if as_json:
            _print_json({"store": str(store), "series": rows})
            return
        print_rows(rows, f"{store}")


def _stored(path: Path) -> list[dict[str, Any]]:
    """One row a symbol: venue, symbol, kind of instrument (none for an index), its series."""
    from backtest.market.store import Store

    store = Store(path)
    rows: list[dict[str, Any]] = []
    for venue in store.venues():
        instruments = store.instruments(venue)
        for symbol in store.symbols(venue):
            kind = instruments[symbol].kind if symbol in instruments else ""
            series = ", ".join(store.series(venue, symbol))
            rows.append({"venue": venue, "symbol": symbol, "kind": kind, "series": series})
    return rows


def _say(value: dict[str, Any], as_json: bool, words: str) -> None:
    if as_json:
        _print_json(value)
    else:
        typer.echo(words)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _columns(**tables: pd.DataFrame) -> dict[str, Any]:
    """Tables as JSON: table, column, label, value."""
    from backtest.report.result import as_json_columns

    return {name: as_json_columns(table) for name, table in tables.items()}


def print_figures(figures: pd.DataFrame, title: str) -> None:
    """Labels down the side, one column an account or mode."""
    from backtest.report.html import words

    table = Table(title=title, title_justify="left", title_style="bold", show_header=figures.shape[1] > 1, box=None)
    table.add_column("")
    for column in figures.columns:
        table.add_column(str(column), justify="right")
    for label in figures.index:
        table.add_row(str(label), *(Text(words(value)) for value in figures.loc[label].tolist()))
    _console().print(table)


def print_rows(rows: list[dict[str, Any]], title: str) -> None:
    """Rows of equal keys as a table."""
    if not rows:
        typer.echo(f"{title}: nothing")
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for key in rows[0]:
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    _console().print(table)


def _console() -> Console:
    """The screen; in a pipe, lines are not broken at 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
