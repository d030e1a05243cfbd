"""What a unit of each asset is worth in dollars: the declared route from index series, spot pair or constant.

Collateral is valued at index prices, never at a perpetual's. Where the venue's index is not stored, a spot pair stands
in, multiplied along to the dollar; the tips of its candles are not believed unless the run says `wicks = true`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.errors import InputError, NotStored, nearest
from backtest.market.feed import Feed, open_feed
from backtest.market.grid import Floats, Gaps, Grid, Life, PriceRules, Reader, check_gaps, lay, note_origin, when
from backtest.market.room import MEMORY, PART, Room
from backtest.market.schema import DAY_US, EVER_US, Instrument, parse_symbol

STABLE = ("USDT", "USDC")  # worth a constant dollar, and said so, when nothing better is stored


@dataclass(frozen=True)
class Route:
    """Dollars per unit [bar], and the words for where they come from."""

    open: Floats
    low: Floats
    high: Floats
    close: Floats
    source: str
    begins_us: int = EVER_US  # before this its first price is held, which nobody knew then


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
        room: Room = MEMORY,
        places: Mapping[str, Sequence[Floats]] | None = None,
        part: int = PART,
    ) -> None:
        """`places`: where the four prices of an asset are to be written, for those of the run itself."""
        self.store, self.venue, self.instruments = store, venue, instruments
        self.grid, self.prices, self.notes, self.strict = grid, prices, notes, strict
        self.room, self.places, self.part = room, places or {}, part
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
            return self._constant(asset, float(declared))
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
            return self._constant(asset, 1.0)
        for quote in ("USD", "USDT"):
            if quote not in (asset, *through):
                route = self._along(f"{asset}/{quote}", (*through, asset))
                if route is not None:
                    return route
        if asset in STABLE:
            self.notes.append(f"{asset}: no index or spot pair in the store; valued at a constant 1.0 USD")
            return self._constant(asset, 1.0)
        raise NotStored(
            f"{asset}: no index of it in the store at {self.venue} (sought index or spot {asset}/USD, {asset}/USDT); "
            f'declare one, [prices.routes] {asset} = "…"; {nearest(f"{asset}/USDT", self._spot_symbols())}'
        )

    def _along(self, symbol: str, through: tuple[str, ...]) -> Route | None:
        """One pair, times the route of its quote; None when the store has neither index nor spot bars of the pair."""
        quote = parse_symbol(symbol)[1]
        for kind, word in (("index", "index"), ("bars", "spot")):
            instrument = self.instruments.get(symbol) if kind == "bars" else None
            life = Life.of(instrument) if instrument is not None else Life(None, None)
            feed = open_feed(self.store, self.venue, symbol, kind, self.grid, DAY_US, life, self.part)
            if feed is not None and not feed.empty:
                wicks = kind == "index" or self.prices.wicks
                leg = self._leg(through[-1], symbol, feed, life, wicks, f"{word}:{symbol}")
                return leg if quote == "USD" else self._times(leg, self.of(quote, through), quote)
        return None

    def _leg(self, asset: str, symbol: str, feed: Feed, life: Life, wicks: bool, source: str) -> Route:
        """One pair, laid on the grid part by part."""
        grid, first = self.grid, feed.first_us
        four, missing, absent = self._four(asset), Gaps(), 0
        for number, part in enumerate(feed.parts):
            laid = lay(feed.rows(number), grid.cut(part))
            low, high = laid.low, laid.high
            if not wicks:
                low, high = np.minimum(laid.open, laid.close), np.maximum(laid.open, laid.close)
            for place, values in zip(four, (laid.open, low, high, laid.close), strict=True):
                place[part] = values
            time, absent = grid.time[part], absent + int((~laid.present).sum())
            missing.add(part.start, (time >= first) & life.alive(grid.cut(part)) & ~laid.present)
            self.room.give_back()
        after = feed.last_us + grid.interval_us
        if first >= grid.end_us or after < grid.start_us:
            raise NotStored(
                f"{symbol} {feed.name}: stored from {when(first)} to {when(after)}, wholly outside the run "
                f"({when(grid.start_us)} to {when(grid.end_us)}); import it, or declare another in [prices.routes]"
            )
        if self.strict and absent:
            raise NotStored(f"{symbol} {feed.name}: not every bar from {when(grid.start_us)} is stored")
        note_origin(symbol, feed.name, feed.made_from, grid, self.notes)
        if int(grid.time[0]) < first:
            self.notes.append(f"{symbol} {feed.name}: begins {when(first)}; its first price is held before that")
        check_gaps(symbol, feed.name, missing.between(0, grid.bars), grid, self.prices, self.notes)
        return _route(four, source, first)

    def _four(self, asset: str) -> Sequence[Floats]:
        """Where the open, low, high and close of an asset are written."""
        return self.places[asset] if asset in self.places else self.room.zeros((4, self.grid.bars))  # type: ignore[return-value]

    def _times(self, leg: Route, quote: Route, name: str) -> Route:
        """Both legs at their lows together, both at their highs together, as the bar's path has it."""
        for part in self.room.parts(self.grid.bars):
            for point in ("open", "low", "high", "close"):
                getattr(leg, point)[part] *= getattr(quote, point)[part]
        return replace(leg, source=f"{leg.source}×{name}", begins_us=max(leg.begins_us, quote.begins_us))

    def _constant(self, asset: str, value: float) -> Route:
        four = self._four(asset)
        for part in self.room.parts(self.grid.bars):
            for place in four:
                place[part] = value
        return _route(four, f"constant {value}")

    def _spot_symbols(self) -> list[str]:
        return [symbol for symbol, instrument in self.instruments.items() if instrument.kind == "spot"]


def _route(four: Sequence[Floats], source: str, begins_us: int = EVER_US) -> Route:
    opened, low, high, close = four
    return Route(opened, low, high, close, source, begins_us)
