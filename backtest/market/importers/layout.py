"""A folder of clean Parquet history, one file a series, as `binance/um/BTCUSDT-mark-1h.parquet`, brought into a store.

The folders say what a contract is: `binance/spot` pairs, `binance/um` dollar-margined, `binance/cm` coin-margined,
`cme` micro bitcoin futures by day. A venue's code alone does not name a contract, so every code is looked up in the
table below; one that is not there is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, nearest
from backtest.market.importers import Imported, Ready, add_instruments, ready, terms, with_settled
from backtest.market.importers.sound import check_rows
from backtest.market.schema import INTERVALS, OHLC, Instrument, missing_columns, parse_symbol, split_series, to_us
from backtest.market.store import Columns, open_file, read_file

SYMBOLS: dict[str, str] = {
    "spot/BTCUSDT": "BTC/USDT",
    "spot/ETHUSDT": "ETH/USDT",
    "spot/SOLUSDT": "SOL/USDT",
    "spot/DOGEUSDT": "DOGE/USDT",
    "spot/ADAUSDT": "ADA/USDT",
    "spot/LINKUSDT": "LINK/USDT",
    "spot/LTCUSDT": "LTC/USDT",
    "spot/USDCUSDT": "USDC/USDT",
    "spot/BUSDUSDT": "BUSD/USDT",
    "spot/USTUSDT": "UST/USDT",
    "spot/LUNAUSDT": "LUNA/USDT",
    "spot/WBETHUSDT": "WBETH/USDT",
    "spot/BNSOLUSDT": "BNSOL/USDT",
    "um/BTCUSDT": "BTC/USDT:USDT",
    "um/ETHUSDT": "ETH/USDT:USDT",
    "um/SOLUSDT": "SOL/USDT:USDT",
    "um/DOGEUSDT": "DOGE/USDT:USDT",
    "um/ADAUSDT": "ADA/USDT:USDT",
    "um/LINKUSDT": "LINK/USDT:USDT",
    "um/LTCUSDT": "LTC/USDT:USDT",
    "um/HYPEUSDT": "HYPE/USDT:USDT",
    "um/ORCAUSDT": "ORCA/USDT:USDT",
    "cm/BTCUSD_PERP": "BTC/USD:BTC",
    "cm/ETHUSD_PERP": "ETH/USD:ETH",
}
# Pairs that ended: Terra's dollar and its coin, with the last bar of 2022-05-13. Elsewhere files end, not markets.
DELISTED_US = dict.fromkeys(("UST/USDT", "LUNA/USDT"), 1_652_403_600_000_000)  # 2022-05-13 01:00

CME_VENUE = "cme"
CME_SIZE = 0.1  # bitcoin a contract
CME_TICK = 5.0  # dollars a bitcoin
CME_SOURCE = "assumed: CME Micro Bitcoin, 0.1 BTC, tick 5 USD, last trade 16:00 London on the expiry date"

_FILE = re.compile(r"(?P<code>[A-Z0-9_]+)-(?P<series>funding|(?:mark-ohlc-|mark-)?[0-9]+[mhd])(?:-\d{4}-\d{2})?")
_CME_CODE = re.compile(r"MBT[A-Z]\d")


@dataclass(frozen=True)
class _Source:
    """One file of the layout and the series it is, or is a month of."""

    path: Path
    symbol: str
    series: str


def import_layout(
    source: str | Path,
    store: str | Path,
    symbols: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    merge: bool = False,
) -> list[Imported]:
    """Import every spot, um, cm and cme file of the layout, with contract terms; months of a series become one.

    `symbols`: more codes, `{"um/XRPUSDT": "XRP/USDT:USDT"}`; `only`: these symbols alone. The first bar is the listing.
    Files of other kinds (panels of several symbols, open interest) are left alone. InputError for a folder without any
    such file, a code without a symbol, and rows that contradict each other.
    """
    root = Path(source)
    known = {**SYMBOLS, **(symbols or {})}
    found = list(_sources(root, known))
    wanted = [each for each in found if only is None or each.symbol in only]
    # All are read before any is written: one bad file of many leaves the store as it was.
    made = [_ready(root, store, group, merge) for group in _grouped(wanted)]
    cme = root / "cme" / "MBT-1d.parquet"
    futures, instruments = _read_cme(cme, store, only, merge) if cme.is_file() else ([], [])
    done = [each.write() for each in made]
    _add_terms(store, done, wanted)
    done += [each.write() for each in futures]
    if instruments:
        add_instruments(store, CME_VENUE, instruments)
    if not done:
        raise InputError(f"nothing to import in {root}; it should hold binance/spot, binance/um, binance/cm or cme")
    return done


def _sources(root: Path, known: Mapping[str, str]) -> Iterator[_Source]:
    for market in ("spot", "um", "cm"):
        for path in sorted((root / "binance" / market).glob("*.parquet")):
            match = _FILE.fullmatch(path.stem)
            if match is None:
                continue
            code = f"{market}/{match['code']}"
            if code not in known:
                near = nearest(code, known)
                raise InputError(
                    f"{path}: no symbol is known for {code!r} ({near}); in Python name it: "
                    f"symbols={{{code!r}: 'BASE/QUOTE:SETTLE'}}"
                )
            parse_symbol(known[code])
            series = match["series"]
            yield _Source(path, known[code], f"bars-{series}" if series in INTERVALS else series)


def _grouped(sources: list[_Source]) -> list[list[_Source]]:
    """Files of one series together: whole ones and months."""
    groups: dict[tuple[str, str], list[_Source]] = {}
    for each in sources:
        groups.setdefault((each.symbol, each.series), []).append(each)
    return list(groups.values())


def _ready(root: Path, store: str | Path, group: list[_Source], merge: bool) -> Ready:
    first = group[0]
    parts = [_read(each) for each in group]
    named = ", ".join(each.path.relative_to(root).as_posix() for each in group)
    return ready(store, "binance", first.symbol, first.series, parts, named, merge, _notes(first.path))


def _read(source: _Source) -> Columns:
    """The columns a series keeps, of one file; funding stamps put on their second."""
    columns = read_file(source.path)
    absent = missing_columns(source.series, list(columns))
    if absent:
        raise InputError(f"{source.path}: no column {absent[0]!r}; {nearest(absent[0], columns)}")
    if source.series == "funding":
        kept = with_settled({name: columns[name] for name in ("time", "funding_rate")})
    else:
        kept = _prices(columns, source.series)
    check_rows(kept, source.series, str(source.path))
    return kept


def _prices(columns: Columns, series: str) -> Columns:
    kept = ("time", *OHLC, "volume") if series.startswith("bars-") else ("time", *OHLC)
    return {name: columns[name] for name in kept if name in columns}


def _notes(path: Path) -> dict[str, str]:
    """What the file says of its origin, carried over."""
    said: Mapping[bytes, bytes] = open_file(path).schema_arrow.metadata or {}
    return {f"source_{key.decode()}": said[key].decode() for key in (b"sources", b"note") if key in said}


def _add_terms(store: str | Path, done: list[Imported], sources: list[_Source]) -> None:
    """Contract terms of what was imported: the listing is the first bar, of the length that reaches back furthest."""
    instruments: dict[str, Instrument] = {}
    paths = {(each.symbol, each.series): each.path for each in sources}
    for each in sorted(done, key=lambda one: one.first_us):
        if each.symbol not in instruments and split_series(each.series)[0] == "bars":
            prices = read_file(paths[each.symbol, each.series], names=("time", "close"))["close"]
            made = terms("binance", each.symbol, prices, each.first_us)
            instruments[each.symbol] = replace(made, delisting_us=DELISTED_US.get(each.symbol))
    if instruments:
        add_instruments(store, "binance", list(instruments.values()))


def _read_cme(
    path: Path, store: str | Path, only: Collection[str] | None, merge: bool
) -> tuple[list[Ready], list[Instrument]]:
    """Micro bitcoin futures by day, every expiry a symbol of its own; volume becomes bitcoin."""
    columns = read_file(path, names=("time", *OHLC, "volume")) | _words(path, ("symbol", "expiry_date"))
    columns["volume"] = columns["volume"] * CME_SIZE
    made, instruments = [], []
    for code in sorted(set(columns["symbol"])):
        rows = {name: values[columns["symbol"] == code] for name, values in columns.items()}
        instrument = _cme_instrument(path, code, rows.pop("expiry_date"), rows["time"])
        if only is None or instrument.symbol in only:
            del rows["symbol"]
            named = f"cme/{path.name} {code}"
            check_rows(rows, "bars-1d", f"{path} {code}")
            made.append(ready(store, CME_VENUE, instrument.symbol, "bars-1d", [rows], named, merge))
            instruments.append(instrument)
    return made, instruments


def _words(path: Path, names: tuple[str, ...]) -> Columns:
    """Columns of text."""
    table = open_file(path).read()
    absent = [name for name in names if name not in table.column_names]
    if absent:
        raise InputError(f"{path}: no column {absent[0]!r}; {nearest(absent[0], table.column_names)}")
    return {name: np.array(table.column(name).to_pylist(), dtype=np.object_) for name in names}


def _cme_instrument(path: Path, code: str, dates: npt.NDArray[Any], stamps: npt.NDArray[Any]) -> Instrument:
    """One expiry, delivered at the London close of its date."""
    if _CME_CODE.fullmatch(code) is None:
        raise InputError(f"{path}: {code!r} is no micro bitcoin future, such as 'MBTZ4'")
    if len(set(dates)) != 1:
        raise InputError(f"{path}: {code} has several expiry dates: {', '.join(sorted(set(dates)))}")
    expiry = _london_close(path, code, dates[0])
    symbol = f"BTC/USD:USD-{dates[0][2:].replace('-', '')}"
    return Instrument(
        symbol, "linear", "BTC", "USD", "USD", CME_SIZE, CME_TICK, 1.0, 0.0,
        int(stamps.min()), expiry, None, CME_SOURCE,
    )  # fmt: skip


def _london_close(path: Path, code: str, date: str) -> int:
    """16:00 in London on a date, in microseconds UTC: 16:00 in winter, 15:00 in summer."""
    try:
        day = datetime.strptime(date, "%Y-%m-%d")
    except ValueError:
        raise InputError(f"{path}: {code} expires on {date!r}; write year-month-day, such as 2024-12-27") from None
    return to_us(datetime.combine(day, time(16), tzinfo=ZoneInfo("Europe/London")))
