"""What an account speaks of: its contracts with their terms, its assets, and what it holds of each."""

from __future__ import annotations

from collections.abc import Sequence

from backtest.calculator.snapshot import Snapshot, Terms, parts_of, product_of
from backtest.market.schema import Instrument
from backtest.units import STEP
from backtest.venues.load import load, names

DOLLARS = ("USD", "USDT", "USDC", "FDUSD", "BUSD", "DAI")


def usual_size(snapshot: Snapshot, symbol: str) -> float:
    """Contract size where the account does not say: the venue's own where it is known, else 1."""
    return known_size(snapshot, symbol) or 1.0


def known_size(snapshot: Snapshot, symbol: str) -> float | None:
    """The venue's own size of a contract; None where its table has none."""
    if snapshot.venue not in names():
        return None
    venue = load(snapshot.venue)
    if product_of(symbol) != "inverse":
        return venue.brackets.size_of(symbol)
    return venue.inverse_sizes.get(parts_of(symbol)[0], venue.inverse_sizes.get("other"))


def instruments_of(snapshot: Snapshot) -> tuple[Instrument, ...]:
    """Every contract and pair the account holds or orders, made from its symbol and the terms beside it."""
    return tuple(instrument_of(snapshot, symbol) for symbol in snapshot.symbols)


def instrument_of(snapshot: Snapshot, symbol: str) -> Instrument:
    """One contract or pair by its symbol, with the terms that the account gives it."""
    base, quote, settle, expiry_us = parts_of(symbol)
    terms = snapshot.instruments.get(symbol) or Terms()
    return Instrument(
        symbol=symbol, kind=product_of(symbol), base=base, quote=quote, settle=settle or quote,
        contract_size=terms.contract_size or usual_size(snapshot, symbol), tick=terms.tick or 1e-8,
        lot=terms.lot or STEP, min_notional=terms.min_notional, listing_us=None, expiry_us=expiry_us,
        delisting_us=None, source="the snapshot",
    )  # fmt: skip


def sized(snapshot: Snapshot, symbol: str) -> bool:
    """Whether the account says how large a contract is."""
    terms = snapshot.instruments.get(symbol)
    return terms is not None and terms.contract_size is not None


def assets_of(snapshot: Snapshot, instruments: Sequence[Instrument]) -> tuple[str, ...]:
    """Every asset that is held, owed, settled in or moved with; settlement assets first."""
    held = [asset for _, asset, _ in balances_of(snapshot)]
    named = [i.settle for i in instruments] + held + list(snapshot.loans) + [i.base for i in instruments]
    quotes = [i.quote for i in instruments if i.quote != "USD"]
    return tuple(dict.fromkeys([*named, *quotes]))


def balances_of(snapshot: Snapshot) -> list[tuple[str | None, str, float]]:
    """(wallet or None where the mode decides, asset, amount)."""
    rows: list[tuple[str | None, str, float]] = []
    for key, amount in snapshot.wallets.items():
        if isinstance(amount, dict):
            rows += [(key, asset, units) for asset, units in amount.items()]
        else:
            rows.append((None, key, float(amount)))
    return rows
