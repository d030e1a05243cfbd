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

from backtest.report.explain import liquidation_cost
from backtest.report.record import FORCED, Floats, Ints, RunRecord, microseconds, summed

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
    def rows(self) -> pd.DataFrame:
        """The account's bars."""
        return self.record.of("account", self.account)

    @cached_property
    def unit(self) -> Floats:
        """USD per numeraire at the close of each recorded bar."""
        return self.record.index(self.record.config.report.numeraire)[self.record.bars(self.rows)]

    @cached_property
    def equity(self) -> Floats:
        """Equity at the closes, in the numeraire."""
        worth: Floats = self.rows["equity"].to_numpy(dtype=np.float64) / self.unit
        return worth

    @cached_property
    def closes_us(self) -> Ints:
        """Close times of the recorded bars."""
        return microseconds(self.rows["time"]) + self.record.history.interval_us

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
        if rows.empty:
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
        ledger = self.record.of("ledger", self.account)
        rows = ledger[ledger["kind"].isin(kinds)]
        if rows.empty:
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
    if rows.empty:
        return float("nan")
    ends = {asset: record.index(str(asset))[-1] / record.index(numeraire)[-1] for asset in rows["asset"].unique()}
    start = record.flows_usd(rows, "open").sum() / record.index(numeraire, "open")[0]
    return float((rows["amount"] * rows["asset"].map(ends)).sum() / start - 1.0)


def _time(time_us: int) -> pd.Timestamp:
    return pd.Timestamp(time_us, unit="us", tz="UTC")


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
    orders = of.record.of("orders", of.account)
    return {
        "Fills": len(of.record.of("fills", of.account)),
        "Refusals": int((orders["state"] == "refused").sum()) if len(orders) else 0,
        "Liquidations": len(forced_moments(of.record, of.account)),
        "Survived": survival(of.record, of.account),
    }


def forced_moments(record: RunRecord, account: int) -> pd.DataFrame:
    """Bars and wallets in which the venue took something, first rung first."""
    rows = record.of("incidents", account)
    if rows.empty:
        return rows
    return rows[rows["rung"].isin(FORCED)].drop_duplicates(["time", "wallet"])


def survival(record: RunRecord, account: int) -> str:
    """`yes`, `no` with the time of the first liquidation, or that the path inside a bar decides it.

    Up to the first liquidation the three readings of the path are compared. Where none of them shows it, it was a gap
    at the open, which every reading shares. Where they disagree, a later liquidation that all of them share decides.
    """
    forced, rows = forced_moments(record, account), record.of("account", account)
    unsafe = rows[list(PATHS.values())].le(rows["liquidation_level"], axis=0)
    shared = rows.loc[unsafe.all(axis=1) & rows["time"].isin(forced["time"] if len(forced) else []), "time"]
    if len(forced):
        rows = rows[rows["time"] <= forced["time"].iloc[0]]
        unsafe = unsafe.loc[rows.index]
    if unsafe.to_numpy().any() and not unsafe.any().all():
        first = f"{rows.loc[unsafe.any(axis=1), 'time'].iloc[0]:%Y-%m-%d %H:%M}"
        if len(shared):
            return f"no: {shared.iloc[0]:%Y-%m-%d %H:%M} (on one reading {first})"
        return f"undecided inside the bar ({first})"
    return f"no: {forced['time'].iloc[0]:%Y-%m-%d %H:%M}" if len(forced) else "yes"


def _margin(of: Performance) -> dict[str, object]:
    rows = of.rows
    lowest = rows["worst_ratio"].to_numpy(dtype=np.float64)
    at = int(lowest.argmin())
    needed = bool(np.isfinite(lowest[at]))
    figures: dict[str, object] = {
        "Lowest Margin Ratio": float(lowest[at]),
        "Lowest Margin Ratio At": pd.Timestamp(rows["time"].iloc[at]) if needed else None,
        "Lowest Margin Ratio Wallet": rows["worst_wallet"].iloc[at] if needed else None,
    }
    for path, column in PATHS.items():
        figures[f"Lowest Margin Ratio, {path.replace('_', ' ')}"] = float(rows[column].min())
    haircut = (rows["equity"] - rows["collateral_equity"]).to_numpy(dtype=np.float64) / of.unit
    figures |= {
        "Peak Utilization": float(rows["utilization"].max()),
        "Average Haircut": float(haircut.mean()),
        "Worst Haircut": float(haircut.max()),
    }
    return figures


def _capital(of: Performance) -> dict[str, object]:
    needed = of.rows["initial_margin"].to_numpy(dtype=np.float64) / of.unit
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


def least_capital(record: RunRecord, account: int) -> float:
    """The smallest deposit, USD, with which the same fills would have met every requirement on the way.

    Σ wallets [start equity - min over bars (collateral - max(initial, level x maintenance))], the minimum along the
    bar's path; later flows count against the wallet they came to. Nothing below 0: an account that needed nothing needs
    no capital. Spot alone, which no margin rule watches, needs what was paid in.
    """
    rows, first = record.of("wallets", account), record.first_deposits(account)
    if rows.empty:
        return float(record.flows_usd(first, "open").sum())
    wallet_start = pd.Series(record.flows_usd(first, "open")).groupby(first["wallet"].to_numpy()).sum()
    spare = (rows["headroom"] - _came_in(record, account, rows)).groupby(rows["wallet"]).min()
    wallets = spare.index.union(wallet_start.index)
    least = wallet_start.reindex(wallets, fill_value=0.0) - spare.reindex(wallets, fill_value=0.0)
    return max(0.0, float(least.sum()))


def _came_in(record: RunRecord, account: int, rows: pd.DataFrame) -> Floats:
    """Later deposits less withdrawals of each row's wallet up to its bar, USD at the time."""
    flows, came = record.later_flows(account), np.zeros(len(rows))
    values, bars, at = record.flows_usd(flows), record.bars(flows), record.bars(rows)
    for value, bar, wallet in zip(values, bars, flows["wallet"], strict=True):
        came[(at >= bar) & (rows["wallet"] == wallet).to_numpy()] += value
    return came
