"""An account as ccxt answers it: `fetch_positions` and `fetch_balance`, taken as they are.

Of a position: symbol, contracts, contractSize, side, entryPrice, markPrice, leverage, marginMode, and of an isolated
one its collateral. Of a balance: what is there of each asset before open profit. Where the raw answer beside it
(`info`) gives wallet balances, those are taken, else `total`; at some venues that is the whole equity, and open profit,
the worth of options and isolated margins are taken out of it again.

In a file: { "fetch_positions": [...], "fetch_balance": {...}, "venue": "okx", "mode": "cross", ... }
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backtest.calculator.instruments import instrument_of
from backtest.calculator.snapshot import Snapshot, product_of, read_snapshot
from backtest.errors import InputError
from backtest.venues.load import load

WALLET_BALANCES = ("crossWalletBalance", "walletBalance", "cashBal")  # of a raw row by asset, the shared wallet's first
ASSET_NAMES = ("asset", "coin", "ccy", "currency")
EQUITY_IS_TOTAL = ("deribit", "hyperliquid")  # what ccxt answers as `total` there, as its source has it
MODES = ("cross", "multi_asset", "portfolio")


def from_ccxt(
    positions: Sequence[Mapping[str, Any]],
    balance: Mapping[str, Any],
    *,
    venue: str = "binance",
    mode: str | None = None,
    total_has_profit: bool | None = None,
    source: str = "account",
    **more: Any,
) -> Snapshot:
    """A snapshot from ccxt's answers; `more` are keys of the snapshot (at, prices, rules, ...).

    `mode` where not given: isolated if every position is, else the venue's cross or nearest to it. `total_has_profit`:
    whether `total` holds open profit (None: as the venue's answers do). InputError names the position and the field
    that is missing.
    """
    _check_shapes(positions, balance)
    _check_beside(venue, more.get("instruments", {}))
    held = [p for p in positions if _number(p.get("contracts"))]
    rows = [_position(p) for p in held]
    raw = _raw_wallets(balance.get("info"))
    terms = dict(more.pop("instruments", {}))
    for position in held:
        symbol, size = str(position["symbol"]), _number(position.get("contractSize"))
        if size:
            terms[symbol] = {"contract_size": size, **terms.get(symbol, {})}
    given = {
        "hedge": any(p.get("hedged") for p in held), **more, "venue": venue, "mode": mode or _usual_mode(venue, rows),
        "wallets": _balances(balance, raw), "positions": rows, "instruments": terms,
    }  # fmt: skip
    found = read_snapshot(given, source)
    inside = venue in EQUITY_IS_TOTAL if total_has_profit is None else total_has_profit
    return found.with_(wallets=_before_profit(found, raw)) if inside else found


def _check_shapes(positions: object, balance: object) -> None:
    if isinstance(positions, str | Mapping) or not isinstance(positions, Sequence):
        raise InputError(f"fetch_positions = {positions!r}: give the list that ccxt answers")
    for k, position in enumerate(positions):
        if not isinstance(position, Mapping):
            raise InputError(f"fetch_positions[{k}] = {position!r}: give a position as ccxt answers it, a table")
    if not isinstance(balance, Mapping):
        raise InputError(f"fetch_balance = {balance!r}: give the table that ccxt answers")


def _check_beside(venue: object, instruments: object) -> None:
    """InputError where what is read together with the answers is not of its shape."""
    if not isinstance(venue, str):
        raise InputError(f"venue = {venue!r}: write text in quotes")
    if not isinstance(instruments, Mapping):
        raise InputError(f"instruments = {instruments!r}: write a table by symbol")
    for symbol, terms in instruments.items():
        if not isinstance(terms, Mapping):
            raise InputError(f"instruments.{symbol} = {terms!r}: write a table, such as {{ contract_size = 1 }}")


def _usual_mode(venue: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Isolated if every position is; else the first of cross, multi-asset and portfolio that the venue has."""
    if rows and all(row["isolated"] for row in rows):
        return "isolated"
    offered = [preset for entry in load(venue).entries["mode"] for preset in entry.where["preset"]]
    return next((mode for mode in MODES if mode in offered), MODES[0])


def _before_profit(snapshot: Snapshot, raw: Mapping[str, float]) -> dict[str, float]:
    """Balances out of equities: without open profit, the worth of options, and where equity is of all, own wallets."""
    wallets = {asset: float(amount) for asset, amount in snapshot.wallets.items() if not isinstance(amount, dict)}
    for position in snapshot.positions:
        instrument = instrument_of(snapshot, position.symbol)
        if instrument.settle in raw or position.mark is None:
            continue
        entry = 0.0 if instrument.kind == "option" else instrument.worth(position.entry or position.mark)
        inside = position.signed(instrument.contract_size) * (instrument.worth(position.mark) - entry)
        inside += (position.margin or 0.0) if snapshot.venue in EQUITY_IS_TOTAL else 0.0
        wallets[instrument.settle] = wallets.get(instrument.settle, 0.0) - inside
    return wallets


def _position(given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = str(given.get("symbol"))
    kind = product_of(symbol)
    row: dict[str, Any] = {"symbol": symbol, "contracts": abs(_number(given.get("contracts")) or 0.0)}
    row["side"] = given.get("side") or ("short" if (_number(given.get("contracts")) or 0.0) < 0 else "long")
    for key, name in (("entry", "entryPrice"), ("mark", "markPrice")):
        value = _number(given.get(name))
        if value:
            row[key] = value
    leverage = _number(given.get("leverage"))
    if leverage:
        row["leverage"] = max(leverage, 1.0)
    if "mark" not in row:
        row["mark"] = _mark_of_notional(given, kind, row["contracts"])
    row["isolated"] = given.get("marginMode") == "isolated"
    if row["isolated"]:
        own = _isolated_wallet(given)
        if own is None:
            raise InputError(f"fetch_positions: isolated {symbol} has no collateral; add it")
        row["margin"] = own
    return row


def _mark_of_notional(given: Mapping[str, Any], kind: str, contracts: float) -> float:
    """The mark where only the notional is given: dollars of linear contracts, coins of inverse ones."""
    notional, size = _number(given.get("notional")), _number(given.get("contractSize")) or 1.0
    if not notional or kind not in ("linear", "inverse"):
        raise InputError(f"fetch_positions: {given.get('symbol')} has no markPrice; add it")
    coins = contracts * size
    return abs(notional) / coins if kind == "linear" else coins / abs(notional)


def _isolated_wallet(given: Mapping[str, Any]) -> float | None:
    """The position's own wallet without its profit: the raw answer's, else collateral (which holds it) less profit."""
    info = given.get("info") if isinstance(given.get("info"), Mapping) else {}
    raw = _number((info or {}).get("isolatedWallet"))
    if raw:
        return raw
    collateral, profit = _number(given.get("collateral")), _number(given.get("unrealizedPnl"))
    return None if collateral is None else collateral - (profit or 0.0)


def _balances(balance: Mapping[str, Any], raw: Mapping[str, float]) -> dict[str, float]:
    total = balance.get("total")
    if not isinstance(total, Mapping):
        total = {
            asset: part.get("total")
            for asset, part in balance.items()
            if isinstance(part, Mapping) and "total" in part and asset not in ("info", "free", "used")
        }
    found = {str(asset): _number(amount) or 0.0 for asset, amount in total.items()}
    found.update(raw)
    return {asset: amount for asset, amount in found.items() if amount}


def _raw_wallets(info: Any) -> dict[str, float]:
    """Wallet balances by asset, where the venue's own answer lists them."""
    found: dict[str, float] = {}
    for row in _rows(info):
        asset = next((str(row[name]) for name in ASSET_NAMES if row.get(name)), None)
        amount = next((_number(row[name]) for name in WALLET_BALANCES if row.get(name) not in (None, "")), None)
        if asset and amount is not None:
            found[asset] = amount
    return found


def _rows(info: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(info, Mapping):
        for part in info.values():
            yield from _rows(part) if isinstance(part, list | Mapping) else ()
    elif isinstance(info, list):
        for row in info:
            if isinstance(row, Mapping):
                yield row
                yield from _rows(row)


def _number(value: Any) -> float | None:
    """A number, also where it is written as text; None where there is none."""
    if value in (None, "") or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{value!r} is no number, in what ccxt answered") from None
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no number, in what ccxt answered")
    return number
