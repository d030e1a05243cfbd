"""An account as ccxt answers it: `fetch_positions` and `fetch_balance`, taken as they are.

Of a position: symbol, contracts, contractSize, side, entryPrice, markPrice, leverage, marginMode, and of an isolated
one its collateral. Of a balance: what is there of each asset before unrealised profit. Venues differ in `total`: where
the raw answer beside it (`info`) gives wallet balances, those are taken, else `total`, less the open profit where
`total_has_profit` says that it is in there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backtest.calculator.snapshot import Snapshot, parts_of, product_of, read_snapshot
from backtest.errors import InputError

WALLET_BALANCES = ("crossWalletBalance", "walletBalance")  # of a raw row by asset, the shared wallet's first
ASSET_NAMES = ("asset", "coin", "ccy", "currency")


def from_ccxt(
    positions: Sequence[Mapping[str, Any]],
    balance: Mapping[str, Any],
    *,
    venue: str = "binance",
    mode: str | None = None,
    total_has_profit: bool = False,
    **more: Any,
) -> Snapshot:
    """A snapshot from ccxt's answers; `more` are keys of the snapshot (at, prices, rules, ...).

    `mode` where not given: isolated if every position is, else cross. InputError names the position and the field that
    is missing.
    """
    held = [p for p in positions if _number(p.get("contracts"))]
    rows = [_position(p) for p in held]
    if mode is None:
        mode = "isolated" if rows and all(row["isolated"] for row in rows) else "cross"
    wallets = _balances(balance)
    if total_has_profit:
        for position in held:
            asset = parts_of(str(position["symbol"]))[2] or ""
            wallets[asset] = wallets.get(asset, 0.0) - (_number(position.get("unrealizedPnl")) or 0.0)
    terms = dict(more.pop("instruments", {}))
    for position in held:
        symbol, size = str(position["symbol"]), _number(position.get("contractSize")) or 1.0
        terms[symbol] = {"contract_size": size, **terms.get(symbol, {})}
    hedge = any(p.get("hedged") for p in held)
    given = {"hedge": hedge, **more, "venue": venue, "mode": mode, "wallets": wallets, "positions": rows}
    return read_snapshot({**given, "instruments": terms})


def _position(given: Mapping[str, Any]) -> dict[str, Any]:
    symbol = str(given.get("symbol"))
    product_of(symbol)
    row: dict[str, Any] = {"symbol": symbol, "contracts": abs(_number(given.get("contracts")) or 0.0)}
    row["side"] = given.get("side") or ("short" if (_number(given.get("contracts")) or 0.0) < 0 else "long")
    for key, name in (("entry", "entryPrice"), ("mark", "markPrice"), ("leverage", "leverage")):
        value = _number(given.get(name))
        if value:
            row[key] = value
    if "mark" not in row:
        notional = _number(given.get("notional"))
        if not notional or product_of(symbol) != "linear":
            raise InputError(f"fetch_positions: {symbol} has no markPrice; add it, or [prices] of the coin")
        row["mark"] = abs(notional) / (row["contracts"] * (_number(given.get("contractSize")) or 1.0))
    row["isolated"] = given.get("marginMode") == "isolated"
    if row["isolated"]:
        own = _isolated_wallet(given)
        if own is None:
            raise InputError(f"fetch_positions: isolated {symbol} has no collateral; add it")
        row["margin"] = own
    return row


def _isolated_wallet(given: Mapping[str, Any]) -> float | None:
    """The position's own wallet without its profit: the raw answer's, else collateral (which holds it) less profit."""
    info = given.get("info") if isinstance(given.get("info"), Mapping) else {}
    raw = _number((info or {}).get("isolatedWallet"))
    if raw:
        return raw
    collateral, profit = _number(given.get("collateral")), _number(given.get("unrealizedPnl"))
    return None if collateral is None else collateral - (profit or 0.0)


def _balances(balance: Mapping[str, Any]) -> dict[str, float]:
    raw = _raw_wallets(balance.get("info"))
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
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{value!r} is no number") from None
