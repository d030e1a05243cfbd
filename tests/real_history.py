"""Real history for the tests: files read apart from the product, venue tables as published, and runs over a store.

Nothing here calls the product's margin, funding or fill code: prices come from the raw files by pandas, and the rules
are written out once more as plain formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest import Order, Strategy
from backtest.market.schema import Instrument
from backtest.strategy import Bar, Desk, Market, Params

STEP = 1e-8  # amounts are posted in steps of this size
HOUR = pd.Timedelta(hours=1)
SYMBOLS = [
    "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "ETH/USDT", "ETH/USDT:USDT", "SOL/USDT", "SOL/USDT:USDT",
]  # fmt: skip
CME = [f"BTC/USD:USD-{day}" for day in ("211029", "211126", "211231", "220128")]


def utc(text: str) -> pd.Timestamp:
    """A time, in UTC."""
    return pd.Timestamp(text, tz="UTC")


# Files


def bars(root: Path, name: str) -> pd.DataFrame:
    """A file's rows by open time: `um/ETHUSDT-1h`."""
    return pd.read_parquet(root / "binance" / f"{name}.parquet").set_index("time")


def rates(root: Path, name: str) -> pd.Series:
    """Funding rates by settlement; published to the millisecond, put on their minute."""
    rows = pd.read_parquet(root / "binance" / f"{name}-funding.parquet")
    return pd.Series(rows["funding_rate"].to_numpy(), index=pd.DatetimeIndex(rows["time"]).round("min"))


def on_grid(rows: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, freq: str = "1h") -> pd.DataFrame:
    """Every bar in [start, end); where one is missing the last close is held."""
    grid = rows.reindex(pd.date_range(start, end, freq=freq, inclusive="left"))
    close = grid["close"].ffill()
    return grid.apply(lambda column: column.fillna(close) if column.name != "volume" else column.fillna(0.0))


def mark_before(root: Path, code: str, stamps: pd.DatetimeIndex) -> pd.Series:
    """Mark at each stamp: the open of the bar that opens there if stored, else the close of the one that ends there."""
    before = bars(root, f"um/{code}-mark-1h")["close"].reindex(stamps - HOUR).to_numpy()
    path = root / "binance" / "um" / f"{code}-mark-ohlc-1h.parquet"
    opened = bars(root, f"um/{code}-mark-ohlc-1h")["open"].reindex(stamps).to_numpy() if path.is_file() else np.nan
    return pd.Series(np.where(np.isnan(opened), before, opened), index=stamps)


def hourly_marks(root: Path, code: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Mark bars where only closes are known: no wider than the perpetual and the spot both allow, no narrower than the
    body (the open is the close before).
    """
    since = start - HOUR
    perp, spot = (on_grid(bars(root, f"{market}/{code}-1h"), since, end) for market in ("um", "spot"))
    close = bars(root, f"um/{code}-mark-1h")["close"].reindex(perp.index)
    scale = close / spot["close"]
    frame = pd.DataFrame({"open": close.shift(1), "close": close})
    frame["low"] = np.maximum(perp["low"], spot["low"] * scale)
    frame["high"] = np.minimum(perp["high"], spot["high"] * scale)
    frame["low"] = frame[["low", "open", "close"]].min(axis=1)
    frame["high"] = frame[["high", "open", "close"]].max(axis=1)
    return frame[start:]


def past_activity(rows: pd.DataFrame, day: pd.Timestamp) -> tuple[float, float]:
    """Daily volatility (root mean square of log returns) and daily volume of the thirty whole days before a day."""
    whole = rows["close"].resample("1D").count() == pd.Timedelta(days=1) // (rows.index[1] - rows.index[0])
    close, volume = rows["close"].resample("1D").last()[whole], rows["volume"].resample("1D").sum()[whole]
    window = slice(day - pd.Timedelta(days=30), day - pd.Timedelta(days=1))
    returns = np.log(close / close.shift(1))[window]
    return float(np.sqrt((returns**2).mean())), float(volume[window].mean())


# Published rules


def published(root: Path, asset: str, metric: str) -> float:
    """A figure of He, Manela, Ross and von Wachter (arXiv 2212.06888 v7), % a year unless the metric has no unit."""
    table = pd.read_csv(root / "literature" / "carry_results.csv")
    mine = table["paper"].str.contains("2212.06888 v7") & (table["asset"] == asset) & (table["metric"] == metric)
    row = table[mine & ~table["table"].str.contains("arbitrage")]
    return float(row["value"].item())


def brackets(root: Path, symbol: str, day: str) -> list[tuple[float, float, float]]:
    """(floor, rate, deduction) of a USD-M contract in the last snapshot of its brackets up to a day."""
    table = pd.read_csv(root / "binance" / "um_leverage_tiers_history.csv.gz")
    mine = table[table["symbol"].isin((symbol, symbol.split(":")[0])) & (table["snapshot_date"] <= day)]
    last = mine[mine["snapshot_date"] == mine["snapshot_date"].max()].sort_values("tier")
    return [
        (float(f), float(r), float(c))
        for f, r, c in zip(last["notional_floor"], last["maint_margin_rate"], last["cum"], strict=True)
    ]


def tier_of(table: Sequence[tuple[float, float, float]], notional: float) -> tuple[float, float]:
    """Rate and deduction of the tier that holds a notional: floor < notional <= cap."""
    return next((rate, cum) for floor, rate, cum in reversed(table) if notional > floor)


def maintenance(table: Sequence[tuple[float, float, float]], notional: float) -> float:
    """rate x notional - deduction."""
    rate, cum = tier_of(table, notional)
    return notional * rate - cum


def liquidation_price(wallet: float, contracts: float, entry: float, table: Sequence[tuple[float, float, float]],
                      level: float = 1.0) -> float:  # fmt: skip
    """Mark at which wallet + profit = level x maintenance: (WB + cum - side B EP) / (B MMR - side B), with the tier at
    that price.
    """
    for floor, rate, cum in reversed(table):
        price = (wallet + level * cum - contracts * entry) / (level * abs(contracts) * rate - contracts)
        if price > 0 and abs(contracts) * price > floor:
            return price
    return math.nan


def forced_price(traded: float, contracts: float, volatility: float, daily_volume: float) -> float:
    """Traded price, worse by half a spread of 2 bp and by sigma sqrt(Q / V)."""
    worse = 0.0001 + volatility * math.sqrt(abs(contracts) / daily_volume)
    return traded * (1.0 + math.copysign(worse, contracts))


# Runs


class HoldParams(Params):
    """Contracts (of spot: coins) by symbol."""

    contracts: dict[str, float]


class Hold(Strategy):
    """Takes positions at the first close and keeps them."""

    Params = HoldParams
    params: HoldParams

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        """What is held."""
        return list(self.params.contracts)

    def start(self, market: Market) -> None:
        """Nothing is open."""
        self.opened = False

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        """Once."""
        if not self.opened:
            self.opened = True
            desk.together([Order(symbol, target=size) for symbol, size in self.params.contracts.items()])


def config(
    store: Path, start: str, end: str, deposit: Mapping[str, float], strategy: type[Strategy] | str,
    params: Mapping[str, Any], *, interval: str = "1h", margin: str = "cross", leverage: float = 5.0,
    slippage_bps: float = 0.0, **sections: Any,
) -> dict[str, Any]:  # fmt: skip
    """A run over the store; spot trading was halted at times, so gaps are held."""
    return {
        "name": "real-history",
        "data": {"store": str(store), "start": start, "end": end, "interval": interval},
        "account": [{"margin": margin, "leverage": {"default": leverage}, "deposit": dict(deposit)}],
        "strategy": {"class": strategy, "params": dict(params)},
        "prices": {"gaps": "hold"},
        "execution": {"slippage_bps": slippage_bps},
        **sections,
    }
