"""Venues by name, and what they can be asked: which modes were offered, and which rules were in force when.

A date before a table's first row is refused, because a backtest that takes today's rules to yesterday answers another
question; with `outside = "nearest"` the nearest row stands in and everything that used it is marked counterfactual.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from importlib.resources import files

from backtest.errors import InputError, nearest
from backtest.market.schema import SECOND_US, Instrument
from backtest.venues.brackets import Brackets, Kind, read_brackets
from backtest.venues.check import TABLES, check_file
from backtest.venues.in_force import Asked, levels_of
from backtest.venues.lookup import Question
from backtest.venues.schema import Mode, RuleSet
from backtest.venues.table import Entry, day, latest, nearest_in_time, read_entry

NO_BRACKETS = Brackets({}, {})


def names() -> list[str]:
    """The venues there are."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in files(__package__).iterdir() if entry.name.endswith(".toml")
    )


@cache
def load(name: str) -> Venue:
    """A venue's rules, checked. InputError for an unknown one, with the nearest name."""
    if name not in names():
        raise InputError(f"no venue {name!r}; {nearest(name, names())}")
    return read_venue(name, _text(f"{name}.toml"))


def _text(file: str) -> str:
    """A file that lies beside this one, also in an installed package."""
    return (files(__package__) / file).read_text(encoding="utf-8")


def read_venue(name: str, text: str) -> Venue:
    """A venue from the text of its file. InputError names the table, the row and the value that cannot be."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}.toml: {error}") from None
    check_file(name, table)
    entries = {kind: tuple(read_entry(kind, row) for row in table.get(kind, ())) for kind in TABLES}
    brackets = NO_BRACKETS
    if "brackets" in table:
        file = str(table["brackets"])
        flat, sizes = table.get("bracket_rates") == "flat", table.get("bracket_sizes", {})
        kind = Kind(flat, table.get("dated_take") == "perpetual", sizes)
        brackets = read_brackets(file, _text(file), table["bracket_sources"], table.get("quarterlies_seen", {}), kind)
    return Venue(name, entries, brackets, table.get("inverse_sizes", {}), table.get("hedge_mode", False))


class Venue:
    """One venue's dated tables: `entries` by table in the file's order, and the brackets of its futures; USD of one
    inverse contract by coin (`other`: of the coins not named), where they are known; whether it holds a long and a
    short of one contract side by side.
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[str, tuple[Entry, ...]],
        brackets: Brackets,
        inverse_sizes: Mapping[str, float] | None = None,
        hedge_mode: bool = False,
    ) -> None:
        self.name, self.entries, self.brackets, self.inverse_sizes = name, entries, brackets, inverse_sizes or {}
        self.hedge_mode = hedge_mode

    def modes(self, at_us: int, counterfactual: bool = False) -> dict[str, Mode]:
        """Presets offered at a moment; with `counterfactual`, also those of later (or earlier) days, marked so."""
        found: dict[str, Mode] = {}
        for preset, rows in self._of_presets().items():
            held = latest(row for row in rows if row.holds(at_us))
            if held is not None:
                found[preset] = mode_of(held, preset)
            elif counterfactual:
                found[preset] = mode_of(nearest_in_time(rows, at_us), preset, counterfactual=True)
        return found

    def offered(self, preset: str, at_us: int, isolated: Sequence[str] = (), counterfactual: bool = False) -> Mode:
        """What a preset meant at a moment, with some positions isolated beside it.

        InputError where the venue did not offer that, unless `counterfactual`: then the mode is marked so.
        """
        when = self._when(preset, at_us)
        modes = self.modes(at_us, counterfactual)
        if preset not in modes:
            cure = "start later" if when.startswith("from") else "choose other dates"
            raise InputError(
                f"{self.name}: mode {preset!r} was offered {when}, not on {day(at_us)}; "
                f"{_then(modes)}; {cure}, or set [rules] counterfactual = true (the result then says so)"
            )
        mode = modes[preset]
        if not isolated or mode.isolated_allowed:
            return mode
        if not counterfactual:
            raise InputError(
                f"{self.name}: no isolated positions in mode {preset!r}, but {', '.join(isolated)} is to be isolated; "
                f"take it out, use {self._takes_isolated(modes)}, "
                "or set [rules] counterfactual = true (the result then says so)"
            )
        return replace(mode, isolated_allowed=True, counterfactual=True)

    def _of_presets(self) -> dict[str, list[Entry]]:
        """The rows of every preset, in the file's order."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries["mode"]:
            for preset in entry.where["preset"]:
                found.setdefault(preset, []).append(entry)
        return found

    def _takes_isolated(self, modes: Mapping[str, Mode]) -> str:
        """The modes in which positions may be isolated, in words."""
        return " or ".join(repr(name) for name in ("cross", "isolated") if name in modes) or "another venue"

    def _when(self, preset: str, at_us: int) -> str:
        """When a preset could be had, in words. InputError where the venue never had it."""
        rows = self._of_presets()
        if preset not in rows:
            raise InputError(f"{self.name}: no mode {preset!r}; {nearest(preset, rows)}{self._called(preset)}")
        ended = [row.valid_to_us for row in rows[preset] if row.valid_to_us is not None]
        if ended and max(ended) <= at_us:
            return f"until {day(max(ended))}"
        return f"from {day(min(row.valid_from_us for row in rows[preset]))} on"

    def _called(self, word: str) -> str:
        """Which preset the venue itself calls by a word, as a clause; empty where none."""
        for preset, rows in self._of_presets().items():
            for row in rows:
                if word in str(row.values.get("called", "")).replace("-", " ").split():
                    return f" (what {self.name} calls {row.values['called']!r} is mode {preset!r} here)"
        return ""

    def lists(self, instrument: Instrument, mode: str, at_us: int, outside: str = "refuse") -> bool:
        """Whether the venue's tables know a contract in a mode at a moment; with `outside` = "nearest", at any."""
        question = Question(self, (instrument,), (), mode, outside, False, 1)
        return Asked(question, at_us).lists(instrument)

    def delivery_average_us(self, instrument: Instrument) -> int | None:
        """Over how long before its expiry a dated future's index was averaged, microseconds; None where no row says."""
        asked = {"product": instrument.kind, "settle": instrument.settle}
        rows = [row for row in self.entries["delivery"] if row.fits(asked) and "average_seconds" in row.values]
        if not rows or instrument.expiry_us is None:
            return None
        at_us = instrument.expiry_us
        row = latest(row for row in rows if row.holds(at_us)) or nearest_in_time(rows, at_us)
        return int(row.values["average_seconds"]) * SECOND_US

    def in_force(
        self,
        instruments: Sequence[Instrument],
        assets: Sequence[str],
        mode: str,
        start_us: int,
        end_us: int,
        outside: str = "refuse",
        counterfactual: bool = False,
        *,
        isolated: Sequence[str] = (),
        loan_leverage: int = 3,
        model: str | None = None,
    ) -> tuple[RuleSet, ...]:
        """The rule sets of [start_us, end_us), one for each stretch in which no row in use changes.

        `outside`: "refuse" dates before a table's first row, or take the "nearest" one and mark it. `isolated`:
        symbols margined apart; `loan_leverage`: cross leverage of the account, which decides what a loan needs;
        `model`: a scenario model of the venue by name, where it has several (None: its own).
        InputError names the table, the instrument or asset, and the first date known.
        """
        if outside not in ("refuse", "nearest"):
            raise InputError(f"rules.outside = {outside!r}; {nearest(outside, ('refuse', 'nearest'))}")
        offered = self.offered(mode, start_us, isolated, counterfactual)
        question = Question(
            self, tuple(instruments), tuple(assets), mode, outside, offered.counterfactual, loan_leverage, model
        )
        return rule_sets(question, start_us, end_us)


@lru_cache(maxsize=64)
def rule_sets(question: Question, start_us: int, end_us: int) -> tuple[RuleSet, ...]:
    """The answers to a question over a span. A venue's tables never change while they are loaded, so what the points of
    a sweep or the modes of a comparison ask alike is looked up once.
    """
    first = Asked(question, start_us)
    sets = [first.rule_set()]
    for at_us in sorted(at for at in first.changes if start_us < at < end_us):
        following = Asked(question, at_us).rule_set()
        if following.rows != sets[-1].rows:
            sets.append(following)
    return tuple(sets)


def _then(modes: Mapping[str, Mode]) -> str:
    """What could be had instead, in words."""
    return f"offered then: {', '.join(modes)}" if modes else "nothing was offered yet"


def mode_of(entry: Entry, preset: str, counterfactual: bool = False) -> Mode:
    """A row of the table of modes as one of the presets it is of."""
    values = entry.values
    return Mode(
        preset=preset,
        scope=values["scope"],
        collateral=values["collateral"],
        requirement=values["requirement"],
        isolated_allowed=values.get("isolated_allowed", False),
        inverse_in_unified=values.get("inverse_in_unified", False),
        open_loss=values.get("open_loss", False),
        levels=levels_of(values),
        ladder=tuple(values["ladder"]),
        loss_beyond=values.get("loss_beyond", "insurance"),
        available_from_us=entry.valid_from_us,
        shown_ratio=values["shown_ratio"],
        source=entry.said.source,
        counterfactual=counterfactual,
        called=values.get("called", ""),
    )
