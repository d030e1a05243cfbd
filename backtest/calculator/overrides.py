"""[rules]: any rule of the venue replaced by a number of one's own, by the names of the rule set.

tiers        by symbol: a rate, or rows [floor, rate, highest leverage] (the deduction follows from continuity) or
             [floor, rate, deduction, highest leverage]
collateral   by asset: a ratio, or rows [floor, ratio] or [floor, ratio, deduction]
levels       { liquidate = 1.05, reduce_only = 1.2 }
terms        the fields of `Terms`                  slopes     by symbol: initial, maintenance, per_coin
written_option  flat, least, maintenance: see `margin.options`
scenario     offset, basis_charge, contingency, initial_factor; moves by asset
portfolio    model; numbers, grids and bands by asset
maker, taker, delivery_fee, liquidation_fee, half_spread      a number for all, or by symbol
ask_buffer, requirement_buffer, borrow_maintenance, ...       a number for all, or by asset
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from backtest.errors import InputError, is_number, nearest
from backtest.margin.portfolio import PAGES
from backtest.market.schema import Instrument
from backtest.venues.brackets import bracket_entry
from backtest.venues.in_force import grid
from backtest.venues.load import Venue
from backtest.venues.schema import (
    ACTIONS,
    CollateralTier,
    Level,
    PortfolioRules,
    Row,
    RuleSet,
    ScenarioRules,
    Slope,
    Terms,
    Tier,
    deduction_above,
)  # fmt: skip
from backtest.venues.table import Said

OURS = "the snapshot"
NO_CAP = 1.0  # highest leverage of a row that names none: no statement, so it says nothing of leverage
BY_SYMBOL = ("maker", "taker", "delivery_fee", "liquidation_fee", "half_spread", "settled", "funding_at")
BY_ASSET = (
    "ask_buffer", "requirement_buffer", "conversion_cost", "overdraft_usd", "borrow_initial", "borrow_maintenance",
    "borrow_hourly", "collateral_by_quantity",
)  # fmt: skip
NEVER = ("start_us", "rows")
SHARE, FEE, AMOUNT = (0.0, 1.0), (-1.0, 1.0), (0.0, 1e15)
RANGES = {
    **dict.fromkeys(("maker", "taker", "delivery_fee"), FEE),
    **dict.fromkeys(
        (
            "liquidation_fee", "half_spread", "ask_buffer", "requirement_buffer", "conversion_cost", "borrow_initial",
            "borrow_maintenance", "borrow_hourly", "slice", "backstop_at", "fee_of_maintenance", "debt_fee", "offset",
            "contingency",
        ),
        SHARE,
    ),
    **dict.fromkeys(("fixed_usd", "slice_above_usd"), AMOUNT),
    **dict.fromkeys(("keeps", "impact_y", "basis_charge", "initial_factor"), (0.0, 1000.0)),
    **dict.fromkeys(("overdraft_usd", "bands"), (0.0, math.inf)),
}  # fmt: skip
WORDS = {"settled": ("", "funding", "daily"), "funding_at": ("mark", "index")}
USUAL = {"settled": "", "funding_at": "mark", "collateral_by_quantity": False}
HIGHEST_LEVEL = 1000.0
NO_SCENARIO = ScenarioRules((), 0.0, 0.0, 0.0, 1.0)


def with_overrides(
    rule_set: RuleSet, changes: Mapping[str, Any], instruments: Sequence[Instrument], assets: Sequence[str]
) -> RuleSet:
    """The rule set with the account's own numbers in it, each noted as a row. InputError for an unknown name."""
    symbols = [instrument.symbol for instrument in instruments]
    names = [field.name for field in fields(RuleSet) if field.name not in NEVER]
    found: dict[str, Any] = {}
    for name, given in changes.items():
        if name not in names:
            raise InputError(f"rules.{name}: unknown rule (value {given!r}); {nearest(name, names)}")
        found[name] = _read(name, getattr(rule_set, name), given, symbols, list(assets))
    rows = [*(row for row in rule_set.rows if not _replaced(row, changes)), *_rows(changes)]
    return replace(rule_set, **found, rows=tuple(rows))


def _read(name: str, before: Any, given: Any, symbols: list[str], assets: list[str]) -> Any:
    where = f"rules.{name}"
    if name == "tiers":
        return _each(where, before, given, symbols, _tiers, only_by_name=True)
    if name == "collateral":
        return _each(where, before, given, assets, _ratios)
    if name == "levels":
        return _levels(where, given)
    if name == "terms":
        return replace(before, **_fields(where, Terms, given))
    if name == "slopes":
        return _each(where, before or (None,) * len(symbols), given, symbols, _slope, only_by_name=True)
    if name == "written_option":
        return _written_option(where, before, given)
    if name == "scenario":
        return _scenario(where, before, given, assets)
    if name == "portfolio":
        return _portfolio(where, before, given, assets)
    if name in BY_SYMBOL or name in BY_ASSET:
        keys = symbols if name in BY_SYMBOL else assets
        return _each(where, before or (USUAL.get(name),) * len(keys), given, keys, _like(USUAL.get(name, 0.0), name))
    return _like(before, name)(where, given)


def _each(
    where: str,
    before: Sequence[Any],
    given: Any,
    keys: list[str],
    read: Callable[[str, Any], Any],
    only_by_name: bool = False,
) -> tuple[Any, ...]:
    """One value for all, or by name; what is not named stays."""
    if not isinstance(given, Mapping):
        if only_by_name:
            raise InputError(f'{where} = {given!r}: say of which, such as {{ "{keys[0] if keys else ""}" = ... }}')
        return tuple(read(where, given) for _ in keys)
    for key in given:
        if key not in keys:
            raise InputError(f"{where}: {key!r} is not in this account; {nearest(str(key), keys)}")
    return tuple(
        read(f"{where}.{key}", given[key]) if key in given else old for key, old in zip(keys, before, strict=True)
    )


def _number(where: str, value: Any, name: str = "") -> float:
    """A number; of a rule with a `name`, within what can be. InputError for others."""
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if not is_number(value) or math.isnan(value):
        raise InputError(f"{where} = {value!r}: write a number")
    if math.isinf(value) and (low, high) != (0.0, math.inf):
        raise InputError(f"{where} = {value!r}: write a finite number")
    if not low <= value <= high:
        words = "a fee is a share of the notional, between" if (low, high) == FEE else "write a number between"
        raise InputError(f"{where} = {value:g}: {words} {low:g} and {high:g}")
    return float(value)


def _like(example: Any, name: str = "") -> Callable[[str, Any], Any]:
    """A reader of values of the kind of an example: true or false, text, or a number."""

    def read(where: str, value: Any) -> Any:
        if isinstance(example, bool | str) and not isinstance(value, type(example)):
            raise InputError(f"{where} = {value!r}: write {'text' if isinstance(example, str) else 'true or false'}")
        if isinstance(example, str) and value not in WORDS.get(name, (value,)):
            raise InputError(f"{where} = {value!r}: {nearest(value, [word for word in WORDS[name] if word])}")
        return value if isinstance(example, bool | str) else _number(where, value, name)

    return read


def _rows_of(where: str, given: Any, widths: tuple[int, ...], words: str, name: str = "") -> list[list[float]]:
    rows = given if isinstance(given, list | tuple) else None
    if not rows or not all(isinstance(row, list | tuple) and len(row) in widths for row in rows):
        raise InputError(f"{where} = {given!r}: write rows of {words}")
    return [[_number(where, cell, name) for cell in row] for row in rows]


def _tiers(where: str, given: Any) -> tuple[Tier, ...]:
    """Brackets as published; what a table that rises by its own deductions says is taken as it stands."""
    if is_number(given):
        rate = _share(where, _number(where, given))
        return (Tier(0.0, rate, 0.0, _highest(rate)),)
    rows = _rows_of(
        where, given, (2, 3, 4), "[floor, rate, highest leverage] or [floor, rate, deduction, highest leverage]"
    )
    tiers: list[Tier] = []
    for row in rows:
        floor, rate = row[0], _share(where, row[1])
        _rising(where, [tier.floor for tier in tiers], floor)
        if tiers and rate < tiers[-1].rate:
            raise InputError(f"{where}: rate {rate:g} falls below {tiers[-1].rate:g}; a larger position asks no less")
        passed = deduction_above(floor, tiers[-1].deduction, tiers[-1].rate, rate) if tiers else 0.0
        deduction = row[2] if len(row) == 4 else passed
        if deduction < 0.0:
            raise InputError(f"{where}: deduction {deduction:g} is below 0; leave it out, it follows from the rates")
        leverage = row[-1] if len(row) > 2 else _highest(rate)
        if leverage < 1.0:
            raise InputError(f"{where}: highest leverage {leverage:g} is below 1")
        tiers.append(Tier(floor, rate, deduction, leverage))
    return tuple(tiers)


def _rising(where: str, floors: Sequence[float], floor: float) -> None:
    """InputError unless the first floor is 0 and each lies above the one before."""
    if not floors and floor != 0.0:
        raise InputError(f"{where}: the first row begins at {floor:g}; write a row from 0 on")
    if floors and floor <= floors[-1]:
        raise InputError(f"{where}: floor {floor:g} does not rise above {floors[-1]:g}")


def _highest(rate: float) -> float:
    """The leverage above which initial margin would be below a maintenance rate."""
    return NO_CAP / rate if rate else 1e9


def _ratios(where: str, given: Any) -> tuple[CollateralTier, ...]:
    if is_number(given):
        return (CollateralTier(0.0, _share(where, float(given))),)
    steps: list[CollateralTier] = []
    for row in _rows_of(where, given, (2, 3), "[floor, ratio] or [floor, ratio, deduction]"):
        floor, ratio = row[0], _share(where, row[1])
        _rising(where, [step.floor_usd for step in steps], floor)
        passed = deduction_above(floor, steps[-1].deduction_usd, steps[-1].ratio, ratio) if steps else 0.0
        if len(row) == 3 and not math.isclose(row[2], passed, rel_tol=1e-6, abs_tol=1e-6):
            raise InputError(
                f"{where}: deduction {row[2]:g} leaves a jump at {floor:g}; leave it out, or write {passed:g}"
            )
        steps.append(CollateralTier(floor, ratio, row[2] if len(row) == 3 else passed))
    return tuple(steps)


def _share(where: str, ratio: float) -> float:
    if not 0.0 <= ratio <= 1.0:
        raise InputError(f"{where} = {ratio:g} is not between 0 and 1")
    return ratio


def _levels(where: str, given: Any) -> tuple[Level, ...]:
    if isinstance(given, Mapping):
        rows = list(given.items())
    else:
        listed = given if isinstance(given, list | tuple) else [given]
        tables = [_table(where, each, "liquidate") for each in listed]
        rows = [(row.get("action"), row.get("ratio")) for row in tables]
    levels = []
    for action, ratio in rows:
        if action not in ACTIONS:
            raise InputError(f"{where}: no action {action!r}; {nearest(str(action), ACTIONS)}")
        at = _number(f"{where}.{action}", ratio)
        if not 0.0 < at <= HIGHEST_LEVEL:
            raise InputError(f"{where}.{action} = {at:g}: write a margin ratio above 0, such as 1.0")
        levels.append(Level(at, action))
    _check_forced(where, given, levels)
    return tuple(sorted(levels, key=lambda level: -level.ratio))


def _check_forced(where: str, given: Any, levels: Sequence[Level]) -> None:
    """InputError where forced sales begin nowhere, or would end below where they began."""
    at = {level.action: level.ratio for level in levels}
    if "liquidate" not in at:
        raise InputError(
            f"{where} = {given!r}: say at which ratio the account is liquidated, such as {{ liquidate = 1.0 }}"
        )
    if at.get("restored", math.inf) < at["liquidate"]:
        raise InputError(
            f"{where}.restored = {at['restored']:g}: lies below liquidate = {at['liquidate']:g}, where forced sales "
            "begin; write a higher one, or leave it out"
        )


def _table(where: str, given: Any, such_as: str = "name") -> Mapping[str, Any]:
    """What is written as a table. InputError for anything else."""
    if not isinstance(given, Mapping):
        raise InputError(f"{where} = {given!r}: write a table, such as {{ {such_as} = ... }}")
    return given


def _named(where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    """InputError for a key of a table that is not known."""
    for key in table:
        if key not in known:
            raise InputError(f"{where}.{key}: unknown key (value {table[key]!r}); {nearest(str(key), known)}")


def _fields(where: str, kind: type, given: Any) -> dict[str, Any]:
    """Fields of a dataclass from a table, numbers and switches as its own are."""
    known = {field.name: field.default for field in fields(kind)}
    _named(where, _table(where, given, next(iter(known))), known)
    return {key: _like(known[key], key)(f"{where}.{key}", value) for key, value in given.items()}


def _slope(where: str, given: Any) -> Slope:
    found = {"per_coin": 0.0, **_table(where, given, "initial")}
    if set(found) != {"initial", "maintenance", "per_coin"}:
        raise InputError(f"{where} = {given!r}: write initial and maintenance, and per_coin where it is not 0")
    slope = Slope(**{key: _share(f"{where}.{key}", _number(where, value)) for key, value in found.items()})
    if not 0.0 < slope.maintenance <= slope.initial:
        raise InputError(f"{where} = {given!r}: maintenance must be above 0 and initial no less than it")
    return slope


def _written_option(where: str, before: tuple[float, ...], given: Any) -> tuple[float, ...]:
    known = ("flat", "least", "maintenance")
    _named(where, _table(where, given, "flat"), known)
    return tuple(
        _share(f"{where}.{key}", _number(f"{where}.{key}", given.get(key, old)))
        for key, old in zip(known, before, strict=True)
    )


def _scenario(where: str, before: ScenarioRules | None, given: Any, assets: list[str]) -> ScenarioRules:
    rules = before or replace(NO_SCENARIO, moves=((0.0,),) * len(assets))
    known = ("moves", "offset", "basis_charge", "contingency", "initial_factor")
    _named(where, _table(where, given, "offset"), known)
    found: dict[str, Any] = {k: _number(f"{where}.{k}", value, k) for k, value in given.items() if k != "moves"}
    moves = _each(f"{where}.moves", rules.moves, given.get("moves", {}), assets, _moves)
    return replace(rules, moves=moves, **found)


def _moves(where: str, given: Any) -> tuple[float, ...]:
    """A list of moves; a number r is 33 equal steps from -r to r."""
    if is_number(given):
        return grid(float(given), 33)
    if not isinstance(given, list | tuple):
        raise InputError(f"{where} = {given!r}: write a list of moves, or one number")
    return tuple(_number(where, move) for move in given)


def _portfolio(where: str, before: PortfolioRules | None, given: Any, assets: list[str]) -> PortfolioRules:
    """The venue's own model with other numbers; by asset, each beside those of the venue that are not named."""
    count = len(assets)
    rules = before or PortfolioRules("", ((),) * count, ({},) * count, ({},) * count)
    _named(where, _table(where, given, "model"), ("model", "numbers", "grids", "bands", "spreads"))
    changes: dict[str, Any] = {"model": str(given.get("model", rules.model))}
    if changes["model"] not in PAGES:
        raise InputError(f"{where}.model: no model {changes['model']!r}; {nearest(changes['model'], PAGES)}")
    grid = _each(f"{where}.grids", rules.grids, given.get("grids", {}), assets, _grid)
    changes["grids"] = grid
    for name, read in (("numbers", _number), ("bands", _band)):
        table = _table(f"{where}.{name}", given.get(name, {}))
        for asset in assets:
            _table(f"{where}.{name}.{asset}", table.get(asset, {}))
        shared = table if table and not any(key in assets for key in table) else None
        changes[name] = tuple(
            {**old, **{k: read(f"{where}.{name}.{k}", v) for k, v in (shared or table.get(asset, {})).items()}}
            for asset, old in zip(assets, getattr(rules, name), strict=True)
        )
    if "spreads" in given:
        changes["spreads"] = _spreads(f"{where}.spreads", given["spreads"], assets)
    return replace(rules, **changes)


def _spreads(where: str, given: Any, assets: list[str]) -> tuple[tuple[int, int, float, float, float], ...]:
    """Rows [first coin, second coin, coins of each in one spread, credit]; of coins that the account lacks none."""
    rows = []
    for k, row in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(row, list) or len(row) != 5 or not all(isinstance(coin, str) for coin in row[:2]):
            raise InputError(f'{where}[{k}] = {row!r}: write ["BTC", "ETH", 1, 20, 0.5]')
        one, other, credit = (_number(f"{where}[{k}]", number) for number in row[2:])
        if one <= 0 or other <= 0 or not 0 <= credit <= 1:
            raise InputError(f"{where}[{k}] = {row!r}: coins must be above 0 and the credit between 0 and 1")
        if row[0] in assets and row[1] in assets:
            rows.append((assets.index(row[0]), assets.index(row[1]), one, other, credit))
    return tuple(rows)


def _grid(where: str, given: Any) -> tuple[tuple[float, ...], ...]:
    rows = _rows_of(where, given, (1, 2, 3), "[price move, volatility shock, share that counts]")
    return tuple((*row, *(0.0, 1.0)[len(row) - 1 :]) for row in rows)


def _band(where: str, given: Any) -> tuple[tuple[float, float], ...]:
    return tuple((row[0], row[1]) for row in _rows_of(where, given, (2,), "[up to, rate]", "bands"))


def _rows(changes: Mapping[str, Any]) -> list[Row]:
    """What the account changed, as rows of the journal."""
    found = []
    for name, given in changes.items():
        parts = given.items() if isinstance(given, Mapping) else [("", given)]
        for key, value in parts:
            label = f"{name}, {key}" if key else name
            found.append(
                Row("rules", label, value if not isinstance(value, list) else str(value), 0, OURS, "", rule="")
            )
    return found


def _replaced(row: Row, changes: Mapping[str, Any]) -> bool:
    """Whether a row of the venue no longer holds for anything, since the account says otherwise."""
    tiers = changes.get("tiers", {})
    if row.table == "brackets" and isinstance(tiers, Mapping) and row.key in tiers:
        return True
    ratios = changes.get("collateral", {})
    return row.table == "collateral" and (not isinstance(ratios, Mapping) or row.asset in ratios)


def knowing_tiers(venue: Venue, given: Mapping[str, Any], instruments: Sequence[Instrument]) -> Venue:
    """The venue, told of the brackets that the account brings: a contract or a day it has none of may be asked."""
    if not venue.brackets.by_key or not isinstance(given.get("tiers", {}), Mapping):
        return venue
    by_key = dict(venue.brackets.by_key)
    for instrument in instruments:
        if instrument.symbol in given.get("tiers", {}):
            tiers = _tiers(f"rules.tiers.{instrument.symbol}", given["tiers"][instrument.symbol])
            family = instrument.symbol.split("-")[0]
            key = f"{family}-*" if instrument.dated and instrument.kind == "linear" else family
            ours = bracket_entry(tiers, "1970-01-01", Said(OURS, "", ""))
            by_key[key] = (ours, *(entry for entry in by_key.get(key, ()) if entry.valid_from_us > 0))
    return Venue(venue.name, venue.entries, replace(venue.brackets, by_key=by_key))
