"""How a run's time grows: with bars, accounts, instruments held, and instruments that are only there.

Each should be a straight line: twice the bars, twice the time. Instruments that nobody holds should cost next to
nothing. The sizes take turns, and the fastest of some rounds is told: what other work of the machine adds is not the
run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtest.market.history import History
from tests.benchmark import product
from tests.benchmark.market import pair_market, universe
from tests.benchmark.process import ROOT
from tests.benchmark.rounds import Row, Section
from tests.benchmark.strategies import Carry, CarryEverywhere, TopFunding

PICTURE = ROOT / "results" / "bench" / "growth.png"
YEAR, HALF_YEAR = 8_760, 4_380  # hours
COUNTS = (2, 10, 20, 35, 50)
Case = tuple[int, Mapping[str, Any], History]


def by_bars() -> Iterable[Case]:
    """W1's carry over an eighth of the year and up to all of it."""
    market = pair_market()
    history = market.history()
    for part in (8, 4, 2, 1):
        bars = market.bars // part
        cut = history.between(market.start_us, int(history.time[bars - 1]) + 1)
        yield bars, product.config(market, Carry), cut


def by_accounts() -> Iterable[Case]:
    """The carry by the hour in ever more accounts of one run."""
    market = pair_market("1h", YEAR)
    history = market.history()
    for count in (1, 2, 4, 8, 16, 32):
        names = [f"account {k}" for k in range(count)]
        settings = product.config(market, CarryEverywhere, accounts=names)
        settings["account"] = [{**settings["account"][0], "name": name} for name in names]
        yield count, settings, history


def by_held() -> Iterable[Case]:
    """Fifty pairs for half a year, ever more of them held."""
    market = universe(HALF_YEAR)
    history = market.history()
    for count in COUNTS:
        yield 2 * count, product.config(market, TopFunding, leverage=2.0, many=count), history


def by_unheld() -> Iterable[Case]:
    """One pair held for half a year, among ever more that are not."""
    for count in COUNTS:
        market = universe(HALF_YEAR, count)
        yield 2 * count - 2, product.config(market, Carry), market.history()


PANELS: dict[str, Callable[[], Iterable[Case]]] = {
    "bars": by_bars, "accounts": by_accounts, "instruments held": by_held, "instruments not held": by_unheld,
}  # fmt: skip


def growth(rounds: int, full: bool) -> Section:
    """The four lines, as rows and as a picture."""
    section = Section("growth", "How the time of a run grows (engine: of it)")
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for name, cases in PANELS.items():
        lines[name] = in_turns(list(cases()), rounds)
        for size, whole, engine in lines[name]:
            section.rows.append(Row(f"{size:,} {name}", whole, note=f"engine {engine * 1e3:,.1f} ms"))
        section.rounds[name] = [whole for _, whole, _ in lines[name]]
        sizes, whole, engine = (np.array(each) for each in zip(*lines[name], strict=True))
        section.notes.append(f"{name}: a run {straight(sizes, whole)}; its engine {straight(sizes, engine)}")
    draw(lines, PICTURE)
    section.notes.append(f"picture: {PICTURE.relative_to(ROOT)}")
    return section


def straight(sizes: np.ndarray, seconds: np.ndarray) -> str:
    """The straight line nearest to the points in words: what each one more costs, and how far the points lie off."""
    slope, start = np.polyfit(sizes, seconds, 1)
    off = np.abs(start + slope * sizes - seconds).max() / seconds.max()
    each = f"{slope * 1e3:.2g} ms" if slope > 1e-4 else f"{slope * 1e6:.2g} us"
    return f"takes {start * 1e3:.1f} ms and {each} for each one more, points up to {off:.0%} of the longest off"


def in_turns(cases: Sequence[Case], rounds: int) -> list[tuple[int, float, float]]:
    """Size, and least seconds of `live` and of the engine in it; a run of the first size before goes uncounted."""
    product.run(*cases[0][1:])
    told = [[product.run(settings, history)[1] for _, settings, history in cases] for _ in range(rounds)]
    return [
        (size, min(each.live for each in times), min(each.of_live()["engine"] for each in times))
        for (size, _, _), times in zip(cases, zip(*told, strict=True), strict=True)
    ]


def draw(lines: Mapping[str, list[tuple[int, float, float]]], path: Path) -> None:
    """A panel a line; the dashes are the straight line nearest to the points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(11, 7.5), constrained_layout=True)
    for panel, (name, points) in zip(panels.flat, lines.items(), strict=True):
        sizes = np.array([size for size, _, _ in points])
        for label, times, colour in (
            ("whole run", [whole * 1e3 for _, whole, _ in points], "tab:blue"),
            ("engine", [engine * 1e3 for _, _, engine in points], "tab:orange"),
        ):
            panel.plot(sizes, times, "o-", color=colour, label=label)
            panel.plot(sizes, np.polyval(np.polyfit(sizes, times, 1), sizes), "--", color=colour, linewidth=0.8)
        panel.set(xlabel=name, ylabel="ms", xlim=(0, None), ylim=(0, None))
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    figure.suptitle("Time of a run; dashed: the nearest straight line")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
