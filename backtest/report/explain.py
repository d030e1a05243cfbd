"""Where the money came from: the change in equity, taken apart bar by bar so that the parts sum to it.

Every bar is walked from close to close. What was held over the bar earns the change of its index (`price` for coins,
`fx` for quote currencies); a futures position earns its delta times the index change as `price` and the rest of its
mark's move as `basis`. A fill costs what lies between its price and the mark (`execution`), and earns price and basis
from there to the close. Every payment of the ledger stands under its own name. What is left over is printed as
`residual`, and is rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from backtest.report.books import EXECUTION_OF_CAUSE, PARTS, Books, taken_by_fund
from backtest.report.columns import Column, Columns, Words, times_of
from backtest.report.held import Held
from backtest.report.record import Floats, RunRecord
from backtest.report.steps import QUOTES, part_of_asset

__all__ = ["PARTS", "QUOTES", "explain", "explain_by_bar", "explained", "part_of_asset", "parts_of"]


def explain(record: RunRecord, account: int = 0) -> pd.Series:
    """The parts of one account's change in equity, USD; their sum is end equity minus start equity.

    `conversion` rows are exchanges at the index, so what they show at the bar's close is price. The mark at delivery
    differs from the delivery price by `basis`. All of it rests on one identity:
    equity = Σ balance x index + Σ (contracts x value - cost) x index.
    """
    parts = parts_of(record, account)
    return pd.Series({part: _summed(record, parts[part]) for part in PARTS}, name=record.account_names[account])


def explain_by_bar(record: RunRecord, account: int = 0) -> pd.DataFrame:
    """The same a bar, USD: `time` (the bar's open), then a column a part. A row sums to its bar's change in equity."""
    return pd.DataFrame({"time": times_of(record.history.time), **parts_of(record, account)}, copy=False)


def explained(record: RunRecord) -> Iterator[Columns]:
    """The same of every account by column, some bars after others."""
    for account, name in enumerate(record.account_names):
        parts = parts_of(record, account)
        for bars in record.room.parts(len(record.history.time)):
            many = bars.stop - bars.start
            columns: dict[str, Column] = {"time": record.history.time[bars], "account": Words.same(name, many)}
            yield Columns.given(many, {**columns, **{part: parts[part][bars] for part in PARTS}})


def _summed(record: RunRecord, part: Floats) -> float:
    """A part of the profit over all bars."""
    return float(sum(part[bars].sum() for bars in record.room.parts(len(part))))


def parts_of(record: RunRecord, account: int) -> dict[str, Floats]:
    """The parts by name [bar], USD. The record keeps them: figures, parts and pages all ask for them."""
    if account not in record.explained:
        record.explained[account] = _walked(record, account)
    return record.explained[account]


def _walked(record: RunRecord, account: int) -> dict[str, Floats]:
    books = Books(record, account)
    for asset in record.history.assets:
        books.hold(asset)
    books.pay()
    for number, instrument in enumerate(record.history.instruments):
        if instrument.kind == "spot":
            books.trade_spot(number, instrument)
        elif len(fills := books.fills_of(instrument)):
            held = Held(books, number, instrument, fills)
            held.carry()
            held.fill()
    return books.closed()


def liquidation_cost(record: RunRecord, account: int) -> float:
    """The part `liquidation` of the profit, USD; the rest of the parts is not looked for where nothing was taken."""
    forced = [cause for cause, part in EXECUTION_OF_CAUSE.items() if part == "liquidation"]
    ledger = record.columns("ledger", account)
    taken = record.columns("fills", account).among("cause", *forced).any()
    charged = (ledger.among("kind", "liquidation_fee") | taken_by_fund(ledger)).any()
    return _summed(record, parts_of(record, account)["liquidation"]) if taken or charged else 0.0
