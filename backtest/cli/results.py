"""What was run before: `backtest list`, `backtest diff` and `backtest report`, on the folders that runs leave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from backtest.cli.screen import AsJson, Quiet, answering, open_console, print_json, print_list, print_rows
from backtest.errors import InputError

if TYPE_CHECKING:
    from backtest.report.catalogue import Entry
    from backtest.report.differences import Difference, Differences
    from backtest.report.result import Result

DIFFERENT = 1
SHOWN = 12  # differences of a kind on the screen; --json has all of them
KEYS = 0.6  # of a line at most, what differs; longer, it is folded
FULL = 78  # columns of a screen on which all of the list is shown
FOLDER, SPAN, RIGHT = "folder\nname", "from\nto", ("return %", "lowest\nratio")
HASH = 64  # letters of a SHA-256


def report(
    folder: Annotated[Path, typer.Argument(help="Of a run, a comparison or a sweep.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write (default: report.html in the folder).")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Of a sweep: the statistic its best point is chosen by.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the report page of a saved run, comparison or sweep again."""
    with answering():
        page = _write_page(folder, out, by)
        if as_json:
            print_json({"report": page})
        elif not quiet:
            typer.echo(f"Report page: {page}")


def _write_page(folder: Path, out: Path | None, by: str | None) -> Path:
    """A comparison's page in its own folder comes with those of its modes."""
    from backtest.report.folder import COMPARISON, SWEEP, kind_of
    from backtest.report.result import load
    from backtest.research.compared import load_comparison, write_pages
    from backtest.research.sweep_result import load_sweep

    kind = kind_of(folder)
    if kind == SWEEP:
        return load_sweep(folder).report(out or folder / "report.html", by)
    if by is not None:
        raise InputError(f"--by {by!r} is of a sweep, and {folder} is none; leave it out")
    if kind != COMPARISON:
        return load(folder).report(out or folder / "report.html")
    return load_comparison(folder).report(out) if out else write_pages(folder)


def list_results(
    folder: Annotated[Path, typer.Argument(help="Where results lie.")] = Path("results"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Runs, comparisons and sweeps of before, the newest last."""
    with answering():
        from backtest.report.catalogue import entries

        found = entries(folder)
        if as_json:
            print_json({"folder": folder, "results": [asdict(entry) for entry in found]})
        elif not quiet and found:
            _print_list(found)
        elif not quiet:
            typer.echo(f"{folder}: no results in it")


def _print_list(found: Sequence[Entry]) -> None:
    """Two lines a result, so that all of it fits 80 columns; a narrower screen is not told the dates."""
    console = open_console()
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    rows = [_cells(entry) for entry in found]
    for key in rows[0]:
        if key != SPAN or console.width >= FULL:
            side: JustifyMethod = "right" if key in RIGHT else "left"
            table.add_column(key, overflow="fold", no_wrap=key != FOLDER, justify=side)
    for row in rows:
        table.add_row(*(_second_line_dim(row[str(column.header)]) for column in table.columns))
    console.print(table)
    damaged = [f"{entry.folder}: {entry.damaged}" for entry in found if entry.damaged is not None]
    if damaged:
        print_list("Damaged", damaged)


def _second_line_dim(cell: str) -> Text:
    first, _, second = cell.partition("\n")
    return Text(first).append(f"\n{second}" if second else "", style="dim")


def _cells(entry: Entry) -> dict[str, str]:
    """A row by its headings."""
    from backtest.report.html import words

    least, most = (words(each) for each in entry.total_return or (None, None))
    verdict = re.sub(r" (survived|\d+ failed)", r"\n\1", entry.verdict)
    modes = entry.modes[0] if len(entry.modes) == 1 else f"{len(entry.modes)} modes" if entry.modes else ""
    return {
        FOLDER: f"{entry.folder}\n{entry.name}",
        "kind\nmargin": f"{entry.kind}\n{modes}",
        SPAN: f"{entry.start}\n{entry.end}",
        "verdict": verdict if entry.damaged is None else "damaged",
        "return %": least if least == most else f"{least}\nto {most}",
        "lowest\nratio": words(entry.lowest_ratio),
        "written\n(UTC)": f"{entry.written:%Y-%m-%d}\n{entry.written:%H:%M}",
    }


def diff(
    a: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="The folder of another.", show_default=False)],
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing; the exit code is 1 where they differ.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What differs between two saved runs: settings, rules, data, versions, and what became of them."""
    with answering():
        from backtest.report.differences import differences

        told = differences(_run_in(a), _run_in(b))
        if as_json:
            summary = {"a": a, "b": b, "same": told.same, "same_inputs": told.same_inputs}
            print_json({**summary, "same_results": told.same_results, **asdict(told)})
        elif not quiet:
            _print_differences(told, a, b)
        if quiet and not told.same:
            raise typer.Exit(DIFFERENT)


def _run_in(folder: Path) -> Result:
    """The run saved in a folder. InputError for another kind, with what to name instead."""
    from backtest.report.folder import RUN, kind_of
    from backtest.report.result import load

    kind = kind_of(folder)
    if kind in (None, RUN):
        return load(folder)
    modes = sorted(each.name for each in folder.iterdir() if each.is_dir() and kind_of(each) == RUN)
    one = f"of one of its modes, such as {folder / modes[0]}" if modes else "that `run` printed"
    raise InputError(f"{folder}: holds a {kind}, and runs are compared; name the folder {one}")


def _print_differences(told: Differences, a: Path, b: Path) -> None:
    """Section by section; what is the same is said in a word."""
    typer.echo(f"a: {a}\nb: {b}\n")
    for name, found in (
        ("Settings", told.config), ("Rules in force", told.rules), ("Data", told.data), ("Versions", told.versions),
    ):  # fmt: skip
        _print_section(name, found)
    _print_figures(told)
    for sentence in _sentences(told):
        open_console().print(Text(sentence))


def _sentences(told: Differences) -> Iterator[str]:
    """Where the equities part, and what the two have in common."""
    for each in told.partings:
        yield (
            f"Equity parts at {each.time:%Y-%m-%d %H:%M} (account {each.account}): {each.a:,.2f} and {each.b:,.2f} USD."
        )
    if told.no_bar_in_common:
        yield "The two have no bar in common, so their equities are not compared."
    if told.same:
        yield "The two are the same."
    elif told.same_results:
        yield "The same became of both."
    elif told.same_inputs:
        yield "The same was asked of both, on the same rules, data and versions."


def _print_section(name: str, found: Sequence[Difference]) -> None:
    """A row a difference, on one line each: what is longer is cut."""
    if not found:
        typer.echo(f"{name}: the same\n")
        return
    shown = found[:SHOWN]
    width = open_console().width - 8  # without what lies between columns
    room = width - min(int(KEYS * width), max(len(each.key) for each in shown))
    rows = [{"what": each.key, **{side: _short(getattr(each, side), room // 2) for side in "ab"}} for each in shown]
    print_rows(rows, f"{name}: {len(found)} differ{'s' if len(found) == 1 else ''}")
    typer.echo(f"  and {len(found) - SHOWN} more; --json has all of them\n" if len(found) > SHOWN else "")


def _print_figures(told: Differences) -> None:
    from backtest.report.html import words

    if not told.figures:
        typer.echo("Results: the same figures\n")
        return
    several = len({each.account for each in told.figures}) > 1
    rows: list[dict[str, Any]] = [
        {
            **({"account": each.account} if several else {}),
            "figure": each.figure, "a": words(each.a), "b": words(each.b),
            "b less a": "" if each.difference is None else words(each.difference),
        }
        for each in told.figures
    ]  # fmt: skip
    print_rows(rows, f"Results: {len(rows)} figures differ", right=("a", "b", "b less a"))
    typer.echo()


def _short(value: Any, room: int) -> str:
    """A value in so many letters at most; a hash by its beginning."""
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) == HASH and not set(text) - set("0123456789abcdef"):
        text = text[:12]
    return text if len(text) <= room else f"{text[: room - 1]}…"
