"""The rules of a venue as lines to read: what holds, since when, who says so, and what is assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backtest.venues.load import Venue, load, names
from backtest.venues.schema import Tier
from backtest.venues.table import BY_ASSET, Entry, day, latest


def describe(venue: str | Venue | None = None, at_us: int | None = None) -> list[dict[str, Any]]:
    """The rows of a venue in force at a moment (all of them without one), or without a venue those there are.

    A row names only what still rests on it: an asset whose number a later row changed is shown with that one.
    InputError for an unknown venue.
    """
    if venue is None:
        return [{"venue": name, "modes": ", ".join(_presets(load(name)))} for name in names()]
    asked = load(venue) if isinstance(venue, str) else venue
    lines = [line for entries in asked.entries.values() for line in _lines(entries, at_us)]
    for key, entries in asked.brackets.by_key.items():
        held = entries if at_us is None else [entry for entry in entries if entry.holds(at_us)][-1:]
        lines += [_line(entry, key, _tiers(entry.values["tiers"])) for entry in held]
    return lines


def _presets(venue: Venue) -> list[str]:
    return list(dict.fromkeys(preset for entry in venue.entries["mode"] for preset in entry.where["preset"]))


def _lines(entries: Sequence[Entry], at_us: int | None) -> list[dict[str, Any]]:
    """Rows of one table, each with what is still its own at the moment."""
    if at_us is None:
        return [_line(entry, entry.whom, values_of(entry.values)) for entry in entries]
    held = [entry for entry in entries if entry.holds(at_us)]
    lines = []
    for entry in held:
        alike = [other for other in held if other.where == entry.where]
        values = still_own(entry, alike)
        if values:
            lines.append(_line(entry, entry.whom, values_of(values)))
    return lines


def still_own(entry: Entry, alike: Sequence[Entry]) -> dict[str, Any]:
    """What of a row no later row for the same has replaced."""
    own = {
        name: value
        for name, value in entry.values.items()
        if name not in BY_ASSET and latest(other for other in alike if name in other.values) is entry
    }
    named = {name: _still_its(entry, entry.values[name], alike) for name in BY_ASSET if name in entry.values}
    if any("assets" in other.values and isinstance(other.values["assets"], list) for other in alike):
        return dict(entry.values) if any(named.values()) or own.get("other") else {}
    if not named.get("tiers"):
        own.pop("by", None)
    elif "by" in entry.values:
        own["by"] = entry.values["by"]
    return {**{name: kept for name, kept in named.items() if kept}, **own}


def _still_its(entry: Entry, named: Any, alike: Sequence[Entry]) -> Any:
    """Of the assets a row names, those that no later row speaks of."""
    kept = [
        asset
        for asset in named
        if latest((other for other in alike if other.speaks_of(asset)), lambda e, a=asset: e.names(a)) is entry  # type: ignore[misc]
    ]
    return {asset: named[asset] for asset in kept} if isinstance(named, dict) else kept


def values_of(values: Mapping[str, Any]) -> str:
    """A row's numbers as words: `BTC 0.95, ETH 0.95; other 0.1`."""
    words = [
        _numbers(value.items()) if name == "assets" and isinstance(value, dict) else f"{name} {_worded(name, value)}"
        for name, value in values.items()
    ]
    return "; ".join(words)


def _worded(name: str, value: Any) -> str:
    """A value of a row; ladders of collateral and of portfolio margin step by step."""
    if name == "tiers":
        return ", ".join(f"{asset} {_steps(steps, 'above')}" for asset, steps in value.items())
    if name == "bands":
        return ", ".join(f"{band} {_steps(steps, 'up to')}" for band, steps in value.items())
    if name == "scenarios":
        return ", ".join("/".join(f"{number:g}" for number in each) for each in value)
    return _plain(value)


def _steps(steps: Sequence[Sequence[float]], word: str) -> str:
    return " / ".join(f"{word} {bound:,.12g}: {rate:g}" for bound, rate in steps)


def _numbers(pairs: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in pairs)


def _plain(value: Any) -> str:
    """Lists and tables without brackets and quotes."""
    if isinstance(value, dict):
        return _numbers(value.items())
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _tiers(tiers: Sequence[Tier]) -> str:
    return "; ".join(f"above {tier.floor:,g}: {tier.rate:.6g} ({tier.max_leverage:g}x)" for tier in tiers)


def _line(entry: Entry, key: str, value: str) -> dict[str, Any]:
    said = entry.said
    return {
        "table": entry.table,
        "key": key,
        "value": value,
        "from": day(entry.valid_from_us),
        "to": "" if entry.valid_to_us is None else day(entry.valid_to_us),
        "source": f"{said.source} ({said.rule})",
        "mark": said.mark,
        "assumed": said.reason if said.assumed else "",
    }
