"""The product's own runs, timed: preparing, living, reading; and in living the engine apart from the rest of it.

Runs go through the public way, `backtest.research.run.prepare` and `live`, with everything on. There is no public way
to ask how long a part of `live` took, so the functions it calls are wrapped with a clock while a run is measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from backtest.engine import session as sessions
from backtest.market.history import History
from backtest.report.record import FRAMES
from backtest.report.result import Result
from backtest.research import run as runs
from backtest.strategy import Strategy
from tests.benchmark.market import Market
from tests.benchmark.process import clock, timed
from tests.benchmark.reference import CASH

WATCHED = {
    "plan": (runs, "plan_of"),
    "targets": (runs, "target_rows"),
    "session": (runs, "open_session"),
    "tape": (sessions, "make_tape"),
    "drive": (runs, "drive"),
    "engine": (sessions.Session, "advance"),
    "growing": (sessions, "grow"),
    "audit": (runs, "audit"),
    "record": (runs, "record_of"),
    "notes": (runs, "notes_of"),
}
"""Parts of a run by the function that does them; one that is no longer there counts nothing."""
INSIDE = {"tape": "session", "engine": "drive", "growing": "engine"}
"""Parts that lie in another, which is told without them. What `drive` does beside the engine is the strategy."""


@dataclass
class Times:
    """Seconds of one run: `prepare`, `live` and its parts, and what is made when it is asked for: every frame, and the
    figures (with the parts of the profit).
    """

    prepare: float = 0.0
    live: float = 0.0
    frames: float = 0.0
    figures: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WATCHED, 0.0))

    def of_live(self) -> dict[str, float]:
        """The parts of `live`; they sum to it."""
        told = dict(self.parts)
        for name, outer in INSIDE.items():
            told[outer] -= self.parts[name]
        told["strategy"] = told.pop("drive")
        return {**told, "rest": self.live - sum(told.values())}


@contextmanager
def clocked(times: Times) -> Iterator[None]:
    """While it lasts, every watched function adds its time to `times`."""
    there = {name: place for name, place in WATCHED.items() if hasattr(*place)}
    kept = {name: getattr(owner, function) for name, (owner, function) in there.items()}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            started = clock()
            try:
                return function(*args, **named)
            finally:
                times.parts[name] += clock() - started

        return call

    for name, (owner, function) in there.items():
        setattr(owner, function, timed(name, kept[name]))
    try:
        yield
    finally:
        for name, (owner, function) in there.items():
            setattr(owner, function, kept[name])


def config(
    market: Market,
    strategy: type[Strategy],
    margin: str = "multi_asset",
    venue: str = "binance",
    leverage: float = 5.0,
    **params: Any,
) -> dict[str, Any]:
    """A run over the market: a million dollars, no slippage, orders of any share of the volume."""
    return {
        "name": "benchmark",
        "data": {
            "store": "none",
            "start": as_text(market.start_us),
            "end": as_text(market.end_us),
            "interval": market.interval,
        },
        "account": [{"venue": venue, "margin": margin, "leverage": leverage, "deposit": {"USDT": CASH}}],
        "strategy": {"class": strategy, "params": params},
        "execution": {"slippage_bps": 0.0, "volume_share": 1.0},
    }


def as_text(time_us: int) -> str:
    """A time as a config takes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_us / 1e6))


def run(settings: Mapping[str, Any], history: History, reads: bool = False) -> tuple[Result, Times]:
    """One run, clocked, and with `reads` what is made of it when asked for. What runs before it left to the collector
    is cleared away first.
    """
    gc.collect()
    times = Times()
    started = clock()
    prepared = runs.prepare(settings, history)
    times.prepare = clock() - started
    with clocked(times):
        started = clock()
        result = runs.live(prepared)
        times.live = clock() - started
    if reads:
        _, times.frames = timed(lambda: [getattr(result, name) for name in FRAMES])
        _, times.figures = timed(lambda: (result.figures, result.parts))
    return result, times
