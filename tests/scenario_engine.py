"""The product's engine run on an oracle scenario: the same dictionary, turned into a history, rules and orders.

Returns what the oracle returns, so that a test can compare the two money for money.
"""

from __future__ import annotations

from types import SimpleNamespace as Row
from typing import Any

import numpy as np

from backtest.engine.advance import advance
from backtest.engine.book import make_book
from backtest.engine.orders import place
from backtest.engine.plan import Plan
from backtest.engine.shape import shape_of
from backtest.engine.tables import make_rules
from backtest.engine.tape import Event, make_tape
from backtest.engine.transfers import ask_transfer
from backtest.ledger.audit import audit
from backtest.ledger.kinds import DEPOSIT
from backtest.ledger.post import post
from backtest.market.history import History
from backtest.market.schema import Instrument
from backtest.state import (
    BY_LIQUIDATION,
    F_ACCOUNT,
    F_CAUSE,
    FILL_ROWS,
    FLOW,
    LIVED,
    MARKET,
    O_ACCOUNT,
    O_STATE,
    ORDER_ROWS,
    P_EQUITY,
    REFUSED,
    TO_TARGET,
    Book,
    Rules,
    Tape,
)
from backtest.units import to_steps
from backtest.venues.schema import RuleSet

HOUR_US = 3_600_000_000


def rows(table: dict[str, Any], keys: list[str], field: str, point: str) -> np.ndarray:
    return np.array([[float(x) for x in table[key][field][point]] for key in keys])


def history_of(scenario: dict[str, Any]) -> History:
    symbols, assets, bars = list(scenario["instruments"]), list(scenario["assets"]), scenario["bars"]
    terms = scenario["instruments"]
    instruments = tuple(
        Instrument(
            symbol=s,
            kind=t["kind"],
            base=t["base"],
            quote="USD" if t["kind"] == "inverse" else "USDT",
            settle=t["settle"],
            contract_size=float(t.get("size", 1)),
            tick=0.01,
            lot=float(t["lot"]),
            min_notional=0.0,
            listing_us=None,
            expiry_us=None if t.get("expiry_bar") is None else t["expiry_bar"] * HOUR_US,
            delisting_us=None,
            source="scenario",
        )
        for s, t in terms.items()
    )
    last = {p: rows(terms, symbols, "last", p) for p in ("open", "low", "high", "close")}
    mark = {p: rows(terms, symbols, "mark", p) for p in ("open", "low", "high", "close")}
    index = {p: rows(scenario["assets"], assets, "index", p) for p in ("open", "low", "high", "close")}
    funding = [e for e in scenario["events"] if e["kind"] == "funding"]
    deliveries = [e for e in scenario["events"] if e["kind"] == "delivery"]
    shape = (len(symbols), bars)
    return History(
        time=np.arange(bars) * HOUR_US,
        interval_us=HOUR_US,
        instruments=instruments,
        assets=tuple(assets),
        **last,
        volume=np.full(shape, 1e12),
        mark_open=mark["open"],
        mark_low=mark["low"],
        mark_high=mark["high"],
        mark_close=mark["close"],
        worst_low=mark["low"],
        worst_high=mark["high"],
        mark_source=("mark",) * len(symbols),
        index_open=index["open"],
        index_low=index["low"],
        index_high=index["high"],
        index_close=index["close"],
        index_source=("index",) * len(assets),
        tradable=np.ones(shape, bool),
        funding_bar=np.array([e["bar"] for e in funding], np.int64),
        funding_instrument=np.array([symbols.index(e["symbol"]) for e in funding], np.int64),
        funding_rate=np.array([float(e["rate"]) for e in funding]),
        funding_price=np.array([float(e["mark"]) for e in funding]),
        funding_time=np.array([e["bar"] * HOUR_US for e in funding], np.int64),
        funding_flag=np.zeros(len(funding), np.int8),
        delivery_bar=np.array([e["bar"] for e in deliveries], np.int64),
        delivery_instrument=np.array([symbols.index(e["symbol"]) for e in deliveries], np.int64),
        delivery_price=np.array([float(e["price"]) for e in deliveries]),
        delivery_source=("scenario",) * len(deliveries),
        daily_volatility=np.zeros(shape),
        daily_volume=np.ones(shape),
        borrow_rate=np.zeros((len(assets), bars)),
        has_borrow=np.zeros(len(assets), bool),
        notes=(),
    )


def rule_set_of(scenario: dict[str, Any]) -> Any:
    terms, assets = list(scenario["instruments"].values()), list(scenario["assets"].values())

    def each(name: str) -> tuple[float, ...]:
        return tuple(float(t[name]) for t in terms)

    none = (np.inf,) * len(assets)
    return RuleSet(
        start_us=0,
        tiers=tuple(
            tuple(
                Row(floor=float(f), rate=float(r), deduction=float(d), max_leverage=float(m))
                for f, r, d, m in t.get("tiers", [])
            )
            for t in terms
        ),
        maker=each("maker"),
        taker=each("taker"),
        delivery_fee=each("delivery_fee"),
        liquidation_fee=each("liquidation_fee"),
        half_spread=each("half_spread"),
        collateral=tuple(
            tuple(Row(floor_usd=float(f), ratio=float(r), deduction_usd=float(d)) for f, r, d in a["ratio"])
            for a in assets
        ),
        ask_buffer=tuple(float(a["debt_buffer"]) for a in assets),
        requirement_buffer=tuple(float(a["need_buffer"]) for a in assets),
        conversion_cost=(0.0,) * len(assets),
        overdraft_usd=none,
        borrow_initial=none,
        borrow_maintenance=none,
        borrow_hourly=(0.0,) * len(assets),
        impact_y=0.0,
        funding_at=(),
        levels=(Row(ratio=1.0, action="liquidate"),),
        rows=(),
        scenario=None,
        owes=False,
        open_loss=False,
        asks_initial=True,
    )


def plan_of(account: dict[str, Any], history: History, rule_set: Any) -> Plan:
    mode, multi = account["mode"], account["mode"] in ("multi_asset", "portfolio")
    described = Row(
        preset=mode,
        scope="cross",
        collateral="multi" if multi else "settlement",
        requirement="tiers",
        inverse_in_unified=mode == "portfolio",
        open_loss=False,
        levels=(Row(ratio=float(account["level"]), action="liquidate"),),
        ladder=("reduce", "takeover"),
        loss_beyond="insurance",
        counterfactual=False,
    )
    isolated = account["isolated"] if mode == "isolated" else []
    shape = shape_of(described, history.instruments, history.assets, isolated, False)
    return Plan(
        account["name"],
        mode,
        described,
        shape,
        (rule_set,),
        {"default": 1.0, **{s: float(x) for s, x in account["leverage"].items()}},
        slippage=float(account["slippage"]),
        path=account["path"],
        cuts=False,
        transfer_cost=float(account.get("transfer_cost", 0)),
    )


def prepare(scenario: dict[str, Any]) -> tuple[list[Plan], Book, Rules, Tape]:
    """The bundles of a scenario, with deposits paid in and orders and transfers written down."""
    history = history_of(scenario)
    rule_set = rule_set_of(scenario)
    plans = [plan_of(account, history, rule_set) for account in scenario["accounts"]]
    rules, rules_at = make_rules(plans, history)
    names, assets = [plan.name for plan in plans], list(history.assets)
    flows = [
        Event(
            e["bar"],
            int(FLOW),
            assets.index(e["asset"]),
            names.index(e["account"]),
            float(to_steps(float(e["amount"]), "flow")),
            plans[names.index(e["account"])].shape.names.index(e["wallet"]),
        )
        for e in scenario["events"]
        if e["kind"] == "flow"
    ]
    tape = make_tape(history, rules_at, flows)
    book = make_book(rules, tape, rows=1 << 16)  # nobody makes room on the way here
    for k, account in enumerate(scenario["accounts"]):
        for wallet, amounts in account["deposit"].items():
            for asset, amount in amounts.items():
                where = plans[k].shape.names.index(wallet)
                post(book, 0, k, where, assets.index(asset), DEPOSIT, to_steps(float(amount), "deposit"), -1, -1)
    for order in scenario["orders"]:
        write_order(book, order, names, [i.symbol for i in history.instruments])
    for t in scenario["transfers"]:
        k = names.index(t["account"])
        wallets, leaves = plans[k].shape.names, t["bar"] + 1
        ask_transfer(
            book,
            leaves,
            leaves + t["delay_bars"],
            k,
            assets.index(t["asset"]),
            wallets.index(t["from"]),
            wallets.index(t["to"]),
            to_steps(float(t["amount"]), "transfer"),
        )
    return plans, book, rules, tape


def write_order(book: Book, order: dict[str, Any], names: list[str], symbols: list[str]) -> None:
    target = "target" in order
    steps = to_steps(float(order["target"] if target else order["contracts"]), "order")
    place(
        book,
        order["bar"],
        names.index(order["account"]),
        symbols.index(order["symbol"]),
        MARKET,
        TO_TARGET if target else 0,
        int(book.count[ORDER_ROWS]),
        steps,
        0.0,
        0.0,
    )


def run(scenario: dict[str, Any]) -> dict[str, Any]:
    """Live through the scenario; the answer has the oracle's keys."""
    plans, book, rules, tape = prepare(scenario)
    assert advance(book, rules, tape, scenario["bars"], scenario["bars"], -1, 0) == LIVED
    audit(book)
    return {plan.name: answer_of(scenario, book, plan, k) for k, plan in enumerate(plans)}


def answer_of(scenario: dict[str, Any], book: Book, plan: Plan, k: int) -> dict[str, Any]:
    assets, symbols = list(scenario["assets"]), list(scenario["instruments"])
    names = plan.shape.names
    balances: dict[str, dict[str, int]] = {}
    for w, wallet in enumerate(names):
        mine = {a: int(book.balance[w, n, k]) for n, a in enumerate(assets) if book.balance[w, n, k]}
        if mine:
            balances[wallet] = mine
    fills = book.fill[: book.count[FILL_ROWS]]
    forced = (fills[:, F_ACCOUNT] == k) & (fills[:, F_CAUSE] == BY_LIQUIDATION)
    orders = book.order[: book.count[ORDER_ROWS]]
    refused = np.flatnonzero((orders[:, O_ACCOUNT] == k) & (orders[:, O_STATE] == REFUSED))
    return {
        "balances": balances,
        "contracts": {s: int(book.contracts[i, k]) for i, s in enumerate(symbols) if book.contracts[i, k]},
        "cost": {s: int(book.cost[i, k]) for i, s in enumerate(symbols) if book.contracts[i, k]},
        "wallets": [
            {names[w]: tuple(book.wallet_path[:, w, k, bar]) for w in range(len(names)) if plan.shape.model[w]}
            for bar in range(scenario["bars"])
        ],
        "equity": list(book.path[P_EQUITY, k]),
        "refused": [int(n) for n in refused],
        "liquidations": int(forced.sum()),
    }
