"""The four workloads: a carry by the minute, a universe by the hour, a sweep, and a strategy asked at every bar."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import backtest
from backtest.market.history import History
from backtest.strategy import Strategy
from tests.benchmark import product, reference
from tests.benchmark.limit import Limit, compiler
from tests.benchmark.market import BANDS, DAY_US, HEDGES, Market, pair_market, universe
from tests.benchmark.process import Peer, memory_of, timed, waited
from tests.benchmark.rounds import Row, Run, Section, contest
from tests.benchmark.strategies import (
    Carry,
    CarryAsTable,
    CarryEveryBar,
    TopFunding,
    TopFundingAsTable,
    given,
)

C_REPEATS = 5  # it takes milliseconds: the middle one of some calls stands for a round


def pair_of(history: History, coin: int = 0) -> reference.Pair:
    """A coin's prices as the reference takes them."""
    future = coin + len(history.instruments) // 2
    mine = history.funding_instrument == future
    rate = dict(zip(history.funding_bar[mine].tolist(), history.funding_rate[mine].tolist(), strict=True))
    columns = (
        history.open[coin], history.close[coin], history.open[future], history.mark_open[future],
        history.mark_close[future],
    )  # fmt: skip
    return reference.Pair(*(column.tolist() for column in columns), rate)


def in_c(call: Callable[[], float]) -> Run:
    """The C program: the middle of some calls."""

    def run() -> Mapping[str, float]:
        calls = [timed(call) for _ in range(C_REPEATS)]
        return {"": statistics.median(seconds for _, seconds in calls), "equity": calls[0][0]}

    return run


def in_product(
    settings: Mapping[str, Any],
    history: History,
    parts: Collection[str] | None = ("engine",),
    compared: bool = True,
    anew: bool = False,
) -> Run:
    """The product: a whole `live`; with some of its parts, or (None) with all and what reading the result takes then.

    `compared`: whether it trades as the reference. `anew`: as over a history that no run has seen.
    """

    def run() -> Mapping[str, float]:
        result, times = product.run(settings, replace(history) if anew else history, parts is None)
        told = {"": times.live, **({"equity": float(result.equity.iloc[-1])} if compared else {})}
        found = times.of_live()
        if parts is not None:
            return {**told, **{name: found[name] for name in parts}}
        return {**told, **found, "then: every frame": times.frames, "then: figures": times.figures}

    return run


def in_peer(peer: Peer) -> Run:
    """vectorbt, in its own process."""

    def run() -> Mapping[str, float]:
        told = peer.run()
        return {"": told["seconds"], "equity": told["equity"], "peak_mb": told["peak_mb"]}

    return run


def reading(history: History) -> Run:
    """numpy adding up the columns that C reads, once: memory's own speed."""
    names = ("open", "close", "mark_open", "mark_low", "mark_high", "mark_close")
    rows = [row for name in names for row in getattr(history, name)]

    def run() -> Mapping[str, float]:
        return {"": timed(lambda: [float(row.sum()) for row in rows])[1]}

    return run


def judged(history: History, call: Callable[[Limit], float]) -> dict[str, Run]:
    """The C program as a contestant, where the machine can compile it."""
    if not compiler():
        return {}
    limit = Limit(history)
    return {"C": in_c(lambda: call(limit))}


def w1(rounds: int, full: bool) -> Section:
    """Carry by the minute for a year, under every margin mode; one face after the other."""
    market = pair_market()
    history, laid = timed(market.history)
    pair, day = pair_of(history), DAY_US // history.interval_us
    (expected, fills), plain = timed(lambda: reference.carry(pair, day))
    section = Section("w1", f"W1: carry, 1 spot + 1 perpetual, {len(history.time):,} minutes, {fills} fills")
    peer, settings = Peer("w1"), product.config(market, Carry)
    table = given(product.run(settings, history)[0].orders)
    runs = {
        **judged(history, Limit.carry),
        "product": in_product(settings, history, None, anew=True),
        "vectorbt": in_peer(peer),
        "numpy reads the columns": reading(history),
        "product, the same history again": in_product(settings, history),
        DECLARED: in_product(product.config(market, CarryAsTable), history, ("targets", "engine")),
        "product, targets": in_product(product.config(market, table), history, ("targets", "engine")),
        **{
            f"product, {mode}": in_product(product.config(market, Carry, mode), history, compared=mode == "portfolio")
            for mode in ("isolated", "cross", "portfolio")
        },
        "product, generic scenarios": in_product(product.config(market, Carry, "portfolio", "generic"), history),
    }
    contest(section, runs, rounds, len(history.time), expected, W1_NOTES)
    peer.close()
    add_memory(section)
    section.rows.append(Row("plain Python, no margin", plain, plain / len(history.time) * 1e9, off=0.0))
    prepared = product.run(settings, history)[1].prepare
    section.notes += [
        f"preparing (the config read; the history is there already): {prepared * 1e3:.1f} ms; the history laid on its "
        f"grid from memory: {laid:.2f} s",
        "isolated and cross hold coins apart from the margin: some orders are refused there, so they end elsewhere",
    ]
    return section


def add_memory(section: Section) -> None:
    """What a run of the product takes, in a process of its own."""
    row = next(row for row in section.rows if row.who == "product")
    row.peak_mb, said = memory_of(section.name)
    section.notes.append(said)


DECLARED = "product, declared"
W1_NOTES = {
    DECLARED: "multi_asset, as shares of equity with a band: prefix check included",
    "C": "bar by bar; margin at low, high and close; 4 columns",
    "product": "multi_asset, asked once a day; a new history each time",
    "vectorbt": "no margin; asked on 1 row in 480",
    "numpy reads the columns": "12 of them, summed",
    "product, targets": "the same sizes as a table: prefix check included",
}


def w2(rounds: int, full: bool) -> Section:
    """TopFunding over fifty pairs for five years."""
    market = universe()
    history, laid = timed(market.history)
    coins, day = len(market.coins), DAY_US // history.interval_us
    pairs = [pair_of(history, coin) for coin in range(coins)]
    (expected, fills), plain = timed(lambda: reference.top_funding(pairs, day))
    section = Section(
        "w2", f"W2: top ten of {coins} spot + {coins} perpetuals, {len(history.time):,} hours, {fills:,} fills"
    )
    peer = Peer("w2")
    settings = product.config(market, TopFunding, leverage=LEVERAGE)
    runs = {
        **judged(history, Limit.top_funding),
        "product": in_product(settings, history, None, anew=True),
        "vectorbt": in_peer(peer),
        "numpy reads the columns": reading(history),
        "product, the same history again": in_product(settings, history),
        DECLARED: in_product(
            product.config(market, TopFundingAsTable, leverage=LEVERAGE), history, ("targets", "engine")
        ),
    }
    if full:
        table = given(product.run(settings, history)[0].orders)
        for mode, venue in (("portfolio", "binance"), ("portfolio", "generic")):
            other = product.config(market, TopFunding, mode, venue, LEVERAGE)
            runs[f"product, {venue} {mode}"] = in_product(other, history)
        runs["product, targets"] = in_product(
            product.config(market, table, leverage=LEVERAGE), history, ("targets", "engine")
        )
    contest(section, runs, rounds, len(history.time), expected, W2_NOTES)
    peer.close()
    section.rows.append(Row("plain Python, no margin", plain, plain / len(history.time) * 1e9, off=0.0))
    add_memory(section)
    section.notes.append(f"the history laid on its grid from memory: {laid:.2f} s")
    if not full:
        section.notes.append("portfolio margin, scenarios and a table of targets: with --full")
    return section


LEVERAGE = 2.0  # small coins' brackets allow no more at this size
W2_NOTES = {
    DECLARED: "multi_asset, as shares of equity: prefix check included",
    "C": "only what is held is looked at",
    "product": "multi_asset, asked once a day; a new history each time",
    "vectorbt": "no margin; asked on 1 row in 8",
}


def w3(rounds: int, full: bool) -> Section:
    """A thousand parameters of Carry over the pair by the hour."""
    market = pair_market()
    history = market.history("1h")
    bars, points = len(history.time), len(HEDGES) * len(BANDS)
    section = Section("w3", f"W3: carry by the hour ({bars:,} bars), {len(HEDGES)} hedges x {len(BANDS)} bands")
    pair, day = pair_of(history), DAY_US // history.interval_us
    equities, plain = timed(
        lambda: np.array([[reference.carry(pair, day, hedge, band)[0] for band in BANDS] for hedge in HEDGES])
    )
    peer = Peer("w3")
    chosen = np.unravel_index(np.linspace(0, points - 1, points if full else SAMPLE).astype(int), equities.shape)
    many = len(chosen[0])
    workers = min(2, os.cpu_count() or 1)
    runs = {
        **judged(history, lambda limit: float(limit.sweep(HEDGES, BANDS).sum())),
        f"product, {many} points": in_sweep(market, Carry, history, chosen, equities, 1),
        f"product, {many} points, {workers} processes": in_sweep(market, Carry, history, chosen, equities, workers),
        f"{DECLARED}, {many} points": in_sweep(market, CarryAsTable, history, chosen, equities, 1),
        f"{DECLARED}, {many} points, {workers} processes": in_sweep(
            market, CarryAsTable, history, chosen, equities, workers
        ),
        "vectorbt": in_peer(peer),
    }
    unwarmed = [name for name in runs if name.startswith("product")]
    contest(section, runs, max(1, rounds // 2), bars * points, float(equities.sum()), W3_NOTES, unwarmed)
    peer.close()
    section.rows.append(Row("plain Python, no margin", plain, plain / bars / points * 1e9, off=0.0))
    section.notes += [
        f"the product lived {many} of the points, each a whole run with its figures; the time is told for {points:,}",
        f"{workers} processes are timed by the wall clock, the others by the processor's seconds",
        "off: vectorbt and C by the sum of all final equities, the product by the point that is furthest off",
    ]
    return section


SAMPLE = 100
W3_NOTES = {"C": "one core, whole paths written", "vectorbt": "final equities only, 50 points at a time"}


def in_sweep(
    market: Market,
    strategy: type[Strategy],
    history: History,
    chosen: tuple[np.ndarray, ...],
    equities: np.ndarray,
    workers: int,
) -> Run:
    """`backtest.sweep` over some points; told as if it had been all of them."""
    settings = product.config(market, strategy)
    settings["data"]["interval"] = "1h"
    listed = [
        {"strategy.params.hedge": float(HEDGES[h]), "strategy.params.band": float(BANDS[b])}
        for h, b in zip(*chosen, strict=True)
    ]
    expected = equities[chosen]

    def run() -> Mapping[str, float]:
        swept = {**settings, "sweep": {"list": listed}}
        measure = timed if workers == 1 else waited
        found, seconds = measure(lambda: backtest.sweep(swept, data=history, workers=workers))
        off = found.points.sort_values("point")["End Equity"].to_numpy(dtype=np.float64) / expected - 1.0
        worst = float(off[np.abs(off).argmax()])
        return {"": seconds * equities.size / len(listed), "equity": float(equities.sum()) * (1.0 + worst)}

    return run


def w4(rounds: int, full: bool) -> Section:
    """W1 with a callback on every bar, beside the daily one."""
    market = pair_market()
    history = market.history()
    bars = len(history.time)
    expected, _ = reference.carry(pair_of(history), DAY_US // history.interval_us)
    section = Section("w4", f"W4: the same carry, asked at every close of {bars:,} minutes")
    runs = {
        **judged(history, Limit.carry),
        "product, once a day": in_product(product.config(market, Carry), history),
        "product, every bar": in_product(product.config(market, CarryEveryBar), history, ("engine", "strategy")),
    }
    contest(section, runs, rounds if full else 1, bars, expected, unwarmed=("product, every bar",))
    return section


WORKLOADS: dict[str, Callable[[int, bool], Section]] = {"w1": w1, "w2": w2, "w3": w3, "w4": w4}
