"""A liquidation price put back in is the venue's level, for random books in every mode of every venue."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

import backtest
from backtest.errors import InputError
from backtest.venues.load import load, names
from backtest.venues.table import moment_us

AT = "2026-10-01"
DOLLAR = {"hyperliquid": "USDC", "paradex": "USDC"}
SIZE = {"deribit": 10.0, "okx": 0.01}


def modes() -> list[tuple[str, str]]:
    at = moment_us(date.fromisoformat(AT))
    return [(venue, mode) for venue in names() for mode in load(venue).modes(at)]


def book(venue: str, mode: str, seed: int) -> dict[str, Any]:
    """One or two positions and some money, from a seed."""
    chance = random.Random(f"{venue} {mode} {seed}")
    dollar, size = DOLLAR.get(venue, "USDT"), SIZE.get(venue, 1.0)
    prices = {"BTC": chance.uniform(20_000, 120_000), "ETH": chance.uniform(1_000, 5_000)}
    positions = []
    for coin in ("BTC", "ETH")[: chance.randint(1, 2)]:
        symbol = f"{coin}/USD:{coin}" if venue == "deribit" else f"{coin}/{dollar}:{dollar}"
        mark = prices[coin] * chance.uniform(0.995, 1.005)
        worth = chance.choice([-1, 1]) * chance.uniform(5_000, 400_000)
        positions.append({
            "symbol": symbol, "contracts": worth / size if venue == "deribit" else worth / mark / size,
            "entry": mark * chance.uniform(0.98, 1.02), "mark": mark,
        })  # fmt: skip
    coins = [position["symbol"].split("/")[0] for position in positions]
    money = sum(abs(p["contracts"]) * size * (1.0 if venue == "deribit" else p["mark"]) for p in positions) / 5
    if venue == "deribit":
        wallets = {coin: money / prices[coin] for coin in coins}
    else:
        wallets = {dollar: money, **({"BTC": chance.uniform(0.0, 0.5)} if mode in ("multi_asset", "portfolio") else {})}
    assets = {*coins, *wallets}
    return {
        "venue": venue, "mode": mode, "at": AT, "leverage": 4, "wallets": wallets, "positions": positions,
        "prices": {asset: {**prices, dollar: 1.0}[asset] for asset in assets},
        "instruments": {p["symbol"]: {"contract_size": size} for p in positions},
    }  # fmt: skip


@pytest.mark.parametrize("venue, mode", modes())
def test_the_accounts_liquidation_price_put_back_in_is_the_level(venue: str, mode: str) -> None:
    found = 0
    for seed in range(6):
        answer = backtest.margin(book(venue, mode, seed))
        for coin in {p["symbol"].split("/")[0] for p in book(venue, mode, seed)["positions"]}:
            price = answer.liquidation(coin)
            if price is None:
                continue
            found += 1
            back = answer.move({coin: price.move}).account
            assert back.margin_ratio == pytest.approx(back.liquidation_level, rel=1e-9), (seed, coin)
    assert found > 0


@pytest.mark.parametrize("venue, mode", modes())
def test_a_position_s_liquidation_price_put_back_in_is_the_level(venue: str, mode: str) -> None:
    for seed in range(3):
        given = book(venue, mode, seed)
        answer = backtest.margin(given)
        for k, price in enumerate(answer.positions.liquidation_price):
            if price is None or price != price:
                continue
            positions = [{**p, "mark": float(price)} if j == k else p for j, p in enumerate(given["positions"])]
            try:
                back = backtest.margin({**given, "positions": positions})
            except InputError:
                continue
            wallet = back.wallets.set_index("wallet").loc[back.positions.wallet[k]]
            assert wallet.margin_ratio == pytest.approx(back.account.liquidation_level, rel=1e-9), (seed, k)
