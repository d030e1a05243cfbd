"""The figures under a run: what it earned, what it risked, what capital it tied up, what the margin mode cost.

Conventions: equity at the closes; returns daily at 00:00 UTC, a year of 365 days, risk-free 0, nothing after ruin;
time-weighted when money comes in or goes out. Drawdown is looked for at every bar. Money is counted in the run's
numeraire.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.market.schema import DAY_US
from backtest.report.capital import least_capital
from backtest.report.explain import liquidation_cost
from backtest.report.performance import PATHS, Performance, drawdown
from backtest.report.record import FORCED, Ints, RunRecord

__all__ = [
    "Performance", "by_label", "drawdown", "forced_moments", "holding_return", "minute", "statistics", "survival",
]  # fmt: skip

YEAR_DAYS = 365.0


def statistics(record: RunRecord, account: int | str = 0) -> pd.Series:
    """One account's figures under human labels; percent where the label says [%], money in the numeraire."""
    number = record.number_of(account)
    return pd.Series(by_label(record, number), name=record.account_names[number], dtype=object)


def by_label(record: RunRecord, account: int) -> dict[str, object]:
    """The same, by label."""
    numbers = Performance(record, account)
    figures: dict[str, object] = {}
    for group in (_span, _returns, _payments, _events, _margin, _capital):
        figures.update(group(numbers))
    return figures


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
    end = of.path.end_us
    return {
        "Start": _time(of.start_us), "End": _time(end), "Duration": pd.Timedelta(end - of.start_us, unit="us"),
        "Margin Mode": of.record.modes[of.account], "Numeraire": of.numeraire,
        "Start Equity": of.start, "End Equity": of.path.equity, "Deposits and Withdrawals": of.path.flowed,
    }  # fmt: skip


def _returns(of: Performance) -> dict[str, object]:
    days, grown, worst = of.daily.to_numpy(), of.path.growth, of.path.drawdown
    years = (of.path.end_us - of.start_us) / DAY_US / YEAR_DAYS
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
        "Max Drawdown At": _time(of.path.drawdown_us) if worst > 0.0 else None,
        "Calmar": _ratio(annual, worst),
    }


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")


def _payments(of: Performance) -> dict[str, object]:
    return {
        "Funding": of.paid("funding"), "Fees": of.paid("fee", "delivery_fee"), "Interest": of.paid("interest"),
        "Liquidation Cost": liquidation_cost(of.record, of.account) / of.path.unit,
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
    taken = _forced(record, account)
    forced = record.columns("incidents", account)["time"][taken] if len(taken) else taken
    readings, first, shared = np.zeros(len(PATHS), np.bool_), list[int](), list[int]()
    for rows in record.parts("account", account):
        times = rows["time"]
        unsafe = np.array([rows[path] <= rows["liquidation_level"] for path in PATHS.values()])
        if len(forced):
            shared += times[unsafe.all(axis=0) & np.isin(times, forced)][:1].tolist()
            unsafe = unsafe[:, times <= forced[0]]
        readings |= unsafe.any(axis=1)
        first += times[: unsafe.shape[1]][unsafe.any(axis=0)][:1].tolist()
    if readings.any() and not readings.all():
        if shared:
            return f"no: {minute(shared[0])} (on one reading {minute(first[0])})"
        return f"undecided inside the bar ({minute(first[0])})"
    return f"no: {minute(forced[0])}" if len(forced) else "yes"


def minute(time_us: int) -> str:
    """Microseconds UTC as a reader wants them."""
    return f"{_time(time_us):%Y-%m-%d %H:%M}"


def _margin(of: Performance) -> dict[str, object]:
    path, needed = of.path, bool(np.isfinite(of.path.lowest))
    lows = {f"Lowest Margin Ratio, {name.replace('_', ' ')}": ratio for name, ratio in path.by_path.items()}
    return {
        "Lowest Margin Ratio": path.lowest,
        "Lowest Margin Ratio At": _time(path.lowest_us) if needed else None,
        "Lowest Margin Ratio Wallet": path.lowest_wallet if needed else None,
        **lows,
        "Peak Utilization": path.utilization,
        "Average Haircut": path.haircut / path.bars,
        "Worst Haircut": path.worst_haircut,
    }


def _capital(of: Performance) -> dict[str, object]:
    average = of.path.needed / of.path.needing if of.path.needing else 0.0
    least = least_capital(of.record, of.account) / float(of.record.index(of.numeraire, "open")[0])
    return {
        "Average Initial Margin": average,
        "Peak Initial Margin": of.path.most_needed,
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
