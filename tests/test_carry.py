"""The basis of what was held: mark above index, a year's worth of it until delivery, and only while it was held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_report import PERP, SPOT, cash, day, fill, history, ledger, made, position

from backtest.errors import InputError
from backtest.report.carry import COLUMNS
from backtest.report.result import Result

MARCH = "BTC/USDT:USDT-240329"  # delivered on 29 March 2024 at 08:00
SWAP = PERP.symbol


def quarter(*positions: dict[str, object], symbol: str = MARCH, dollar: float = 1.0) -> Result:
    """Four days from 1 January 2024, a coin at 100 USD and its future at 102 in its own dollars."""
    past = history(
        (SPOT, replace(PERP, symbol=symbol)), [[100.0] * 4, [102.0] * 4], [100.0] * 4, [dollar] * 4, [100.0] * 4
    )  # fmt: skip
    fills = pd.DataFrame([fill(1, symbol, -2.0, 102.0, 102.0)])
    return Result(made(past, {"positions": pd.DataFrame(list(positions)), "fills": fills}))


def test_a_quarterly_two_per_cent_above_its_coin_is_worth_so_much_a_year_until_delivery() -> None:
    basis = quarter(position(1, MARCH, -2.0, -204.0)).basis
    assert basis["time"].tolist() == [day(1), day(2), day(3)]  # from the first close at which it was held
    assert basis["basis"].tolist() == pytest.approx([0.02] * 3)
    # the second bar closes on 3 January 00:00: 86 days and 8 hours are left
    assert basis["days"].iloc[0] == pytest.approx(86 + 8 / 24)
    assert basis["annualised"].iloc[0] == pytest.approx(0.02 * 365 / (86 + 1 / 3))


def test_what_was_bought_back_has_no_basis_any_more() -> None:
    basis = quarter(position(1, MARCH, -2.0, -204.0), position(3, MARCH, 0.0, 0.0)).basis
    assert basis["time"].tolist() == [day(1), day(2)]


def test_a_perpetual_has_a_basis_but_nothing_to_wait_for() -> None:
    basis = quarter(position(1, SWAP, -2.0, -204.0), symbol=SWAP).basis
    assert basis["basis"].tolist() == pytest.approx([0.02] * 3)
    assert basis[["days", "annualised"]].isna().all().all()


def test_the_index_is_counted_in_the_dollar_of_the_contract() -> None:
    """A coin of 100 USD is worth 125 of a stablecoin at 0.80: the future at 102 stands 18.4 % below it."""
    basis = quarter(position(1, MARCH, -2.0, -204.0), dollar=0.8).basis
    assert basis["index"].tolist() == pytest.approx([125.0] * 3)
    assert basis["basis"].tolist() == pytest.approx([102 / 125 - 1] * 3)


def test_who_held_no_future_has_an_empty_table_with_its_columns() -> None:
    assert list(Result(cash([100.0])).basis.columns) == list(COLUMNS)
    assert len(Result(cash([100.0])).basis) == 0


def test_a_run_that_earned_neither_funding_nor_basis_says_so_instead_of_an_empty_figure() -> None:
    with pytest.raises(InputError, match="no funding was paid and no basis moved"):
        Result(cash([100.0, 90.0])).plot_carry()


def test_the_funding_drawn_adds_up_what_was_received() -> None:
    result = quarter(position(1, SWAP, -2.0, -204.0), symbol=SWAP)
    paid = [(2, "USDT", "funding", 3.0, SWAP), (3, "USDT", "funding", -1.0, SWAP)]
    result.record.account = cash([100.0] * 4).account
    result.record.ledger = ledger((0, "USDT", "deposit", 100.0, ""), *paid)
    drawn = next(trace for trace in result.plot_carry().data if trace.name == "Funding")
    assert np.asarray(drawn.y)[-1] == pytest.approx(2.0)
