"""What a unit of each asset is worth in dollars: the declared route from index series, spot pair or constant.

Collateral is valued at index prices, never at a perpetual's. Where the venue's index is not stored, a spot pair stands
in, multiplied along to the dollar; the tips of its candles are not believed unless the run says `wicks = true`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.errors import InputError, nearest
from backtest.market.grid import (
    DAY_US,
    Floats,
    Grid,
    Laid,
    Life,
    PriceRules,
    Reader,
    Rows,
    check_gaps,
    lay,
    note_origin,
    read_rows,
    when,
)
from backtest.market.schema import Instrument, parse_symbol

STABLE = ("USDT", "USDC")  # worth a constant dollar, and said so, when nothing better is stored


@dataclass(frozen=True)
class Route:
    """Dollars per unit [bar], and the words for where they come from."""

    open: Floats
    low: Floats
    high: Floats
    close: Floats
    source: str
    begins_us: int = -(2**62)  # before this its first price is held, which nobody knew then


class Routes:
    """Index prices of assets on one grid, each worked out once; `strict` refuses any bar that is not stored."""

    def __init__(
        self,
        store: Reader,
        venue: str,
        instruments: dict[str, Instrument],
        grid: Grid,
        prices: PriceRules,
        notes: list[str],
        strict: bool = False,
    ) -> None:
        self.store, self.venue, self.instruments = store, venue, instruments
        self.grid, self.prices, self.notes, self.strict = grid, prices, notes, strict
        self._known: dict[str, Route] = {}

    def of(self, asset: str, through: tuple[str, ...] = ()) -> Route:
        """The index of an asset. InputError where no route leads to the dollar, or one leads back to itself."""
        if asset in through:
            raise InputError(
                f"[prices.routes]: {' → '.join((*through, asset))} runs in a circle; end it in USD or a number"
            )
        if asset not in self._known:
            declared = self.prices.routes.get(asset)
            route = self._default(asset, through) if declared is None else self._declared(asset, declared, through)
            self._known[asset] = route
        return self._known[asset]

    def _declared(self, asset: str, declared: str | float, through: tuple[str, ...]) -> Route:
        if not isinstance(declared, str):
            self.notes.append(f"{asset}: index is the constant {float(declared)} declared in [prices.routes]")
            return self._constant(float(declared))
        route = self._along(declared, (*through, asset))
        if route is None:
            raise InputError(
                f"[prices.routes] {asset} = {declared!r}: the store has neither index-{self.grid.interval} nor spot "
                f"bars of it at {self.venue}; {nearest(declared, self._spot_symbols())}"
            )
        self.notes.append(f"{asset}: index taken along {route.source}, as declared in [prices.routes]")
        return route

    def _default(self, asset: str, through: tuple[str, ...]) -> Route:
        """Index in dollars, else by way of USDT, else (stablecoins) a flagged constant."""
        if asset == "USD":
            return self._constant(1.0)
        for quote in ("USD", "USDT"):
            if quote not in (asset, *through):
                route = self._along(f"{asset}/{quote}", (*through, asset))
                if route is not None:
                    return route
        if asset in STABLE:
            self.notes.append(f"{asset}: no index or spot pair in the store; valued at a constant 1.0 USD")
            return self._constant(1.0)
        raise InputError(
            f"{asset}: no index of it in the store at {self.venue} (sought index or spot {asset}/USD, {asset}/USDT); "
            f'declare one, [prices.routes] {asset} = "…"; {nearest(f"{asset}/USDT", self._spot_symbols())}'
        )

    def _along(self, symbol: str, through: tuple[str, ...]) -> Route | None:
        """One pair, times the route of its quote; None when the store has neither index nor spot bars of the pair."""
        quote = parse_symbol(symbol)[1]
        for kind, word in (("index", "index"), ("bars", "spot")):
            instrument = self.instruments.get(symbol) if kind == "bars" else None
            life = Life.of(instrument) if instrument is not None else Life(None, None)
            rows = read_rows(self.store, self.venue, symbol, kind, self.grid, DAY_US, life)
            if rows is not None and len(rows.time):
                laid, wicks = self._laid(symbol, rows, life), kind == "index" or self.prices.wicks
                leg = _leg(laid, wicks, f"{word}:{symbol}", int(rows.time[0]))
                return leg if quote == "USD" else _times(leg, self.of(quote, through), quote)
        return None

    def _laid(self, symbol: str, rows: Rows, life: Life) -> Laid:
        first, after = int(rows.time[0]), int(rows.time[-1]) + self.grid.interval_us
        if first >= self.grid.end_us or after < self.grid.start_us:
            raise InputError(
                f"{symbol} {rows.name}: stored from {when(first)} to {when(after)}, wholly outside the run "
                f"({when(self.grid.start_us)} to {when(self.grid.end_us)}); import it, or declare another in "
                "[prices.routes]"
            )
        laid = lay(rows, self.grid)
        if self.strict and not laid.present.all():
            raise InputError(f"{symbol} {rows.name}: not every bar from {when(self.grid.start_us)} is stored")
        note_origin(symbol, rows, self.grid, self.notes)
        began = self.grid.time >= rows.time[0]
        if not began.all():
            self.notes.append(
                f"{symbol} {rows.name}: begins {when(int(rows.time[0]))}; its first price is held before that"
            )
        check_gaps(symbol, rows, began & life.alive(self.grid) & ~laid.present, self.grid, self.prices, self.notes)
        return laid

    def _constant(self, value: float) -> Route:
        flat = np.full(self.grid.bars, value)
        return Route(flat, flat, flat, flat, f"constant {value}")

    def _spot_symbols(self) -> list[str]:
        return [symbol for symbol, instrument in self.instruments.items() if instrument.kind == "spot"]


def _leg(laid: Laid, wicks: bool, source: str, begins_us: int) -> Route:
    low, high = laid.low, laid.high
    if not wicks:
        low, high = np.minimum(laid.open, laid.close), np.maximum(laid.open, laid.close)
    return Route(laid.open, low, high, laid.close, source, begins_us)


def _times(leg: Route, quote: Route, name: str) -> Route:
    """Both legs at their lows together, both at their highs together, as the bar's path has it."""
    return Route(
        leg.open * quote.open,
        leg.low * quote.low,
        leg.high * quote.high,
        leg.close * quote.close,
        f"{leg.source}×{name}",
        max(leg.begins_us, quote.begins_us),
    )
