"""Three books at every venue: the table in `backtest/venues/README.md` is what the calculator says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import backtest
from backtest.errors import InputError
from backtest.venues.load import names

pytestmark = pytest.mark.jit_off

README = Path(backtest.__file__).parent / "venues" / "README.md"
MODES = ("isolated", "cross", "multi_asset", "portfolio")
BTC, ETH, DATED = 60_000.0, 3_000.0, 61_000.0
DOLLAR = {"hyperliquid": "USDC", "paradex": "USDC"}


def symbol(venue: str, coin: str, dated: bool = False) -> str:
    """The venue's own contract: Deribit's are paid in the coin, the others' in their dollar."""
    dollar = DOLLAR.get(venue, "USDT")
    name = f"{coin}/USD:{coin}" if venue == "deribit" else f"{coin}/{dollar}:{dollar}"
    return f"{name}-261225" if dated else name


def leg(venue: str, coin: str, coins: float, price: float, dated: bool = False) -> dict[str, Any]:
    contracts = coins * price / 10 if venue == "deribit" else coins
    return {"symbol": symbol(venue, coin, dated), "contracts": contracts, "entry": price, "mark": price}


def books(venue: str) -> dict[str, list[dict[str, Any]]]:
    return {
        "coin, short perpetual": [leg(venue, "BTC", -1, BTC)],
        "perpetual, short dated": [leg(venue, "BTC", 1, BTC), leg(venue, "BTC", -1, DATED, dated=True)],
        "BTC, short ETH": [leg(venue, "BTC", 1, BTC), leg(venue, "ETH", -20, ETH)],
    }


def asked(venue: str, mode: str, book: str) -> str:
    """Initial / maintenance margin in USD, or a dash where the venue has no such mode or contract."""
    positions = books(venue)[book]
    coins = {p["symbol"].split("/")[0] for p in positions}
    dollar = DOLLAR.get(venue, "USDT")
    wallets = {dollar: 30_000.0, **({"BTC": 1.0} if "coin" in book else {})}
    if venue == "deribit":
        wallets = {"BTC": 1.0, **({"ETH": 10.0} if "ETH" in coins else {})}
    prices = {"BTC": BTC, "ETH": ETH, dollar: 1.0}
    held = coins | set(wallets)
    try:
        answer = backtest.margin({
            "venue": venue, "mode": mode, "at": "2026-10-01", "leverage": 10,
            "wallets": wallets, "positions": positions,
            "prices": {asset: price for asset, price in prices.items() if asset in held},
            "instruments": {
                p["symbol"]: {"contract_size": 10.0 if venue == "deribit" else 1.0} for p in positions
            },
        })  # fmt: skip
    except InputError:
        return "–"
    account = answer.account
    return f"{account.initial_margin:,.0f} / {account.maintenance_margin:,.0f}"


def table() -> list[str]:
    head = list(books("binance"))
    lines = ["| venue | mode | " + " | ".join(head) + " |", "|---|---|" + "--:|" * len(head)]
    for venue in names():
        for mode in MODES:
            cells = [asked(venue, mode, book) for book in head]
            if any(cell != "–" for cell in cells):
                lines.append(f"| {venue} | {mode} | " + " | ".join(cells) + " |")
    return lines


def test_the_table_of_margins_in_the_readme_is_what_the_calculator_says() -> None:
    text = README.read_text(encoding="utf-8")
    for line in table():
        assert line in text, line


def test_the_row_worked_out_in_the_readme_is_that_arithmetic() -> None:
    """OKX, portfolio, long BTC against short ETH: two units, each its 12 % and its basis, then 1.3 times."""
    unit = 0.12 * 60_000 + 0.002 * 60_000
    assert asked("okx", "portfolio", "BTC, short ETH") == f"{1.3 * 2 * unit:,.0f} / {2 * unit:,.0f}"
