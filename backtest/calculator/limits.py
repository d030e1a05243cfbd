"""What an account cannot be: leverage above the venue's, amounts beyond the ledger, options in a grid without them.

A number that no venue would have let be is refused with what would do; one that was let be, and has since outgrown what
the venue opens, is told in a note.
"""

from __future__ import annotations

from collections.abc import Sequence

from backtest.calculator.instruments import balances_of
from backtest.calculator.snapshot import Snapshot
from backtest.errors import InputError
from backtest.market.schema import Instrument
from backtest.units import HEADROOM
from backtest.venues.brackets import SAME, highest_leverage, stated_leverage
from backtest.venues.schema import Mode, RuleSet


def check_options(snapshot: Snapshot, mode: Mode, rule_set: RuleSet, instruments: Sequence[Instrument]) -> None:
    """InputError for an option under scenarios that know none: the project's own grid moves coins and futures."""
    option = next((i.symbol for i in instruments if i.kind == "option"), None)
    if option is not None and mode.requirement in ("scenarios", "tail") and rule_set.portfolio is None:
        raise InputError(
            f"{option}: the grid of {snapshot.venue} in mode {snapshot.mode!r} moves coins and futures, not options; "
            "write model = \"span\" or model = \"tims\", or ask at venue 'deribit', 'bybit' or 'okx'"
        )


def check_leverage(
    snapshot: Snapshot, mode: Mode, rule_set: RuleSet, instruments: Sequence[Instrument], marks: Sequence[float]
) -> list[str]:
    """Notes on leverages that the venue allows, but no longer at the size held. InputError for one it never allows."""
    if mode.requirement != "tiers":
        return []
    notes, numbers = [], {instrument.symbol: i for i, instrument in enumerate(instruments)}
    default = snapshot.leverage.get("default", 1.0)
    asked = {order.symbol: snapshot.leverage.get(order.symbol, default) for order in snapshot.orders}
    asked |= {position.symbol: snapshot.leverage_of(position) for position in snapshot.positions}
    unsaid = [symbol for symbol in asked if not _says_leverage(snapshot, symbol)]
    for symbol, leverage in asked.items():
        i = numbers[symbol]
        highest = highest_leverage(rule_set, i)
        if highest is not None and leverage > highest * (1.0 + SAME):
            raise InputError(f"leverage of {symbol} = {leverage:g}: {snapshot.venue} allows {highest:g} at most")
        if rule_set.slopes and rule_set.slopes[i] is not None:
            continue
        if symbol in unsaid and instruments[i].kind in ("linear", "inverse"):
            notes.append(f"no leverage of {symbol}: taken as 1x, so that initial margin is the whole notional")
        if highest is None:
            continue
        size = _size(snapshot, rule_set, instruments[i], float(marks[i]))
        tier = [tier for tier in rule_set.tiers[i] if tier.floor <= size][-1]
        if leverage > (stated_leverage(tier) or leverage):
            notes.append(
                f"{symbol}: {snapshot.venue} allows {tier.max_leverage:g}x at this size, the account says {leverage:g}x"
            )
    return notes


def _says_leverage(snapshot: Snapshot, symbol: str) -> bool:
    """Whether the account says with which leverage it holds a symbol."""
    own = any(position.leverage for position in snapshot.positions if position.symbol == symbol)
    return own or symbol in snapshot.leverage or "default" in snapshot.leverage


def _size(snapshot: Snapshot, rule_set: RuleSet, instrument: Instrument, mark: float) -> float:
    """The larger side of a symbol as its brackets count it: notional in the settlement asset, or contracts."""
    worth = 1.0 if rule_set.terms.tier_by_contracts else abs(instrument.worth(mark))
    sizes = [abs(p.signed(instrument.contract_size)) for p in snapshot.positions if p.symbol == instrument.symbol]
    return max(sizes, default=0.0) * worth


def check_amounts(snapshot: Snapshot, instruments: Sequence[Instrument], marks: Sequence[float]) -> None:
    """InputError where what is held of an asset, with all its positions are worth, runs over the ledger's integers."""
    sums: dict[str, float] = {}
    for asset, amount in [*((a, x) for _, a, x in balances_of(snapshot)), *snapshot.loans.items()]:
        sums[asset] = sums.get(asset, 0.0) + abs(amount)
    by_symbol = {i.symbol: (i, float(mark)) for i, mark in zip(instruments, marks, strict=True)}
    for position in snapshot.positions:
        instrument, mark = by_symbol[position.symbol]
        contracts = abs(position.signed(instrument.contract_size))
        for word, price in (("entry", position.entry or mark), ("mark", mark)):
            value = contracts * abs(instrument.worth(price))
            if value > HEADROOM or contracts > HEADROOM:
                raise InputError(
                    f"{position.symbol}: {contracts:g} contracts at {word} = {price:g} are {value:g} "
                    f"{instrument.settle}; an account holds {HEADROOM:,} at most"
                )
            sums[instrument.settle] = sums.get(instrument.settle, 0.0) + value
    for order in snapshot.orders:
        instrument, _ = by_symbol[order.symbol]
        check_order_amount(f"order in {order.symbol}", instrument, order.contracts, order.price)
    for asset, amount in sums.items():
        if amount > HEADROOM:
            raise InputError(
                f"{asset}: balances and positions together are {amount:g}; an account holds {HEADROOM:,} at most"
            )


def check_order_amount(where: str, instrument: Instrument, contracts: float, price: float) -> None:
    """InputError for an order that is worth more than an account holds."""
    value = abs(contracts * instrument.worth(price))
    if value > HEADROOM:
        raise InputError(
            f"{where}: {contracts:g} contracts at {price:g} are {value:g} {instrument.settle}; an account holds "
            f"{HEADROOM:,} at most"
        )


def check_tiers(
    snapshot: Snapshot, rule_set: RuleSet, instruments: Sequence[Instrument], marks: Sequence[float]
) -> None:
    """InputError where a deduction of the account's own brackets is more than a position's bracket asks."""
    if rule_set.terms.tier_flat:
        return
    for i, instrument in enumerate(instruments):
        size = _size(snapshot, rule_set, instrument, float(marks[i]))
        reached = [tier for tier in rule_set.tiers[i] if tier.floor <= size]
        if size and reached and reached[-1].rate * size < reached[-1].deduction * (1.0 - SAME):
            raise InputError(
                f"rules.tiers.{instrument.symbol}: the deduction {reached[-1].deduction:g} is more than the "
                f"{reached[-1].rate * size:g} asked of {size:g}; leave the deduction out, it follows from the rates"
            )
