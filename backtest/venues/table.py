"""The rows of a venue's file: each a few numbers, for whom they hold, from when until when, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from backtest.venues.schema import Row

WHERE = ("preset", "mode", "product", "settle", "contract", "leverage", "model")
BY_ASSET = ("assets", "tiers")
SAID = ("from", "to", "source", "rule", "mark", "assumed", "reason")


@dataclass(frozen=True)
class Said:
    """Where a row is from: source, heading in the rule book, mark, and why it is assumed where it is."""

    source: str
    rule: str
    mark: str
    assumed: bool = False
    reason: str = ""

    def also(self, reason: str) -> Said:
        """The same, but assumed for one more reason (none: unchanged)."""
        return Said(self.source, self.rule, self.mark, True, reason) if reason else self


@dataclass(frozen=True)
class Entry:
    """One dated row of a venue's file.

    `where`: for which preset, mode, product, settlement, kind of contract, leverage or model it holds. Its values by
    asset stand in `assets` (one number or a few; a bare list where all share the row's numbers), or in `tiers` where an
    asset's number depends on how much of it there is; `other` speaks of every asset not named.
    """

    table: str
    where: Mapping[str, tuple[Any, ...]]
    values: Mapping[str, Any]
    valid_from_us: int
    valid_to_us: int | None
    said: Said

    @property
    def whom(self) -> str:
        """For whom the row holds, in words."""
        return self.whom_in("")

    def whom_in(self, mode: str) -> str:
        """The same; of several modes only the one named, if it is among them."""
        told = ((mode,) if key == "mode" and mode in choices else choices for key, choices in self.where.items())
        return ", ".join("/".join(str(choice) for choice in choices) for choices in told) or "all"

    def fits(self, asked: Mapping[str, Any]) -> bool:
        """Whether the row speaks of what is asked: every condition it makes is met."""
        return all(asked.get(key) in choices for key, choices in self.where.items())

    def holds(self, at_us: int) -> bool:
        """Whether the row is in force at a moment."""
        return self.valid_from_us <= at_us and (self.valid_to_us is None or at_us < self.valid_to_us)

    def speaks_of(self, asset: str) -> bool:
        """Whether the row has a number for an asset: its own, or one of all others."""
        return self.names(asset) or "other" in self.values

    def names(self, asset: str) -> bool:
        """Whether the row names the asset itself."""
        return any(asset in self.values.get(key, ()) for key in BY_ASSET)

    def of(self, asset: str) -> Any:
        """What the row says of an asset."""
        for key in BY_ASSET:
            if asset in self.values.get(key, ()):
                return self.values[key][asset]
        return self.values.get("other")

    def row(self, key: str, value: object, counterfactual: bool, also: str = "", asset: str = "") -> Row:
        """A number of this row, of an asset where it is one's own, as it goes into a run's journal."""
        said = self.said.also(also)
        return Row(
            table=self.table,
            key=key,
            value=value,
            valid_from_us=self.valid_from_us,
            source=said.source,
            mark=said.mark,
            assumed=said.assumed,
            reason=said.reason,
            counterfactual=counterfactual,
            rule=said.rule,
            valid_to_us=self.valid_to_us,
            asset=asset,
        )


def read_entry(table: str, row: Mapping[str, Any]) -> Entry:
    """A checked row of the file as a value."""
    return Entry(
        table=table,
        where={key: tuple(row[key]) if isinstance(row[key], list) else (row[key],) for key in WHERE if key in row},
        values={key: value for key, value in row.items() if key not in (*WHERE, *SAID)},
        valid_from_us=moment_us(row["from"]),
        valid_to_us=moment_us(row["to"]) if "to" in row else None,
        said=read_said(row),
    )


def read_said(row: Mapping[str, Any]) -> Said:
    """Who says a row."""
    return Said(row["source"], row["rule"], row["mark"], row.get("assumed", False), row.get("reason", ""))


def latest(entries: Iterable[Entry], rank: Callable[[Entry], bool] = lambda entry: True) -> Entry | None:
    """The entry that began last; of several on one day the ranked ones, and of those the last in the file."""
    return max(reversed(list(entries)), key=lambda entry: (entry.valid_from_us, rank(entry)), default=None)


def nearest_in_time(entries: Sequence[Entry], at_us: int, rank: Callable[[Entry], bool] = lambda entry: True) -> Entry:
    """Of entries none of which is in force, the closest in time: the last that ended, else the first to come."""
    ended = [entry for entry in entries if entry.valid_from_us <= at_us]
    if ended:
        return max(ended, key=lambda entry: (entry.valid_to_us or entry.valid_from_us, rank(entry)))
    first = min(entry.valid_from_us for entry in entries)
    found = latest((entry for entry in entries if entry.valid_from_us == first), rank)
    assert found is not None, "nothing to choose from"
    return found


def moment_us(value: date | datetime) -> int:
    """Microseconds UTC of a TOML date or time."""
    at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000


def day(at_us: int) -> str:
    """The date of a moment, for messages."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d")
