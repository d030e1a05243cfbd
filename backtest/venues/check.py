"""Relations that must hold in any venue's table, asked on load: a mistyped digit is found before it margins anybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from backtest.errors import InputError
from backtest.venues.schema import Tier

TABLES = ("mode", "fee", "tiers", "liquidation_fee", "collateral", "conversion", "borrow", "impact", "scenario")


def check_tiers(where: str, tiers: Sequence[Tier]) -> None:
    """Floors and rates rise, maintenance is continuous, initial margin at the highest leverage is above maintenance."""
    for low, high in zip(tiers, tiers[1:], strict=False):
        if high.floor <= low.floor:
            raise InputError(f"{where}: floor {high.floor:g} does not rise above {low.floor:g}")
        if high.rate < low.rate:
            raise InputError(f"{where}: rate {high.rate:g} at floor {high.floor:g} falls below {low.rate:g}")
        gap = (high.rate * high.floor - high.deduction) - (low.rate * high.floor - low.deduction)
        if abs(gap) > 1e-6 * max(1.0, high.rate * high.floor):
            raise InputError(f"{where}: maintenance jumps by {gap:g} at floor {high.floor:g}")
    for tier in tiers:
        if not 0 < tier.rate < 1 / tier.max_leverage * (1 + 1e-9) and tier.max_leverage > 1:
            raise InputError(
                f"{where}: rate {tier.rate:g} is not below 1 / {tier.max_leverage:g} at floor {tier.floor:g}"
            )


def check_table(name: str, table: dict[str, Any]) -> None:
    """Every row is dated and sourced, what is assumed says why, ratios and rates lie in 0..1."""
    for kind in TABLES:
        for number, row in enumerate(table.get(kind, ()), 1):
            where = f"{name}.toml, {kind} row {number}"
            for key in ("from", "source"):
                if key not in row:
                    raise InputError(f"{where}: no {key!r}")
            if row.get("assumed") and not row.get("reason"):
                raise InputError(f"{where}: assumed without a reason")
            for key, value in _fractions(row):
                if not 0 <= value <= 1:
                    raise InputError(f"{where}: {key} = {value!r} is not between 0 and 1")


def _fractions(row: dict[str, Any]) -> list[tuple[str, float]]:
    """The numbers of a row that are fractions of something."""
    found = [
        (key, row[key])
        for key in ("maker", "taker", "rate", "initial", "maintenance", "half_spread", "offset")
        if key in row
    ]
    found += [("other", row["other"])] if "other" in row else []
    return found + [
        (f"assets.{asset}", value) for asset, value in row.get("assets", {}).items() if re.fullmatch(r"\w+", asset)
    ]
