"""Rounds: every contestant once, then all of them again, so that a slow minute of the machine is slow for all.

Ratios are taken inside a round and the median of them is told; times are medians over the rounds. Each contestant is
run once before the first round: what that takes (loading compiled code, compiling) is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median as middle
from typing import Any

TOLERANCE = 1e-9  # of final equity
SHOWN = 0.01  # of a run: smaller parts of it have no line
Run = Callable[[], Mapping[str, float]]
"""One run: seconds of the whole under "", and of its parts under their names; "equity" is what it ended with."""


@dataclass
class Row:
    """A line of a table; None where a figure means nothing."""

    who: str
    seconds: float | None = None
    each_ns: float | None = None  # per bar (of every point and account)
    times_c: float | None = None  # how many times C's time
    peer_times: float | None = None  # how many of it fit into vectorbt's time
    off: float | None = None  # of the reference's final equity
    peak_mb: float | None = None
    note: str = ""


@dataclass
class Section:
    """A table with its notes, and every single time behind it."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)  # who does not end with the reference's equity

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def in_rounds(runs: Mapping[str, Run], rounds: int) -> dict[str, list[dict[str, float]]]:
    """What every run told, round by round."""
    told: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            told[name].append(dict(run()))
    return told


def contest(
    section: Section,
    runs: Mapping[str, Run],
    rounds: int,
    bars: int,
    expected: float | None = None,
    notes: Mapping[str, str] | None = None,
    unwarmed: Collection[str] = (),
) -> dict[str, list[dict[str, float]]]:
    """Run the rounds and write their rows: a line a contestant, and one a part of it, named `name: part`.

    `C` and `vectorbt`, where they are among them, are what the others are measured by. The `unwarmed` are long and find
    everything loaded by others: they have no call before the rounds.
    """
    first = {name: dict(run())[""] for name, run in runs.items() if name not in unwarmed}
    told = in_rounds(runs, rounds)
    whole = {name: [each[""] for each in rows] for name, rows in told.items()}
    for name, rows in told.items():
        section.rounds[name] = whole[name]
        row = measured(name, whole[name], whole, bars)
        if expected is not None and "equity" in rows[-1]:
            row.off = max((each["equity"] / expected - 1.0 for each in rows), key=abs)
            if abs(row.off) > TOLERANCE:
                section.wrong.append(f"{name} ends {row.off:.1e} off the reference, which is more than {TOLERANCE:.0e}")
        row.peak_mb = rows[-1].get("peak_mb")
        row.note = (notes or {}).get(name, "")
        if first.get(name, 0.0) > 2 * middle(whole[name]):
            row.note += f"{'; ' * bool(row.note)}first call {first[name]:.2g} s"
        section.rows.append(row)
        for part in rows[0]:
            if part not in ("", "equity", "peak_mb"):
                seconds = section.rounds[f"{name}: {part}"] = [each[part] for each in rows]
                if middle(seconds) > SHOWN * middle(whole[name]):
                    section.rows.append(measured(f"  {part}", seconds, whole, bars))
    return told


def measured(name: str, seconds: list[float], whole: Mapping[str, list[float]], bars: int) -> Row:
    """A row of times and of ratios to the others of the same round."""
    row = Row(name, middle(seconds), middle(seconds) / bars * 1e9)
    if "C" in whole and name != "C":
        row.times_c = middle(own / c for own, c in zip(seconds, whole["C"], strict=True))
    if "vectorbt" in whole and name != "vectorbt":
        row.peer_times = middle(p / own if own else 0.0 for own, p in zip(seconds, whole["vectorbt"], strict=True))
    return row
