"""Binance's public archive ("Vision"): raw CSV files and zips of klines, marks, indexes, premiums and funding rates.

The path says what a file is (`data/futures/um/monthly/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2024-10.zip`). Files differ
by year: with a header line or none, milliseconds or (spot, from 2025) microseconds; both are told by looking. Where a
`.CHECKSUM` lies beside a file it must agree. Days and months of one series become one series.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from backtest.errors import InputError, in_a_line, nearest
from backtest.market.importers import Imported, ensure_instrument, microseconds, ready, with_settled
from backtest.market.importers.sound import check_rows, check_subject
from backtest.market.schema import INTERVALS, parse_symbol
from backtest.market.store import Columns

KINDS = {
    "klines": "bars",
    "markPriceKlines": "mark",
    "indexPriceKlines": "index",
    "premiumIndexKlines": "premium",
    "fundingRate": "funding",
}
MARKETS = ("spot", "um", "cm")

_KLINE = ("time", "open", "high", "low", "close", "volume")
_FUNDING = ("time", "interval_hours", "funding_rate")
_NAME = re.compile(r"(?P<code>[^-]+)-(?P<what>fundingRate|\d+[a-zA-Z]+)-(?P<date>\d{4}-\d{2}(-\d{2})?)\.(csv|zip)")
_SPOT_CODE = re.compile(r"(?P<base>.+?)(?P<quote>USDT|USDC|FDUSD|BUSD|TUSD)")
_LINEAR_CODE = re.compile(r"(?P<base>.+?)(?P<quote>USDT|USDC|BUSD)(_(?P<date>\d{6}))?")
_INVERSE_CODE = re.compile(r"(?P<base>.+?)(?P<quote>USD)_(?P<date>PERP|\d{6})")
_PAIR_CODE = re.compile(r"(?P<base>.+?)(?P<quote>USDT|USDC|BUSD|USD)")


@dataclass(frozen=True)
class _Archive:
    """One file: the market and kind of its path, the code and bar length of its name."""

    path: Path
    market: str
    kind: str
    code: str
    interval: str

    @property
    def series(self) -> str:
        return "funding" if self.kind == "fundingRate" else f"{KINDS[self.kind]}-{self.interval}"


def import_vision(
    source: str | Path,
    store: str | Path,
    venue: str = "binance",
    symbols: Mapping[str, str] | None = None,
    market: str | None = None,
    kind: str | None = None,
    merge: bool = False,
) -> list[Imported]:
    """Import a raw file, or every one below a folder; symbols that the store does not know get contract terms.

    `symbols`: what codes mean where the venue's rule for them does not say, `{"spot/BTCEUR": "BTC/EUR"}`. `market`
    (spot, um, cm) and `kind` (klines, markPriceKlines, …) where the path does not say. InputError for a checksum that
    differs, a damaged zip, lines that are no numbers, codes without a symbol, and rows that contradict each other.
    """
    root = Path(source)
    archives = [_archive(path, market, kind) for path in _files(root)]
    groups: dict[tuple[str, str], list[_Archive]] = {}
    for each in archives:
        groups.setdefault((_symbol(each, symbols or {}), each.series), []).append(each)
    for symbol, series in groups:
        check_subject(venue, symbol, series)
    # All are read before any is written: one bad file of many leaves the store as it was.
    made = [
        ready(store, venue, symbol, series, [_read(each) for each in files], _named(files), merge)
        for (symbol, series), files in groups.items()
    ]
    done = [each.write() for each in made]
    for symbol in dict.fromkeys(each.symbol for each in done if not each.series.startswith("index-")):
        ensure_instrument(store, venue, symbol)
    return done


def _files(root: Path) -> list[Path]:
    """The archive's files at or below a path, bars first."""
    if root.is_file():
        return [root]
    found = [path for path in root.rglob("*") if path.is_file() and _NAME.fullmatch(path.name)]
    if not found:
        raise InputError(f"no archive files in {root}; they are called like BTCUSDT-1h-2024-10.zip")
    return sorted(found, key=lambda path: ("klines" not in path.parts, path.as_posix()))


def _archive(path: Path, market: str | None, kind: str | None) -> _Archive:
    """What a file is, by its name and the folders it lies in."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(f"{path}: not the name of an archive file, such as BTCUSDT-1h-2024-10.zip")
    funding = match["what"] == "fundingRate"
    folder = next((part for part in reversed(path.parts) if part in KINDS), "fundingRate" if funding else None)
    place = next((part for part in reversed(path.parts[:-1]) if part in MARKETS), None)
    market, kind = _told(path, "market", market or place, MARKETS), _told(path, "kind", kind or folder, tuple(KINDS))
    if not funding and match["what"] not in INTERVALS:
        raise InputError(f"{path}: bars of {match['what']} are not stored; {nearest(match['what'], INTERVALS)}")
    return _Archive(path, market, kind, match["code"], match["what"])


def _told(path: Path, name: str, value: str | None, valid: Sequence[str]) -> str:
    if value is None:
        raise InputError(
            f"{path}: the path does not say the {name}; keep the archive's folders, such as "
            f"futures/um/daily/klines/BTCUSDT/1h, or in Python give {name}= one of {', '.join(valid)}"
        )
    if value not in valid:
        raise InputError(f"{name} = {value!r}; {nearest(value, valid)}")
    return value


def _symbol(archive: _Archive, symbols: Mapping[str, str]) -> str:
    """The unified symbol of a code: as given, else by the venue's own rule for codes."""
    key = f"{archive.market}/{archive.code}"
    if key in symbols:
        parse_symbol(symbols[key])
        return symbols[key]
    index = archive.kind == "indexPriceKlines"
    rule = {"spot": _SPOT_CODE, "um": _LINEAR_CODE, "cm": _INVERSE_CODE}[archive.market]
    match = (_PAIR_CODE if index else rule).fullmatch(archive.code)
    if match is None:
        raise InputError(
            f"{archive.path}: no rule says what {key!r} is; in Python name it: symbols={{{key!r}: 'BASE/QUOTE:SETTLE'}}"
        )
    pair = f"{match['base']}/{match['quote']}"
    if index or archive.market == "spot":
        return pair
    date = "" if match["date"] in (None, "PERP") else f"-{match['date']}"
    return f"{pair}:{match['quote' if archive.market == 'um' else 'base']}{date}"


def _named(files: Sequence[_Archive]) -> str:
    """Where a series is from: its one file, or how many and the first and last."""
    names = [each.path.name for each in files]
    return names[0] if len(names) == 1 else f"{len(names)} files, {min(names)} to {max(names)}"


def _read(archive: _Archive) -> Columns:
    """One file's columns; times microseconds UTC, funding stamps put on their second."""
    names = _FUNDING if archive.kind == "fundingRate" else _KLINE
    columns = _parse(archive.path, _text(archive.path), names)
    if archive.kind == "fundingRate":
        columns = with_settled(columns)
    elif archive.kind != "klines":
        del columns["volume"]
    check_rows(columns, archive.series, str(archive.path))
    return columns


def _text(path: Path) -> bytes:
    """The CSV, unzipped. InputError where the checksum beside it differs, or the zip is damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    _verify(path, content)
    if path.suffix != ".zip":
        return content
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(members) != 1:
                raise InputError(f"{path} holds {len(members)} CSV files; an archive file holds one")
            if Path(members[0]).stem != path.stem:
                raise InputError(f"{path} holds {members[0]}; give the archive its own name again")
            return archive.read(members[0])
    except InputError:
        raise
    except Exception as error:  # a damaged zip raises whatever the damaged place means to its unpacker
        raise InputError(f"{path} is damaged ({error}); fetch it again") from None


def _verify(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not beside.is_file():
        return
    words = beside.read_bytes().decode(errors="replace").split()
    said, found = words[0].lower() if words else "nothing", hashlib.sha256(content).hexdigest()
    if said != found:
        raise InputError(f"{path} has SHA-256 {found[:12]}…, {beside.name} says {said[:12]}…; fetch it again")


def _parse(path: Path, text: bytes, names: Sequence[str]) -> Columns:
    """The first columns of a CSV with a header line or none. A line cut short is refused, not filled."""
    import pandas as pd

    text = text.removeprefix(b"\xef\xbb\xbf")  # a mark some programs put first
    header = 0 if text[:1].isdigit() else 1
    kinds: dict[int, type] = {0: np.int64} | dict.fromkeys(range(1, len(names)), np.float64)
    try:
        frame = pd.read_csv(
            BytesIO(text), header=None, skiprows=header, usecols=range(len(names)), dtype=kinds, index_col=False,
        )  # fmt: skip
        if frame.isna().to_numpy().any():
            raise ValueError("a value is missing")
    except (ValueError, OverflowError) as error:
        line = next(_bad_lines(text.decode(errors="replace"), header, len(names)), "")
        raise InputError(f"{path}: {line or in_a_line(error)}") from None
    values = {name: np.ascontiguousarray(frame[k].to_numpy()) for k, name in enumerate(names)}
    return values | {"time": microseconds(values["time"])}


def _bad_lines(text: str, header: int, width: int) -> Iterator[str]:
    """Lines that are not numbers, in words."""
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split(",")[:width]
        if number > header and (len(fields) < width or not all(_is_number(field) for field in fields)):
            yield f"line {number} is {line[:60]!r}, not {width} numbers"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
