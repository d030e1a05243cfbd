"""A comparison in words: what capital its modes tie up, which accounts died, and where two of them first parted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.market.schema import INTERVALS
from backtest.report.record import RunRecord
from backtest.report.result import Result


def verdict_of(orders: pd.DataFrame, signals: pd.DataFrame, runs: dict[str, Result]) -> str:
    """The comparison in a paragraph: capital, survival, and where two accounts first parted."""
    least = orders.loc["Least Capital"].astype(float)
    words = [
        f"For the same fills the least capital runs from {least.min():,.0f} ({least.idxmin()}) to {least.max():,.0f} "
        f"({least.idxmax()}) USD."
    ]
    dead = [
        f"{mode}, {_died(signals.at['Survived', mode])}" for mode in signals if signals.at["Survived", mode] != "yes"
    ]
    words.append(f"Not surviving on their own: {'; '.join(dead)}." if dead else "On its own state every account lived.")
    parted = first_divergence(runs)
    words.append(parted or "All modes traded alike to the end.")
    return " ".join(words)


def _died(survived: str) -> str:
    """When an account was liquidated, or that one reading of a bar says so."""
    state, _, at = survived.removeprefix("no: ").partition(" (")
    return f"{state} of {at.rstrip(')')}" if state.startswith("undecided") else survived.removeprefix("no: ")


def first_divergence(runs: dict[str, Result]) -> str | None:
    """When and how the first account did something the others did not: a refusal, a cut, a forced fill, a size."""
    found = first_parting(runs)
    return None if found is None else parting_words(runs, found)


def first_parting(runs: dict[str, Result]) -> tuple[str, str, pd.Timestamp] | None:
    """The first mode and the one that parted from it first, and the bar."""
    found: tuple[str, str, pd.Timestamp] | None = None
    first, *others = runs
    for mode in others:
        here = _parting(runs[first].record, runs[mode].record)
        if here is not None and (found is None or here < found[2]):
            found = first, mode, here
    return found


def parting_words(runs: dict[str, Result], parting: tuple[str, str, pd.Timestamp]) -> str:
    """A parting in a sentence, with what happened to the two accounts."""
    one, other, at = parting
    return f"First to part: {one} and {other} on {at:%Y-%m-%d %H:%M}; {_why(runs, one, other, at)}."


def _parting(one: RunRecord, other: RunRecord) -> pd.Timestamp | None:
    """First bar whose fills differ in size by more than a thousandth."""
    sums = [r.fills.groupby(["time", "symbol"])["contracts"].sum() for r in (one, other)]
    both = pd.concat(sums, axis=1, keys=["one", "other"]).fillna(0.0)
    apart = both[~np.isclose(both["one"], both["other"], rtol=1e-3, atol=0.0)]
    return None if apart.empty else pd.Timestamp(apart.index.get_level_values("time").min())


def _why(runs: dict[str, Result], one: str, other: str, at: pd.Timestamp) -> str:
    """The incidents, refusals and cuts of the two accounts at that bar, in words."""
    said = []
    for mode in (one, other):
        record = runs[mode].record
        incidents = record.incidents[record.incidents["time"] == at]
        said += [f'{mode}: step "{rung}"' for rung in dict.fromkeys(incidents["rung"])]
        placed = at - pd.Timedelta(INTERVALS[record.config.data.interval], unit="us")
        orders = record.orders[(record.orders["time"] == placed) & (record.orders["reason"] != "")]
        said += [f"{mode}: {o.symbol} {o.state} ({o.reason})" for o in orders.itertuples()]
    return "; ".join(said) or "they hold different sizes from then on"
