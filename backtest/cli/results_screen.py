"""A run or a comparison on the screen: what became of it, the figures that decide, and the margin ratio on a line.

All of it fits 80 columns; every figure there is stands in the folder, and in --json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backtest.cli.screen import open_console, print_figures, print_rows

if TYPE_CHECKING:
    import pandas as pd

    from backtest.report.result import Result
    from backtest.report.sparkline import Sparkline
    from backtest.report.subject import Subject
    from backtest.research.compare import Comparison
    from backtest.research.sweep_result import SweepResult

MONEY = ("Start Equity", "End Equity", "Total Return [%]", "Annualised Return [%]", "Max Drawdown [%]", "Sharpe")
MARGIN = (
    "Lowest Margin Ratio", "Peak Utilization", "Least Capital", "Return on Least Capital [%]", "Refusals",
    "Liquidations",
)  # fmt: skip
ORDERS = {
    "first breach": "First Breach", "lowest ratio": "Lowest Margin Ratio", "least capital": "Least Capital",
    "return on it %": "Return on Least Capital [%]",
}  # fmt: skip
SIGNALS = {
    "survived": "Survived", "liquidations": "Liquidations", "funding": "Funding", "drawdown %": "Max Drawdown [%]",
    "return %": "Total Return [%]",
}  # fmt: skip
"""Columns of the two experiments by heading: words first, then numbers."""
WIDEST = 80  # columns of a line that is drawn, on a wider screen and in a pipe
CROSS, LOW, QUIET = "bold red", "bold yellow", "dim"

Figures = Sequence[tuple[str, Any]]


def print_run(result: Result) -> None:
    """Every account's verdict and margin ratio, with the figures that decide and the parts of the profit between."""
    from backtest.report.subject import Subject
    from backtest.report.verdict import verdict_of

    console = open_console()
    subjects = [Subject(result, k) for k in range(len(result.record.account_names))]
    for subject in subjects:
        console.print(Text(subject.title, style="bold"))
        console.print(Text(verdict_of(subject).sentence))
    console.print()
    if len(subjects) == 1:
        _print_one(console, result.figures.iloc[:, 0], result.parts.iloc[:, 0])
    else:
        print_figures(result.figures.loc[[*MONEY, *MARGIN]], result.name)
        print_figures(_earned(result.parts), "\nWhere the money came from (USD)")
    for subject in subjects:
        console.print()
        _print_ratio(console, subject, subject.name if len(subjects) > 1 else "")


def print_comparison(comparison: Comparison) -> None:
    """Both experiments, a mode a row; and the margin ratios of the modes' own runs, on lines that can be compared."""
    orders, signals = _by_mode(comparison.orders, ORDERS), _by_mode(comparison.signals, SIGNALS)
    alone = [{**row, "survived": _stacked(row["survived"])} for row in signals]
    print_rows(orders, f"{comparison.name}: the same fills in every mode", keys=1, right=list(ORDERS)[1:])
    print_rows(alone, f"\n{comparison.name}: each account on its own", keys=1, right=list(SIGNALS)[1:])
    _print_ratios(open_console(), comparison.runs)


def _by_mode(table: pd.DataFrame, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row a mode, its name on two lines where it has two words; columns by heading and figure."""
    from backtest.report.html import words

    return [
        {
            "mode": mode.replace(" ", "\n"),
            **{head: words(table.at[label, mode]) for head, label in columns.items()},
        }
        for mode in table.columns
    ]


def _stacked(survived: str) -> str:
    """Whether an account survived, above the time that says so."""
    if survived == "yes":
        return survived
    state, _, at = survived.partition(" (" if survived.startswith("undecided") else ": ")
    return f"{state.removesuffix(' inside the bar')}\n{at.partition(' (')[0].rstrip(')')}"


def _earned(parts: pd.DataFrame) -> pd.DataFrame:
    """The parts of the profit that are something to anyone; less than half a cent is rounding."""
    return parts[(parts.abs() >= 0.005).any(axis=1)]


def _print_one(console: Console, figures: pd.Series, parts: pd.Series) -> None:
    """One account's figures, money beside margin, and where the money came from."""
    money, margin = ([(label, figures[label]) for label in labels] for labels in (MONEY, MARGIN))
    _print_beside(console, money, margin)
    earned = list(_earned(parts.to_frame()).iloc[:, 0].items())
    half = -(-len(earned) // 2)
    if earned:
        console.print(Text("\nWhere the money came from (USD)", style="bold"))
        _print_beside(console, earned[:half], earned[half:])


def _print_beside(console: Console, left: Figures, right: Figures) -> None:
    """Two lists of figures beside each other; one under the other where the screen is narrow."""
    tables = [_listed(left), _listed(right)]
    if sum(console.measure(table).maximum for table in tables) + 6 > console.width:
        tables = [_listed([*left, *right])]
    beside = Table.grid(padding=(0, 4, 0, 0))
    beside.add_row(*tables)
    console.print(Padding(beside, (0, 0, 0, 2), expand=False))


def _listed(figures: Figures) -> Table:
    from backtest.report.html import words

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for label, value in figures:
        table.add_row(Text(str(label)), Text(words(value)))
    return table


def _print_ratio(console: Console, subject: Subject, name: str) -> None:
    """One account's margin ratio on a line as wide as the screen, the low and what was taken said under it."""
    from backtest.report.html import words
    from backtest.report.sparkline import top_of

    of = f" of {name}" if name else ""
    level, width = subject.liquidation_level, _width(console) - 4
    line = _line(console, subject, width)
    if line.low is None:
        console.print(Text(f"Margin ratio{of}: nothing held ever required margin", style="bold"))
        return
    scale = f"log scale from {level:g} (liquidation) to {words(level * top_of(subject.ratios, level))}"
    console.print(Text(f"Margin ratio{of}, ", style="bold").append(scale, style="not bold"))
    console.print(Text("  ").append(_inked(line)))
    console.print(Text(f"  {_pointer(line.low, _lowest(subject), width, _ascii(console))}", style=LOW))
    console.print(Text(f"  {_dates(subject, len(line.text))}", style=QUIET))
    if line.crosses:
        console.print(Text(f"  {_taken(subject, console)}", style=CROSS))


def _print_ratios(console: Console, runs: Mapping[str, Result]) -> None:
    """The margin ratios of several runs, a line each, all of the same height for the same multiple of their level."""
    from backtest.report.sparkline import top_of
    from backtest.report.subject import Subject

    subjects = {mode: Subject(result) for mode, result in runs.items()}
    top = max(top_of(subject.ratios, subject.liquidation_level) for subject in subjects.values())
    names = max(len(mode) for mode in subjects)
    lows = {mode: _lowest(subject) for mode, subject in subjects.items()}
    width = max(8, _width(console) - 2 - names - 2 - 2 - max(len(low) for low in lows.values()))
    head = Text("\nMargin ratios, log scale; ", style="bold")
    console.print(head.append(f"{'x' if _ascii(console) else '×'} liquidated", style=CROSS))
    for mode, subject in subjects.items():
        line = _line(console, subject, width, top)
        console.print(Text(f"  {mode:<{names}}  ").append(_inked(line)).append(f"  {lows[mode]}"), soft_wrap=True)
    console.print(Text(f"  {'':<{names}}  {_dates(next(iter(subjects.values())), len(line.text))}", style=QUIET))


def _line(console: Console, subject: Subject, width: int, top: float | None = None) -> Sparkline:
    from backtest.report.sparkline import sparkline
    from backtest.report.statistics import forced_moments

    forced = forced_moments(subject.record, subject.account)
    taken = [int(bar) for bar in subject.bars_of(forced["time"])] if len(forced) else []
    return sparkline(subject.ratios, subject.liquidation_level, taken, width, top, _ascii(console))


def _inked(line: Sparkline) -> Text:
    """The line with its low and its crosses in colour."""
    text = Text(line.text)
    if line.low is not None:
        text.stylize(LOW, line.low, line.low + 1)
    for cell in line.crosses:
        text.stylize(CROSS, cell, cell + 1)
    return text


def _lowest(subject: Subject) -> str:
    """The lowest ratio and when it was."""
    from backtest.report.html import words

    if subject.worst_bar is None:
        return "no margin required"
    row = subject.row(subject.worst_bar)
    return f"{words(float(row['worst_ratio']))}, {row['time']:%Y-%m-%d %H:%M}"


def _dates(subject: Subject, width: int) -> str:
    """The first day and the last, under the ends of a line."""
    first, last = (str(subject.times[k].astype("datetime64[D]")) for k in (0, -1))
    gap = width - len(first) - len(last)
    return f"{first}{' ' * gap}{last}" if gap > 0 else f"{first} to {last}"


def _pointer(cell: int, said: str, width: int, plain: bool) -> str:
    """Words that point at a cell from the side that has room for them."""
    right, left = ("^", "^") if plain else ("╰", "╯")
    if cell + 2 + len(said) <= width or cell < len(said) + 2:
        return f"{' ' * cell}{right} {said}"
    return f"{f'{said} {left}':>{cell + 1}}"


def _taken(subject: Subject, console: Console) -> str:
    """How often the venue took something, and when first."""
    from backtest.report.statistics import forced_moments

    times = forced_moments(subject.record, subject.account)["time"]
    often = f"{len(times)} times, first " if len(times) > 1 else ""
    return f"{'x' if _ascii(console) else '×'} liquidated {often}{times.iloc[0]:%Y-%m-%d %H:%M}"


def _width(console: Console) -> int:
    return min(console.width, WIDEST)


def _ascii(console: Console) -> bool:
    return console.options.ascii_only


DAYS = {"train_start": "train from", "test_start": "test from", "test_end": "to"}
VALUES = {"in_sample": "in", "out_of_sample": "out"}


def leaders_shown(result: SweepResult) -> pd.DataFrame:
    """The leading points of a sweep, with its settings by the shortest names that tell them apart."""
    from backtest.report.points import short_names

    return result.leaders().rename(columns=short_names(result.settings))


def windows_shown(result: SweepResult) -> pd.DataFrame:
    """The choice of every window of a sweep, as 80 columns have room for it: days, what was chosen, and its statistic
    in sample and out of it; how it ended only where one did not live.
    """
    from backtest.report.points import OK, short_names

    windows = result.windows
    assert windows is not None
    days = {heading: windows[column].dt.strftime("%Y-%m-%d") for column, heading in DAYS.items()}
    chosen = windows[["point", *result.settings]].rename(columns=short_names(result.settings))
    ended = windows[[*VALUES, *(["status"] if (windows["status"] != OK).any() else [])]].rename(columns=VALUES)
    return windows[["window"]].assign(**days).join(chosen).join(ended)
