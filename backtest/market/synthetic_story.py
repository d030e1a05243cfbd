"""The made-up market of the sample store: what happens in it and when, and the price paths that follow.

Two years of hourly prices of three coins, one staked coin and two dollars, written like a play: between appointed
prices the path is a seeded random walk tied down at both ends: disasters come at their hour, calm weeks are calm.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from backtest.market.grid import Floats, Ints
from backtest.market.schema import HOUR_US

START = "2023-01-01"
END = "2025-01-01"
SEED = 20230101

STORY: tuple[tuple[str, str, str], ...] = (
    (
        "2023-01-01 00:00",
        "2023-05-09 00:00",
        "calm: funding near 0.01 % per 8 h, futures 6 to 10 % a year above the index",
    ),
    ("2023-04-12 09:00", "", "SOL/USDT:USDT is listed; there is nothing before"),
    ("2023-05-10 00:00", "2023-05-13 00:00", "stablecoin depeg: USDT falls to 0.94 USD and comes back"),
    ("2023-06-20 03:00", "2023-06-20 08:00", "data gap: five hours of SOL/USDT spot are missing"),
    ("2023-08-14 12:00", "2023-08-15 18:00", "crash: BTC −45 % in 30 hours, funding and basis negative, long wicks"),
    (
        "2024-02-05 00:00",
        "2024-02-19 00:00",
        "squeeze: BTC +60 % in two weeks, funding to 0.1 % per 8 h, basis doubled",
    ),
    ("2024-02-05 00:00", "2024-02-12 00:00", "SOL/USDT:USDT pays funding every 4 h"),
    ("2024-02-12 00:00", "2024-03-04 00:00", "SOL/USDT:USDT pays funding every 2 h"),
    ("2024-03-04 00:00", "2024-03-11 00:00", "SOL/USDT:USDT pays funding every 4 h again, then 8 h"),
    ("2024-04-20 00:00", "2024-04-21 12:00", "collateral depeg: WBETH 35 % below its ETH for a day, then back"),
)

Anchors = Sequence[tuple[str, float]]

COINS: dict[str, Anchors] = {
    "BTC": (
        (START, 24_000), ("2023-04-01", 28_000), ("2023-08-14 12:00", 31_000), ("2023-08-15 18:00", 17_050),
        ("2023-08-17", 20_500), ("2023-11-01", 24_000), ("2024-02-05", 34_000), ("2024-02-19", 54_400),
        ("2024-03-15", 50_000), ("2024-07-01", 47_000), ("2024-10-01", 52_000), (END, 68_000),
    ),
    "ETH": (
        (START, 1_600), ("2023-04-01", 1_850), ("2023-08-14 12:00", 1_900), ("2023-08-15 18:00", 1_000),
        ("2023-08-17", 1_250), ("2023-11-01", 1_500), ("2024-02-05", 2_000), ("2024-02-19", 3_000),
        ("2024-03-15", 2_900), ("2024-07-01", 2_700), ("2024-10-01", 2_600), (END, 3_400),
    ),
    "SOL": (
        (START, 80), ("2023-04-01", 95), ("2023-08-14 12:00", 100), ("2023-08-15 18:00", 48), ("2023-08-17", 60),
        ("2023-11-01", 75), ("2024-02-05", 110), ("2024-02-19", 190), ("2024-03-15", 170), ("2024-07-01", 150),
        ("2024-10-01", 150), (END, 200),
    ),
}  # fmt: skip
USDT: Anchors = ((START, 1.0), ("2023-05-10", 1.0), ("2023-05-11 12:00", 0.94), ("2023-05-13", 1.0), (END, 1.0))
STAKED: Anchors = (  # ETH per WBETH: the staking yield, and the day it was doubted
    (START, 1.0), ("2024-04-20", 1.045), ("2024-04-20 06:00", 1.045 * 0.65), ("2024-04-21 06:00", 1.045 * 0.65),
    ("2024-04-21 12:00", 1.045), (END, 1.07),
)  # fmt: skip
VOLATILITY: Anchors = (  # of an hour
    (START, 0.0026), ("2023-08-14 11:00", 0.0026), ("2023-08-14 12:00", 0.012), ("2023-08-15 20:00", 0.012),
    ("2023-08-17", 0.005), ("2023-08-25", 0.0026), ("2024-02-04", 0.0026), ("2024-02-06", 0.0045),
    ("2024-02-20", 0.0045), ("2024-02-24", 0.0026), (END, 0.0026),
)  # fmt: skip
FUNDING: Anchors = (  # per 8 hours
    (START, 0.0001), ("2023-08-14 12:00", 0.0001), ("2023-08-14 18:00", -0.0012), ("2023-08-15 18:00", -0.0025),
    ("2023-08-17", -0.0004), ("2023-08-21", 0.00005), ("2023-09-01", 0.0001), ("2024-02-05", 0.0001),
    ("2024-02-07", 0.0007), ("2024-02-18", 0.001), ("2024-02-24", 0.0001), (END, 0.0001),
)  # fmt: skip
BASIS: Anchors = (  # a year
    (START, 0.06), ("2023-04-01", 0.08), ("2023-08-14 12:00", 0.07), ("2023-08-15 18:00", -0.10), ("2023-08-20", 0.03),
    ("2023-09-15", 0.06), ("2024-02-05", 0.10), ("2024-02-18", 0.22), ("2024-03-05", 0.11), ("2024-07-01", 0.07),
    ("2024-10-01", 0.06), (END, 0.10),
)  # fmt: skip


def stamp(text: str) -> int:
    """Microseconds of a UTC date or date and time."""
    return int(np.datetime64(text, "us").astype(np.int64))


def edges_us() -> Ints:
    """Opens of all hours, and the last hour's end: bar k runs from edge k to edge k + 1."""
    return np.arange(stamp(START), stamp(END) + 1, HOUR_US, dtype=np.int64)


def dice(name: str) -> np.random.Generator:
    """A stream of random numbers for everything that has a name: adding a coin leaves the others as they were."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([SEED, zlib.crc32(name.encode())])))


def along(anchors: Anchors) -> Floats:
    """Straight lines between the appointed values, at the edges."""
    times = [stamp(when) for when, _ in anchors]
    return np.interp(edges_us(), times, [value for _, value in anchors])


def walk(anchors: Anchors, shocks: Floats) -> Floats:
    """A geometric walk at the edges that meets each appointed price: `shocks` [hour] less each stretch's drift."""
    edges = edges_us()
    position = np.concatenate([[0.0], np.cumsum(shocks)])
    knots = np.searchsorted(edges, [stamp(when) for when, _ in anchors])
    drift = np.interp(np.arange(len(edges)), knots, position[knots])
    level = np.interp(np.arange(len(edges)), knots, np.log([value for _, value in anchors]))
    path: Floats = np.exp(level + position - drift)
    return path


def dollars() -> dict[str, Floats]:
    """USD per unit of every asset, at the edges."""
    volatility = along(VOLATILITY)[1:]
    market = dice("market").standard_normal(len(volatility))
    worth: dict[str, Floats] = {}
    for coin, anchors in COINS.items():
        own, beta = dice(coin).standard_normal(len(volatility)), {"BTC": 1.0, "ETH": 1.15, "SOL": 1.5}[coin]
        worth[coin] = walk(anchors, volatility * beta * (0.9 * market + 0.44 * own))
    worth["WBETH"] = worth["ETH"] * along(STAKED)
    worth["USDT"] = along(USDT) + _flutter("USDT", 0.0004)
    worth["USDC"] = 1.0 + _flutter("USDC", 0.0002)
    return worth


def _flutter(name: str, size: float) -> Floats:
    """A few hundredths of a per cent around par, forgetting itself within a day."""
    noise = dice(name).standard_normal(len(edges_us()))
    kernel = np.exp(-np.arange(24) / 8.0)
    return np.convolve(noise, kernel / np.sqrt((kernel**2).sum()))[: len(noise)] * size
