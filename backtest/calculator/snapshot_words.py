"""What people call the parts of an account, and what an account calls them: the first look at what was typed in.

Every venue has its own words for a balance, a side or a price. They are not taken, since a guess about money is worse
than a question, but the message names the word that would do.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from backtest.errors import InputError, is_number
from backtest.units import HEADROOM

ASSET = re.compile(r"[^\W_a-z]+")
PLAIN_WALLETS = "such as USDT = 1000, or by wallet: spot = { BTC = 0.5 }"

ACCOUNT = {
    "preset": "mode", "margin_mode": "mode", "marginmode": "mode", "margin": "mode", "exchange": "venue",
    "date": "at", "time": "at", "balance": "wallets", "balances": "wallets", "wallet": "wallets",
    "deposit": "wallets", "holdings": "wallets", "assets": "wallets", "cash": "wallets", "position": "positions",
    "order": "orders", "open_orders": "orders", "debts": "loans", "borrowed": "loans", "price": "prices",
    "marks": "prices", "markets": "instruments", "symbols": "instruments", "position_mode": "hedge",
    "isolated": "isolated = true at a position",
}  # fmt: skip
POSITION = {
    "amount": "contracts", "qty": "contracts", "quantity": "contracts", "contract": "contracts",
    "position_amt": "contracts", "positionamt": "contracts", "coins": "size", "entry_price": "entry",
    "entryprice": "entry", "avg_price": "entry", "average_price": "entry", "avgpx": "entry", "avgprice": "entry",
    "price": "mark", "mark_price": "mark", "markprice": "mark", "markpx": "mark", "margin_mode": "isolated",
    "marginmode": "isolated", "mode": "isolated", "collateral": "margin", "isolated_margin": "margin",
    "isolated_wallet": "margin", "iv": "implied_volatility", "volatility": "implied_volatility",
    "mark_iv": "implied_volatility", "instrument": "symbol", "ticker": "symbol", "market": "symbol",
}  # fmt: skip
SIDES = {"buy": "long", "sell": "short", "bid": "long", "ask": "short"}
OF_CCXT = {"info", "entryPrice", "markPrice", "contractSize", "marginMode"}


def as_python(given: Any) -> Any:
    """What was given, with the numbers that numpy made of it as Python has them."""
    if isinstance(given, Mapping):
        return {key: as_python(value) for key, value in given.items()}
    if isinstance(given, list):
        return [as_python(value) for value in given]
    return given.item() if isinstance(given, np.bool_ | np.number) else given


def check_words(given: Mapping[str, Any], known: Mapping[str, frozenset[str]]) -> None:
    """InputError for a key or a side by another name; `known` are the keys of an account and of a position."""
    _renamed("", given, ACCOUNT, known["account"])
    positions = given.get("positions")
    for k, row in enumerate(positions if isinstance(positions, list) else []):
        if not isinstance(row, Mapping):
            continue
        if OF_CCXT & set(row):
            raise InputError(
                f"positions[{k}]: these are positions as ccxt answers them; write them under the key "
                "'fetch_positions', and what fetch_balance answers under 'fetch_balance'"
            )
        _renamed(f"positions[{k}].", row, POSITION, known["position"])
        side = row.get("side")
        if isinstance(side, str) and side not in ("long", "short"):
            told = SIDES.get(side.lower(), side.lower())
            raise InputError(
                f"positions[{k}].side = {side!r}: "
                + (f"did you mean {told!r}?" if told in ("long", "short") else "write 'long' or 'short'")
            )


def _renamed(where: str, row: Mapping[str, Any], names: Mapping[str, str], known: frozenset[str]) -> None:
    for key, value in row.items():
        meant = names.get(str(key).lower())
        if meant == "wallets" and isinstance(value, Mapping) and "total" in value:
            meant = "fetch_balance"
        if key not in known and meant is not None:
            raise InputError(f"{where}{key}: unknown key (value {reprlib.repr(value)}); did you mean {meant!r}?")


def check_asset(where: str, asset: object) -> None:
    """InputError for what cannot be an asset's code, with the nearest that can."""
    if isinstance(asset, str) and ASSET.fullmatch(asset):
        return
    capital = str(asset).upper()
    told = f"did you mean {capital!r}?" if ASSET.fullmatch(capital) else "write a code such as 'USDT' or 'BTC'"
    raise InputError(f"{where}: {asset!r} is no asset; {told}")


def check_wallets(wallets: object) -> None:
    """InputError for anything but amounts by asset, or by wallet and asset."""
    if not isinstance(wallets, Mapping):
        raise InputError(f"wallets = {wallets!r}: write a table, {PLAIN_WALLETS}")
    for key, amount in wallets.items():
        if isinstance(amount, Mapping):
            for asset, units in amount.items():
                check_asset(f"wallets.{key}", asset)
                _amount(f"wallets.{key}.{asset}", units)
        else:
            check_asset("wallets", key)
            _amount(f"wallets.{key}", amount)


def _amount(where: str, amount: object) -> None:
    if not is_number(amount) or not math.isfinite(amount):
        raise InputError(f"{where} = {amount!r}: write a number, {PLAIN_WALLETS}")
    if abs(amount) > HEADROOM:
        raise InputError(f"{where} = {amount:g}: an account holds {HEADROOM:,} at most")
