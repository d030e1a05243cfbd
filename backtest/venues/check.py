"""Relations that must hold in any venue's table, asked on load: a mistyped digit is found before it margins anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import pairwise
from typing import Any

from backtest.errors import InputError, is_number, nearest
from backtest.venues.schema import ACTIONS, TailRules, Terms, Tier, deduction_above
from backtest.venues.table import SAID

MARKS = "TNDSG"
RUNGS = (
    "cancel_orders",
    "repay",  # debts are paid off by selling other coins
    "reduce",  # the fewest lots that make the wallet sound
    "tier_down",  # to a tier whose maintenance is met
    "two_tiers_down",  # two tiers at a time, while the lowest tier's maintenance is covered
    "slice",  # a fixed share of the positions, then all of them
    "step",  # a little a second until maintenance is met
    "close",
    "sell_collateral",
    "takeover",
)
TAIL_KINDS = ("VaR", "ES")
PRESETS = ("isolated", "cross", "multi_asset", "portfolio", "portfolio_pro")
TAIL = tuple(field.name for field in fields(TailRules))
# As `state.PAGE_NAMES`, which is not read from there: it would load the compiler.
MODELS = ("bybit", "okx", "deribit", "paradex", "span", "tims")
TERMS = {field.name: field.default for field in fields(Terms)}
SLICING = ("slice", "slice_above_usd", "backstop_at", "fee_of_maintenance")


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
        (
            *("isolated_allowed", "inverse_in_unified", "open_loss", "loss_beyond", "asks_initial", "called"),
            *TERMS,
            *SLICING,
        ),
        ("debt_fee", "slice", "backstop_at", "fee_of_maintenance", "keeps_notional"),
    ),
    "tiers": Columns(("product",), ("assets", "other")),
    "slope": Columns(("product", "assets"), ("settle",)),
    "option": Columns(("mode", "flat", "least", "maintenance"), (), ("flat", "least", "maintenance")),
    "fee": Columns(("product", "maker", "taker"), ("settle",), ("maker", "taker")),
    "liquidation_fee": Columns(("product",), ("mode", "settle", *BY_ASSET), BY_ASSET),
    "delivery": Columns(("product", "fee"), ("settle", "average_seconds")),
    "funding": Columns(
        ("product", "hours"),
        (
            *("settle", "interest", "clamp", "cap_of_first_rate", "scaled_by_interval", "price", "continuous"),
            *BY_ASSET,
        ),
        ("interest", "clamp", *BY_ASSET),
    ),
    "settlement": Columns(("product", "when"), ("settle", "contract", "mode")),
    "collateral": Columns(("mode",), ("by", "tiers", *BY_ASSET), BY_ASSET),
    "ask_buffer": Columns(("mode",), (*BY_ASSET, "as_haircut"), BY_ASSET),
    "conversion": Columns(("mode",), (*BY_ASSET, "overdraft_usd"), BY_ASSET),
    "borrow": Columns(
        ("mode",),
        ("initial", "maintenance", "leverage", "hourly", *BY_ASSET),
        ("initial", "maintenance", "hourly"),
    ),
    "impact": Columns(("y", "half_spread"), (), ("half_spread",)),
    "scenario": Columns(
        ("ranges", "other_range", "steps", "offset", "basis_charge", "contingency", "initial_factor"),
        ("tail",),
        ("ranges", "other_range", "offset", "basis_charge", "contingency"),
    ),
    "portfolio": Columns(("model", "numbers"), ("moves", "volatilities", "scenarios", "bands", *BY_ASSET)),
    "spread": Columns(("model", "coins", "credit"), (), ("credit",)),
}
BESIDE = (
    "name",
    "brackets",
    "bracket_rates",
    "dated_take",
    "bracket_sources",
    "bracket_sizes",
    "inverse_sizes",
    "quarterlies_seen",
    "hedge_mode",
)
CHOICES = {
    "product": ("spot", "linear", "inverse", "option"),
    "contract": ("perpetual", "dated"),
    "mode": PRESETS,
    "preset": PRESETS,
    "scope": ("cross", "isolated"),
    "collateral": ("settlement", "multi"),
    "requirement": ("tiers", "scenarios", "tail"),
    "loss_beyond": ("insurance", "user_debt"),
    "price": ("mark", "index"),
    "when": ("funding", "daily"),
    "by": ("quantity", "value"),
    "model": MODELS,
    "bracket_rates": ("marginal", "flat"),
    "dated_take": ("class", "perpetual"),
}


def check_tiers(where: str, tiers: Sequence[Tier], flat: bool = False) -> None:
    """Floors and rates rise, the deduction keeps maintenance continuous, and initial margin at the highest leverage is
    above maintenance. `flat`: a rate holds for the whole size, so that nothing is deducted.
    """
    if not tiers or tiers[0].floor != 0 or tiers[0].deduction != 0:
        raise InputError(f"{where}: the first bracket must begin at 0 without a deduction, it is {tiers[:1]}")
    for low, high in pairwise(tiers):
        if high.floor <= low.floor:
            raise InputError(f"{where}: floor {high.floor:g} does not rise above {low.floor:g}")
        if high.rate <= low.rate:
            raise InputError(f"{where}: rate {high.rate:g} at floor {high.floor:g} does not rise above {low.rate:g}")
        if flat:
            if high.deduction != 0:
                raise InputError(
                    f"{where}: deduction {high.deduction:.10g} at floor {high.floor:g}, but rates are flat"
                )
            continue
        expected = deduction_above(high.floor, low.deduction, low.rate, high.rate)
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
                _check_row(f"{name}.toml, {kind} row {number}", kind, row)
    for letter, row in table.get("bracket_sources", {}).items():
        where = f"{name}.toml, bracket source {letter}"
        _check_said(where, row)
        if ("taken_back_to" in row) != ("taken_back_because" in row):
            raise InputError(f"{where}: `taken_back_to` and `taken_back_because` go together")
    _check_choices(f"{name}.toml", {key: table[key] for key in ("bracket_rates", "dated_take") if key in table})
    _check_flat(name, table)


def _check_flat(name: str, table: Mapping[str, Any]) -> None:
    """A mode reads its brackets as the file has them."""
    flat = table.get("bracket_rates") == "flat"
    for number, row in enumerate(table.get("mode", ()), 1):
        if "brackets" in table and bool(row.get("tier_flat")) != flat:
            rates = table.get("bracket_rates", "marginal")
            raise InputError(f"{name}.toml, mode row {number}: tier_flat does not fit bracket_rates = {rates!r}")


def _check_row(where: str, kind: str, row: Mapping[str, Any]) -> None:
    columns = TABLES[kind]
    for key in row:
        if key not in (*columns.needs, *columns.may, *SAID):
            raise InputError(f"{where}: unknown key {key!r}; {nearest(key, (*columns.needs, *columns.may, *SAID))}")
    for key in ("from", *columns.needs):
        if key not in row:
            raise InputError(f"{where}: no {key!r}")
    _check_dates(where, row)
    _check_said(where, row)
    _check_choices(where, row)
    if kind in CHECKS:
        CHECKS[kind](where, row)
    for key, value in fractions(row, columns.fractions):
        if not is_number(value) or not 0 <= value <= 1:
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
        for key in row["tail"]:
            _check_word(f"{where}: tail", key, TAIL)
        _check_word(f"{where}: tail kind", row["tail"].get("kind"), TAIL_KINDS)


def _check_flat_tiers(where: str, row: Mapping[str, Any]) -> None:
    for asset, (rate, max_leverage) in by_asset(row):
        check_tiers(f"{where}: {asset}", (Tier(0.0, rate, 0.0, max_leverage),))


def _check_mode(where: str, row: Mapping[str, Any]) -> None:
    """Terms are what they are by default; a slice has its rung, and a rung of slices its size."""
    for key in TERMS.keys() & row.keys():
        if isinstance(row[key], bool) != isinstance(TERMS[key], bool):
            raise InputError(
                f"{where}: {key} = {row[key]!r} is not {'true or false' if TERMS[key] is False else 'a number'}"
            )
    if "slice" in row["ladder"] and "slice" not in row:
        raise InputError(f"{where}: the rung 'slice' needs its size, such as slice = 0.2")
    if "slice" in row and not {"slice", "step"} & set(row["ladder"]):
        raise InputError(
            f"{where}: slice = {row['slice']:g} is the size of the rungs 'slice' and 'step', and none is there"
        )


def _check_slopes(where: str, row: Mapping[str, Any]) -> None:
    """Initial margin is above maintenance, and both rise with size."""
    for asset, (initial, maintenance, per_coin) in by_asset(row):
        if not 0 < maintenance < initial < 1:
            raise InputError(
                f"{where}: {asset}: maintenance {maintenance:g} and initial {initial:g} do not rise between 0 and 1"
            )
        if per_coin < 0:
            raise InputError(f"{where}: {asset}: {per_coin:g} a coin makes large positions cheaper")


def _check_ratios(where: str, row: Mapping[str, Any]) -> None:
    """Floors of a ladder of collateral ratios rise from 0, ratios lie between 0 and 1 and do not rise."""
    if ("tiers" in row) != ("by" in row):
        raise InputError(f'{where}: `tiers` and `by` ("quantity" or "value") go together')
    for asset, steps in row.get("tiers", {}).items():
        at = f"{where}: {asset}"
        if asset in row.get("assets", {}):
            raise InputError(f"{at} stands in `assets` and in `tiers`")
        if not steps or steps[0][0] != 0:
            raise InputError(f"{at}: the first ratio must begin at 0, it is {steps[:1]}")
        for floor, ratio in steps:
            if not is_number(ratio) or not 0 <= ratio <= 1:
                raise InputError(f"{at}: ratio {ratio!r} above {floor:g} is not between 0 and 1")
        for (low, before), (high, ratio) in pairwise(steps):
            if high <= low:
                raise InputError(f"{at}: floor {high:g} does not rise above {low:g}")
            if ratio > before:
                raise InputError(f"{at}: ratio {ratio:g} above {high:g} rises from {before:g}")


def _check_loan(where: str, row: Mapping[str, Any]) -> None:
    """A loan's initial margin is not below its maintenance, for everybody or by asset, and never both."""
    whole, single = {"initial", "maintenance"} & row.keys(), {"assets", "other"} & row.keys()
    if bool(whole) == bool(single) or len(whole) == 1:
        raise InputError(
            f"{where}: write `initial` and `maintenance`, or both by asset: assets = {{ BTC = [0.2, 0.04] }}"
        )
    pairs = by_asset(row) if single else [("all", (row["initial"], row["maintenance"]))]
    for asset, (initial, maintenance) in pairs:
        if not 0 <= maintenance <= initial <= 1:
            raise InputError(f"{where}: {asset}: maintenance {maintenance!r}, initial {initial!r}: not rising in 0..1")


def _check_portfolio(where: str, row: Mapping[str, Any]) -> None:
    """Scenarios lose no more than everything and count in 0..1; ladders rise and end without an end."""
    assets = row.get("assets")
    if bool(assets) == bool(row.get("other")) or not isinstance(assets or [], list):
        raise InputError(f'{where}: write assets = ["BTC"], or other = true for all that no row names')
    if "moves" not in row and "scenarios" not in row:
        raise InputError(f"{where}: no scenarios; write `moves` and `volatilities`, or `scenarios`")
    reach = row["numbers"].get("scan_range", 1.0)  # a page with scan ranges has its scenarios in them
    for move, volatility, weight in scenarios_of(row):
        if not (move * reach > -1 and volatility >= -1 and 0 <= weight <= 1):
            raise InputError(f"{where}: scenario [{move:g}, {volatility:g}, {weight:g}]: no such move, shock or weight")
    for key, value in row["numbers"].items():
        if not is_number(value):
            raise InputError(f"{where}: numbers.{key} = {value!r} is not a number")
    for key, steps in row.get("bands", {}).items():
        ends = [end for end, _ in steps]
        if not ends or ends[-1] != float("inf") or any(high <= low for low, high in pairwise(ends)):
            raise InputError(f"{where}: bands.{key}: {ends} do not rise to inf")
        if any(rate < 0 for _, rate in steps):
            raise InputError(f"{where}: bands.{key}: a rate below 0")


def _check_spread(where: str, row: Mapping[str, Any]) -> None:
    """Two coins, so many of each, make one spread."""
    coins = row["coins"]
    if not isinstance(coins, dict) or len(coins) != 2 or not all(number > 0 for number in coins.values()):
        raise InputError(
            f"{where}: coins = {coins!r}: write how many of two coins make a spread: {{ BTC = 1, ETH = 20 }}"
        )


CHECKS: dict[str, Callable[[str, Mapping[str, Any]], None]] = {
    "mode": _check_mode,
    "tiers": _check_flat_tiers,
    "slope": _check_slopes,
    "collateral": _check_ratios,
    "borrow": _check_loan,
    "portfolio": _check_portfolio,
    "spread": _check_spread,
}


def _check_word(where: str, word: Any, choices: Sequence[str]) -> None:
    if word not in choices:
        raise InputError(f"{where}: no {word!r}; {nearest(str(word), choices)}")


def scenarios_of(row: Mapping[str, Any]) -> tuple[tuple[float, float, float], ...]:
    """(move, volatility shock, weight) of a row of scenarios: every move with every shock, then those written out."""
    full = [(move, shock, 1.0) for move in row.get("moves", ()) for shock in row.get("volatilities", (0.0,))]
    written = [tuple(each) for each in row.get("scenarios", ())]
    return tuple((float(move), float(shock), float(weight)) for move, shock, weight in full + written)


def by_asset(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a row says by asset, and of all others."""
    return [*row.get("assets", {}).items(), *((key, row[key]) for key in ("other",) if key in row)]


def fractions(row: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The numbers of a row that are fractions of something, one by one."""
    for key in keys:
        if isinstance(row.get(key), dict):
            yield from ((f"{key}.{asset}", value) for asset, value in row[key].items())
        elif key in row:
            yield key, row[key]
