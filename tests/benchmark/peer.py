"""vectorbt's run of the same strategies, in a process of its own: it answers each line on its input with a timed run.

It keeps cash and positions; margin, haircuts, brackets, liquidation and a mark apart from the trade are not in it. A
short is a cash short sale, valued at the mark's close here; funding is booked as the fixed fee of a tiny order in a
column of its own. Coins taken as a fee are a smaller purchase at a higher fixed fee: the same dollars, the same coins.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio.enums import NoOrder, SizeType
from vectorbt.portfolio.nb import order_nb

from backtest.market.history import History
from tests.benchmark.market import DAY_US, pair_market
from tests.benchmark.reference import CASH, FUTURE_FEE, SHARE, SPOT_FEE

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


def w1() -> Callable[[], float]:
    """The pair by the minute."""
    carries = Carries(pair_market().history())
    return lambda: float(carries.run(np.array([1.0]), np.array([0.01]))[0])


WORKLOADS: dict[str, Callable[[], Callable[[], Any]]] = {"w1": w1}


def main(workload: str) -> None:
    """Make the history, then a timed run a line; the first one compiles and is told apart."""
    once = WORKLOADS[workload]()
    for _ in sys.stdin:
        started = time.perf_counter()
        answer = once()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "equity": answer, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
