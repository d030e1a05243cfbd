"""Venue tables from their files: parsed, checked for the relations that must hold, and asked what was in force when.

A date before a table's first row is refused, because a backtest that takes today's rules to yesterday answers another
question; with `outside = "nearest"` the nearest row stands in and everything that used it is marked counterfactual.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from backtest.errors import InputError, nearest
from backtest.market.schema import Instrument
from backtest.venues.check import check_table, check_tiers
from backtest.venues.schema import CollateralTier, Level, Mode, Row, RuleSet, ScenarioRules, TailRules, Tier

INFINITE = float("inf")
UNKNOWN = float("nan")
MANY_ASSETS = ("multi_asset", "portfolio")
DATED = ("mode", "fee", "tiers", "liquidation_fee", "collateral", "conversion", "borrow", "impact", "scenario")


def names() -> list[str]:
    """The venues there are."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in files(__package__).iterdir() if entry.name.endswith(".toml")
    )


@cache
def load(name: str) -> Venue:
    """A venue's rules. InputError for an unknown one."""
    if name not in names():
        raise InputError(f"no venue {name!r}; {nearest(name, names())}")
    table = tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    brackets = read_brackets(table["brackets"], table["bracket_sources"]) if "brackets" in table else {}
    check_table(name, table)
    return Venue(name, table, brackets)


@dataclass(frozen=True)
class Brackets:
    """The tiers of one symbol (or class of symbols) from a date on."""

    valid_from_us: int
    tiers: tuple[Tier, ...]
    said: dict[str, Any]


def read_brackets(file: str, sources: dict[str, dict[str, Any]]) -> dict[str, list[Brackets]]:
    """Brackets by symbol, oldest first; deductions by recursion, which reproduces every published one."""
    grouped: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    with (files(__package__) / file).open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            grouped.setdefault((row["symbol"], row["valid_from"], row["source"]), []).append(row)
    found: dict[str, list[Brackets]] = {}
    for (symbol, valid_from, source), rows in sorted(grouped.items()):
        columns = [(float(r["floor"]), float(r["maintenance_rate"]), float(r["max_leverage"])) for r in rows]
        tiers = make_tiers(columns)
        check_tiers(f"{file}: {symbol} {valid_from}", tiers)
        found.setdefault(symbol, []).append(Brackets(moment_us(date.fromisoformat(valid_from)), tiers, sources[source]))
    return found


def make_tiers(columns: Sequence[tuple[float, float, float]]) -> tuple[Tier, ...]:
    """Tiers from (floor, rate, max leverage), with the deduction that keeps maintenance continuous."""
    tiers: list[Tier] = []
    for floor, rate, leverage in columns:
        deduction = tiers[-1].deduction + floor * (rate - tiers[-1].rate) if tiers else 0.0
        tiers.append(Tier(floor, rate, deduction, leverage))
    return tuple(tiers)


def moment_us(value: date | datetime) -> int:
    """Microseconds UTC of a TOML date or time."""
    at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


def day(at_us: int) -> str:
    """The date of a moment, for messages."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d")


class Venue:
    """One venue's dated tables."""

    def __init__(self, name: str, table: dict[str, Any], brackets: dict[str, list[Brackets]]) -> None:
        self.name, self.table, self.brackets = name, table, brackets

    def modes(self, at_us: int, counterfactual: bool = False) -> dict[str, Mode]:
        """Presets offered then; with `counterfactual`, also those that came later, marked so."""
        found: dict[str, Mode] = {}
        for row in self.table["mode"]:
            if moment_us(row["from"]) <= at_us:
                found[row["preset"]] = mode_of(row)
        if counterfactual:
            for row in self.table["mode"]:
                found.setdefault(row["preset"], mode_of(row, counterfactual=True))
        return found

    def in_force(
        self,
        instruments: Sequence[Instrument],
        assets: Sequence[str],
        mode: str,
        start_us: int,
        end_us: int,
        outside: str = "refuse",
        counterfactual: bool = False,
    ) -> tuple[RuleSet, ...]:
        """The rule sets of [start_us, end_us), one for each stretch in which nothing changes.

        InputError names the table, the instrument and the first date known when the span begins before it.
        """
        bounds = sorted({start_us, *(at for at in self._dates(instruments) if start_us < at < end_us)})
        return tuple(Asked(self, instruments, assets, mode, at, outside, counterfactual).rule_set() for at in bounds)

    def _dates(self, instruments: Sequence[Instrument]) -> Iterator[int]:
        for name in DATED:
            yield from (moment_us(row["from"]) for row in self.table.get(name, ()))
        for instrument in instruments:
            yield from (rows.valid_from_us for rows in self.brackets.get(bracket_key(instrument, self.brackets), ()))


def mode_of(row: dict[str, Any], counterfactual: bool = False) -> Mode:
    """A mode row as a value."""
    return Mode(
        preset=row["preset"],
        scope=row["scope"],
        collateral=row["collateral"],
        requirement=row["requirement"],
        isolated_allowed=row.get("isolated_allowed", False),
        inverse_in_unified=row.get("inverse_in_unified", False),
        open_loss=row.get("open_loss", False),
        levels=tuple(Level(level["ratio"], level["action"]) for level in row["levels"]),
        ladder=tuple(row["ladder"]),
        loss_beyond=row.get("loss_beyond", "insurance"),
        available_from_us=moment_us(row["from"]),
        shown_ratio=row["shown_ratio"],
        source=row["source"],
        counterfactual=counterfactual,
    )


def bracket_key(instrument: Instrument, brackets: dict[str, list[Brackets]]) -> str:
    """The bracket table's name for an instrument: its symbol, its class of dated contracts, or the class of its
    product.
    """
    undated = instrument.symbol.split("-")[0]
    for key in (instrument.symbol, f"{undated}-*" if instrument.dated else undated, undated, "*/USD:*"):
        if key in brackets and (instrument.kind == "inverse" or key != "*/USD:*"):
            if not (instrument.dated and instrument.kind == "linear" and key == undated):
                return key
    return ""


@dataclass
class Asked:
    """One question: what was in force at a moment, for these instruments and assets under this mode?"""

    venue: Venue
    instruments: Sequence[Instrument]
    assets: Sequence[str]
    mode: str
    at_us: int
    outside: str
    counterfactual: bool

    def __post_init__(self) -> None:
        self.rows: list[Row] = []

    def rule_set(self) -> RuleSet:
        """Every number in force, and the rows it came from."""
        conversion = self._row("conversion") if self.mode in MANY_ASSETS else {}
        borrow = self._row("borrow", mode=self.mode)
        collateral = self._row("collateral", mode=self.mode)
        buffers = [self._buffer(collateral, asset) for asset in self.assets]
        loan = [(borrow.get(key, INFINITE)) for key in ("initial", "maintenance", "hourly")]
        return RuleSet(
            start_us=self.at_us,
            tiers=tuple(self._tiers(instrument) for instrument in self.instruments),
            maker=tuple(self._row("fee", product=i.kind)["maker"] for i in self.instruments),
            taker=tuple(self._row("fee", product=i.kind)["taker"] for i in self.instruments),
            delivery_fee=tuple(self._row("fee", product=i.kind)["taker"] if i.dated else 0.0 for i in self.instruments),
            liquidation_fee=tuple(self._liquidation_fee(instrument) for instrument in self.instruments),
            half_spread=tuple(self._row("impact")["half_spread"] for _ in self.instruments),
            collateral=tuple((CollateralTier(0.0, _of_asset(collateral, asset, 1.0)),) for asset in self.assets),
            ask_buffer=tuple(buffers),
            requirement_buffer=tuple(buffers),
            conversion_cost=tuple(_of_asset(conversion, asset, 0.0) for asset in self.assets),
            overdraft_usd=tuple(self._overdraft(conversion) for _ in self.assets),
            borrow_initial=(loan[0],) * len(self.assets),
            borrow_maintenance=(loan[1],) * len(self.assets),
            borrow_hourly=(borrow.get("hourly", UNKNOWN),) * len(self.assets),
            impact_y=self._row("impact")["y"],
            levels=self._levels(),
            scenario=self._scenario(),
            rows=tuple(dict.fromkeys(self.rows)),
        )

    def _levels(self) -> tuple[Level, ...]:
        row = self._row("mode", preset=self.mode)
        return tuple(Level(level["ratio"], level["action"]) for level in row["levels"])

    def _tiers(self, instrument: Instrument) -> tuple[Tier, ...]:
        if instrument.kind == "spot":
            return ()
        if not self.venue.brackets:
            row = self._row("tiers", product=instrument.kind)
            return make_tiers(list(zip(row["floors"], row["rates"], row["max_leverage"], strict=True)))
        key = bracket_key(instrument, self.venue.brackets)
        if not key:
            known = [name for name in self.venue.brackets if "*" not in name]
            raise InputError(
                f"{self.venue.name}: no brackets of {instrument.symbol!r}; {nearest(instrument.symbol, known)}, "
                "or run it at venue 'generic'"
            )
        table = self.venue.brackets[key]
        known_then = [rows for rows in table if rows.valid_from_us <= self._when_listed(instrument)]
        chosen = (
            known_then[-1]
            if known_then
            else self._outside(f"brackets of {instrument.symbol}", table[0].valid_from_us, table[0])
        )
        self._note(
            "brackets", key, [t.__dict__ for t in chosen.tiers], chosen.valid_from_us, chosen.said, not known_then
        )
        return chosen.tiers

    def _when_listed(self, instrument: Instrument) -> int:
        """Rules of an instrument are needed from its listing on, not from the run's start."""
        return max(self.at_us, instrument.listing_us or self.at_us)

    def _liquidation_fee(self, instrument: Instrument) -> float:
        if instrument.kind == "spot":
            return 0.0
        row = self._row("liquidation_fee", product=instrument.kind)
        return float(row.get("bases", {}).get(instrument.base, row["rate"]))

    def _buffer(self, collateral: dict[str, Any], asset: str) -> float:
        """Where the haircut is a buffer around the index, debts and requirements pay it on the other side."""
        if not collateral.get("buffer_is_haircut"):
            return 0.0
        ratio = _of_asset(collateral, asset, 1.0)
        return 1.0 - ratio if ratio > 0.0 else 0.0

    def _overdraft(self, conversion: dict[str, Any]) -> float:
        return float(conversion.get("overdraft_usd", INFINITE)) if self.mode == "multi_asset" else INFINITE

    def _scenario(self) -> ScenarioRules | None:
        if not self.venue.table.get("scenario"):
            return None
        row = self._row("scenario")
        ranges = [
            row["ranges"].get(asset, 0.0 if asset.startswith("USD") else row["other_range"]) for asset in self.assets
        ]
        half = (row["steps"] - 1) // 2
        moves = tuple(tuple(reach * k / half for k in range(-half, half + 1)) for reach in ranges)
        tail = TailRules(**row["tail"]) if "tail" in row else None
        return ScenarioRules(moves, row["offset"], row["basis_charge"], row["contingency"], row["initial_factor"], tail)

    def _row(self, table: str, **where: str) -> dict[str, Any]:
        """The row in force of a table; {} where the table has none for this mode or product."""
        rows = [row for row in self.venue.table.get(table, ()) if all(row.get(k) in (v, "*") for k, v in where.items())]
        if not rows:
            return {}
        known = [row for row in rows if moment_us(row["from"]) <= self.at_us]
        first = rows[0]
        row = (
            known[-1]
            if known
            else self._outside(f"{table} ({', '.join(where.values())})", moment_us(first["from"]), first)
        )
        key = ", ".join(where.values()) or "all"
        self._note(table, key, {k: v for k, v in row.items() if k not in SAID}, moment_us(row["from"]), row, not known)
        return dict(row)

    def _outside(self, what: str, first_us: int, row: Any) -> Any:
        """A row used before its date: refused, unless the run says that the nearest will do."""
        if self.outside != "nearest" and not self.counterfactual:
            raise InputError(
                f"{self.venue.name}: {what} are known from {day(first_us)} on, not on {day(self.at_us)}; start later, or set "
                '[rules] outside = "nearest" (the result is then marked counterfactual)'
            )
        return row

    def _note(self, table: str, key: str, value: Any, from_us: int, said: dict[str, Any], early: bool) -> None:
        self.rows.append(
            Row(
                table, key, str(value), from_us, said["source"], said.get("mark", "T"), said.get("assumed", False),
                said.get("reason", ""), early,
            )
        )  # fmt: skip


SAID = ("source", "mark", "assumed", "reason", "from")


def _of_asset(row: dict[str, Any], asset: str, none: float) -> float:
    """A row's number for an asset: its own, that of all others, or `none` where there is no row."""
    return float(row.get("assets", {}).get(asset, row.get("other", none)))


def describe(name: str | None = None, at_us: int | None = None) -> list[dict[str, Any]]:
    """The rows of a venue's tables (or the venues there are), in force at a time or all: value, date, source, mark."""
    if name is None:
        return [
            {"venue": each, "modes": ", ".join(dict.fromkeys(row["preset"] for row in load(each).table["mode"]))}
            for each in names()
        ]
    venue, rows = load(name), []
    for table in DATED:
        rows += [_described(table, row) for row in in_force_then(venue.table.get(table, []), at_us)]
    for symbol, sets in venue.brackets.items():
        for brackets in sets if at_us is None else [b for b in sets if b.valid_from_us <= at_us][-1:]:
            tiers = "; ".join(f">{t.floor:g}: {t.rate:.4g} ({t.max_leverage:g}x)" for t in brackets.tiers)
            rows.append(_line("brackets", symbol, tiers, brackets.valid_from_us, brackets.said))
    return rows


def in_force_then(rows: list[dict[str, Any]], at_us: int | None) -> list[dict[str, Any]]:
    """Of rows for the same thing, the latest that had begun; all of them without a time."""
    if at_us is None:
        return rows
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if moment_us(row["from"]) <= at_us:
            latest[row.get("preset"), row.get("product"), row.get("mode")] = row
    return list(latest.values())


def _described(table: str, row: dict[str, Any]) -> dict[str, Any]:
    key = row.get("preset") or row.get("product") or row.get("mode") or "all"
    value = ", ".join(f"{k} {v}" for k, v in row.items() if k not in (*SAID, "preset", "product", "mode"))
    return _line(table, key, value, moment_us(row["from"]), row)


def _line(table: str, key: str, value: str, from_us: int, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "table": table, "key": key, "value": value, "from": day(from_us), "source": said["source"], "mark": said.get("mark", "T"),
        "assumed": said.get("reason", "") if said.get("assumed") else "",
    }  # fmt: skip
