"""What the reader of a result must know of its accounts: assumed numbers, rules of other days, debts without interest,
bars that finer ones decided, accounts nobody traded and withdrawals that were cut.
"""

from __future__ import annotations

import numpy as np

from backtest.config import RunConfig
from backtest.engine.session import Session
from backtest.ledger.kinds import WITHDRAWAL
from backtest.margin.tail import FEWEST
from backtest.market.grid import when
from backtest.market.schema import INTERVALS
from backtest.research.owed import debts_without_rate
from backtest.state import (
    ASKED,
    GUARDED_RATIO,
    GUARDED_USE,
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    L_KIND,
    LEDGER_ROWS,
    NO_BALANCE,
    NO_LOAN,
    NO_MARGIN,
    O_ACCOUNT,
    O_REASON,
    O_STATE,
    ORDER_ROWS,
    REASON_NAMES,
    REFUSED,
    RESTRICTED,
    T_ACCOUNT,
    T_AMOUNT,
    T_ASSET,
    T_DEPARTS,
    T_MOVED,
    T_STATE,
    TIER_LEVERAGE,
    TRANSFER_ROWS,
    WINDOW,
    WINDOW_END,
)  # fmt: skip
from backtest.strategy.hooks import overrides
from backtest.strategy.strategy import Strategy
from backtest.units import STEP, amount_of


def notes_of(session: Session) -> list[str]:
    """What a reader of the result must know: assumed numbers, counterfactual rules, debts without interest."""
    notes = []
    for k, plan in enumerate(session.plans):
        for asset in debts_without_rate(session, k):
            notes.append(f"account {plan.name}: owed {asset} at times; no borrow rate is known, so it paid no interest")
        rows = [row for rule_set in plan.sets for row in rule_set.rows]
        notes += orders_refused(session, k)
        notes += transfers_cut(session, k)
        notes += bars_looked_into(session, k)
        notes += bars_without_tail(session, k)
        if plan.top_up[0] > 0.0:
            notes.append(f"account {plan.name}: lowest ratios of bars with a top-up are those without it")
        if any(row.assumed for row in rows):
            many = len({(row.table, row.key) for row in rows if row.assumed})
            notes.append(f"account {plan.name}: {many} venue numbers are assumed, see the manifest's rules")
        if plan.mode.counterfactual or any(row.counterfactual for row in rows):
            notes.append(f"account {plan.name}: COUNTERFACTUAL rules, not what the venue had on those dates")
    return notes


MONEY = [int(r) for r in (NO_BALANCE, NO_LOAN, RESTRICTED, TIER_LEVERAGE, NO_MARGIN, GUARDED_RATIO, GUARDED_USE)]
MANY = 0.1  # of an account's orders: from here on its strategy was hardly followed


def orders_refused(session: Session, k: int) -> list[str]:
    """Whether much of what a strategy asked for was refused, or could not be paid for: then the figures are those of
    another strategy. And whether it ever asked.
    """
    orders = session.book.order[: session.book.count[ORDER_ROWS]]
    orders, name = orders[orders[:, O_ACCOUNT] == k], session.plans[k].name
    if not len(orders):
        return [f"account {name}: no order was ever placed"]
    refused, money = orders[:, O_STATE] == REFUSED, np.isin(orders[:, O_REASON], MONEY)
    short = orders[refused | money]
    if len(short) <= MANY * len(orders):
        return []
    most = int(np.bincount(short[:, O_REASON]).argmax())
    words = (
        f"{refused.sum():,} of {len(orders):,} orders were refused and {(money & ~refused).sum():,} cut, mostly by: "
    )
    carries = "; the strategy asks for more than the account can carry" if most in MONEY else ""
    return [f"account {name}: {words}{REASON_NAMES[most]}{carries}"]


def accounts_left_alone(strategy: Strategy, session: Session) -> list[str]:
    """A callback that never names a desk trades the first account, whatever the others hold."""
    if overrides(type(strategy), "targets") or len(session.plans) < 2:
        return []
    orders = session.book.order[: session.book.count[ORDER_ROWS]]
    idle = [plan.name for k, plan in enumerate(session.plans) if k > 0 and not (orders[:, O_ACCOUNT] == k).any()]
    if not idle:
        return []
    names = ", ".join(repr(name) for name in idle)
    return [f"no order was placed in account {names}: `desk` is the first account's, `desk[name]` another's"]


def cut_withdrawals(config: RunConfig, session: Session) -> list[str]:
    """Scheduled withdrawals of which not everything was free to leave."""
    ledger, notes = session.book.ledger[: session.book.count[LEDGER_ROWS]], []
    for k, account in enumerate(config.account):
        for flow in (each for each in account.flows if each.amount < 0.0):
            bar, asset = int(np.searchsorted(session.history.time, flow.time_us)), session.assets[flow.asset]
            mine = (ledger[:, L_ACCOUNT] == k) & (ledger[:, L_BAR] == bar) & (ledger[:, L_ASSET] == asset)
            paid = amount_of(-int(ledger[mine & (ledger[:, L_KIND] == WITHDRAWAL), L_AMOUNT].sum()))
            if paid < -flow.amount - STEP:
                words = f"of {-flow.amount:,.8g} {flow.asset} asked for at {when(flow.time_us)}, {paid:,.8g} were free"
                notes.append(f"account {account.name}: withdrawal: {words}")
    return notes


def transfers_cut(session: Session, k: int) -> list[str]:
    """Transfers of which less was free than was asked for."""
    rows = session.book.transfer[: session.book.count[TRANSFER_ROWS]]
    rows = rows[(rows[:, T_ACCOUNT] == k) & (rows[:, T_STATE] != ASKED)]
    plan, asked = session.plans[k], amount_of(rows[:, T_AMOUNT])
    cost = np.maximum(plan.transfer_cost, plan.refill[2] * asked)  # a refill pays a share of what it sends
    short = rows[asked - amount_of(rows[:, T_MOVED]) > cost + STEP]
    if not len(short):
        return []
    wished, moved, asset = short[0, T_AMOUNT], short[0, T_MOVED], session.history.assets[short[0, T_ASSET]]
    at = when(int(session.history.time[short[0, T_DEPARTS]]))
    first = f"the first at {at}: {amount_of(int(moved)):,.8g} of {amount_of(int(wished)):,.8g} {asset}"
    return [
        f"account {session.plans[k].name}: {len(short)} of {len(rows)} transfers moved less than asked for, {first}"
    ]


def bars_looked_into(session: Session, k: int) -> list[str]:
    """Which bars, undecided by their low and high alone, were lived through on finer ones."""
    mine = [each for each in session.looked_into if each.account == k]
    if not mine:
        return []
    lengths = sorted({text for each in mine for text, us in INTERVALS.items() if us == each.interval_us})
    first = when(int(session.history.time[mine[0].bar]))
    words = f"{len(mine)} bar(s) whose path could decide survival were lived through on {' and '.join(lengths)} bars"
    return [f"account {session.plans[k].name}: {words}, the first {first}"]


def bars_without_tail(session: Session, k: int) -> list[str]:
    """In how many bars too little past was known for the tail model, so that its grid stood in."""
    if session.plans[k].mode.requirement != "tail":
        return []
    tape, bars, few = session.tape, len(session.history.time), 0
    for part in session.history.room.parts(bars):
        known = tape.tail_rows[tape.tail_kind[tape.rules_at[k, part]], :, np.arange(part.start, part.stop)]
        few += int((known[:, WINDOW_END] - known[:, WINDOW] < FEWEST).sum())
    words = f"{few:,} of {bars:,} bars had fewer than {FEWEST} past moves: the scenario grid stood in for the tail"
    return [f"account {session.plans[k].name}: {words}"] if few else []
