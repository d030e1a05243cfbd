"""Relations that must hold in any venue's table, asked on load: a mistyped digit is found before it margins anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from backtest.errors import InputError, nearest
from backtest.venues.schema import Tier
from backtest.venues.table import SAID

MARKS = "TNDSG"
ACTIONS = ("warn", "reduce_only", "cancel_orders", "liquidate")
RUNGS = (
    "cancel_orders", "reduce", "close", "sell_collateral", "takeover", "tier_down", "two_tiers_down", "slice", "step",
    "repay",
)  # fmt: skip
TAIL_KINDS = ("VaR", "ES")


@dataclass(frozen=True)
class Columns:
    """What a table's rows must say, may say, and which of that are fractions between 0 and 1."""

    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    fractions: tuple[str, ...] = ()


BY_ASSET = ("assets", "other")
TABLES = {
    "mode": Columns(
        ("preset", "scope", "collateral", "requirement", "levels", "ladder", "shown_ratio"),
        ("isolated_allowed", "inverse_in_unified", "open_loss", "loss_beyond", "asks_initial"),
    ),
    "tiers": Columns(("product",), ("assets", "other")),
    "fee": Columns(("product", "maker", "taker"), ("settle",), ("maker", "taker")),
    "liquidation_fee": Columns(("product",), ("mode", *BY_ASSET), BY_ASSET),
    "delivery": Columns(("product", "fee"), ("average_seconds",)),
    "funding": Columns(("product", "interest", "clamp", "cap_of_first_rate", "hours"), ("scaled_by_interval",)),
    "collateral": Columns(("mode",), BY_ASSET, BY_ASSET),
    "ask_buffer": Columns(("mode",), (*BY_ASSET, "as_haircut"), BY_ASSET),
    "conversion": Columns(("mode",), (*BY_ASSET, "overdraft_usd"), BY_ASSET),
    "borrow": Columns(("mode", "initial", "maintenance"), ("leverage", "hourly"), ("initial", "maintenance", "hourly")),
    "impact": Columns(("y", "half_spread"), (), ("half_spread",)),
    "scenario": Columns(
        ("ranges", "other_range", "steps", "offset", "basis_charge", "contingency", "initial_factor"),
        ("tail",),
        ("ranges", "other_range", "offset", "basis_charge", "contingency"),
    ),
}
BESIDE = ("name", "brackets", "bracket_sources", "quarterlies_seen")
CHOICES = {
    "product": ("spot", "linear", "inverse"),
    "mode": ("isolated", "cross", "multi_asset", "portfolio"),
    "preset": ("isolated", "cross", "multi_asset", "portfolio"),
    "scope": ("cross", "isolated"),
    "collateral": ("settlement", "multi"),
    "requirement": ("tiers", "scenarios", "tail"),
    "loss_beyond": ("insurance", "user_debt"),
}


def check_tiers(where: str, tiers: Sequence[Tier]) -> None:
    """Floors and rates rise, the deduction keeps maintenance continuous, and initial margin at the highest leverage is
    above maintenance.
    """
    if not tiers or tiers[0].floor != 0 or tiers[0].deduction != 0:
        raise InputError(f"{where}: the first bracket must begin at 0 without a deduction, it is {tiers[:1]}")
    for low, high in pairwise(tiers):
        if high.floor <= low.floor:
            raise InputError(f"{where}: floor {high.floor:g} does not rise above {low.floor:g}")
        if high.rate <= low.rate:
            raise InputError(f"{where}: rate {high.rate:g} at floor {high.floor:g} does not rise above {low.rate:g}")
        expected = low.deduction + high.floor * (high.rate - low.rate)
        if abs(high.deduction - expected) > 1e-6 * expected:
            raise InputError(
                f"{where}: deduction {high.deduction:.10g} at floor {high.floor:g} makes maintenance jump; "
                f"continuous with {expected:.10g}"
            )
    for tier in tiers:
        if not 0 < tier.rate < 1 / tier.max_leverage:
            raise InputError(
                f"{where}: rate {tier.rate:g} at floor {tier.floor:g} is not below the initial margin of "
                f"{tier.max_leverage:g}x, {1 / tier.max_leverage:.6g}"
            )


def check_file(name: str, table: Mapping[str, Any]) -> None:
    """Every table and key is known, every row dated and sourced, every fraction between 0 and 1."""
    for kind, rows in table.items():
        if kind not in TABLES and kind not in BESIDE:
            raise InputError(f"{name}.toml: no table {kind!r}; {nearest(kind, TABLES)}")
        if kind in TABLES:
            for number, row in enumerate(rows, 1):
                _check_row(f"{name}.toml, {kind} row {number}", TABLES[kind], row)
    for letter, row in table.get("bracket_sources", {}).items():
        _check_said(f"{name}.toml, bracket source {letter}", row)


def _check_row(where: str, columns: Columns, row: Mapping[str, Any]) -> None:
    for key in row:
        if key not in (*columns.needs, *columns.may, *SAID):
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, (*columns.needs, *columns.may, *SAID))}")
    for key in ("from", *columns.needs):
        if key not in row:
            raise InputError(f"{where}: no {key!r}")
    _check_dates(where, row)
    _check_said(where, row)
    _check_choices(where, row)
    for asset, (rate, max_leverage) in flat_rates(row) if columns is TABLES["tiers"] else ():
        check_tiers(f"{where}: {asset}", (Tier(0.0, rate, 0.0, max_leverage),))
    for key, value in fractions(row, columns.fractions):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"{where}: {key} = {value!r} is not between 0 and 1")


def _check_dates(where: str, row: Mapping[str, Any]) -> None:
    for key in ("from", "to"):
        if key in row and not isinstance(row[key], date):
            raise InputError(f"{where}: {key} = {row[key]!r} is not a date; write 2024-03-28")
    if "to" in row and str(row["to"]) <= str(row["from"]):
        raise InputError(f"{where}: to = {row['to']} does not lie after from = {row['from']}")


def _check_said(where: str, row: Mapping[str, Any]) -> None:
    for key in ("source", "rule", "mark"):
        if not row.get(key):
            raise InputError(f"{where}: no {key!r}")
    if row["mark"] not in MARKS:
        raise InputError(f"{where}: mark = {row['mark']!r} is none of {', '.join(MARKS)}")
    if bool(row.get("assumed")) != bool(row.get("reason")):
        raise InputError(f"{where}: `assumed` and its `reason` go together")


def _check_choices(where: str, row: Mapping[str, Any]) -> None:
    """Words of rows are words the engine knows."""
    for key in CHOICES.keys() & row.keys():
        for word in row[key] if isinstance(row[key], list) else [row[key]]:
            _check_word(f"{where}: {key}", word, CHOICES[key])
    for level in row.get("levels", ()):
        _check_word(f"{where}: level", level.get("action"), ACTIONS)
    ratios = [level["ratio"] for level in row.get("levels", ())]
    if ratios != sorted(ratios, reverse=True) or not all(ratio > 0 for ratio in ratios):
        raise InputError(f"{where}: levels {ratios} do not fall towards zero")
    for rung in row.get("ladder", ()):
        _check_word(f"{where}: ladder", rung, RUNGS)
    if isinstance(row.get("tail"), dict):
        _check_word(f"{where}: tail kind", row["tail"].get("kind"), TAIL_KINDS)


def _check_word(where: str, word: Any, choices: Sequence[str]) -> None:
    if word not in choices:
        raise InputError(f"{where}: no {word!r}; {nearest(str(word), choices)}")


def flat_rates(row: Mapping[str, Any]) -> list[tuple[str, tuple[float, float]]]:
    """(rate, max leverage) by asset of a row of flat tiers."""
    return [*row.get("assets", {}).items(), *((key, row[key]) for key in ("other",) if key in row)]


def fractions(row: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The numbers of a row that are fractions of something, one by one."""
    for key in keys:
        if isinstance(row.get(key), dict):
            yield from ((f"{key}.{asset}", value) for asset, value in row[key].items())
        elif key in row:
            yield key, row[key]
