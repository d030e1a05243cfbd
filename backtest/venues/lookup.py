"""Looking up a number in a venue's dated tables: which row is in force, what stands in for it, when that changes.

Every number looked up is kept with its row for the run's journal. A lookup also remembers when its answer may change;
those are the moments to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backtest.errors import InputError
from backtest.market.schema import Instrument
from backtest.venues.brackets import Brackets
from backtest.venues.schema import Row
from backtest.venues.table import Entry, day, latest, nearest_in_time

# Tables that begin with the mode they are of.
OF_MODE = ("mode", "collateral", "ask_buffer", "conversion", "borrow", "portfolio")


class Tables(Protocol):
    """What is asked of a venue."""

    name: str
    entries: Mapping[str, tuple[Entry, ...]]
    brackets: Brackets


@dataclass(frozen=True)
class Question:
    """What a run wants to know, at whatever moment."""

    venue: Tables
    instruments: tuple[Instrument, ...]
    assets: tuple[str, ...]
    mode: str
    outside: str
    counterfactual: bool  # the mode was not offered then: its own tables stand in, marked
    loan_leverage: int
    model: str | None = None  # a scenario model by name; None: the venue's own


class Lookup:
    """A question at a moment; `rows` and `changes` fill while it is answered."""

    def __init__(self, question: Question, at_us: int) -> None:
        self.question, self.at_us = question, at_us
        self.venue, self.mode = question.venue, question.mode
        self.rows: dict[Row, None] = {}
        self.changes: set[int] = set()

    def _fitting(self, table: str, asked: Mapping[str, Any]) -> list[Entry]:
        return [entry for entry in self.venue.entries[table] if entry.fits(asked)]

    def _known(self, table: str, what: str, instrument: Instrument, asked: Mapping[str, Any]) -> tuple[Entry, bool]:
        """The row of a table for an instrument, from its listing on."""
        rows = self._fitting(table, asked)
        if not rows:
            raise InputError(
                f"{self.venue.name}: no {what} of {instrument.kind} contracts such as {instrument.symbol}"
                f"{self._settled_otherwise(table, instrument.kind)}"
            )
        return self._choose(rows, self._when_listed(instrument), f"{what} of {instrument.symbol}")

    def _settled_otherwise(self, table: str, product: str) -> str:
        """In what such contracts settle at the venue, or what it has instead, as a clause; empty where unsaid."""
        rows = [entry for entry in self.venue.entries[table] if product in entry.where.get("product", ())]
        if not rows:
            kinds = dict.fromkeys(kind for entry in self.venue.entries[table] for kind in entry.where["product"])
            return f"; {self.venue.name} has {', '.join(kinds)}" if kinds else ""
        assets = sorted({asset for entry in rows for asset in entry.where.get("settle", ())})
        return f"; those of {self.venue.name} settle in {', '.join(assets)}" if assets else ""

    def _of_asset(self, table: str, asset: str, none: Any, asked: Mapping[str, Any], at_us: int | None = None) -> Any:
        """What a table says of an asset: the latest row that names it or speaks of all others; `none` without any."""
        return self._said_of(table, asset, none, asked, at_us)[0]

    def _said_of(
        self, table: str, asset: str, none: Any, asked: Mapping[str, Any], at_us: int | None = None
    ) -> tuple[Any, Entry | None]:
        """What a table says of an asset, and the row that does."""
        rows = [entry for entry in self._fitting(table, asked) if entry.speaks_of(asset)]
        if not rows:
            return none, None
        entry, early = self._choose(
            rows, self.at_us if at_us is None else at_us, f"{table} of {asset}", lambda entry: entry.names(asset)
        )
        return self._note(entry, self._whom_of(entry, asset), plain(entry.of(asset)), early, asset), entry

    def _choose(
        self, rows: Sequence[Entry], at_us: int, what: str, rank: Callable[[Entry], bool] = lambda entry: False
    ) -> tuple[Entry, bool]:
        """The row in force, and whether it had to be taken from another time. InputError where that is refused."""
        self._watch(rows)
        found = latest((entry for entry in rows if entry.holds(at_us)), rank)
        if found is not None:
            return found, False
        stand_in = nearest_in_time(rows, at_us, rank)
        if self.question.outside == "nearest" or (self.question.counterfactual and stand_in.table in OF_MODE):
            return stand_in, True
        ended = stand_in.valid_to_us is not None and stand_in.valid_to_us <= at_us
        known = f"until {day(stand_in.valid_to_us or 0)}" if ended else f"from {day(stand_in.valid_from_us)} on"
        raise InputError(
            f"{self.venue.name}, table {stand_in.table}: {what} are known {known}, not on {day(at_us)}; choose other "
            'dates, or set [rules] outside = "nearest" (the result is then marked counterfactual)'
        )

    def _watch(self, rows: Sequence[Entry]) -> None:
        """Remember when these rows begin and end: then the answer may change."""
        for entry in rows:
            self.changes.add(entry.valid_from_us)
            if entry.valid_to_us is not None:
                self.changes.add(entry.valid_to_us)

    def _whom(self, entry: Entry) -> str:
        """For whom a row holds, in words; of several modes the one that is asked about."""
        return entry.whom_in(self.mode)

    def _whom_of(self, entry: Entry, asset: str) -> str:
        """The same, and of which asset it speaks: by name, or as of all others."""
        return f"{self._whom(entry)}, {asset}" + ("" if entry.names(asset) else " (as other)")

    def _note(self, entry: Entry, key: str, value: Any, early: bool, asset: str = "") -> Any:
        """Keep a number for the run's journal, and hand it on."""
        self.rows[entry.row(key, value, early, asset=asset)] = None
        return value

    def _where_held(self, table: str, asked: Mapping[str, Any], key: str, usual: Any) -> Any:
        """What the row in force says under a key; the usual where none is or it says nothing."""
        rows = [entry for entry in self._fitting(table, asked) if key in entry.values]
        self._watch(rows)
        entry = latest(entry for entry in rows if entry.holds(self.at_us))
        return usual if entry is None else self._note(entry, f"{self._whom(entry)}: {key}", entry.values[key], False)

    def _when_listed(self, instrument: Instrument) -> int:
        return max(self.at_us, instrument.listing_us or self.at_us)


def plain(value: Any) -> Any:
    """Lists of a file as tuples, which never change."""
    return tuple(plain(each) for each in value) if isinstance(value, list) else value
