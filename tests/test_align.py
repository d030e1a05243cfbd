"""Prices, marks, index, funding and deliveries on one grid, against hand-made stores and hours that really happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_port import instrument

from backtest.errors import InputError
from backtest.market.align import History, align
from backtest.market.schema import Instrument
from backtest.market.settlements import missing_stamps
from backtest.market.store import Store, write_instruments, write_series
from backtest.research.run import Asked, delivery_average_us
from backtest.venues.load import load

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 19_723 * DAY  # 2024-01-01 00:00 UTC: 54 years of 365 days and 13 leap days since 1970


@dataclass(frozen=True)
class Prices:
    routes: Mapping[str, str | float] = field(default_factory=dict)
    wicks: bool = False
    gaps: str = "error"


@dataclass(frozen=True)
class Funding:
    inside: str = "refuse"
    missing: str = "error"


SPOT = Instrument("BTC/USDT", "spot", "BTC", "USDT", "USDT", 1.0, 0.01, 1e-5, 5.0, None, None, None, "hand")
PERP = Instrument("BTC/USDT:USDT", "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 5.0, None, None, None, "hand")


def dated(expiry_us: int, symbol: str = "BTC/USDT:USDT-240101") -> Instrument:
    return Instrument(symbol, "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 5.0, None, expiry_us, None, "hand")


class Shop:
    """A store being filled by hand; bars are (open, high, low, close, volume) an hour."""

    def __init__(self, path: Path, instruments: list[Instrument]) -> None:
        self.path = path
        write_instruments(path, "binance", instruments)

    def put(self, symbol: str, series: str, rows: Sequence[tuple[float, ...]], start: int = START, step: int = HOUR,
            skip: tuple[int, ...] = ()) -> Shop:  # fmt: skip
        keep = [k for k in range(len(rows)) if k not in skip]
        names = {1: ("close",), 4: ("open", "high", "low", "close"), 5: ("open", "high", "low", "close", "volume")}
        columns: dict[str, Any] = {"time": np.array([start + k * step for k in keep], dtype=np.int64)}
        for n, name in enumerate(names[len(rows[0])]):
            columns[name] = np.array([rows[k][n] for k in keep], dtype=np.float64)
        write_series(self.path, "binance", symbol, series, columns, {"source": "hand"})
        return self

    def fund(self, stamps: list[int], symbol: str = "BTC/USDT:USDT", **more: list[float]) -> Shop:
        columns: dict[str, Any] = {
            "time": np.array(stamps, dtype=np.int64),
            "funding_rate": np.full(len(stamps), 0.0001),
        }
        columns |= {name: np.array(values, dtype=np.float64) for name, values in more.items()}
        write_series(self.path, "binance", symbol, "funding", columns, {"source": "hand"})
        return self

    def align(self, symbols: list[str], hours: int, assets: tuple[str, ...] = (), prices: Prices = Prices(),
              funding: Funding = Funding(), start: int = START, interval: str = "1h",
              **more: Any) -> History:  # fmt: skip
        span = start, start + hours * HOUR, interval
        return align(Store(self.path), "binance", symbols, assets, *span, prices, funding, **more)


def flat(hours: int, price: float = 100.0) -> list[tuple[float, ...]]:
    return [(price, price, price, price, 10.0)] * hours


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, [SPOT, PERP, dated(START + 8 * HOUR)])


# ---------------------------------------------------------------- marks


def test_stored_mark_candles_are_used_as_they_are(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", [(100, 120, 50, 101, 7)]).put(PERP.symbol, "mark-1h", [(99, 104, 96, 100)]).fund(
        [START]
    )
    history = shop.align([PERP.symbol], 1)
    assert history.mark_source == ("mark",)
    marks = (history.mark_open, history.mark_high, history.mark_low, history.mark_close)
    assert [float(each[0, 0]) for each in marks] == [99, 104, 96, 100]
    assert (history.worst_low[0, 0], history.worst_high[0, 0]) == (96, 104)
    assert (history.low[0, 0], history.volume[0, 0]) == (50, 7)


def test_a_mark_low_made_of_closes_is_the_kinder_of_perp_low_and_scaled_spot_low(shop: Shop) -> None:
    # Second hour: spot closes at 100, its low is 80; mark closes at 110, so spot's low is 88 in the mark's terms.
    shop.put(PERP.symbol, "bars-1h", [(100, 100, 100, 100, 1), (100, 150, 60, 108, 1)])
    shop.put(SPOT.symbol, "bars-1h", [(100, 100, 100, 100, 1), (100, 120, 80, 100, 1)])
    shop.put(PERP.symbol, "mark-1h", [(100,), (110,)]).fund([START])
    history = shop.align([PERP.symbol], 2)
    assert history.mark_source == ("mark-close proxy",)
    assert history.mark_open[0, 1] == 100  # the close of the hour before
    assert history.mark_low[0, 1] == pytest.approx(88)  # max(60, 80 × 110 / 100)
    assert history.mark_high[0, 1] == pytest.approx(132)  # min(150, 120 × 110 / 100)
    assert (history.worst_low[0, 1], history.worst_high[0, 1]) == (60, 150)
    assert any("proxy" in note for note in history.notes)


def test_proxy_extremes_are_widened_to_hold_the_mark_open_and_close(shop: Shop) -> None:
    # The perp traded 100 to 101 only, but the mark went from 90 to 105.
    shop.put(PERP.symbol, "bars-1h", [(100, 101, 100, 101, 1)] * 2).put(PERP.symbol, "mark-1h", [(90,), (105,)]).fund(
        [START]
    )
    history = shop.align([PERP.symbol], 2)
    assert (history.mark_low[0, 1], history.mark_high[0, 1]) == (90, 105)
    assert (history.worst_low[0, 1], history.worst_high[0, 1]) == (90, 105)


def test_without_spot_the_proxy_uses_the_perps_own_extremes(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", [(100, 110, 95, 100, 1)] * 2).put(PERP.symbol, "mark-1h", [(100,), (100,)]).fund(
        [START]
    )
    history = shop.align([PERP.symbol], 2)
    assert (history.mark_low[0, 1], history.mark_high[0, 1]) == (95, 110)


def test_true_candles_overrule_closes_where_they_cover(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", [(100, 110, 90, 100, 1)] * 2).put(PERP.symbol, "mark-1h", [(100,), (100,)])
    shop.put(PERP.symbol, "mark-ohlc-1h", [(99, 103, 97, 100)], start=START + HOUR).fund([START])
    history = shop.align([PERP.symbol], 2)
    assert history.mark_low[0].tolist() == [90, 97]
    assert history.mark_open[0, 1] == 99


def test_without_any_mark_last_prices_serve_and_the_notes_say_so(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", [(100, 110, 90, 105, 1)] * 2).fund([START])
    history = shop.align([PERP.symbol], 2)
    assert history.mark_source == ("last",)
    assert history.mark_low[0, 0] == 90
    assert any("last prices used as mark" in note for note in history.notes)


def test_spot_is_margined_on_the_body_of_its_candle_unless_wicks_are_wanted(shop: Shop) -> None:
    shop.put(SPOT.symbol, "bars-1h", [(100, 110, 90, 105, 1)])
    history = shop.align([SPOT.symbol], 1)
    assert (history.mark_source, history.mark_low[0, 0], history.mark_high[0, 0]) == (("spot",), 100, 105)
    assert shop.align([SPOT.symbol], 1, prices=Prices(wicks=True)).mark_low[0, 0] == 90


# ---------------------------------------------------------------- gaps, listing, end


def test_a_missing_bar_is_refused_by_name_time_count_and_cure(shop: Shop) -> None:
    shop.put(SPOT.symbol, "bars-1h", flat(10), skip=(4, 5, 7))
    with pytest.raises(InputError) as refusal:
        shop.align([SPOT.symbol], 10)
    for word in ("BTC/USDT bars-1h", "3 bars", "2024-01-01 04:00", '[prices] gaps = "hold"'):
        assert word in str(refusal.value)


def test_a_held_bar_keeps_the_last_price_and_cannot_be_traded(shop: Shop) -> None:
    shop.put(SPOT.symbol, "bars-1h", [(100, 110, 90, 105, 9), (1, 1, 1, 1, 1), (107, 108, 106, 107, 9)], skip=(1,))
    history = shop.align([SPOT.symbol], 3, prices=Prices(gaps="hold"))
    assert (history.open[0, 1], history.low[0, 1], history.close[0, 1], history.volume[0, 1]) == (105, 105, 105, 0)
    assert history.tradable[0].tolist() == [True, False, True]
    assert any("1 bar is missing, the first at 2024-01-01 01:00" in note for note in history.notes)


def test_a_series_that_ends_early_is_a_gap_and_one_that_begins_late_is_a_listing(shop: Shop) -> None:
    shop.put(SPOT.symbol, "bars-1h", flat(3, 50.0), start=START + 2 * HOUR)
    history = shop.align([SPOT.symbol], 5)
    assert history.tradable[0].tolist() == [False, False, True, True, True]
    assert history.close[0, 0] == 50
    assert any("taken as its first bar, 2024-01-01 02:00" in note for note in history.notes)
    with pytest.raises(InputError, match="2024-01-01 05:00"):
        shop.align([SPOT.symbol], 6)


def test_a_delivered_future_is_held_at_its_last_price_and_no_longer_trades(shop: Shop) -> None:
    future = dated(START + 8 * HOUR)
    shop.put(future.symbol, "bars-1h", [*flat(7, 101.0), (101, 103, 101, 102, 1)]).put(SPOT.symbol, "bars-1h", flat(12))
    history = shop.align([future.symbol], 12)
    assert history.tradable[0].tolist() == [True] * 8 + [False] * 4
    assert history.close[0, 8:].tolist() == [102] * 4


def test_bars_are_made_of_finer_ones_only_when_all_are_there(shop: Shop) -> None:
    quarter = [(100, 100, 100, 100, 1), (100, 130, 95, 120, 2), (120, 125, 80, 90, 3), (90, 99, 90, 95, 4)]
    shop.put(SPOT.symbol, "bars-1h", quarter * 2, skip=(6,))
    history = shop.align([SPOT.symbol], 4, interval="4h")
    candle = (history.open, history.high, history.low, history.close, history.volume)
    assert [float(each[0, 0]) for each in candle] == [100, 130, 80, 95, 10]
    assert any("made of whole bars-1h" in note for note in history.notes)
    with pytest.raises(InputError, match="bars-4h: 1 bar is missing"):
        shop.align([SPOT.symbol], 8, interval="4h")


# ---------------------------------------------------------------- index


def test_an_index_in_dollars_comes_before_a_spot_pair(shop: Shop) -> None:
    shop.put("BTC/USD", "index-1h", [(99, 100, 90, 98)]).put(SPOT.symbol, "bars-1h", flat(1))
    history = shop.align([], 1, ("BTC",))
    assert history.index_source == ("index:BTC/USD",)
    assert (history.index_low[0, 0], history.index_close[0, 0]) == (90, 98)


def test_a_spot_pair_is_carried_to_dollars_by_its_quotes_index(shop: Shop) -> None:
    shop.put(SPOT.symbol, "bars-1h", [(100, 110, 80, 90, 1)]).put("USDT/USD", "index-1h", [(1.0, 1.0, 0.94, 0.95)])
    history = shop.align([], 1, ("BTC", "USDT"))
    assert history.index_source == ("spot:BTC/USDT×USDT", "index:USDT/USD")
    assert history.index_open[0, 0] == 100
    assert history.index_close[0, 0] == pytest.approx(85.5)  # 90 × 0.95
    assert history.index_low[0, 0] == pytest.approx(84.6)  # the body's 90 × 0.94, not the wick's 80
    wicks = shop.align([], 1, ("BTC",), Prices(wicks=True))
    assert wicks.index_low[0, 0] == pytest.approx(75.2)  # 80 × 0.94


def test_a_stablecoin_without_a_price_is_a_flagged_dollar_and_a_coin_without_one_is_refused(shop: Shop) -> None:
    history = shop.align([], 1, ("USDT", "USD"))
    assert history.index_source == ("constant 1.0", "constant 1.0")
    assert any("USDT" in note and "constant 1.0" in note for note in history.notes)
    with pytest.raises(InputError, match="DOGE/USDT"):
        shop.align([], 1, ("DOGE",))


def test_declared_routes_overrule_and_a_circle_is_refused(shop: Shop) -> None:
    shop.put("BTC/USD", "index-1h", flat_index(90)).put(SPOT.symbol, "bars-1h", flat(1))
    history = shop.align([], 1, ("BTC", "USDT"), Prices(routes={"BTC": "BTC/USDT", "USDT": 0.5}))
    assert history.index_source == ("spot:BTC/USDT×USDT", "constant 0.5")
    assert history.index_close[0, 0] == 50
    with pytest.raises(InputError, match="circle"):
        shop.align([], 1, ("BTC",), Prices(routes={"BTC": "BTC/USDT", "USDT": "BTC/USDT"}))
    with pytest.raises(InputError, match="BTC/USDT"):
        shop.align([], 1, ("BTC",), Prices(routes={"BTC": "BTC/USTD"}))


def flat_index(price: float, hours: int = 1) -> list[tuple[float, ...]]:
    return [(price, price, price, price)] * hours


# ---------------------------------------------------------------- funding


def test_funding_is_priced_at_the_marks_open_at_the_stamp(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(17))
    shop.put(PERP.symbol, "mark-1h", [(100 + k, 100 + k + 1, 100 + k, 100 + k + 1) for k in range(17)])
    history = shop.fund([START + k * 8 * HOUR for k in range(3)]).align([PERP.symbol], 17)
    assert history.funding_bar.tolist() == [0, 8, 16]
    assert history.funding_price.tolist() == [100, 108, 116]
    assert history.funding_flag.tolist() == [0, 0, 0]


def test_with_mark_closes_only_funding_takes_the_close_before_the_stamp(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(9)).put(PERP.symbol, "mark-1h", [(100.0 + k,) for k in range(9)])
    history = shop.fund([START, START + 8 * HOUR]).align([PERP.symbol], 9)
    assert (history.funding_price[1], history.funding_flag[1]) == (107, 1)


def test_a_mark_given_with_the_rate_is_the_price(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(9))
    history = shop.fund([START, START + 8 * HOUR], mark_price=[99.5, 101.25]).align([PERP.symbol], 9)
    assert (history.funding_price[1], history.funding_flag[1]) == (101.25, 3)


def test_a_stamp_a_second_late_is_on_the_boundary_and_a_later_one_is_not(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(9))
    history = shop.fund([START, START + 8 * HOUR + 1_000_000]).align([PERP.symbol], 9)
    assert history.funding_bar.tolist() == [0, 8]
    shop.fund([START, START + 8 * HOUR + 2_000_000])
    with pytest.raises(InputError, match="approximate"):
        shop.align([PERP.symbol], 9)


def test_stamps_inside_a_bar_go_to_the_next_open_when_approximation_is_declared(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", [(100.0 + k,) * 4 + (1.0,) for k in range(48)])
    shop.fund([START + k * 8 * HOUR for k in range(6)])
    with pytest.raises(InputError, match="2024-01-01 08:00"):
        shop.align([PERP.symbol], 48, interval="1d")
    history = shop.align([PERP.symbol], 48, interval="1d", funding=Funding(inside="approximate"))
    assert history.funding_bar.tolist() == [0, 1, 1, 1]  # 00:00; then 08:00 and 16:00 with the next midnight
    assert history.funding_flag.tolist() == [1, 2, 2, 1]
    assert history.funding_price[1] == 123  # the first day's close


def test_a_missing_funding_stamp_is_named_and_never_silently_zero(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(60)).fund([START + k * 8 * HOUR for k in (0, 1, 2, 4, 5, 6, 7)])
    with pytest.raises(InputError, match="2024-01-02 00:00"):
        shop.align([PERP.symbol], 60)
    history = shop.align([PERP.symbol], 60, funding=Funding(missing="zero"))
    assert len(history.funding_bar) == 7
    assert any("taken as zero" in note for note in history.notes)


def test_a_changing_funding_interval_is_no_hole_but_a_hole_in_it_is() -> None:
    pauses = [0] + [8] * 4 + [4] * 6 + [2] * 6 + [1] * 6 + [8] * 4
    stamps = np.cumsum(pauses).astype(np.int64) * HOUR
    assert len(missing_stamps(stamps, 0, int(stamps[-1]) + HOUR)) == 0
    holed = stamps[stamps != 44 * HOUR]  # one of the four-hourly ones, which run from 32 to 56 h
    assert missing_stamps(holed, 0, int(stamps[-1])).tolist() == [44 * HOUR]


def test_funding_that_stops_before_the_span_ends_is_missing(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(40)).fund([START + k * 8 * HOUR for k in range(3)])
    with pytest.raises(InputError, match=r"2 expected .* 2024-01-02 00:00"):
        shop.align([PERP.symbol], 40)


def test_a_perpetual_without_funding_is_refused(shop: Shop) -> None:
    with pytest.raises(InputError, match="no funding series"):
        shop.put(PERP.symbol, "bars-1h", flat(3)).align([PERP.symbol], 3)


# ---------------------------------------------------------------- delivery


def test_delivery_is_the_mean_of_the_last_half_hour_of_minutes(tmp_path: Path) -> None:
    # 2025-01-03 08:00: minutes 0..29 of the last hour at 90, 30..59 rising from 100 by 1; middles 100.5 … 129.5.
    start = 20_091 * DAY  # 2025-01-03
    future = dated(start + 8 * HOUR, "BTC/USDT:USDT-250103")
    shop = Shop(tmp_path, [future])
    shop.put(future.symbol, "bars-1h", flat(8), start=start).put(
        "BTC/USD", "index-1h", flat_index(500, 10), start=start
    )
    shop.put("USDT/USD", "index-1h", flat_index(0.5, 10), start=start)
    shop.put("USDT/USD", "index-1m", flat_index(0.5, 60), start=start + 7 * HOUR, step=HOUR // 60)
    minutes = [(90.0,) * 4] * 30 + [(100.0 + k, 101.0 + k, 100.0 + k, 101.0 + k) for k in range(30)]
    shop.put("BTC/USD", "index-1m", minutes, start=start + 7 * HOUR, step=HOUR // 60)
    history = shop.align([future.symbol], 10, start=start)
    assert history.delivery_bar.tolist() == [8]
    assert history.delivery_price[0] == pytest.approx(230)  # (100.5 + 129.5) / 2 dollars, at half a dollar a USDT
    assert "30 1m index bar(s) over the last 30 minutes" in history.delivery_source[0]


@pytest.mark.parametrize(
    ("venue", "symbol", "minutes"),
    [
        ("binance", "BTC/USDT:USDT-240329", 60),  # halved on 2024-11-11
        ("binance", "BTC/USDT:USDT-241227", 30),
        ("okx", "BTC/USDT:USDT-251226", 60),  # halved on 2026-03-18
        ("okx", "BTC/USDT:USDT-260327", 30),
        ("bybit", "BTC/USDT:USDT-240329", 30),
        ("deribit", "BTC/USD:BTC-240329", 30),
        ("hyperliquid", "BTC/USDC:USDC-240329", None),  # has no dated futures
    ],
)
def test_each_venue_averages_the_index_over_its_own_window_of_the_day(
    venue: str, symbol: str, minutes: int | None
) -> None:
    found = load(venue).delivery_average_us(instrument(symbol))
    assert found == (None if minutes is None else minutes * HOUR // 60)


@pytest.mark.parametrize(("venue", "price"), [("binance", 105.0), ("deribit", 110.0), ("nowhere", 110.0)])
def test_a_run_delivers_at_the_mean_of_its_venues_window(venue: str, price: float, tmp_path: Path) -> None:
    """The index is 100 until 07:30 and 110 after: the last hour's mean is 105, the last half hour's 110."""
    expiry = 19_811 * DAY + 8 * HOUR  # 2024-03-29 08:00
    future, start = dated(expiry, "BTC/USDT:USDT-240329"), expiry - 3 * HOUR
    shop = Shop(tmp_path, [future])
    shop.put(future.symbol, "bars-1h", flat(3), start=start).put("BTC/USD", "index-1h", flat_index(100, 5), start=start)
    minutes = flat_index(100, 150) + flat_index(110, 30)
    shop.put("BTC/USD", "index-1m", minutes, start=start, step=HOUR // 60)
    asked = Asked(Store(tmp_path), venue, [future.symbol], ["BTC", "USDT"])
    history = shop.align([future.symbol], 5, start=start, averaged_us=partial(delivery_average_us, asked))
    assert history.delivery_price.tolist() == [price]


def test_with_hourly_index_delivery_is_the_middle_of_the_last_hour_and_daily_bars_pay_it_next_midnight(
    shop: Shop,
) -> None:
    future = dated(START + 8 * HOUR)
    rows = [*flat_index(100, 7), (110.0, 200.0, 50.0, 112.0), *flat_index(999, 40)]
    shop.put(future.symbol, "bars-1h", flat(8)).put("BTC/USD", "index-1h", rows)
    hourly = shop.align([future.symbol], 12)
    assert (hourly.delivery_bar.tolist(), hourly.delivery_price.tolist()) == ([8], [111])
    daily = shop.align([future.symbol], 48, interval="1d")
    assert (daily.delivery_bar.tolist(), daily.delivery_price.tolist()) == ([1], [111])
    assert "approximation" in daily.delivery_source[0]


def test_an_inverse_future_is_delivered_in_dollars(tmp_path: Path) -> None:
    future = Instrument(
        "BTC/USD:BTC-240101", "inverse", "BTC", "USD", "BTC", 100, 0.1, 1, 100, None, START + 2 * HOUR, None, "hand"
    )
    shop = (
        Shop(tmp_path, [future])
        .put(future.symbol, "bars-1h", flat(2))
        .put("BTC/USD", "index-1h", flat_index(42_000, 3))
    )
    shop.put("USDT/USD", "index-1h", flat_index(0.94, 3))
    assert shop.align([future.symbol], 3).delivery_price.tolist() == [42_000]


# ---------------------------------------------------------------- activity, borrow, spans


def test_daily_activity_knows_past_whole_days_only(shop: Shop) -> None:
    # Days close at 100, 110, 99; the fourth day (all at 1 with a huge volume) must not be seen from within.
    rows = [row for price in (100.0, 110.0, 99.0) for row in flat(24, price)] + [(1.0, 1.0, 1.0, 1.0, 1e9)] * 24
    history = shop.put(SPOT.symbol, "bars-1h", rows).align([SPOT.symbol], 96)
    up, down = np.log(1.1), np.log(0.9)
    assert history.daily_volatility[0, 72:] == pytest.approx([np.sqrt((up**2 + down**2) / 2)] * 24)
    assert history.daily_volume[0, 72:] == pytest.approx([240] * 24)
    assert history.daily_volatility[0, 24] == 0.05
    assert any("48 bars have no two whole days before them" in note for note in history.notes)


def test_nothing_of_a_history_changes_when_its_future_is_cut_off(shop: Shop) -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    closes = 100 + np.cumsum(rng.standard_normal(200)) * 0.1
    rows = [(c, c + 1, c - 1, c, 5.0) for c in closes]
    shop.put(PERP.symbol, "bars-1h", rows).put(SPOT.symbol, "bars-1h", rows).put(
        PERP.symbol, "mark-1h", [(c,) for c in closes]
    )
    shop.fund([START + k * 8 * HOUR for k in range(25)])
    whole, short = (shop.align([PERP.symbol, SPOT.symbol], hours, ("BTC",)) for hours in (200, 120))
    for name in (
        "mark_open",
        "mark_low",
        "mark_high",
        "worst_low",
        "daily_volatility",
        "daily_volume",
        "index_low",
        "volume",
    ):
        assert np.array_equal(getattr(whole, name)[:, :120], getattr(short, name)), name
    cut = whole.between(START, START + 120 * HOUR)
    assert np.array_equal(cut.funding_price, short.funding_price)
    assert np.array_equal(cut.mark_close, short.mark_close)


def test_a_slice_counts_its_events_from_its_own_first_bar(shop: Shop) -> None:
    shop.put(PERP.symbol, "bars-1h", flat(24)).fund([START + k * 8 * HOUR for k in range(4)])
    history = shop.align([PERP.symbol], 24).between(START + 6 * HOUR, START + 20 * HOUR)
    assert len(history.time) == 14
    assert history.funding_bar.tolist() == [2, 10]
    with pytest.raises(InputError, match="no bar opens"):
        history.between(START, START + HOUR)


def test_borrow_rates_hold_until_the_next_one(shop: Shop) -> None:
    columns = {"time": np.array([START, START + 2 * HOUR]), "hourly_rate": np.array([1e-6, 3e-6])}
    write_series(shop.path, "binance", "USDT", "borrow", columns, {"source": "hand"})
    history = shop.align([], 4, ("USDT", "USD"))
    assert history.has_borrow.tolist() == [True, False]
    assert history.borrow_rate.tolist() == [[1e-6, 1e-6, 3e-6, 3e-6], [0, 0, 0, 0]]


@pytest.mark.parametrize(("hours", "words"), [(0, "at or before"), (-5, "at or before")])
def test_empty_and_reversed_spans_are_refused(shop: Shop, hours: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        shop.put(SPOT.symbol, "bars-1h", flat(3)).align([SPOT.symbol], hours)


def test_unknown_names_are_answered_with_the_nearest(shop: Shop) -> None:
    with pytest.raises(InputError, match="BTC/USDT"):
        shop.align(["BTC/USTD"], 1)
    with pytest.raises(InputError, match="binance"):
        align(Store(shop.path), "binanec", [], [], START, START + HOUR, "1h", Prices())
    with pytest.raises(InputError, match="twice"):
        shop.align([SPOT.symbol, SPOT.symbol], 1)


def test_linear_volumes_are_told_in_contracts(tmp_path: Path) -> None:
    hundredth = Instrument("BTC/USDT:USDT", "linear", "BTC", "USDT", "USDT", 0.01, 0.1, 1, 5, None, None, None, "hand")
    history = Shop(tmp_path, [hundredth]).put(PERP.symbol, "bars-1h", flat(2)).fund([START]).align([PERP.symbol], 2)
    assert history.volume[0].tolist() == [1000, 1000]  # 10 BTC of 0.01 BTC contracts


# ---------------------------------------------------------------- what really happened


def real(market_data: Path, tmp_path: Path, coin: str, start: str, end: str) -> Store:
    """A few weeks of one coin's spot, perpetual, mark and funding, brought into a store."""
    linear, spot = f"{coin}/USDT:USDT", f"{coin}/USDT"
    write_instruments(tmp_path, "binance", [
        Instrument(linear, "linear", coin, "USDT", "USDT", 1.0, 0.01, 0.001, 5.0, None, None, None, "real"),
        Instrument(spot, "spot", coin, "USDT", "USDT", 1.0, 0.01, 0.0001, 5.0, None, None, None, "real"),
    ])  # fmt: skip
    files = {
        (linear, "bars-1h"): f"um/{coin}USDT-1h", (linear, "mark-1h"): f"um/{coin}USDT-mark-1h",
        (linear, "funding"): f"um/{coin}USDT-funding", (spot, "bars-1h"): f"spot/{coin}USDT-1h",
    }  # fmt: skip
    for (symbol, series), name in files.items():
        table = pq.ParquetFile(market_data / "binance" / f"{name}.parquet").read()
        columns = {key: table[key].to_numpy() for key in table.schema.names}
        columns["time"] = columns["time"].astype("datetime64[us]").astype(np.int64)
        if series == "funding":
            columns["time"] = columns["time"] // 1_000_000 * 1_000_000
        keep = (columns["time"] >= at(start)) & (columns["time"] < at(end))
        write_series(
            tmp_path, "binance", symbol, series, {key: each[keep] for key, each in columns.items()}, {"source": "real"}
        )
    return Store(tmp_path)


def at(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def test_ether_on_19_may_2021_is_not_liquidated_by_the_perps_own_wick(market_data: Path, tmp_path: Path) -> None:
    # That hour: perp low 1,400.00, spot low 1,888.00, spot close and mark close as stored, near 2,485.
    store = real(market_data, tmp_path, "ETH", "2021-04-10", "2021-05-25")
    history = align(
        store,
        "binance",
        ["ETH/USDT:USDT"],
        ["ETH", "USDT"],
        at("2021-05-17"),
        at("2021-05-21"),
        "1h",
        Prices(),
        Funding(),
    )
    hour = int(np.searchsorted(history.time, at("2021-05-19T13:00")))
    mark = float(history.mark_close[0, hour])
    assert mark == pytest.approx(2485, abs=1)
    spot = float(history.index_close[0, hour])
    assert history.low[0, hour] == pytest.approx(1400, abs=1)
    assert history.mark_low[0, hour] == pytest.approx(1888 * mark / spot, rel=1e-6)
    assert history.worst_low[0, hour] == history.low[0, hour]
    assert history.index_low[0, hour] > 1888  # the body: collateral is not valued at the tip of a wick
    assert history.mark_source == ("mark-close proxy",)


def test_solana_paid_every_two_hours_in_november_2022(market_data: Path, tmp_path: Path) -> None:
    store = real(market_data, tmp_path, "SOL", "2022-09-15", "2022-12-31")
    history = align(
        store, "binance", ["SOL/USDT:USDT"], ["SOL"], at("2022-11-01"), at("2022-12-10"), "1h", Prices(), Funding()
    )
    pauses = np.diff(history.funding_time) // HOUR
    assert set(pauses.tolist()) >= {2, 8}
    assert (history.funding_flag == 1).all()


def test_six_years_of_hours_and_a_year_of_minutes_are_laid_on_their_grids_as_they_were_stored(tmp_path: Path) -> None:
    hours, minutes = 6 * 365 * 24, 365 * 24 * 60
    coins = [
        Instrument(f"C{k}/USDT", "spot", f"C{k}", "USDT", "USDT", 1, 0.01, 0.01, 5, None, None, None, "hand")
        for k in range(8)
    ]
    write_instruments(tmp_path, "binance", coins)
    path = 100 + np.cumsum(np.random.Generator(np.random.PCG64(3)).standard_normal(minutes)) * 1e-3
    for k, coin in enumerate(coins):
        for series, step, count in (("bars-1h", HOUR, hours), ("bars-1m", HOUR // 60, minutes if k < 2 else 0)):
            if count:
                columns = {"time": START + np.arange(count) * step, "volume": np.ones(count)}
                columns |= dict.fromkeys(("open", "high", "low", "close"), path[:count])
                write_series(tmp_path, "binance", coin.symbol, series, columns, {"source": "hand"})
    store = Store(tmp_path)
    for symbols, interval, step, count in (
        ([c.symbol for c in coins], "1h", HOUR, hours),
        (["C0/USDT", "C1/USDT"], "1m", HOUR // 60, minutes),
    ):
        history = align(store, "binance", symbols, ["C0"], START, START + count * step, interval, Prices())
        assert history.time.tolist() == list(range(START, START + count * step, step))
        assert np.array_equal(history.close, np.tile(path[:count], (len(symbols), 1)))
        assert history.tradable.all()
