"""An account as it stood at the close of one bar, to be asked of the margin calculator as any other account is.

What a run leaves behind is enough for it: the ledger gives every balance, the positions their contracts and cost, the
prices their marks and indexes. Orders that were waiting are not among it: a frame does not say when each one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from backtest.errors import InputError
from backtest.market.schema import interval_us, parse_symbol
from backtest.report.columns import Column, Columns, Words
from backtest.report.record import Floats, RunRecord
from backtest.state import INTERNAL

if TYPE_CHECKING:
    from backtest.calculator.snapshot import Snapshot

PRICE_COLUMNS = ("time", "name", "low", "high", "close")


def prices_of(record: RunRecord) -> pd.DataFrame:
    """What the run's holdings were priced at: marks of every symbol traded, indexes in USD of every asset, by bar."""
    rows = [part.frame(PRICE_COLUMNS) for part in price_parts(record)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(PRICE_COLUMNS))


def price_parts(record: RunRecord) -> Iterator[Columns]:
    """The same by column, some bars after others."""
    history, traded = record.history, set(record.fills["symbol"])
    series = [
        (item.symbol, history.mark_low[k], history.mark_high[k], history.mark_close[k])
        for k, item in enumerate(history.instruments)
        if item.symbol in traded
    ]
    series += [
        (asset, history.index_low[k], history.index_high[k], history.index_close[k])
        for k, asset in enumerate(history.assets)
    ]
    for name, *prices in series:
        for part in record.room.parts(len(history.time)):
            many = part.stop - part.start
            columns: dict[str, Column] = {"time": history.time[part], "name": Words.same(name, many)}
            columns |= dict(zip(PRICE_COLUMNS[2:], (each[part] for each in prices), strict=True))
            yield Columns.given(many, columns)


def terms_of(record: RunRecord) -> list[dict[str, Any]]:
    """The contract terms that a symbol does not say, of every symbol traded."""
    traded = set(record.fills["symbol"])
    return [
        {"symbol": item.symbol, "contract_size": item.contract_size, "tick": item.tick}
        for item in record.history.instruments
        if item.symbol in traded
    ]


class Standing:
    """One account of a run; `snapshot(bar)` is what was held at that bar's close."""

    def __init__(self, record: RunRecord, account: int, prices: pd.DataFrame, terms: list[dict[str, Any]]) -> None:
        self.record, self.account = record, account
        self.said = record.config.account[min(account, len(record.config.account) - 1)]
        self.rows = record.of("account", account)
        self.times = pd.DatetimeIndex(self.rows["time"])
        self.prices = {str(name): rows["close"].to_numpy(dtype=np.float64) for name, rows in prices.groupby("name")}
        self.priced = pd.DatetimeIndex(prices["time"].unique())
        self.terms = {str(row["symbol"]): row for row in terms}
        self.positions = record.of("positions", account)
        self.balances = _running(record.of("ledger", account), ["wallet", "asset"], "amount")

    def bar_of(self, at: Any) -> int:
        """The bar that holds a time. InputError before the first and after the last."""
        try:
            time = pd.Timestamp(at)
        except (TypeError, ValueError):
            raise InputError(f"at = {at!r} is no time; write one such as {self.times[0]:%Y-%m-%d %H:%M}") from None
        time = time.tz_localize("UTC") if time.tz is None else time.tz_convert("UTC")
        after = self.times[-1] + pd.Timedelta(interval_us(self.record.config.data.interval), unit="us")
        if not self.times[0] <= time < after:
            first, last = (f"{each:%Y-%m-%d %H:%M}" for each in (self.times[0], self.times[-1]))
            raise InputError(f"at = {at}: no bar of this run; its bars open from {first} to {last}")
        return int(self.times.searchsorted(time, side="right")) - 1

    def snapshot(self, bar: int) -> Snapshot:
        """The account at the close of a bar, by the rules of that bar. InputError where it held nothing then, or
        stood as no snapshot can say (both sides of an isolated contract).
        """
        from backtest.calculator.snapshot import read_snapshot

        time, said = self.times[bar], self.said
        positions = self.positions_at(time)
        symbols = self.alive(time)
        wallets, loans = self.balances_at(time, {row["symbol"] for row in positions if row["isolated"]})
        prices = self.prices_at(time, symbols, {asset for each in wallets.values() for asset in each} | set(loans))
        names = {*symbols, "default"}
        counted = {asset: counts for asset, counts in said.collateral.items() if asset in prices}
        ratios = {asset: ratio for asset, ratio in counted.items() if not isinstance(ratio, bool)}
        given = {
            "venue": said.venue, "mode": said.margin, "model": said.model, "at": time.isoformat(),
            "name": f"{self.record.account_names[self.account]}, {time:%Y-%m-%d %H:%M}",
            "wallets": wallets, "loans": loans, "positions": positions, "prices": prices,
            "leverage": {symbol: value for symbol, value in said.leverage.items() if symbol in names},
            "collateral": {asset: counts for asset, counts in counted.items() if isinstance(counts, bool)},
            "rules": {"collateral": ratios} if ratios else {},
            "instruments": {
                symbol: {"contract_size": self.terms[symbol]["contract_size"], "tick": self.terms[symbol]["tick"]}
                for symbol in symbols
            },
            "hedge": said.position_mode == "hedge", "outside": "nearest",
            "counterfactual": self.record.config.rules.counterfactual,
        }  # fmt: skip
        return read_snapshot(given)

    def alive(self, time: pd.Timestamp) -> list[str]:
        """Futures the run traded that are not delivered yet: they say which wallets there are."""
        found = []
        for symbol in self.terms:
            _, _, settle, expiry_us = parse_symbol(symbol)
            if settle is not None and (expiry_us is None or expiry_us > time.value // 1000):
                found.append(symbol)
        return found

    def positions_at(self, time: pd.Timestamp) -> list[dict[str, Any]]:
        """Open positions after the bar, with the entry price that their cost says."""
        found, alive = [], set(self.alive(time))
        for (symbol, _), (times, contracts, cost) in self.sides.items():
            last = int(times.searchsorted(time, side="right")) - 1
            if last >= 0 and contracts[last] != 0.0 and symbol in alive:
                found.append(self._position(symbol, float(contracts[last]), float(cost[last])))
        return found

    @cached_property
    def sides(self) -> dict[tuple[str, str], tuple[pd.DatetimeIndex, Floats, Floats]]:
        """Times, contracts and cost of each position, by symbol and side."""
        if self.positions.empty:
            return {}
        side = self.positions["side"] if "side" in self.positions else pd.Series("", index=self.positions.index)
        return {
            (str(symbol), str(which)): (
                pd.DatetimeIndex(rows["time"]),
                rows["contracts"].to_numpy(np.float64),
                rows["cost"].to_numpy(np.float64),
            )
            for (symbol, which), rows in self.positions.groupby([self.positions["symbol"], side], sort=False)
        }

    def _position(self, symbol: str, contracts: float, cost: float) -> dict[str, Any]:
        size = float(self.terms[symbol]["contract_size"])
        base, _, settle, _ = parse_symbol(symbol)
        entry = -size * contracts / cost if settle == base else cost / contracts / size
        isolated = self.said.margin == "isolated" or symbol in self.said.isolated
        return {"symbol": symbol, "contracts": contracts, "entry": entry, "isolated": isolated}

    def balances_at(
        self, time: pd.Timestamp, isolated: set[str]
    ) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """Balances by wallet and asset after the bar, and what is borrowed; isolated positions have a wallet each."""
        wallets: dict[str, dict[str, float]] = {symbol: {str(parse_symbol(symbol)[2]): 0.0} for symbol in isolated}
        loans: dict[str, float] = {}
        for (wallet, asset), (times, totals) in self.balances.items():
            last = int(times.searchsorted(time, side="right")) - 1
            amount = round(float(totals[last]), 8) if last >= 0 else 0.0
            if wallet == "loans" and amount < 0.0:
                loans[asset] = -amount
            elif amount and wallet not in INTERNAL:  # a snapshot holds one side of an isolated contract, by its symbol
                wallets.setdefault(wallet.removesuffix(" short"), {})[asset] = amount
        return wallets, loans

    def prices_at(self, time: pd.Timestamp, symbols: list[str], held: set[str]) -> dict[str, float]:
        """Marks and indexes at the bar's close, of what the account holds or could lean on."""
        bar = int(self.priced.searchsorted(time, side="right")) - 1
        legs = {part for symbol in symbols for part in parse_symbol(symbol)[:3] if part is not None}
        names = [*symbols, *sorted((held | legs) - {"USD"})]
        return {name: float(self.prices[name][bar]) for name in names if name in self.prices}


def _running(
    rows: pd.DataFrame, keys: list[str], column: str
) -> dict[tuple[str, str], tuple[pd.DatetimeIndex, Floats]]:
    """Times and running sums of a column, by two keys."""
    return {
        (str(one), str(two)): (pd.DatetimeIndex(mine["time"]), np.cumsum(mine[column].to_numpy(np.float64)))
        for (one, two), mine in (rows.groupby(keys, sort=False) if len(rows) else ())
    }
