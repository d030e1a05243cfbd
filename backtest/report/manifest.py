"""The trading journal of a run: what was asked, which files and rules were used, and what was assumed, in words.

Nothing in it depends on when or where the run was made: the same inputs give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest import __version__
from backtest.report.record import RunRecord
from backtest.report.standing import terms_of

if TYPE_CHECKING:
    from backtest.config import RunConfig
    from backtest.market.history import History
    from backtest.market.store import Store

_PARTS_USED = ("numpy", "numba", "pandas", "pyarrow")
_FUNDING_FLAGS = {1: "previous mark close", 2: "inside a bar, approximate", 3: "mark given with the rate"}
_REFUSAL_WORDS = {"cut": "cut to what fits", "refuse": "refused"}
_PATH_WORDS = {
    "close": "only the close of a bar is looked at",
    "low_then_high": "inside a bar all prices visit their lows together, then their highs",
    "each_worst": "inside a bar every leg visits its own worst price at once",
}


def manifest(record: RunRecord) -> dict[str, Any]:
    """Everything needed to tell what a run stood on, as plain JSON values."""
    history = record.history
    return {
        "name": record.config.name,
        "accounts": [
            {"name": name, "mode": record.modes[k], "levels": [list(level) for level in record.levels_of(k)]}
            for k, name in enumerate(record.account_names)
        ],
        "config": record.config.resolved(),
        "data": data_files(record),
        "versions": versions(),
        "rules": rule_rows(record),
        "assumptions": assumptions(record.config),
        "instruments": terms_of(record),
        "prices": {item.symbol: source for item, source in zip(history.instruments, history.mark_source, strict=True)},
        "indexes": dict(zip(history.assets, history.index_source, strict=True)),
        "funding_marks": _funding_marks(record),
        "ambiguous_bars": ambiguous_bars(record),
        "notes": list(dict.fromkeys([*history.notes, *record.notes])),
    }


def versions() -> dict[str, str]:
    """Versions that results may depend on."""
    found = {"backtest": __version__, "python": platform.python_version()}
    for name in _PARTS_USED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def data_files(record: RunRecord) -> list[dict[str, str]]:
    """Venue, symbol, series and SHA-256 of every stored series traded or valued; of data in memory, its own."""
    from backtest.market.store import Store

    if not record.stored:
        return in_memory(record.history)
    return files_of(record.config, record.history, Store(record.config.data.folder))


def in_memory(history: History) -> list[dict[str, str]]:
    """The same of a history that was given: one row, the digest of its arrays and terms."""
    digest = hashlib.sha256()
    for field in (each for each in dataclasses.fields(history) if each.name not in ("table", "room")):
        value = getattr(history, field.name)
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return [{"venue": "", "symbol": "", "series": "in memory", "sha256": digest.hexdigest()}]


def files_of(config: RunConfig, history: History, store: Store) -> list[dict[str, str]]:
    """The same for what a config reads of a store into a history. InputError for a venue that is not stored."""
    from backtest.market.joined import Joined

    wanted = _symbols(history)
    files: list[dict[str, str]] = []
    own = {account.venue for account in config.account} & set(store.venues())
    joined = Joined(store, config.data.venues or sorted(own) or store.venues()[:1])
    for venue in joined.parts:  # an account elsewhere reads the store's only venue
        for symbol in sorted(symbol for symbol in wanted & set(store.symbols(venue)) if joined.home(symbol) == venue):
            for series in sorted(store.series(venue, symbol)):
                digest = store.digest(venue, symbol, series)
                files.append({"venue": venue, "symbol": symbol, "series": series, "sha256": digest})
    return files


def _symbols(history: History) -> set[str]:
    """Instruments, and the pairs and assets that index and borrow series are filed under."""
    symbols = {instrument.symbol for instrument in history.instruments}
    pairs = [f"{asset}/{quote}" for asset in history.assets for quote in ("USD", "USDT") if asset != quote]
    return {*symbols, *pairs, *history.assets}


def rule_rows(record: RunRecord) -> list[dict[str, Any]]:
    """Rows of the venue tables in force during the run, once each, in the order they came into force."""
    rows: dict[str, dict[str, Any]] = {}
    for sets in record.rules:
        for rules in sets if isinstance(sets, tuple | list) else (sets,):
            for row in getattr(rules, "rows", ()):
                plain_row = plain(row)
                rows.setdefault(repr(plain_row), plain_row if isinstance(plain_row, dict) else {"row": plain_row})
    return list(rows.values())


def plain(value: Any) -> Any:
    """A value as JSON can hold it; infinities and unknown numbers as words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def assumptions(config: RunConfig) -> list[str]:
    """What a run takes for granted, in sentences."""
    execution, prices, funding = config.execution, config.prices, config.funding
    words = [
        "Orders written at a bar's close are judged, and fill, from the next bar's open on.",
        f"Market orders pay {execution.slippage_bps:g} bps of slippage.",
        f"No order takes more than {execution.volume_share:.0%} of a bar's volume.",
        f"Limit orders fill when the price {'touches' if execution.limit_touch else 'trades through'} them.",
        f"An order beyond the margin or the guards is {_REFUSAL_WORDS[execution.refusal]}; one that lowers the "
        "requirement never is.",
        f"Path: {_PATH_WORDS[execution.path]}; the lowest ratio under all three readings is reported.",
        "Funding belongs to the position held coming into its stamp.",
        "A forced order fills at the traded price, worsened by half the spread and its square-root impact.",
        f"Candle tips of spot proxies {'count' if prices.wicks else 'do not count'} when collateral is valued.",
        "Missing bars are " + ("an error." if prices.gaps == "error" else "held at the last price, without fills."),
        "Missing funding is " + ("an error." if funding.missing == "error" else "taken as zero."),
    ]
    if funding.inside == "approximate":
        words.append("Funding stamps inside a bar use the position and mark of the bar's open: approximate.")
    if config.rules.outside == "nearest" or config.rules.counterfactual:
        words.append("Rules from outside their dates, or modes not offered then, may be in use: counterfactual.")
    return words + [_account_words(account) for account in config.account]


def _account_words(account: Any) -> str:
    leverage = ", ".join(f"{symbol} {value:g}x" for symbol, value in sorted(account.leverage.items()))
    transfers = "arrive at once" if account.transfer.delay == "0s" else f"arrive after {account.transfer.delay}"
    refill = "off" if account.refill is None else f"below a ratio of {account.refill.trigger:g}"
    top_up = "off" if account.top_up is None else f"below a ratio of {account.top_up.trigger:g}"
    return (
        f"Account {account.name} at {account.venue}, {account.margin}: leverage {leverage}; transfers {transfers}; "
        f"refill {refill}; top-up {top_up}; borrowing {'on' if account.borrow else 'off'}."
    )


def _funding_marks(record: RunRecord) -> dict[str, int]:
    """How many funding payments of the tape rest on something else than the mark's open at the stamp."""
    counts = Counter(int(flag) for flag in record.history.funding_flag)
    return {words: counts[flag] for flag, words in _FUNDING_FLAGS.items() if counts[flag]}


def ambiguous_bars(record: RunRecord) -> dict[str, int]:
    """An account: bars in which one reading of the path survives and another does not."""
    found: dict[str, int] = {}
    for number, name in enumerate(record.account_names):
        found[name] = 0
        for rows in record.parts("account", number):
            level, each = rows["liquidation_level"], rows["ratio_each_worst"]
            best = np.fmax(np.fmax(rows["ratio_close"], rows["ratio_low_then_high"]), each)
            found[name] += int(((best > level) & (each <= level)).sum())
    return found
