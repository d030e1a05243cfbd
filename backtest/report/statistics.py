"""The figures under a run: what it earned, what it risked, what capital it tied up, what the margin mode cost.

Conventions: equity at the closes; returns daily at 00:00 UTC, a year of 365 days, risk-free 0, nothing after ruin;
time-weighted when money comes in or goes out. Drawdown is looked for at every bar. Money is counted in the run's
numeraire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
class Path:
    """What is left of an account's recorded bars, gone through from the first to the last; money in the numeraire."""

    unit: float = 1.0  # USD per numeraire at the last close
    equity: float = float("nan")  # at the last close
    flowed: float = 0.0  # what came in on the way, less what went out
    growth: float = 1.0  # what one unit paid in at the start became; flows are taken out, and after ruin it stays 0
    drawdown: float = 0.0
    most: float = 1.0  # the highest growth
    bar: int = -1  # the last one
    bars: int = 0
    end_us: int = 0
    lowest: float = float("nan")  # margin ratio
    lowest_us: int = 0
    lowest_wallet: str = ""
    utilization: float = float("nan")
    haircut: float = 0.0  # summed over the bars
    worst_haircut: float = -np.inf
    needed: float = 0.0  # initial margin, summed over the bars
    needing: int = 0  # bars with any
    most_needed: float = -np.inf
    by_path: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PATHS, float("nan")))
    days: list[tuple[Ints, Floats]] = field(default_factory=list)  # closes that a midnight may have come after; growth


@dataclass
class Performance:
    """One account's equity, its growth without later deposits, and its daily returns."""

    record: RunRecord
    account: int

    @cached_property
    def ledger(self) -> Columns:
        """The account's ledger."""
        return self.record.columns("ledger", self.account)

    @property
    def numeraire(self) -> str:
        """What money is counted in."""
        return self.record.config.report.numeraire

    @property
    def start_us(self) -> int:
        """The first open."""
        return int(self.record.history.time[0])

    @cached_property
    def start(self) -> float:
        """The first deposits at the first open, in the numeraire."""
        return self.record.start_equity(self.account) / float(self.record.index(self.numeraire, "open")[0])

    @cached_property
    def _flows(self) -> tuple[Ints, Floats]:
        """Bars in which money came in (out: negative), and how much, at the index of the bar's open, in the
        numeraire.
        """
        rows = self.record.later_flows(self.account)
        bars = self.record.bars(rows)
        unit = self.record.room.take(self.record.index(self.numeraire, "open"), bars)
        return bars, self.record.flows_usd(rows, "open") / unit

    @cached_property
    def path(self) -> Path:
        """The recorded bars, gone through."""
        path = Path(equity=self.start)
        for rows in self.record.parts("account", self.account):
            self._go_on(path, rows)
        return path

    def _go_on(self, path: Path, rows: Columns) -> None:
        """Some bars more."""
        bars, closes = self.record.bars(rows), rows["time"] + self.record.history.interval_us
        unit = self.record.index(self.numeraire)[bars]
        equity, flows = rows["equity"] / unit, self._flows_over(path, bars)
        before = np.concatenate(([path.equity], equity[:-1])) + flows
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(before > 0, equity / before, 0.0)
        growth = np.cumprod(np.concatenate(([path.growth], np.maximum(grown, 0.0))))
        path.drawdown = max(path.drawdown, drawdown(growth[1:], path.most))
        path.most = max(path.most, float(growth.max()))
        path.days.append(_by_midnight(closes, growth[1:]))
        _note_margins(path, rows, unit)
        path.unit, path.equity, path.growth = float(unit[-1]), float(equity[-1]), float(growth[-1])
        path.flowed += float(flows.sum())
        path.bars, path.end_us = path.bars + len(rows), int(closes[-1])

    def _flows_over(self, path: Path, bars: Ints) -> Floats:
        """Money that came in over each of these bars; what came after the last one recorded counts in it."""
        at, values = self._flows
        last = path.bars + len(bars) == self.record.bars_of(self.account)
        mine = (at > path.bar) & ((at <= bars[-1]) | last)
        path.bar = int(bars[-1])
        into = np.minimum(np.searchsorted(bars, at[mine]), len(bars) - 1)
        return summed(into.astype(np.int64), values[mine], len(bars))

    @cached_property
    def daily(self) -> pd.Series:
        """Returns from 00:00 to 00:00 UTC, labelled by their day (no zone); whole days only, none after ruin."""
        times = np.concatenate([[self.start_us], *(closes for closes, _ in self.path.days)])
        growth = np.concatenate([[1.0], *(values for _, values in self.path.days)])
        first, last = -(-self.start_us // DAY_US), self.path.end_us // DAY_US
        midnights = np.arange(first, last + 1, dtype=np.int64)
        sampled = growth[np.searchsorted(times, midnights * DAY_US, side="right") - 1]
        whole = sampled[:-1] > 0
        returns = sampled[1:][whole] / sampled[:-1][whole] - 1.0
        days = pd.DatetimeIndex(midnights[:-1][whole].astype("datetime64[D]").astype("datetime64[us]"), name="time")
        return pd.Series(returns, index=days, name="returns")

    @property
    def profit(self) -> float:
        """End equity less start equity and what came in since."""
        return self.path.equity - self.start - self.path.flowed

    def paid(self, *kinds: str) -> float:
        """Ledger rows of some kinds, at their bars' close index, in the numeraire."""
        rows = self.ledger.where(self.ledger.among("kind", *kinds))
        if not len(rows):
            return 0.0
        unit = self.record.room.take(self.record.index(self.numeraire), self.record.bars(rows))
        return float((self.record.flows_usd(rows) / unit).sum())


def _by_midnight(closes: Ints, growth: Floats) -> tuple[Ints, Floats]:
    """Of some closes and what one unit had become there, those that may be the last at or before a midnight."""
    day = closes // DAY_US
    kept = (closes % DAY_US == 0) | np.append(day[1:] != day[:-1], True)
    return closes[kept], growth[kept]


def _note_margins(path: Path, rows: Columns, unit: Floats) -> None:
    """Lowest ratios, haircuts and margins of some bars more."""
    ratios = rows["worst_ratio"]
    at = int(ratios.argmin())
    if not path.bars or ratios[at] < path.lowest:
        path.lowest, path.lowest_us = float(ratios[at]), int(rows["time"][at])
        path.lowest_wallet = rows.words("worst_wallet").text(at)
    for name, column in PATHS.items():
        path.by_path[name] = float(np.fmin(path.by_path[name], np.fmin.reduce(rows[column])))
    path.utilization = float(np.fmax(path.utilization, np.fmax.reduce(rows["utilization"])))
    haircut, needed = (rows["equity"] - rows["collateral_equity"]) / unit, rows["initial_margin"] / unit
    path.haircut, path.worst_haircut = path.haircut + float(haircut.sum()), max(path.worst_haircut, float(haircut.max()))
    some = needed[needed > 0]
    path.needed, path.needing = path.needed + float(some.sum()), path.needing + len(some)
    path.most_needed = max(path.most_needed, float(needed.max()))


def drawdown(growth: Floats, most: float = 1.0) -> float:
    """Largest fall from an earlier high, as a fraction; `most`: the highest before."""
    path = np.concatenate(([most], growth))
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
