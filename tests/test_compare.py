"""Two experiments side by side: what the same fills tie up in every mode, and who would have lived."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

import backtest
from backtest.config import load_config
from backtest.errors import InputError
from backtest.market.schema import Instrument
from backtest.research.compare import Comparison, compare
from backtest.research.compared import load_comparison
from backtest.strategy import Bar, Desk, Strategy

ROOT = Path(__file__).resolve().parent.parent
VENUE_MODES = ["isolated", "cross", "multi_asset", "portfolio"]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(ROOT / "configs" / "basis_trade.toml")


def test_the_same_fills_earn_the_same_money_in_every_mode_of_the_venue(comparison: Comparison) -> None:
    account = comparison.replay.account
    ends = account.groupby("account")["equity"].last()
    assert ends[VENUE_MODES].max() - ends[VENUE_MODES].min() < 1e-4  # dollars


def test_the_same_fills_tie_up_less_capital_the_more_the_mode_nets(comparison: Comparison) -> None:
    least = comparison.orders.loc["Least Capital"].astype(float)
    assert least["portfolio"] < least["multi_asset"] < least["cross"] < least["isolated"]


def test_nothing_is_refused_or_liquidated_when_fills_are_replayed(comparison: Comparison) -> None:
    assert (comparison.orders.loc["Liquidations"].astype(int) == 0).all()
    assert (comparison.orders.loc["Refusals"].astype(int) == 0).all()


def test_a_short_without_unified_margin_dies_in_the_rally_and_the_same_short_with_it_lives(
    comparison: Comparison,
) -> None:
    survived = comparison.signals.loc["Survived"]
    assert str(survived["cross"]).startswith("no: 2024-")
    assert survived["portfolio"] == "yes"


def test_the_verdict_names_capital_the_dead_and_the_first_parting(comparison: Comparison) -> None:
    assert "least capital" in comparison.verdict
    assert "cross" in comparison.verdict
    assert "2023-05-30 12:00" in comparison.verdict


def test_models_of_no_exchange_keep_their_own_columns(comparison: Comparison) -> None:
    assert list(comparison.orders.columns) == [*VENUE_MODES, "generic scenarios", "generic tail"]


def test_a_comparison_is_saved_whole_and_each_run_can_be_loaded_again(comparison: Comparison, tmp_path: Path) -> None:
    folder = comparison.save(tmp_path / "result", page=True)
    assert (folder / "report.html").exists()
    assert (folder / "picture.png").read_bytes()[:4] == b"\x89PNG"
    again = backtest.load(folder / "portfolio")
    assert again.stats["End Equity"] == pytest.approx(comparison.runs["portfolio"].stats["End Equity"])
    assert backtest.load(folder / "generic tail").record.modes == ["portfolio"]
    assert not list(tmp_path.glob(".*partial*"))
    page = load_comparison(folder).report(tmp_path / "again.html", pages=True)
    assert page.read_bytes() == (folder / "report.html").read_bytes()


def test_a_comparison_replaces_its_own_folder_and_no_other(comparison: Comparison, tmp_path: Path) -> None:
    folder = comparison.save(comparison.save(tmp_path / "result"))
    (folder / "portfolio" / "mine.csv").write_text("1")
    with pytest.raises(InputError, match=r"holds what no comparison wrote: portfolio/mine\.csv"):
        comparison.save(folder)
    with pytest.raises(InputError, match="is no comparison folder of ours"):
        comparison.save(folder / "portfolio")
    assert [each.name for each in tmp_path.iterdir()] == ["result"]


class Quarterly(backtest.Strategy):
    """Sells a future whose brackets are known from 2023-01-13 on."""

    def symbols(self, instruments: object) -> list[str]:
        return ["BTC/USDT:USDT-230331"]

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        desk.target("BTC/USDT:USDT-230331", contracts=-0.1)


def test_rules_of_other_dates_are_labelled_wherever_the_mode_is_named(tmp_path: Path) -> None:
    config = {
        "name": "early",
        "data": {"store": str(ROOT / "data" / "sample"), "start": "2023-01-02", "end": "2023-01-04"},
        "account": [{"margin": "cross", "deposit": {"USDT": 10_000}}],
        "strategy": {"class": Quarterly},
        "rules": {"outside": "nearest"},
    }
    result = backtest.run(config)
    assert result.stats["Margin Mode"] == "cross (counterfactual)"
    assert result.manifest["accounts"][0]["mode"] == "cross (counterfactual)"
    assert "cross (counterfactual)" in result.report(tmp_path / "page.html").read_text()
    assert "cross (counterfactual)" in result.plot().layout.title.text


class CrossingOnce(Strategy):
    """Sells ether once, at a limit far below the market."""

    def symbols(self, instruments: Mapping[str, Instrument]) -> list[str]:
        return ["ETH/USDT:USDT"]

    def on_bar(self, bar: Bar, desk: Desk) -> None:
        if bar.number == 0:
            desk.sell("ETH/USDT:USDT", 10.0, kind="limit", price=round(0.97 * bar.close["ETH/USDT:USDT"], 2))


def test_fills_that_took_from_the_book_are_replayed_at_the_takers_fee() -> None:
    """Ten ether sold at the next open at 0.04 %, and not at the 0.02 % of an order that waits."""
    settings = {
        "name": "crossing",
        "data": {"store": str(ROOT / "data" / "sample"), "start": "2023-03-01", "end": "2023-03-03"},
        "account": [{"venue": "binance", "margin": "cross", "deposit": {"USDT": 30_000.0}}],
        "strategy": {"class": CrossingOnce},
    }
    alone, compared = backtest.run(settings), compare(settings, modes=["cross"])
    rates = [fills["fee"].iloc[0] / (10.0 * fills["price"].iloc[0]) for fills in (alone.fills, compared.replay.fills)]
    assert rates == pytest.approx([0.0004, 0.0004])


def test_margin_that_was_never_there_is_a_breach_from_the_first_fill_on() -> None:
    """1,000 dollars and a short of 16,000 at 5x: an isolated position would take 3,200 out of a wallet of 1,000."""
    settings = {
        "name": "beyond its means",
        "data": {"store": str(ROOT / "data" / "sample"), "start": "2023-03-01", "end": "2023-03-02"},
        "account": [{"venue": "binance", "margin": "cross", "leverage": 5, "deposit": {"USDT": 1_000.0}}],
        "strategy": {"class": CrossingOnce},
    }
    assert compare(settings, modes=["isolated"]).orders.at["First Breach", "isolated"] == "2023-03-01 01:00"


def test_the_modes_of_a_table_are_lived_side_by_side_and_each_is_as_if_it_were_alone() -> None:
    """Told in the order of the modes, though they are lived at once; to the bit what each is on its own."""
    config = load_config(ROOT / "configs" / "balanced_carry.toml").resolved()
    config["data"].update(store=str(ROOT / "data" / "sample"), start="2023-03-01T00:00:00Z", end="2023-04-15T00:00:00Z")
    said: list[str] = []
    done: list[tuple[int, int]] = []
    together = compare(config, VENUE_MODES, progress=lambda *at: done.append(at), part=said.append)
    assert said == ["same fills, 1/5", "isolated, 2/5", "cross, 3/5", "multi_asset, 4/5", "portfolio, 5/5"]
    assert [at for at, _ in done] == sorted(at for at, _ in done) and done[-1][0] == done[-1][1]
    for mode, result in together.runs.items():
        alone = backtest.run({**config, "account": [{**config["account"][0], "name": mode, "margin": mode}]})
        assert len(alone.fills) > 4
        for frame in ("account", "ledger", "fills", "orders"):
            pd.testing.assert_frame_equal(getattr(result, frame), getattr(alone, frame), check_exact=True)
