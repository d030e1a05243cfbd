"""vectorbt's run of the same strategies, in a process of its own: it answers each line on its input with a timed run.

It keeps cash and positions; margin, haircuts, brackets, liquidation and a mark apart from the trade are not in it. A
short is a cash short sale, valued at the mark's close here; funding is booked as the fixed fee of a tiny order in a
column of its own. Coins taken as a fee are a smaller purchase at a higher fixed fee: the same dollars, the same coins.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio.enums import NoOrder, SizeType
from vectorbt.portfolio.nb import order_nb

from tests.benchmark.process import clock, peak_mb
from tests.benchmark.reference import CASH, FUTURE_FEE, SHARE, SPOT_FEE, TOP, WINDOW

if TYPE_CHECKING:
    from backtest.market.history import History

DAY_US = 86_400_000_000
CHUNK = 50  # points of a sweep at a time: all at once would need some tens of gigabytes


@njit
def remember(context):
    """Per group: coins wished, whether they are, and how many calls of the row are done with."""
    return (np.zeros(3),)


@njit
def pass_on(context, memory):
    """The group's memory, to every row."""
    memory[2] = 0.0
    return (memory,)


@njit
def spot_order(bought, price):
    """A purchase whose fee is taken from the coins, or a sale whose fee is taken from the dollars."""
    if bought > 0.0:
        fee = np.rint(np.rint(bought * 1e8) * SPOT_FEE) / 1e8
        return order_nb(size=bought - fee, price=price, size_type=SizeType.Amount, fixed_fees=fee * price)
    return order_nb(size=bought, price=price, size_type=SizeType.Amount, fees=SPOT_FEE)


@njit
def carry_orders(context, memory, opened, rate, mark, day, hedge, band):
    """Columns: spot, perpetual, funding. First what the last close decided, then funding, then the two legs."""
    first, bar, group = context.from_col, context.i, context.group
    if context.call_idx == 0:
        memory[1] = 0.0
        if bar % day == 0 and bar > 0:
            coins, price = context.last_position[first], context.close[bar - 1, first]
            short = context.last_position[first + 1] * context.close[bar - 1, first + 1]
            equity = context.last_cash[group] + coins * price + short + context.last_position[first + 2]
            if abs(coins * price / equity / SHARE - 1.0) > band[group]:
                memory[0], memory[1] = SHARE * equity / price, 1.0
        if rate[bar] != 0.0 and context.last_position[first + 1] != 0.0:
            paid = context.last_position[first + 1] * mark[bar] * rate[bar]
            return first + 2, order_nb(size=1e-6, price=1.0, fixed_fees=paid)
    if memory[1] > 0.0:
        memory[2] += 1.0
        if memory[2] == 1.0:
            target = np.rint(memory[0] * 1e8) / 1e8
            return first, spot_order(target - context.last_position[first], opened[bar, 0])
        if memory[2] == 2.0:
            change = np.rint(-hedge[group] * memory[0] * 1e8) / 1e8 - context.last_position[first + 1]
            return first + 1, order_nb(size=change, price=opened[bar, 1], size_type=SizeType.Amount, fees=FUTURE_FEE)
    return -1, NoOrder


def rates_by_bar(history: History) -> np.ndarray:
    """Funding rates [bar, coin], 0 where none is paid."""
    coins = len(history.instruments) // 2
    rate = np.zeros((len(history.time), coins))
    rate[history.funding_bar, history.funding_instrument - coins] = history.funding_rate
    return rate


class Carries:
    """Carry over one history, for some hedges and bands at once."""

    def __init__(self, history: History) -> None:
        self.bars, self.day = len(history.time), DAY_US // history.interval_us
        self.time = pd.to_datetime(history.time, unit="us")
        self.closed = np.column_stack((history.close[0], history.mark_close[1], np.ones(self.bars)))
        self.opened = np.column_stack((history.open[0], history.open[1]))
        self.rate, self.mark = rates_by_bar(history)[:, 0].copy(), history.mark_open[1].copy()
        self.rows = (np.arange(self.bars) % self.day == 0) | (self.rate != 0.0)

    def run(self, hedge: np.ndarray, band: np.ndarray, path: bool = True) -> np.ndarray:
        """Final equities; with `path` the whole curve is made, as the product's is."""
        many = len(hedge)
        closed = pd.DataFrame(np.tile(self.closed, many), index=self.time, copy=False)
        portfolio = vbt.Portfolio.from_order_func(
            closed, carry_orders, self.opened, self.rate, self.mark, self.day, hedge, band, flexible=True,
            group_by=np.repeat(np.arange(many), 3), cash_sharing=True, init_cash=CASH, pre_group_func_nb=remember,
            pre_segment_func_nb=pass_on, segment_mask=np.repeat(self.rows[:, None], many, 1),
            max_orders=int(4 * self.rows.sum() * many), freq=pd.Timedelta(self.time[1] - self.time[0]),
        )  # fmt: skip
        if path:
            return portfolio.value().to_numpy().reshape(self.bars, -1)[-1]
        return np.atleast_1d(portfolio.final_value())


@njit
def remember_targets(context):
    """Coins wished by coin; then whether the row trades, and which of its legs is next."""
    return (np.zeros(context.group_len // 2), np.zeros(2))


@njit
def begin_row(context, wish, state):
    """The group's memory, to every row."""
    state[1] = 0.0
    return (wish, state)


@njit
def choose(context, wish, known, rates, many):
    """Targets by the rates whose stamps have passed, at the last close; nothing while there are too few."""
    coins, bar = len(wish), context.i
    equity = context.last_cash[0]
    for column in range(2 * coins):
        equity += context.last_position[column] * context.close[bar - 1, column]
    paid = np.zeros(coins)
    for stamp in range(known - WINDOW, known):
        paid += rates[stamp]
    wish[:] = 0.0
    for coin in np.argsort(-paid)[:many]:
        wish[coin] = SHARE * equity / many / context.close[bar - 1, coin]


@njit
def top_funding_orders(context, wish, state, opened, mark, rates, stamps, day, many):
    """Columns: spot pairs, perpetuals, funding. First what the last close decided, then funding, then coin by coin."""
    coins, bar = len(wish), context.i
    if context.call_idx == 0:
        state[0] = 0.0
        if bar % day == 0 and bar > 0 and stamps[bar] >= WINDOW:
            choose(context, wish, stamps[bar], rates, many)
            state[0] = 1.0
        if bar == 0 or stamps[bar] > stamps[bar - 1]:
            paid = 0.0
            for coin in range(coins):
                paid += context.last_position[coins + coin] * mark[bar, coin] * rates[stamps[bar] - 1, coin]
            if paid != 0.0:
                return 2 * coins, order_nb(size=1e-6, price=1.0, fixed_fees=paid)
    while state[0] > 0.0 and state[1] < 2 * coins:
        leg = int(state[1])
        state[1] += 1.0
        coin = leg // 2
        target = np.rint(wish[coin] * 1e8) / 1e8
        if leg % 2 == 0 and target != context.last_position[coin]:
            return coin, spot_order(target - context.last_position[coin], opened[bar, coin])
        if leg % 2 == 1 and -target != context.last_position[coins + coin]:
            change, price = -target - context.last_position[coins + coin], opened[bar, coins + coin]
            return coins + coin, order_nb(size=change, price=price, size_type=SizeType.Amount, fees=FUTURE_FEE)
    return -1, NoOrder


class TopFundings:
    """TopFunding over one history."""

    def __init__(self, history: History) -> None:
        self.bars, self.day = len(history.time), DAY_US // history.interval_us
        self.time = pd.to_datetime(history.time, unit="us")
        coins = len(history.instruments) // 2
        self.closed = np.vstack((history.close[:coins], history.mark_close[coins:], np.ones(self.bars))).T.copy()
        self.opened, self.mark = history.open.T.copy(), history.mark_open[coins:].T.copy()
        rate = rates_by_bar(history)
        paid = np.isin(np.arange(self.bars), history.funding_bar)
        self.rates, self.stamps = rate[paid].copy(), np.cumsum(paid)
        self.rows = paid | (np.arange(self.bars) % self.day == 0)

    def run(self) -> float:
        """Final equity, the whole curve made."""
        width = self.closed.shape[1]
        portfolio = vbt.Portfolio.from_order_func(
            pd.DataFrame(self.closed, index=self.time, copy=False), top_funding_orders, self.opened, self.mark,
            self.rates, self.stamps, self.day, TOP, flexible=True, group_by=np.zeros(width, np.int64),
            cash_sharing=True, init_cash=CASH, pre_group_func_nb=remember_targets, pre_segment_func_nb=begin_row,
            segment_mask=self.rows[:, None], max_orders=int((width + 1) * self.rows.sum()),
            freq=pd.Timedelta(self.time[1] - self.time[0]),
        )  # fmt: skip
        return float(portfolio.value().to_numpy().ravel()[-1])


def w1() -> Callable[[], float]:
    """The pair by the minute."""
    from tests.benchmark.market import pair_market

    carries = Carries(pair_market().history())
    return lambda: float(carries.run(np.array([1.0]), np.array([0.01]))[0])


def w2() -> Callable[[], float]:
    """The universe by the hour."""
    from tests.benchmark.market import universe

    return TopFundings(universe().history()).run


def w3() -> Callable[[], float]:
    """The sweep over the pair by the hour, some points at a time, final equities only: their sum."""
    from tests.benchmark.market import BANDS, HEDGES, pair_market

    carries = Carries(pair_market().history("1h"))
    hedge, band = (each.ravel() for each in np.meshgrid(HEDGES, BANDS, indexing="ij"))

    def every() -> float:
        parts = [carries.run(hedge[k : k + CHUNK], band[k : k + CHUNK], False) for k in range(0, len(hedge), CHUNK)]
        return float(np.concatenate(parts).sum())

    return every


WORKLOADS: dict[str, Callable[[], Callable[[], float]]] = {"w1": w1, "w2": w2, "w3": w3}


def once_from(store: Path) -> float:
    """W1 once, from the Parquet files of a store: for timing the whole process."""
    from pyarrow.parquet import ParquetFile

    def columns(symbol: str, series: str) -> dict[str, np.ndarray]:
        table = ParquetFile(store / "binance" / symbol / f"{series}.parquet").read()
        return {name: table.column(name).cast("int64" if name == "time" else "float64").to_numpy()
                for name in table.column_names}  # fmt: skip

    spot, future = columns("BTC-USDT", "bars-1m"), columns("BTC-USDT_USDT", "bars-1m")
    mark, funding = columns("BTC-USDT_USDT", "mark-ohlc-1m"), columns("BTC-USDT_USDT", "funding")
    bar = np.searchsorted(spot["time"], funding["time"])
    history: Any = SimpleNamespace(
        time=spot["time"], interval_us=int(spot["time"][1] - spot["time"][0]), instruments=(None, None),
        open=np.array([spot["open"], future["open"]]), close=np.array([spot["close"], future["close"]]),
        mark_open=np.array([spot["open"], mark["open"]]), mark_close=np.array([spot["close"], mark["close"]]),
        funding_bar=bar, funding_instrument=np.ones(len(bar), np.int64), funding_rate=funding["funding_rate"],
    )  # fmt: skip
    return float(Carries(history).run(np.array([1.0]), np.array([0.01]))[0])


def main(workload: str) -> None:
    """Make the history, then a timed run a line; the first one compiles."""
    once = WORKLOADS[workload]()
    for _ in sys.stdin:
        started = clock()
        answer = once()
        seconds = clock() - started
        print(json.dumps({"seconds": seconds, "equity": answer, "peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(once_from(Path(sys.argv[2])))
    else:
        main(sys.argv[1])
