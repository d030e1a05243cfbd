"""The sample store: a small synthetic market that ships with the project, so that everything can be tried without data.

One venue, hourly, two years: spot, linear and inverse perpetuals, quarterly futures, funding, marks and indexes. It is
made by rule from a seed, the same bytes each time; its prices are nobody's. What happens stands in `synthetic_story`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtest.errors import InputError
from backtest.market.grid import Floats, Ints
from backtest.market.schema import HOUR_US, Instrument, folder_of
from backtest.market.store import INSTRUMENTS, TIME, open_file, write_instruments
from backtest.market.synthetic_story import BASIS, FUNDING, STORY, VOLATILITY, along, dice, dollars, edges_us, stamp

VENUE = "binance"
SOURCE = "synthetic"
LISTED = stamp("2022-12-01")
# Prices move in whole steps (powers of two, themselves whole ticks): it keeps two years of bars within three megabytes.
STEP = {"BTC": 8.0, "ETH": 0.5, "SOL": 0.0625, "WBETH": 1.0, "USDC": 0.0005, "USDT": 2.0**-12}
TICK = {"BTC": 0.1, "ETH": 0.01, "SOL": 0.0001, "WBETH": 0.01, "USDC": 0.0001}
LOT = {"BTC": 0.001, "ETH": 0.001, "SOL": 0.01, "WBETH": 0.0001, "USDC": 1.0}
SPOT_LOT = {"BTC": 0.00001, "ETH": 0.0001, "SOL": 0.001, "WBETH": 0.0001, "USDC": 1.0}
HOURLY_VOLUME = {"BTC": 2_000.0, "ETH": 20_000.0, "SOL": 250_000.0, "WBETH": 400.0, "USDC": 20_000_000.0}
CONTRACT_USD = {"BTC": 100.0, "ETH": 10.0, "SOL": 10.0}

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Coin:
    """One base asset: dollars at the edges, and how far each hour strays beyond its body (fractions [2, hour])."""

    name: str
    usd: Floats
    wick: Floats
    tip: Floats  # what last trades stray beyond the mark


def make_sample(path: str | Path) -> None:
    """Write the sample store into a folder: a new or empty one, or a sample store again. InputError for any other."""
    root = Path(path)
    _check_place(root)
    worth = dollars()
    usdt = worth["USDT"]
    instruments: list[Instrument] = []
    for name, usd in worth.items():
        coin = _coin(name, usd)
        _write(root, f"{name}/USD", "index-1h", _candles(coin, usd, STEP[name] if name != "USDC" else STEP["USDT"]))
        if name != "USDT":
            instruments.append(_spot(root, coin, usd / usdt))
        if name in CONTRACT_USD:
            instruments.append(_perpetual(root, coin, usd / usdt, "USDT"))
            instruments.append(_perpetual(root, coin, usd, "USD"))
            instruments.extend(_quarterlies(root, coin, usdt))
    write_instruments(root, VENUE, sorted(instruments, key=lambda item: item.symbol))
    aside = root / ".README.md.part"
    aside.write_text(story_text(), encoding="utf-8")
    os.replace(aside, root / "README.md")


def _check_place(root: Path) -> None:
    """Synthetic prices under real symbols must not get among real ones: only a sample is written over."""
    if not root.is_dir():
        above = next(each for each in (root, *root.parents) if each.exists())
        if not above.is_dir():
            raise InputError(f"{above} is a file, not a folder; name another for the sample store")
        return
    files = [each for each in sorted(root.rglob("*")) if each.is_file() and not each.name.startswith(".")]
    series = [each for each in files if each.suffix == ".parquet" and each.name != INSTRUMENTS]
    other = next((each for each in files if each not in series and not _of_sample(root, each, bool(series))), None)
    real = next((each for each in series if not _is_synthetic(each)), None)
    if real is not None:
        raise InputError(
            f"{real.relative_to(root)} in {root} is not synthetic; name another folder for the sample store"
        )
    if other is not None:
        raise InputError(f"{root} holds {other.relative_to(root)}; name an empty folder for the sample store")


def _of_sample(root: Path, path: Path, has_series: bool) -> bool:
    """The two kinds of file that a sample has beside its series; alone they are somebody's."""
    return has_series and (path == root / "README.md" or path == root / VENUE / INSTRUMENTS)


def _is_synthetic(path: Path) -> bool:
    said = open_file(path).schema_arrow.metadata or {}
    return bool(said.get(b"source") == SOURCE.encode())


def _coin(name: str, usd: Floats) -> _Coin:
    """Wicks grow with the hour's volatility; dollars hardly have any."""
    rng = dice(f"{name} wicks")
    size = 0.35 * along(VOLATILITY)[1:] * (0.02 if name in ("USDT", "USDC") else 1.0)
    wick, tip = rng.exponential(1.0, (2, len(size))) * size, rng.exponential(0.6, (2, len(size))) * size
    return _Coin(name, usd, np.minimum(wick, 4 * size), np.minimum(tip, 4 * size))


def _candles(coin: _Coin, edges: Floats, step: float) -> Columns:
    """Open, high, low and close out of a path at the edges; an hour opens where the last one closed."""
    at = _round(edges, step)
    opened, closed = at[:-1], at[1:]
    high = np.maximum(_round(np.maximum(edges[:-1], edges[1:]) * (1 + coin.wick[0]), step), np.maximum(opened, closed))
    low = np.minimum(_round(np.minimum(edges[:-1], edges[1:]) * (1 - coin.wick[1]), step), np.minimum(opened, closed))
    return {"time": edges_us()[:-1], "open": opened, "high": high, "low": low, "close": closed}


def _traded(coin: _Coin, mark: Columns, step: float, symbol: str, volume: float) -> Columns:
    """Last trades around a fair price: a step off at times, their wicks beyond the fair price's."""
    rng = dice(symbol)
    hours = len(mark["time"])
    off = rng.integers(-1, 2, hours + 1) * step
    opened, closed = mark["open"] + off[:-1], mark["close"] + off[1:]
    high = np.maximum(mark["high"] + _round(mark["close"] * coin.tip[0], step), np.maximum(opened, closed))
    low = np.minimum(mark["low"] - _round(mark["close"] * coin.tip[1], step), np.minimum(opened, closed))
    busy = along(VOLATILITY)[1:] / 0.0026
    amount = _coarse(volume * busy * np.exp(0.25 * rng.standard_normal(hours)))
    return {"time": mark["time"], "open": opened, "high": high, "low": low, "close": closed, "volume": amount}


def _round(values: Floats, step: float) -> Floats:
    """Whole steps; decimal steps are cleaned so that 0.9998 is 0.9998."""
    return np.round(np.round(values / step) * step, 12)


def _coarse(values: Floats) -> Floats:
    """To halves of the leading digit: 1.5, 2, 25, 3000: nobody needs more of a made-up volume."""
    scale = 10.0 ** np.floor(np.log10(values)) / 2
    return np.round(np.round(values / scale) * scale, 6)


def _spot(root: Path, coin: _Coin, edges: Floats) -> Instrument:
    """A pair against USDT. SOL's has the hole of the story."""
    symbol, step = f"{coin.name}/USDT", STEP[coin.name]
    bars = _traded(coin, _candles(coin, edges, step), step, symbol, HOURLY_VOLUME[coin.name])
    if coin.name == "SOL":
        hole = next((stamp(start), stamp(end)) for start, end, what in STORY if "data gap" in what)
        bars = _cut(bars, ~((bars["time"] >= hole[0]) & (bars["time"] < hole[1])))
    _write(root, symbol, "bars-1h", bars)
    lot = SPOT_LOT[coin.name]
    return Instrument(
        symbol, "spot", coin.name, "USDT", "USDT", 1.0, TICK[coin.name], lot, 5.0, LISTED, None, None, SOURCE
    )


def _perpetual(root: Path, coin: _Coin, edges: Floats, quote: str) -> Instrument:
    """Bars, marks and funding; the premium over the index goes with the funding rate."""
    linear = quote == "USDT"
    symbol = f"{coin.name}/{quote}:{quote if linear else coin.name}"
    listed = (
        next(stamp(start) for start, _, what in STORY if "is listed" in what) if symbol == "SOL/USDT:USDT" else LISTED
    )
    _derivative(root, coin, symbol, edges * (1 + 2.0 * along(FUNDING)), listed, stamp("2030-01-01"), 4.0)
    _write(root, symbol, "funding", _funding(symbol, listed))
    return _contract(coin.name, symbol, linear, listed, None)


def _derivative(root: Path, coin: _Coin, symbol: str, edges: Floats, listed: int, end: int, busy: float) -> None:
    """Marks and bars of one contract during its life."""
    step = STEP[coin.name]
    mark = _candles(coin, edges, step)
    volume = HOURLY_VOLUME[coin.name] * busy
    if symbol.startswith(f"{coin.name}/USD:"):
        volume *= float(edges[0]) / CONTRACT_USD[coin.name] / 4
    bars = _traded(coin, mark, step, symbol, volume)
    alive = (mark["time"] + HOUR_US > listed) & (mark["time"] < end)
    _write(root, symbol, "mark-1h", _cut(mark, alive))
    _write(root, symbol, "bars-1h", _cut(bars, alive))


def _funding(symbol: str, listed: int) -> Columns:
    """Rates at the stamps, in proportion to the interval, to the millionth."""
    edges = edges_us()[:-1]
    hours = _funding_hours(symbol, edges)
    due = (edges > listed) & (edges // HOUR_US % hours == 0)
    noise = 1 + 0.3 * dice(f"{symbol} funding").standard_normal(len(edges))
    rate = np.clip(along(FUNDING)[:-1] * noise, -0.003, 0.003) * hours / 8
    return {"time": edges[due], "funding_rate": np.round(rate[due], 6), "interval_hours": hours[due].astype(np.float64)}


def _funding_hours(symbol: str, edges: Ints) -> Ints:
    """Hours between payments; the story changes SOL's for some weeks."""
    hours = np.full(len(edges), 8, dtype=np.int64)
    for start, end, what in STORY:
        if what.startswith(f"{symbol} pays"):
            hours[(edges > stamp(start)) & (edges <= stamp(end))] = int(what.split("every ")[1].split()[0])
    return hours


def _quarterlies(root: Path, coin: _Coin, usdt: Floats) -> list[Instrument]:
    """Linear quarterlies of BTC and ETH, two inverse ones of BTC: listed two quarters ahead."""
    made: list[Instrument] = []
    expiries = [_last_friday(year, month) for year in (2022, 2023, 2024, 2025) for month in (3, 6, 9, 12)]
    for listed, expiry in zip(expiries, expiries[2:], strict=False):
        day = np.datetime64(expiry, "us").astype(object).strftime("%y%m%d")
        names = [f"{coin.name}/USDT:USDT-{day}"] if coin.name in ("BTC", "ETH") else []
        names += [f"BTC/USD:BTC-{day}"] if coin.name == "BTC" and day in ("240628", "241227") else []
        if not names or expiry <= stamp("2023-01-01") or listed > stamp("2024-12-01"):
            continue
        years = np.maximum(expiry - edges_us(), 0) / (365 * 24 * HOUR_US)
        for symbol in names:
            linear = ":USDT" in symbol
            fair = coin.usd * np.exp(along(BASIS) * years) / (usdt if linear else 1.0)
            _derivative(root, coin, symbol, fair, listed, expiry, 0.3)
            made.append(_contract(coin.name, symbol, linear, listed, expiry))
    return made


def _last_friday(year: int, month: int) -> int:
    """08:00 UTC of the month's last Friday."""
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return stamp(f"{last - timedelta(days=(last.weekday() - 4) % 7)} 08:00")


def _contract(base: str, symbol: str, linear: bool, listed: int, expiry: int | None) -> Instrument:
    if linear:
        return Instrument(
            symbol, "linear", base, "USDT", "USDT", 1.0, TICK[base], LOT[base], 5.0, listed, expiry, None, SOURCE
        )
    size = CONTRACT_USD[base]
    return Instrument(symbol, "inverse", base, "USD", base, size, TICK[base], 1.0, size, listed, expiry, None, SOURCE)


def _cut(columns: Columns, keep: np.ndarray) -> Columns:
    return {name: values[keep] for name, values in columns.items()}


def _write(root: Path, symbol: str, series: str, columns: Columns) -> None:
    """One series, packed tighter than `write_series` does: bytes of a kind side by side, times as differences."""
    kinds = {name: TIME if name == "time" else pa.float64() for name in columns}
    table = pa.table({name: pa.array(values).cast(kinds[name]) for name, values in columns.items()})
    packing = {name: "DELTA_BINARY_PACKED" if name == "time" else "BYTE_STREAM_SPLIT" for name in columns}
    path = root / VENUE / folder_of(symbol) / f"{series}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.aside")
    try:
        pq.write_table(
            table.replace_schema_metadata({"source": SOURCE}),
            aside,
            compression="zstd",
            compression_level=19,
            use_dictionary=False,
            column_encoding=packing,
        )
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def story_text() -> str:
    """The README of the sample store."""
    rows = "\n".join(f"| {start} | {end} | {what} |" for start, end, what in STORY)
    return f"""# Sample store

A synthetic market, made by `backtest data sample` (`backtest.market.synthetic.make_sample`) from a seed: the same bytes
each time. No price in it was ever traded. Hourly bars from 2023-01-01 to 2024-12-31; one venue folder, `{VENUE}`.

| what | symbols |
|---|---|
| spot | BTC/USDT, ETH/USDT, SOL/USDT, WBETH/USDT (a staked ether), USDC/USDT |
| linear perpetuals | BTC/USDT:USDT, ETH/USDT:USDT, SOL/USDT:USDT, with funding and marks |
| inverse perpetuals | BTC/USD:BTC (100 USD a contract), ETH/USD:ETH and SOL/USD:SOL (10 USD), with funding and marks |
| linear quarterlies | BTC and ETH, last Friday of each quarter 08:00 UTC, listed two quarters ahead, with marks |
| inverse quarterlies | BTC/USD:BTC-240628, BTC/USD:BTC-241227, with marks |
| index | BTC/USD, ETH/USD, SOL/USD, WBETH/USD, USDT/USD, USDC/USD |

What happens, UTC:

| from | to | what |
|---|---|---|
{rows}

Marks are the index times the basis; last trades lie a step off at times and wick further than marks. Prices move in
steps of several ticks (BTC by 8 USD), which keeps the files small. Bars are labelled by their open.
"""
