"""The tables of the benchmark on the screen."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.benchmark.rounds import Row, Section

HEADINGS = ("", "time", "ns/bar", "÷ C", "vectorbt ÷", "off", "MB", "")


def show(section: Section, console: Console) -> None:
    """One section: its table, then its notes."""
    console.print(section.title, style="bold")
    table = Table(header_style="bold")
    lines = [cells(row) for row in section.rows]
    shown = [k for k in range(len(HEADINGS)) if any(line[k] for line in lines)]
    for k in shown:
        figures = HEADINGS[k] != ""
        table.add_column(HEADINGS[k], justify="right" if figures else "left", no_wrap=figures or k == 0)
    for line in lines:
        table.add_row(*(line[k] for k in shown), style="dim" if line[0].startswith("  ") else "")
    if lines:
        console.print(table)
    for wrong in section.wrong:
        console.print(f"  - NOT THE SAME: {wrong}", style="bold red")
    for note in section.notes:
        console.print(f"  - {note}")
    console.print()


def cells(row: Row) -> list[str]:
    """A row's figures as text."""
    return [
        row.who, duration(row.seconds), figure(row.each_ns), figure(row.times_c), figure(row.peer_times),
        "" if row.off is None else f"{row.off:.0e}", "" if row.peak_mb is None else f"{row.peak_mb:,.0f}", row.note,
    ]  # fmt: skip


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best."""
    if seconds is None:
        return ""
    if seconds >= 1.0:
        return f"{seconds:,.2f} s"
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.0f} us"


def figure(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
