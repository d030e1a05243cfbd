"""What if: the same account after coins have moved, haircuts have risen, funding was paid, or an order was filled.

Each change gives a new snapshot with every price written out, which is then asked as any other. An order is not filled
by arithmetic of our own: it is handed to the engine, at these prices, and the account is read back as the engine left
it, accepted, cut or refused for the venue's reasons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.calculator.book import Placed, history_of, place_snapshot
from backtest.calculator.instruments import DOLLARS
from backtest.calculator.limits import check_order_amount
from backtest.calculator.ratio import state_at
from backtest.calculator.snapshot import RestingOrder, Snapshot, is_option, parts_of
from backtest.calculator.solve import moved_prices
from backtest.engine.advance import advance
from backtest.engine.book import grow
from backtest.engine.orders import place
from backtest.engine.tape import make_tape
from backtest.errors import InputError, is_number, nearest
from backtest.state import (
    FUNDING_FROM_FREE,
    INCIDENT_ROWS,
    LIMIT,
    LIVE_ORDERS,
    LIVED,
    MARKET,
    N_RUNG,
    O_CONTRACTS,
    O_FILLED,
    O_FLAGS,
    O_POSITION,
    O_REASON,
    O_STATE,
    ORDER_ROWS,
    PRICE,
    REASON_NAMES,
    REDUCE_ONLY,
    RUNG_NAMES,
    STATE_NAMES,
    W_ORDERS,
    Book,
)  # fmt: skip
from backtest.units import STEP, amount_of, to_steps

LARGEST = 1e7
CHANGES = ("haircut", "add", "funding", "move", "basis", "prices")
ORDER = re.compile(r"\s*(\S+)\s+([+-]?[\d_.eE+-]+)\s*(?:@\s*([\d_.eE+]+))?\s*")


def after_changes(placed: Placed, changes: Mapping[str, Any]) -> tuple[Placed, list[str]]:
    """The account after changes, and what became of an order; see `Answer.what_if` for what each change may be."""
    for name in changes:
        if name not in CHANGES:
            raise InputError(f"what if {name!r}: no such change; {nearest(name, CHANGES)}")
        check_numbers(name, changes[name])
    notes = []
    if changes.get("haircut") is not None:
        placed = place_snapshot(with_haircuts(placed, changes["haircut"]))
    if changes.get("add") is not None:
        placed, note = with_order(placed, read_order(changes["add"]))
        notes.append(note)
    if changes.get("funding") is not None:
        placed = place_snapshot(after_funding(placed, changes["funding"]))
    if changes.get("move") is not None:
        marks, indexes = moved_prices(placed, changes["move"], 1)
        placed = place_snapshot(at_prices(placed, marks[:, 0], indexes[:, 0]))
    if changes.get("basis") is not None:
        placed = place_snapshot(at_prices(placed, with_basis(placed, changes["basis"]), placed.indexes))
    if changes.get("prices") is not None:
        placed = place_snapshot(_at_set_prices(placed, changes["prices"]))
    return placed, notes


def check_numbers(name: str, given: Any) -> None:
    """InputError where a change is not a number, or a table of numbers (a move and prices: always a table)."""
    if given is None or name == "add":
        return
    if not isinstance(given, Mapping):
        if name in ("move", "prices"):
            raise InputError(f"{name} = {given!r}: write a table, such as {{'BTC': -0.3}}")
        given = {"": given}
    for key, value in given.items():
        where = f"{name}.{key}" if key else name
        check_number(where, value)
        if name == "haircut" and not 0.0 <= value <= 1.0:
            raise InputError(f"{where} = {value:g} is not between 0 and 1")
        if name == "move" and value < -1.0:
            raise InputError(f"{where} = {value:g}: a coin cannot fall by more than all it is worth; write -1 at least")
        if name != "prices" and abs(value) > LARGEST:
            raise InputError(f"{where} = {value:g}: nothing moves so far; write {LARGEST:g} at most")


def check_number(where: str, value: Any) -> None:
    """InputError for anything but a finite number."""
    if not is_number(value) or not math.isfinite(value):
        raise InputError(f"{where} = {value!r}: write a number")


def at_prices(placed: Placed, marks: Any, indexes: Any) -> Snapshot:
    """The account with every price written out: marks by symbol, indexes by asset."""
    prices = {i.symbol: float(mark) for i, mark in zip(placed.instruments, marks, strict=True)}
    prices |= {asset: float(index) for asset, index in zip(placed.assets, indexes, strict=True)}
    snapshot = placed.snapshot
    positions = _pinned(placed, {a: float(x) for a, x in zip(placed.assets, indexes, strict=True)})
    return snapshot.with_(prices=prices, positions=positions)


def _pinned(placed: Placed, indexes: Mapping[str, float]) -> list[dict[str, Any]]:
    """Positions without marks, which stand among the prices; an option with its volatility and its forward there."""
    found = []
    for position in placed.snapshot.positions:
        i = int(placed.rules.instrument[placed.number(position)])
        changed: dict[str, Any] = {"mark": None, "entry": position.entry or float(placed.marks[i])}
        if placed.forwards[i]:
            prices = np.array([[indexes[asset]] for asset in placed.assets])
            changed["implied_volatility"] = float(placed.volatilities[i])
            changed["forward"] = float(placed.forwards_at(i, prices)[0])
        found.append({**position.model_dump(), **changed})
    return found


def _at_set_prices(placed: Placed, prices: Mapping[str, float]) -> Snapshot:
    known = [*(i.symbol for i in placed.instruments), *placed.assets]
    for key in prices:
        if key not in known:
            raise InputError(f"set: {key!r} has no price here; {nearest(key, known)}")
    marks = [prices.get(i.symbol, mark) for i, mark in zip(placed.instruments, placed.marks, strict=True)]
    indexes = [prices.get(asset, index) for asset, index in zip(placed.assets, placed.indexes, strict=True)]
    return at_prices(placed, marks, indexes)


def with_basis(placed: Placed, basis: float | Mapping[str, float]) -> list[float]:
    """Marks after what is added to mark / index - 1 of futures: of all, by coin, or by symbol."""
    by_name = basis if isinstance(basis, Mapping) else None
    known = [
        *(i.symbol for i in placed.instruments if i.kind in ("linear", "inverse")),
        *(i.base for i in placed.instruments),
    ]
    for key in by_name or ():
        if key not in known:
            raise InputError(f"basis: {key!r} has no future here; {nearest(key, known)}")
    marks = []
    for instrument, mark in zip(placed.instruments, placed.marks, strict=True):
        more = basis if by_name is None else by_name.get(instrument.symbol, by_name.get(instrument.base, 0.0))
        usd = dict(zip(placed.assets, placed.indexes, strict=True)).get(instrument.quote, 1.0)
        fair = float(placed.indexes[placed.assets.index(instrument.base)]) / float(usd)
        added = 0.0 if instrument.kind in ("spot", "option") else float(more) * fair  # type: ignore[arg-type]
        if mark + added <= 0.0:
            raise InputError(
                f"basis: {more:g} leaves {instrument.symbol}, whose mark is {mark:g}, at {mark + added:g}; write more "
                f"than {-mark / fair:.4g}"
            )
        marks.append(float(mark) + added)
    return marks


def with_haircuts(placed: Placed, haircut: float | Mapping[str, float]) -> Snapshot:
    """By coin: its haircut becomes that. A number: every haircut there is (of coins, not dollars) rises by so much."""
    snapshot = placed.snapshot
    rows: dict[str, Any] = {}
    if isinstance(haircut, Mapping):
        for asset, cut in haircut.items():
            if asset not in placed.assets:
                raise InputError(f"haircut: {asset!r} is not in this account; {nearest(asset, placed.assets)}")
            rows[asset] = 1.0 - cut
    else:
        for asset, steps in zip(placed.assets, placed.rule_set.collateral, strict=True):
            if asset not in DOLLARS:
                rows[asset] = [[s.floor_usd, min(1.0, max(0.0, s.ratio - haircut))] for s in steps]
    given = snapshot.rules.get("collateral", {})
    before = given if isinstance(given, Mapping) else dict.fromkeys(placed.assets, given)
    return snapshot.with_(rules={**snapshot.rules, "collateral": {**before, **rows}})


def after_funding(placed: Placed, funding: float | Mapping[str, float]) -> Snapshot:
    """One payment of perpetuals at today's marks, or indexes where the venue pays on those: longs pay a positive rate,
    into and out of each position's wallet, or the one that an isolated position leans on, as the venue books it.
    """
    symbols = [i.symbol for i in placed.instruments if i.perpetual]
    rates = dict(funding) if isinstance(funding, Mapping) else dict.fromkeys(symbols, float(funding))
    for symbol in rates:
        if symbol not in symbols:
            raise InputError(f"funding: {symbol!r} is no perpetual of this account; {nearest(symbol, symbols)}")
    held = _wallets(placed, placed.book)
    for position in placed.snapshot.positions:
        if position.symbol in rates:
            number = placed.number(position)
            i = int(placed.rules.instrument[number])
            instrument = placed.instruments[i]
            worth = abs(instrument.worth(_funding_price(placed, i)))
            paid = position.signed(instrument.contract_size) * worth * rates[position.symbol]
            for wallet, amount in _paid_from(placed, number, paid, held):
                held.setdefault(wallet, {})
                held[wallet][instrument.settle] = held[wallet].get(instrument.settle, 0.0) - amount
    return at_prices(placed, placed.marks, placed.indexes).with_(wallets=held, positions=_unfunded(placed))


def _funding_price(placed: Placed, i: int) -> float:
    """The price that funding of an instrument is paid on, in its quote currency."""
    if not placed.rules.funding_at[0, i]:
        return float(placed.marks[i])
    instrument, index = placed.instruments[i], dict(zip(placed.assets, placed.indexes, strict=True))
    base = float(index[instrument.base])
    return base if instrument.kind == "inverse" else base / float(index[instrument.settle])


def _paid_from(
    placed: Placed, number: int, paid: float, held: Mapping[str, Mapping[str, float]]
) -> list[tuple[str, float]]:
    """Wallets that a position's funding is paid from (received into: negative), and how much from each; as
    `engine.funding.from_free` has it.
    """
    shape, own = placed.plan.shape, int(placed.rules.position_wallet[0, number])
    name, settle = shape.names[own], int(placed.rules.settlement[placed.rules.instrument[number]])
    if shape.isolates[own] < 0 or not placed.rules.term[0, FUNDING_FROM_FREE]:
        return [(name, paid)]
    parent = shape.parent[own]
    kept = float(placed.now(placed.book).need[0, parent, W_ORDERS]) / float(placed.indexes[settle])
    there = held.get(shape.names[parent], {}).get(placed.assets[settle], 0.0)
    free = paid if paid <= 0.0 else min(paid, max(0.0, there - kept))
    return [(shape.names[parent], free), (name, paid - free)]


def _unfunded(placed: Placed) -> list[dict[str, Any]]:
    """Positions as they are, their isolated margin read from the wallets instead."""
    indexes = {a: float(x) for a, x in zip(placed.assets, placed.indexes, strict=True)}
    return [{**row, "margin": None} for row in _pinned(placed, indexes)]


def _wallets(placed: Placed, book: Book) -> dict[str, dict[str, float]]:
    """Balances by wallet, as a snapshot writes them; loans apart."""
    shape, unit = placed.plan.shape, STEP / placed.fineness
    found: dict[str, dict[str, float]] = {}
    for w, name in enumerate(shape.names):
        if w != shape.loans:
            mine = {
                asset: int(book.balance[w, a, 0]) * unit
                for a, asset in enumerate(placed.assets)
                if book.balance[w, a, 0] or shape.isolates[w] >= 0
            }
            if mine:
                found[name] = mine
    return found


@dataclass(frozen=True)
class NewOrder:
    """An order to be tried: signed contracts, at the market or at a limit."""

    symbol: str
    contracts: float
    price: float | None = None
    side: str | None = None  # of the position, in hedge mode


def read_order(given: str | Mapping[str, Any]) -> NewOrder:
    """`SYMBOL CONTRACTS`, or with `@ PRICE`; or a table with these. InputError for anything else."""
    if isinstance(given, Mapping):
        known = ("symbol", "contracts", "price", "side")
        for key in given:
            if key not in known:
                raise InputError(f"add: unknown key {key!r}; {nearest(key, known)}")
        for key in ("symbol", "contracts"):
            if key not in given:
                raise InputError(f"add: {key!r} is missing; write symbol, contracts, and a price for a limit order")
        found = NewOrder(**given)
    elif not isinstance(given, str):
        raise InputError(f"add = {given!r}: write 'BTC/USDT:USDT -1', or a table with symbol and contracts")
    else:
        found = _typed_order(given)
    check_order(found)
    parts_of(found.symbol)
    if is_option(found.symbol):
        raise InputError(f"add: {found.symbol} is an option, whose orders are not tried; write a position instead")
    return found


def _typed_order(given: str) -> NewOrder:
    """An order as it is typed. InputError where it is none, or a number in it is none."""
    none = InputError(f"add: {given!r} is no order; write 'BTC/USDT:USDT -1' or 'BTC/USDT:USDT -1 @ 70000'")
    match = ORDER.fullmatch(given)
    if match is None:
        raise none
    symbol, contracts, price = match.groups()
    try:
        amount, limit = float(contracts), float(price) if price else None
    except ValueError:
        raise none from None
    return NewOrder(symbol, amount, limit)


def check_order(order: NewOrder) -> None:
    """InputError for an order whose words or numbers cannot be."""
    if not isinstance(order.symbol, str):
        raise InputError(f"add: symbol = {order.symbol!r}: write a symbol, such as 'BTC/USDT:USDT'")
    for name, value in (("contracts", order.contracts), ("price", order.price)):
        if value is None and name == "price":
            continue
        check_number(f"add: {name}", value)
    if not order.contracts:
        raise InputError(f"add: an order of {order.contracts:g} {order.symbol} changes nothing")
    if order.price is not None and order.price <= 0:
        raise InputError(f"add: price = {order.price:g}: a limit is above zero; leave it out for a market order")
    if order.side not in (None, "long", "short"):
        raise InputError(f"add: side = {order.side!r} is no side of a position; valid: long, short")


def with_order(placed: Placed, order: NewOrder) -> tuple[Placed, str]:
    """The account after the engine has judged and filled an order at today's prices, and what became of the order."""
    snapshot = at_prices(placed, placed.marks, placed.indexes)
    if order.symbol not in snapshot.symbols:
        snapshot = _speaking_of(placed, snapshot, order.symbol)
    before = place_snapshot(snapshot, fineness=1)
    if state_at(before, before.now().need) == "liquidate":
        return placed, f"order {order.symbol} {order.contracts:g}: not tried, the account is at its liquidation level"
    position = snapshot.symbols.index(order.symbol)
    for price in (float(before.marks[position]), order.price or float(before.marks[position])):
        check_order_amount("add", before.instruments[position], order.contracts, price)
    if before.plan.two_sided and order.side == "short":
        position += len(before.instruments)
    kind = MARKET if order.price is None else LIMIT
    number = int(before.book.count[ORDER_ROWS])
    steps = to_steps(order.contracts, f"order in {order.symbol}")
    place(before.book, -1, 0, position, int(kind), 0, number, steps, order.price or 0.0, 0.0)
    book = _live(before)
    after = place_snapshot(_read_back(before, book))
    return after, _told(book, number, order)


def _speaking_of(placed: Placed, snapshot: Snapshot, symbol: str) -> Snapshot:
    """The account with one more contract or pair in it, at the price it has or the one its coins make."""
    base, quote, *_ = parts_of(symbol)
    given, index = placed.snapshot.prices, {"USD": 1.0}
    for asset in (base, quote):
        known = snapshot.prices.get(asset, given.get(asset, 1.0 if asset in DOLLARS else None))
        if known is None and asset == base and symbol in given:
            known = given[symbol] * index.get(quote, snapshot.prices.get(quote, 1.0))
        if known is None:
            raise InputError(f"add: no price of {asset} for an order in {symbol}; write [prices] {asset} = ...")
        index[asset] = known
    more = {asset: price for asset, price in index.items() if asset != "USD"}
    prices = {**snapshot.prices, **more, symbol: given.get(symbol, index[base] / index[quote])}
    return snapshot.with_(prices=prices, instruments={symbol: {}, **snapshot.model_dump()["instruments"]})


def _live(placed: Placed) -> Book:
    """One bar of the engine at today's prices."""
    marks, indexes = placed.marks[:, None], placed.indexes[:, None]
    history = history_of(placed.snapshot.at_us, placed.instruments, placed.assets, marks, indexes)
    tape = placed.with_options(make_tape(history, np.zeros((1, 1), np.int64)), indexes)
    book = placed.book
    while advance(book, placed.rules, tape, 1, 1, -1, 0) != LIVED:
        book = grow(book)
    return book


def _read_back(placed: Placed, book: Book) -> Snapshot:
    """The account as the engine left it, as a snapshot."""
    n, positions = len(placed.instruments), []
    given = {placed.number(p): p for p in placed.snapshot.positions}
    for number in np.flatnonzero(book.contracts[:, 0]).tolist():
        instrument = placed.instruments[number % n]
        contracts, cost = amount_of(int(book.contracts[number, 0])), amount_of(int(book.cost[number, 0]))
        kept = given[number].model_dump() if number in given else {"symbol": instrument.symbol}
        changed = {"contracts": contracts, "size": None, "side": None, "mark": None, "margin": None}
        if instrument.kind != "option":
            size = instrument.contract_size
            changed["entry"] = -size * contracts / cost if instrument.kind == "inverse" else cost / contracts / size
        isolates = int(placed.rules.isolates[0, int(placed.rules.position_wallet[0, number])]) >= 0
        positions.append({**kept, **changed, "isolated": isolates})
    shape = placed.plan.shape
    loans = {
        asset: -amount_of(int(book.balance[shape.loans, a, 0]))
        for a, asset in enumerate(placed.assets)
        if shape.loans >= 0 and book.balance[shape.loans, a, 0] < 0
    }
    wallets = _wallets(placed, book) or {placed.plan.shape.names[0]: {placed.assets[0]: 0.0}}
    held, marks = {row["symbol"] for row in positions}, zip(placed.instruments, placed.marks.tolist(), strict=True)
    gone = {
        i.symbol: mark for i, mark in marks if i.kind != "spot" and i.symbol not in held
    }  # its wallet is there still
    return placed.snapshot.with_(
        wallets=wallets, positions=positions, loans=loans, orders=_waiting(placed, book), hedge=placed.plan.two_sided,
        prices={**gone, **placed.snapshot.prices},
        instruments={**{symbol: {} for symbol in gone}, **placed.snapshot.model_dump()["instruments"]},
    )  # fmt: skip


def _waiting(placed: Placed, book: Book) -> list[dict[str, Any]]:
    n, rows = len(placed.instruments), []
    for order in book.live[: book.count[LIVE_ORDERS]].tolist():
        row = book.order[order]
        rows.append(
            RestingOrder(
                symbol=placed.instruments[int(row[O_POSITION]) % n].symbol,
                contracts=amount_of(int(row[O_CONTRACTS] - row[O_FILLED])),
                price=float(book.order_price[order, PRICE]),
                position_side=("short" if row[O_POSITION] >= n else "long") if placed.plan.two_sided else None,
                reduce_only=bool(row[O_FLAGS] & REDUCE_ONLY),
            ).model_dump()
        )
    return rows


def _told(book: Book, number: int, order: NewOrder) -> str:
    """What became of the order, in words."""
    row = book.order[number]
    state, reason = STATE_NAMES[row[O_STATE]], REASON_NAMES[row[O_REASON]]
    filled = amount_of(int(row[O_FILLED]))
    at = f" @ {order.price:g}" if order.price is not None else ""
    words = f"order {order.symbol} {order.contracts:g}{at}: {state}"
    words += f" ({filled:g})" if filled and filled != order.contracts else ""
    words += f", {reason}" if reason else ""
    rungs = [RUNG_NAMES[int(rung)] for rung in book.incident[: book.count[INCIDENT_ROWS], N_RUNG]]
    return words + (f"; the venue acted first: {', '.join(rungs)}" if rungs else "")
