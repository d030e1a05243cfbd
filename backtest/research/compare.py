"""The same strategy under every margin mode, side by side: what each would have required, cost, and survived.

Two experiments, both shown. `orders`: one unconstrained reference run decides what is traded, and those very fills
are replayed in every mode; nothing is refused or liquidated, so the columns differ by margin alone - least capital
and the return on it are the headline. `signals`: each account runs the strategy on its own state, with refusals,
cuts and liquidations, and the first place where two accounts part ways is named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from backtest.config import Account, RunConfig
from backtest.engine.matching import takes
from backtest.engine.plan import Plan
from backtest.engine.session import Session
from backtest.errors import InputError, nearest
from backtest.kernel import plain
from backtest.ledger.audit import audit
from backtest.margin.row_leaves import DUST
from backtest.report.files import as_json_columns
from backtest.report.folder import COMPARISON, write_page, written
from backtest.report.frames import record_of
from backtest.report.panels import Panels, mode_panels
from backtest.report.record import RunRecord
from backtest.report.result import Result
from backtest.report.statistics import minute, statistics
from backtest.research.accounts import plan_of, without_idle
from backtest.research.drive import drive, target_rows
from backtest.research.notes import notes_of
from backtest.research.parting import first_parting, parting_words, verdict_of
from backtest.research.run import Prepared, live, open_session, prepare
from backtest.state import F_BAR, F_CONTRACTS, F_ORDER, F_POINT, F_POSITION, FILL_ROWS, LIMIT, O_KIND, OPEN, Book

if TYPE_CHECKING:
    import plotly.graph_objects as go

Progress = Callable[[int, int], None]
GENERIC = {"generic scenarios": "scenarios", "generic tail": "tail"}
MODES = ("isolated", "cross", "multi_asset", "portfolio", *GENERIC)
"""What is set side by side: the venue's presets, and two models of no exchange, which never pass for one."""
ASKED_BY_NAME = ("portfolio_pro",)
ANSWERS = (
    "Margin Mode",
    "Survived",
    "Total Return [%]",
    "Lowest Margin Ratio",
    "Lowest Margin Ratio At",
    "Lowest Margin Ratio Wallet",
    "Lowest Margin Ratio, close",
    "Lowest Margin Ratio, low then high",
    "Lowest Margin Ratio, each worst",
    "Least Capital",
    "Return on Least Capital [%]",
    "Peak Utilization",
    "Average Initial Margin",
    "Peak Initial Margin",
    "Return on Margin [%]",
    "Leverage Assumed",
    "Funding",
    "Fees",
    "Interest",
    "Liquidation Cost",
    "Refusals",
    "Liquidations",
    "Max Drawdown [%]",
    "Average Haircut",
    "Worst Haircut",
)
"""What a comparison answers, a row each."""


@dataclass
class Comparison:
    """Both experiments: frames with one column a mode, the runs behind them, and the verdict in words."""

    name: str
    orders: pd.DataFrame
    signals: pd.DataFrame
    verdict: str
    notes: list[str]
    replay: Result | None  # None where it was loaded: the replay itself is not saved
    runs: dict[str, Result]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Both frames under the names of their experiments."""
        return {"orders (same fills in every mode)": self.orders, "signals (each account on its own)": self.signals}

    def __repr__(self) -> str:
        return f"<Comparison {self.name}: {', '.join(self.runs)}>"

    def _repr_html_(self) -> str:
        from backtest.report.cells import comparison_cell

        return comparison_cell(self)

    def plot(self) -> go.Figure:
        """Equity and margin ratio of every mode's own run, over one time axis; a mode has its colour everywhere."""
        from backtest.report.plots import modes_over

        return modes_over(self.runs, f"{self.name}: margin modes side by side")

    def report(self, path: str | Path, pages: bool = False) -> Path:
        """Write the comparison's page, and say where it is. `pages`: each mode's own lies beside it, in its folder."""
        return write_page(path, self._page(pages))

    def _panels(self) -> Panels:
        own = {mode: (result.record, 0) for mode, result in self.runs.items()}
        return mode_panels(own, f"{self.name}: margin modes side by side")

    def save(self, folder: str | Path, page: bool = False) -> Path:
        """Write comparison.json, picture.png and one result folder a mode; all of it, or nothing. `page`: with the
        report pages, its own and each mode's.
        """
        with written(folder, COMPARISON) as aside:
            self._write(aside, page)
        return Path(folder)

    def _write(self, folder: Path, page: bool) -> None:
        from backtest.report.picture import write_picture

        said = {
            "name": self.name,
            "verdict": self.verdict,
            "notes": self.notes,
            "orders": as_json_columns(self.orders),
            "signals": as_json_columns(self.signals),
        }
        (folder / "comparison.json").write_text(json.dumps(said, indent=1, default=str) + "\n", encoding="utf-8")
        if page:
            (folder / "report.html").write_text(self._page(pages=True), encoding="utf-8")
        write_picture(self._panels(), folder / "picture.png")
        for mode, result in self.runs.items():
            result.save(folder / mode, page)

    def _page(self, pages: bool = False) -> str:
        """`pages`: each mode's own page lies in a folder of its name beside this one."""
        from backtest.report.compare_page import compare_page

        experiments = {"orders": self.orders, "signals": self.signals}
        parting = first_parting(self.runs)
        told = parting and (parting, parting_words(self.runs, parting))
        return compare_page(self.name, self.verdict, experiments, self.runs, told, self.notes, pages)


def compare(
    config: str | Path | Mapping[str, Any] | RunConfig,
    modes: Sequence[str] | None = None,
    progress: Progress | None = None,
    part: Callable[[str], None] | None = None,
) -> Comparison:
    """Run a config under several margin modes: those given, else the config's, else all that can be run.

    `progress(done, of)` is called now and then, over all runs together; `part(words)` as each of them begins.

    The first account of the config is the one compared. A mode that the venue did not offer is left out with a note,
    unless it was asked for by name. InputError as for `run`.
    """
    if isinstance(modes, str):
        raise InputError(f"modes = {modes!r} is one mode; give a list, such as [{modes!r}, 'portfolio']")
    for k, mode in enumerate(modes or ()):
        valid = (*MODES, *ASKED_BY_NAME)
        if mode not in valid:
            raise InputError(f"modes[{k}] = {mode!r}: {nearest(str(mode), valid)} (valid: {', '.join(valid)})")
    prepared = prepare(config)
    prepared = replace(prepared, targets=target_rows(prepared.strategy(), prepared.history))
    asked = list(modes or prepared.config.compare.modes or [])
    plans, notes = plans_of(prepared, asked or list(MODES), strict=bool(asked))
    steps = _Steps(progress, part, len(plans) + 1)
    reference = reference_of(prepared.config.account[0], list(plans))
    replay = replay_orders(prepared, plans, reference, steps.next("same fills"))
    notes.append(f"same fills: the strategy's own under {reference}, with nothing refused and nobody liquidated")
    runs = dict(lived_by_mode(prepared, {mode: account for mode, (account, _) in plans.items()}, steps))
    orders = pd.concat([_replayed(replay.record, k, mode) for k, mode in enumerate(plans)], axis=1)
    signals = pd.concat([_answers(result.record, 0, mode) for mode, result in runs.items()], axis=1)
    verdict = verdict_of(orders, signals, runs)
    said = list(
        dict.fromkeys(
            [*notes, *prepared.history.notes, *replay.record.notes, *(n for r in runs.values() for n in r.record.notes)]
        )
    )
    return Comparison(prepared.config.name, orders, signals, verdict, said, replay, runs)


class _Steps:
    """One progress bar over several runs."""

    def __init__(self, progress: Progress | None, part: Callable[[str], None] | None, many: int) -> None:
        self.progress, self.part, self.many, self.done = progress, part, many, 0

    def next(self, name: str) -> Progress | None:
        """Progress of the next run, as a part of the whole."""
        first, report = self.done, self.progress
        self.done += 1
        if self.part is not None:
            self.part(f"{name}, {self.done}/{self.many}")
        if report is None:
            return None
        return lambda done, bars: report(first * bars + done, self.many * bars)


def account_under(account: Account, mode: str) -> Account:
    """The same account, same deposit, same leverage, under another margin mode."""
    change: dict[str, Any] = {"name": mode, "margin": mode, "scope": None, "collateral_axis": None, "requirement": None}
    if mode in GENERIC:
        change |= {"venue": "generic", "margin": "portfolio", "requirement": GENERIC[mode]}
    if mode not in ("isolated", "cross"):
        change["isolated"] = []
    return account.model_copy(update=change)


def plans_of(
    prepared: Prepared, modes: Sequence[str], strict: bool
) -> tuple[dict[str, tuple[Account, Plan]], list[str]]:
    """An account and an unconstrained plan a mode; modes the venue did not offer are notes unless asked for."""
    plans: dict[str, tuple[Account, Plan]] = {}
    notes: list[str] = []
    first, *others = prepared.config.account
    if others:
        left = ", ".join(repr(account.name) for account in others)
        notes.append(f"only the first account, {first.name!r}, is compared; left out: {left}")
    for mode in modes:
        account = account_under(first, mode)
        try:
            account, dropped = without_idle(prepared.config, account, prepared.history, unbound=True)
            notes += dropped
            plans[mode] = account, plan_of(prepared.config, account, prepared.history, unbound=True)
        except InputError as error:
            if strict:
                raise
            notes.append(f"{mode} left out: {error}")
    if not plans:
        raise InputError("no margin mode can be run: " + "; ".join(notes))
    return plans, notes


def reference_of(account: Account, modes: Sequence[str]) -> str:
    """Whose fills are replayed in all modes: those of the account's own mode, or of the first where it is not among
    them.
    """
    return account.margin if account.margin in modes else modes[0]


took: Any = plain(takes)


def replay_orders(
    prepared: Prepared, plans: dict[str, tuple[Account, Plan]], reference: str, progress: Progress | None
) -> Result:
    """The fills of an unconstrained reference run, replayed in every mode at once."""
    lived = reference_session(prepared, *plans[reference], progress)
    book = lived.book
    accounts = [account for account, _ in plans.values()]
    config = prepared.config.model_copy(update={"account": accounts})
    session = open_session(config, prepared.history, [plan for _, plan in plans.values()])
    for bar, fills in groupby(_ordered_fills(book), key=lambda fill: int(fill[0][F_BAR])):
        session.advance(bar)
        for row, prices in fills:
            order = book.order[row[F_ORDER]]
            taken = row[F_POINT] == OPEN and took(book, lived.rules, lived.tape, row[F_ORDER], row[F_BAR])
            maker = order[O_KIND] == LIMIT and not taken
            for k in range(len(plans)):
                session.replay_fill(k, bar, int(row[F_POSITION]), int(row[F_CONTRACTS]), float(prices[0]), bool(maker))
    session.advance(len(prepared.history.time))
    audit(session.book)
    return Result(record_of(session, config, notes_of(session), stored=prepared.stored))


def reference_session(prepared: Prepared, account: Account, plan: Plan, progress: Progress | None) -> Session:
    """A run that nothing refuses and nobody liquidates."""
    config = prepared.config.model_copy(update={"account": [account]})
    strategy = prepared.strategy()
    session = open_session(config, prepared.history, [plan], prepared.targets)
    drive(strategy, session, progress)
    return session


def _ordered_fills(book: Book) -> list[tuple[Any, Any]]:
    """Rows of fills that orders made (deliveries happen by themselves), with their prices."""
    count = int(book.count[FILL_ROWS])
    return [(book.fill[k], book.fill_price[k]) for k in range(count) if book.fill[k, F_ORDER] >= 0]


def lived_by_mode(prepared: Prepared, accounts: Mapping[str, Account], steps: _Steps) -> Iterator[tuple[str, Result]]:
    """The strategy under each mode. A table asks for no Python while it is lived, so its modes are lived side by side;
    a strategy that is asked may share what it keeps with its other runs, so those come one after the other.
    """
    if prepared.targets is None:
        for mode, account in accounts.items():
            yield mode, signals_run(prepared, account, steps.next(mode))
        return
    bars = len(prepared.history.time)
    with ThreadPoolExecutor(min(len(accounts), os.cpu_count() or 1)) as threads:
        lived = threads.map(lambda account: signals_run(prepared, account, None), accounts.values())
        for mode in accounts:
            report, result = steps.next(mode), next(lived)
            if report is not None:
                report(bars, bars)
            yield mode, result


def signals_run(prepared: Prepared, account: Account, progress: Progress | None) -> Result:
    """The strategy on the account's own state, under its mode's refusals and liquidations."""
    config = prepared.config.model_copy(update={"account": [account]})
    return live(replace(prepared, config=config), progress)


def _answers(record: RunRecord, account: int, mode: str) -> pd.Series:
    """The rows of `ANSWERS` for one account."""
    figures = statistics(record, account)
    return pd.Series({label: figures[label] for label in ANSWERS if label in figures.index}, name=mode, dtype=object)


def _replayed(record: RunRecord, account: int, mode: str) -> pd.Series:
    """The same for a replay, where nobody is liquidated: when the venue would have, instead of whether it did."""
    answers = _answers(record, account, mode).drop("Survived")
    rows, wallets = record.columns("account", account), record.columns("wallets", account)
    under = rows["time"][rows["worst_ratio"] <= rows["liquidation_level"]]
    # a wallet that gave an isolated position more than it had asks for nothing itself, and so has no ratio
    empty = wallets["time"][(wallets["maintenance_margin"] <= 0.0) & (wallets["collateral"] < -DUST)]
    first = min([*under[:1].tolist(), *empty.tolist()], default=None)
    breach = "never" if first is None else minute(first)
    return pd.concat([pd.Series({"First Breach": breach}, name=mode, dtype=object), answers]).rename(mode)
