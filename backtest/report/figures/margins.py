"""What the venue asked for: initial and maintenance margin, wallet by wallet, and the share of collateral in use."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.report.columns import naive
from backtest.report.figures.distance import names_of
from backtest.report.figures.panel import Panel, line
from backtest.report.ink import INK, SERIES, faint
from backtest.report.subject import Floats, Subject
from backtest.report.thin import kept

SAYS = "Initial margin over collateral equity, at the closes; where it went beyond 200 %, the line leaves the panel."
MOST_USED = 2.0
MOST_WALLETS = 7
OTHERS, OTHER_POSITIONS = "other wallets", "other positions"
KINDS = {"initial_margin": "Initial margin", "maintenance_margin": "Maintenance margin"}


def margin_panels(subject: Subject) -> list[Panel]:
    """Both margins as two lines where one wallet holds them all; else each of them stacked by wallet."""
    stacks = {column: by_wallet(subject, column) for column in KINDS}
    if all(len(stack) <= 1 for stack in stacks.values()):
        return [_whole(subject)]
    wallets = list(dict.fromkeys(wallet for stack in stacks.values() for wallet in stack))
    inks = {wallet: SERIES[number % len(SERIES)] for number, wallet in enumerate(wallets)}
    return [
        _stack(subject, column, {w: stacks[column][w] for w in wallets if w in stacks[column]}, inks)
        for column in KINDS
    ]


def by_wallet(subject: Subject, column: str) -> dict[str, Floats]:
    """A margin by wallet [bar], of those that were ever asked for any; the smallest of many as one."""
    rows = subject.record.of("wallets", subject.account)
    found: dict[str, Floats] = {}
    for wallet, mine in rows.groupby("wallet", sort=False):
        at = np.searchsorted(subject.times, naive(mine["time"]))
        values = np.zeros(len(subject.times))
        values[at] = mine[column].to_numpy(dtype=np.float64)
        if values.any():
            found[str(wallet)] = values
    ordered = sorted(found, key=lambda wallet: -float(found[wallet].sum()))
    kept_apart = ordered if len(ordered) <= MOST_WALLETS else ordered[: MOST_WALLETS - 1]
    stack = {wallet: found[wallet] for wallet in kept_apart}
    rest = [found[wallet] for wallet in ordered if wallet not in stack]
    return {**stack, OTHERS: np.sum(rest, axis=0)} if rest else stack


def _whole(subject: Subject) -> Panel:
    initial, maintenance = subject.column("initial_margin"), subject.column("maintenance_margin")
    at = kept([initial, maintenance], subject.moments)
    traces = [
        line(
            "Initial margin", INK["initial"], subject.times[at], initial[at], fill="tozeroy",
            fillcolor=faint(INK["initial"]),
        ),
        line(
            "Maintenance margin", INK["maintenance"], subject.times[at], maintenance[at], fill="tozeroy",
            fillcolor=faint(INK["maintenance"]),
        ),
    ]  # fmt: skip
    return Panel(
        "margins", "Required margin", "What opening asks for, and what keeping open asks for, at the closes.", traces,
        _dollars(), height=210,
    )  # fmt: skip


def _stack(subject: Subject, column: str, stack: dict[str, Floats], inks: dict[str, str]) -> Panel:
    at = kept([*stack.values(), np.sum(list(stack.values()), axis=0)], subject.moments)
    traces = [
        line(
            wallet, inks[wallet], subject.times[at], values[at], stackgroup=column, width=0.8,
            fillcolor=faint(inks[wallet], 0.45),
        )
        for wallet, values in stack.items()
    ]  # fmt: skip
    asked = "opening asks for" if column == "initial_margin" else "keeping open asks for"
    return Panel(
        column, KINDS[column], f"What {asked}, wallet upon wallet; an isolated position is a wallet.", traces,
        _dollars(), height=200,
    )  # fmt: skip


def position_panels(subject: Subject, asked: pd.DataFrame) -> list[Panel]:
    """Both margins stacked by position at the points that were asked (`distances`); none of a single position, nor
    where every position is a wallet, which are stacked bar by bar already.
    """
    if asked.empty or subject.standing.said.margin == "isolated":
        return []
    tables = {column: _by_position(asked, column) for column in ("initial", "maintenance")}
    names = list(dict.fromkeys(str(name) for table in tables.values() for name in table))
    if len(names) < 2:
        return []
    inks = {name: SERIES[number % len(SERIES)] for number, name in enumerate(names)}
    return [_position_stack(subject, column, table, inks) for column, table in tables.items()]


def _by_position(asked: pd.DataFrame, column: str) -> pd.DataFrame:
    """A margin by time and position, USD, 0 where it was not held; the smallest of many as one."""
    table = asked.pivot_table(index="time", columns=names_of(asked), values=column, aggfunc="sum", fill_value=0.0)
    ordered = table[table.sum().sort_values(ascending=False, kind="stable").index]
    if ordered.shape[1] <= MOST_WALLETS:
        return ordered
    rest = ordered.iloc[:, MOST_WALLETS - 1 :].sum(axis=1)
    return ordered.iloc[:, : MOST_WALLETS - 1].assign(**{OTHER_POSITIONS: rest})


def _position_stack(subject: Subject, column: str, table: pd.DataFrame, inks: dict[str, str]) -> Panel:
    """One margin, position upon position, and the account's own over it."""
    times, kind = naive(table.index.to_series()), f"{column}_margin"
    traces = [
        line(
            str(name), inks[name], times, table[name].to_numpy(), stackgroup=column, width=0.8, shape="hv",
            fillcolor=faint(inks[name], 0.45),
        )
        for name in table
    ]  # fmt: skip
    whole = subject.column(kind)[subject.bars_of(table.index)]
    traces.append(line("The account", INK["other"], times, whole, dash="dot", width=1.6, shape="hv"))
    sums = table.sum(axis=1).to_numpy()
    more = sums > 1.001 * whole
    says = (
        "Each position alone, one upon the other; the dotted line is what the account is asked for: below the stack, "
        "positions relieve each other."
        if more.any()
        else "Position upon position; the dotted line is what the account is asked for, debts included."
    )
    return Panel(
        f"{kind} by position", f"{KINDS[kind]} by position",
        f"{says} Asked of the margin calculator at the {len(table)} points.", traces, _dollars(), height=200,
    )  # fmt: skip


def utilization_panel(subject: Subject) -> Panel:
    """Initial margin over collateral equity; a gap where there is no collateral left to divide by."""
    used = subject.column("utilization")
    used = np.where(np.isfinite(used), used, np.nan)
    at = kept([used], subject.moments)
    traces = [
        line(
            "Utilization", INK["initial"], subject.times[at], used[at], unit="%", digits=1, fill="tozeroy",
            fillcolor=faint(INK["initial"]),
        )
    ]  # fmt: skip
    top = min(MOST_USED, 1.06 * float(np.nanmax(used, initial=0.0))) or 1.0
    guard = subject.record.config.guards.max_utilization
    levels = [] if guard is None else [(float(guard), f"guard {guard:.0%}", INK["other"], "dot")]
    return Panel(
        "utilization", "Utilization", SAYS, traces,
        {"title": {"text": "share"}, "tickformat": ".0%", "range": [0.0, top]}, levels, top=MOST_USED, height=170,
    )  # fmt: skip


def _dollars() -> dict[str, object]:
    return {"title": {"text": "USD"}, "tickformat": "~s", "rangemode": "tozero"}
