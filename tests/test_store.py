"""What goes into the store comes out of it to the microsecond; what cannot be trusted is refused by name."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.errors import InputError
from backtest.market.schema import (
    Instrument,
    folder_of,
    interval_us,
    kind_of,
    parse_option,
    parse_symbol,
    split_series,
    symbol_of,
)
from backtest.market.store import Store, write_instruments, write_series

HOUR = 3_600_000_000
START = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC
PERP = Instrument("BTC/USDT:USDT", "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 100.0, START, None, None, "hand")
DATED = Instrument(
    "BTC/USD:BTC-241227", "inverse", "BTC", "USD", "BTC", 100.0, 0.1, 1.0, 0.0, None, START + HOUR, START, "hand"
)


def bars(count: int, start: int = START) -> dict[str, Any]:
    """Hourly bars whose close counts up from 100."""
    close = 100.0 + np.arange(count)
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.ones(count)}
    return {"time": start + HOUR * np.arange(count, dtype=np.int64)} | prices


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_instruments(tmp_path, "binance", [PERP, DATED])
    write_series(tmp_path, "binance", PERP.symbol, "bars-1h", bars(10), {"source": "hand"})
    return tmp_path


def put(path: Path, table: pa.Table, series: str = "mark-1h") -> Path:
    """A Parquet file that some other program wrote into the store."""
    file = path / "binance" / "BTC-USDT_USDT" / f"{series}.parquet"
    pq.write_table(table, file)
    return file


def closes(unit: str = "us", tz: str | None = "UTC", stamps: tuple[int, ...] = (START, START + HOUR)) -> pa.Table:
    scale = {"s": 1_000_000, "ms": 1_000, "us": 1}
    values = [stamp * 1_000 if unit == "ns" else stamp // scale[unit] for stamp in stamps]
    times = pa.array(values, pa.int64()).cast(pa.timestamp(unit, tz=tz))
    return pa.table({"time": times, "close": pa.array([100.0] * len(stamps))})


# ---------------------------------------------------------------- symbols


@pytest.mark.parametrize(
    ("symbol", "parts", "kind", "folder"),
    [
        ("BTC/USDT", ("BTC", "USDT", None, None), "spot", "BTC-USDT"),
        ("BTC/USDT:USDT", ("BTC", "USDT", "USDT", None), "linear", "BTC-USDT_USDT"),
        ("BTC/USD:BTC", ("BTC", "USD", "BTC", None), "inverse", "BTC-USD_BTC"),
        # 2024-12-27 is 20,084 days after 1970-01-01; delivery at 08:00
        ("BTC/USDT:USDT-241227", ("BTC", "USDT", "USDT", (20_084 * 24 + 8) * HOUR), "linear", "BTC-USDT_USDT-241227"),
    ],
)
def test_a_symbol_says_what_it_is_and_where_it_lies(
    symbol: str, parts: tuple[Any, ...], kind: str, folder: str
) -> None:
    assert parse_symbol(symbol) == parts
    assert kind_of(symbol) == kind
    assert (folder_of(symbol), symbol_of(folder)) == (folder, symbol)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("BTCUSDT", "'BTC/USDT'"),
        ("BTC-USDT-SWAP", "'BTC/USDT:USDT'"),
        ("btc/usdt", "'BTC/USDT'"),
        ("BTCUSD_PERP", "'BTC/USD:BTC'"),
        ("BTC/USDT-241227", "'BTC/USDT:USDT-241227'"),
        ("BTC/USD:ETH", "'BTC/USD:USD'"),
        ("BTC/USDT:USDT-241327", "is no date"),
        ("BTC/USD:BTC-241227-60000-C", "is an option"),
        ("??", "write 'BTC/USDT'"),
    ],
)
def test_a_wrong_symbol_is_answered_with_the_nearest_right_one(wrong: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_symbol(wrong)
    assert nearest in str(caught.value)


def test_bar_lengths_and_series_names_are_known_or_refused() -> None:
    assert interval_us("8h") == 8 * HOUR
    with pytest.raises(InputError, match=r"'1hour'.*'1h'"):
        interval_us("1hour")
    assert split_series("mark-ohlc-1h") == ("mark-ohlc", "1h")
    assert split_series("open-interest-1h") == ("open-interest", "1h")
    assert split_series("funding") == ("funding", None)
    with pytest.raises(InputError, match="did you mean 'bars-1h'"):
        split_series("bar-1h")


def test_contract_terms_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"lot is 0\.0"):
        Instrument("BTC/USDT", "spot", "BTC", "USDT", "USDT", 1.0, 0.01, 0.0, 5.0, None, None, None, "hand")
    with pytest.raises(InputError, match="did you mean 'inverse'"):
        Instrument("BTC/USD:BTC", "invers", "BTC", "USD", "BTC", 1.0, 0.01, 1.0, 5.0, None, None, None, "hand")
    assert (PERP.perpetual, PERP.dated, DATED.perpetual, DATED.dated) == (True, False, False, True)


# ---------------------------------------------------------------- in and out


def test_what_is_written_is_read_back(path: Path) -> None:
    store = Store(path)
    columns = store.read("binance", PERP.symbol, "bars-1h")
    assert columns is not None
    for name, values in bars(10).items():
        assert columns[name].tolist() == values.tolist()
        assert columns[name].dtype == (np.int64 if name == "time" else np.float64)
        assert columns[name].flags["C_CONTIGUOUS"]
    assert store.metadata("binance", PERP.symbol, "bars-1h") == {"source": "hand"}
    field = pq.ParquetFile(path / "binance/BTC-USDT_USDT/bars-1h.parquet").schema_arrow.field("time")
    assert field.type == pa.timestamp("us", tz="UTC")


def test_instruments_are_read_back_with_open_times_left_open(path: Path) -> None:
    assert Store(path).instruments("binance") == {PERP.symbol: PERP, DATED.symbol: DATED}
    assert Store(path).venues() == ["binance"]


def test_a_span_takes_its_start_and_leaves_its_end(path: Path) -> None:
    columns = Store(path).read("binance", PERP.symbol, "bars-1h", START + 2 * HOUR, START + 5 * HOUR)
    assert columns is not None
    assert columns["close"].tolist() == [102, 103, 104]
    empty = Store(path).read("binance", PERP.symbol, "bars-1h", START + 50 * HOUR, START + 51 * HOUR)
    assert empty is not None
    assert {len(values) for values in empty.values()} == {0}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_span_over_many_row_groups_is_the_same_in_every_unit_of_time(path: Path, unit: str) -> None:
    file = put(path, closes(unit))
    stamps = tuple(START + k * HOUR for k in range(40))
    pq.write_table(closes(unit, stamps=stamps), file, row_group_size=7)
    columns = Store(path).read("binance", PERP.symbol, "mark-1h", START + 6 * HOUR, START + 15 * HOUR)
    assert columns is not None
    assert columns["time"].tolist() == list(stamps[6:15])


def test_a_folder_of_months_is_one_series(path: Path) -> None:
    folder = path / "binance" / "BTC-USDT_USDT" / "mark-1h"
    folder.mkdir()
    pq.write_table(closes(stamps=(START, START + HOUR)), folder / "2024-01.parquet")
    pq.write_table(closes("ms", stamps=(START + 2 * HOUR,)), folder / "2024-02.parquet")
    store = Store(path)
    assert store.series("binance", PERP.symbol) == ["bars-1h", "mark-1h"]
    columns = store.read("binance", PERP.symbol, "mark-1h")
    assert columns is not None
    assert columns["time"].tolist() == [START, START + HOUR, START + 2 * HOUR]
    before = store.digest("binance", PERP.symbol, "mark-1h")
    pq.write_table(closes(stamps=(START + 3 * HOUR,)), folder / "2024-03.parquet")
    assert store.digest("binance", PERP.symbol, "mark-1h") != before
    with pytest.raises(InputError, match="folder of months"):
        write_series(path, "binance", PERP.symbol, "mark-1h", bars(2), {})
    put(path, closes())
    with pytest.raises(InputError, match="keep one of the two"):
        store.read("binance", PERP.symbol, "mark-1h")


def test_the_digest_is_the_files_own_and_equal_data_give_equal_bytes(path: Path) -> None:
    store, file = Store(path), path / "binance/BTC-USDT_USDT/bars-1h.parquet"
    digest = store.digest("binance", PERP.symbol, "bars-1h")
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    write_series(path, "binance", PERP.symbol, "bars-1h", bars(10), {"source": "hand"})
    assert store.digest("binance", PERP.symbol, "bars-1h") == digest
    assert store.files() == [Path("binance/BTC-USDT_USDT/bars-1h.parquet"), Path("binance/instruments.parquet")]


def test_nothing_is_left_aside_and_a_failed_write_leaves_the_old_file(path: Path) -> None:
    before = Store(path).digest("binance", PERP.symbol, "bars-1h")
    worse = bars(3) | {"close": np.array(["a", "b", "c"])}
    with pytest.raises(ValueError, match="could not convert"):
        write_series(path, "binance", PERP.symbol, "bars-1h", worse, {})
    assert Store(path).digest("binance", PERP.symbol, "bars-1h") == before
    assert [each.name for each in (path / "binance/BTC-USDT_USDT").iterdir()] == ["bars-1h.parquet"]


def test_raw_settlement_stamps_stay_times(path: Path) -> None:
    columns = {"time": np.array([START]), "raw_time": np.array([START + 16_000]), "funding_rate": np.array([0.0001])}
    write_series(path, "binance", PERP.symbol, "funding", columns, {})
    read = Store(path).read("binance", PERP.symbol, "funding")
    assert read is not None
    assert read["raw_time"].tolist() == [START + 16_000]
    assert read["raw_time"].dtype == np.int64


# ---------------------------------------------------------------- what is refused


def test_a_store_that_is_absent_or_none_is_named(path: Path) -> None:
    (path / "mine").mkdir()
    with pytest.raises(InputError, match=r"no store at .*did you mean 'binance'"):
        Store(path / "binanc")
    with pytest.raises(InputError, match=r"mine is not a store.*instruments\.parquet"):
        Store(path / "mine")


def test_what_is_not_stored_is_none_or_refused_with_the_nearest(path: Path) -> None:
    store = Store(path)
    assert store.read("binance", "ETH/USDT", "bars-1h") is None
    assert store.read("bybit", PERP.symbol, "bars-1h") is None
    assert store.series("binance", "ETH/USDT") == []
    with pytest.raises(InputError, match=r"no venue 'binanec'; did you mean 'binance'"):
        store.instruments("binanec")
    with pytest.raises(InputError, match=r"nothing of 'BTC/USDT:USD'.*'BTC/USDT:USDT'"):
        store.need("binance", "BTC/USDT:USD", "bars-1h")
    with pytest.raises(InputError, match=r"no bars-5m of BTC/USDT:USDT.*'bars-1h'"):
        store.need("binance", PERP.symbol, "bars-5m")
    with pytest.raises(InputError, match="no mark-1h"):
        store.digest("binance", PERP.symbol, "mark-1h")


def test_a_file_cut_short_is_named(path: Path) -> None:
    file = path / "binance/BTC-USDT_USDT/bars-1h.parquet"
    whole = file.read_bytes()
    for content in (whole[:200], b"", b"no parquet at all"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"bars-1h\.parquet.*import it again"):
            Store(path).read("binance", PERP.symbol, "bars-1h")


def test_a_file_damaged_inside_is_named(path: Path) -> None:
    file = path / "binance/BTC-USDT_USDT/bars-1h.parquet"
    content = bytearray(file.read_bytes())
    content[4:60] = b"\xff" * 56  # the first page, not the footer
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"bars-1h\.parquet is damaged"):
        Store(path).read("binance", PERP.symbol, "bars-1h")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (closes(tz=None), "without a zone"),
        (closes(tz="Europe/London"), "in Europe/London"),
        (closes(stamps=(START + HOUR, START)), r"row 2 \(2024-01-01T00:00.* is out of order"),
        (closes(stamps=(START, START)), r"row 2 .* is twice"),
        (closes().rename_columns(["time", "price"]), "no column 'close'"),
        (closes().rename_columns(["date", "close"]), "no column 'time'; did you mean"),
        (closes().append_column("open", pa.array([1.0, 1.0])), "no column 'high'"),
        (closes().set_column(1, "close", pa.array(["a", "b"])), "'close' is string, not a number"),
        (closes().set_column(0, "time", pa.array([START, START + HOUR])), "'time' is int64, not a time"),
    ],
)
def test_a_foreign_file_is_refused_in_words(path: Path, table: pa.Table, words: str) -> None:
    put(path, table)
    with pytest.raises(InputError, match=words):
        Store(path).read("binance", PERP.symbol, "mark-1h")


def test_a_missing_time_is_refused_and_a_missing_price_is_no_number(path: Path) -> None:
    times = pa.array([START, None], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    put(path, pa.table({"time": times, "close": [1.0, 2.0]}))
    with pytest.raises(InputError, match="no value in row 2"):
        Store(path).read("binance", PERP.symbol, "mark-1h")
    put(path, closes().set_column(1, "close", pa.array([1.0, None])))
    columns = Store(path).read("binance", PERP.symbol, "mark-1h")
    assert columns is not None
    assert np.isnan(columns["close"]).tolist() == [False, True]


def test_rows_out_of_order_or_unequal_are_not_written(path: Path) -> None:
    reversed_bars = {name: values[::-1] for name, values in bars(3).items()}
    with pytest.raises(InputError, match="out of order"):
        write_series(path, "binance", PERP.symbol, "bars-1h", reversed_bars, {})
    with pytest.raises(InputError, match=r"2 rows of 'close', but 3 times"):
        write_series(path, "binance", PERP.symbol, "bars-1h", bars(3) | {"close": np.ones(2)}, {})
    with pytest.raises(InputError, match="no column 'volume'"):
        write_series(path, "binance", PERP.symbol, "bars-1h", {k: v for k, v in bars(3).items() if k != "volume"}, {})
    with pytest.raises(InputError, match="two instruments are called 'BTC/USDT:USDT'"):
        write_instruments(path, "binance", [PERP, PERP])


def test_an_instruments_file_without_its_terms_is_refused(path: Path) -> None:
    file = path / "binance/instruments.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["lot"]), file)
    with pytest.raises(InputError, match=r"instruments\.parquet: no column 'lot'"):
        Store(path).instruments("binance")
    file.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"instruments\.parquet cannot be read"):
        Store(path).instruments("binance")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("lot", None, r"lot is None; it must be above zero"),
        ("tick", float("nan"), r"tick is nan; it must be above zero"),
        ("min_notional", -5.0, r"min_notional is -5\.0; it must be zero or more"),
        ("base", "ETH", r"base is 'ETH', but the symbol says 'BTC'"),
        ("kind", "linear", r"kind is 'linear', but the symbol says 'inverse'"),
        ("source", None, r"source is None; it must be text"),
        ("symbol", "BTC/USDT:USDT", r"but the symbol says|is there twice"),
    ],
)
def test_terms_of_a_stored_instrument_that_cannot_be_are_refused_by_row(
    path: Path, column: str, value: Any, words: str
) -> None:
    file = path / "binance/instruments.parquet"
    table = pq.read_table(file)
    values = [value, *table.column(column).to_pylist()[1:]]  # the first row is the inverse future
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, table.schema.field(column).type)), file)
    with pytest.raises(InputError, match=rf"instruments\.parquet: row 1: .*({words})"):
        Store(path).instruments("binance")


def test_an_instrument_or_a_column_that_is_there_twice_is_refused(path: Path) -> None:
    file = path / "binance/instruments.parquet"
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)
    with pytest.raises(InputError, match=r"row 3: 'BTC/USD:BTC-241227' is there twice; keep one"):
        Store(path).instruments("binance")
    good = closes()
    put(path, good.append_column("close", good.column("close")))
    with pytest.raises(InputError, match=r"mark-1h\.parquet: two columns are called 'close'; keep one"):
        Store(path).read("binance", PERP.symbol, "mark-1h")


def test_an_option_is_read_from_its_symbol_with_expiry_strike_and_side() -> None:
    base, quote, settle, expiry_us, strike, call = parse_option("BTC/USD:BTC-241227-60000-C")
    assert (base, quote, settle, strike, call) == ("BTC", "USD", "BTC", 60_000.0, 1)
    assert datetime.fromtimestamp(expiry_us / 1e6, UTC) == datetime(2024, 12, 27, 8, tzinfo=UTC)
    assert parse_option("ETH/USDC:USDC-250328-1800.5-P")[4:] == (1800.5, -1)
    with pytest.raises(InputError, match="is no option; write it as"):
        parse_option("BTC/USD:BTC-241227")
