"""Outside files come in whole: every row once, at its own time in UTC, under the right contract."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.errors import InputError
from backtest.market.importers import Gap, Imported, microseconds, settled, terms
from backtest.market.importers.layout import import_layout
from backtest.market.importers.tidy import import_tidy
from backtest.market.importers.vision import import_vision
from backtest.market.store import Columns, Store

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC
PERP = "BTC/USDT:USDT"


def us(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def read(store: Path, symbol: str, series: str, venue: str = "binance") -> Columns:
    return Store(store).need(venue, symbol, series)


def at(columns: Columns, text: str, name: str) -> float:
    return float(columns[name][np.searchsorted(columns["time"], us(text))])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


# ---------------------------------------------------------------- times


def test_the_size_of_a_stamp_tells_its_unit() -> None:
    seconds = START // 1_000_000
    stamps = np.array([seconds, seconds * 10**3, seconds * 10**6, seconds * 10**9])
    assert microseconds(stamps).tolist() == [START] * 4
    assert microseconds(stamps[:3].astype(np.float64)).tolist() == [START] * 3
    assert microseconds(np.array([seconds + 0.25])).tolist() == [START + 250_000]


def test_settlement_stamps_are_put_on_their_second_and_on_a_minute_that_is_near() -> None:
    eight, second = START + 8 * HOUR, 1_000_000
    raw = np.array([eight + 16_000, eight - 16_000, eight + second, eight + 900_000, eight + 20 * second + 3_000])
    assert settled(raw).tolist() == [eight, eight, eight, eight, eight + 20 * second]


# ---------------------------------------------------------------- tidy tables


@pytest.mark.parametrize(
    ("venue", "base", "usd"),
    [("binance", "BTC", 100.0), ("deribit", "BTC", 10.0), ("okx", "ETH", 10.0), ("bybit", "BTC", 1.0)],
)
def test_an_inverse_contract_has_the_size_of_its_venue(venue: str, base: str, usd: float) -> None:
    made = terms(venue, f"{base}/USD:{base}", np.array([50_000.0]))
    assert made.contract_size == usd


def table(**other: Any) -> pd.DataFrame:
    """Three hourly bars under other people's column names."""
    columns = {
        "Date": [START // 1_000 + k * 3_600_000 for k in range(3)],
        "Open": [1.0, 2.0, 3.0],
        "High": [1.5, 2.5, 3.5],
        "Low": [0.5, 1.5, 2.5],
        "Close": [1.1, 2.1, 3.1],
        "Vol": [10, 20, 30],
    }
    return pd.DataFrame(columns | other)


MAP = {"time": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Vol"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_ones_own_comes_in_by_its_column_map(tmp_path: Path, store: Path, ending: str) -> None:
    file = tmp_path / f"mine.{ending}"
    table().to_csv(file, index=False) if ending == "csv" else table().to_parquet(file)
    done = import_tidy(file, store, "binance", "ABC/USDT", "bars-1h", MAP)
    # prices of one decimal, some dollars each: a tick is 0.1, and one coin is worth 1 to 10 of them
    note = "contract terms assumed from the prices: tick 0.1, lot 1"
    assert done == Imported("binance", "ABC/USDT", "bars-1h", 3, START, START + 2 * HOUR, (), file.name, note)
    columns = read(store, "ABC/USDT", "bars-1h")
    assert columns["time"].tolist() == [START, START + HOUR, START + 2 * HOUR]
    assert columns["volume"].tolist() == [10, 20, 30]
    terms = Store(store).instruments("binance")["ABC/USDT"]
    # Closes of one decimal; a lot of one coin is worth 3.1, between 1 and 10.
    assert (terms.tick, terms.lot, terms.source) == (0.1, 1.0, "assumed")


def test_written_times_without_a_zone_are_in_the_zone_given(store: Path) -> None:
    # New York is five hours behind UTC in January.
    frame = table(Date=["2023-12-31 19:00", "2023-12-31 20:00", "2023-12-31 21:00"])
    done = import_tidy(frame, store, "binance", PERP, "bars-1h", MAP, tz="America/New_York")
    assert (done.first_us, done.last_us) == (START, START + 2 * HOUR)
    with_zone = table(Date=pd.date_range("2024-01-01 01:00", periods=3, freq="h", tz="Europe/Paris"))
    assert import_tidy(with_zone, store, "binance", PERP, "bars-1h", MAP).first_us == START


def test_a_frame_indexed_by_time_comes_in_as_it_is(store: Path) -> None:
    index = pd.date_range("2024-01-01", periods=2, freq="8h", tz="UTC")
    frame = pd.DataFrame({"funding_rate": [0.0001, -0.0002], "ignored": ["a", "b"]}, index=index)
    import_tidy(frame, store, "binance", PERP, "funding")
    columns = read(store, PERP, "funding")
    assert sorted(columns) == ["funding_rate", "raw_time", "time"]
    assert columns["funding_rate"].tolist() == [0.0001, -0.0002]


def test_newest_first_is_turned_around_and_equal_rows_are_dropped(store: Path) -> None:
    twice = pd.concat([table(), table()]).iloc[::-1]
    done = import_tidy(twice, store, "binance", PERP, "bars-1h", MAP)
    assert done.rows == 3
    assert read(store, PERP, "bars-1h")["open"].tolist() == [1, 2, 3]


def test_rows_that_contradict_each_other_are_refused_with_their_stamp(store: Path) -> None:
    both = pd.concat([table(), table(Close=[1.1, 2.2, 3.1])])
    with pytest.raises(InputError, match=r"2024-01-01T01:00.* differ: close .*2\.1.* and .*2\.2"):
        import_tidy(both, store, "binance", PERP, "bars-1h", MAP)
    assert not (store / "binance").exists()


@pytest.mark.parametrize(
    ("frame", "mapping", "words"),
    [
        (table(), MAP | {"open": "Opne"}, "no column 'Opne'; did you mean 'Open'"),
        (table(), MAP | {"opne": "Open"}, "no column 'opne'; did you mean 'open'"),
        (table(), {"time": "Date"}, "needs 'open', 'high', 'low', 'close', 'volume', and the table has Date, Open"),
        (table(Open=["1", "x", "3"]), MAP, "row 2 of column 'Open' is 'x', not a number"),
        (table(Date=["2024-01-01", "soon", "2024-01-03"]), MAP, "does not hold times"),
        (table(Date=[START, None, START]), MAP, "row 2 has no time"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_words(
    store: Path, frame: pd.DataFrame, mapping: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        import_tidy(frame, store, "binance", PERP, "bars-1h", mapping)


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path, store: Path) -> None:
    table().to_csv(tmp_path / "mine.csv")
    with pytest.raises(InputError, match=r"no file .*mime\.csv; did you mean 'mine\.csv'"):
        import_tidy(tmp_path / "mime.csv", store, "binance", PERP, "bars-1h")
    with pytest.raises(InputError, match=r"no importer for \.xlsx"):
        import_tidy(tmp_path / "mine.xlsx", store, "binance", PERP, "bars-1h")


def test_importing_again_replaces_and_merging_joins(store: Path) -> None:
    import_tidy(table(), store, "binance", PERP, "bars-1h", MAP)
    before = Store(store).digest("binance", PERP, "bars-1h")
    import_tidy(table(), store, "binance", PERP, "bars-1h", MAP)
    assert Store(store).digest("binance", PERP, "bars-1h") == before
    later = table(Date=[START // 1_000 + k * 3_600_000 for k in (4, 5, 6)])
    done = import_tidy(later, store, "binance", PERP, "bars-1h", MAP, merge=True)
    assert (done.rows, done.gaps, done.missing) == (6, (Gap(START + 3 * HOUR, 1),), 1)
    assert import_tidy(later, store, "binance", PERP, "bars-1h", MAP).rows == 3
    with pytest.raises(InputError, match="differ: open"):
        import_tidy(later.assign(Open=9.0), store, "binance", PERP, "bars-1h", MAP, merge=True)


def test_mark_closes_are_not_merged_with_mark_candles(store: Path) -> None:
    import_tidy(table(), store, "binance", PERP, "mark-1h", MAP)
    only_closes = table()[["Date", "Close"]]
    with pytest.raises(InputError, match="the store has candles, the import closes only"):
        import_tidy(only_closes, store, "binance", PERP, "mark-1h", {"time": "Date", "close": "Close"}, merge=True)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            ["01/02/2024", "02/02/2024", "03/02/2024"],
            "row 1 of column 'Date' is '01/02/2024', and nobody can tell its day",
        ),
        (["2024-01-01", "02.01.2024", "2024-01-03"], "row 2 of column 'Date' is '02.01.2024'"),
        ([20240101, 20240102, 20240103], "the time of row 1 is 1970-08-23.* before 2009; .* dates as 2024-01-31"),
        ([45292.0, 45293.0, 45294.0], "the time of row 1 is 1970-01-01.* before 2009"),
        ([2024010100, 2024010101, 2024010102], "the time of row 1 is 2034-.* in the future"),
        ([-1, 0, 1], "the time of row 1 is 1969-12-31"),
        ([START + k * HOUR // 12 for k in range(3)], "row 2 .*00:05.* whole 1h; rows are 5m apart: .* bars-5m"),
        (
            [START + HOUR // 2 + k * HOUR for k in range(3)],
            "row 1 .* whole 1h; bars are labelled by their open, in UTC",
        ),
    ],
)
def test_times_that_are_not_what_they_seem_are_refused_with_the_cure(store: Path, times: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        import_tidy(table(Date=times), store, "binance", PERP, "bars-1h", MAP)
    assert not store.exists()


def test_days_are_not_taken_for_hours(store: Path) -> None:
    days = pd.DataFrame({"time": [START + k * DAY for k in range(12)], "close": 1.0})
    with pytest.raises(InputError, match="no two rows are 1h apart; rows are 1d apart: import them as index-1d"):
        import_tidy(days, store, "binance", "BTC/USD", "index-1h")


def test_a_year_that_comes_first_is_read_whatever_divides_it(store: Path) -> None:
    slashed = ["2024/01/01 00:00", "2024/01/01 01:00", "2024/01/01 02:00"]
    assert import_tidy(table(Date=slashed), store, "binance", PERP, "bars-1h", MAP).first_us == START


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("Close", [1.1, 0.0, 3.1], "row 2 is 0.0: close must be above zero"),
        ("Low", [0.5, 1.5, -2.5], "row 3 is -2.5: low must be above zero"),
        ("Open", [float("inf"), 2.0, 3.0], "row 1 is inf: open must be a finite number"),
        ("Vol", [10, -1, 10], "row 2 is -1.0: volume cannot be below zero"),
        ("Close", [1.1, None, 3.1], "row 2 is nan: close is missing; leave out rows without it"),
        ("High", [1.5, 1.0, 3.5], "row 2 is 1.0: the high is below the low"),
    ],
)
def test_prices_that_cannot_be_are_refused_by_row(store: Path, column: str, values: list[float], words: str) -> None:
    with pytest.raises(InputError, match=f"a frame: {words}"):
        import_tidy(table(**{column: values}), store, "binance", PERP, "bars-1h", MAP)
    assert not store.exists()


@pytest.mark.parametrize(
    ("venue", "symbol", "series", "words"),
    [
        ("../evil", PERP, "bars-1h", "venue '../evil' cannot name a folder"),
        ("", PERP, "bars-1h", "venue '' cannot name a folder"),
        ("binance", "../../evil", "index-1h", "'../../evil' is not a symbol"),
        ("binance", PERP, "index-1h", "an index is of a pair: write 'BTC/USDT'"),
        ("binance", "../USDT", "borrow", "'../USDT' is no asset"),
        ("binance", "BTC/USDT", "funding", "a spot pair, which has no funding; did you mean 'BTC/USDT:USDT'"),
        ("binance", "BTCUSDT", "bars-1h", "'BTCUSDT' is not a symbol; did you mean"),
    ],
)
def test_names_that_lead_out_of_the_store_or_do_not_fit_are_refused(
    store: Path, venue: str, symbol: str, series: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        import_tidy(table(), store, venue, symbol, series, MAP)
    assert not store.exists()


def test_assumed_terms_are_assumed_anew_when_prices_arrive(store: Path) -> None:
    rates = pd.DataFrame({"time": [START], "funding_rate": [0.0001]})
    import_tidy(rates, store, "binance", "ABC/USDT:USDT", "funding")
    assert Store(store).instruments("binance")["ABC/USDT:USDT"].tick == 1.0
    import_tidy(table(), store, "binance", "ABC/USDT:USDT", "bars-1h", MAP)
    # Closes 1.1, 2.1, 3.1; marks with more decimals do not make the tick finer.
    import_tidy(table(Close=[1.1234] * 3), store, "binance", "ABC/USDT:USDT", "mark-1h", MAP)
    assert Store(store).instruments("binance")["ABC/USDT:USDT"].tick == 0.1


def test_a_longer_series_replaced_by_a_shorter_one_is_said(store: Path) -> None:
    import_tidy(table(), store, "binance", PERP, "bars-1h", MAP)
    shorter = import_tidy(table().iloc[:1], store, "binance", PERP, "bars-1h", MAP)
    assert shorter.note == "REPLACED 3 rows, 2024-01-01T00:00 to 2024-01-01T02:00; --merge would have joined them"
    assert import_tidy(table(), store, "binance", PERP, "bars-1h", MAP).note == ""


def test_an_index_pair_and_a_borrow_rate_get_no_contract_terms(store: Path) -> None:
    import_tidy(table(), store, "binance", "BTC/USD", "index-1h", MAP)
    assert Store(store).instruments("binance") == {}
    import_tidy(table(), store, "binance", PERP, "bars-1h", MAP)
    rates = pd.DataFrame({"time": [START], "hourly_rate": [0.00001]})
    import_tidy(rates, store, "binance", "USDT", "borrow")
    assert list(Store(store).instruments("binance")) == [PERP]
    assert Store(store).symbols("binance") == ["BTC/USD", PERP, "USDT"]


# ---------------------------------------------------------------- the layout


def layout_file(root: Path, name: str, **columns: Any) -> None:
    path = root / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = pa.array([stamp // 1_000 for stamp in columns.pop("time")], pa.int64())
    pq.write_table(pa.table({"time": times.cast(pa.timestamp("ms", tz="UTC"))} | columns), path)


def five(count: int, volume: float = 1.0) -> dict[str, list[float]]:
    return {name: [100.0] * count for name in ("open", "high", "low", "close")} | {"volume": [volume] * count}


def test_a_layout_becomes_a_store_of_named_contracts(tmp_path: Path, store: Path) -> None:
    root = tmp_path / "outside"
    layout_file(root, "binance/spot/BTCUSDT-5m-2025-10", time=[START, START + HOUR // 12], **five(2))
    layout_file(root, "binance/um/BTCUSDT-1h", time=[START, START + HOUR], **five(2))
    layout_file(root, "binance/um/BTCUSDT-funding", time=[START + 16_000], funding_rate=[0.0001])
    layout_file(root, "binance/um/panel-1h", time=[START], symbol=["A"], **five(1))
    layout_file(root, "binance/cm/BTCUSD_PERP-1h", time=[START], **five(1), base_volume=[3.0])
    done = {(each.symbol, each.series): each for each in import_layout(root, store)}
    assert set(done) == {
        ("BTC/USDT", "bars-5m"), (PERP, "bars-1h"), (PERP, "funding"), ("BTC/USD:BTC", "bars-1h"),
    }  # fmt: skip
    assert done[PERP, "bars-1h"].source == "binance/um/BTCUSDT-1h.parquet"
    funding = read(store, PERP, "funding")
    assert (funding["time"].tolist(), funding["raw_time"].tolist()) == ([START], [START + 16_000])
    assert sorted(read(store, "BTC/USD:BTC", "bars-1h")) == ["close", "high", "low", "open", "time", "volume"]
    terms = Store(store).instruments("binance")
    inverse, linear = terms["BTC/USD:BTC"], terms[PERP]
    assert (inverse.kind, inverse.contract_size, inverse.settle, inverse.tick) == ("inverse", 100.0, "BTC", 0.1)
    assert (linear.tick, linear.lot, linear.min_notional, linear.listing_us) == (0.1, 0.001, 100.0, START)
    assert linear.source == "Binance exchangeInfo 2025-08-07"


def test_a_code_nobody_named_is_refused_and_can_be_named(tmp_path: Path, store: Path) -> None:
    root = tmp_path / "outside"
    layout_file(root, "binance/um/XYZUSDT-1h", time=[START], **five(1))
    with pytest.raises(InputError, match=r"no symbol is known for 'um/XYZUSDT'"):
        import_layout(root, store)
    done = import_layout(root, store, symbols={"um/XYZUSDT": "XYZ/USDT:USDT"})
    assert [each.symbol for each in done] == ["XYZ/USDT:USDT"]
    with pytest.raises(InputError, match="nothing to import"):
        import_layout(tmp_path / "elsewhere", store)


def test_micro_bitcoin_futures_expire_at_the_london_close_and_count_a_tenth_of_a_bitcoin(
    tmp_path: Path, store: Path
) -> None:
    dates = ["2024-06-28", "2024-12-27"]
    layout_file(
        tmp_path,
        "cme/MBT-1d",
        time=[START, START],
        symbol=["MBTM4", "MBTZ4"],
        expiry_date=dates,
        **five(2, volume=30.0),
    )
    done = import_layout(tmp_path, store)
    assert [each.symbol for each in done] == ["BTC/USD:USD-240628", "BTC/USD:USD-241227"]
    summer, winter = Store(store).instruments("cme").values()
    assert (summer.expiry_us, winter.expiry_us) == (us("2024-06-28T15:00"), us("2024-12-27T16:00"))
    assert (summer.kind, summer.contract_size, summer.settle) == ("linear", 0.1, "USD")
    assert "assumed" in summer.source
    assert read(store, "BTC/USD:USD-240628", "bars-1d", "cme")["volume"].tolist() == [pytest.approx(3.0)]


@pytest.fixture(scope="module")
def real(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], Imported]]:
    """The whole of the real layout, imported once."""
    path = tmp_path_factory.mktemp("real")
    return path, {(each.symbol, each.series): each for each in import_layout(market_data, path)}


def test_real_history_has_the_rows_and_holes_its_readme_says(
    real: tuple[Path, dict[tuple[str, str], Imported]],
) -> None:
    _, done = real
    spot, perpetual = done["BTC/USDT", "bars-1h"], done[PERP, "bars-1h"]
    # 7 single bars and runs of 5, 2, 3, 3, 2, 3, 4 and 2
    assert (spot.rows, spot.missing, len(spot.gaps)) == (54_112, 31, 15)
    assert Gap(us("2020-02-19T12:00"), 5) in spot.gaps
    assert (perpetual.rows, perpetual.missing) == (54_143, 0)
    assert done["SOL/USDT:USDT", "bars-1h"].gaps == (Gap(us("2022-02-26"), 72), Gap(us("2022-04-01"), 48))
    assert (done[PERP, "mark-1h"].rows, done[PERP, "mark-ohlc-1h"].rows) == (54_154, 9_980)
    assert (done[PERP, "bars-5m"].rows, done["ETH/USDT:USDT", "bars-5m"].rows) == (119_723, 8_928)
    assert (done["BTC/USD:BTC", "bars-1h"].missing, done["BTC/USD:BTC", "funding"].rows) == (284, 3_407)


def test_real_prices_stand_where_history_says(real: tuple[Path, dict[tuple[str, str], Imported]]) -> None:
    path, _ = real
    perpetual = read(path, PERP, "bars-1h")
    day = (perpetual["time"] >= us("2020-03-13")) & (perpetual["time"] < us("2020-03-14"))
    assert perpetual["low"][day].min() == 3621.81
    marks = read(path, PERP, "mark-1h")
    assert "open" not in marks
    assert {"open", "high", "low"} <= set(read(path, PERP, "mark-ohlc-1h"))
    sol = read(path, "SOL/USDT:USDT", "funding")
    november = (sol["time"] >= us("2022-11-10T02:00")) & (sol["time"] < us("2022-11-10T14:00"))
    assert set(np.diff(sol["time"][november])) == {2 * HOUR}
    assert sol["funding_rate"][november].min() == pytest.approx(-0.02)


def test_real_settlements_are_on_the_minute_and_keep_their_raw_stamp(
    real: tuple[Path, dict[tuple[str, str], Imported]],
) -> None:
    path, _ = real
    funding = read(path, PERP, "funding")
    assert len(funding["time"]) == 6_771
    assert (funding["time"] % (8 * HOUR)).max() == 0
    assert funding["raw_time"][np.searchsorted(funding["time"], us("2022-06-28"))] == us("2022-06-28T00:00:00.016")


def test_real_micro_futures_are_64_contracts(real: tuple[Path, dict[tuple[str, str], Imported]]) -> None:
    path, done = real
    assert sum(each.venue == "cme" for each in done.values()) == 64
    assert sum(each.rows for each in done.values() if each.venue == "cme") == 6_738
    assert Store(path).instruments("cme")["BTC/USD:USD-241227"].expiry_us == us("2024-12-27T16:00")


def test_real_history_imported_again_is_the_same_to_the_byte(market_data: Path, store: Path) -> None:
    chosen = {"BTC/USDT:USDT", "SOL/USDT"}
    first = import_layout(market_data, store, only=chosen)
    before = {each: (store / each).read_bytes() for each in Store(store).files()}
    assert import_layout(market_data, store, only=chosen) == first
    assert {each: (store / each).read_bytes() for each in Store(store).files()} == before
    assert [each.rows for each in import_layout(market_data, store, only=chosen, merge=True)] == [
        each.rows for each in first
    ]


# ---------------------------------------------------------------- the raw archive

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def line(stamp: int, close: str = "100.5") -> str:
    return f"{stamp},100.0,101.0,99.0,{close},7,0,0,0,0,0,0"


def archive(root: Path, folder: str, name: str, lines: list[str]) -> Path:
    """An archive file, zipped or plain by its name."""
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as target:
            target.writestr(name.replace(".zip", ".csv"), text)
    else:
        path.write_text(text)
    return path


UM, SPOT = "data/futures/um/monthly/klines/BTCUSDT/1h", "data/spot/monthly/klines/BTCUSDT/1h"
MS = START // 1_000


def test_months_with_and_without_header_in_both_units_become_one_series(tmp_path: Path, store: Path) -> None:
    archive(tmp_path, SPOT, "BTCUSDT-1h-2024-12.zip", [HEADER, line(MS), line(MS + 3_600_000)])
    archive(tmp_path, SPOT, "BTCUSDT-1h-2025-01.csv", [line(START + 2 * HOUR), line(START + 4 * HOUR)])
    (done,) = import_vision(tmp_path, store)
    assert (done.symbol, done.series, done.rows) == ("BTC/USDT", "bars-1h", 4)
    assert done.gaps == (Gap(START + 3 * HOUR, 1),)
    columns = read(store, "BTC/USDT", "bars-1h")
    assert columns["time"].tolist() == [START, START + HOUR, START + 2 * HOUR, START + 4 * HOUR]
    assert (columns["close"][0], columns["volume"][0]) == (100.5, 7)


@pytest.mark.parametrize(
    ("folder", "name", "symbol", "series"),
    [
        ("um/monthly/markPriceKlines/BTCUSDT/1h", "BTCUSDT-1h-2024-01.csv", PERP, "mark-1h"),
        ("um/monthly/indexPriceKlines/BTCUSDT/1h", "BTCUSDT-1h-2024-01.csv", "BTC/USDT", "index-1h"),
        ("um/monthly/premiumIndexKlines/BTCUSDT/1h", "BTCUSDT-1h-2024-01.csv", PERP, "premium-1h"),
        ("um/monthly/klines/BTCUSDT_240329/1h", "BTCUSDT_240329-1h-2024-01.csv", "BTC/USDT:USDT-240329", "bars-1h"),
        ("cm/monthly/klines/ETHUSD_PERP/1h", "ETHUSD_PERP-1h-2024-01.csv", "ETH/USD:ETH", "bars-1h"),
        ("cm/monthly/klines/BTCUSD_240329/1h", "BTCUSD_240329-1h-2024-01.csv", "BTC/USD:BTC-240329", "bars-1h"),
        ("cm/monthly/indexPriceKlines/BTCUSD/1h", "BTCUSD-1h-2024-01.csv", "BTC/USD", "index-1h"),
    ],
)
def test_the_path_of_an_archive_file_says_the_contract_and_series(
    tmp_path: Path, store: Path, folder: str, name: str, symbol: str, series: str
) -> None:
    archive(tmp_path, f"data/futures/{folder}", name, [HEADER, line(MS)])
    (done,) = import_vision(tmp_path, store)
    assert (done.symbol, done.series, done.first_us) == (symbol, series, START)
    path = next((store / "binance").rglob(f"{series}.parquet"))
    assert ("volume" in pq.read_schema(path).names) == series.startswith("bars-")


def test_an_inverse_contract_is_sized_as_the_venue_sizes_it(tmp_path: Path, store: Path) -> None:
    folder = "data/futures/cm/monthly/klines"
    for code in ("BTCUSD_PERP", "ETHUSD_PERP", "BTCUSD_240329"):
        archive(tmp_path, f"{folder}/{code}/1h", f"{code}-1h-2024-01.csv", [line(MS)])
    import_vision(tmp_path, store)
    terms = Store(store).instruments("binance")
    assert {symbol: each.contract_size for symbol, each in terms.items()} == {
        "BTC/USD:BTC": 100, "BTC/USD:BTC-240329": 100, "ETH/USD:ETH": 10,
    }  # fmt: skip
    assert terms["BTC/USD:BTC-240329"].expiry_us == us("2024-03-29T08:00")
    assert terms["BTC/USD:BTC-240329"].source.startswith("assumed")


def test_archived_funding_keeps_rate_interval_and_raw_stamp(tmp_path: Path, store: Path) -> None:
    lines = [
        "calc_time,funding_interval_hours,last_funding_rate",
        f"{MS + 5},8,0.00010000",
        f"{MS + 4 * 3_600_000},4,-0.02",
    ]
    archive(tmp_path, "data/futures/um/monthly/fundingRate/BTCUSDT", "BTCUSDT-fundingRate-2024-01.zip", lines)
    (done,) = import_vision(tmp_path, store)
    assert (done.symbol, done.series, done.rows) == (PERP, "funding", 2)
    columns = read(store, PERP, "funding")
    assert columns["time"].tolist() == [START, START + 4 * HOUR]
    assert columns["raw_time"].tolist() == [START + 5_000, START + 4 * HOUR]
    assert columns["funding_rate"].tolist() == [0.0001, -0.02]
    assert columns["interval_hours"].tolist() == [8, 4]


def test_equal_rows_of_a_day_and_a_month_are_dropped_and_contradictions_refused(tmp_path: Path, store: Path) -> None:
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.csv", [line(MS), line(MS + 3_600_000)])
    archive(tmp_path, UM.replace("monthly", "daily"), "BTCUSDT-1h-2024-01-01.csv", [line(MS)])
    assert import_vision(tmp_path, store)[0].rows == 2
    archive(tmp_path, UM.replace("monthly", "daily"), "BTCUSDT-1h-2024-01-02.csv", [line(MS, "100.6")])
    with pytest.raises(InputError, match=r"2024-01-01T00:00.* differ: close .*100\.5.* and .*100\.6"):
        import_vision(tmp_path, store)


def test_a_checksum_beside_a_file_must_agree(tmp_path: Path, store: Path) -> None:
    path = archive(tmp_path, UM, "BTCUSDT-1h-2024-01.zip", [line(MS)])
    beside = path.with_name(f"{path.name}.CHECKSUM")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert import_vision(path, store)[0].rows == 1
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    with pytest.raises(InputError, match=r"2024-01\.zip has SHA-256 .* says 000000000000"):
        import_vision(path, store)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([line(MS), "1704070800000,100.0,oops,99.0,100.5,7,0"], "line 2 is '1704070800000,100.0,oops"),
        ([line(MS), "1704070800000,100.0"], "line 2 is"),
        ([], "No columns|no rows"),
    ],
)
def test_lines_that_are_no_numbers_are_named(tmp_path: Path, store: Path, lines: list[str], words: str) -> None:
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.csv", lines)
    with pytest.raises(InputError, match=words):
        import_vision(tmp_path, store)


def test_archive_files_that_cannot_be_placed_are_refused(tmp_path: Path, store: Path) -> None:
    bare = archive(tmp_path, "bare", "BTCUSDT-1h-2024-01.csv", [line(MS)])
    with pytest.raises(
        InputError, match=r"does not say the market; keep .* in Python give market= one of spot, um, cm"
    ):
        import_vision(bare, store)
    assert import_vision(bare, store, market="um", kind="klines")[0].symbol == PERP
    with pytest.raises(InputError, match="not the name of an archive file"):
        import_vision(archive(tmp_path, "bare", "mine.csv", []), store)
    with pytest.raises(InputError, match="bars of 3d are not stored"):
        import_vision(archive(tmp_path, UM, "BTCUSDT-3d-2024-01.csv", [line(MS)]), store)
    with pytest.raises(InputError, match="no archive files"):
        import_vision(store, store)
    odd = archive(tmp_path, "data/spot/monthly/klines/BTCEUR/1h", "BTCEUR-1h-2024-01.csv", [line(MS)])
    with pytest.raises(InputError, match=r"no rule says what 'spot/BTCEUR' is"):
        import_vision(odd, store)
    assert import_vision(odd, store, symbols={"spot/BTCEUR": "BTC/EUR"})[0].symbol == "BTC/EUR"


def test_a_mark_before_the_first_line_costs_no_row(tmp_path: Path, store: Path) -> None:
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.csv", ["\ufeff" + line(MS), line(MS + 3_600_000)])
    assert import_vision(tmp_path, store)[0].rows == 2


def test_a_damaged_zip_is_named(tmp_path: Path, store: Path) -> None:
    path = archive(tmp_path, UM, "BTCUSDT-1h-2024-01.zip", [line(MS)])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"2024-01\.zip is damaged"):
        import_vision(path, store)


def test_no_byte_of_a_zip_can_be_damaged_without_a_word(tmp_path: Path, store: Path) -> None:
    lines = [line(MS + k * 3_600_000, f"{100 + k % 7 / 10}") for k in range(24)]
    path = tmp_path / UM / "BTCUSDT-1h-2024-01.zip"
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.zip", lines)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("BTCUSDT-1h-2024-01.csv", "\n".join(lines))
    whole = path.read_bytes()
    for k in range(0, len(whole), 3):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 0x55]) + whole[k + 1 :])
        try:
            import_vision(path, store)  # bytes of no meaning, such as the hour of packing, may change
        except InputError as error:
            assert str(path) in str(error)
    path.write_bytes(whole)
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="CHECKSUM says"):
        import_vision(path, store)


def test_a_zip_under_another_contracts_name_is_refused(tmp_path: Path, store: Path) -> None:
    path = archive(tmp_path, UM, "BTCUSDT-1h-2024-01.zip", [line(MS)])
    other = path.rename(path.with_name("ETHUSDT-1h-2024-01.zip"))
    with pytest.raises(InputError, match=r"ETHUSDT-1h-2024-01\.zip holds BTCUSDT-1h-2024-01\.csv"):
        import_vision(other, store)


def test_one_bad_file_of_many_leaves_the_store_as_it_was(tmp_path: Path, store: Path) -> None:
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.csv", [line(MS)])
    archive(tmp_path, UM.replace("BTC", "ETH"), "ETHUSDT-1h-2024-01.csv", [line(MS, "-1")])
    with pytest.raises(InputError, match=r"ETHUSDT-1h-2024-01\.csv: row 1 is -1\.0: close must be above zero"):
        import_vision(tmp_path, store)
    assert not store.exists()
    root = tmp_path / "layout"
    layout_file(root, "binance/um/BTCUSDT-1h", time=[START], **five(1))
    layout_file(root, "binance/um/ETHUSDT-1h", time=[START + 1_000_000], **five(1))
    with pytest.raises(InputError, match=r"ETHUSDT-1h\.parquet: row 1 .* does not open on a whole 1h"):
        import_layout(root, store)
    assert not store.exists()


def test_a_code_that_makes_no_symbol_is_refused_before_anything_is_written(tmp_path: Path, store: Path) -> None:
    archive(tmp_path, UM, "BTCUSDT-1h-2024-01.csv", [line(MS)])
    archive(tmp_path, UM, "btcUSDT-1h-2024-01.csv", [line(MS)])
    with pytest.raises(InputError, match="'btc/USDT:USDT' is not a symbol"):
        import_vision(tmp_path, store)
    assert not store.exists()


def test_the_real_archive_comes_in_milliseconds_and_microseconds(market_data: Path, store: Path) -> None:
    done = {(each.symbol, each.series): each for each in import_vision(market_data / "raw" / "binance-vision", store)}
    # One day and two whole months of spot, the second in microseconds; nothing between the day and the months.
    spot = done["BTC/USDT", "bars-1h"]
    assert (spot.rows, spot.missing) == (24 + 31 * 24 * 2, 33 * 24)
    columns = read(store, "BTC/USDT", "bars-1h")
    assert at(columns, "2024-12-01", "open") == 96407.99
    assert at(columns, "2025-01-01", "open") == 93576.0
    perpetual = read(store, PERP, "bars-1h")
    assert at(perpetual, "2024-10-28", "open") == 67992.7
    assert at(perpetual, "2024-10-28T20:00", "volume") == 0.0  # the venue's outage, a real bar without a trade
    assert done["1INCH/USDT:USDT", "bars-1d"].rows == 1


def test_the_real_archive_and_the_real_layout_agree(market_data: Path, store: Path) -> None:
    import_layout(market_data, store, only={"BTC/USDT"})
    before = Store(store).need("binance", "BTC/USDT", "bars-1h")
    done = import_vision(market_data / "raw/binance-vision/data/spot/monthly", store, merge=True)
    assert done[0].rows == len(before["time"])  # every row of both months was there, to the last digit
