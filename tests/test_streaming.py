"""A history larger than memory: laid out in parts, lived through in chunks, told from files, and the same to the bit.

The market has everything that a border could cut through: bars that are missing and held, a coin listed and one
delisted inside, marks of which only closes are stored, bars made of finer ones, funding every eight hours, a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import test_inside as inside

import backtest
from backtest.errors import InputError
from backtest.market import room
from backtest.market.align import align
from backtest.market.history import BY_BAR, History
from backtest.market.room import Room, Scratch
from backtest.market.schema import INTERVALS, Instrument, to_us
from backtest.market.store import Store, write_instruments, write_series
from backtest.report import files
from backtest.report.record import FRAMES
from backtest.report.result import Result
from backtest.research import run as runs
from backtest.research import streaming

pytestmark = pytest.mark.jit_off

HOUR, DAY = INTERVALS["1h"], INTERVALS["1d"]
START = to_us(datetime(2024, 5, 6, tzinfo=UTC))
DAYS = 12
BARS = 24 * DAYS
CRASH = 24 * 7 - 1  # the last bar of a day, so that most chunks end with it


def terms(symbol: str, listing: int | None = None, delisting: int | None = None) -> Instrument:
    base, kind = symbol.split("/")[0], "linear" if ":" in symbol else "spot"
    size = 0.1 if ":" in symbol else 1.0
    return Instrument(symbol, kind, base, "USDT", "USDT", size, 0.01, 0.001, 0.0, listing, None, delisting, "test")


def prices(seed: int, bars: int, step: int, price: float) -> dict[str, np.ndarray]:
    """A walk of candles that falls by half in the hour of the crash and comes half of the way back."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_normal(bars) * 0.01 * np.sqrt(step / HOUR)
    at = CRASH * HOUR // step
    moves[at] -= 0.5
    edges = price * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))
    opened, close = np.round(edges[:-1], 2), np.round(edges[1:], 2)
    low = np.round(np.minimum(opened, close) * (1 - 0.004 * rng.random(bars)), 2)
    high = np.round(np.maximum(opened, close) * (1 + 0.004 * rng.random(bars)), 2)
    time = START + step * np.arange(bars, dtype=np.int64)
    volume = np.round(1e5 * rng.random(bars), 3)
    return {"time": time, "open": opened, "high": high, "low": low, "close": close, "volume": volume}


def without(columns: Mapping[str, np.ndarray], missing: list[int]) -> dict[str, np.ndarray]:
    """The series less some of its rows."""
    keep = np.setdiff1d(np.arange(len(columns["time"])), missing)
    return {name: values[keep] for name, values in columns.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three coins and what borders could cut through."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    listed, gone = START + 4 * DAY + 3 * HOUR, START + 9 * DAY + 5 * HOUR
    instruments = [
        terms("AAA/USDT"), terms("AAA/USDT:USDT"), terms("BBB/USDT", listed), terms("BBB/USDT:USDT", listed),
        terms("CCC/USDT", None, gone), terms("CCC/USDT:USDT", None, gone),
    ]  # fmt: skip
    write_instruments(folder, "generic", instruments)

    def write(symbol: str, series: str, columns: Mapping[str, np.ndarray]) -> None:
        write_series(folder, "generic", symbol, series, columns, {"source": "test"})

    for number, coin in enumerate(("AAA", "BBB", "CCC")):
        first = (listed - START) // HOUR + 1 if coin == "BBB" else 0
        last = (gone - START) // HOUR if coin == "CCC" else BARS
        alive = [*range(first), *range(last, BARS)]
        spot = prices(number, BARS, HOUR, 100.0 / (number + 1))
        hours = without(spot, [*alive, 23, 24, 25, 71, *range(120, 150)] if coin == "AAA" else alive)
        write(f"{coin}/USDT", "bars-1h", hours)
        whole = without(prices(10 + number, BARS, HOUR, 100.0 / (number + 1)), alive)
        if coin == "AAA":  # its perpetual has quarters of hours alone, and of its mark closes from the third day on
            quarters = prices(10 + number, 4 * BARS, HOUR // 4, 100.0)
            write(f"{coin}/USDT:USDT", "bars-15m", without(quarters, [190, 192, 400]))
            closes = without({"time": spot["time"], "close": spot["close"]}, [*range(60), 100, 191, 192])
            write(f"{coin}/USDT:USDT", "mark-1h", closes)
        else:
            write(f"{coin}/USDT:USDT", "bars-1h", whole)
            marks = {name: values for name, values in whole.items() if name != "volume"}
            write(f"{coin}/USDT:USDT", "mark-ohlc-1h", without(marks, [96 - first, 97 - first] if number else []))
        stamps = np.arange(START, START + DAYS * DAY, 8 * HOUR, dtype=np.int64)
        alive_at = (stamps >= START + first * HOUR) & (stamps < START + last * HOUR)
        rates = 1e-4 * np.random.default_rng(20 + number).standard_normal(len(stamps))
        write(f"{coin}/USDT:USDT", "funding", {"time": stamps[alive_at], "funding_rate": rates[alive_at]})
    hourly = START + HOUR * np.arange(0, BARS, 5, dtype=np.int64)
    write("USDT", "borrow", {"time": hourly, "hourly_rate": np.linspace(1e-6, 3e-6, len(hourly))})
    return folder


def laid(store: Path, place: Room, part: int) -> History:
    """The market on hours, laid out in parts."""
    config = backtest.load_config(settings(store))
    symbols = sorted(Store(store).instruments("generic"), key=lambda symbol: ":" in symbol)
    span = config.data.start_us, config.data.end_us, "1h"
    return align(
        Store(store),
        "generic",
        symbols,
        ["USDT", "AAA", "BBB", "CCC"],
        *span,
        config.prices,
        config.funding,
        place,
        part,
    )


@pytest.mark.parametrize("part", [1, 48, 100])
@pytest.mark.parametrize("place", [Room(), Scratch(7, small=0)], ids=["memory", "files"])
def test_a_market_laid_out_in_parts_is_the_one_laid_out_at_once(store: Path, place: Room, part: int) -> None:
    whole, parts = laid(store, Room(), 10**9), laid(store, place, part)
    for name in (*BY_BAR, "tradable", "time", "funding_price", "funding_bar", "funding_flag", "funding_rate"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)
    assert parts.notes == whole.notes and parts.mark_source == whole.mark_source
    assert parts.price_begins == whole.price_begins and parts.index_begins == whole.index_begins
    assert any("missing" in note for note in whole.notes) and any("proxy" in note for note in whole.notes)


class Restless(backtest.Strategy):
    """Half in coins and short against them, limits that wait for days, and a look at thirty bars of the past."""

    schedule = "4h"
    seen: ClassVar[list[float]] = []

    def symbols(self, instruments: Any) -> list[str]:
        return list(instruments)

    def on_bar(self, bar: Any, desks: Any) -> None:
        past = bar.past("AAA/USDT", "close", 30)
        for name in NAMES:
            desk = desks[name]
            if bar.number % 24 == 3:
                desk.buy("AAA/USDT", 20.0)
                desk.sell("AAA/USDT:USDT", 900.0)
                desk.buy("BBB/USDT:USDT", 800.0 if bar.tradable("BBB/USDT:USDT") else 0.001)
                desk.sell("CCC/USDT:USDT", 300.0 if bar.tradable("CCC/USDT:USDT") else 0.001)
            if bar.number % 40 == 3:
                low = float(np.nanmin(past)) * 0.98
                desk.buy("AAA/USDT:USDT", 100.0, kind="limit", price=round(low, 2))
                desk.sell("AAA/USDT:USDT", 100.0, kind="stop", trigger=round(low * 0.97, 2))
        self.seen.append(float(past.sum()))


NAMES = ("isolated", "cross", "multi_asset", "portfolio")


class Table(backtest.Strategy):
    """A table of targets: short when the last day fell."""

    def symbols(self, instruments: Any) -> list[str]:
        return ["AAA/USDT", "AAA/USDT:USDT"]

    def targets(self, market: Any) -> backtest.Targets:
        fell = market.close("AAA/USDT").diff(24) < 0.0
        return backtest.Targets(pd.DataFrame({"AAA/USDT:USDT": np.where(fell, -50.0, 0.0)}, index=market.time))


def settings(store: Path, strategy: type = Restless, **more: Any) -> dict[str, Any]:
    accounts = [
        {"name": name, "venue": "generic", "margin": name, "leverage": 5, "deposit": {"USDT": 20_000, "AAA": 50}}
        for name in NAMES
    ]
    return {
        "name": "streamed",
        "data": {
            "store": str(store),
            "start": "2024-05-06",
            "end": "2024-05-18",
            "interval": "1h",
            **more.pop("data", {}),
        },
        "account": accounts,
        "strategy": {"class": strategy},
        "prices": {"gaps": "hold"},
        "funding": {"missing": "zero"},
        "rules": {"outside": "nearest", "counterfactual": True},
        **more,
    }


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files even for the smallest arrays, and a day at a time laid out."""
    monkeypatch.setattr(streaming, "Scratch", partial(Scratch, small=0))
    monkeypatch.setattr(runs, "align", partial(align, part=24))


def same(one: Result, other: Result) -> None:
    """Every frame, figure and part of the profit of two runs, to the bit."""
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True, obj=name)
    for name in ("figures", "parts", "parts_by_bar", "prices"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True, obj=name)
    pd.testing.assert_frame_equal(pd.DataFrame(one.returns), pd.DataFrame(other.returns), check_exact=True)
    assert one.record.notes == other.record.notes


@pytest.mark.parametrize("stream", ["1h", "7h", "24h", "30d"])
def test_a_streamed_run_is_the_one_in_memory_to_the_bit(store: Path, small_parts: None, stream: str) -> None:
    """Four margin modes at once, through a crash in the last bar of a day."""
    Restless.seen.clear()
    whole = backtest.run(settings(store, data={"stream": "0s"}))
    seen = list(Restless.seen)
    Restless.seen.clear()
    same(backtest.run(settings(store, data={"stream": stream})), whole)
    assert Restless.seen == seen
    assert len(whole.liquidations) > 1 and (whole.orders["kind"] == "limit").any() and len(whole.funding) > 20


def test_an_outage_a_table_of_targets_and_a_loan_are_streamed_too(store: Path, small_parts: None) -> None:
    outage = {"kind": "outage", "time": "2024-05-09T22:00:00Z", "until": "2024-05-10T03:00:00Z"}
    told = {"strategy": Table, "events": [outage]}
    streamed, whole = (backtest.run(settings(store, data={"stream": stream}, **told)) for stream in ("5h", "0s"))
    assert len(whole.fills) > 0 and "not tradable" in set(whole.orders["reason"])  # the outage
    same(streamed, whole)


def test_the_folder_of_a_streamed_run_holds_the_same_bytes(store: Path, small_parts: None, tmp_path: Path) -> None:
    for stream in ("0s", "11h"):
        backtest.run(settings(store, data={"stream": stream})).save(tmp_path / stream)
    for name in (*FRAMES, "returns", "explain", "prices"):
        one, other = ((tmp_path / stream / f"{name}.parquet").read_bytes() for stream in ("0s", "11h"))
        assert one == other, name
    assert (tmp_path / "0s" / "stats.json").read_text() == (tmp_path / "11h" / "stats.json").read_text()


def test_a_result_is_written_with_the_same_bytes_whatever_was_asked_of_it_before(
    store: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four accounts' rows in groups of a hundred, told a hundred bars at a time or as one frame."""
    monkeypatch.setattr(files, "PART", 100)
    result = backtest.run(settings(store, data={"stream": "11h"}))
    result.save(tmp_path / "fresh")
    for name in (*FRAMES, "parts_by_bar", "prices"):
        getattr(result, name)
    result.save(tmp_path / "asked")
    backtest.load(tmp_path / "fresh").save(tmp_path / "loaded")
    for name in (*FRAMES, "returns", "explain", "prices"):
        one, *others = ((tmp_path / k / f"{name}.parquet").read_bytes() for k in ("fresh", "asked", "loaded"))
        assert all(other == one for other in others), name
    assert pq.ParquetFile(tmp_path / "fresh" / "account.parquet").metadata.num_row_groups == -(-4 * BARS // 100)


def test_the_tail_model_looks_back_over_chunks_as_over_memory(store: Path, small_parts: None) -> None:
    told = settings(store, Table)
    account = {**told["account"][3], "requirement": "tail"}
    results = [
        backtest.run({**told, "account": [account], "data": {**told["data"], "stream": s}}) for s in ("0s", "9h")
    ]
    assert len(results[0].fills) > 0 and results[0].account["maintenance_margin"].max() > 0.0
    same(*results)


def test_a_comparison_of_modes_is_streamed_like_a_run(store: Path, small_parts: None) -> None:
    tables = []
    for stream in ("0s", "13h"):
        told = settings(store, Table, data={"stream": stream})
        tables.append(backtest.compare({**told, "account": told["account"][1:2]}, modes=["isolated", "multi_asset"]))
    pd.testing.assert_frame_equal(tables[0].orders, tables[1].orders, check_exact=True)
    pd.testing.assert_frame_equal(tables[0].signals, tables[1].signals, check_exact=True)


def test_pages_are_given_back_and_read_again_as_they_were_written() -> None:
    place = Scratch(1, small=0)
    array = place.zeros((3, 100_000))
    array[1] = np.arange(100_000)
    place.give_back()
    assert array[1].sum() == 99_999 * 50_000 and not array[0].any()


def test_nothing_is_left_in_the_folder_of_the_files(tmp_path: Path) -> None:
    place = Scratch(1, small=0, folder=str(tmp_path))
    array = place.zeros((100_000,))
    array[:] = 1.0
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_is_told_with_both_sizes_before_a_bar_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    usage: Callable[[str], Any] = lambda folder: type("Usage", (), {"free": 2_000_000_000})()  # noqa: E731
    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    with pytest.raises(InputError, match=r"lays out 70\.0 GB .* where 2\.0 GB are free; .* TMPDIR"):
        Scratch(1).must_hold(70_000_000_000)


def test_a_large_history_is_streamed_unasked_and_a_small_one_is_not(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = backtest.load_config(settings(store))
    assert streaming.room_for(config, 6, 4) is room.MEMORY
    monkeypatch.setattr(streaming, "LARGE", 1_000)
    assert streaming.room_for(config, 6, 4).chunk > 0


def test_a_stream_shorter_than_a_bar_is_refused(store: Path) -> None:
    with pytest.raises(InputError, match="stream = '5m' is less than a bar of 1h; write '30d', or leave it out"):
        backtest.load_config(settings(store, data={"stream": "5m"}))


def test_the_points_of_a_streamed_sweep_are_those_in_memory(store: Path, small_parts: None) -> None:
    """Every figure, and the equity kept of every point; the table is one for all points, each with books of its own."""
    swept = []
    for stream in ("0s", "9h"):
        told = settings(
            store, Table, data={"stream": stream},
            sweep={"grid": {"execution.slippage_bps": [1.0, 20.0], "account.leverage": [3.0, 5.0]}, "curves": "6h"},
        )  # fmt: skip
        swept.append(backtest.sweep(told))
    in_memory, streamed = swept
    drop = ["seconds"]
    pd.testing.assert_frame_equal(streamed.points.drop(columns=drop), in_memory.points.drop(columns=drop))
    assert in_memory.curves is not None
    pd.testing.assert_frame_equal(streamed.curves, in_memory.curves)
    ends = [name for name in in_memory.points if name.startswith("End Equity")]
    assert len(in_memory.points) == 4 and in_memory.points[ends[0]].nunique() > 1


def test_a_streamed_sweep_is_one_process_s_and_says_so(store: Path) -> None:
    told = settings(store, Table, data={"stream": "1d"}, sweep={"grid": {"execution.slippage_bps": [1.0, 2.0]}})
    with pytest.raises(InputError, match=r"\[data\] stream = '1d'.*sweep with workers = 1"):
        backtest.sweep(told, workers=2)


@pytest.mark.parametrize("stream", ["1h", "2h"])
def test_the_inside_of_a_bar_is_looked_into_in_a_streamed_run_too(
    tmp_path: Path, small_parts: None, stream: str
) -> None:
    """The third hour's finer bars decide; it is the first, or the last but one, of its chunk."""
    paths = {"AAA/USDT": [90.0, 70.0, 100.0], "BBB/USDT": [110.0, 130.0, 100.0]}
    folder = inside.store_of(tmp_path / "store", paths)
    told = {
        "name": "inside",
        "data": {"store": str(folder), "start": "2024-05-06", "end": "2024-05-06T05:00:00"},
        "account": [{"venue": "generic", "margin": "cross", "leverage": 10, "deposit": {"USDT": 500.0}}],
        "strategy": {"class": inside.Pair},
        "prices": {"routes": {"USDT": 1.0}},
    }
    whole = backtest.run(told)
    same(backtest.run({**told, "data": {**told["data"], "stream": stream}}), whole)  # type: ignore[dict-item]
    assert any("5m bars" in note for note in whole.manifest["notes"]) and len(whole.liquidations)


def test_a_folder_without_room_is_refused_before_a_bar_is_written(
    store: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(InputError, match="are free; name a folder of a larger disk"):
        backtest.run(settings(store, data={"stream": "1d"}))


def test_a_row_behind_those_laid_out_is_refused_where_the_disk_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that finds no room on the disk when it is written would end the process with all that it holds."""
    place = Scratch(1, small=0)
    table = room.Table(place, 1, 10, 1000)
    table.place(np.arange(1000.0))
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 7_999}))
    with pytest.raises(InputError, match=r"lays out 0\.0 MB of bars"):
        table.place(np.arange(1000.0) * 2.0)
    monkeypatch.undo()
    assert table.rows[table.place(np.arange(1000.0) * 2.0)].sum() == 999_000.0


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_tmpdir_that_takes_no_files_is_named_with_the_cure(
    store: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / folder))
    with pytest.raises(InputError, match=rf"can be made in .*{folder} \(.* another folder in .* TMPDIR"):
        backtest.run(settings(store, data={"stream": "1d"}))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the files that a process has open")
def test_an_account_more_keeps_few_more_files_open(store: Path, small_parts: None, tmp_path: Path) -> None:
    """A system opens some hundreds of files for a process."""
    told, opened = settings(store, Table, data={"stream": "1d"}), []
    for many in (1, 3):
        result = backtest.run({**told, "account": told["account"][:many]})
        result.save(tmp_path / str(many))
        opened.append(len(list(Path("/proc/self/fd").iterdir())))
        del result
    assert opened[1] - opened[0] <= 2 * 2


def test_files_lie_where_tmpdir_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert Scratch(1).folder == str(tmp_path)


def test_the_command_takes_another_stream_than_the_config_says(store: Path) -> None:
    config = backtest.load_config(settings(store, data={"stream": "1d"}))
    assert config.streamed("0s").data.stream == "0s" and config.streamed("0s").account == config.account
    with pytest.raises(InputError, match="stream: '5 days' is not a duration"):
        config.streamed("5 days")
    with pytest.raises(InputError, match="stream = '5m' is less than a bar of 1h"):
        config.streamed("5m")
