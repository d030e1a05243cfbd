"""The parts of the profit by calendar: what each day or month (UTC) earned and lost, and on what; the worst days."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.errors import InputError, nearest
from backtest.report.columns import naive
from backtest.report.explain import PARTS

PERIODS = ("bar", "day", "month")
LEAST_SHOWN = 0.005  # USD: a part that never came to as much has no column
_UNIT = {"day": "D", "month": "M"}


def by_period(parts: pd.DataFrame, by: str) -> pd.DataFrame:
    """Parts by bar added up into days or months by the bars' opens: a row a period, a column a part, USD.

    Several accounts stand one below the other (rows account, time). InputError for a period that is none.
    """
    if by not in PERIODS:
        raise InputError(f"by = {by!r}: {nearest(str(by), PERIODS)} (valid: {', '.join(PERIODS)})")
    time = started(parts["time"], by)
    keys: list[pd.Series] = [time] if parts["account"].nunique() < 2 else [parts["account"], time]
    sums: pd.DataFrame = parts[list(PARTS)].groupby(keys, sort=False).sum()
    return sums


def started(times: pd.Series, by: str) -> pd.Series:
    """The period each bar belongs to, by its first moment (UTC)."""
    if by == "bar":
        return times.rename("time")
    floored = naive(times).astype(f"datetime64[{_UNIT[by]}]").astype("datetime64[us]")
    return pd.Series(pd.DatetimeIndex(floored).tz_localize("UTC"), index=times.index, name="time")


def worst_days(account: pd.DataFrame, parts: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """The days on which one account lost most, the worst first: change of equity without what was paid in or out, USD
    and as a share of the equity before; the parts that made it; the lowest margin ratio. Days without a loss are none.
    """
    earned = by_period(parts, "day").drop(columns="deposits and withdrawals")
    change = earned.sum(axis=1)
    rows = account.assign(day=started(account["time"], "day"), first=before_each_bar(account, parts))
    by_day = rows.groupby("day").agg(first=("first", "first"), lowest=("worst_ratio", "min"))
    told = [part for part in earned if earned[part].abs().max() >= LEAST_SHOWN]
    lost = change[change < 0.0].nsmallest(most).index
    shares = 100.0 * change / by_day["first"].where(by_day["first"] > 0.0)
    found = pd.DataFrame({"change": change, "change [%]": shares, **earned[told], "lowest ratio": by_day["lowest"]})
    return found.loc[lost].rename_axis("day").reset_index()


def before_each_bar(account: pd.DataFrame, parts: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Equity that each bar began with: at the first, what its close and its parts say."""
    equity = account["equity"].to_numpy(dtype=np.float64)
    first = equity[:1] - parts[list(PARTS)].to_numpy()[:1].sum(axis=1)
    return np.concatenate([first, equity[:-1]])
