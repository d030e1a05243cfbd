"""Brackets of futures: the maintenance rate by size of position, from a compact dated table of our own.

A dated future takes the brackets of its class (`BTC/USDT:USDT-*`), which every quarterly shared whenever several were
seen; one that was not seen itself takes them as an assumption. Where a contract has no table it takes that of all
others in its quote currency, if the venue's file has one (`*/USD:*`).

Most venues' rates are marginal: a deduction keeps maintenance continuous. Where they are flat, the rate of the bracket
that a position falls into holds for all of it, and there are no deductions. A source may say that its tables are taken
back to an earlier day (`taken_back_to`, and `taken_back_because`): there they stand as an assumption.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from backtest.errors import InputError, nearest
from backtest.market.schema import Instrument
from backtest.venues.check import check_tiers
from backtest.venues.schema import RuleSet, Tier
from backtest.venues.table import Entry, Said, moment_us, read_said

OTHERS = "*/"
SAME = 1e-9  # leverages, and shares of them, so near each other are one


@dataclass(frozen=True)
class Kind:
    """How a venue's brackets are to be read: flat rates, dated futures by the perpetual's, coins of one contract."""

    flat: bool = False
    dated_as_perpetual: bool = False
    sizes: Mapping[str, float] = field(default_factory=dict)


MARGINAL = Kind()


@dataclass(frozen=True)
class Brackets:
    """Every bracket table of a venue, oldest first by symbol or class, and the dated futures that were seen.

    `dated_as_perpetual`: a dated linear future takes the brackets of the perpetual. `sizes`: coins of the contract that
    brackets by number of contracts count, by symbol.
    """

    by_key: Mapping[str, tuple[Entry, ...]]
    seen_us: Mapping[str, int]
    dated_as_perpetual: bool = False
    sizes: Mapping[str, float] = field(default_factory=dict)

    def key_of(self, instrument: Instrument) -> str:
        """Symbol or class whose brackets an instrument takes. InputError where the venue has none."""
        family = instrument.symbol.split("-")[0]
        of_class = instrument.dated and instrument.kind == "linear" and not self.dated_as_perpetual
        keys = [f"{family}-*"] if of_class else [family]
        keys.append(f"{OTHERS}{instrument.quote}:*")
        for key in keys:
            if key in self.by_key:
                return key
        known = [key for key in self.by_key if not key.startswith(OTHERS)]
        raise InputError(
            f"brackets: none of {instrument.symbol!r} are known; {nearest(keys[0], known)} "
            "Venue 'generic' has some for any contract"
        )

    def size_of(self, symbol: str) -> float | None:
        """Coins of one contract of the venue; None where its table does not say."""
        return self.sizes.get(symbol.split("-")[0])

    def in_contracts_of(self, instrument: Instrument, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        """Brackets by number of the venue's contracts, in contracts of the size that the run's data have."""
        size = self.size_of(instrument.symbol)
        if size is None or size == instrument.contract_size:
            return tiers
        return tuple(replace(tier, floor=tier.floor * size / instrument.contract_size) for tier in tiers)

    def why_assumed(self, instrument: Instrument, at_us: int) -> str:
        """Why an instrument's brackets are those of another; empty where they are its own."""
        if not instrument.dated:
            return ""
        if self.dated_as_perpetual:
            return "dated futures take the brackets of the perpetual; a table of their own was not found"
        if instrument.kind == "inverse":
            return "dated coin-margined contracts take the brackets of the perpetual; the text does not say so"
        seen = self.seen_us.get(instrument.symbol)
        if seen is None:
            return f"{instrument.symbol} is in no snapshot; it takes the brackets of the quarterly nearest in time"
        if seen > at_us:
            return f"{instrument.symbol} is in no snapshot yet; it takes the brackets of the quarterly before it"
        return ""


def read_brackets(
    file: str, text: str, sources: Mapping[str, Any], seen: Mapping[str, date], kind: Kind = MARGINAL
) -> Brackets:
    """The bracket table of a venue from its text. InputError names symbol, date and number of what cannot be."""
    grouped: dict[tuple[str, str, str], list[Tier]] = {}
    for row in csv.DictReader(text.splitlines()):
        grouped.setdefault((row["symbol"], row["valid_from"], row["source"]), []).append(_tier(file, row))
    said = {letter: read_said(row) for letter, row in sources.items()}
    found: dict[str, list[Entry]] = {}
    for (symbol, valid_from, letter), tiers in sorted(grouped.items()):
        where = f"{file}: {symbol} from {valid_from}"
        check_tiers(where, tiers, kind.flat)
        if letter not in said:
            raise InputError(f"{where}: source {letter!r} is not explained; {nearest(letter, said)}")
        first = [] if symbol in found else _taken_back(tuple(tiers), valid_from, sources[letter], said[letter])
        entries = found.setdefault(symbol, first)
        entries.append(bracket_entry(tuple(tiers), valid_from, said[letter]))
    return Brackets(
        {symbol: tuple(entries) for symbol, entries in found.items()},
        {key: moment_us(at) for key, at in seen.items()},
        kind.dated_as_perpetual,
        kind.sizes,
    )


def _taken_back(tiers: tuple[Tier, ...], valid_from: str, source: Mapping[str, Any], said: Said) -> list[Entry]:
    """The same tiers as an assumption from an earlier day on, where the source takes its first tables back."""
    earlier = source.get("taken_back_to")
    if earlier is None or str(earlier) >= valid_from:
        return []
    reasons = "; ".join(reason for reason in (source["taken_back_because"], said.reason) if reason)
    return [bracket_entry(tiers, str(earlier), said.also(reasons))]


def bracket_entry(tiers: tuple[Tier, ...], valid_from: str, said: Said) -> Entry:
    """Tiers as a dated row."""
    return Entry("brackets", {}, {"tiers": tiers}, moment_us(date.fromisoformat(valid_from)), None, said)


def _tier(file: str, row: dict[str, str]) -> Tier:
    try:
        return Tier(
            float(row["floor"]), float(row["maintenance_rate"]), float(row["deduction"]), float(row["max_leverage"])
        )
    except (TypeError, ValueError):
        raise InputError(
            f"{file}: {row['symbol']} from {row['valid_from']}: a number cannot be read in {row}"
        ) from None


def flat_tiers(rate: float, max_leverage: float) -> tuple[Tier, ...]:
    """One rate for any size."""
    return (Tier(0.0, rate, 0.0, max_leverage),)


def highest_leverage(rule_set: RuleSet, i: int) -> float | None:
    """The leverage with which a venue opens the smallest position in an instrument; None where no table says it."""
    slope = rule_set.slopes[i] if rule_set.slopes else None
    if slope is not None:
        return 1.0 / slope.initial
    return stated_leverage(rule_set.tiers[i][0]) if rule_set.tiers[i] else None


def stated_leverage(tier: Tier) -> float | None:
    """A tier's highest leverage; None where it only keeps initial above maintenance (a row that names none)."""
    return None if tier.rate > 0.0 and abs(tier.max_leverage * tier.rate - 1.0) < SAME else tier.max_leverage
