"""What is traded and how its history is called: instruments with their contract terms, symbols, bar lengths, series.

Symbols are ccxt's unified ones. `BTC/USDT` is the spot pair; a colon names what the contract settles in
(`BTC/USDT:USDT` pays dollars, `BTC/USD:BTC` pays coin); a date makes it a dated future (`BTC/USDT:USDT-241227`,
delivered 2024-12-27).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from backtest.errors import InputError, nearest

Price = TypeVar("Price", float, npt.NDArray[np.float64])

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
EVER_US = -(2**62)
"""Before anything began."""
INTERVALS: dict[str, int] = {
    "1m": MINUTE_US,
    "5m": 5 * MINUTE_US,
    "15m": 15 * MINUTE_US,
    "1h": 60 * MINUTE_US,
    "4h": 240 * MINUTE_US,
    "8h": 480 * MINUTE_US,
    "1d": 1440 * MINUTE_US,
}
KINDS = ("spot", "linear", "inverse", "option")
OHLC = ("open", "high", "low", "close")
DELIVERY_HOUR = 8  # UTC; crypto venues deliver then. An instrument's own expiry, where the store has it, overrules.

_ASSET = r"[^\W_a-z]+"
_SYMBOL = re.compile(rf"({_ASSET})/({_ASSET})(?::({_ASSET})(?:-(\d{{6}})(-.+)?)?)?")
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD", "BTC", "ETH")


@dataclass(frozen=True)
class Instrument:
    """Contract terms of one spot pair, perpetual, dated future or option at one venue.

    `contract_size`: base units per contract (spot and linear), or units of quote, dollars, per contract (inverse).
    `tick` in quote currency, `lot` in contracts, `min_notional` in quote currency. Times are microseconds UTC, None
    where open. `source` says where the terms are from, or "assumed". An option is European and cash-settled; its
    contract is `contract_size` base units, its price a premium a base unit in what it settles in.
    """

    symbol: str
    kind: str
    base: str
    quote: str
    settle: str
    contract_size: float
    tick: float
    lot: float
    min_notional: float
    listing_us: int | None
    expiry_us: int | None
    delisting_us: int | None
    source: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"{self.symbol}: no kind {self.kind!r}; {nearest(self.kind, KINDS)}")
        for name in ("contract_size", "tick", "lot", "min_notional"):
            value, least = getattr(self, name), "zero or more" if name == "min_notional" else "above zero"
            known = isinstance(value, Real) and math.isfinite(value)
            if not known or value < 0 or (value == 0 and name != "min_notional"):
                raise InputError(f"{self.symbol}: {name} is {value!r}; it must be {least}")

    @property
    def strike(self) -> float:
        """Strike of an option in the quote currency; 0 for anything else."""
        return parse_option(self.symbol)[4] if self.kind == "option" else 0.0

    @property
    def call(self) -> int:
        """+1 for a call, -1 for a put, 0 for anything else."""
        return parse_option(self.symbol)[5] if self.kind == "option" else 0

    def worth(self, price: Price) -> Price:
        """What one contract is worth in its settlement asset: size x price, or -size / price if it is inverse.

        `price` is a number or an array of them. Written so, worth rises with the price for both.
        """
        return -self.contract_size / price if self.kind == "inverse" else self.contract_size * price

    @property
    def end_us(self) -> int | None:
        """When it trades no more: its delivery or its delisting, whichever comes first; None where open."""
        return min((end for end in (self.expiry_us, self.delisting_us) if end is not None), default=None)

    @property
    def dated(self) -> bool:
        """A future that is delivered on a date."""
        return self.kind in ("linear", "inverse") and self.expiry_us is not None

    @property
    def perpetual(self) -> bool:
        """A future without a delivery, tied to the index by funding."""
        return self.kind in ("linear", "inverse") and self.expiry_us is None


def parse_symbol(symbol: str) -> tuple[str, str, str | None, int | None]:
    """Base, quote, settlement asset (None: spot) and delivery in microseconds UTC (None: not dated).

    The delivery is at 08:00 UTC of the symbol's date. InputError for anything but ccxt's unified form, with the nearest
    one; for options, and for contracts that settle in neither their base nor their quote.
    """
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        raise InputError(f"{symbol!r} is not a symbol; {_nearest_form(symbol)}")
    base, quote, settle, date, option = match.groups()
    if option is not None:
        raise InputError(f"{symbol!r} is an option; spot pairs, perpetuals and dated futures are traded here")
    if settle not in (None, base, quote):
        nearer = f"{base}/{quote}:{quote}"
        raise InputError(f"{symbol!r} settles in {settle}, neither its base nor its quote; write {nearer!r}")
    return base, quote, settle, None if date is None else _delivery_us(symbol, date)


def kind_of(symbol: str) -> str:
    """`spot`, `linear` (settles in its quote) or `inverse` (settles in its base)."""
    base, _, settle, _ = parse_symbol(symbol)
    return "spot" if settle is None else "inverse" if settle == base else "linear"


_OPTION = re.compile(rf"({_ASSET})/({_ASSET}):({_ASSET})-(\d{{6}})-(\d+(?:\.\d+)?)-([CP])")


def is_option(symbol: str) -> bool:
    """Whether a symbol is shaped like an option's: a date, a strike, C or P."""
    return symbol.count("-") == 3


def parse_option(symbol: str) -> tuple[str, str, str, int, float, int]:
    """Base, quote, settlement asset, expiry in microseconds UTC, strike, and +1 for a call or -1 for a put.

    InputError for anything but ccxt's form of an option, `BTC/USD:BTC-241227-60000-C`.
    """
    match = _OPTION.fullmatch(symbol)
    if match is None:
        raise InputError(f"{symbol!r} is no option; {_nearest_option(symbol) or _AN_OPTION}")
    base, quote, settle, date, strike, side = match.groups()
    if settle not in (base, quote):
        raise InputError(f"{symbol!r} settles in {settle}, neither its base nor its quote")
    if not float(strike):
        raise InputError(f"{symbol!r}: a strike lies above zero")
    return base, quote, settle, _delivery_us(symbol, date), float(strike), 1 if side == "C" else -1


def _delivery_us(symbol: str, date: str) -> int:
    try:
        day = datetime.strptime(date, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise InputError(f"{symbol!r}: {date} is no date; write year, month and day, such as 241227") from None
    return to_us(day + timedelta(hours=DELIVERY_HOUR))


_AN_OPTION = "write it as 'BTC/USD:BTC-241227-60000-C'"
_VENUES_OPTION = re.compile(
    r"([A-Z0-9]+?)[-/_]?(USDT|USDC|USD)?(?::([A-Z0-9]+))?-(\d{6}|\d{1,2}[A-Z]{3}\d{2})-(\d+(?:\.\d+)?)-([CP])[A-Z]*"
)


def _nearest_option(symbol: str) -> str:
    """The unified spelling of an option in a venue's own; empty where it is none."""
    match = _VENUES_OPTION.fullmatch(symbol.upper())
    if match is None:
        return ""
    base, quote, settle, date, strike, side = match.groups()
    if not date.isdigit():
        try:
            date = datetime.strptime(date.title(), "%d%b%y").strftime("%y%m%d")
        except ValueError:
            return _AN_OPTION
    rest = f"{date}-{strike}-{side}"
    if quote in ("USDT", "USDC"):
        return f"did you mean '{base}/{quote}:{settle or quote}-{rest}'?"
    other = "" if quote else f" or '{base}/USDT:USDT-{rest}' (in USDT)"
    return f"did you mean '{base}/USD:{base}-{rest}' (pays in {base}){other}?"


def _nearest_form(symbol: str) -> str:
    """The unified spelling of what was probably meant."""
    option = _nearest_option(symbol)
    if option:
        return option
    plain = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    perpetual = re.search(r"(PERP|SWAP|PERPETUAL)$", plain)
    plain = plain.removesuffix(perpetual[0]) if perpetual else plain
    digits = re.search(r"\d{6}$", plain)
    day = f"-{digits[0]}" if digits else ""
    plain = plain.removesuffix(digits[0]) if digits else plain
    for quote in _QUOTES:
        base = re.sub(rf"({quote})?{quote}$", "", plain)
        if base and base != plain:
            coin = f", or '{base}/{quote}:{base}{day}' (settles in {base})" if quote == "USD" else ""
            spot = "" if day else f"'{base}/{quote}' (spot) or "
            word = "dated future" if day else "perpetual"
            return f"did you mean {spot}'{base}/{quote}:{quote}{day}' ({word}){coin}?"
    if perpetual and plain:
        return f"did you mean '{plain}/USDT:USDT' or '{plain}/USD:{plain}' (settles in {plain})?"
    return "write 'BTC/USDT' (spot), 'BTC/USDT:USDT' (perpetual) or 'BTC/USDT:USDT-241227' (dated future)"


def folder_of(symbol: str) -> str:
    """The folder of a symbol in a store: `BTC/USDT:USDT` lies in `BTC-USDT_USDT`."""
    return symbol.replace("/", "-").replace(":", "_")


def symbol_of(folder: str) -> str:
    """The symbol of a store's folder: `BTC-USDT_USDT-241227` is `BTC/USDT:USDT-241227`; an asset keeps its code."""
    return folder.replace("-", "/", 1).replace("_", ":", 1)


def interval_us(text: str) -> int:
    """Microseconds of a bar length such as `1h`. InputError with the nearest one for others."""
    if text not in INTERVALS:
        raise InputError(f"no interval {text!r}; {nearest(text, INTERVALS)} (valid: {', '.join(INTERVALS)})")
    return INTERVALS[text]


BAR_SERIES = ("bars", "mark", "mark-ohlc", "index", "premium", "open-interest")
EVENT_SERIES = ("funding", "borrow")


def split_series(series: str) -> tuple[str, str | None]:
    """Kind and bar length of a series: ("bars", "1h") of `bars-1h`, ("funding", None). InputError for others."""
    if series in EVENT_SERIES:
        return series, None
    kind, _, interval = series.rpartition("-")
    if kind in BAR_SERIES and interval in INTERVALS:
        return kind, interval
    known = [*EVENT_SERIES, *(f"{each}-{length}" for each in BAR_SERIES for length in INTERVALS)]
    raise InputError(f"no series {series!r}; {nearest(series, known)}")


def missing_columns(series: str, columns: list[str]) -> list[str]:
    """Columns that a series must have and these have not; a mark or index may be closes only, or whole candles."""
    kind, _ = split_series(series)
    needed: tuple[str, ...] = {
        "bars": (*OHLC, "volume"),
        "mark-ohlc": OHLC,
        "funding": ("funding_rate",),
        "borrow": ("hourly_rate",),
        "open-interest": ("open_interest",),
    }.get(kind, ("close",))
    if needed == ("close",) and {"open", "high", "low"} & set(columns):
        needed = OHLC
    return [name for name in ("time", *needed) if name not in columns]


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a time with its zone, exactly."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
