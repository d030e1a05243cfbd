"""The figures of a report hold the numbers of the run's frames: drawn arrays against frames, and against arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_report import PERP, SPOT, account_frame, cash, day, fill, history, ledger, made, position

import backtest
from backtest.errors import InputError
from backtest.report.distance import distances
from backtest.report.figures.carried import basis_panel, funding_by_symbol, funding_panel
from backtest.report.figures.distance import distance_panels, within_reach
from backtest.report.figures.equity import equity_panel
from backtest.report.figures.events import events_panel, grouped
from backtest.report.figures.margins import by_wallet, margin_panels, position_panels, utilization_panel
from backtest.report.figures.overview import equities_panel, ratios_panel
from backtest.report.figures.panel import Panel, stacked
from backtest.report.figures.ratio import ratio_panel
from backtest.report.figures.stress import decades, ratio_words, stress_figure
from backtest.report.figures.waterfall import months_figure, months_of, waterfall_figure
from backtest.report.ink import MODE_INK
from backtest.report.months import by_period, worst_days
from backtest.report.record import RunRecord
from backtest.report.result import Result
from backtest.report.stress import COIN_MOVES, bars_of, coins_of, stress_of
from backtest.report.subject import Subject
from backtest.report.thin import kept

ROOT = Path(__file__).resolve().parent.parent


def sample(margin: str, start: str = "2023-01-01", end: str = "2024-12-31") -> Result:
    """The hedged long of the sample under a margin mode."""
    config = backtest.load_config(ROOT / "configs" / "hedged_long.toml").resolved()
    config["data"] |= {"store": str(ROOT / "data" / "sample"), "start": start, "end": end}
    config["account"][0]["margin"] = margin
    return backtest.run(config)


@pytest.fixture(scope="module")
def isolated() -> Subject:
    """Forty ether short at five times, in a wallet of its own: liquidated for the first time in May."""
    return Subject(sample("isolated", end="2023-07-01"))


@pytest.fixture(scope="module")
def long_run() -> Subject:
    """Two years of hours: more rows than are drawn."""
    return Subject(sample("portfolio"))


def trace(panel: Panel, name: str) -> Any:
    """The trace of a panel by its name."""
    (found,) = [each for each in panel.traces if each.name == name]
    return found


def subject(record: RunRecord) -> Subject:
    return Subject(Result(record))


def test_a_thinned_series_keeps_its_least_and_greatest_value_of_every_stretch() -> None:
    values = np.random.default_rng(4).normal(size=100_000).cumsum()
    at = kept([values], stretches=500)
    assert len(at) <= 4 * 500
    assert (values[at].min(), values[at].max()) == (values.min(), values.max())
    for first in range(0, 100_000, 200):  # a stretch is 100,000 / 500 = 200 rows
        mine = values[at[(at >= first) & (at < first + 200)]]
        assert (mine.min(), mine.max()) == (values[first : first + 200].min(), values[first : first + 200].max())


def test_a_thinned_series_keeps_the_edges_of_its_gaps_and_every_row_near_a_moment() -> None:
    values = np.ones(100_000)
    values[40_003:41_010] = np.nan
    at = kept([values], moments=[70_000], stretches=500)
    assert {40_002, 40_003, 41_009, 41_010} <= set(at.tolist())
    assert set(range(69_910, 70_091)) <= set(at.tolist())


def test_a_short_series_is_drawn_whole() -> None:
    assert kept([np.arange(50.0)]).tolist() == list(range(50))


def drawn_lines(long_run: Subject) -> list[tuple[str, Any, Sequence[float]]]:
    """(name, drawn values, all values) of every line of the panels over time."""
    account, parts = long_run.rows, long_run.parts
    prices = long_run.result.prices
    mark = prices[prices["name"] == "ETH/USDT:USDT"].iloc[8:]  # the short is opened at 08:00 of the first day
    equity, (margins,), distance = equity_panel(long_run), margin_panels(long_run), distance_panels(long_run)[0]
    return [
        ("equity", trace(equity, "Equity").y, account["equity"]),
        ("collateral equity", trace(equity, "Collateral equity").y, account["collateral_equity"]),
        (
            "haircut",
            trace(equity, "Collateral equity").customdata,
            account["equity"] - account["collateral_equity"],
        ),
        (
            "ratio",
            trace(ratio_panel(long_run), "Lowest margin ratio").y,
            account["worst_ratio"].replace(np.inf, np.nan),
        ),
        ("initial", trace(margins, "Initial margin").y, account["initial_margin"]),
        ("maintenance", trace(margins, "Maintenance margin").y, account["maintenance_margin"]),
        ("utilization", trace(utilization_panel(long_run), "Utilization").y, account["utilization"]),
        ("funding", trace(funding_panel(long_run), "Funding").y, parts["funding"].cumsum()),
        ("basis", trace(basis_panel(long_run), "Basis").y, parts["basis"].cumsum()),
        ("mark", trace(distance, "Mark").y, mark["close"]),
        ("low", trace(distance, "Low").y, mark["low"]),
        ("high", trace(distance, "Low to high").y, mark["high"]),
        ("several, equity", equities_panel({"portfolio": long_run}).traces[0].y, account["equity"]),
        (
            "several, ratio",
            ratios_panel({"portfolio": long_run}).traces[0].y,
            account["worst_ratio"].replace(np.inf, np.nan),
        ),
    ]


def test_every_line_that_is_thinned_keeps_the_exact_least_and_greatest_value_of_its_frame(long_run: Subject) -> None:
    for name, drawn, whole in drawn_lines(long_run):
        values = np.asarray(whole, dtype=float)
        assert len(drawn) < 0.5 * len(values), name
        assert np.nanmin(drawn) == pytest.approx(np.nanmin(values), rel=1e-12, abs=1e-9), name
        assert np.nanmax(drawn) == pytest.approx(np.nanmax(values), rel=1e-12, abs=1e-9), name


def test_a_line_is_drawn_at_the_times_of_its_rows(long_run: Subject) -> None:
    drawn = trace(equity_panel(long_run), "Equity")
    rows = long_run.rows.set_index(long_run.times)
    np.testing.assert_array_equal(rows.loc[drawn.x, "equity"].to_numpy(), drawn.y)


def test_the_gap_between_the_equity_lines_is_the_haircut() -> None:
    panel = equity_panel(subject(cash([100.0, 90.0], collateral_equity=[95.0, 70.0])))
    assert list(trace(panel, "Equity").y) == [100.0, 90.0]
    assert list(trace(panel, "Collateral equity").y) == [95.0, 70.0]
    assert list(trace(panel, "Collateral equity").customdata) == [5.0, 20.0]
    assert trace(panel, "Collateral equity").fill == "tonexty"


def test_ratios_that_a_log_axis_cannot_hold_are_gaps_or_lie_on_its_floor_and_are_told_as_they_were() -> None:
    drawn = trace(ratio_panel(subject(cash([1.0] * 4, worst_ratio=[np.inf, 5e6, 7.0, -3.0]))), "Lowest margin ratio")
    np.testing.assert_array_equal(drawn.y, [np.nan, 5e6, 7.0, 0.05])
    np.testing.assert_array_equal(drawn.customdata, [np.inf, 5e6, 7.0, -3.0])


def test_the_levels_of_the_venue_are_lines_across_the_ratio_and_those_close_together_have_words_apart() -> None:
    record = cash([100.0, 90.0], worst_ratio=[100.0, 5.0])
    record.levels = [[(1.0, "liquidate"), (1.02, "reduce_only")]]
    picture = stacked([ratio_panel(subject(record))])
    assert [shape.y0 for shape in picture.layout.shapes] == [1.02, 1.0]
    words = {each.text: each.y for each in picture.layout.annotations}
    # axis from 0.8 x 1 to 1.3 x 100; words at least 0.09 of it apart
    assert words["reduce only 1.02"] - words["liquidate 1"] == pytest.approx(0.09 * np.log10(130 / 0.8))


def wallets(*rows: tuple[int, str, float, float]) -> pd.DataFrame:
    """Rows of (bar, wallet, initial, maintenance)."""
    return pd.DataFrame([
        {"time": day(bar), "account": "main", "wallet": wallet, "collateral": 100.0, "initial_margin": initial,
         "maintenance_margin": maintenance, "headroom": 0.0}
        for bar, wallet, initial, maintenance in rows
    ])  # fmt: skip


def test_margins_of_several_wallets_stand_upon_one_another_and_come_to_the_accounts() -> None:
    record = cash([100.0, 100.0], initial_margin=[30.0, 50.0], maintenance_margin=[3.0, 5.0])
    record.wallets = wallets((0, "A", 30.0, 3.0), (1, "A", 30.0, 3.0), (0, "B", 0.0, 0.0), (1, "B", 20.0, 2.0))
    initial, maintenance = margin_panels(subject(record))
    assert {each.name: list(each.y) for each in initial.traces} == {"A": [30.0, 30.0], "B": [0.0, 20.0]}
    assert {each.name: list(each.y) for each in maintenance.traces} == {"A": [3.0, 3.0], "B": [0.0, 2.0]}
    assert {each.stackgroup for each in initial.traces} == {"initial_margin"}


def test_of_many_wallets_the_smallest_stand_together() -> None:
    record = cash([100.0])
    record.wallets = wallets(*((0, f"W{k}", float(k), 1.0) for k in range(1, 11)))
    stack = by_wallet(subject(record), "initial_margin")
    # ten wallets of 1 to 10: six apart (10 to 5), the rest 4 + 3 + 2 + 1
    assert list(stack) == ["W10", "W9", "W8", "W7", "W6", "W5", "other wallets"]
    assert stack["other wallets"].tolist() == [10.0]


def test_utilization_without_collateral_is_a_gap() -> None:
    panel = utilization_panel(subject(cash([100.0, 0.0], utilization=[0.4, np.inf])))
    np.testing.assert_array_equal(panel.traces[0].y, [0.4, np.nan])


def short_in_two_months() -> RunRecord:
    """Short 1 at 100 of a coin that stays there; 3 USDT of funding on the first day, 1 paid a month later at 0.98."""
    past = history((PERP,), [[100.0] * 40], [100.0] * 40, [1.0] * 31 + [0.98] * 9, [100.0] * 40)
    books = ledger(
        (0, "USDT", "deposit", 1000.0, ""), (0, "USDT", "funding", 3.0, PERP.symbol),
        (35, "USDT", "funding", -1.0, PERP.symbol),
    )  # fmt: skip
    equity = [1003.0] * 31 + [1003.0 * 0.98] * 4 + [1002.0 * 0.98] * 5
    return made(past, {
        "account": account_frame(equity), "ledger": books,
        "fills": pd.DataFrame([fill(0, PERP.symbol, -1.0, 100.0, 100.0)]),
        "positions": pd.DataFrame([position(0, PERP.symbol, -1.0, -100.0)]),
    })  # fmt: skip


def test_funding_is_added_up_in_dollars_of_its_own_day() -> None:
    of = subject(short_in_two_months())
    drawn = trace(funding_panel(of), "Funding")
    assert (drawn.y[0], drawn.y[34]) == (3.0, 3.0)
    assert drawn.y[-1] == pytest.approx(3.0 - 0.98)
    np.testing.assert_allclose(funding_by_symbol(of)[PERP.symbol], drawn.y)


def test_the_parts_of_a_month_are_those_of_its_bars_and_the_months_come_to_the_whole() -> None:
    of = subject(short_in_two_months())
    months = months_of(of)
    assert [f"{month:%Y-%m}" for month in months.index] == ["2024-01", "2024-02"]
    np.testing.assert_allclose(months["funding"], [3.0, -0.98])
    # 1,003 USDT lose 2 cents each on the first of February, less what the short of 100 USDT gains in dollars' eyes
    assert months["fx"].iloc[0] == 0.0
    np.testing.assert_allclose(months.sum(), of.result.explain()[months.columns], atol=1e-9)
    drawn = months_figure(of)
    assert {bar.name: list(bar.y) for bar in drawn.data if bar.type == "bar"} == {
        part: months[part].tolist() for part in months
    }
    (sums,) = [each for each in drawn.data if each.name == "sum"]
    np.testing.assert_allclose(sums.y, [3.0, 1002.0 * 0.98 - 1003.0])


def test_the_waterfall_steps_through_the_parts_to_the_change_in_equity_with_the_haircut_aside() -> None:
    record = short_in_two_months()
    record.account["collateral_equity"] = record.account["equity"] - ([10.0] * 39 + [50.0])
    of = subject(record)
    steps, aside = waterfall_figure(of).data
    parts = of.result.explain()
    assert list(steps.measure) == ["relative"] * (len(steps.y) - 1) + ["total"]
    np.testing.assert_allclose(steps.x[:-1], parts[list(steps.y[:-1])])
    assert steps.x[-1] == pytest.approx(1002.0 * 0.98 - 1000.0)
    assert sum(steps.x[:-1]) == pytest.approx(steps.x[-1])
    assert list(aside.x) == pytest.approx([(39 * 10.0 + 50.0) / 40, 50.0])


def test_the_parts_by_bar_by_day_and_by_month_come_to_the_same(isolated: Subject) -> None:
    whole = isolated.result.explain()
    for by in ("bar", "day", "month"):
        np.testing.assert_allclose(isolated.result.explain(by=by).sum(), whole, atol=1e-6)
    changes = np.diff(isolated.rows["equity"], prepend=isolated.record.start_equity(0))
    np.testing.assert_allclose(isolated.result.explain(by="bar").sum(axis=1), changes, atol=1e-6)


def test_a_period_that_is_none_is_answered_with_the_nearest(isolated: Subject) -> None:
    with pytest.raises(InputError, match="did you mean 'month'"):
        by_period(isolated.parts, "monht")


def test_the_worst_day_is_told_with_its_parts_its_share_and_its_lowest_ratio() -> None:
    # 100 -> 110 -> 88 (a fifth of 110 lost) -> 88 -> 84; on the third day 50 come in, which is no gain
    flows = [(2, "USDT", "deposit", 50.0, "")]
    record = cash([110.0, 88.0, 138.0, 134.0], *flows, worst_ratio=[9.0, 2.0, 5.0, 4.0])
    of = subject(record)
    days = worst_days(of.rows, of.parts)
    assert [f"{each:%d}" for each in days["day"]] == ["02", "04"]
    np.testing.assert_allclose(days["change"], [-22.0, -4.0])
    np.testing.assert_allclose(days["change [%]"], [-20.0, 100 * -4 / 138])
    assert days["lowest ratio"].tolist() == [2.0, 4.0]


def forced(bar: int, rung: str, **numbers: float) -> dict[str, Any]:
    return {
        "time": day(bar), "account": "main", "wallet": "unified", "rung": rung, "symbol": PERP.symbol, "side": "",
        "collateral": 40.0, "maintenance": 50.0, "ratio": 0.8, "contracts": -2.0, "price": 99.5, "amount_usd": 0.0,
        "note": "", **numbers,
    }  # fmt: skip


def test_every_kind_of_event_is_a_mark_of_its_own_with_its_numbers() -> None:
    record = cash([100.0, 40.0], worst_ratio=[2.0, 0.8])
    record.fills = pd.DataFrame([fill(0, PERP.symbol, 2.0, 101.0, 100.0), fill(1, PERP.symbol, -2.0, 99.5, 100.0)])
    order = {"time": day(0), "account": "main", "id": 0, "symbol": SPOT.symbol, "side": "", "kind": "market",
             "contracts": 5.0, "price": np.nan, "trigger": np.nan, "state": "refused", "reason": "balance",
             "filled": 0.0, "group": 0, "residual_delta_usd": np.nan}  # fmt: skip
    record.orders = pd.DataFrame([order])
    rows = [forced(0, "warn", contracts=0.0), forced(0, "top-up", amount_usd=25.0), forced(1, "reduce")]
    record.incidents = pd.DataFrame(rows)
    panel = events_panel(subject(record))
    assert panel is not None
    told = {each.name: each.text for each in panel.traces}
    assert list(panel.axis["ticktext"]) == ["fills", "refused", "calls", "moved", "forced"]
    assert "Buy 2 BTC/USDT:USDT at 101" in told["Buy"][0] and "mark 100" in told["Buy"][0]
    assert "+5 BTC/USDT: refused, balance" in told["Refused or cut"][0]
    assert "ratio 0.8" in told["Margin call"][0]
    assert "amount 25 USD" in told["Top-up, refill, exchange"][0]
    assert "reduce BTC/USDT:USDT" in told["Forced step"][0] and "-2 at 99.5" in told["Forced step"][0]


def test_marks_too_many_to_tell_apart_are_grouped_and_say_how_many_they_are() -> None:
    told = pd.DataFrame({"time": [day(k) for k in range(100)], "words": [f"fill {k}" for k in range(100)]})
    few = grouped(told, most=10)
    assert few["words"].tolist()[1] == "10 here, the first:<br>fill 10"
    assert len(few) == 10


def test_a_run_in_which_nothing_happened_has_no_panel_of_events() -> None:
    assert events_panel(subject(cash([100.0]))) is None


def test_an_isolated_shorts_liquidation_price_is_where_its_wallet_meets_its_maintenance(isolated: Subject) -> None:
    # W + Q (E - P) = 0.005 Q P, so P = (W + Q E) / (1.005 Q); notional stays below the first bracket's 100,000 (and
    # below 250,000 the rate is 0.0065 with 150 off)
    rows = distances(isolated)
    first = rows.iloc[0]
    wallet = isolated.record.ledger
    wallet = wallet[(wallet["wallet"] == "ETH/USDT:USDT") & (wallet["time"] <= first["time"])]["amount"].sum()
    held = isolated.record.positions.iloc[0]
    size, entry = -held["contracts"], held["cost"] / held["contracts"]
    assert size == 40.0
    assert first["alone"] == pytest.approx((wallet + size * entry) / (1.005 * size), rel=1e-9)
    drawn = trace(distance_panels(isolated)[0], "Liquidation, this mark alone")
    told, again = within_reach(rows["alone"].to_numpy(float), rows["mark"].to_numpy(float)), rows["since"].diff() > 0
    assert again.sum() == 1  # liquidated in May and opened anew: no line leads from one position to the next
    np.testing.assert_allclose(drawn.y, np.insert(told, np.flatnonzero(again), np.nan))


def test_a_liquidation_price_far_from_the_mark_is_not_drawn() -> None:
    np.testing.assert_array_equal(
        within_reach(np.array([390.0, 410.0, 24.0, np.nan]), np.full(4, 100.0)), [390.0, np.nan, np.nan, np.nan]
    )


def test_the_account_as_it_stood_gives_the_calculator_the_ratio_of_the_run(isolated: Subject) -> None:
    for bar in (20, 1000, 3000):
        row = isolated.rows.iloc[bar]
        answer = backtest.margin(isolated.result.snapshot(row["time"])).account
        for name in ("equity", "collateral_equity", "initial_margin", "maintenance_margin", "margin_ratio"):
            assert answer[name] == pytest.approx(row[name], rel=1e-9), (bar, name)


@pytest.mark.parametrize("at", ["2022-12-31 23:59", "2023-07-01 00:00", "in May"])
def test_an_account_is_not_asked_for_outside_the_run(isolated: Subject, at: str) -> None:
    with pytest.raises(InputError, match=r"^at = "):
        isolated.result.snapshot(at)


def test_a_cell_of_the_stress_map_is_the_ratio_after_both_moves(isolated: Subject) -> None:
    # short Q at E in a wallet of W: after ETH moves by m and the basis by b the mark is M (1 + m) + b I (1 + m) with I
    # the index in USDT; ratio (W + Q (E - mark)) / (0.005 Q mark) below a notional of 100,000
    bar = 500
    stress = stress_of(isolated, [(bar, "as asked")])
    (found,) = stress.maps
    assert (stress.first, stress.second) == ("ETH", "ETH basis")
    at = isolated.rows["time"].iloc[bar]
    books, held = isolated.record.ledger, isolated.record.positions.iloc[0]
    wallet = books[(books["wallet"] == "ETH/USDT:USDT") & (books["time"] <= at)]["amount"].sum()
    size, entry = -held["contracts"], held["cost"] / held["contracts"]
    close = isolated.result.prices
    close = close[close["time"] == at].set_index("name")["close"]
    m, b = COIN_MOVES[3], stress.second_moves[7]
    assert (m, b) == pytest.approx((-0.2, 0.04))
    mark = close["ETH/USDT:USDT"] * (1 + m) + b * close["ETH"] * (1 + m) / close["USDT"]
    assert mark * size < 100_000
    assert found.ratios[3, 7] == pytest.approx((wallet + size * (entry - mark)) / (0.005 * size * mark), rel=1e-9)
    assert found.asked == pytest.approx(isolated.rows["margin_ratio"].iloc[bar], rel=1e-9)
    assert found.agrees and "run's own ratio" in stress.fidelity


def test_the_stress_map_shown_first_is_the_close_before_the_worst_bar_where_that_was_a_liquidation(
    isolated: Subject,
) -> None:
    bars = dict(bars_of(isolated))
    worst = int(isolated.rows["worst_ratio"].argmin())
    assert "worst" in bars[worst - 1]
    stress = stress_of(isolated)
    assert stress.maps[stress.worst].bar == worst - 1
    assert 9 <= len(stress.maps) <= 17
    figure = stress_figure(stress)
    assert [each.visible for each in figure.data] == [k == stress.worst for k in range(len(stress.maps))]
    for drawn, each in zip(figure.data, stress.maps, strict=True):
        np.testing.assert_array_equal(drawn.z, decades(each))
        assert drawn.text[5][5] == ratio_words(each.ratios[5, 5])


def test_the_colour_of_a_stress_cell_counts_powers_of_ten_from_the_level(isolated: Subject) -> None:
    (found,) = stress_of(isolated, [(500, "as asked")]).maps
    cells = np.array([[found.level, 10 * found.level, -1.0, np.inf, 1e9]])
    object.__setattr__(found, "ratios", cells)
    np.testing.assert_allclose(decades(found), [[0.0, 1.0, -0.7, np.nan, 1.4]])


def test_ratios_are_worded_to_fit_a_cell() -> None:
    assert [ratio_words(each) for each in (np.inf, -2.0, 0.987, 12.34, 168.2)] == ["–", "< 0", "0.99", "12.3", "168"]


def test_the_coins_that_are_moved_are_those_the_account_holds_most_of() -> None:
    past = history((PERP,), [[100.0]], [100.0], [1.0], [100.0])
    books = ledger((0, "USDT", "deposit", 1000.0, ""), (0, "BTC", "deposit", 1.0, ""))
    of = subject(made(past, {"account": account_frame([1100.0]), "ledger": books}))
    assert coins_of(of) == ["BTC"]
    assert stress_of(subject(cash([100.0]))).maps == []


def test_a_mode_has_the_same_colour_in_every_figure(isolated: Subject, long_run: Subject) -> None:
    both = {"isolated": isolated, "portfolio": long_run}
    for panel in (equities_panel(both), ratios_panel(both)):
        inks = {each.name: each.line.color for each in panel.traces if each.mode == "lines"}
        assert inks == {mode: MODE_INK[mode] for mode in both}


def test_the_results_own_figures_can_be_styled_further(isolated: Subject) -> None:
    result = isolated.result
    for picture in (
        result.plot(), result.plot_margin(), result.plot_waterfall(), result.plot_waterfall(by="month"),
        result.plot_stress(at="2023-03-01 12:00"),
    ):  # fmt: skip
        picture.update_layout(title_text="mine", template="plotly_dark")
        assert len(picture.data) > 0
        assert picture.layout.title.text == "mine"
    with pytest.raises(InputError, match="by = 'week'"):
        result.plot_waterfall(by="week")


def test_margins_are_stacked_by_position_and_come_to_the_accounts_own() -> None:
    config = backtest.load_config(ROOT / "configs" / "funding_carry.toml").resolved()
    config["data"] |= {"store": str(ROOT / "data" / "sample"), "end": "2023-02-01"}
    config["strategy"]["params"] |= {"bases": ["BTC", "ETH"]}
    of = Subject(backtest.run(config))
    asked = distances(of, most=16)
    initial, maintenance = position_panels(of, asked)
    shares = [trace(initial, symbol) for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT")]
    assert all(each.stackgroup == "initial" for each in shares)
    sums = np.sum([each.y for each in shares], axis=0)
    bars = of.bars_of(asked["time"].unique())
    np.testing.assert_allclose(sums, of.column("initial_margin")[bars], rtol=1e-9)
    np.testing.assert_allclose(np.sum([each.y for each in maintenance.traces[:-1]], axis=0),
                               of.column("maintenance_margin")[bars], rtol=1e-9)  # fmt: skip
    first = asked[asked["symbol"] == "ETH/USDT:USDT"].iloc[0]
    held = of.standing.positions_at(first["time"])
    (contracts,) = [each["contracts"] for each in held if each["symbol"] == "ETH/USDT:USDT"]
    tether = of.standing.prices_at(first["time"], [], {"USDT"})["USDT"]  # USD
    dearer = 1.0001  # by the venue's ask buffer of USDT, 0.01 %
    assert first["initial"] == pytest.approx(abs(contracts) * first["mark"] * tether * dearer / 5)  # at five times


def test_one_position_is_not_stacked_and_isolated_ones_are_by_their_wallets(isolated: Subject) -> None:
    assert position_panels(isolated, distances(isolated, most=16)) == []
    of = Subject(sample("portfolio", end="2023-01-10"))
    assert position_panels(of, distances(of, most=16)) == []
