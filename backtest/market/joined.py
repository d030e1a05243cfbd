"""Several venues of a store read as one: the future of one exchange against the coins of another.

A symbol belongs to the first of the venues that has it, with all of its series: bars of one place are never mixed with
funding or marks of another.
"""

from __future__ import annotations

from collections.abc import Sequence

from backtest.errors import InputError, nearest
from backtest.market.schema import Instrument
from backtest.market.store import Columns, Store


class Joined:
    """A reader of some of a store's venues, in order, that calls itself by their names (`cme + binance`)."""

    def __init__(self, store: Store, venues: Sequence[str]) -> None:
        """InputError for a venue that is not stored, with the nearest one."""
        for venue in venues:
            if venue not in store.venues():
                raise InputError(f"data.venues: {store.path} has no venue {venue!r}; {nearest(venue, store.venues())}")
        self.store, self.parts = store, list(venues)
        self.name = " + ".join(venues)
        self._home = {symbol: venue for venue in reversed(self.parts) for symbol in self._symbols(venue)}

    def _symbols(self, venue: str) -> list[str]:
        return [*self.store.symbols(venue), *self.store.instruments(venue)]

    def venues(self) -> list[str]:
        """The one venue that the parts make together."""
        return [self.name]

    def home(self, symbol: str) -> str:
        """The stored venue a symbol is read from; the first one for symbols that none has."""
        return self._home.get(symbol, self.parts[0])

    def instruments(self, venue: str) -> dict[str, Instrument]:
        """Contract terms by symbol, each from the venue the symbol belongs to."""
        terms = {part: self.store.instruments(part) for part in self.parts}
        return {s: terms[home][s] for s, home in self._home.items() if s in terms[home]}

    def series(self, venue: str, symbol: str) -> list[str]:
        """As `Store.series`, at the venue the symbol belongs to."""
        return self.store.series(self.home(symbol), symbol)

    def read(
        self, venue: str, symbol: str, series: str, start_us: int | None = None, end_us: int | None = None
    ) -> Columns | None:
        """As `Store.read`, at the venue the symbol belongs to."""
        return self.store.read(self.home(symbol), symbol, series, start_us, end_us)
