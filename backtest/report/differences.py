"""Two saved runs beside each other: what was asked differently, what they stood on, and what became of it.

Everything is read from the two folders: settings key by key, venue rules row by row, data by the hashes of their files,
versions; then the figures that differ, and the first bar at which the two equities part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from backtest.report.record import RunRecord
from backtest.report.result import Result

PARTED = 1e-9  # relative: below it, two equities are the same but for the last digits of their sums
SOURCES = ("prices", "indexes", "funding_marks")
"""Parts of a manifest that say what stood in for what: a mark or its proxy, an index or a constant."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; None where one of the two has it not."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class FigureDifference:
    """One statistic of one account; `difference` is b less a, None where they are no numbers."""

    account: str
    figure: str
    a: Any
    b: Any
    difference: int | float | None


@dataclass(frozen=True)
class Parting:
    """The first bar, by its open, at whose close an account's equity (USD) was not the same."""

    account: str
    time: pd.Timestamp
    a: float
    b: float


@dataclass(frozen=True)
class Differences:
    """All that differs between two runs; empty lists where nothing does. `partings`: one an account that parts;
    `no_bar_in_common`: the runs' spans do not meet, so that no parting can be told.
    """

    config: list[Difference]
    rules: list[Difference]
    data: list[Difference]
    versions: list[Difference]
    figures: list[FigureDifference]
    partings: list[Parting]
    no_bar_in_common: bool

    @property
    def same_inputs(self) -> bool:
        """Whether the two were asked the same, on the same rules, data and versions."""
        return not (self.config or self.rules or self.data or self.versions)

    @property
    def same_results(self) -> bool:
        """Whether the same became of them."""
        return not (self.figures or self.partings or self.no_bar_in_common)

    @property
    def same(self) -> bool:
        """Whether nothing differs at all."""
        return self.same_inputs and self.same_results


def differences(a: Result, b: Result) -> Differences:
    """Everything in which two saved runs differ."""
    one, other = a.manifest, b.manifest
    pairs = paired(a.record, b.record)
    times = [set(result.record.account["time"]) for result in (a, b)]
    return Differences(
        config=list(unequal(one["config"], other["config"])),
        rules=list(unequal(_rules(one), _rules(other))),
        data=list(unequal(_data(a), _data(b))),
        versions=list(unequal(one["versions"], other["versions"])),
        figures=[each for pair in pairs for each in _figures(a, b, *pair)],
        partings=[each for pair in pairs if (each := _parting(a.record, b.record, *pair)) is not None],
        no_bar_in_common=times[0].isdisjoint(times[1]),
    )


def unequal(a: Any, b: Any, at: str = "") -> Iterator[Difference]:
    """The leaves in which two values of JSON differ, by dotted keys; lists of tables are gone through row by row."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from unequal(a.get(key), b.get(key), f"{at}.{key}" if at else str(key))
    elif _is_tables(a) and _is_tables(b):
        for k in range(max(len(a), len(b))):
            here, there = (rows[k] if k < len(rows) else None for rows in (a, b))
            yield from unequal(here, there, f"{at}[{k}]")
    elif a != b:
        yield Difference(at, a, b)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def paired(a: RunRecord, b: RunRecord) -> list[tuple[str, str]]:
    """Accounts that are compared: those of one name, and the only ones of two runs, whatever they are called."""
    if len(a.account_names) == len(b.account_names) == 1:
        return [(a.account_names[0], b.account_names[0])]
    return [(name, name) for name in a.account_names if name in b.account_names]


def _rules(manifest: dict[str, Any]) -> dict[str, Any]:
    """What every venue rule in force said, by table, key and the day it came into force."""
    rows: dict[str, list[Any]] = {}
    for row in manifest["rules"]:
        day = pd.Timestamp(row["valid_from_us"], unit="us", tz="UTC")
        rows.setdefault(f"{row['table']} {row['key']}, from {day:%Y-%m-%d}", []).append(row["value"])
    return {key: values[0] if len(values) == 1 else values for key, values in rows.items()}


def _data(result: Result) -> dict[str, Any]:
    """The bars that were lived, what each price was read from, and the hash of every stored series."""
    manifest, times = result.manifest, result.record.account["time"]
    span = {"first": f"{times.min():%Y-%m-%d %H:%M}", "last": f"{times.max():%Y-%m-%d %H:%M}", "count": times.nunique()}
    files = {f"{row['venue']} {row['symbol']} {row['series']}": row["sha256"] for row in manifest["data"]}
    return {"bars": span, **{name: manifest[name] for name in SOURCES}, "sha256": files}


def _figures(a: Result, b: Result, one: str, other: str) -> Iterator[FigureDifference]:
    """Statistics that are not the same, in the order they are told in."""
    left, right = a.figures[one], b.figures[other]
    for label in dict.fromkeys([*left.index, *right.index]):
        here, there = left.get(label), right.get(label)
        if not _equal(here, there):
            yield FigureDifference(one, str(label), here, there, _less(here, there))


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) or (pd.isna(a) and pd.isna(b))


def _less(a: Any, b: Any) -> int | float | None:
    """b less a, of two numbers."""
    return b - a if isinstance(a, int | float) and isinstance(b, int | float) else None


def _parting(a: RunRecord, b: RunRecord, one: str, other: str) -> Parting | None:
    """The first bar that both lived and left with different equity."""
    rows = [_equity(a, one), _equity(b, other)]
    both = pd.concat(rows, axis=1, keys=["a", "b"], join="inner")
    apart = both[~np.isclose(both["a"], both["b"], rtol=PARTED, atol=0.0)]
    if apart.empty:
        return None
    first = apart.iloc[0]
    return Parting(one, pd.Timestamp(apart.index[0]), float(first["a"]), float(first["b"]))


def _equity(record: RunRecord, account: str) -> pd.Series:
    equity: pd.Series = record.of("account", record.number_of(account)).set_index("time")["equity"]
    return equity
