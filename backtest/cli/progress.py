"""How far long work has come: its stage and the time it has taken, or how much is done, how fast, and the time left.

A line on a terminal, gone when the work is done; nothing in a pipe, with --quiet or with --json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

BAR_WIDTH = 10  # leaves room for words, numbers and times on 80 columns
FEW = 10_000  # what is told as a number, not as a share


class Bar:
    """The line of one piece of work; `advance` is None where nobody looks."""

    def __init__(self, name: str, progress: Progress | None = None) -> None:
        self._name, self._progress, self._then = name, progress, ""
        self._task = TaskID(0) if progress is None else progress.add_task(name, total=None)
        self.advance: Callable[[int, int], None] | None = None if progress is None else self._advance

    def stage(self, words: str, then: str = "") -> None:
        """What is done from now on, and `then`, once there is something to count."""
        self._then = then
        if self._progress is not None:
            self._progress.remove_task(self._task)
            self._task = self._progress.add_task(f"{self._name}: {words}", total=None)

    def part(self, words: str) -> None:
        """Which part is under way of what is counted as a whole."""
        self._then = ""
        if self._progress is not None:
            self._progress.update(self._task, description=f"{self._name}: {words}")

    def _advance(self, done: int, of: int) -> None:
        if self._then:
            self.stage(self._then)
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=of)


@contextmanager
def progress_bar(name: str, hidden: bool, each: str) -> Iterator[Bar]:
    """The line of a piece of work, while it lasts. `each`: what is counted, in the plural."""
    if hidden or not sys.stderr.isatty():
        yield Bar(name)
        return
    words = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (SpinnerColumn(), words, BarColumn(BAR_WIDTH), _Done(), _Rate(each), _Clock())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(name, progress)


class _Done(ProgressColumn):
    """How many of how many, or which share where those are long numbers."""

    def render(self, task: Task) -> Text:
        """Nothing while it is not known how much there is."""
        if task.total is None:
            return Text("")
        many = f"{task.completed:,.0f} of {task.total:,.0f}" if task.total < FEW else f"{task.percentage:.0f}%"
        return Text(many, style="progress.percentage", no_wrap=True)


class _Rate(ProgressColumn):
    """How many of something a second, or a minute where that is less than one."""

    def __init__(self, each: str) -> None:
        super().__init__()
        self._each = each

    def render(self, task: Task) -> Text:
        """Nothing before the first is done."""
        speed = task.finished_speed or task.speed
        return Text(self._words(speed) if speed else "", no_wrap=True)

    def _words(self, speed: float) -> str:
        if speed >= 10.0:
            return f"{speed:,.0f} {self._each}/s"
        return f"{speed:.1f} {self._each}/s" if speed >= 1.0 else f"{60 * speed:.1f} {self._each}/min"


class _Clock(ProgressColumn):
    """The time that is left; while that cannot be told, the time that it has taken."""

    max_refresh = 0.5  # seconds between two words, which would jump about otherwise

    def render(self, task: Task) -> Text:
        """Hours, minutes, seconds."""
        left = None if task.total is None else task.time_remaining
        seconds, style = (task.elapsed or 0.0, "progress.elapsed") if left is None else (left, "progress.remaining")
        words = f"{timedelta(seconds=int(seconds))}{'' if left is None else ' left'}"
        return Text(words, style=style, no_wrap=True)


def tell_of_compiling(hidden: bool = False) -> None:
    """One line on the error stream where the first answer will take a while: nothing has been compiled yet."""
    import numba

    from backtest.kernel import CACHE

    if not hidden and not (CACHE / "backtest.engine.advance").exists() and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        typer.echo("Compiling the core: once after an install, a minute or two.", err=True)
