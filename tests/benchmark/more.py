"""More of what the product does, without a peer beside it: scenario margin, liquidations, and real history."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtest.market.importers.layout import import_layout
from backtest.research import run as runs
from tests.benchmark import product
from tests.benchmark.around import MODES
from tests.benchmark.market import DAY_US, Market, pair_market, universe
from tests.benchmark.process import ROOT, waited
from tests.benchmark.rounds import Section, contest
from tests.benchmark.strategies import Carry, CarryEverywhere, EqualCarries, TopFunding, WeeklyBet
from tests.benchmark.workloads import in_product

SCENARIO_COINS, SCENARIO_BARS = 10, 8_760
BET = 10_000.0  # USD a week


def scenarios(rounds: int, full: bool) -> Section:
    """A year by the hour with twenty instruments held, margined by scenarios and by brackets.

    In cross margin coins back nothing, so that less of them is held.
    """
    market = universe(SCENARIO_BARS, SCENARIO_COINS)
    history = market.history()
    held = len(history.instruments)
    section = Section("scenarios", f"Scenario margin: {held} instruments held, {SCENARIO_BARS:,} hours, 33 scenarios")
    contestants = {
        f"product, {name}": in_product(product.config(market, TopFunding, mode, venue, 2.0), history, compared=False)
        for name, mode, venue in (
            ("generic scenarios", "portfolio", "generic"),
            ("binance portfolio", "portfolio", "binance"),
            ("binance cross", "cross", "binance"),
        )
    }
    contest(section, contestants, rounds, SCENARIO_BARS)
    return section


def betting(market: Market) -> Mapping[str, Any]:
    """A run whose two accounts are fed each Sunday what one of them loses in the week."""
    settings = product.config(market, WeeklyBet, "cross", leverage=50.0)
    sundays = [time_us for time_us in range(market.start_us, market.end_us, DAY_US) if time_us // DAY_US % 7 == 3]
    flows = [{"time": product.as_text(each), "asset": "USDT", "amount": BET, "wallet": "usdm"} for each in sundays]
    account = settings["account"][0] | {"deposit": {"USDT": BET}, "flows": flows}
    settings["account"] = [{**account, "name": name} for name in ("long", "short")]
    return settings


def liquidations(rounds: int, full: bool) -> Section:
    """The pair by the minute with a liquidation in every week."""
    market = pair_market()
    history = market.history()
    settings = betting(market)
    taken = product.run(settings, history)[0].fills.query("cause == 'liquidation'")["time"]
    weeks, bars = taken.dt.tz_localize(None).dt.to_period("W").nunique(), len(history.time)
    section = Section(
        "liquidations", f"Liquidations: {len(taken)} in {weeks} of 52 weeks, 2 accounts, {bars:,} minutes"
    )
    contestants = {
        "product, liquidated weekly": in_product(settings, history, compared=False),
        "product, two carries in cross margin": in_product(
            doubled(product.config(market, Carry, "cross")), history, compared=False
        ),
    }
    contest(section, contestants, rounds, 2 * bars)
    return section


def doubled(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run with its account twice, and the carry in both."""
    accounts = [{**settings["account"][0], "name": name} for name in ("one", "other")]
    return {**settings, "account": accounts, "strategy": {"class": CarryEverywhere, "params": {}}}


REAL = [f"{coin}/USDT{leg}" for coin in ("BTC", "ETH", "SOL", "DOGE") for leg in ("", ":USDT")]


def over(store: str, margin: str = "cross") -> Mapping[str, Any]:
    """Six years of carries over a store. Not every mode was offered all the while, nor is every hour there."""
    return {
        "name": "real", "data": {"store": store, "start": "2020-03-01", "end": "2026-03-01", "interval": "1h"},
        "account": [{"margin": margin, "leverage": 3, "deposit": {"USDT": 1_000_000.0}}],
        "strategy": {"class": EqualCarries}, "prices": {"gaps": "hold"},
        "rules": {"outside": "nearest", "counterfactual": True},
    }  # fmt: skip


def market_data() -> Path | None:
    """Folder of real history, where there is one."""
    path = Path(os.environ.get("BACKTEST_MARKET_DATA", ROOT.parent / "shared" / "market-data"))
    return path if path.is_dir() else None


def real(rounds: int, full: bool) -> Section:
    """BTC, ETH, SOL and DOGE as they were, by the hour: equal carries under four modes."""
    found = market_data()
    section = Section("real", "Real history: carries of BTC, ETH, SOL and DOGE by the hour")
    if found is None:
        section.notes.append("no real market history here; set BACKTEST_MARKET_DATA")
        return section
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        _, importing = waited(lambda: import_layout(found, name, only=REAL))
        prepared, reading = waited(lambda: runs.prepare(over(name)))
    bars = len(prepared.history.time)
    section.title += f", {bars:,} bars"
    contests = {f"product, {mode}": in_product(over(name, mode), prepared.history, compared=False) for mode in MODES}
    contest(section, contests, rounds, bars)
    section.notes.append(f"imported in {importing:.1f} s, read and laid on the grid in {reading:.2f} s")
    return section
