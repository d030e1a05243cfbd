"""From the engine's arrays to the frames of a run record: steps become units, numbers become names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine.session import SIDES, Session
from backtest.engine.tape import index_price
from backtest.ledger.kinds import FUNDED, KIND_NAMES, SETTLED
from backtest.report.record import FRAMES, LivedRecord, RunRecord
from backtest.state import (
    CAUSE_NAMES,
    E_KIND,
    F_ACCOUNT,
    F_BAR,
    F_CAUSE,
    F_CONTRACTS,
    F_COST,
    F_FEE,
    F_FEE_ASSET,
    F_ORDER,
    F_POINT,
    F_POSITION,
    F_REALISED,
    FILL_ROWS,
    FUNDING,
    INCIDENT_ROWS,
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    L_INSTRUMENT,
    L_KIND,
    L_ORDER,
    L_WALLET,
    LEDGER_ROWS,
    N_ACCOUNT,
    N_AMOUNT,
    N_BAR,
    N_COLLATERAL,
    N_CONTRACTS,
    N_INSIDE,
    N_MAINTENANCE,
    N_POINT,
    N_POSITION,
    N_PRICE,
    N_RUNG,
    N_WALLET,
    O_ACCOUNT,
    O_BAR,
    O_CONTRACTS,
    O_FILLED,
    O_GROUP,
    O_KIND,
    O_POSITION,
    O_REASON,
    O_STATE,
    ORDER_KINDS,
    ORDER_ROWS,
    P_CLOSE,
    P_COLLATERAL,
    P_EACH,
    P_EQUITY,
    P_INITIAL,
    P_LOW_HIGH,
    P_MAINTENANCE,
    P_WALLET,
    POINT_NAMES,
    REASON_NAMES,
    RUNG_NAMES,
    STATE_NAMES,
)  # fmt: skip
from backtest.units import STEP

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.engine.tables import Plan

Ints = npt.NDArray[np.int64]


def record_of(session: Session, config: RunConfig, notes: list[str], seconds: float = 0.0) -> RunRecord:
    """The record of a session that has been lived through; the session must not go on after it."""
    plans, names = session.plans, _Names(session)
    return LivedRecord(
        config=config,
        history=session.history,
        rules=tuple(plan.sets for plan in plans),
        account_names=[plan.name for plan in plans],
        modes=[mode_words(plan) for plan in plans],
        notes=notes,
        seconds=seconds,
        levels=tuple(tuple((level.ratio, level.action) for level in plan.sets[-1].levels) for plan in plans),
        makers={
            "account": lambda _: in_one([account_frame(session, names, k) for k in range(len(plans))]),
            "wallets": lambda _: wallets_frame(session, names),
            "ledger": lambda _: ledger_frame(session, names),
            "fills": lambda _: fills_frame(session, names),
            "orders": lambda record: orders_frame(session, names, record.fills),
            "incidents": lambda record: in_time([incidents_frame(session, names), *all_crossings(session, record)]),
            "funding": lambda _: funding_frame(session, names),
            "positions": lambda _: positions_frame(session, names),
        },
    )


def in_one(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The frames below each other."""
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def all_crossings(session: Session, record: RunRecord) -> list[pd.DataFrame]:
    """What each account's ratio fell to."""
    return [crossings(session, record.of("account", k), k) for k in range(len(session.plans))]


def mode_words(plan: Plan) -> str:
    """An account's margin mode as every table, page and picture shows it: one not of its dates never passes for one."""
    rows = (row for rule_set in plan.sets for row in rule_set.rows)
    unreal = plan.mode.counterfactual or any(row.counterfactual for row in rows)
    return f"{plan.preset} (counterfactual)" if unreal else plan.preset


class _Names:
    """Names by number: accounts, wallets, assets, symbols, times."""

    def __init__(self, session: Session) -> None:
        self._time_us = session.history.time
        self.account = np.array([plan.name for plan in session.plans], dtype=object)
        self.asset = np.array(session.history.assets, dtype=object)
        self.symbol = np.array([i.symbol for i in session.history.instruments] * 2 + [""], dtype=object)
        futures = [i.kind != "spot" for i in session.history.instruments]
        none = np.full(2 * len(futures) + 1, "", dtype=object)
        both = np.array([side if future else "" for side in SIDES for future in futures] + [""], dtype=object)
        self._side = [both if plan.two_sided else none for plan in session.plans]
        widest = max(len(plan.shape.names) for plan in session.plans)
        rows = [plan.shape.names + [""] * (widest + 1 - len(plan.shape.names)) for plan in session.plans]
        self.wallet = np.array(rows, dtype=object)

    @cached_property
    def time(self) -> pd.DatetimeIndex:
        """Opens of the bars."""
        return pd.to_datetime(self._time_us, unit="us", utc=True)

    def side(self, accounts: Ints, positions: Ints) -> npt.NDArray[np.object_]:
        """Sides of positions by row, -1 being none."""
        return np.array([self._side[k][p] for k, p in zip(accounts, positions, strict=True)], dtype=object)


def _frame(name: str, columns: dict[str, Any]) -> pd.DataFrame:
    """A frame of the record, its columns in their order."""
    return pd.DataFrame({column: columns[column] for column in FRAMES[name]})


def _in_order(rows: Ints, bar: Any, account: Any) -> Ints:
    """Canonical order: bar, account, then as written."""
    return np.lexsort((np.arange(len(rows)), rows[:, account], rows[:, bar]))


def account_frame(session: Session, names: _Names, k: int) -> pd.DataFrame:
    """One account, bar by bar, at the close."""
    path = session.book.path[:, k]
    chosen = {"close": P_CLOSE, "low_then_high": P_LOW_HIGH, "each_worst": P_EACH}[session.plans[k].path]
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(path[P_COLLATERAL] > 0, path[P_INITIAL] / path[P_COLLATERAL], np.inf)
        use = np.where(path[P_INITIAL] > 0, used, 0.0)
    return _frame(
        "account",
        {
            "time": names.time,
            "account": names.account[k],
            "equity": path[P_EQUITY],
            "collateral_equity": path[P_COLLATERAL],
            "initial_margin": path[P_INITIAL],
            "maintenance_margin": path[P_MAINTENANCE],
            "margin_ratio": close_ratio(session, k),
            "worst_ratio": path[chosen],
            "worst_wallet": names.wallet[k][path[P_WALLET].astype(np.int64)],
            "ratio_close": path[P_CLOSE],
            "ratio_low_then_high": path[P_LOW_HIGH],
            "ratio_each_worst": path[P_EACH],
            "utilization": use,
            "cash_usd": cash(session, k),
            "liquidation_level": level_of(session, k, "liquidate"),
        },
    )


def level_of(session: Session, k: int, action: str) -> npt.NDArray[np.float64]:
    """The margin ratio at or below which the venue acts so, by bar; 0 where it has no such level."""
    sets = session.plans[k].sets
    ratios = [max((level.ratio for level in s.levels if level.action == action), default=0.0) for s in sets]
    at = session.tape.rules_at[k]
    levels: npt.NDArray[np.float64] = np.array(ratios)[at - at[0]]
    return levels


def close_ratio(session: Session, k: int) -> npt.NDArray[np.float64]:
    """Lowest collateral / maintenance of a wallet at each close; inf without requirement."""
    collateral, _, maintenance = session.book.wallet_path[:, :, k]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(maintenance > 0, collateral / maintenance, np.inf)
    lowest: npt.NDArray[np.float64] = ratios.min(axis=0)
    return lowest


def cash(session: Session, k: int) -> npt.NDArray[np.float64]:
    """USD of stablecoin balances over all wallets at each close, from the ledger."""
    ledger, bars = session.book.ledger[: session.book.count[LEDGER_ROWS]], len(session.history.time)
    worth = np.zeros(bars)
    for a, asset in enumerate(session.history.assets):
        if asset.startswith("USD") or asset.endswith("USD"):
            rows = ledger[(ledger[:, L_ACCOUNT] == k) & (ledger[:, L_ASSET] == a)]
            steps = np.zeros(bars, np.int64)
            np.add.at(steps, rows[:, L_BAR], rows[:, L_AMOUNT])
            worth += np.cumsum(steps) * STEP * session.history.index_close[a]
    return worth


def wallets_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Every wallet that backs something, bar by bar, at the close; USD. `headroom`: the least, on the bar's path, of
    collateral - max(initial, level x maintenance).
    """
    parts = []
    for k, plan in enumerate(session.plans):
        for w, name in enumerate(plan.shape.names):
            if plan.shape.model[w]:
                collateral, initial, maintenance = session.book.wallet_path[:, w, k]
                parts.append(
                    _frame(
                        "wallets",
                        {
                            "time": names.time,
                            "account": plan.name,
                            "wallet": name,
                            "collateral": collateral,
                            "initial_margin": initial,
                            "maintenance_margin": maintenance,
                            "headroom": session.book.headroom[w, k],
                        },
                    )
                )
    # spot alone backs nothing: no wallet at all, but still the columns
    return pd.concat(parts, ignore_index=True) if parts else _frame("wallets", {key: [] for key in FRAMES["wallets"]})


def ledger_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Every change of every balance, in canonical order."""
    rows = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[_in_order(rows, L_BAR, L_ACCOUNT)]
    return _frame(
        "ledger",
        {
            "time": names.time[rows[:, L_BAR]],
            "bar": rows[:, L_BAR],
            "account": names.account[rows[:, L_ACCOUNT]],
            "wallet": names.wallet[rows[:, L_ACCOUNT], rows[:, L_WALLET]],
            "asset": names.asset[rows[:, L_ASSET]],
            "kind": np.array(KIND_NAMES, dtype=object)[rows[:, L_KIND]],
            "amount": rows[:, L_AMOUNT] * STEP,
            "steps": rows[:, L_AMOUNT],
            "instrument": names.symbol[rows[:, L_INSTRUMENT]],
            "order": np.where(rows[:, L_KIND] == FUNDED, -1, rows[:, L_ORDER]),
        },
    )


def fills_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Every trade, in canonical order."""
    count = session.book.count[FILL_ROWS]
    order = _in_order(session.book.fill[:count], F_BAR, F_ACCOUNT)
    rows, prices = session.book.fill[:count][order], session.book.fill_price[:count][order]
    instruments, assets = session.history.instruments, session.assets
    bars, positions = rows[:, F_BAR], rows[:, F_POSITION] % len(instruments)
    sizes = np.array([i.contract_size for i in instruments])[positions]
    inverse = np.array([i.kind == "inverse" for i in instruments])[positions]
    quotes = np.array([assets.get(i.quote, -1) for i in instruments])[positions]
    usd = np.where(quotes < 0, 1.0, session.history.index_close[quotes, bars])
    contracts = rows[:, F_CONTRACTS] * STEP
    return _frame(
        "fills",
        {
            "time": names.time[bars],
            "bar": bars,
            "account": names.account[rows[:, F_ACCOUNT]],
            "symbol": names.symbol[positions],
            "side": names.side(rows[:, F_ACCOUNT], rows[:, F_POSITION]),
            "contracts": contracts,
            "price": prices[:, 0],
            "mark": prices[:, 1],
            "notional_usd": np.abs(contracts) * sizes * np.where(inverse, 1.0, prices[:, 0] * usd),
            "cause": np.array(CAUSE_NAMES, dtype=object)[rows[:, F_CAUSE]],
            "point": np.array(POINT_NAMES, dtype=object)[rows[:, F_POINT]],
            "fee": rows[:, F_FEE] * STEP,
            "fee_asset": names.asset[rows[:, F_FEE_ASSET]],
            "realised": rows[:, F_REALISED] * STEP,
            "settle": np.array([i.settle for i in instruments], dtype=object)[positions],
            "order": rows[:, F_ORDER],
        },
    )


def orders_frame(session: Session, names: _Names, fills: pd.DataFrame) -> pd.DataFrame:
    """Every order and what became of it, as placed. `residual_delta_usd`: what the fills of orders placed together left
    of each other, signed notional; NaN for an order placed alone.
    """
    rows = session.book.order[: session.book.count[ORDER_ROWS]]
    prices = session.book.order_price[: len(rows)]
    return _frame(
        "orders",
        {
            "time": names.time[np.maximum(rows[:, O_BAR], 0)],
            "account": names.account[rows[:, O_ACCOUNT]],
            "id": np.arange(len(rows)),
            "symbol": names.symbol[rows[:, O_POSITION]],
            "side": names.side(rows[:, O_ACCOUNT], rows[:, O_POSITION]),
            "kind": np.array(ORDER_KINDS, dtype=object)[rows[:, O_KIND]],
            "contracts": rows[:, O_CONTRACTS] * STEP,
            "price": np.where(prices[:, 0] > 0, prices[:, 0], np.nan),
            "trigger": np.where(prices[:, 1] > 0, prices[:, 1], np.nan),
            "state": np.array(STATE_NAMES, dtype=object)[rows[:, O_STATE]],
            "reason": np.array(REASON_NAMES, dtype=object)[rows[:, O_REASON]],
            "filled": rows[:, O_FILLED] * STEP,
            "group": rows[:, O_GROUP],
            "residual_delta_usd": residual_deltas(rows[:, O_GROUP], fills),
        },
    )


def residual_deltas(groups: Ints, fills: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Signed notional of all fills of each order's group, USD; NaN where the group is one order."""
    by_order = fills[fills["order"] >= 0]
    signed = by_order["notional_usd"] * np.sign(by_order["contracts"])
    left = signed.groupby(groups[by_order["order"]]).sum()
    many = pd.Series(groups).groupby(groups).transform("size").to_numpy()
    return np.where(many > 1, pd.Series(groups).map(left).fillna(0.0).to_numpy(), np.nan)


CROSSED = {"warn": "warn", "reduce_only": "reduce only"}
"""Levels that are told of as incidents when the ratio falls to them, and the words for it."""


def crossings(session: Session, account: pd.DataFrame, k: int) -> pd.DataFrame:
    """Bars whose lowest ratio fell to a level at which the venue warns or restricts; one a fall.

    Of an account that nobody liquidates, also those at which it would have been.
    """
    worst, found = account["worst_ratio"].to_numpy(), []
    told = {**CROSSED, "liquidate": "breach"} if session.plans[k].unbound else CROSSED
    for action, rung in told.items():
        level = level_of(session, k, action)
        below = (level > 0.0) & (worst <= level)
        rows = account[below & ~np.concatenate([[False], below[:-1]])]
        found.append(
            _frame(
                "incidents",
                {
                    "time": rows["time"],
                    "account": rows["account"],
                    "wallet": rows["worst_wallet"],
                    "rung": rung,
                    "symbol": "",
                    "side": "",
                    "collateral": rows["collateral_equity"],
                    "maintenance": rows["maintenance_margin"],
                    "ratio": rows["worst_ratio"],
                    "contracts": 0.0,
                    "price": 0.0,
                    "amount_usd": 0.0,
                    "note": "lowest ratio of the bar; collateral and maintenance of the account at its close",
                },
            )
        )
    return pd.concat(found, ignore_index=True)


def incidents_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Everything the engine did out of the ordinary, with the numbers it saw."""
    rows = session.book.incident[: session.book.count[INCIDENT_ROWS]]
    whole = rows.astype(np.int64)
    order = _in_order(whole, N_BAR, N_ACCOUNT)
    rows, whole = rows[order], whole[order]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(rows[:, N_MAINTENANCE] > 0, rows[:, N_COLLATERAL] / rows[:, N_MAINTENANCE], np.nan)
    wallet = names.wallet[whole[:, N_ACCOUNT], whole[:, N_WALLET]]
    notes = [place_of(*row) for row in whole[:, [N_POINT, N_INSIDE]].tolist()]
    return _frame(
        "incidents",
        {
            "time": names.time[whole[:, N_BAR]],
            "account": names.account[whole[:, N_ACCOUNT]],
            "wallet": wallet,
            "rung": np.array(RUNG_NAMES, dtype=object)[whole[:, N_RUNG]],
            "symbol": names.symbol[whole[:, N_POSITION]],
            "side": names.side(whole[:, N_ACCOUNT], whole[:, N_POSITION]),
            "collateral": rows[:, N_COLLATERAL],
            "maintenance": rows[:, N_MAINTENANCE],
            "ratio": ratio,
            "contracts": rows[:, N_CONTRACTS],
            "price": rows[:, N_PRICE],
            "amount_usd": rows[:, N_AMOUNT],
            "note": np.array(notes, dtype=object),
        },
    )


def in_time(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Incidents of several accounts and kinds by time, each kind in its own order."""
    some = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(some, ignore_index=True).sort_values("time", kind="stable", ignore_index=True)


def place_of(point: int, inside_us: int) -> str:
    """Where in its bar something happened, in words."""
    if not inside_us:
        return f"on the way to the bar's {POINT_NAMES[point]}"
    at = pd.Timestamp(inside_us, unit="us", tz="UTC")
    return f"on the way to the {POINT_NAMES[point]} of the finer bar of {at:%H:%M}"


def funding_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Every funding payment, with the rate and the price it was paid on: mark, or index where the venue says so."""
    history, rows = session.history, session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == FUNDED]
    rows = rows[_in_order(rows, L_BAR, L_ACCOUNT)]
    settled = np.flatnonzero(session.tape.event[:, E_KIND] == FUNDING)  # in the history's own order
    at = np.searchsorted(settled, rows[:, L_ORDER])
    contracts = held_before(session, rows)
    return _frame(
        "funding",
        {
            "time": pd.to_datetime(history.funding_time[at], unit="us", utc=True),
            "account": names.account[rows[:, L_ACCOUNT]],
            "symbol": names.symbol[rows[:, L_INSTRUMENT]],
            "side": names.side(rows[:, L_ACCOUNT], rows[:, L_INSTRUMENT]),
            "contracts": contracts * STEP,
            "price": np.where(on_index(session, rows), indices_of(session, rows), history.funding_price[at]),
            "rate": history.funding_rate[at],
            "amount": rows[:, L_AMOUNT] * STEP,
            "asset": names.asset[rows[:, L_ASSET]],
            "flag": history.funding_flag[at],
        },
    )


def on_index(session: Session, rows: Ints) -> npt.NDArray[np.bool_]:
    """Whether each funding row was paid on the index, by the account's own venue."""
    rules, sets = session.rules, session.tape.rules_at[rows[:, L_ACCOUNT], rows[:, L_BAR]]
    paid: npt.NDArray[np.bool_] = rules.funding_at[sets, rules.instrument[rows[:, L_INSTRUMENT]]] != 0
    return paid


def indices_of(session: Session, rows: Ints) -> npt.NDArray[np.float64]:
    """The index price of each row's contract at its bar's open."""
    instrument = session.rules.instrument[rows[:, L_INSTRUMENT]]
    pairs = zip(instrument, rows[:, L_BAR], strict=True)
    return np.array([index_price(session.history, int(i), int(bar)) for i, bar in pairs], np.float64)


def held_before(session: Session, rows: Ints) -> Ints:
    """Contracts held coming into the bar of each ledger row, by the fills of earlier bars."""
    fills = session.book.fill[: session.book.count[FILL_ROWS]]
    held = np.zeros(len(rows), np.int64)
    for account in range(len(session.plans)):
        for i in range(len(session.book.contracts)):
            mine = (rows[:, L_ACCOUNT] == account) & (rows[:, L_INSTRUMENT] == i)
            done = fills[(fills[:, F_ACCOUNT] == account) & (fills[:, F_POSITION] == i)]
            done = done[np.argsort(done[:, F_BAR], kind="stable")]
            total = np.concatenate([[0], np.cumsum(done[:, F_CONTRACTS])])
            held[mine] = total[np.searchsorted(done[:, F_BAR], rows[mine, L_BAR], side="left")]
    return held


def positions_frame(session: Session, names: _Names) -> pd.DataFrame:
    """Contracts and cost after each bar in which a futures position changed, or its profit was settled."""
    count = session.book.count[FILL_ROWS]
    fills = session.book.fill[:count][_in_order(session.book.fill[:count], F_BAR, F_ACCOUNT)]
    spot = np.array([i.kind == "spot" for i in session.history.instruments] * 2)
    fills = fills[~spot[fills[:, F_POSITION]]]
    table = pd.DataFrame(
        {
            "bar": fills[:, F_BAR],
            "account": fills[:, F_ACCOUNT],
            "position": fills[:, F_POSITION],
            "contracts": fills[:, F_CONTRACTS],
            "cost": fills[:, F_COST],
        }
    )
    rows = session.book.ledger[: session.book.count[LEDGER_ROWS]]
    rows = rows[rows[:, L_KIND] == SETTLED]
    settled = {"bar": rows[:, L_BAR], "account": rows[:, L_ACCOUNT], "position": rows[:, L_INSTRUMENT]}
    if len(rows):
        table = pd.concat([table, pd.DataFrame({**settled, "contracts": 0, "cost": rows[:, L_AMOUNT]})])
    by = ["bar", "account", "position"]
    changes = table.groupby(by, sort=True, as_index=False).sum()
    running = changes.groupby(["account", "position"])[["contracts", "cost"]].cumsum()
    return _frame(
        "positions",
        {
            "time": names.time[changes["bar"].to_numpy()],
            "account": names.account[changes["account"].to_numpy()],
            "symbol": names.symbol[changes["position"].to_numpy()],
            "side": names.side(changes["account"].to_numpy(), changes["position"].to_numpy()),
            "contracts": running["contracts"].to_numpy() * STEP,
            "cost": running["cost"].to_numpy() * STEP,
        },
    )
