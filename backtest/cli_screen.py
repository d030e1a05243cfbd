"""What the command line puts on the screen: tables, one JSON object, a progress bar, and words when it cannot."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from backtest.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

BAD_INPUT, RUN_FAILED = 2, 3
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@contextmanager
def answering() -> Iterator[None]:
    """Turn what goes wrong into a message on the error stream and an exit code; on a stop, clean up and go."""
    before = signal.signal(signal.SIGTERM, _stopped) if current_thread() is main_thread() else None
    try:
        yield
    except InputError as error:
        _tell("Cannot run this:", str(error))
        raise typer.Exit(BAD_INPUT) from error
    except typer.Exit:
        raise
    except OSError as error:
        _trace()
        _tell("Cannot run this:", f"{_place_of(error)}{error.strerror or error}")
        raise typer.Exit(BAD_INPUT) from error
    except Exception as error:
        _trace()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        hint = "This is a fault of the program or the strategy; set BACKTEST_TRACEBACK=1 to see where it came from."
        _tell("The run failed:", f"{type(error).__name__}: {error} ({where})\n{hint}")
        raise typer.Exit(RUN_FAILED) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _trace() -> None:
    if os.environ.get("BACKTEST_TRACEBACK"):
        traceback.print_exc()


def _stopped(number: int, _: FrameType | None) -> None:
    """A request to end becomes an exception, so that what was being written is taken away on the way out."""
    raise SystemExit(128 + number)


def _place_of(error: OSError) -> str:
    """The file the system speaks of, if it names one."""
    return "" if error.filename is None else f"{error.filename}: "


def _tell(head: str, message: str) -> None:
    """One readable block on the error stream."""
    lines = "\n".join(f"  {line}" for line in message.splitlines())
    typer.echo(f"{head}\n{lines}", err=True)


def tell_of_compiling() -> None:
    """One line on the error stream where the first answer will take a while: nothing has been compiled yet."""
    import numba

    from backtest.kernel import CACHE

    if not CACHE.exists() and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        typer.echo("Compiling the core: once after an install, about a minute.", err=True)


@contextmanager
def progress_bar(words: str, quiet: bool, each: str = "") -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing in a log or under --json. Yields `advance(done, of)`, or None.

    `each`: what is counted, where how many of them are done, and how fast, is worth telling.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    counted = (MofNCompleteColumn(), _Rate(each)) if each else ()
    left = TimeRemainingColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), *counted, left)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(words, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


class _Rate(ProgressColumn):
    """How many of something a second, or a minute where that is less than one."""

    def __init__(self, each: str) -> None:
        super().__init__()
        self._each = each

    def render(self, task: Task) -> Text:
        """Nothing before the first is done."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} {self._each}/s" if speed >= 1.0 else f"{60 * speed:.1f} {self._each}/min")


def say(value: dict[str, Any], as_json: bool, words: str) -> None:
    """The JSON object, or the sentence."""
    if as_json:
        print_json(value)
    else:
        typer.echo(words)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on the output."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def columns_of(**tables: pd.DataFrame) -> dict[str, Any]:
    """Tables as JSON: table, column, label, value."""
    from backtest.report.result import as_json_columns

    return {name: as_json_columns(table) for name, table in tables.items()}


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as JSON can hold them: times and durations as text, infinite ratios as words, else null."""
    from backtest.report.result import as_json_columns

    columns = as_json_columns(frame.astype(object).where(frame.notna(), None).T)
    return list(columns.values())


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


def print_words(verdict: str, notes: list[str]) -> None:
    """A paragraph, and what a reader must know beside it."""
    console = _console()
    if verdict:
        console.print(Text(f"\n{verdict}"))
    if notes:
        print_list("Notes", notes)
    console.print()


def print_list(head: str, lines: list[str]) -> None:
    """A heading, and lines as wide as the screen."""
    console = _console()
    console.print(Text(f"\n{head}", style="bold"))
    for line in lines:
        console.print(Text(f"- {line}"))


def print_places(folder: Path) -> None:
    """Where a result lies, and what in it to open first."""
    typer.echo(f"Result folder: {folder}")
    typer.echo(f"Report page:   {folder / 'report.html'}")
    typer.echo(f"Picture:       {folder / 'picture.png'}")


SHOWN = (
    "Total Return [%]", "Sharpe", "Max Drawdown [%]", "Lowest Margin Ratio", "Survived", "seconds",
)  # fmt: skip
"""Figures of a point that fit on a line; all of them are in its file."""


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """A frame as a table: of many figures, those that fit."""
    from backtest.report.html import words

    before = list(frame.columns).index("status") if "status" in frame else len(frame.columns)
    kept = [name for k, name in enumerate(frame.columns) if k <= before or name in SHOWN or "Sharpe" not in frame]
    print_rows([{name: words(row[name]) for name in kept} for row in frame.to_dict("records")], title)


def print_rows(rows: list[dict[str, Any]], title: str, keys: int = 0) -> None:
    """Rows of equal keys as a table. With `keys`, one wider than the screen is printed in parts, each of which begins
    with so many columns of the first; without, its cells are folded.
    """
    if not rows:
        typer.echo(f"{title}: nothing")
        return
    console = _console()
    for k, columns in enumerate(_parts(rows, keys, console.width - 2) if keys else [list(rows[0])]):
        table = Table(title=title if k == 0 else "", title_justify="left", title_style="bold", box=None)
        for key in columns:
            table.add_column(key.replace("_", " "), overflow="fold", no_wrap=key in columns[:keys])
        for row in rows:
            table.add_row(*(Text("" if row[key] is None else str(row[key])) for key in columns))
        console.print(table)


def _parts(rows: list[dict[str, Any]], keys: int, width: int) -> list[list[str]]:
    """Columns in groups that fit a width, each behind the first `keys`; a heading folds at its blanks."""
    needed = {
        key: 2 + max(*(len(part) for part in key.split("_")), *(len(str(row[key])) for row in rows)) for key in rows[0]
    }
    first = list(rows[0])[:keys]
    taken = room = width - sum(needed[key] for key in first)
    parts: list[list[str]] = []
    for key in list(rows[0])[keys:]:
        if not parts or needed[key] > taken:
            parts.append([*first])
            taken = room
        parts[-1].append(key)
        taken -= needed[key]
    return parts or [first]


def _console() -> Console:
    """The screen; in a pipe, lines are not broken at 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
