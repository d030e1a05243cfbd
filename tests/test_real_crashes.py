"""Margin modes through four crashes, and what the product says of them worked out again by hand.

Forty ETH are deposited and all of them are short: who is asked for what, who dies, and at which price. Prices and
brackets are read from the raw files or typed in from the rule book; no expected number comes from a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from real_history import (
    STEP,
    Hold,
    bars,
    brackets,
    config,
    forced_price,
    hourly_marks,
    liquidation_price,
    maintenance,
    on_grid,
    past_activity,
    rates,
    utc,
)

import backtest
from backtest.market.importers.layout import import_layout
from backtest.research.compare import Comparison


@pytest.fixture(scope="module")
def store(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real history as a user would import it, in a folder that goes away."""
    folder = tmp_path_factory.mktemp("store")
    import_layout(market_data, folder, only=["BTC/USDT", "BTC/USD:BTC", "ETH/USDT", "ETH/USDT:USDT"])
    return folder


@dataclass(frozen=True)
class Crash:
    """A hedged long of deposited coins; what was charged, and where its prices are."""

    start: str
    end: str
    usdt: float
    leverage: float
    taker: float
    interval: str = "1h"
    counterfactual: bool = False

    @property
    def opens(self) -> pd.Timestamp:
        """The strategy looks every eight hours; what it orders then fills at the open."""
        return utc(self.start) + pd.Timedelta(hours=8)

    @property
    def file(self) -> str:
        return "ETHUSDT-5m-2025-10" if self.interval == "5m" else "ETHUSDT-1h"


COINS = 40.0
SLIPPAGE = 0.0002
VENUE_MODES = ["isolated", "cross", "multi_asset", "portfolio"]
CRASHES = {
    "May 2021": Crash("2021-04-20", "2021-06-01", 25_000.0, 5.0, 0.0004, counterfactual=True),
    "June 2022": Crash("2022-06-15", "2022-08-19", 15_000.0, 5.0, 0.0004),
    "November 2022": Crash("2022-11-06", "2022-11-30", 15_000.0, 5.0, 0.0004),
    "October 2025": Crash("2025-10-01", "2025-10-12", 20_000.0, 10.0, 0.0005, interval="5m"),
}
RALLIED = ["May 2021", "June 2022", "October 2025"]


@pytest.fixture(scope="module")
def compared(store: Path) -> Callable[[str], Comparison]:
    """Every margin mode side by side through a crash, run once."""

    @cache
    def through(name: str) -> Comparison:
        crash = CRASHES[name]
        return backtest.compare(
            config(
                store, crash.start, crash.end, {"ETH": COINS, "USDT": crash.usdt},
                "strategies.hedged_long:HedgedLong", {}, interval=crash.interval, margin="portfolio",
                leverage=crash.leverage, slippage_bps=1e4 * SLIPPAGE,
                rules={"outside": "nearest", "counterfactual": True} if crash.counterfactual else {},
            )
        )  # fmt: skip

    return through


@dataclass(frozen=True)
class ByHand:
    """The hedged long's prices, entry and funding, from the files."""

    spot: pd.DataFrame
    traded: pd.DataFrame
    mark: pd.DataFrame
    entry: float
    fee: float
    funding: pd.Series  # received, by settlement

    def paid_until(self, bar: pd.Timestamp) -> float:
        """Funding received up to a bar, rounded to steps as it is posted."""
        return float(self.funding[self.funding.index <= bar].round(8).sum())


def by_hand(crash: Crash, root: Path) -> ByHand:
    """Sold at the open less slippage; funding on the mark before the stamp, on what came into it."""
    start, end = utc(crash.start), utc(crash.end)
    step = pd.Timedelta(crash.interval.replace("m", "min"))
    spot, traded = (on_grid(bars(root, f"{market}/{crash.file}"), start, end, step) for market in ("spot", "um"))
    mark = hourly_marks(root, "ETHUSDT", start, end) if crash.interval == "1h" else traded
    entry = float(traded.loc[crash.opens, "open"]) * (1 - SLIPPAGE)
    rate = rates(root, "um/ETHUSDT")
    rate = rate[(rate.index > crash.opens) & (rate.index < end)]
    before = mark["close"].reindex(rate.index - step).set_axis(rate.index)
    return ByHand(spot, traded, mark, entry, COINS * entry * crash.taker, COINS * before * rate)


@pytest.mark.parametrize("name", CRASHES)
def test_the_same_hedge_ends_in_every_mode_with_its_coins_its_funding_and_what_the_short_made(
    name: str, compared: Callable[[str], Comparison], market_data: Path
) -> None:
    crash, comparison = CRASHES[name], compared(name)
    hand = by_hand(crash, market_data)
    fills = comparison.replay.fills
    assert (fills["contracts"] == -COINS).all() and fills["account"].tolist() == list(comparison.orders.columns)
    assert fills["price"].to_numpy() == pytest.approx(hand.entry, rel=1e-12)
    short = COINS * (hand.entry - hand.mark["close"].iloc[-1])
    ends = COINS * hand.spot["close"].iloc[-1] + crash.usdt + short + hand.funding.sum() - hand.fee
    equity = comparison.replay.account.groupby("account")["equity"].last()
    for mode in VENUE_MODES:
        assert equity[mode] == pytest.approx(ends, rel=1e-9)
    for model in ("generic scenarios", "generic tail"):  # its round fee is 0.05 %, whatever the year
        assert equity[model] == pytest.approx(ends + hand.fee - COINS * hand.entry * 0.0005, rel=1e-9)
    assert (comparison.orders.loc[["Liquidations", "Refusals"]].astype(int) == 0).all(axis=None)


@pytest.mark.parametrize("name", RALLIED)
def test_the_short_of_a_rally_dies_alone_where_wallets_are_apart_and_lives_where_the_coins_count(
    name: str, compared: Callable[[str], Comparison]
) -> None:
    signals, orders = compared(name).signals, compared(name).orders
    assert signals.loc["Survived", ["multi_asset", "portfolio"]].tolist() == ["yes", "yes"]
    assert (signals.loc["Liquidations", ["isolated", "cross"]].astype(int) > 0).all()
    # An isolated wallet holds notional / leverage; a cross one that and what is left over, so it dies later.
    breach = {mode: pd.Timestamp(orders.at["First Breach", mode]) for mode in ("isolated", "cross")}
    died = {mode: compared(name).runs[mode].liquidations["time"].iloc[0] for mode in breach}
    assert breach["isolated"] < breach["cross"]
    assert died == {mode: at.tz_localize("UTC") for mode, at in breach.items()}
    assert (orders.loc["First Breach", ["multi_asset", "portfolio"]] == "never").all()
    least = orders.loc["Least Capital"].astype(float)
    assert least["portfolio"] < least["multi_asset"] < least["cross"]


def test_a_short_through_the_fall_of_ftx_gains_in_every_mode_and_none_is_in_danger(
    compared: Callable[[str], Comparison],
) -> None:
    comparison = compared("November 2022")
    assert (comparison.signals.loc["Survived"] == "yes").all()
    ends = comparison.runs["isolated"].equity.iloc[-1]
    for mode in VENUE_MODES:
        assert comparison.runs[mode].equity.iloc[-1] == pytest.approx(ends, abs=1e-6)
    assert "traded alike" in comparison.verdict


@pytest.mark.parametrize("name", CRASHES)
def test_rules_that_were_not_the_venue_s_on_those_dates_are_labelled_in_every_mode_and_nowhere_else(
    name: str, compared: Callable[[str], Comparison]
) -> None:
    """In May 2021 there was no portfolio margin, and no bracket table of ETH from before February 2022 is known."""
    labelled = {note.split(":")[0] for note in compared(name).notes if "COUNTERFACTUAL" in note}
    assert labelled == ({f"account {mode}" for mode in VENUE_MODES} if CRASHES[name].counterfactual else set())
    suffix = " (counterfactual)" if CRASHES[name].counterfactual else ""
    for table in compared(name).tables().values():
        assert table.loc["Margin Mode", VENUE_MODES].tolist() == [mode + suffix for mode in VENUE_MODES]


def test_the_account_that_lost_its_hedge_in_the_rally_bears_the_whole_crash_of_october_2025(
    compared: Callable[[str], Comparison], market_data: Path
) -> None:
    """Cross buys the short back on the 6th and has no margin left for another; on the 10th it is 40 coins long."""
    spot = bars(market_data, "spot/ETHUSDT-5m-2025-10")["close"]
    perp = bars(market_data, "um/ETHUSDT-5m-2025-10")["close"]
    before, bottom = utc("2025-10-10 20:45"), utc("2025-10-10 21:15")
    fell, squeezed = spot[bottom] - spot[before], perp[bottom] - perp[before]
    equity = {mode: compared("October 2025").runs[mode].equity for mode in ("cross", "portfolio")}
    lost = {mode: path[bottom] - path[before] for mode, path in equity.items()}
    assert lost["cross"] == pytest.approx(COINS * fell, rel=1e-9) and lost["cross"] < -15_000
    assert lost["portfolio"] == pytest.approx(COINS * (fell - squeezed), rel=1e-7)  # the perpetual fell further


# Results by hand


def test_portfolio_margin_s_ratio_in_the_minutes_of_the_crash_of_october_2025_by_hand(
    compared: Callable[[str], Comparison], market_data: Path, reference_data: Path
) -> None:
    """uniMMR = (USDT + UPnL + 0.95 x 40 ETH) / (rate x 40 x mark - cum): PM, FAQ 4868b2f1aa6c. No marks of five minutes
    are stored: last prices stand in, and of the spot's candle the body counts.
    """
    crash = CRASHES["October 2025"]
    hand = by_hand(crash, market_data)
    table = brackets(reference_data, "ETH/USDT:USDT", "2025-10-10")
    bottom = hand.spot["low"].idxmin()
    cash = crash.usdt - hand.fee + hand.paid_until(bottom)

    def at(spot: float, perp: float) -> tuple[float, float]:
        return cash + COINS * (hand.entry - perp) + 0.95 * COINS * spot, maintenance(table, COINS * perp)

    spot, perp = hand.spot.loc[bottom], hand.traded.loc[bottom]
    body = sorted((spot["open"], spot["close"]))
    points = {
        "open": at(spot["open"], perp["open"]),
        "low": at(body[0], perp["low"]),
        "high": at(body[1], perp["high"]),
        "close": at(spot["close"], perp["close"]),
    }
    row = compared("October 2025").runs["portfolio"].account.set_index("time").loc[bottom]
    collateral, needed = points["close"]
    assert row["collateral_equity"] == pytest.approx(collateral, rel=1e-9)
    assert row["maintenance_margin"] == pytest.approx(needed, rel=1e-9)
    assert row["margin_ratio"] == pytest.approx(collateral / needed, rel=1e-9)
    assert row["worst_ratio"] == pytest.approx(min(c / m for c, m in points.values()), rel=1e-9)
    assert row["initial_margin"] == pytest.approx(COINS * perp["close"] / crash.leverage, rel=1e-9)
    assert row["worst_wallet"] == "unified"


def test_the_isolated_short_of_june_2022_is_bought_back_where_its_margin_ran_out_by_hand(
    compared: Callable[[str], Comparison], market_data: Path, reference_data: Path
) -> None:
    """Wallet: 40 x entry / 5 + open loss + funding. It breaks at the mark p at which wallet + 40 (entry - p) =
    rate x 40 p - cum. The price traded on the same share of the way from the bar's low to its high is paid, worse by
    1 bp and by sigma sqrt(Q / V); 1.25 % of that goes to the venue; the rest returns to the shared wallet. A cut of
    less would not do, for the fee is above the maintenance rate.
    """
    crash = CRASHES["June 2022"]
    hand = by_hand(crash, market_data)
    table = brackets(reference_data, "ETH/USDT:USDT", "2022-06-15")
    open_loss = COINS * max(0.0, hand.mark.loc[crash.opens, "open"] - hand.entry)
    allotted = COINS * hand.entry / crash.leverage + open_loss

    def least_ratio(bar: pd.Timestamp) -> float:
        wallet, marks = allotted + hand.paid_until(bar), hand.mark.loc[bar, ["open", "low", "high", "close"]]
        return min((wallet + COINS * (hand.entry - p)) / maintenance(table, COINS * p) for p in marks)

    died = next(bar for bar in hand.mark[crash.opens :].index if least_ratio(bar) <= 1.0)
    wallet, mark, traded = allotted + hand.paid_until(died), hand.mark.loc[died], hand.traded.loc[died]
    price = liquidation_price(wallet, -COINS, hand.entry, table)
    share = (price - mark["low"]) / (mark["high"] - mark["low"])
    volatility, volume = past_activity(bars(market_data, "um/ETHUSDT-1h"), died.floor("D"))
    paid = forced_price(traded["low"] + share * (traded["high"] - traded["low"]), COINS, volatility, volume)
    fee = 0.0125 * COINS * paid
    realised = COINS * (hand.entry - paid)

    result = compared("June 2022").runs["isolated"]
    incident = result.liquidations.iloc[0]
    assert mark["open"] < price and mark["low"] < price < mark["high"]
    assert incident["time"] == died and incident["contracts"] == COINS
    assert incident["collateral"] == pytest.approx(maintenance(table, COINS * price), rel=1e-9)
    assert incident["price"] == pytest.approx(paid, rel=1e-9)
    account = result.account.set_index("time")
    assert account.loc[died, "worst_ratio"] == pytest.approx(least_ratio(died), rel=1e-9)
    before = died - pd.Timedelta(hours=1)
    was = hand.mark.loc[before, "close"]
    held = allotted + hand.paid_until(before) + COINS * (hand.entry - was)
    assert account.loc[before, "margin_ratio"] == pytest.approx(held / maintenance(table, COINS * was), rel=1e-9)
    ledger = result.ledger[result.ledger["time"] == died].groupby("kind")["amount"].sum()
    assert ledger["realised"] == pytest.approx(realised, abs=2 * STEP)
    assert ledger["liquidation_fee"] == pytest.approx(-fee, abs=2 * STEP)
    left = wallet + realised - fee
    assert ledger.get("insurance", 0.0) == pytest.approx(max(0.0, -left), abs=1e-6)
    cash = crash.usdt - hand.fee + hand.paid_until(died) + realised - fee + max(0.0, -left)
    assert account.loc[died, "equity"] == pytest.approx(cash + COINS * hand.spot.loc[died, "close"], rel=1e-9)


def test_a_levered_long_dies_in_the_crash_of_october_2025_unless_its_coins_count_by_hand(
    store: Path, market_data: Path, reference_data: Path
) -> None:
    """80 ETH long on 40,000 dollars at 10x, beside 20 deposited coins. The cross wallet breaks at
    LP = (WB + cum - 80 entry) / (80 rate - 80), FAQ b3c689c1; what the forced sale and the clearance fee leave owing is
    the fund's. Portfolio margin counts the coins at 95 % and lives: 15 times its maintenance at the bottom.
    """
    size, usdt, coins, leverage = 80.0, 40_000.0, 20.0, 10.0
    start, end = "2025-10-09", "2025-10-12"
    comparison = backtest.compare(
        config(
            store, start, end, {"USDT": usdt, "ETH": coins}, Hold, {"contracts": {"ETH/USDT:USDT": size}},
            interval="5m", leverage=leverage, slippage_bps=1e4 * SLIPPAGE,
        ),
        modes=VENUE_MODES,
    )  # fmt: skip
    traded, spot = (
        bars(market_data, f"{market}/ETHUSDT-5m-2025-10")[utc(start) : utc(end) - pd.Timedelta(minutes=5)]
        for market in ("um", "spot")
    )
    table = brackets(reference_data, "ETH/USDT:USDT", "2025-10-10")
    opened = traded.index[1]
    entry = traded.loc[opened, "open"] * (1 + SLIPPAGE)
    rate = rates(market_data, "um/ETHUSDT")
    rate = rate[(rate.index > opened) & (rate.index < utc(end))]
    paid = (-size * traded["close"].reindex(rate.index - pd.Timedelta(minutes=5)).set_axis(rate.index) * rate).round(8)
    cash = (
        pd.Series(usdt - size * entry * 0.0005, index=traded.index[1:])
        + paid.reindex(traded.index[1:]).fillna(0.0).cumsum()
    )

    price = {bar: liquidation_price(wallet, size, entry, table) for bar, wallet in cash.items()}
    died = next(bar for bar in cash.index if traded.loc[bar, "low"] <= price[bar])
    assert traded.loc[died, "open"] > price[died]  # no gap: it is sold where it broke
    volatility, volume = past_activity(bars(market_data, "um/ETHUSDT-5m-2025-10"), died.floor("D"))
    sold_at = forced_price(price[died], -size, volatility, volume)
    realised, fee = size * (sold_at - entry), 0.0125 * size * sold_at
    owing = -(cash[died] + realised - fee)
    cross = comparison.runs["cross"]
    reduced, taken = (cross.incidents[cross.incidents["rung"] == rung].iloc[0] for rung in ("reduce", "takeover"))
    assert reduced["time"] == taken["time"] == died and reduced["contracts"] == -size
    assert reduced["price"] == pytest.approx(sold_at, rel=1e-9)
    assert reduced["collateral"] == pytest.approx(maintenance(table, size * price[died]), rel=1e-9)
    assert owing > 0 and taken["amount_usd"] == pytest.approx(owing, rel=1e-9)
    assert cross.ledger.query("kind == 'insurance'")["amount"].sum() == pytest.approx(owing, rel=1e-9)
    assert cross.equity.iloc[-1] == pytest.approx(coins * spot["close"].iloc[-1], rel=1e-9)  # the wallet is empty

    portfolio = comparison.runs["portfolio"]
    bottom = traded["low"].idxmin()
    body = min(spot.loc[bottom, "open"], spot.loc[bottom, "close"])
    low = traded.loc[bottom, "low"]
    collateral = cash[bottom] + size * (low - entry) + 0.95 * coins * body
    assert portfolio.stats["Lowest Margin Ratio"] == pytest.approx(
        collateral / maintenance(table, size * low), rel=1e-9
    )
    assert portfolio.stats["Lowest Margin Ratio At"] == bottom and portfolio.stats["Survived"] == "yes"
    ends = cash.iloc[-1] + size * (traded["close"].iloc[-1] - entry) + coins * spot["close"].iloc[-1]
    assert portfolio.equity.iloc[-1] == pytest.approx(ends, rel=1e-9)


def test_a_coin_margined_long_dies_in_june_2022_in_the_hour_of_the_published_liquidation_price(
    store: Path, market_data: Path
) -> None:
    """80,000 dollars of contracts on one bitcoin: LP = CM (B MMR + B) / (WB + CM B / EP), FAQ ceccfcfb, in the first
    bracket (up to 5 BTC, 0.4 %). No marks are stored: last prices stand in. What is owing in the end is the fund's.
    """
    contracts, wallet, face = 800.0, 1.0, 100.0
    start, end = "2022-06-09", "2022-06-20"
    result = backtest.run(
        config(store, start, end, {"BTC": wallet}, Hold, {"contracts": {"BTC/USD:BTC": contracts}}, leverage=20.0)
    )
    traded = on_grid(bars(market_data, "cm/BTCUSD_PERP-1h"), utc(start), utc(end))
    opened = traded.index[1]
    entry = traded.loc[opened, "open"]
    rate = rates(market_data, "cm/BTCUSD_PERP")
    rate = rate[(rate.index > opened) & (rate.index < utc(end))]
    before = traded["close"].reindex(rate.index - pd.Timedelta(hours=1)).set_axis(rate.index)
    paid = (-contracts * face / before * rate).round(8)
    cash = (
        wallet
        - contracts * face / entry * 0.0004
        + pd.Series([paid[paid.index <= bar].sum() for bar in traded.index[1:]], index=traded.index[1:])
    )

    price = face * (contracts * 0.004 + contracts) / (cash + face * contracts / entry)
    died = next(bar for bar in cash.index if traded.loc[bar, "low"] <= price[bar])
    assert traded.loc[died, "open"] > price[died] and contracts * face / price[died] <= 5.0

    def ratio(bar: pd.Timestamp, at: float) -> float:
        return float((cash[bar] + contracts * face * (1 / entry - 1 / at)) / (0.004 * contracts * face / at))

    account, first = result.account.set_index("time"), result.liquidations.iloc[0]
    assert first["time"] == died and first["ratio"] == pytest.approx(1.0, rel=1e-9)
    lowest = traded.loc[died, "low"]
    rounding = 3 * STEP / (0.004 * contracts * face / lowest)  # of cost, fee and funding, against maintenance
    assert account.loc[died, "worst_ratio"] == pytest.approx(ratio(died, lowest), abs=rounding)
    last = died - pd.Timedelta(hours=1)
    assert account.loc[last, "margin_ratio"] == pytest.approx(ratio(last, traded.loc[last, "close"]), abs=rounding)
    assert result.stats["End Equity"] == 0.0 and result.ledger.query("kind == 'insurance'")["amount"].sum() > 0


def test_the_least_capital_of_the_short_of_june_2022_lies_between_what_its_closes_and_its_highs_asked(
    compared: Callable[[str], Comparison], market_data: Path, reference_data: Path
) -> None:
    """Coins that back nothing count whole, and the wallet's start less the least it had to spare: balance and profit
    above the larger of 40 x mark / 5 and maintenance.
    """
    crash = CRASHES["June 2022"]
    hand = by_hand(crash, market_data)
    table = brackets(reference_data, "ETH/USDT:USDT", "2022-06-15")
    held = hand.mark[crash.opens :]
    cash = crash.usdt - hand.fee + np.array([hand.paid_until(bar) for bar in held.index])

    def least(marks: pd.Series) -> float:
        need = np.array([max(COINS * p / crash.leverage, maintenance(table, COINS * p)) for p in marks])
        spare = cash + COINS * (hand.entry - marks.to_numpy()) - need
        return float(COINS * hand.spot["open"].iloc[0] + crash.usdt - min(spare.min(), crash.usdt))

    reported = compared("June 2022").orders.at["Least Capital", "cross"]
    assert least(held["close"]) * (1 - 1e-9) <= reported <= least(held["high"]) * (1 + 1e-9)
