"""The figures under a run: what it earned, what it risked, what capital it tied up, what the margin mode cost.

Conventions: equity at the closes; returns daily at 00:00 UTC, a year of 365 days, risk-free 0, nothing after ruin;
time-weighted when money comes in or goes out. Drawdown is looked for at every bar. Money is counted in the run's
numeraire.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from backtest.report.capital import least_capital
from backtest.report.columns import Columns
from backtest.report.explain import liquidation_cost
from backtest.report.record import FORCED, Floats, Ints, RunRecord, summed

DAY_US = 86_400_000_000
YEAR_DAYS = 365.0
PATHS = {"close": "ratio_close", "low_then_high": "ratio_low_then_high", "each_worst": "ratio_each_worst"}


def statistics(record: RunRecord, account: int | str = 0) -> pd.Series:
    """One account's figures under human labels; percent where the label says [%], money in the numeraire."""
    numbers = Performance(record, record.number_of(account))
    figures: dict[str, object] = {}
    for group in (_span, _returns, _payments, _events, _margin, _capital):
        figures.update(group(numbers))
    return pd.Series(figures, name=record.account_names[numbers.account], dtype=object)


@dataclass
class Performance:
    """One account's equity, its growth without later deposits, and its daily returns."""

    record: RunRecord
    account: int

    @cached_property
    def rows(self) -> Columns:
        """The account's bars."""
        return self.record.columns("account", self.account)

    @cached_property
    def ledger(self) -> Columns:
        """The account's ledger."""
        return self.record.columns("ledger", self.account)

    @cached_property
    def unit(self) -> Floats:
        """USD per numeraire at the close of each recorded bar."""
        return self.record.index(self.record.config.report.numeraire)[self.record.bars(self.rows)]

    @cached_property
    def equity(self) -> Floats:
        """Equity at the closes, in the numeraire."""
        worth: Floats = self.rows["equity"] / self.unit
        return worth

    @cached_property
    def closes_us(self) -> Ints:
        """Close times of the recorded bars."""
        closes: Ints = self.rows["time"] + self.record.history.interval_us
        return closes

    @property
    def start_us(self) -> int:
        """The first open."""
        return int(self.record.history.time[0])

    @cached_property
    def start(self) -> float:
        """The first deposits at the first open, in the numeraire."""
        return self.record.start_equity(self.account) / float(
            self.record.index(self.record.config.report.numeraire, "open")[0]
        )

    @cached_property
    def flows(self) -> Floats:
        """Money that came in (out: negative) over each recorded bar, at the index of its open, in the numeraire."""
        rows = self.record.later_flows(self.account)
        if not len(rows):
            return np.zeros(len(self.rows))
        bars = self.record.bars(rows)
        values = (
            self.record.flows_usd(rows, "open") / self.record.index(self.record.config.report.numeraire, "open")[bars]
        )
        into = np.searchsorted(self.record.bars(self.rows), bars)
        return summed(np.minimum(into, len(self.rows) - 1).astype(np.int64), values, len(self.rows))

    @cached_property
    def growth(self) -> Floats:
        """What one unit paid in at the start became, at the closes; flows are taken out, and after ruin it stays 0."""
        before = np.concatenate(([self.start], self.equity[:-1])) + self.flows
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(before > 0, self.equity / before, 0.0)
        return np.cumprod(np.maximum(grown, 0.0)).astype(np.float64)

    @cached_property
    def ruined(self) -> int | None:
        """The recorded bar at which equity was gone; None if it never was."""
        gone = np.flatnonzero(self.equity <= 0)
        return int(gone[0]) if len(gone) else None

    @cached_property
    def daily(self) -> pd.Series:
        """Returns from 00:00 to 00:00 UTC, labelled by their day (no zone); whole days only, none after ruin."""
        times = np.concatenate(([self.start_us], self.closes_us))
        growth = np.concatenate(([1.0], self.growth))
        first, last = -(-int(times[0]) // DAY_US), int(times[-1]) // DAY_US
        midnights = np.arange(first, last + 1, dtype=np.int64)
        sampled = growth[np.searchsorted(times, midnights * DAY_US, side="right") - 1]
        whole = sampled[:-1] > 0
        returns = sampled[1:][whole] / sampled[:-1][whole] - 1.0
        days = pd.DatetimeIndex(midnights[:-1][whole].astype("datetime64[D]").astype("datetime64[us]"), name="time")
        return pd.Series(returns, index=days, name="returns")

    @property
    def profit(self) -> float:
        """End equity less start equity and what came in since."""
        return float(self.equity[-1] - self.start - self.flows.sum())

    def paid(self, *kinds: str) -> float:
        """Ledger rows of some kinds, at their bars' close index, in the numeraire."""
        rows = self.ledger.where(self.ledger.among("kind", *kinds))
        if not len(rows):
            return 0.0
        unit = self.record.index(self.record.config.report.numeraire)[self.record.bars(rows)]
        return float((self.record.flows_usd(rows) / unit).sum())


def drawdown(growth: Floats) -> float:
    """Largest fall from an earlier high, as a fraction."""
    path = np.concatenate(([1.0], growth))
    return float((1.0 - path / np.maximum.accumulate(path)).max())


def holding_return(record: RunRecord, account: int) -> float:
    """Return of keeping the first deposits as they were, as a fraction, in the numeraire."""
    rows, numeraire = record.first_deposits(account), record.config.report.numeraire
    if not len(rows):
        return float("nan")
    ends = [record.index(str(asset))[-1] / record.index(numeraire)[-1] for asset in rows["asset"]]
    start = record.flows_usd(rows, "open").sum() / record.index(numeraire, "open")[0]
    return float(np.nansum(rows["amount"] * ends) / start - 1.0)


def _time(time_us: int) -> pd.Timestamp:
    return pd.Timestamp(int(time_us), unit="us", tz="UTC")


def _span(of: Performance) -> dict[str, object]:
    end = int(of.closes_us[-1])
    return {
        "Start": _time(of.start_us), "End": _time(end), "Duration": pd.Timedelta(end - of.start_us, unit="us"),
        "Margin Mode": of.record.modes[of.account], "Numeraire": of.record.config.report.numeraire,
        "Start Equity": of.start, "End Equity": float(of.equity[-1]), "Deposits and Withdrawals": float(of.flows.sum()),
    }  # fmt: skip


def _returns(of: Performance) -> dict[str, object]:
    days, grown, worst = of.daily.to_numpy(), float(of.growth[-1]), drawdown(of.growth)
    years = (int(of.closes_us[-1]) - of.start_us) / DAY_US / YEAR_DAYS
    annual = grown ** (1.0 / years) - 1.0
    spread = float(days.std(ddof=1)) if len(days) > 1 else float("nan")
    below = float(np.sqrt(np.mean(np.minimum(days, 0.0) ** 2))) if len(days) > 1 else float("nan")
    mean = float(days.mean()) if len(days) else float("nan")
    return {
        "Total Return [%]": 100 * (grown - 1.0),
        "Annualised Return [%]": 100 * annual,
        "Return of Holding the Deposit [%]": 100 * holding_return(of.record, of.account),
        "Volatility [%]": 100 * spread * np.sqrt(YEAR_DAYS),
        "Sharpe": _ratio(mean * np.sqrt(YEAR_DAYS), spread),
        "Sortino": _ratio(mean * np.sqrt(YEAR_DAYS), below),
        "Max Drawdown [%]": 100 * worst,
        "Calmar": _ratio(annual, worst),
    }


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")


def _payments(of: Performance) -> dict[str, object]:
    return {
        "Funding": of.paid("funding"), "Fees": of.paid("fee", "delivery_fee"), "Interest": of.paid("interest"),
        "Liquidation Cost": liquidation_cost(of.record, of.account) / float(of.unit[-1]),
    }  # fmt: skip


def _events(of: Performance) -> dict[str, object]:
    return {
        "Fills": len(of.record.columns("fills", of.account)),
        "Refusals": int(of.record.columns("orders", of.account).among("state", "refused").sum()),
        "Liquidations": len(_forced(of.record, of.account)),
        "Survived": survival(of.record, of.account),
    }


def forced_moments(record: RunRecord, account: int) -> pd.DataFrame:
    """Bars and wallets in which the venue took something, first rung first."""
    return record.of("incidents", account).iloc[_forced(record, account)]


def _forced(record: RunRecord, account: int) -> Ints:
    """Their rows among the account's incidents."""
    rows = record.columns("incidents", account)
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    first = dict[tuple[int, str], int]()
    for row in np.flatnonzero(rows.among("rung", *FORCED)).tolist():
        first.setdefault((rows["time"][row], rows["wallet"][row]), row)
    return np.array(list(first.values()), dtype=np.int64)


def survival(record: RunRecord, account: int) -> str:
    """`yes`, `no` with the time of the first liquidation, or that the path inside a bar decides it.

    Up to the first liquidation the three readings of the path are compared. Where none of them shows it, it was a gap
    at the open, which every reading shares. Where they disagree, a later liquidation that all of them share decides.
    """
    rows, taken = record.columns("account", account), _forced(record, account)
    times, forced = rows["time"], record.columns("incidents", account)["time"][taken] if len(taken) else taken
    unsafe = np.array([rows[path] <= rows["liquidation_level"] for path in PATHS.values()])
    shared = times[unsafe.all(axis=0) & np.isin(times, forced)] if len(forced) else forced
    if len(forced):
        unsafe = unsafe[:, times <= forced[0]]
    if unsafe.any() and not unsafe.any(axis=1).all():
        first = minute(times[unsafe.any(axis=0).argmax()])
        if len(shared):
            return f"no: {minute(shared[0])} (on one reading {first})"
        return f"undecided inside the bar ({first})"
    return f"no: {minute(forced[0])}" if len(forced) else "yes"


def minute(time_us: int) -> str:
    """Microseconds UTC as a reader wants them."""
    return f"{_time(time_us):%Y-%m-%d %H:%M}"


def _margin(of: Performance) -> dict[str, object]:
    rows = of.rows
    lowest = rows["worst_ratio"]
    at = int(lowest.argmin())
    needed = bool(np.isfinite(lowest[at]))
    figures: dict[str, object] = {
        "Lowest Margin Ratio": float(lowest[at]),
        "Lowest Margin Ratio At": _time(rows["time"][at]) if needed else None,
        "Lowest Margin Ratio Wallet": rows.words("worst_wallet").text(at) if needed else None,
    }
    for path, column in PATHS.items():
        figures[f"Lowest Margin Ratio, {path.replace('_', ' ')}"] = float(np.fmin.reduce(rows[column]))
    haircut = (rows["equity"] - rows["collateral_equity"]) / of.unit
    figures |= {
        "Peak Utilization": float(np.fmax.reduce(rows["utilization"])),
        "Average Haircut": float(haircut.mean()),
        "Worst Haircut": float(haircut.max()),
    }
    return figures


def _capital(of: Performance) -> dict[str, object]:
    needed = of.rows["initial_margin"] / of.unit
    average = float(needed[needed > 0].mean()) if (needed > 0).any() else 0.0
    least = least_capital(of.record, of.account) / float(of.record.index(of.record.config.report.numeraire, "open")[0])
    return {
        "Average Initial Margin": average,
        "Peak Initial Margin": float(needed.max()),
        "Least Capital": least,
        "Return on Least Capital [%]": 100 * _ratio(of.profit, least),
        "Return on Margin [%]": 100 * _ratio(of.profit, average),
        "Leverage Assumed": _leverage_words(of),
    }


def _leverage_words(of: Performance) -> str:
    accounts = of.record.config.account
    table = accounts[min(of.account, len(accounts) - 1)].leverage
    own = [f"{symbol} {value:g}x" for symbol, value in sorted(table.items()) if symbol != "default"]
    return ", ".join([f"{table['default']:g}x", *own])
