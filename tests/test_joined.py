"""A run whose history lies at several venues: the future of one exchange against the coins of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtest
from backtest.config import load_config
from backtest.errors import InputError
from backtest.market.joined import Joined
from backtest.market.schema import Instrument
from backtest.market.store import Store, write_instruments, write_series

HOUR = 3_600_000_000
START = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC
SPOT, FUTURE = "BTC/USDT", "BTC/USD:USD-240101"


def terms(symbol: str, kind: str, quote: str, size: float, lot: float, expiry_us: int | None = None) -> Instrument:
    return Instrument(symbol, kind, "BTC", quote, quote, size, 0.1, lot, 0.0, START, expiry_us, None, "hand")


def bars(price: float, count: int = 12) -> dict[str, Any]:
    flat = np.full(count, price)
    prices = {"open": flat, "high": flat, "low": flat, "close": flat, "volume": np.full(count, 1e4)}
    return {"time": START + HOUR * np.arange(count, dtype=np.int64)} | prices


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Coins at two exchanges, at different prices; the future at a third that has nothing else."""
    write_instruments(tmp_path, "binance", [terms(SPOT, "spot", "USDT", 1.0, 1e-5)])
    write_instruments(tmp_path, "bybit", [terms(SPOT, "spot", "USDT", 1.0, 1e-5)])
    write_instruments(tmp_path, "cme", [terms(FUTURE, "linear", "USD", 0.1, 1.0, START + 10 * HOUR)])
    for venue, symbol, price in (("binance", SPOT, 100.0), ("bybit", SPOT, 90.0), ("cme", FUTURE, 103.0)):
        write_series(tmp_path, venue, symbol, "bars-1h", bars(price), {"source": "hand"})
    return tmp_path


def config(store: Path, venues: list[str]) -> dict[str, Any]:
    return {
        "name": "joined",
        "data": {"store": str(store), "start": "2024-01-01", "end": "2024-01-01T12:00:00Z", "venues": venues},
        "account": [{"venue": "generic", "margin": "portfolio", "deposit": {"USDT": 10_000}}],
        "strategy": {
            "class": "strategies.basis_trade:BasisTrade",
            "params": {"leg": SPOT, "family": "BTC/USD:USD", "min_days": 0, "roll_days": 0, "equity_share": 0.2},
        },
        "execution": {"slippage_bps": 0},
    }


def test_a_symbol_is_read_from_the_first_venue_that_has_it(store: Path) -> None:
    for venues, price in ((["cme", "binance", "bybit"], 100.0), (["bybit", "cme", "binance"], 90.0)):
        joined = Joined(Store(store), venues)
        columns = joined.read(joined.name, SPOT, "bars-1h")
        assert columns is not None and set(columns["close"]) == {price}
        assert joined.home(FUTURE) == "cme" and set(joined.instruments(joined.name)) == {SPOT, FUTURE}
        assert joined.read(joined.name, SPOT, "funding") is None


def test_twenty_coins_are_bought_at_one_venue_and_sold_forward_at_another_for_three_dollars_each(store: Path) -> None:
    """20 coins at 100 against 200 contracts of a tenth at 103, delivered at the coins' price: 60 less fees. The future
    pays 0.05 % in and out, coins 0.1 %: a buyer's out of the coins, of which 19.98 are sold.
    """
    result = backtest.run(config(store, ["cme", "binance"]))
    assert result.fills["contracts"].tolist() == [20.0, -200.0, 200.0, -19.98]
    assert result.fills["price"].tolist() == [100.0, 103.0, 100.0, 100.0]
    fees = 0.02 * 100 + 0.0005 * 20 * (103 + 100) + 0.001 * 19.98 * 100
    assert result.stats["End Equity"] == pytest.approx(10_000 + 20 * 3 - fees, abs=1e-6)


def test_the_journal_lists_the_files_of_every_venue_that_was_read_and_no_other(store: Path) -> None:
    files = backtest.run(config(store, ["cme", "binance"])).manifest["data"]
    assert [(row["venue"], row["symbol"]) for row in files] == [("cme", FUTURE), ("binance", SPOT)]


def test_an_account_of_no_stored_venue_is_told_how_to_say_whose_history_it_lives(store: Path) -> None:
    with pytest.raises(InputError, match=r"the store has no data of 'generic'.*\[data\] venues"):
        backtest.run(config(store, []))


@pytest.mark.parametrize(
    ("venues", "message"),
    [(["cme", "binanse"], "no venue 'binanse'.*binance"), (["cme", "cme"], "'cme' is named twice")],
)
def test_a_venue_that_is_not_stored_or_named_twice_is_refused(store: Path, venues: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        backtest.run(config(store, venues))


def test_venues_of_the_history_are_kept_in_the_resolved_config(store: Path) -> None:
    assert load_config(config(store, ["cme", "binance"])).resolved()["data"]["venues"] == ["cme", "binance"]
