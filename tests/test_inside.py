"""The inside of a bar: an hour whose low and high leave a trader's fate open, and the five minutes that decide it.

500 USDT at venue `generic` (maintenance 1 %): long 10 of A and short 10 of B, both from 100. In the third hour A falls
to 70 and comes back, B rises to 130 and comes back. Each alone loses 300; both at once lose 600, more than there is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import backtest
from backtest.errors import InputError
from backtest.market.schema import Instrument, to_us
from backtest.market.store import Store, write_instruments, write_series
from backtest.report.result import Result
from backtest.research.run import prepare

pytestmark = pytest.mark.jit_off

START = to_us(datetime(2024, 5, 6, tzinfo=UTC))
START_OF_THIRD_HOUR = pd.Timestamp("2024-05-06 02:00", tz="UTC")
HOUR, FIVE = 3_600_000_000, 300_000_000
A, B = "AAA/USDT:USDT", "BBB/USDT:USDT"


def terms(symbol: str) -> Instrument:
    base = symbol.split("/")[0]
    kind = "linear" if ":" in symbol else "spot"
    return Instrument(symbol, kind, base, "USDT", "USDT", 1.0, 0.01, 0.001, 0.0, None, None, None, "test")


class Pair(backtest.Strategy):
    """Long 10 of A and short `short` of B from the first close on."""

    class Params(backtest.Strategy.Params):  # type: ignore[name-defined, misc]
        short: float = 10.0

    schedule = "every bar"

    def symbols(self, instruments: Any) -> list[str]:
        return [A, B]

    def on_bar(self, bar: Any, desk: Any) -> None:
        if bar.number == 0:
            desk.together([backtest.Order(A, target=10.0), backtest.Order(B, target=-self.params.short)])


def candles(closes: list[float]) -> dict[str, np.ndarray]:
    """Bars that open where the last one closed."""
    close = np.array(closes)
    opened = np.concatenate([[100.0], close[:-1]])
    return {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}


def hours_of(minutes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hours out of their twelve five minutes."""
    parts = {name: values.reshape(-1, 12) for name, values in minutes.items()}
    return {
        "open": parts["open"][:, 0],
        "high": parts["high"].max(axis=1),
        "low": parts["low"].min(axis=1),
        "close": parts["close"][:, -1],
    }


def store_of(folder: Path, paths: dict[str, list[float]], finer: bool = True) -> Path:
    """Five hours of both contracts, calm but for the third; a mark that is the traded price."""
    names = [A, B, "AAA/USDT", "BBB/USDT"]
    write_instruments(folder, "generic", [terms(name) for name in names])
    for symbol in names:
        inside = paths[symbol.split(":")[0]]
        minutes = candles([100.0] * 24 + inside + [100.0] * (36 - len(inside)))
        hours = hours_of(minutes)
        for series, step, bars in (("bars-1h", HOUR, hours), ("bars-5m", FIVE, minutes), ("mark-1h", HOUR, hours)):
            if (series == "bars-5m" and not finer) or (series == "mark-1h" and ":" not in symbol):
                continue
            time = START + step * np.arange(len(bars["close"]), dtype=np.int64)
            volume = {} if series == "mark-1h" else {"volume": np.full(len(time), 1e9)}
            write_series(folder, "generic", symbol, series, {"time": time, **bars, **volume}, {})
        if ":" in symbol:
            time = np.array([START], np.int64)
            write_series(folder, "generic", symbol, "funding", {"time": time, "funding_rate": np.zeros(1)}, {})
    return folder


def settings_of(store: Path, **params: Any) -> dict[str, Any]:
    return {
        "name": "inside",
        "data": {"store": str(store), "start": "2024-05-06", "end": "2024-05-06T05:00:00"},
        "account": [{"venue": "generic", "margin": "cross", "leverage": 10, "deposit": {"USDT": 500.0}}],
        "strategy": {"class": Pair, "params": params},
        "prices": {"routes": {"USDT": 1.0}},
        "execution": {"slippage_bps": 0},
    }


def live(store: Path, **params: Any) -> Result:
    return backtest.run(settings_of(store, **params))


def test_two_falls_that_were_never_at_once_are_survived_once_the_finer_bars_are_seen(tmp_path: Path) -> None:
    """A at 70 loses 300 of 500, B at 130 loses 300 too, at once 600. One after the other, both are back between."""
    apart = {
        "AAA/USDT": [90.0, 70.0, 100.0, 100.0, 100.0, 100.0],
        "BBB/USDT": [100.0, 100.0, 100.0, 130.0, 100.0, 100.0],
    }
    blind, seeing = live(store_of(tmp_path / "blind", apart, finer=False)), live(store_of(tmp_path / "seeing", apart))
    assert str(blind.stats["Survived"]).startswith("undecided inside the bar (2024-05-06 02:00)")
    assert seeing.stats["Survived"] == "yes"
    assert any("5m bars" in note for note in seeing.manifest["notes"])
    # Fees of two fills of 1,000 at 0.05 %: 1. At the worst: 500 - 1 - 300 on a maintenance of 1 % of 700 + 1,000 or so.
    worst = min(199 / (0.01 * 700 + 0.01 * 1000), 199 / (0.01 * 1000 + 0.01 * 1300))
    for path in ("close", "low then high", "each worst"):
        assert seeing.stats[f"Lowest Margin Ratio, {path}"] == pytest.approx(worst)


def test_two_falls_at_once_are_not_survived_though_lows_then_highs_would_have_been(tmp_path: Path) -> None:
    at_once = {"AAA/USDT": [90.0, 70.0, 100.0], "BBB/USDT": [110.0, 130.0, 100.0]}
    blind, seeing = (
        live(store_of(tmp_path / "blind", at_once, finer=False)),
        live(store_of(tmp_path / "seeing", at_once)),
    )
    assert blind.liquidations.empty
    assert seeing.stats["Survived"] == "no: 2024-05-06 02:00"
    assert "finer bar of 02:0" in seeing.liquidations["note"].iloc[0]
    assert set(seeing.fills.loc[seeing.fills["cause"] == "liquidation", "time"]) == {START_OF_THIRD_HOUR}
    assert abs(float(seeing.explain()["residual"])) < 1e-6


def test_a_damaged_file_of_finer_bars_is_named_and_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    at_once = {"AAA/USDT": [90.0, 70.0, 100.0], "BBB/USDT": [110.0, 130.0, 100.0]}
    store = store_of(tmp_path / "store", at_once)
    (damaged,) = store.rglob("AAA-USDT_USDT/bars-5m.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"bars-5m.parquet cannot be read as Parquet"):
        live(store)


def test_no_finer_mark_lies_outside_the_hours_own(tmp_path: Path) -> None:
    """Marks of five minutes that are ten times as high are taken for the hour's high."""
    store = store_of(tmp_path / "store", {"AAA/USDT": [90.0, 70.0, 100.0], "BBB/USDT": [110.0, 130.0, 100.0]})
    columns = Store(store).need("generic", B, "bars-5m")
    higher = {name: row if name == "time" else 10.0 * row for name, row in columns.items() if name != "volume"}
    write_series(store, "generic", B, "mark-5m", higher, {})
    prepared = prepare(settings_of(store))
    assert prepared.finer is not None
    fine = prepared.finer.inside(2)
    assert fine is not None
    number = [instrument.symbol for instrument in fine.instruments].index(B)
    assert fine.mark_source[number] == "mark"
    assert fine.mark_high[number].max() == prepared.history.mark_high[number, 2] == 130.0


def test_finer_bars_that_end_too_early_leave_the_bar_undecided(tmp_path: Path) -> None:
    apart = {"AAA/USDT": [90.0, 70.0, 100.0], "BBB/USDT": [100.0, 100.0, 100.0, 130.0]}
    store = store_of(tmp_path / "store", apart)
    columns = Store(store).need("generic", "AAA/USDT:USDT", "bars-5m")
    write_series(store, "generic", "AAA/USDT:USDT", "bars-5m", {name: row[:26] for name, row in columns.items()}, {})
    assert str(live(store).stats["Survived"]).startswith("undecided inside the bar (2024-05-06 02:00)")
