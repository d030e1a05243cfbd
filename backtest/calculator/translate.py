"""A book in another venue's dollar: the same coins, with one stablecoin in the place of another.

`BTC/USDT:USDT` at one venue is `BTC/USDC:USDC` at the next. Where a venue knows a contract only in the other dollar,
every amount of the first dollar becomes the second's at what both are worth, so that no coin, profit or balance changes
its value in USD. Nothing else is renamed: a contract that pays in the coin is another contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backtest.calculator.snapshot import parts_of
from backtest.errors import InputError
from backtest.market.schema import Instrument
from backtest.venues.load import Venue
from backtest.venues.table import day

STABLE = ("USDT", "USDC")


def in_dollar(symbol: str, old: str, new: str) -> str:
    """A symbol with one dollar in the place of another, as quote and as settlement asset."""
    pair, colon, rest = symbol.partition(":")
    base, _, quote = pair.partition("/")
    settle, dash, expiry = rest.partition("-")
    return f"{base}/{new if quote == old else quote}{colon}{new if settle == old else settle}{dash}{expiry}"


def dollars_at(
    venue: Venue, mode: str, at_us: int, held: Sequence[Instrument], outside: str = "refuse"
) -> dict[str, str]:
    """Which dollar stands for which at a venue, so that it knows every contract held; empty where it knows them as
    they are. InputError, one short line, names the first contract it does not have in any dollar.
    """

    def knows(instrument: Instrument, symbol: str) -> bool:
        base, quote, settle, expiry_us = parts_of(symbol)
        terms = (symbol, instrument.kind, base, quote, settle or quote, instrument.contract_size, instrument.tick)
        told = Instrument(*terms, instrument.lot, 0.0, None, expiry_us, None, instrument.source)
        return venue.lists(told, mode, at_us, outside)

    found: dict[str, str] = {}
    for dollar in dict.fromkeys(instrument.settle for instrument in held):
        of_it = [instrument for instrument in held if instrument.settle == dollar]
        choices = [dollar, *(other for other in STABLE if other != dollar and dollar in STABLE)]
        names = {i.symbol: [in_dollar(i.symbol, dollar, choice) for choice in choices] for i in of_it}
        fits = [
            choice
            for k, choice in enumerate(choices)
            if all(knows(instrument, names[instrument.symbol][k]) for instrument in of_it)
        ]
        if not fits:
            nowhere = [i for i in of_it if not any(knows(i, name) for name in names[i.symbol])]
            symbols = " or ".join(names[(nowhere or of_it)[0].symbol])
            beside = "" if nowhere else f" beside {of_it[1].symbol}"
            raise InputError(f"{venue.name}: no {symbols}{beside} on {day(at_us)}")
        if fits[0] != dollar:
            found[dollar] = fits[0]
    return found


def translated(given: Mapping[str, Any], dollars: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """A snapshot's table with dollars exchanged, and what was: `BTC/USDT:USDT as BTC/USDC:USDC`.

    `given` has every mark and index among its `prices`. InputError where two contracts would become one.
    """
    told: list[str] = []
    table = dict(given)
    for old, new in dollars.items():
        rate = table["prices"].get(old, 1.0) / table["prices"].get(new, 1.0)
        symbols = {symbol: in_dollar(symbol, old, new) for symbol in table["instruments"]}
        for symbol, name in symbols.items():
            if name != symbol and name in symbols:
                raise InputError(f"{symbol} and {name} would be one contract, {name}")
        told += [f"{symbol} as {name}" for symbol, name in symbols.items() if name != symbol]
        told += [f"1 {old} as {rate:.6g} {new}"] if rate != 1.0 else []
        table = _exchanged(table, old, new, rate, symbols)
    return table, told


def _exchanged(table: Mapping[str, Any], old: str, new: str, rate: float, symbols: Mapping[str, str]) -> dict[str, Any]:
    """Amounts and prices in the old dollar `rate` times larger, under the new one's name."""

    def amounts(held: Mapping[str, float]) -> dict[str, float]:
        found = {asset: amount for asset, amount in held.items() if asset != old}
        return {**found, new: found.get(new, 0.0) + held[old] * rate} if old in held else found

    def times(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
        renamed = {**row, "symbol": symbols[row["symbol"]]}
        moved = renamed["symbol"] != row["symbol"] and not _paid_in_coin(row["symbol"])
        scaled = {key: row[key] * rate for key in keys if moved and row.get(key) is not None}
        return {**renamed, **scaled}

    prices = {
        symbols.get(key, key): price * (rate if key in symbols and symbols[key] != key else 1.0)
        for key, price in table["prices"].items()
        if key != old
    }
    return {
        **table,
        "prices": prices,
        "wallets": amounts(table["wallets"]),
        "loans": amounts(table["loans"]),
        "positions": [times(row, "entry", "forward", "margin") for row in table["positions"]],
        "orders": [times(row, "price") for row in table["orders"]],
        "instruments": {symbols[key]: terms for key, terms in table["instruments"].items()},
        "leverage": {symbols.get(key, key): value for key, value in table["leverage"].items()},
        "collateral": {new if key == old else key: value for key, value in table["collateral"].items()},
    }


def _paid_in_coin(symbol: str) -> bool:
    base, _, settle, _ = parts_of(symbol)
    return settle == base
