"""From an account as its owner wrote it to a plan the engine can live: mode, wallets, rule sets, choices, first
deposits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from backtest.config import Account, RunConfig
from backtest.config.account import Tail
from backtest.engine.plan import Plan
from backtest.engine.session import Session
from backtest.engine.shape import Shape, shape_of
from backtest.engine.tape import Event
from backtest.errors import InputError, nearest
from backtest.margin.tail import FEWEST
from backtest.market.grid import when
from backtest.market.history import History
from backtest.market.schema import DAY_US, HOUR_US
from backtest.state import FLOW, INTEREST, SETTLEMENT
from backtest.units import to_steps
from backtest.venues.brackets import SAME, highest_leverage
from backtest.venues.load import Venue, load
from backtest.venues.schema import CollateralTier, Mode, Row, RuleSet

Floats = npt.NDArray[np.float64]
NO_CAP = 1e12
SETTLED_AT_US = 8 * HOUR_US  # of the UTC day: OKX and Deribit


def plan_of(config: RunConfig, account: Account, history: History, unbound: bool = False) -> Plan:
    """The plan of one account. InputError where the venue did not offer the mode, a symbol is unknown to the run, a
    leverage is above the venue's, or a setting would do nothing under the mode.
    """
    plan = _plan(config, account, history, unbound)
    for setting, why in idle_settings(plan, account, history):
        raise InputError(f"account {account.name!r}: {setting} would do nothing: {why}; leave it out")
    check_leverage(plan, account, history)
    if plan.two_sided and all(instrument.kind == "spot" for instrument in history.instruments):
        raise InputError(
            f"account {account.name!r}: position_mode = 'hedge' would do nothing without a future; leave it out"
        )
    return plan


def idle_settings(plan: Plan, account: Account, history: History) -> list[tuple[str, str]]:
    """What the account asks for that does nothing in its mode, and why: `top_up`, `refill`, `borrow`, `tail`, and
    ratios of `collateral`.
    """
    shape, found = plan.shape, []
    shared = {w for w in shape.position_wallet if w >= 0 and shape.settle[w] >= 0 and shape.isolates[w] < 0}
    if account.top_up is not None and not any(position >= 0 for position in shape.isolates):
        found.append(("top_up", f"no position of this run is isolated under {account.margin!r}"))
    if account.refill is not None and not shared:
        found.append(("refill", f"no futures wallet lies apart from the spot wallet under {account.margin!r}"))
    if account.borrow and all(rate is None for rate in borrow_rates(plan, history)):
        lent = any(np.isfinite(each) for rule_set in plan.sets for each in rule_set.borrow_initial)
        why = "no borrow rate of this run's assets is known (import a borrow series)" if lent else "nothing is lent"
        found.append(("borrow", f"{why} at {account.venue} under {account.margin!r}"))
    if account.tail is not None and plan.mode.requirement != "tail":
        found.append(("tail", f"{account.margin!r} at {account.venue} is margined by {plan.mode.requirement}"))
    if ratios_of(account) and plan.mode.collateral == "settlement":
        found.append(("collateral", f"under {account.margin!r} a position is backed by the coin it settles in alone"))
    return found


def ratios_of(account: Account) -> dict[str, float]:
    """Collateral ratios of the account's own, by asset."""
    return {asset: ratio for asset, ratio in account.collateral.items() if not isinstance(ratio, bool)}


def without_idle(
    config: RunConfig, account: Account, history: History, unbound: bool = False
) -> tuple[Account, list[str]]:
    """The account less what would do nothing under its mode, and a note for each: one account, compared under modes."""
    asked = account.top_up, account.refill, account.tail, account.borrow or None, ratios_of(account) or None
    if all(each is None for each in asked):
        return account, []
    idle = idle_settings(_plan(config, account, history, unbound), account, history)
    counted = {asset: counts for asset, counts in account.collateral.items() if isinstance(counts, bool)}
    off = {"top_up": None, "refill": None, "tail": None, "borrow": False, "collateral": counted}
    changed = account.model_copy(update={setting: off[setting] for setting, _ in idle})
    return changed, [f"{account.name}: {setting} left out: {why}" for setting, why in idle]


def check_leverage(plan: Plan, account: Account, history: History) -> None:
    """InputError for a leverage above what the venue allowed the instrument's smallest position at the start."""
    if plan.mode.requirement != "tiers":
        return
    for i, instrument in enumerate(history.instruments):
        leverage, highest = account.leverage_of(instrument.symbol), highest_leverage(plan.sets[0], i)
        if highest is not None and leverage > highest * (1.0 + SAME):
            raise InputError(
                f"account {account.name!r}: leverage {leverage:g} of {instrument.symbol} is above the {highest:g} that "
                f"{account.venue} allowed on {when(int(history.time[0]))[:10]}; write leverage = "
                f'{{ "{instrument.symbol}" = {highest:g} }} or less'
            )


def _plan(config: RunConfig, account: Account, history: History, unbound: bool) -> Plan:
    venue = load(account.venue)
    hedge = account.position_mode == "hedge"
    if hedge and not (venue.hedge_mode or config.rules.counterfactual):
        raise InputError(
            f"account {account.name!r}: position_mode = 'hedge', but no page says that {account.venue} holds a long "
            "and a short of one contract side by side; leave it out, or set [rules] counterfactual = true"
        )
    start_us, end_us = int(history.time[0]), int(history.time[-1]) + 1
    try:
        mode = venue.offered(account.margin, start_us, account.isolated, config.rules.counterfactual)
        sets = venue.in_force(
            history.instruments,
            history.assets,
            account.margin,
            start_us,
            end_us,
            config.rules.outside,
            config.rules.counterfactual,
            isolated=account.isolated,
            model=account.model,
        )
    except InputError as error:
        raise InputError(f"account {account.name!r}: {error}") from None
    mode = with_requirement(venue, account, mode, any(rule_set.scenario for rule_set in sets))
    if account.model is not None and mode.requirement != "scenarios":
        raise InputError(
            f"account {account.name!r}: model = {account.model!r} is one of scenarios, but {account.margin!r} at "
            f"{account.venue} is margined by {mode.requirement}; leave it out, or use venue 'generic' and 'portfolio'"
        )
    check_symbols(account, history)
    sets = tuple(with_ratios(with_tail(rule_set, account.tail), account, history.assets) for rule_set in sets)
    owes = any(rule_set.owes for rule_set in sets)
    shape = shape_of(mode, history.instruments, history.assets, account.isolated, account.borrow, owes, hedge)
    guards, execution, top_up, refill = config.guards, config.execution, account.top_up, account.refill
    return Plan(
        name=account.name,
        preset=account.margin,
        mode=mode,
        shape=shape,
        sets=sets,
        leverage=account.leverage,
        off=frozenset(asset for asset, counts in account.collateral.items() if counts is False),
        slippage=execution.slippage_bps / 10_000,
        volume_share=execution.volume_share,
        guard_ratio=guards.min_margin_ratio or 0.0,
        guard_use=guards.max_utilization or np.inf,
        top_up=(top_up.trigger, top_up.target, top_up.cap or NO_CAP) if top_up else (0.0, 0.0, 0.0),
        refill=(refill.trigger, refill.target, refill.cost_bps / 10_000) if refill else (0.0, 0.0, 0.0),
        refill_sells=bool(refill and refill.sell),
        refill_delay_us=refill.delay_us if refill else 0,
        transfer_cost=account.transfer.cost,
        transfer_delay_us=account.transfer.delay_us,
        path=execution.path,
        unbound=unbound,
        cuts=execution.refusal == "cut",
        auto_transfer=account.auto_transfer,
        borrows=account.borrow,
        two_sided=hedge,
        touch=execution.limit_touch,
    )


def with_tail(rule_set: RuleSet, chosen: Tail | None) -> RuleSet:
    """The rule set with the account's own numbers of the tail model, each a row of the journal."""
    if chosen is None or rule_set.scenario is None or rule_set.scenario.tail is None:
        return rule_set
    own = chosen.model_dump(exclude_none=True)
    rows = tuple(
        Row("account", f"tail {name}", value, rule_set.start_us, "the config", "") for name, value in own.items()
    )
    tail = replace(rule_set.scenario.tail, **own)
    moves, least = tail.window_days // tail.horizon_days, FEWEST * tail.horizon_days
    if moves < FEWEST:
        raise InputError(
            f"tail: a window of {tail.window_days} days holds {moves} moves of {tail.horizon_days}, and the model waits"
            f" for {FEWEST}; write window_days = {least} or more"
        )
    scenario = replace(rule_set.scenario, tail=tail)
    return replace(rule_set, scenario=scenario, rows=(*rule_set.rows, *rows))


def with_ratios(rule_set: RuleSet, account: Account, assets: Sequence[str]) -> RuleSet:
    """The rule set with the account's own collateral ratios, each a row of the journal: not what the venue had."""
    own = ratios_of(account)
    if not own:
        return rule_set
    collateral, by_quantity = list(rule_set.collateral), list(rule_set.collateral_by_quantity)
    for asset, ratio in own.items():
        collateral[assets.index(asset)] = (CollateralTier(0.0, ratio),)
        if by_quantity:
            by_quantity[assets.index(asset)] = False
    rows = tuple(
        Row("account", f"collateral {asset}", ratio, rule_set.start_us, "the config", "", counterfactual=True)
        for asset, ratio in own.items()
    )
    return replace(
        rule_set, collateral=tuple(collateral), collateral_by_quantity=tuple(by_quantity), rows=(*rule_set.rows, *rows)
    )


def with_requirement(venue: Venue, account: Account, mode: Mode, has_scenarios: bool) -> Mode:
    """The mode under the requirement the account asks for, where the venue has such a model."""
    if account.requirement in (None, mode.requirement):
        return mode
    if account.requirement == "tiers" or not has_scenarios:
        raise InputError(
            f"account {account.name!r}: {venue.name} does not margin {account.margin!r} by {account.requirement}; "
            f"leave `requirement` out ({mode.requirement}), or use venue 'generic'"
        )
    return replace(mode, requirement=str(account.requirement))


def check_symbols(account: Account, history: History) -> None:
    """Leverages and collateral switches must name what is in the run."""
    symbols = [instrument.symbol for instrument in history.instruments]
    for symbol in account.leverage:
        if symbol != "default" and symbol not in symbols:
            raise InputError(
                f"account {account.name!r}: leverage names {symbol!r}, not in this run; {nearest(symbol, symbols)}"
            )
    for asset in account.collateral:
        if asset not in history.assets:
            raise InputError(f"account {account.name!r}: collateral names {asset!r}; {nearest(asset, history.assets)}")


def wallet_of_deposit(shape: Shape, history: History, asset: str, wallet: str | None) -> int:
    """Where a deposit goes: as written; else to the futures wallet of a settlement asset, else to spot."""
    if asset not in history.assets:
        raise InputError(f"{asset} is not in this run, and cannot be paid in or out; {nearest(asset, history.assets)}")
    a = history.assets.index(asset)
    return shape.wallet(wallet, a) if wallet else shape.cash.get(a, shape.spot)


def pay_in(session: Session, account: Account, k: int) -> None:
    """The first deposits."""
    for wallet, asset, amount in account.deposits():
        session.deposit(k, wallet_of_deposit(session.plans[k].shape, session.history, asset, wallet), asset, amount)


def flows_of(account: Account, plan: Plan, history: History, k: int) -> list[Event]:
    """Scheduled deposits and withdrawals, at the first bar that opens at or after their time."""
    events = []
    for flow in account.flows:
        bar = int(np.searchsorted(history.time, flow.time_us))
        if bar >= len(history.time):
            raise InputError(
                f"account {account.name!r}: a flow of {flow.amount:g} {flow.asset} at {flow.time:%Y-%m-%d %H:%M} comes "
                f"with the next bar, and the run's last bar opens {when(int(history.time[-1]))}; choose that or before"
            )
        steps = to_steps(flow.amount, f"flow of {flow.asset}")
        wallet = wallet_of_deposit(plan.shape, history, flow.asset, flow.wallet)
        events.append(Event(bar, int(FLOW), history.assets.index(flow.asset), k, float(steps), float(wallet)))
    return events


def interest_events(plans: Sequence[Plan], history: History, rates: Sequence[Sequence[Floats | None]]) -> list[Event]:
    """Loans pay each full hour (or each bar, if longer), and what a unified wallet owes as well at some venues; at the
    others that pays the day at 00:00 UTC. Nothing where no rate is known.
    """
    if all(rate is None for account in rates for rate in account):
        return []
    hourly = any(plan.borrows or owes_by_the_hour(plan) for plan in plans)
    hours = float(max(1, history.interval_us // HOUR_US)) if hourly else 0.0
    every, parts = HOUR_US if hourly else DAY_US, history.room.parts(len(history.time))
    due = np.concatenate([part.start + np.flatnonzero(history.time[part] % every == 0) for part in parts])
    return [
        Event(int(bar), int(INTEREST), first=hours, second=24.0 if opens % DAY_US == 0 else 0.0)
        for bar, opens in zip(due, history.room.take(history.time, due), strict=True)
        if bar > 0
    ]


def owes_by_the_hour(plan: Plan) -> bool:
    """Whether what a unified wallet of the account owes, open losses included, pays by the hour on some date."""
    return any(rule_set.terms.interest_hourly for rule_set in plan.sets)


def settlement_events(plans: Sequence[Plan], history: History) -> list[Event]:
    """When profits of open positions become cash, by account and instrument, at the mark: at its funding stamps, or at
    the first open at or after 08:00 UTC each day; never where the venue realises profit at closing. Cross positions
    alone are settled by the day: OKX leaves isolated ones as they are, and Deribit has none.
    """
    events = []
    for k, plan in enumerate(plans):
        for i in range(len(history.instruments)):
            words = [rule_set.settled[i] if rule_set.settled else "" for rule_set in plan.sets]
            if any(words):
                stamps = [*_at_funding(history, i), *(_daily(history, i) if is_cross(plan, i) else ())]
                in_force = [words[set_at(plan, int(history.time[bar]))] for bar, _, _ in stamps]
                events += [
                    Event(bar, int(SETTLEMENT), i, k, price)
                    for (bar, price, word), wanted in zip(stamps, in_force, strict=True)
                    if word == wanted
                ]
    return events


def is_cross(plan: Plan, i: int) -> bool:
    """Whether an instrument's positions lean on a shared wallet."""
    return plan.shape.isolates[plan.shape.position_wallet[i]] < 0


def set_at(plan: Plan, time_us: int) -> int:
    """Which of the plan's rule sets is in force."""
    return max(0, sum(rule_set.start_us <= time_us for rule_set in plan.sets) - 1)


def _at_funding(history: History, i: int) -> list[tuple[int, float, str]]:
    mine = np.flatnonzero(history.funding_instrument == i)
    return [(int(history.funding_bar[k]), float(history.funding_price[k]), "funding") for k in mine]


def _daily(history: History, i: int) -> list[tuple[int, float, str]]:
    first = -(-(int(history.time[0]) - SETTLED_AT_US) // DAY_US) * DAY_US + SETTLED_AT_US
    stamps = np.arange(first, int(history.time[-1]) + 1, DAY_US)
    bars = np.unique(np.searchsorted(history.time, stamps))
    marks = history.room.take(history.mark_open[i], bars)
    return [(int(bar), float(mark), "daily") for bar, mark in zip(bars, marks, strict=True)]


def borrow_rates(plan: Plan, history: History) -> list[Floats | None]:
    """Hourly rate by asset and bar for one account: the store's series, else its venue's; None where neither is known,
    or the venue lends nothing in the mode.
    """
    starts, rates = np.array([rule_set.start_us for rule_set in plan.sets]), list[Floats | None]()

    def in_force(part: slice) -> npt.NDArray[np.int64]:
        return np.maximum(0, np.searchsorted(starts, history.time[part], side="right") - 1)

    sets = in_force(slice(0, 1))[0], in_force(slice(-1, None))[0] + 1
    for a in range(len(history.assets)):
        stated = np.array([rule_set.borrow_hourly[a] for rule_set in plan.sets])
        rate: Floats | None = None
        if not any(np.isfinite(rule_set.borrow_initial[a]) for rule_set in plan.sets):
            rate = None  # nothing is lent
        elif history.has_borrow[a]:
            rate = history.borrow_rate[a]
        elif np.isfinite(stated[slice(*sets)]).all():
            rate = history.room.filled(len(history.time), partial(_stated, stated, in_force))
        rates.append(rate)
    return rates


def _stated(rates: Floats, in_force: Callable[[slice], npt.NDArray[np.int64]], part: slice) -> Floats:
    """The rate of the rule set in force at each bar."""
    return rates[in_force(part)]
