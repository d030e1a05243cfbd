"""The market of the benchmark: made by rule from a seed, in memory, so that every machine runs the same history.

Coins wander, perpetuals follow them with a basis that comes and goes, marks lie beside the last trade, and funding is
paid every eight hours. It is laid on the grid by the product's own `align`, from memory or from a Parquet store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from backtest.config import Funding, Prices
from backtest.market.align import align
from backtest.market.history import History
from backtest.market.schema import INTERVALS, Instrument
from backtest.market.store import write_instruments, write_series

VENUE = "binance"
START_2024_US = 1_704_067_200_000_000  # fees of the venue are the same from here on
START_2026_US = 1_767_225_600_000_000  # and from here on every coin of the universe has brackets
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
FUNDING_HOURS = 8
COINS = (
    "BTC", "0G", "1000BONK", "1000PEPE", "AAVE", "ADA", "APT", "ARB", "ASTER", "ATOM", "AVAX", "BCH", "BNB", "CRV",
    "DOGE", "DOT", "ENA", "ETC", "ETH", "FARTCOIN", "FF", "FIL", "HBAR", "HYPE", "JELLYJELLY", "LDO", "LINK", "LTC",
    "MKR", "NEAR", "OP", "ORCA", "PAXG", "PENGU", "PUMP", "PYTH", "SEI", "SOL", "SUI", "TAO", "TRX", "UNI", "WIF",
    "WLD", "WLFI", "XLM", "XPL", "XRP", "ZEC", "ZEN",
)  # fmt: skip
"""The coins whose dollar perpetuals the venue's table of brackets names."""

HEDGES, BANDS = np.linspace(0.5, 1.46, 25), 0.001 + 0.0025 * np.arange(40)
"""What the sweep of Carry goes through."""

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Market:
    """Series by (symbol, name of series), and instruments by symbol; answers as a store does."""

    interval: str
    bars: int
    start_us: int
    terms: Mapping[str, Instrument]
    columns: Mapping[tuple[str, str], Columns]

    def venues(self) -> list[str]:
        """The one venue."""
        return [VENUE]

    def instruments(self, venue: str) -> dict[str, Instrument]:
        """Contract terms by symbol."""
        return dict(self.terms)

    def series(self, venue: str, symbol: str) -> list[str]:
        """Names of the series there are of a symbol."""
        return sorted(series for name, series in self.columns if name == symbol)

    def read(
        self, venue: str, symbol: str, series: str, start_us: int | None = None, end_us: int | None = None
    ) -> Columns | None:
        """Rows of a series in [start, end)."""
        found = self.columns.get((symbol, series))
        if found is None:
            return None
        time = found["time"]
        first = 0 if start_us is None else int(np.searchsorted(time, start_us))
        last = len(time) if end_us is None else int(np.searchsorted(time, end_us))
        return {name: values[first:last] for name, values in found.items()}

    @property
    def end_us(self) -> int:
        """Close of the last bar."""
        return self.start_us + self.bars * INTERVALS[self.interval]

    @property
    def coins(self) -> list[str]:
        """Every coin of the market, in order."""
        return list(dict.fromkeys(term.base for term in self.terms.values()))

    def history(self, interval: str | None = None) -> History:
        """All of it on one grid (coarser, if said), by the product's own rules: spot pairs first, then perpetuals."""
        symbols = sorted(self.terms, key=lambda symbol: self.terms[symbol].kind != "spot")
        assets, grid = ["USDT", *self.coins], interval or self.interval
        return align(self, VENUE, symbols, assets, self.start_us, self.end_us, grid, Prices(), Funding())

    def write(self, folder: Path) -> None:
        """The same as a Parquet store."""
        write_instruments(folder, VENUE, list(self.terms.values()))
        for (symbol, series), columns in self.columns.items():
            write_series(folder, VENUE, symbol, series, columns, {"source": "synthetic"})


@cache
def pair_market(interval: str = "1m", bars: int = 525_600, seed: int = 11) -> Market:
    """One coin: spot and perpetual."""
    return made(interval, bars, START_2024_US, ("BTC",), seed)


@cache
def universe(bars: int = 43_800, coins: int = len(COINS), seed: int = 12) -> Market:
    """Many coins by the hour."""
    return made("1h", bars, START_2026_US, COINS[:coins], seed)


def made(interval: str, bars: int, start_us: int, coins: tuple[str, ...], seed: int) -> Market:
    """A market of some coins; the first costs 40,000, the others anything from 5 to 5,000."""
    rng = np.random.default_rng(seed)
    terms: dict[str, Instrument] = {}
    columns: dict[tuple[str, str], Columns] = {}
    for number, coin in enumerate(coins):
        price, decimals = (40_000.0, 2) if number == 0 else (float(np.exp(rng.uniform(np.log(5), np.log(5_000)))), 6)
        volatility = 0.6 if number == 0 else float(rng.uniform(0.6, 1.0))
        paid = 1e-4 if number == 0 else float(rng.uniform(-5e-5, 2.5e-4))
        time = start_us + INTERVALS[interval] * np.arange(bars, dtype=np.int64)
        add_coin(columns, terms, rng, coin, interval, time, price, decimals, volatility, paid)
    return Market(interval, bars, start_us, terms, columns)


def add_coin(
    columns: dict[tuple[str, str], Columns],
    terms: dict[str, Instrument],
    rng: np.random.Generator,
    coin: str,
    interval: str,
    time: np.ndarray,
    price: float,
    decimals: int,
    volatility: float,
    paid: float,
) -> None:
    """One coin's spot pair and perpetual with everything the engine reads of them."""
    step, bars = INTERVALS[interval], len(time)
    sigma = volatility * np.sqrt(step / YEAR_US)
    spot_edges = price * np.exp(np.concatenate([[0.0], np.cumsum(rng.standard_normal(bars) * sigma)]))
    basis = reverting(rng, bars + 1, 2 * paid, 6e-4, np.exp(-step / (4 * HOUR_US)))
    perpetual_edges = spot_edges * (1.0 + basis)
    mark_edges = perpetual_edges * (1.0 + 5e-5 * rng.standard_normal(bars + 1))
    spot, perpetual = f"{coin}/USDT", f"{coin}/USDT:USDT"
    volume = 1e9 / price
    columns[spot, f"bars-{interval}"] = {"time": time, **candles(rng, spot_edges, sigma, decimals)}
    columns[perpetual, f"bars-{interval}"] = {"time": time, **candles(rng, perpetual_edges, sigma, decimals)}
    columns[perpetual, f"mark-ohlc-{interval}"] = {"time": time, **candles(rng, mark_edges, sigma, decimals)}
    for symbol in (spot, perpetual):
        columns[symbol, f"bars-{interval}"]["volume"] = np.round(volume * rng.lognormal(0.0, 0.3, bars), 3)
    columns[perpetual, "funding"] = funding(rng, int(time[0]), bars * step, paid)
    tick = 10.0**-decimals
    for symbol, kind in ((spot, "spot"), (perpetual, "linear")):
        terms[symbol] = Instrument(
            symbol, kind, coin, "USDT", "USDT", 1.0, tick, 1e-8, 0.0, None, None, None, "synthetic"
        )


def reverting(rng: np.random.Generator, count: int, mean: float, deviation: float, kept: float) -> np.ndarray:
    """A series that comes back to its mean: each value keeps a share of the last one's distance."""
    shocks = rng.standard_normal(count) * deviation * np.sqrt(1.0 - kept * kept)
    return mean + lfilter([1.0], [1.0, -kept], shocks)


def candles(rng: np.random.Generator, edges: np.ndarray, sigma: float, decimals: int) -> Columns:
    """Bars out of prices at the edges; each opens a little off the last close, and strays beyond its body."""
    bars = len(edges) - 1
    opened = np.round(edges[:-1] * (1.0 + 0.05 * sigma * rng.standard_normal(bars)), decimals)
    closed = np.round(edges[1:], decimals)
    up, down = np.abs(rng.standard_normal((2, bars))) * 0.5 * sigma
    high = np.maximum(np.round(np.maximum(opened, closed) * (1.0 + up), decimals), np.maximum(opened, closed))
    low = np.minimum(np.round(np.minimum(opened, closed) * (1.0 - down), decimals), np.minimum(opened, closed))
    return {"open": opened, "high": high, "low": low, "close": closed}


def funding(rng: np.random.Generator, start_us: int, span_us: int, paid: float) -> Columns:
    """Rates at the stamps, every eight hours from the first bar on."""
    time = start_us + np.arange(0, span_us, FUNDING_HOURS * HOUR_US, dtype=np.int64)
    rate = reverting(rng, len(time), paid, 1.5e-4, 0.97)
    return {"time": time, "funding_rate": np.round(np.clip(rate, -0.0075, 0.0075), 8)}
