"""What the command line puts on the screen: tables, one JSON object, and words when it cannot."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from numbers import Real
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from backtest.errors import InputError, StrategyError

if TYPE_CHECKING:
    import pandas as pd

BAD_INPUT, RUN_FAILED = 2, 3
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


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
    except StrategyError as error:
        _trace()
        _tell("The strategy failed:", f"{error}\nSet BACKTEST_TRACEBACK=1 to see the way there.")
        raise typer.Exit(RUN_FAILED) from error
    except Exception as error:
        _trace()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        hint = "This is a fault of the program; set BACKTEST_TRACEBACK=1 to see where it came from."
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


def say(value: dict[str, Any], as_json: bool, words: str) -> None:
    """The JSON object, or the sentence."""
    if as_json:
        print_json(value)
    else:
        typer.echo(words)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on the output."""
    typer.echo(json.dumps(as_json(value), indent=1, ensure_ascii=False, allow_nan=False))


def as_json(value: Any) -> Any:
    """A value as JSON can hold it: times and durations as text; of numbers the finite ones, else null."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if hasattr(value, "item"):  # one number of numpy's
        return as_json(value.item())
    if value is None or value != value or value in (math.inf, -math.inf):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float) else str(value)


def columns_of(**tables: pd.DataFrame) -> dict[str, Any]:
    """Tables as JSON: table, column, label, value."""
    return {name: {column: dict(rows.items()) for column, rows in table.items()} for name, table in tables.items()}


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as JSON."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def print_figures(figures: pd.DataFrame, title: str) -> None:
    """Labels down the side, one column an account or mode."""
    from backtest.report.html import words

    several = figures.shape[1] > 1
    table = Table(title=_as_written(title), title_justify="left", show_header=several, box=None)
    table.add_column("")
    for column in figures.columns:
        table.add_column(Text(str(column)), justify="right")
    for label in figures.index:
        table.add_row(str(label), *(Text(words(value)) for value in figures.loc[label].tolist()))
    open_console().print(table)


def print_words(verdict: str, notes: list[str]) -> None:
    """A paragraph, and what a reader must know beside it."""
    console = open_console()
    if verdict:
        console.print(Text(f"\n{verdict}"))
    if notes:
        print_list("Notes", notes)
    console.print()


def print_list(head: str, lines: list[str]) -> None:
    """A heading, and lines as wide as the screen."""
    console = open_console()
    console.print(Text(f"\n{head}", style="bold"))
    for line in lines:
        console.print(Text(f"- {line}"))


def print_places(folder: Path) -> None:
    """Where a result lies, and what in it to open first."""
    print_folder(folder)
    typer.echo(f"Picture:       {folder / 'picture.png'}")


def print_folder(folder: Path) -> None:
    """Where a result lies, and its page; without one, what writes it."""
    page = folder / "report.html"
    typer.echo(f"Result folder: {folder}")
    typer.echo(f"Report page:   {page if page.exists() else shlex.join(['backtest', 'report', str(folder)])}")


SHOWN = (
    "Total Return [%]", "Sharpe", "Max Drawdown [%]", "Lowest Margin Ratio", "Refusals", "Survived", "seconds",
)  # fmt: skip
"""Figures of a point that fit on a line; all of them are in its file."""


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """A frame as a table: of many figures, those that fit."""
    from backtest.report.html import words

    before = list(frame.columns).index("status") if "status" in frame else len(frame.columns)
    kept = [name for k, name in enumerate(frame.columns) if k <= before or name in SHOWN or "Sharpe" not in frame]
    right = [name for name in kept if all(isinstance(value, Real) for value in frame[name])]
    print_rows([{name: words(row[name]) for name in kept} for row in frame.to_dict("records")], title, right=right)


def print_rows(rows: list[dict[str, Any]], title: str, keys: int = 0, right: Collection[str] = ()) -> None:
    """Rows of equal keys as a table. With `keys`, one wider than the screen is printed in parts, each of which begins
    with so many columns of the first; without, its cells are folded. `right`: columns of numbers.
    """
    if not rows:
        typer.echo(f"{title}: nothing")
        return
    console = open_console()
    for k, columns in enumerate(_parts(rows, keys, console.width - 2) if keys else [list(rows[0])]):
        table = Table(title=_as_written(title if k == 0 else ""), title_justify="left", box=None)
        for key, heading in _headings(rows, columns, console.width, folded=keys > 0).items():
            side: JustifyMethod = "right" if key in right else "left"
            table.add_column(Text(heading), overflow="fold", no_wrap=key in columns[:keys], justify=side)
        for row in rows:
            table.add_row(*(Text("" if row[key] is None else str(row[key])) for key in columns))
        console.print(table)


def _as_written(title: str) -> Text:
    """A heading whose brackets are its author's, and no markup."""
    return Text(title, style="bold")


def _parts(rows: list[dict[str, Any]], keys: int, width: int) -> list[list[str]]:
    """Columns in groups that fit a width, each behind the first `keys`; a heading folds at its blanks."""
    needed = {key: 2 + max(map(_wide, (re.sub("[_ ]", "\n", key), *(row[key] for row in rows)))) for key in rows[0]}
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


def _headings(rows: list[dict[str, Any]], columns: list[str], width: int, folded: bool) -> dict[str, str]:
    """Headings by column; `folded`: a word a line where a line each is too wide, lest a word be cut in two."""
    said = {key: key.replace("_", " ") for key in columns}
    whole = sum(2 + max(map(_wide, (said[key], *(row[key] for row in rows)))) for key in columns)
    return {key: text.replace(" ", "\n") for key, text in said.items()} if folded and whole > width else said


def _wide(value: Any) -> int:
    """Columns that a value takes: those of its longest line."""
    return max(map(len, str(value).split("\n")))


def open_console() -> Console:
    """The screen; in a pipe, lines are not broken at 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
