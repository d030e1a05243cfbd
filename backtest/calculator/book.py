"""From a snapshot to what the engine reads: a plan, rules, a book that holds it, and a tape of the prices it is shown.

Amounts are kept in whole steps of 1e-8, which is coarse for a position of a thousandth of a coin. As every margin rule
is proportional to what is held, a small account is held a power of ten larger, its brackets and ceilings with it, and
the answer divided again: `fineness`. Where a rule counts absolute amounts of its own (a portfolio model), it is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.calculator.black import premium
from backtest.calculator.instruments import assets_of, balances_of, instruments_of, known_size, sized
from backtest.calculator.limits import check_amounts, check_leverage, check_options, check_tiers
from backtest.calculator.overrides import knowing_tiers, with_overrides
from backtest.calculator.prices import options_of, prices_of
from backtest.calculator.snapshot import Position, Snapshot
from backtest.engine.book import make_book
from backtest.engine.orders import place
from backtest.engine.plan import Plan
from backtest.engine.shape import shape_of
from backtest.engine.tables import make_rules
from backtest.engine.tape import make_tape
from backtest.engine.weigh import weigh
from backtest.errors import InputError
from backtest.kernel import plain
from backtest.margin.positions import bankrupt_at
from backtest.market.history import History
from backtest.market.schema import YEAR_US, Instrument
from backtest.state import FEE_TO_CLOSE, HERE, LIMIT, O_SEEN, ONE, REDUCE_ONLY, SCALED_COLUMNS, TAKER, Book, Rules, Tape
from backtest.units import HEADROOM, to_steps
from backtest.venues.load import load
from backtest.venues.schema import Mode, RuleSet
from backtest.venues.table import day

Floats = npt.NDArray[np.float64]
FINEST = 1_000_000
ROWS = 64


@dataclass(frozen=True)
class Weighed:
    """What was found at each of n sets of prices, USD: equity [n], need [n, wallet, 5], exposure [n, wallet, asset]."""

    equity: Floats
    need: Floats
    exposure: Floats
    asked: Floats  # [position, 2] initial and maintenance margin by tiers beside the others, in the settlement asset
    charge: Floats  # [asset, CHARGES] what a portfolio page charged each unit at the last set of prices
    cell: Floats  # [asset, CELL_ROWS, scenarios] and its scenario table


@dataclass
class Placed:
    """A snapshot laid out. `marks` [instrument] in quote currency and `indexes` [asset] in USD are its own prices."""

    snapshot: Snapshot
    mode: Mode
    plan: Plan
    rule_set: RuleSet  # as the venue and the account say it; the rules hold it `fineness` times larger
    instruments: tuple[Instrument, ...]
    assets: tuple[str, ...]
    marks: Floats
    indexes: Floats
    fineness: int
    rules: Rules
    book: Book
    forwards: Floats  # [instrument] of an option's expiry, in its quote currency; 0 where there is none
    volatilities: Floats  # [instrument] implied, a fraction a year
    notes: list[str] = field(default_factory=list)

    def weigh(self, marks: Floats, indexes: Floats, book: Book | None = None) -> Weighed:
        """Show the account n sets of prices: marks [instrument, n], indexes [asset, n]."""
        marks, indexes = np.ascontiguousarray(marks, float), np.ascontiguousarray(indexes, float)
        bars = marks.shape[1] if len(marks) else indexes.shape[1]
        history = history_of(self.snapshot.at_us, self.instruments, self.assets, marks, indexes)
        tape = self.with_options(make_tape(history, np.zeros((1, bars), np.int64)), indexes)
        book = self.book if book is None else book
        wallets, assets = book.balance.shape[:2]
        equity, need = np.zeros(bars), np.zeros((bars, wallets, SCALED_COLUMNS))
        exposure, asked = np.zeros((bars, wallets, assets)), np.zeros((len(book.contracts), 2))
        book.charge[:], book.cell[:] = 0.0, 0.0  # books made from one another share them
        weigh(equity, need, exposure, asked, book, self.rules, tape)
        for array in (equity, need, exposure, asked):
            array /= self.fineness
        return Weighed(equity, need, exposure, asked, book.charge.copy(), book.cell.copy())

    def with_options(self, tape: Tape, indexes: Floats) -> Tape:
        """The tape with implied volatilities and forwards of options in it; a forward follows its coin."""
        options = np.flatnonzero(self.forwards)
        if not len(options):
            return tape
        first, n, rows = len(tape.series), len(options), tape.option_row.copy()
        rows[options, 0], rows[options, 1] = first + np.arange(n), first + n + np.arange(n)
        forwards = np.array([self.forwards_at(int(i), indexes) for i in options])
        volatilities = np.repeat(self.volatilities[options, None], indexes.shape[1], axis=1)
        return tape._replace(
            series=np.ascontiguousarray(np.vstack([tape.series, volatilities, forwards])), option_row=rows
        )

    def forwards_at(self, i: int, indexes: Floats) -> Floats:
        """Forward of an option's expiry [n] at indexes [asset, n]: as far from the coin, in shares of it, as now."""
        a = self.assets.index(self.instruments[i].base)
        return np.asarray(self.forwards[i] * indexes[a] / self.indexes[a])

    def premiums_at(self, i: int, indexes: Floats) -> Floats:
        """Premium of an option [n] at other indexes: as marked, moved by as much as Black-76 moves."""
        instrument = self.instruments[i]
        years = max(0.0, ((instrument.expiry_us or 0) - self.snapshot.at_us) / YEAR_US)
        coined = instrument.settle == instrument.base
        terms = (instrument.strike, years, float(self.volatilities[i]), instrument.call, coined)
        now = premium(float(self.forwards[i]), *terms)
        moved = np.array([premium(float(f), *terms) for f in self.forwards_at(i, indexes)])
        return np.asarray(np.maximum(self.marks[i] + moved - now, 1e-12))

    def now(self, book: Book | None = None) -> Weighed:
        """At the snapshot's own prices."""
        return self.weigh(self.marks[:, None], self.indexes[:, None], book)

    @property
    def level(self) -> float:
        """Margin ratio at which the venue liquidates."""
        return float(self.rules.level[0, 0])

    @property
    def backing(self) -> list[int]:
        """Wallets that back something."""
        return [w for w, model in enumerate(self.plan.shape.model) if model]

    def number(self, position: Position) -> int:
        """Number of a position in the book: in hedge mode shorts come after every long."""
        i = [instrument.symbol for instrument in self.instruments].index(position.symbol)
        short = position.signed(self.instruments[i].contract_size) < 0
        return i + len(self.instruments) if short and self.plan.two_sided else i

    def with_only(self, position: int) -> Book:
        """A book with this position alone, its profit settled: nothing owed, nothing gained, nothing waiting."""
        book = self._emptied()
        i, wallet = int(self.rules.instrument[position]), int(self.rules.position_wallet[0, position])
        worth = self.instruments[i].worth(float(self.marks[i]))
        book.contracts[position, 0] = self.book.contracts[position, 0]
        book.cost[position, 0] = self.book.cost[position, 0]
        profit = book.contracts[position, 0] * worth - book.cost[position, 0]
        book.balance[wallet, self.rules.settlement[i], 0] = -int(np.rint(profit))
        return book

    def settled(self) -> Book:
        """A book whose profits and losses are cash and whose positions are gone: what is owed, and nothing more."""
        book = self._emptied()
        book.balance[:] = self.book.balance
        for number in np.flatnonzero(self.book.contracts[:, 0]).tolist():
            i, wallet = int(self.rules.instrument[number]), int(self.rules.position_wallet[0, number])
            worth = self.instruments[i].worth(float(self.marks[i]))
            profit = self.book.contracts[number, 0] * worth - self.book.cost[number, 0]
            book.balance[wallet, self.rules.settlement[i], 0] += int(np.rint(profit))
        return book

    def with_coin(self, wallet: int, asset: int, steps: int) -> Book:
        """A book with an amount of one asset in one wallet, and nothing else."""
        book = self._emptied()
        book.balance[wallet, asset, 0] = steps
        return book

    def _emptied(self) -> Book:
        changed = {
            name: np.zeros_like(getattr(self.book, name)) for name in ("balance", "contracts", "cost", "resting")
        }
        return self.book._replace(**changed, count=np.zeros_like(self.book.count))


def unsized(snapshot: Snapshot, instruments: Sequence[Instrument], rule_set: RuleSet) -> list[str]:
    """Notes where brackets are by number of contracts and nobody said how large one is."""
    if not rule_set.terms.tier_by_contracts:
        return []
    sizes = load(snapshot.venue).brackets
    return [
        f"no contract size of {i.symbol}: taken as 1 {i.base}; {snapshot.venue} finds brackets by number of contracts, "
        f'so write [instruments."{i.symbol}"] contract_size = ... or the margin may be that of another bracket'
        for i in instruments
        if i.kind == "linear" and not sized(snapshot, i.symbol) and sizes.size_of(i.symbol) is None
    ]


def place_snapshot(snapshot: Snapshot, fineness: int | None = None) -> Placed:
    """Lay a snapshot out. InputError where the venue does not offer the mode, or a price, rule or term is missing."""
    instruments = instruments_of(snapshot)
    assets = assets_of(snapshot, instruments)
    notes = [
        f"no contract size of {i.symbol}: taken as {i.contract_size:g} {i.quote}"
        for i in instruments
        if i.kind == "inverse" and not sized(snapshot, i.symbol) and known_size(snapshot, i.symbol) is None
    ]
    marks, indexes = prices_of(snapshot, instruments, assets, notes)
    forwards, volatilities = options_of(snapshot, instruments, assets, marks, indexes, notes)
    mode, rule_set = rules_of(snapshot, instruments, assets)
    check_options(snapshot, mode, rule_set, instruments)
    check_amounts(snapshot, instruments, marks.tolist())
    check_tiers(snapshot, rule_set, instruments, marks.tolist())
    notes += unsized(snapshot, instruments, rule_set)
    notes += check_leverage(snapshot, mode, rule_set, instruments, marks.tolist())
    notes += _of_another_day(snapshot, rule_set)
    plan = plan_of(snapshot, mode, rule_set, instruments, assets)
    k = fineness or fineness_of(snapshot, instruments, marks, rule_set)
    plan = replace(plan, sets=(finer(rule_set, k),))
    if mode.requirement == "tail":
        notes.append("the tail model has no past here: its scenario grid stands in, as while it warms up")
    history = history_of(snapshot.at_us, instruments, assets, marks[:, None], indexes[:, None])
    rules, rules_at = make_rules([plan], history)
    tape = make_tape(history, rules_at)
    book = make_book(rules, tape, record=True, rows=ROWS)
    placed = Placed(
        snapshot=snapshot, mode=mode, plan=plan, rule_set=rule_set, instruments=instruments, assets=assets, marks=marks,
        indexes=indexes, fineness=k, rules=rules, book=book, forwards=forwards, volatilities=volatilities, notes=notes,
    )  # fmt: skip
    _pay_in(placed)
    _open(placed)
    _rest(placed)
    return placed


def _of_another_day(snapshot: Snapshot, rule_set: RuleSet) -> list[str]:
    """Notes where the rules are not those of the account's own day."""
    found = []
    if snapshot.at is not None and snapshot.at > datetime.now(UTC):
        found.append(f"{day(snapshot.at_us)} lies ahead: the rules known today are taken")
    early = sorted({row.table for row in rule_set.rows if row.counterfactual})
    if early:
        found.append(f"of another day than the account's (counterfactual): {', '.join(early)}; see --rules")
    return found


def rules_of(snapshot: Snapshot, instruments: Sequence[Instrument], assets: Sequence[str]) -> tuple[Mode, RuleSet]:
    """The mode and the rules in force at the account's moment, with its own numbers in them."""
    venue = knowing_tiers(load(snapshot.venue), snapshot.rules, instruments)
    isolated = isolated_of(snapshot)
    at_us = snapshot.at_us
    mode = venue.offered(snapshot.mode, at_us, isolated, snapshot.counterfactual)
    (rule_set, *_) = venue.in_force(
        instruments, assets, snapshot.mode, at_us, at_us + 1, snapshot.outside, snapshot.counterfactual,
        isolated=isolated, model=snapshot.model,
    )  # fmt: skip
    return mode, with_overrides(rule_set, snapshot.rules, instruments, assets)


def isolated_of(snapshot: Snapshot) -> list[str]:
    """Symbols margined apart beside others; where the mode isolates everything nothing need be said."""
    return (
        [] if snapshot.mode == "isolated" else list(dict.fromkeys(p.symbol for p in snapshot.positions if p.isolated))
    )


def plan_of(
    snapshot: Snapshot, mode: Mode, rule_set: RuleSet, instruments: Sequence[Instrument], assets: Sequence[str]
) -> Plan:
    """The account's plan: its wallets, its leverages, no slippage and no guards."""
    shape = shape_of(mode, instruments, assets, isolated_of(snapshot), bool(snapshot.loans), rule_set.owes)
    leverage = {"default": snapshot.leverage.get("default", 1.0), **snapshot.leverage}
    for position in snapshot.positions:
        leverage[position.symbol] = snapshot.leverage_of(position)
    for asset in snapshot.collateral:
        if asset not in assets:
            raise InputError(f"collateral: {asset!r} is not in this account; it holds {', '.join(assets)}")
    off = frozenset(asset for asset, counts in snapshot.collateral.items() if not counts)
    return Plan(
        snapshot.name, snapshot.mode, mode, shape, (rule_set,), leverage, off=off, path="close", cuts=False,
        borrows=bool(snapshot.loans), two_sided=snapshot.two_sided,
    )  # fmt: skip


def fineness_of(snapshot: Snapshot, instruments: Sequence[Instrument], marks: Floats, rule_set: RuleSet) -> int:
    """The power of ten by which the account can be held larger without its steps running over."""
    if rule_set.portfolio is not None:
        return 1
    amounts = [abs(amount) for _, _, amount in balances_of(snapshot)] + list(snapshot.loans.values())
    by_symbol = {i.symbol: (i, float(mark)) for i, mark in zip(instruments, marks, strict=True)}
    for position in snapshot.positions:
        instrument, mark = by_symbol[position.symbol]
        contracts = abs(position.signed(instrument.contract_size))
        worth = abs(instrument.worth(min(mark, position.entry or mark)))
        worth = max(worth, abs(instrument.worth(max(mark, position.entry or mark))))
        amounts += [contracts, contracts * worth, abs(position.margin or 0.0)]
    amounts += [abs(order.contracts) for order in snapshot.orders]
    room, k = HEADROOM / max([16.0, *(16.0 * amount for amount in amounts), 4.0 * sum(amounts)]), 1
    while k < FINEST and 10 * k <= room:
        k *= 10
    return k


def finer(rule_set: RuleSet, k: int) -> RuleSet:
    """The same rules for an account held k times larger: every amount in them k times larger, every rate as it is."""
    if k == 1:
        return rule_set
    return replace(
        rule_set,
        tiers=tuple(
            tuple(replace(tier, floor=tier.floor * k, deduction=tier.deduction * k) for tier in tiers)
            for tiers in rule_set.tiers
        ),
        collateral=tuple(
            tuple(replace(s, floor_usd=s.floor_usd * k, deduction_usd=s.deduction_usd * k) for s in steps)
            for steps in rule_set.collateral
        ),
        overdraft_usd=tuple(usd * k for usd in rule_set.overdraft_usd),
        terms=replace(rule_set.terms, fixed_usd=rule_set.terms.fixed_usd * k),
        slopes=tuple(slope and replace(slope, per_coin=slope.per_coin / k) for slope in rule_set.slopes),
    )


def _pay_in(placed: Placed) -> None:
    """Balances where they lie, loans as debts of the loan wallet."""
    shape, book, assets = placed.plan.shape, placed.book, placed.assets
    for wallet, asset, amount in balances_of(placed.snapshot):
        a = assets.index(asset)
        w = shape.wallet(wallet, a) if wallet else shape.cash.get(a, shape.spot)
        book.balance[w, a, 0] += to_steps(amount * placed.fineness, f"wallet of {asset}")
    for asset, amount in placed.snapshot.loans.items():
        book.balance[shape.loans, assets.index(asset), 0] = -to_steps(amount * placed.fineness, f"loan of {asset}")


def _open(placed: Placed) -> None:
    """Positions with what they cost; an isolated one with the margin it was given, or what its leverage asked."""
    symbols = [position.symbol for position in placed.snapshot.positions]
    for symbol in symbols:
        if symbols.count(symbol) > 1 and symbol in placed.plan.shape.names:
            raise InputError(f"{symbol}: both sides of one contract, isolated, have wallets apart; ask of each alone")
    for position in placed.snapshot.positions:
        number = placed.number(position)
        i = int(placed.rules.instrument[number])
        instrument, mark = placed.instruments[i], float(placed.marks[i])
        contracts = position.signed(instrument.contract_size)
        at_entry = instrument.worth(position.entry or mark)
        if position.entry is None and instrument.kind != "option":
            placed.notes.append(f"no entry price of {position.symbol}: taken as its mark, no profit yet")
        placed.book.contracts[number, 0] = to_steps(contracts * placed.fineness, position.symbol)
        if not placed.book.contracts[number, 0]:
            placed.notes.append(
                f"{position.symbol}: {contracts:g} contracts are less than the smallest step, and count 0"
            )
        # The premium of an option was paid out of the balance: its whole worth is equity, as every venue shows it.
        cost = 0.0 if instrument.kind == "option" else contracts * at_entry
        placed.book.cost[number, 0] = to_steps(cost * placed.fineness, f"cost of {position.symbol}")
        wallet = int(placed.rules.position_wallet[0, number])
        if placed.rules.isolates[0, wallet] < 0:
            continue
        margin = position.margin
        if margin is None:
            if position.symbol in placed.snapshot.wallets:
                continue
            share, also = 1.0 / placed.plan.leverage_of(position.symbol), ""
            if placed.rules.term[HERE, FEE_TO_CLOSE]:
                taker = float(placed.rules.fee[HERE, i, TAKER])
                share += taker * float(plain(bankrupt_at)(placed.rules, i, HERE if contracts > 0.0 else ONE, share))
                also = ", and the fee to close it"
            margin = abs(contracts * at_entry) * share
            placed.notes.append(
                f"no margin of {position.symbol}: taken as its notional at entry over its leverage{also}"
            )
        placed.book.balance[wallet, placed.rules.settlement[i], 0] += to_steps(
            margin * placed.fineness, f"margin of {position.symbol}"
        )


def _rest(placed: Placed) -> None:
    """Waiting limit orders, accepted already."""
    symbols = [instrument.symbol for instrument in placed.instruments]
    for order in placed.snapshot.orders:
        i = symbols.index(order.symbol)
        position = i + len(symbols) if placed.plan.two_sided and order.position_side == "short" else i
        steps = to_steps(order.signed * placed.fineness, f"order in {order.symbol}")
        flags = int(REDUCE_ONLY) if order.reduce_only else 0
        number = place(placed.book, -1, 0, position, int(LIMIT), flags, 0, steps, order.price, 0.0)
        placed.book.order[number, O_SEEN] = 1


def history_of(
    at_us: int, instruments: tuple[Instrument, ...], assets: tuple[str, ...], marks: Floats, indexes: Floats
) -> History:
    """A history whose bars are sets of prices, all of one moment: nothing happens in it."""
    bars = marks.shape[1] if len(marks) else indexes.shape[1]
    none, nobody = np.zeros(0, np.int64), np.zeros(0)
    shape = (len(instruments), bars)
    price = dict.fromkeys(("open", "high", "low", "close"), marks)
    mark = dict.fromkeys(
        ("mark_open", "mark_low", "mark_high", "mark_close", "worst_low", "worst_high"), marks
    )  # fmt: skip
    index = dict.fromkeys(("index_open", "index_low", "index_high", "index_close"), indexes)
    fixed: dict[str, Any] = {**price, **mark, **index}
    return History(
        time=np.full(bars, at_us, np.int64), interval_us=3_600_000_000, instruments=instruments, assets=assets, **fixed,
        volume=np.full(shape, 1e12), mark_source=("mark",) * len(instruments), index_source=("index",) * len(assets),
        tradable=np.ones(shape, bool), funding_bar=none, funding_instrument=none, funding_rate=nobody,
        funding_price=nobody, funding_time=none, funding_flag=np.zeros(0, np.int8), delivery_bar=none,
        delivery_instrument=none, delivery_price=nobody, delivery_source=(), daily_volatility=np.zeros(shape),
        daily_volume=np.ones(shape), borrow_rate=np.zeros((len(assets), bars)), has_borrow=np.zeros(len(assets), bool),
        notes=(),
    )  # fmt: skip


def wallet_of(placed: Placed, position: int) -> int:
    """The wallet a position leans on."""
    return int(placed.rules.position_wallet[HERE, position])
