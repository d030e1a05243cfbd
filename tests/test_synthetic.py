"""The sample store: the same bytes each time, small, and with every event of its story where the story says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from backtest.errors import InputError
from backtest.market.align import History, align
from backtest.market.store import Store, write_series
from backtest.market.synthetic import make_sample
from backtest.market.synthetic_story import stamp

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Prices:
    routes: Mapping[str, str | float] = field(default_factory=dict)
    wicks: bool = False
    gaps: str = "error"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample")
    make_sample(path)
    return path


def span(path: Path, symbols: list[str], assets: list[str], start: str, end: str) -> History:
    return align(Store(path), "binance", symbols, assets, stamp(start), stamp(end), "1h", Prices())


def digests(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_sample_is_made_of_the_same_bytes_each_time(made: Path, tmp_path: Path) -> None:
    make_sample(tmp_path)
    assert digests(tmp_path) == digests(made)


def test_a_sample_is_written_over_a_sample_and_over_nothing_else(tmp_path: Path) -> None:
    make_sample(tmp_path / "sample")
    make_sample(tmp_path / "sample")
    series = tmp_path / "real" / "binance" / "BTC-USDT" / "bars-1h.parquet"
    series.parent.mkdir(parents=True)
    hour = np.array([stamp("2024-01-01")])
    columns = {"time": hour} | dict.fromkeys(("open", "high", "low", "close", "volume"), np.ones(1))
    write_series(tmp_path / "real", "binance", "BTC/USDT", "bars-1h", columns, {"source": "an exchange"})
    before = series.read_bytes()
    with pytest.raises(InputError, match=r"binance/BTC-USDT/bars-1h\.parquet in .*real is not synthetic"):
        make_sample(tmp_path / "real")
    assert series.read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my own")
    with pytest.raises(InputError, match=r"mine holds README\.md; name an empty folder"):
        make_sample(tmp_path / "mine")
    with pytest.raises(InputError, match="is a file, not a folder"):
        make_sample(tmp_path / "mine" / "README.md")
    assert (tmp_path / "mine" / "README.md").read_text() == "my own"


def test_the_committed_sample_is_what_the_rule_makes(made: Path, sample_store: Path) -> None:
    assert digests(made).keys() == digests(sample_store).keys()
    for name in digests(made):
        if name.endswith(".parquet"):
            ours, theirs = (pq.ParquetFile(root / name) for root in (made, sample_store))
            assert ours.read().equals(theirs.read()), name
            if ours.metadata.created_by != theirs.metadata.created_by:
                continue  # another release of the writer: same prices, other bytes
        assert (made / name).read_bytes() == (sample_store / name).read_bytes(), name


def test_the_sample_stays_below_three_megabytes(made: Path) -> None:
    assert sum(file.stat().st_size for file in made.rglob("*") if file.is_file()) <= 3_000_000


def test_every_instrument_of_the_plan_is_there(made: Path) -> None:
    instruments = Store(made).instruments("binance")
    for coin in ("BTC", "ETH", "SOL"):
        assert {f"{coin}/USDT", f"{coin}/USDT:USDT", f"{coin}/USD:{coin}"} <= instruments.keys()
    assert {
        "WBETH/USDT",
        "USDC/USDT",
        "BTC/USDT:USDT-240329",
        "ETH/USDT:USDT-241227",
        "BTC/USD:BTC-241227",
    } <= instruments.keys()
    assert instruments["BTC/USD:BTC"].contract_size == 100
    assert instruments["ETH/USD:ETH"].contract_size == 10
    assert instruments["BTC/USDT:USDT-240329"].expiry_us == stamp("2024-03-29T08:00")  # the last Friday of March 2024


def test_prices_are_whole_ticks(made: Path) -> None:
    store = Store(made)
    for symbol, instrument in store.instruments("binance").items():
        bars = store.read("binance", symbol, "bars-1h")
        assert bars is not None
        for name in ("open", "high", "low", "close"):
            ticks = bars[name].astype(np.float64) / instrument.tick
            assert np.abs(ticks - np.round(ticks)).max() < 1e-4, symbol
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all(), symbol
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all(), symbol


def test_calm_weeks_pay_a_hundredth_of_a_per_cent_and_futures_stand_above_the_index(made: Path) -> None:
    future = "BTC/USDT:USDT-230630"
    history = span(made, ["BTC/USDT:USDT", future], ["BTC", "USDT"], "2023-03-01", "2023-04-01")
    assert np.mean(history.funding_rate) == pytest.approx(0.0001, rel=0.15)
    years = (stamp("2023-06-30T08:00") - history.time) / (365 * 24 * HOUR)
    basis = (history.mark_open[1] / (history.index_open[0] / history.index_open[1]) - 1) / years
    assert 0.05 < basis.mean() < 0.12


def test_the_basis_is_gone_at_expiry(made: Path) -> None:
    history = span(made, ["BTC/USDT:USDT-240329"], ["BTC", "USDT"], "2024-03-01", "2024-04-01")
    bar = int(history.delivery_bar[0])
    assert history.time[bar] == stamp("2024-03-29T08:00")
    last = history.mark_close[0, bar - 1]
    assert last == pytest.approx(history.index_close[0, bar - 1] / history.index_close[1, bar - 1], rel=3e-4)
    assert history.delivery_price[0] == pytest.approx(last, rel=0.01)
    assert not history.tradable[0, bar:].any()


def test_bitcoin_loses_45_per_cent_in_thirty_hours_and_shorts_pay(made: Path) -> None:
    history = span(made, ["BTC/USDT:USDT", "BTC/USDT:USDT-231229"], ["BTC"], "2023-08-14 12:00", "2023-08-15 18:00")
    assert history.index_close[0, -1] / history.index_open[0, 0] == pytest.approx(0.55, abs=0.005)
    assert history.funding_rate.min() < -0.001
    assert history.mark_close[1, -1] < history.index_close[0, -1]  # backwardation
    assert (history.low <= history.mark_low).all()
    assert (history.high >= history.mark_high).all()
    assert (history.mark_low[0] / history.low[0]).max() > 1.005  # a wick the mark never saw


def test_tether_loses_six_cents_and_finds_them_again(made: Path) -> None:
    history = span(made, ["BTC/USDT"], ["BTC", "USDT", "USDC"], "2023-05-09", "2023-05-15")
    assert history.index_close[1].min() == pytest.approx(0.94, abs=0.003)
    assert history.index_close[1, [0, -1]] == pytest.approx([1, 1], abs=0.003)
    assert history.index_close[2].min() > 0.995
    worst = int(history.index_close[1].argmin())
    assert history.close[0, worst] == pytest.approx(history.index_close[0, worst] / 0.94, rel=0.005)


def test_staked_ether_is_worth_a_third_less_for_a_day(made: Path) -> None:
    history = span(made, ["WBETH/USDT"], ["ETH", "WBETH"], "2024-04-19", "2024-04-23")
    ratio = history.index_close[1] / history.index_close[0]
    low = history.time[ratio < 0.72]
    assert ratio[0] == pytest.approx(1.045, abs=0.002)
    assert ratio.min() == pytest.approx(1.045 * 0.65, abs=0.002)
    assert (low[-1] - low[0]) // HOUR in range(22, 30)
    assert ratio[-1] == pytest.approx(1.045, abs=0.002)


def test_the_squeeze_adds_60_per_cent_in_two_weeks_and_longs_pay_dearly(made: Path) -> None:
    history = span(made, ["BTC/USDT:USDT"], ["BTC"], "2024-02-05", "2024-02-19")
    assert history.index_close[0, -1] / history.index_open[0, 0] == pytest.approx(1.6, abs=0.01)
    assert history.funding_rate[-9:].mean() > 0.0007


def test_solana_funding_goes_from_eight_hours_to_four_to_two_and_back(made: Path) -> None:
    history = span(made, ["SOL/USDT:USDT"], [], "2024-01-15", "2024-04-01")
    hours = np.diff(history.funding_time) // HOUR
    changes = hours[np.flatnonzero(np.diff(hours, prepend=0))]
    assert changes.tolist() == [8, 4, 2, 4, 8]


def test_solana_spot_misses_five_hours_and_its_perpetual_lists_in_april(made: Path) -> None:
    with pytest.raises(InputError, match=r"5 bars are missing .* 2023-06-20 03:00"):
        span(made, ["SOL/USDT"], [], "2023-06-01", "2023-07-01")
    history = span(made, ["SOL/USDT:USDT"], [], "2023-04-01", "2023-05-01")
    assert history.time[history.tradable[0]][0] == stamp("2023-04-12T09:00")
    assert history.funding_time[0] == stamp("2023-04-12T16:00")


def test_the_readme_tells_the_story(made: Path) -> None:
    text = (made / "README.md").read_text(encoding="utf-8")
    for word in ("depeg", "crash", "squeeze", "listed", "missing", "2023-08-14 12:00"):
        assert word in text
