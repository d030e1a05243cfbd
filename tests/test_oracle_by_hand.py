"""The second pair of books held against arithmetic done by hand, before anything else is held against it.

The venue's published examples come first (where a long is liquidated, what an order costs, what a fee is), then short
stories whose every figure can be followed with pencil and paper: so many contracts at so much, so much paid, so much
left. Amounts below are in steps of 1e-8, written as decimals by `in_steps`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from oracle import STEP, Unmodelled, run
from oracle_scenarios import random_scenario

POINTS = ("open", "low", "high", "close")
PERP, SPOT, COIN = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
ONE_TIER = [[0, "0.05", 0, 100]]


def in_steps(amount: str) -> int:
    exact = Fraction(amount) * STEP
    assert exact.denominator == 1, "an amount by hand must be whole steps"
    return int(exact)


def flat(prices: list[Any]) -> dict[str, list[Any]]:
    return dict.fromkeys(POINTS, prices)


def contract(kind: str, prices: list[Any], mark: list[Any] | None = None, **terms: Any) -> dict[str, Any]:
    settle = "BTC" if kind == "inverse" else "USDT"
    rates = dict.fromkeys(("maker", "taker", "delivery_fee", "liquidation_fee", "half_spread"), 0)
    tape = {"last": flat(prices), "mark": flat(mark or prices)}
    fixed = {"kind": kind, "base": "BTC", "settle": settle, "size": 1, "lot": "0.001", "expiry_bar": None}
    return fixed | {"tiers": ONE_TIER} | rates | tape | terms


def asset(prices: list[Any], ratio: list[list[Any]] | None = None, debt: Any = 0, need: Any = 0) -> dict[str, Any]:
    return {"index": flat(prices), "ratio": ratio or [[0, 1, 0]], "debt_buffer": debt, "need_buffer": need}


def account(mode: str, deposit: dict[str, dict[str, Any]], **terms: Any) -> dict[str, Any]:
    fixed = {"name": "a", "mode": mode, "level": 1, "isolated": [], "leverage": {PERP: 20, COIN: 20}}
    return fixed | {"slippage": 0, "path": "close", "deposit": deposit, "transfer_cost": 0} | terms


def market(symbol: str, contracts: Any, bar: int = 0) -> dict[str, Any]:
    return {"bar": bar, "account": "a", "symbol": symbol, "contracts": contracts}


def play(
    instruments: dict[str, Any], terms: dict[str, Any], orders: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    bars = len(next(iter(instruments.values()))["last"]["open"])
    coins = next(iter(instruments.values()))["last"]["open"]
    fixed = {"assets": {"USDT": asset([1] * bars), "BTC": asset(coins)}, "events": [], "transfers": []}
    return run({"bars": bars, "instruments": instruments, "accounts": [terms], "orders": orders} | fixed | more)["a"]


def rows(result: dict[str, Any], kind: str) -> list[int]:
    return [row[5] for row in result["ledger"] if row[4] == kind]


@pytest.mark.parametrize(("mark", "forced"), [("1153.257", 0), ("1153.256", 1)])
def test_cross_long_falls_at_the_published_price(mark: str, forced: int) -> None:
    """ETHUSDT long 3,683.979 at 1,456.84, wallet 1,535,443.01, others' maintenance 71,200.81144 and loss 56,354.57:
    published liquidation price 1,153.26, exactly 1,153.25646."""
    eth = contract("linear", ["1456.84"] * 2 + [mark], tiers=[[0, "0.1", 135365, 20]], lot="3683.979")
    other = contract("linear", ["1056354.57"] * 2 + ["1000000"], tiers=[[0, "0.07120081144", 0, 20]], lot=1)
    terms = account("cross", {"usdm:USDT": {"USDT": "1535443.01"}}, leverage={PERP: 20, "ETH/USDT:USDT": 20})
    orders = [market(PERP, 1), market("ETH/USDT:USDT", "3683.979")]
    result = play({"ETH/USDT:USDT": eth, PERP: other}, terms, orders)
    assert (result["liquidations"] > 0) == bool(forced)


@pytest.mark.parametrize(("mark", "forced"), [("1114.785", 0), ("1114.784", 1)])
def test_isolated_long_falls_at_the_published_price(mark: str, forced: int) -> None:
    """The same long with 1,535,443.01 in a wallet of its own: 1,114.78, exactly 1,114.78496.

    At 10x the opening moves 5,366,967.96636 / 10 = 536,696.796636; the rest is added by hand."""
    eth = contract("linear", ["1456.84"] * 3 + [mark], tiers=[[0, "0.1", 135365, 20]], lot="3683.979")
    terms = account("isolated", {"usdm:USDT": {"USDT": "600000"}}, isolated=[PERP], leverage={PERP: 10})
    added = {"bar": 2, "kind": "flow", "account": "a", "wallet": PERP, "asset": "USDT", "amount": "998746.213364"}
    result = play({PERP: eth}, terms, [market(PERP, "3683.979")], events=[added])
    assert result["wallets"][2][PERP].collateral == Fraction("1535443.01")
    assert (result["liquidations"] > 0) == bool(forced)


def test_tier_holds_its_cap_and_maintenance_is_the_published_one() -> None:
    """4,918,775.081 at 10 % less 135,365 is 356,512.5081; at a tier's cap exactly, the lower tier counts."""
    table = [[0, "0.05", 0, 20], [1000000, "0.1", "135365", 20]]
    for contracts, expected in (("4918775.081", "356512.5081"), ("1000000", "50000")):
        terms = account("cross", {"usdm:USDT": {"USDT": 1000000}})
        result = play({PERP: contract("linear", [1, 1], tiers=table)}, terms, [market(PERP, contracts)])
        assert result["wallets"][1]["usdm:USDT"].maintenance == Fraction(expected)


def test_isolated_short_below_the_mark_pays_its_open_loss() -> None:
    """1 BTC sold at 9,253.30 with the mark at 9,259.84, 20x: 462.665 and the open loss of 6.54."""
    perp = contract("linear", ["9253.3"] * 2, mark=["9259.84"] * 2, tiers=[[0, "0.004", 0, 125]])
    terms = account("isolated", {"usdm:USDT": {"USDT": 1000}}, isolated=[PERP])
    assert rows(play({PERP: perp}, terms, [market(PERP, -1)]), "isolated") == [
        -in_steps("469.205"), in_steps("469.205"),
    ]  # fmt: skip
    assert rows(play({PERP: perp}, terms, [market(PERP, 1)]), "isolated")[1] == in_steps("462.665")


def test_fees_of_both_kinds_of_contract() -> None:
    """1 BTC at 10,104 and 0.05 %: 5.052. Ten inverse contracts of 100 USD there: 0.0000494853..., in steps 4949."""
    pair = {PERP: contract("linear", [10104] * 2, taker="0.0005")}
    pair[COIN] = contract("inverse", [10104] * 2, taker="0.0005", size=100)
    terms = account("cross", {"usdm:USDT": {"USDT": 1000}, "coinm:BTC": {"BTC": 1}})
    assert rows(play(pair, terms, [market(PERP, 1), market(COIN, 10)]), "fee") == [-in_steps("5.052"), -4949]


def test_profit_of_an_inverse_long() -> None:
    """One contract of 100 USD, 11,707.70000003 to 11,788.66626667: 0.0000586635 BTC; the cost is kept in steps."""
    coin = contract("inverse", ["11707.70000003"] * 2 + ["11788.66626667"], size=100)
    result = play({COIN: coin}, account("cross", {"coinm:BTC": {"BTC": 1}}), [market(COIN, 1)])
    price = Fraction("11788.66626667")
    assert result["cost"][COIN] == -854139  # 100 / 11,707.70000003 = 0.00854138729
    profit = result["wallets"][2]["coinm:BTC"].collateral / price - 1
    assert profit == Fraction("0.00854139") - 100 / price
    assert round(profit, 8) == Fraction("0.00005867")


def test_shared_collateral() -> None:
    """200 USDT at 0.9801 and 220 USDC in full: 416.02. 6,000 BTC at 20,000, in full to 100 million, then 97.5 %:
    119,500,000. A debt of 100 with a buffer of 1 %: −101."""
    tape = {SPOT: contract("spot", [20000, 20000])}
    wallets = {"USDT": asset([1, 1], [[0, "0.9801", 0]], "0.01"), "USDC": asset([1, 1])}
    wallets["BTC"] = asset([20000, 20000], [[0, 1, 0], [100000000, "0.975", -2500000]])
    for held, expected in (
        ({"USDT": 200, "USDC": 220}, "416.02"),
        ({"BTC": 6000}, "119500000"),
        ({"USDT": -100}, -101),
    ):
        result = play(tape, account("multi_asset", {"unified": held}), [], assets=wallets)
        assert result["wallets"][1]["unified"] == (Fraction(expected), 0, 0)


def test_requirement_of_a_shared_wallet_has_its_buffer() -> None:
    """2 contracts at 100: 200 / 20 = 10 initial and 200 × 5 % = 10 maintenance, each with a tenth on top."""
    wallets = {"USDT": asset([1, 1], need="0.1"), "BTC": asset([100, 100])}
    terms = account("portfolio", {"unified": {"USDT": 50}})
    result = play({PERP: contract("linear", [100, 100])}, terms, [market(PERP, 2)], assets=wallets)
    assert result["wallets"][1]["unified"] == (50, 11, 11)


def test_funding_paid_by_longs_received_by_shorts() -> None:
    """0.01 % on 2 × 100 is 0.02; short ten inverse contracts of 100 at 80: 12.5 BTC × 0.01 % = 0.00125 received."""
    pair = {PERP: contract("linear", [100] * 3), COIN: contract("inverse", [100] * 3, size=100)}
    terms = account("cross", {"usdm:USDT": {"USDT": 100}, "coinm:BTC": {"BTC": 5}})
    events = [
        {"bar": 2, "kind": "funding", "symbol": PERP, "rate": "0.0001", "mark": 100},
        {"bar": 2, "kind": "funding", "symbol": COIN, "rate": "0.0001", "mark": 80},
    ]
    late = [market(PERP, 5, 1)]  # filled at the stamp: does not pay
    result = play(pair, terms, [market(PERP, 2), market(COIN, -10), *late], events=events)
    assert rows(result, "funding") == [-in_steps("0.02"), in_steps("0.00125")]


def test_delivery_at_the_venue_price_with_its_fee() -> None:
    """Short 3 from 110, delivered at 104: 18 gained, 3 × 104 × 0.1 % = 0.312 paid; a late order is void."""
    dated = contract("linear", [110] * 4, expiry_bar=2, delivery_fee="0.001")
    events = [{"bar": 2, "kind": "delivery", "symbol": PERP, "price": 104}]
    terms = account("cross", {"usdm:USDT": {"USDT": 100}})
    result = play({PERP: dated}, terms, [market(PERP, -3), market(PERP, 1, 1)], events=events)
    assert result["balances"] == {"usdm:USDT": {"USDT": in_steps("117.688")}}
    assert result["contracts"] == {} and result["refused"] == []


def test_partial_close_and_flip() -> None:
    """3 bought for 303 (slippage 1 %); one sold at 118.80: releases 101, gains 17.80. Then five sold: the last two
    close at 118.80 for 35.60, three are short."""
    terms = account("cross", {"usdm:USDT": {"USDT": 200}}, slippage="0.01")
    orders = [market(PERP, 3), market(PERP, -1, 1), market(PERP, -5, 2)]
    result = play({PERP: contract("linear", [100, 100, 120, 120])}, terms, orders)
    assert rows(result, "realised") == [in_steps("17.8"), in_steps("35.6")]
    assert (result["contracts"], result["cost"]) == ({PERP: -3 * STEP}, {PERP: -in_steps("356.4")})


def test_isolated_partial_close_releases_its_share_after_profit() -> None:
    """4 at 100, 10x: 40 moved. One sold at 104: 4 gained go back with a quarter of 40; fees are the parent's."""
    perp = contract("linear", [100, 100, 104], taker="0.001")
    terms = account("isolated", {"usdm:USDT": {"USDT": 50}}, isolated=[PERP], leverage={PERP: 10})
    result = play({PERP: perp}, terms, [market(PERP, 4), market(PERP, -1, 1)])
    assert result["balances"][PERP] == {"USDT": in_steps("30")}
    assert result["balances"]["usdm:USDT"] == {"USDT": in_steps("23.496")}  # 50 − 40 − 0.4 + 14 − 0.104


def test_a_loss_is_borne_by_the_margin_of_what_is_closed() -> None:
    """4 at 100 on 40; at 95 half is sold: 10 lost of its 20, 10 go back, and the other half keeps its 20."""
    perp = contract("linear", [100, 100, 95])
    terms = account("isolated", {"usdm:USDT": {"USDT": 50}}, isolated=[PERP], leverage={PERP: 10})
    result = play({PERP: perp}, terms, [market(PERP, 4), market(PERP, -2, 1)])
    assert result["balances"][PERP] == {"USDT": in_steps("20")}
    assert result["balances"]["usdm:USDT"] == {"USDT": in_steps("20")}


def test_spot_purchase_draws_on_the_futures_wallet() -> None:
    """1 BTC at 100 with 40 in the spot wallet: 60 come over, 0.999 BTC arrive. A target of 0.5 sells 0.499."""
    pair = {SPOT: contract("spot", [100] * 3, taker="0.001"), PERP: contract("linear", [100] * 3)}
    terms = account("cross", {"spot": {"USDT": 40}, "usdm:USDT": {"USDT": 70}})
    orders = [market(SPOT, 1), {"bar": 1, "account": "a", "symbol": SPOT, "target": "0.5"}]
    result = play(pair, terms, orders)
    assert rows(result, "transfer") == [-in_steps("60"), in_steps("60")]
    assert result["balances"]["spot"] == {"BTC": in_steps("0.5"), "USDT": in_steps("49.8501")}
    assert result["balances"]["usdm:USDT"] == {"USDT": in_steps("10")}


def test_refused_for_want_of_margin_but_never_a_reduction() -> None:
    """60 stand behind 12 × 100 at 20x exactly; 13 do not. At 97 the 12 need 58.2 and 24 are left: more is refused,
    less is not. Leverage beyond the tier of the size is refused as well."""
    terms = account("cross", {"usdm:USDT": {"USDT": 60}}, level="0.1")
    perp = contract("linear", [100, 100, 97, 97])
    result = play(
        {PERP: perp}, terms, [market(PERP, 13), market(PERP, 12), market(PERP, "0.001", 1), market(PERP, -1, 1)]
    )
    assert (result["refused"], result["contracts"]) == ([0, 2], {PERP: 11 * STEP})
    steep = contract("linear", [100] * 2, tiers=[[0, "0.05", 0, 20], [500, "0.05", 0, 10]])
    assert play({PERP: steep}, terms, [market(PERP, "5.001"), market(PERP, 5)])["refused"] == [0]


def test_quantities_are_whole_lots_toward_zero() -> None:
    terms = account("cross", {"usdm:USDT": {"USDT": 900}})
    perp = contract("linear", [100] * 3, lot="0.1")
    orders = [market(PERP, "-1.99"), {"bar": 1, "account": "a", "symbol": PERP, "target": "0.15"}]
    assert play({PERP: perp}, terms, orders[:1])["contracts"] == {PERP: in_steps("-1.9")}
    assert play({PERP: perp}, terms, orders)["contracts"] == {PERP: in_steps("0.1")}


def test_money_under_way_is_equity_and_no_collateral() -> None:
    """30 leave at the open of bar 1 and arrive two bars later, 1 less; 29 + 70 remain."""
    sent = {"bar": 0, "account": "a", "asset": "USDT", "from": "spot", "to": "usdm:USDT", "amount": 30, "delay_bars": 2}
    terms = account("cross", {"spot": {"USDT": 100}}, transfer_cost=1)
    result = play({PERP: contract("linear", [100] * 4)}, terms, [], transfers=[sent])
    assert result["equity"] == [100, 99, 99, 99]
    assert [bar["usdm:USDT"].collateral for bar in result["wallets"]] == [0, 0, 0, 29]


def test_fewest_lots_that_save_the_wallet() -> None:
    """10 from 100 with 100 behind them, at 92: 20 left against 46. Each lot closed costs 0.92 and frees 4.60:
    3.68 × lots > 26, so eight. 100 − 8 × 8 − 7.36 = 28.64 remain."""
    perp = contract("linear", [100, 100, 92], lot=1, liquidation_fee="0.01")
    result = play({PERP: perp}, account("cross", {"usdm:USDT": {"USDT": 100}}), [market(PERP, 10)])
    assert result["balances"] == {"usdm:USDT": {"USDT": in_steps("28.64")}}
    assert (result["contracts"], result["cost"]) == ({PERP: 2 * STEP}, {PERP: 200 * STEP})
    assert (result["liquidations"], rows(result, "liquidation_fee")) == (1, [-in_steps("7.36")])


def test_the_fund_bears_what_is_missing() -> None:
    """10 from 100 at 88, half the spread 0.5 %: out at 87.56, −124.40, fee 8.756; of 100 nothing is left and
    33.156 are missing."""
    perp = contract("linear", [100, 100, 88], lot=1, liquidation_fee="0.01", half_spread="0.005")
    cross = play({PERP: perp}, account("cross", {"usdm:USDT": {"USDT": 100}}), [market(PERP, 10)])
    assert rows(cross, "insurance") == [in_steps("33.156")]
    assert cross["balances"] == {}
    terms = account("isolated", {"usdm:USDT": {"USDT": 150}}, isolated=[PERP], leverage={PERP: 10})
    apart = play({PERP: perp}, terms, [market(PERP, 10)])
    assert rows(apart, "insurance") == [in_steps("33.156")]
    assert apart["balances"] == {"usdm:USDT": {"USDT": in_steps("50")}}  # what was not moved is not touched


def test_isolated_position_cut_by_force_keeps_its_margin() -> None:
    """10 from 100 at 10x, 100 moved; at 94.70 there are 47 against 47.35. One lot closed costs 0.947 and needs 4.735
    less: 46.053 against 42.615. 100 − 5.30 − 0.947 = 93.753 stay in the wallet of the other nine."""
    perp = contract("linear", [100, 100, "94.7"], lot=1, liquidation_fee="0.01")
    terms = account("isolated", {"usdm:USDT": {"USDT": 100}}, isolated=[PERP], leverage={PERP: 10})
    result = play({PERP: perp}, terms, [market(PERP, 10)])
    assert result["balances"] == {PERP: {"USDT": in_steps("93.753")}}
    assert [row[4] for row in result["ledger"]][-2:] == ["realised", "liquidation_fee"]


def test_isolated_position_closed_whole_by_force_gives_back_the_rest() -> None:
    """At 91 there are 10 against 45.50. No lot less mends it: ten lots cost 9.10 and lose 90; 0.90 comes back."""
    perp = contract("linear", [100, 100, 91], lot=1, liquidation_fee="0.01")
    terms = account("isolated", {"usdm:USDT": {"USDT": 100}}, isolated=[PERP], leverage={PERP: 10})
    result = play({PERP: perp}, terms, [market(PERP, 10)])
    assert result["balances"] == {"usdm:USDT": {"USDT": in_steps("0.90")}}
    assert [row[4] for row in result["ledger"]][-4:] == ["liquidation_fee", "realised", "isolated", "isolated"]


def test_largest_position_goes_first() -> None:
    """Five short at 112 and three long at 95, both from 100: 25 are left against 28 + 14.25. Each short closed frees
    5.60, so four of them; the long is not touched."""
    rising, falling = contract("linear", [100, 100, 112], lot=1), contract("linear", [100, 100, 95], lot=1)
    terms = account("cross", {"usdm:USDT": {"USDT": 100}}, leverage={PERP: 20, "ETH/USDT:USDT": 20})
    result = play({PERP: rising, "ETH/USDT:USDT": falling}, terms, [market(PERP, -5), market("ETH/USDT:USDT", 3)])
    assert result["contracts"] == {PERP: -STEP, "ETH/USDT:USDT": 3 * STEP}
    assert (result["liquidations"], rows(result, "realised")) == (1, [-in_steps("48")])


def test_a_sale_of_collateral_is_not_guessed() -> None:
    """The long is gone at a loss of 150 with 100 USDT and a coin in the wallet: who sells the coin is not told."""
    terms = account("portfolio", {"unified": {"USDT": 100, "BTC": "0.5"}})
    with pytest.raises(Unmodelled, match="sold to repay USDT"):
        play({PERP: contract("linear", [100, 100, 85], lot=1)}, terms, [market(PERP, 10)])


@pytest.mark.parametrize("kind", ["calm", "liquidation"])
@pytest.mark.parametrize("seed", range(3))
def test_made_up_histories_repeat_and_their_books_close(seed: int, kind: str) -> None:
    """The ledger's rows add up to the balances, and the same seed tells the same story."""
    scenario = random_scenario(seed, kind)
    assert scenario == random_scenario(seed, kind)
    for result in run(scenario).values():
        sums: dict[tuple[str, str], int] = {}
        for _, _, wallet, coin, _, amount in result["ledger"]:
            sums[wallet, coin] = sums.get((wallet, coin), 0) + amount
        held = {(wallet, coin): x for wallet, coins in result["balances"].items() for coin, x in coins.items()}
        assert held == {key: x for key, x in sums.items() if x}
