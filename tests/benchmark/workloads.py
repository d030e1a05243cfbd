"""The four workloads: a carry by the minute, a universe by the hour, a sweep, and a strategy asked at every bar."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backtest.market.history import History
from tests.benchmark import product, reference
from tests.benchmark.limit import Limit, compiler
from tests.benchmark.market import BANDS, DAY_US, HEDGES, Market, pair_market, universe
from tests.benchmark.process import Peer, memory_of, timed
from tests.benchmark.rounds import Row, Run, Section, contest
from tests.benchmark.strategies import (
    Carry,
    CarryEveryBar,
    TopFunding,
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


def in_product(settings: Mapping[str, Any], history: History, parts: bool = False, compared: bool = True) -> Run:
    """The product: a whole `live`; with `parts` what it is made of. `compared`: whether it trades as the reference."""

    def run() -> Mapping[str, float]:
        result, times = product.run(settings, history)
        told = {"": times.live, **({"equity": float(result.equity.iloc[-1])} if compared else {})}
        return {**told, **(times.of_live() if parts else {"engine": times.of_live()["engine"]})}

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
        "product": in_product(settings, history, parts=True),
        "vectorbt": in_peer(peer),
        "numpy reads the columns": reading(history),
        "product, targets": in_product(product.config(market, table), history, parts=True),
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


W1_NOTES = {
    "C": "bar by bar; margin at low, high and close; 4 columns",
    "product": "multi_asset, asked once a day",
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
        "product": in_product(settings, history, parts=True),
        "vectorbt": in_peer(peer),
        "numpy reads the columns": reading(history),
    }
    if full:
        table = given(product.run(settings, history)[0].orders)
        for mode, venue in (("portfolio", "binance"), ("portfolio", "generic")):
            other = product.config(market, TopFunding, mode, venue, LEVERAGE)
            runs[f"product, {venue} {mode}"] = in_product(other, history)
        runs["product, targets"] = in_product(product.config(market, table, leverage=LEVERAGE), history, parts=True)
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
    "C": "only what is held is looked at",
    "product": "multi_asset, asked once a day",
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
    runs = {
        **judged(history, lambda limit: float(limit.sweep(HEDGES, BANDS).sum())),
        f"product, {len(chosen[0])} runs x {points // len(chosen[0])}": in_loop(market, history, chosen, equities),
        "vectorbt": in_peer(peer),
    }
    contest(
        section,
        runs,
        max(1, rounds // 2),
        bars * points,
        float(equities.sum()),
        W3_NOTES,
        [name for name in runs if name.startswith("product")],
    )
    peer.close()
    section.rows.append(Row("plain Python, no margin", plain, plain / bars / points * 1e9, off=0.0))
    section.notes += [
        f"a sweep of the product in one go: not yet; {len(chosen[0])} of the points were run one by one, whole results "
        f"each, and the time is told for {points:,}; their equities are compared point by point",
        "vectorbt and the product are told by the sum of all final equities (the product: of its points, scaled)",
    ]
    return section


SAMPLE = 20
W3_NOTES = {"C": "one core, whole paths written", "vectorbt": "final equities only, 50 points at a time"}


def in_loop(market: Market, history: History, chosen: tuple[np.ndarray, ...], equities: np.ndarray) -> Run:
    """The product run point by point; told as if every point had been run."""
    scale = equities.size / len(chosen[0])

    def run() -> Mapping[str, float]:
        seconds, worst = 0.0, 0.0
        for h, b in zip(*chosen, strict=True):
            settings = product.config(market, Carry, hedge=float(HEDGES[h]), band=float(BANDS[b]))
            settings["data"]["interval"] = "1h"
            result, times = product.run(settings, history)
            seconds += times.prepare + times.live
            off = float(result.equity.iloc[-1]) / equities[h, b] - 1.0
            worst = off if abs(off) > abs(worst) else worst
        return {"": seconds * scale, "equity": float(equities.sum()) * (1.0 + worst)}

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
        "product, every bar": in_product(product.config(market, CarryEveryBar), history, parts=True),
    }
    contest(section, runs, rounds if full else 1, bars, expected, unwarmed=("product, every bar",))
    return section


WORKLOADS: dict[str, Callable[[int, bool], Section]] = {"w1": w1, "w2": w2, "w3": w3, "w4": w4}
