"""One run, from a config to a result: load, align, plan the account, let the strategy drive, audit, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.config import Account, RunConfig, load_config
from backtest.engine.session import Session
from backtest.engine.tables import Plan
from backtest.engine.tape import TargetRows
from backtest.errors import InputError, nearest
from backtest.ledger.audit import audit
from backtest.ledger.kinds import WITHDRAWAL
from backtest.market.align import align
from backtest.market.finer import FinerBars
from backtest.market.grid import Reader, when
from backtest.market.history import History
from backtest.market.joined import Joined
from backtest.market.room import MEMORY, Room
from backtest.market.routes import STABLE
from backtest.market.schema import INTERVALS, parse_symbol
from backtest.market.store import Store
from backtest.report.frames import record_of
from backtest.report.result import Result
from backtest.research.accounts import borrow_rates, flows_of, interest_events, pay_in, plan_of, settlement_events
from backtest.research.drive import drive, target_rows
from backtest.research.happenings import deleveragings, with_outages
from backtest.research.streaming import room_for
from backtest.research.tails import tail_of
from backtest.state import (
    L_ACCOUNT,
    L_AMOUNT,
    L_ASSET,
    L_BAR,
    L_KIND,
    L_WALLET,
    LEDGER_ROWS,
    O_ACCOUNT,
    ORDER_ROWS,
)  # fmt: skip
from backtest.strategy.hooks import asking, overrides
from backtest.strategy.strategy import Strategy, load_strategy
from backtest.units import STEP

if TYPE_CHECKING:
    from backtest.market.schema import Instrument

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """A run ready to be lived: its config, its strategy's class and the aligned history."""

    config: RunConfig
    history: History
    venue: str
    finer: FinerBars | None = None  # of bars whose survival hangs on the reading of their path
    turn: int | None = None  # one of many runs of a strategy: at which cut alone its table is checked for looking ahead
    targets: TargetRows | None = None  # the strategy's table, where it has been made and checked before

    def strategy(self) -> Strategy:
        """A fresh strategy with the config's parameters."""
        return load_strategy(self.config.strategy.class_, self.config.strategy.params)


def run(
    config: str | Path | Mapping[str, Any] | RunConfig, *, data: History | None = None, progress: Progress | None = None
) -> Result:
    """Run a strategy from a config (a path, a mapping or a RunConfig).

    `data`: a history already aligned, instead of the config's store. `progress(done, bars)` is called now and then.
    InputError for anything wrong in the config, the store or the strategy's own answers.
    """
    return live(prepare(config, data), progress)


def prepare(config: str | Path | Mapping[str, Any] | RunConfig, data: History | None = None) -> Prepared:
    """Load the config and align the history its strategy asks for."""
    config = config if isinstance(config, RunConfig) else load_config(config)
    if data is not None:
        numeraire = config.report.numeraire
        if numeraire != "USD" and numeraire not in data.assets:
            raise InputError(f"[report] numeraire = {numeraire!r}: {nearest(numeraire, ['USD', *data.assets])}")
        return Prepared(config, data, config.account[0].venue)
    asked = asked_by(config, Store(config.data.folder))
    return read(config, asked, room_for(config, len(asked.symbols), len(asked.assets)))


@dataclass(frozen=True)
class Asked:
    """What a run has to know of the market: from where, under which venue's name, of which symbols and assets."""

    reader: Reader
    venue: str
    symbols: list[str]
    assets: list[str]


def asked_by(config: RunConfig, store: Store) -> Asked:
    """What the strategy of a config asks for. InputError where the store cannot have it."""
    reader, venue = reader_of(store, config)
    instruments = alive(reader.instruments(venue), config)
    if not instruments:
        start, end = when(config.data.start_us), when(config.data.end_us)
        raise InputError(f"no instrument of the store was listed between {start} and {end}; choose another span")
    strategy = load_strategy(config.strategy.class_, config.strategy.params)
    symbols = symbols_of(strategy, instruments)
    assets = assets_of(symbols, instruments, config)
    check_routes(config, assets)
    return Asked(reader, venue, symbols, assets)


def read(config: RunConfig, asked: Asked, room: Room = MEMORY) -> Prepared:
    """Read and align what was asked for, into this room."""
    history = align(
        asked.reader,
        asked.venue,
        asked.symbols,
        asked.assets,
        config.data.start_us,
        config.data.end_us,
        config.data.interval,
        config.prices,
        config.funding,
        room,
    )
    history = with_outages(config, history)
    return Prepared(config, history, asked.venue, FinerBars(asked.reader, asked.venue, history, config.prices))


def alive(instruments: Mapping[str, Instrument], config: RunConfig) -> dict[str, Instrument]:
    """The instruments that trade at some time of the run: a strategy chooses among those."""
    start, end = config.data.start_us, config.data.end_us
    found = {}
    for symbol, instrument in instruments.items():
        ends = [each for each in (instrument.expiry_us, instrument.delisting_us) if each is not None]
        if (instrument.listing_us or start) < end and min(ends, default=end) > start:
            found[symbol] = instrument
    return found


def reader_of(store: Store, config: RunConfig) -> tuple[Reader, str]:
    """Where the run's history is read from, and under which venue's name."""
    if config.data.venues:
        joined = Joined(store, config.data.venues)
        return joined, joined.name
    return store, venue_of_data(store, config.account)


def venue_of_data(store: Store, accounts: Sequence[Account]) -> str:
    """The venue whose data the run reads: the accounts' own if the store has it, else the store's only one."""
    known = store.venues()
    for account in accounts:
        if account.venue in known:
            return account.venue
    if len(known) == 1:
        return known[0]
    raise InputError(
        f"the store has no data of {accounts[0].venue!r}; {nearest(accounts[0].venue, known)}; "
        f"or say whose history it is: [data] venues = {known[:2]}"
    )


def symbols_of(strategy: Strategy, instruments: Mapping[str, Instrument]) -> list[str]:
    """The symbols the strategy asks for, spot first. InputError for one the store has not."""
    with asking(strategy, "symbols"):
        named: object = strategy.symbols(dict(instruments))
        if not isinstance(named, list | tuple) or not all(isinstance(each, str) for each in named):
            raise InputError(f"it gave {named!r}; give a list of symbols, such as {list(instruments)[:1]}")
    wished: list[str] = list(dict.fromkeys(named))
    for symbol in wished:
        if symbol not in instruments:
            raise InputError(
                f"the strategy asks for {symbol!r}, which the store has not, or not in this span; "
                f"{nearest(symbol, instruments)}"
            )
    if not wished:
        raise InputError("the strategy asks for no instrument that the store has; check its parameters")
    return sorted(wished, key=lambda symbol: (instruments[symbol].kind != "spot", wished.index(symbol)))


def assets_of(symbols: Sequence[str], instruments: Mapping[str, Instrument], config: RunConfig) -> list[str]:
    """Every asset whose value matters: bases, settlements, spot quotes, what is deposited, and what results are
    counted in; dollars first.
    """
    names: list[str] = []
    for symbol in symbols:
        terms = instruments[symbol]
        names += [terms.settle, terms.base] + ([terms.quote] if terms.kind != "inverse" else [])
    for account in config.account:
        names += [asset for _, asset, _ in account.deposits()] + [flow.asset for flow in account.flows]
    known = {asset for terms in instruments.values() for asset in (terms.base, terms.quote, terms.settle)}
    names += [config.report.numeraire] if config.report.numeraire != "USD" else []
    for name in names:
        if name not in known and name.upper() in {*known, "USD"}:
            raise InputError(f"{name!r} is no asset of this run; did you mean {name.upper()!r}?")
    found = list(dict.fromkeys(names))
    return sorted(found, key=lambda asset: (not asset.startswith("USD"), found.index(asset)))


def check_routes(config: RunConfig, assets: Sequence[str]) -> None:
    """InputError for a route of an asset that this run never values: it would do nothing."""
    routes = config.prices.routes
    between = [parse_symbol(route)[1] for route in routes.values() if isinstance(route, str)]
    known = {*assets, *between, *STABLE}
    for asset in routes:
        if asset not in known:
            raise InputError(f"[prices.routes] {asset}: no asset of this run; {nearest(asset, known)}")


def live(prepared: Prepared, progress: Progress | None = None) -> Result:
    """Live through a prepared run and record it."""
    started = time.perf_counter()
    config, history = prepared.config, prepared.history
    strategy = prepared.strategy()
    plans = [plan_of(config, account, history) for account in config.account]
    targets = prepared.targets or target_rows(strategy, history, prepared.turn)
    session = open_session(config, history, plans, targets, prepared.finer)
    drive(strategy, session, progress)
    history.room.settle()
    audit(session.book)
    notes = [*accounts_left_alone(strategy, session), *notes_of(session), *cut_withdrawals(config, session)]
    return Result(record_of(session, config, notes, time.perf_counter() - started))


def open_session(
    config: RunConfig,
    history: History,
    plans: Sequence[Plan],
    targets: TargetRows | None = None,
    finer: FinerBars | None = None,
) -> Session:
    """A session of the planned accounts with their money paid in.

    InputError for a table of targets in hedge mode: a row says one number a symbol, and there are two positions.
    """
    for plan in plans if targets is not None else ():
        if plan.two_sided:
            raise InputError(
                f"account {plan.name!r}: position_mode = 'hedge' and a strategy of `targets`, which name one position "
                "a symbol; write the strategy with on_bar and position_side, or leave position_mode out"
            )
    flows = [event for k, account in enumerate(config.account) for event in flows_of(account, plans[k], history, k)]
    rates = [borrow_rates(plan, history) for plan in plans]
    session = Session(
        history,
        plans,
        [
            *flows,
            *settlement_events(plans, history),
            *interest_events(plans, history, rates),
            *deleveragings(config, history),
        ],
        targets,
        rates,
        tail_of(plans, history),
        finer,
    )
    for k, account in enumerate(config.account):
        pay_in(session, account, k)
    return session


def notes_of(session: Session) -> list[str]:
    """What a reader of the result must know: assumed numbers, counterfactual rules, debts without interest."""
    notes = []
    for k, plan in enumerate(session.plans):
        for asset in debts_without_rate(session, k):
            notes.append(f"account {plan.name}: owed {asset} at times; no borrow rate is known, so it paid no interest")
        rows = [row for rule_set in plan.sets for row in rule_set.rows]
        notes += bars_looked_into(session, k)
        if plan.top_up[0] > 0.0:
            notes.append(f"account {plan.name}: lowest ratios of bars with a top-up are those without it")
        if any(row.assumed for row in rows):
            many = len({(row.table, row.key) for row in rows if row.assumed})
            notes.append(f"account {plan.name}: {many} venue numbers are assumed, see the manifest's rules")
        if plan.mode.counterfactual or any(row.counterfactual for row in rows):
            notes.append(f"account {plan.name}: COUNTERFACTUAL rules, not what the venue had on those dates")
    return notes


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
            paid = -float(ledger[mine & (ledger[:, L_KIND] == WITHDRAWAL), L_AMOUNT].sum()) * STEP
            if paid < -flow.amount - STEP:
                words = f"of {-flow.amount:,.8g} {flow.asset} asked for at {when(flow.time_us)}, {paid:,.8g} were free"
                notes.append(f"account {account.name}: withdrawal: {words}")
    return notes


def bars_looked_into(session: Session, k: int) -> list[str]:
    """Which bars, undecided by their low and high alone, were lived through on finer ones."""
    mine = [each for each in session.looked_into if each.account == k]
    if not mine:
        return []
    lengths = sorted({text for each in mine for text, us in INTERVALS.items() if us == each.interval_us})
    first = when(int(session.history.time[mine[0].bar]))
    words = f"{len(mine)} bar(s) whose path could decide survival were lived through on {' and '.join(lengths)} bars"
    return [f"account {session.plans[k].name}: {words}, the first {first}"]


def debts_without_rate(session: Session, k: int) -> list[str]:
    """Assets of which a wallet of the account has been below zero, and for which nobody says what that costs."""
    rows, shape = session.book.ledger[: session.book.count[LEDGER_ROWS]], session.plans[k].shape
    rows = rows[rows[:, L_ACCOUNT] == k]
    found = set[int]()
    for wallet, model in enumerate(shape.model):
        if model and shape.settle[wallet] < 0:
            mine = rows[rows[:, L_WALLET] == wallet]
            mine = mine[np.argsort(mine[:, L_ASSET], kind="stable")]
            first = np.flatnonzero(np.diff(mine[:, L_ASSET], prepend=-1))
            for start, steps in zip(first.tolist(), np.split(mine[:, L_AMOUNT], first)[1:], strict=True):
                asset = int(mine[start, L_ASSET])
                if session.tape.borrow_row[k, asset] < 0 and np.cumsum(steps).min() < 0:
                    found.add(asset)
    return [session.history.assets[asset] for asset in sorted(found)]
