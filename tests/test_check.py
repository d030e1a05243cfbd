"""The check finds what was done to the data by hand, says where, and keeps quiet about sound data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.errors import InputError
from backtest.market.check import Finding, summary
from backtest.market.check import check as check_all
from backtest.market.importers.layout import import_layout
from backtest.market.schema import Instrument, folder_of
from backtest.market.store import Store, write_instruments, write_series

HOUR = 3_600_000_000
START = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC
SPOT = Instrument("BTC/USDT", "spot", "BTC", "USDT", "USDT", 1.0, 0.01, 1e-5, 5.0, None, None, None, "hand")
PERP = Instrument("BTC/USDT:USDT", "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 5.0, None, None, None, "hand")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_instruments(tmp_path, "binance", [SPOT, PERP])
    return tmp_path


def flat(hours: list[int], price: float = 100.0) -> dict[str, Any]:
    """Hourly bars at one price, at these hours from the start."""
    prices = {name: np.full(len(hours), price) for name in ("open", "high", "low", "close")}
    return {"time": START + HOUR * np.array(hours, dtype=np.int64)} | prices | {"volume": np.ones(len(hours))}


def put(path: Path, columns: dict[str, Any], symbol: str = PERP.symbol, series: str = "bars-1h") -> Store:
    """Written as another program might: nothing is refused."""
    times = pa.array(columns["time"]).cast(pa.timestamp("us", tz="UTC"))
    file = path / "binance" / folder_of(symbol) / f"{series}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns | {"time": times}), file)
    return Store(path)


def check(store: Store, **of: Any) -> list[Finding]:
    """What is wrong with the series that are there; each test stores few, and says nothing of the others."""
    return [each for each in check_all(store, **of) if each.kind != "absent"]


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_sound_data_gives_no_finding(path: Path) -> None:
    put(path, flat(list(range(24))))
    put(path, flat(list(range(24))), SPOT.symbol)
    rates = {"time": START + 8 * HOUR * np.arange(6), "funding_rate": np.full(6, -0.0001)}
    write_series(path, "binance", PERP.symbol, "funding", rates, {})
    assert check_all(Store(path)) == []


def test_terms_without_bars_or_funding_are_named(path: Path) -> None:
    found = check_all(put(path, flat([0, 1])))
    assert [(each.symbol, each.series, each.kind, each.severity) for each in found] == [
        (SPOT.symbol, "bars", "absent", "warning"),
        (PERP.symbol, "funding", "absent", "warning"),
    ]


def test_funding_of_a_spot_pair_is_an_error(path: Path) -> None:
    store = put(path, {"time": [START], "funding_rate": [0.0001]}, SPOT.symbol, "funding")
    assert only(check(store)).message.startswith("funding of a spot pair")


def test_a_symbol_that_is_not_stored_is_answered_with_the_nearest(path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing of 'BTC/USTD'; did you mean 'BTC/USDT'"):
        check_all(Store(path), symbol="BTC/USTD")


def test_holes_are_counted_and_the_longest_is_named(path: Path) -> None:
    finding = only(check(put(path, flat([0, 2, 3, 7, 8]))))
    assert (finding.severity, finding.kind, finding.count, finding.time) == ("warning", "gap", 4, START + HOUR)
    assert finding.message == (
        "4 bars missing in 2 place(s), the first at 2024-01-01 01:00, the longest 3 from 2024-01-01 04:00"
    )


def test_rows_twice_and_out_of_order_are_errors(path: Path) -> None:
    found = check(put(path, flat([0, 1, 1, 3, 2])))
    kinds = {each.kind: (each.severity, each.time, each.count) for each in found}
    assert kinds == {"duplicate": ("error", START + HOUR, 1), "unordered": ("error", START + 2 * HOUR, 1)}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("high", 99.0, "bars whose high is below their low"),
        ("open", 101.0, "bars whose open is outside low to high"),
        ("close", 99.0, "bars whose close is outside low to high"),
        ("low", 0.0, "rows whose low is zero or negative"),
        ("close", float("nan"), "rows without a number as close"),
        ("volume", -1.0, "rows whose volume is negative"),
    ],
)
def test_bars_that_cannot_be_are_errors(path: Path, column: str, value: float, words: str) -> None:
    columns = flat(list(range(5)))
    columns[column][3] = value
    finding = only(check(put(path, columns)))
    assert (finding.severity, finding.kind, finding.time, finding.count) == ("error", "impossible", START + 3 * HOUR, 1)
    assert finding.message == f"1 {words}, the first at 2024-01-01 03:00"


def test_bars_off_their_hour_are_errors(path: Path) -> None:
    columns = flat([0, 1, 2])
    columns["time"] = columns["time"] + 60_000_000
    finding = only(check(put(path, columns)))
    assert (finding.kind, finding.count, finding.time) == ("off the grid", 3, START + 60_000_000)


def test_a_missing_settlement_is_an_error_and_a_change_of_interval_is_not(path: Path) -> None:
    # Every 8 hours, every 2 in the storm, every 8 again.
    hours = [*range(0, 40, 8), *range(40, 60, 2), *range(60, 120, 8)]
    rates = {"time": START + HOUR * np.array(hours), "funding_rate": np.full(len(hours), 0.0001)}
    assert check(put(path, rates, series="funding")) == []
    keep = np.array(hours) != 50
    finding = only(check(put(path, {name: values[keep] for name, values in rates.items()}, series="funding")))
    assert (finding.severity, finding.kind, finding.time) == ("error", "funding", START + 50 * HOUR)


def test_rates_in_per_cent_and_rates_above_one_are_found(path: Path) -> None:
    rates = {"time": START + 8 * HOUR * np.arange(30), "funding_rate": np.full(30, 0.01)}
    finding = only(check(put(path, rates, series="funding")))
    assert (finding.severity, finding.kind) == ("warning", "funding")
    assert "are they in per cent?" in finding.message
    rates["funding_rate"] = np.full(30, 0.0001)
    rates["funding_rate"][7] = 50.0
    finding = only(check(put(path, rates, series="funding")))
    assert (finding.severity, finding.kind, finding.time) == ("error", "impossible", START + 56 * HOUR)


def test_marks_far_from_what_was_traded_and_a_lone_bar_far_from_its_neighbours_are_found(path: Path) -> None:
    put(path, flat([0, 1, 2, 3]))
    finding = only(check(put(path, flat([0, 1, 2, 3], 1000.0), series="mark-1h")))
    assert (finding.severity, finding.kind, finding.count) == ("warning", "divergence", 4)
    assert "from its bars" in finding.message
    spiked = flat([0, 1, 2, 3])
    for name in ("open", "high", "low", "close"):
        spiked[name][2] = 10_000.0
    put(path, flat([0, 1, 2, 3]), series="mark-1h")
    kinds = {each.kind: each.time for each in check(put(path, spiked))}
    assert kinds["spike"] == START + 2 * HOUR


def test_a_perpetual_far_from_its_spot_is_named_with_the_worst_bar(path: Path) -> None:
    columns = flat([0, 1, 2, 3])
    for name in ("open", "high", "low", "close"):
        columns[name][1:3] = (94.0, 89.0)
    put(path, flat([0, 1, 2, 3]), SPOT.symbol)
    finding = only(check(put(path, columns)))
    assert (finding.severity, finding.kind, finding.count, finding.time) == ("warning", "divergence", 2, START + HOUR)
    assert "the furthest -11.0% at 2024-01-01 02:00" in finding.message
    assert check(Store(path), divergence=0.12) == []


def test_rows_before_the_listing_and_after_delivery_are_found(path: Path) -> None:
    future = Instrument(
        "BTC/USDT:USDT-240101", "linear", "BTC", "USDT", "USDT", 1.0, 0.1, 0.001, 5.0,
        START + 2 * HOUR, START + 8 * HOUR, None, "hand",
    )  # fmt: skip
    write_instruments(path, "binance", [future])
    found = check(put(path, flat(list(range(10))), future.symbol))
    assert [(each.kind, each.severity, each.time, each.count) for each in found] == [
        ("outside", "error", START, 2),
        ("outside", "error", START + 8 * HOUR, 2),
    ]


def test_files_that_cannot_be_read_or_belong_to_nothing_are_found(path: Path) -> None:
    put(path, flat([0, 1]), "ETH/USDT")
    put(path, {"time": [START], "price": [1.0]}, series="mark-1h")
    put(path, flat([0]), series="bars-2h")
    store = put(path, flat([0]))
    (path / "binance/BTC-USDT_USDT/bars-1h.parquet").write_bytes(b"PAR1")
    found = [(each.symbol, each.series, each.kind) for each in check(store)]
    assert found == [
        (PERP.symbol, "bars-1h", "unreadable"),
        (PERP.symbol, "bars-2h", "unreadable"),
        (PERP.symbol, "mark-1h", "columns"),
        ("ETH/USDT", "bars-1h", "instrument"),
    ]
    assert check(store, symbol="ETH/USDT")[0].symbol == "ETH/USDT"
    with pytest.raises(InputError, match="no venue 'binanec'"):
        check(store, venue="binanec")


def test_the_summary_has_a_row_a_series(path: Path) -> None:
    put(path, flat([0, 2, 3, 7, 8]))
    hours = np.array([0, 8, 16, 40, 48, 56, 64, 72])  # 24 and 32 are missing
    put(path, {"time": START + HOUR * hours, "funding_rate": np.zeros(8)}, series="funding")
    store = put(path, {"time": [START], "close": [1.0]}, "BTC/USD", "index-1h")
    assert summary(store) == [
        {
            "venue": "binance", "symbol": "BTC/USD", "series": "index-1h", "first": "2024-01-01 00:00",
            "last": "2024-01-01 00:00", "rows": 1, "holes": 0, "biggest_hole": None,
        },
        {
            "venue": "binance", "symbol": PERP.symbol, "series": "bars-1h", "first": "2024-01-01 00:00",
            "last": "2024-01-01 08:00", "rows": 5, "holes": 4, "biggest_hole": "3 from 2024-01-01 04:00",
        },
        {
            "venue": "binance", "symbol": PERP.symbol, "series": "funding", "first": "2024-01-01 00:00",
            "last": "2024-01-04 00:00", "rows": 8, "holes": 2, "biggest_hole": "2 from 2024-01-02 00:00",
        },
    ]  # fmt: skip
    (path / "binance/BTC-USD/index-1h.parquet").write_bytes(b"PAR1")
    row = summary(store)[0]
    assert row["rows"] is None
    assert "cannot be read" in str(row["first"])


def test_real_history_has_only_the_faults_its_readme_names(market_data: Path, tmp_path: Path) -> None:
    chosen = {"BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "SOL/USDT", "SOL/USDT:USDT"}
    import_layout(market_data, tmp_path, only=chosen)
    found = check(Store(tmp_path))
    assert [each for each in found if each.severity == "error"] == []
    gaps = {each.symbol: each.count for each in found if each.kind == "gap"}
    assert gaps == {"BTC/USDT": 31, "BTC/USD:BTC": 284, "SOL/USDT": 19, "SOL/USDT:USDT": 120}
    # The solana perpetual came loose from spot when the exchange that backed the coin fell.
    loose = next(each for each in found if each.kind == "divergence" and each.series == "bars-1h")
    assert loose.symbol == "SOL/USDT:USDT"
    assert "2022-11-09" in loose.message
    spot = next(each for each in summary(Store(tmp_path)) if each["symbol"] == "BTC/USDT")
    assert (spot["rows"], spot["holes"], spot["biggest_hole"]) == (54_112, 31, "5 from 2020-02-19 12:00")
