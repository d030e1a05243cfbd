"""The verdict of a run in one sentence with numbers: did the account live, how near was it, and what did it earn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from backtest.report.html import words
from backtest.report.subject import Subject

LIVED, DIED, UNDECIDED = "survived", "liquidated", "undecided"


@dataclass(frozen=True)
class Verdict:
    """`state` is one of survived, liquidated, undecided; `sentence` says it with numbers."""

    state: str
    sentence: str


def verdict_of(subject: Subject) -> Verdict:
    """Survival, the lowest margin ratio, and the return, of one account."""
    survived = str(subject.result.figures.at["Survived", subject.name])
    state = LIVED if survived == "yes" else DIED if survived.startswith("no") else UNDECIDED
    return Verdict(state, " ".join([_life(subject, state, survived), _nearest(subject), _earned(subject)]))


def _life(subject: Subject, state: str, survived: str) -> str:
    if state == LIVED:
        return "Survived."
    if state == DIED:
        when, _, aside = survived.removeprefix("no: ").partition(" (")
        how = _step_at(subject, pd.Timestamp(when, tz="UTC"))
        return f"Liquidated on {when} UTC{how}{f' ({aside}' if aside else ''}."
    at = survived.partition("(")[2].rstrip(")")
    how = _step_at(subject, pd.Timestamp(at, tz="UTC")).removeprefix(" by ")
    return (
        f"Undecided inside the bar of {at} UTC: liquidated on one reading of its path and not on another"
        f"{f'; here it was, by {how}' if how else ''}."
    )


def _step_at(subject: Subject, at: pd.Timestamp) -> str:
    """By which step of the venue's first in that bar, on what, in which wallet; and how many such bars there were."""
    here = subject.forced[subject.forced["time"] == at] if len(subject.forced) else subject.forced
    if here.empty:
        return ""
    first, bars = here.iloc[0], len(pd.unique(subject.forced["time"]))
    of = f" on {first['symbol']}" if first.get("symbol") else ""
    ratio = f" at a ratio of {first['ratio']:.3g}" if pd.notna(first.get("ratio")) else ""
    among = f", one of {bars} bars with forced steps" if bars > 1 else ""
    return f' by the venue\'s step "{first["rung"]}"{of}, wallet {first["wallet"]}{ratio}{among}'


def _acted_at(subject: Subject, at: pd.Timestamp) -> float:
    """The lowest ratio at which the venue took something in a bar; -inf where it did not."""
    if not len(subject.forced):
        return -np.inf
    ratios = subject.forced.loc[subject.forced["time"] == at, "ratio"].astype(float)
    return float(ratios.min()) if ratios.notna().any() else -np.inf


def _nearest(subject: Subject) -> str:
    bar = subject.worst_bar
    if bar is None:
        return "Nothing it held ever required margin."
    row = subject.row(bar)
    level, lowest = float(row["liquidation_level"]), float(row["worst_ratio"])
    aside = " had nothing been sold on the way" if lowest < _acted_at(subject, row["time"]) else ""
    acts = f"liquidates at {level:g}" if level == subject.liquidation_level else f"liquidated at {level:g} then"
    return (
        f"Its lowest margin ratio was {words(lowest)}{aside}, on {row['time']:%Y-%m-%d %H:%M} in wallet "
        f"{row['worst_wallet']}; the venue {acts}."
    )


def _on(moment: object) -> str:
    """When, where anybody knows."""
    return f", on {moment:%Y-%m-%d %H:%M}" if isinstance(moment, pd.Timestamp) else ""


def _earned(subject: Subject) -> str:
    figures = subject.result.figures[subject.name]
    start, end, unit = figures["Start Equity"], figures["End Equity"], figures["Numeraire"]
    on_margin = figures["Return on Margin [%]"]
    margin = (
        f", {on_margin:+,.1f} % on its average initial margin at {figures['Leverage Assumed']}"
        if np.isfinite(on_margin)
        else ""
    )
    return (
        f"Return {figures['Total Return [%]']:+,.2f} % ({words(float(start))} to {words(float(end))} {unit}){margin}; "
        f"largest drawdown {figures['Max Drawdown [%]']:,.2f} %{_on(figures.get('Max Drawdown At'))}."
    )
