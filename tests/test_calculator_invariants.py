"""What must hold of any account at any venue, whatever its numbers: asked of random books, never of worked ones."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.calculator import Answer, margin
from backtest.calculator.answer import plain_row
from backtest.venues.load import load, names
from backtest.venues.table import moment_us

pytestmark = pytest.mark.jit_off

AT = "2026-10-01"
AT_US = moment_us(date.fromisoformat(AT))
DOLLAR = {"hyperliquid": "USDC", "paradex": "USDC"}
EVERYWHERE = [(venue, mode) for venue in names() for mode in load(venue).modes(AT_US)]
BY_TIERS = [(v, m) for v, m in EVERYWHERE if load(v).modes(AT_US)[m].requirement == "tiers"]
FEW = settings(max_examples=25, deadline=None, derandomize=True)

Book = tuple[float, float, float, float, float, float]
BOOKS: st.SearchStrategy[Book] = st.tuples(
    st.integers(-400, 400).filter(bool).map(lambda n: n / 100),  # BTC
    st.integers(-800, 800).filter(bool).map(lambda n: n / 10),  # ETH
    st.integers(50_000, 70_000).map(float),  # entry of BTC
    st.integers(2500, 3500).map(float),  # entry of ETH
    st.integers(1000, 2_000_000).map(float),  # dollars
    st.integers(0, 300).map(lambda n: n / 100),  # coins
)


def typed(venue: str, mode: str, book: Book, k: float = 1.0, **more: Any) -> dict[str, Any]:
    """A book as a snapshot, `k` times as large; at Deribit paid in the coins, elsewhere in the venue's dollar."""
    btc, eth, entry_btc, entry_eth, dollars, coins = book
    dollar = DOLLAR.get(venue, "USDT")
    if venue == "deribit":
        symbols, wallets = ("BTC/USD:BTC", "ETH/USD:ETH"), {"BTC": dollars / 60_000 + coins, "ETH": dollars / 3000}
        btc, eth, sizes = round(btc * 6000), round(eth * 300), 10.0
    else:
        symbols, wallets, sizes = (
            (f"BTC/{dollar}:{dollar}", f"ETH/{dollar}:{dollar}"),
            {dollar: dollars, "BTC": coins},
            1.0,
        )
    rows = zip(symbols, (btc, eth), (entry_btc, entry_eth), (60_000.0, 3000.0), strict=True)
    return {
        "venue": venue, "mode": mode, "at": AT, "leverage": 5,
        "wallets": {asset: amount * k for asset, amount in wallets.items()},
        "positions": [{"symbol": s, "contracts": n * k, "entry": e, "mark": m} for s, n, e, m in rows],
        "prices": {"BTC": 60_050.0, "ETH": 2998.0},
        "instruments": {symbol: {"contract_size": sizes} for symbol in symbols},
        **more,
    }  # fmt: skip


def needs(answer: Answer) -> tuple[float, float]:
    return float(answer.account["initial_margin"]), float(answer.account["maintenance_margin"])


def same(one: Answer, other: Answer, rel: float = 1e-9) -> None:
    for name, value in one.account.items():
        if isinstance(value, float):
            assert other.account[name] == pytest.approx(value, rel=rel, abs=1e-6), name
        else:
            assert other.account[name] == value, name


MODELS = [("multi_asset", None), ("cross", None), ("portfolio", None), ("portfolio", "span"), ("portfolio", "tims")]


@FEW
@given(BOOKS, st.sampled_from(MODELS), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_an_account_k_times_as_large_asks_k_times_as_much_where_no_step_is_crossed(
    book: Book, model: tuple[str, str | None], k: float
) -> None:
    """The generic venue has one rate for every size, and its scenarios move all positions alike."""
    mode, name = model
    more = {"model": name} if name else {}
    one, many = margin(typed("generic", mode, book, **more)), margin(typed("generic", mode, book, k, **more))
    assert needs(many) == pytest.approx([k * need for need in needs(one)], rel=1e-9)
    assert many.account["collateral_equity"] == pytest.approx(k * one.account["collateral_equity"], rel=1e-9, abs=1e-5)
    assert many.account["margin_ratio"] == pytest.approx(one.account["margin_ratio"], rel=1e-6, abs=1e-9)


@FEW
@given(BOOKS, st.sampled_from(BY_TIERS))
def test_by_tiers_two_coins_together_ask_what_they_ask_apart(book: Book, home: tuple[str, str]) -> None:
    """Enough of every asset is held that nothing is owed; a fixed sum (Hyperliquid's 20) is of an account, once."""
    rich = (*book[:4], 50_000_000.0, 0.0)
    both = typed(*home, rich)
    apart = [
        margin({**both, "positions": [p], "instruments": {p["symbol"]: both["instruments"][p["symbol"]]}})
        for p in both["positions"]
    ]
    fixed = load(home[0]).in_force((), (), home[1], AT_US, AT_US + 1)[0].terms.fixed_usd
    initial, maintenance = (sum(x) for x in zip(*map(needs, apart), strict=True))
    assert needs(margin(both)) == pytest.approx((initial, maintenance - fixed), rel=1e-9)


@FEW
@given(BOOKS, st.sampled_from([home for home in BY_TIERS if home[0] != "bybit"]))
def test_by_tiers_a_long_and_a_short_of_one_size_at_their_entry_ask_the_same(book: Book, home: tuple[str, str]) -> None:
    """Bybit is left out: its margins hold the fee of closing at the bankruptcy price, which lies further for shorts."""
    btc, eth, *_ = book
    at_mark = (60_000.0, 3000.0, 50_000_000.0, 0.0)
    long, short = margin(typed(*home, (btc, eth, *at_mark))), margin(typed(*home, (-btc, -eth, *at_mark)))
    assert needs(long) == pytest.approx(needs(short), rel=1e-12)
    assert long.account["equity"] == pytest.approx(short.account["equity"], rel=1e-12)


@FEW
@given(BOOKS, st.sampled_from(EVERYWHERE), st.booleans(), st.integers(1, 1_000_000).map(float))
def test_more_collateral_never_lowers_the_ratio_of_an_account_that_has_some(
    book: Book, home: tuple[str, str], in_coin: bool, more: float
) -> None:
    account = typed(*home, book)
    asset = "BTC" if in_coin or home[0] == "deribit" else DOLLAR.get(home[0], "USDT")
    amount = more / 60_000 if asset == "BTC" else more
    before = margin(account)
    if before.account["collateral_equity"] <= 0.0:
        return
    after = margin({**account, "wallets": {**account["wallets"], asset: account["wallets"][asset] + amount}})
    assert after.account["margin_ratio"] >= before.account["margin_ratio"] * (1.0 - 1e-9)


@FEW
@given(BOOKS, st.sampled_from(EVERYWHERE))
def test_a_move_by_nothing_changes_nothing(book: Book, home: tuple[str, str]) -> None:
    answer = margin(typed(*home, book))
    same(answer, answer.move({"BTC": 0.0, "ETH": 0.0}))
    same(answer, answer.what_if(basis=0.0, funding=0.0))


@FEW
@given(BOOKS, st.sampled_from(EVERYWHERE), st.integers(40_000, 90_000).map(float), st.booleans())
def test_a_price_set_is_the_price_typed(book: Book, home: tuple[str, str], price: float, index: bool) -> None:
    account = typed(*home, book)
    if index:
        same(margin({**account, "prices": {**account["prices"], "BTC": price}}), margin(account, prices={"BTC": price}))
        return
    first, second = account["positions"]
    in_place = margin({**account, "positions": [{**first, "mark": price}, second]})
    same(in_place, margin(account, prices={first["symbol"]: price}))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(BOOKS, st.sampled_from(EVERYWHERE))
def test_what_is_printed_as_json_is_what_the_frames_hold(book: Book, home: tuple[str, str]) -> None:
    answer = margin(typed(*home, book))
    said = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    for name, frame in answer.tables().items():
        assert said[name] == [plain_row(row) for row in frame.to_dict("records")], name
    for name, value in answer.account.items():
        finite = not isinstance(value, float) or math.isfinite(value)
        assert said["account"][name] == (value if finite else None), name
    assert said["notes"] == answer.notes
