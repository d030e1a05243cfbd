"""Examples of venues' texts that need no whole account: haircuts in bands, loans, inverse profits, funding paid.

Sources: OKX ukcamo.com/6126.html (O7) and its API samples (O4), Bybit's help pages and API samples (B5.34, B7),
www.deribit.com/docs/example-futures (D2), Hyperliquid's portfolio margin page (H3, H4, H6), two independent files of
Binance's funding payments (G34).
"""

from __future__ import annotations

import csv
import gzip
import os
from datetime import UTC, datetime, timedelta
from math import floor
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from test_arithmetic import Desk, asset, future

from backtest.margin.leaves import add_collateral_otherwise, counted
from backtest.span import Bars
from backtest.state import BORROW_INITIAL, BORROW_MAINTENANCE, DEBT_FEE, DEBTS_ARE_LOANS
from backtest.venues.in_brief import hyperliquid

pytestmark = [
    pytest.mark.jit_off,
    pytest.mark.skipif(
        os.environ.get("NUMBA_DISABLE_JIT") != "1", reason="asks single rules, which only run uncompiled"
    ),
]


def bands(*steps: tuple[float, float]) -> np.ndarray:
    """A collateral table [field, tier] of (floor, rate) bands; each offset makes the sum continuous at its floor."""
    table, offset, before = np.zeros((4, len(steps))), 0.0, steps[0][1]
    for k, (low, rate) in enumerate(steps):
        offset += low * (before - rate)
        table[:3, k], before = (low, rate, offset), rate
    return table


def truncated(value: float, digits: int) -> float:
    return floor(value * 10**digits) / 10**digits


def test_o7_28_eleven_million_usdt_count_10_3_million() -> None:
    """5 M in full, 5 M at 0.9 and 1 M at 0.8: 5 + 4.5 + 0.8."""
    usdt = bands((0.0, 1.0), (5e6, 0.9), (10e6, 0.8))
    assert counted(11e6, usdt, 1.0) == pytest.approx(10.3e6, rel=1e-15)


def test_o7_28_a_bitcoin_counts_50000_and_a_coin_at_rate_nothing_adds_nothing() -> None:
    assert counted(50_000.0, bands((0.0, 1.0)), 1.0) + counted(20_000.0, bands((0.0, 0.0)), 1.0) == 50_000.0


def test_b7_35_bitcoin_count_32_55_in_bands_of_quantity() -> None:
    """10 at 0.98, 0.95 and 0.90, then 0.85: 35 count 9.8 + 9.5 + 9 + 4.25."""
    coin = bands((0.0, 0.98), (10.0, 0.95), (20.0, 0.90), (30.0, 0.85))
    assert counted(35.0, coin, 1.0) == pytest.approx(32.55, rel=1e-14)


@pytest.mark.parametrize(("owed", "interest"), [(97.0, 0.0003960833333334), (100.0, 0.0004083333333334)])
def test_o7_29_an_hour_of_a_loan_costs_its_hourly_rate(owed: float, interest: float) -> None:
    """The printed rate is itself rounded, so the last printed digit may differ by one."""
    assert owed * 0.0000040833333333 == pytest.approx(interest, abs=1e-14)


def test_o4_an_isolated_loan_of_100_usdt_against_0_0019_bitcoin_is_covered_9_4_times() -> None:
    """Maintenance is 2 % of the debt and a fee of 0.1 % on 1.02 times it; everything in USDT, printed in bitcoin."""
    mark, debt = 62_891.9, 99.9998177776581948
    out, initial, maintenance = np.zeros(1), np.zeros(1), np.zeros(1)
    coin, term, due = np.zeros(7), np.zeros(14, dtype=np.int64), np.zeros(2)
    coin[BORROW_INITIAL], coin[BORROW_MAINTENANCE], due[DEBT_FEE], term[DEBTS_ARE_LOANS] = 0.10, 0.02, 0.001, 1
    one, span = np.ones(1), Bars(0, 0, 1)
    for amount, usd in ((np.array([0.00190433573]), one * mark), (np.array([-debt]), one)):
        add_collateral_otherwise(
            out, initial, maintenance, amount, usd, usd, span, bands((0.0, 1.0)), 1.0, coin, term, due
        )
    assert debt * 0.02 / mark == pytest.approx(0.0000318005395854, abs=1e-16)
    assert maintenance[0] == pytest.approx(debt * 0.02102, rel=1e-14)
    assert out[0] / maintenance[0] == pytest.approx(9.404143929947395, rel=1e-12)


def test_h3_ten_thousand_tokens_at_40_let_one_borrow_200000() -> None:
    assert hyperliquid.borrow_capacity(10_000.0, 40.0, 0.5) == 200_000.0


def test_h4_a_loan_of_100_locks_five_tokens_at_40() -> None:
    assert hyperliquid.locked_collateral(100.0, 40.0, 0.5) == 5.0


def test_h6_a_loan_of_250_against_ten_tokens_is_taken_over_in_part_at_33() -> None:
    """75 % of 330 is 247.50, less than 250."""
    assert hyperliquid.partial_threshold(0.5) * 10.0 * 33.0 == pytest.approx(247.5, rel=1e-14)


def test_h6_a_loan_of_250_stands_exactly_at_the_full_threshold_at_30() -> None:
    """5 / 6 of 300 is 250.00; the page takes 83.3 % and prints 249.90, by which the loan would be taken over."""
    assert hyperliquid.full_threshold(0.5) * 10.0 * 30.0 == pytest.approx(250.0, rel=1e-14)


@pytest.mark.parametrize(
    ("contracts", "size", "entry", "mark", "gain", "tolerance"),
    [(100, 10, 600.0, 700.0, 0.238095, 5e-7), (-300, 1, 27_464.50441675, 28_224.50, -0.00029413, 2e-8)],
    ids=["d2", "b5_34"],
)
def test_d2_b5_34_an_inverse_position_gains_its_dollars_at_entry_less_its_dollars_at_mark(
    contracts: int, size: int, entry: float, mark: float, gain: float, tolerance: float
) -> None:
    """1,000 / 600 - 1,000 / 700 = 0.238095; -(300 / 27,464.50 - 300 / 28,224.50) = -0.00029413, kept to 1e-8."""
    prices = [entry, entry, mark, mark]
    inverse = future("BTC", prices, 0.004) | {"kind": "inverse", "settle": "BTC", "size": size, "lot": 1}
    desk = Desk({"BTC/USD:BTC": inverse}, {"USDT": asset([1.0] * 4), "BTC": asset(prices)}, {"coinm": {"BTC": 1.0}})
    desk.order("BTC/USD:BTC", float(contracts))
    desk.live()
    assert desk.margin(2, "coinm", "BTC")[0] / mark - 1.0 == pytest.approx(gain, abs=tolerance)


def test_g34_all_1095_bitcoin_fundings_of_2023_agree_between_two_independent_files(reference_data: Path) -> None:
    """One file is in UTC+3, the other in London's local time, a row's rate being the payment at its start.

    Stamps of the first are some milliseconds late.
    """
    first: dict[datetime, float] = {}
    text = (reference_data / "binance" / "funding_BTC-USDT_binance_2020-2023.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        when = datetime.fromisoformat(row["Date"]).replace(microsecond=0, tzinfo=UTC) - timedelta(hours=3)
        if when.year == 2023:
            first[when] = float(row["Funding Rate"])
    second: dict[datetime, float] = {}
    packed = reference_data / "binance" / "aha_hh_8h_ohlc_funding_2023-01_2024-06.csv.gz"
    for row in csv.DictReader(gzip.decompress(packed.read_bytes()).decode().splitlines()):
        when = datetime.fromisoformat(row["time"]).replace(tzinfo=ZoneInfo("Europe/London")).astimezone(UTC)
        linear = row["crypto"] == "bitcoin" and row["contract"] == "perpetual" and not row["pair"].endswith("USDCM")
        if row["exchange"] == "binance" and linear and when.year == 2023:
            second[when] = float(row["funding rate"])
    assert len(first) == 1095
    assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize(
    "spot, perpetual, basis_points",
    [(0.0, 0.0, 0.0), (0.0225, 0.0018, 4.86), (0.045, 0.0072, 10.44), (0.0675, 0.0144, 16.38)],
)
def test_f1_a_carry_trade_in_and_out_pays_spot_and_perpetual_twice(
    spot: float, perpetual: float, basis_points: float
) -> None:
    """Percent one way of He et al.'s four fee tiers; a percent is 100 basis points."""
    assert 2.0 * (spot + perpetual) * 100.0 == pytest.approx(basis_points, abs=1e-12)
