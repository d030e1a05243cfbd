"""One run, from a config to a result: load, align, plan the account, let the strategy drive, audit, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.config import Account, RunConfig, load_config
from backtest.engine.plan import Plan
from backtest.engine.session import Session
from backtest.engine.tape import TargetRows
from backtest.errors import InputError, nearest
from backtest.ledger.audit import audit
from backtest.market.align import align
from backtest.market.finer import FinerBars
from backtest.market.grid import Reader, when
from backtest.market.history import History
from backtest.market.joined import Joined
from backtest.market.room import MEMORY, Room
from backtest.market.routes import STABLE
from backtest.market.schema import parse_symbol
from backtest.market.settlements import HALF_HOUR_US
from backtest.market.store import Store
from backtest.report.frames import record_of
from backtest.report.result import Result
from backtest.research.accounts import borrow_rates, flows_of, interest_events, pay_in, plan_of, settlement_events
from backtest.research.drive import drive, target_rows
from backtest.research.happenings import deleveragings, with_outages
from backtest.research.notes import accounts_left_alone, cut_withdrawals, notes_of
from backtest.research.streaming import room_for
from backtest.research.tails import tail_of
from backtest.strategy.hooks import asking
from backtest.strategy.strategy import Strategy, load_strategy
from backtest.venues.load import load as load_venue
from backtest.venues.load import names

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
    stored: bool = True  # the history was read from the config's store
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
        if not isinstance(data, History):
            raise InputError(f"data = {type(data).__name__}: is no History; leave it out to read the config's store")
        numeraire = config.report.numeraire
        if numeraire != "USD" and numeraire not in data.assets:
            raise InputError(f"[report] numeraire = {numeraire!r}: {nearest(numeraire, ['USD', *data.assets])}")
        return Prepared(config, data, config.account[0].venue, stored=False)
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
        averaged_us=partial(delivery_average_us, asked),
    )
    history = with_outages(config, history)
    return Prepared(config, history, asked.venue, FinerBars(asked.reader, asked.venue, history, config.prices))


def delivery_average_us(asked: Asked, instrument: Instrument) -> int:
    """Over how long the venue that a dated future is of averages its index at the end; half an hour where its tables
    do not say.
    """
    home = asked.reader.home(instrument.symbol) if isinstance(asked.reader, Joined) else asked.venue
    known = load_venue(home).delivery_average_us(instrument) if home in names() else None
    return HALF_HOUR_US if known is None else known


def alive(instruments: Mapping[str, Instrument], config: RunConfig) -> dict[str, Instrument]:
    """The instruments that trade at some time of the run: a strategy chooses among those."""
    start, end = config.data.start_us, config.data.end_us
    found = {}
    for symbol, instrument in instruments.items():
        last = end if instrument.end_us is None else instrument.end_us
        if (instrument.listing_us or start) < end and last > start:
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
    return Result(record_of(session, config, notes, time.perf_counter() - started, prepared.stored))


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
