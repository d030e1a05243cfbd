"""An account on the screen: the figures, then a table for each thing there is one of, then what a reader must know."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from backtest.cli.screen import print_figures, print_list, print_rows, print_words

if TYPE_CHECKING:
    import pandas as pd

    from backtest.calculator import Answer

POSITION_COLUMNS = (
    "symbol", "side", "contracts", "entry", "mark", "notional", "unrealised_pnl", "initial_margin",
    "maintenance_margin", "settle", "bankruptcy_price", "liquidation_price", "liquidation_price_shown",
)  # fmt: skip
IN_USD = (
    "equity", "collateral_equity", "initial_margin", "maintenance_margin", "open_loss", "available",
)  # fmt: skip
"""Columns that are dollars in the tables of wallets and of modes; of a position they are in what it settles in."""
RATIOS = ("margin_ratio", "venue_ratio", "utilization", "leverage", "liquidation_level")
NUMBER = re.compile(r"[-+]?[\d,.]+(e[-+]\d+)?%?|--|none")
VENUES_OWN = "which is"
SMALL = 1e-12  # of amounts, where a sum of others should have come to nothing


def print_answer(
    now: Answer, then: Answer | None, more: dict[str, pd.DataFrame], rules: bool, path: dict[str, Any] | None
) -> None:
    """The account on the screen: figures, tables, what was asked for beside them, and the notes."""
    answer = then or now
    _print_figures(now, then)
    if len(answer.positions):
        _print_table(answer.positions.reindex(columns=list(POSITION_COLUMNS)), "\nPositions")
    if len(answer.wallets):
        _print_table(answer.wallets, "\nWallets", in_usd=IN_USD)
    for name, table in (
        ("Assets", _assets(answer.assets)),
        ("Account liquidation along a coin, others held", _moves(answer.liquidations)),
        ("Worst scenario of each coin", _worst(answer.scenarios)),
        ("Units of portfolio margin, delta in coins", answer.units),
    ):
        if len(table):
            _print_table(table, f"\n{name}")
    if "compare" in more:
        _print_compared(more["compare"])
    if "grid" in more:
        _print_grid(more["grid"])
    if rules:
        print_rows(_worded(answer.rules), "\nRules used")
    print_words(_along(path) if path else "", _notes(now, answer))


def _print_figures(now: Answer, then: Answer | None) -> None:
    """The account's figures, and beside them those after what might happen; the venue's words of its ratio once."""
    if then is None:
        print_figures(now.figures, now.title)
        return
    figures = now.figures.set_axis(["now"], axis=1).assign(then=then.figures.iloc[:, 0])
    print_figures(figures.drop(index=VENUES_OWN), then.title)
    print_words(f"Venue's ratio: {then.account['venue_ratio_is']}. The tables are of the account then.", [])


def _notes(now: Answer, answer: Answer) -> list[str]:
    """Of the account as it stands as well: what was assumed of it holds after a move, too."""
    notes = list(dict.fromkeys([*now.notes, *answer.notes]))
    if len(answer.positions) and (answer.positions["margins_are"] == "standalone").any():
        notes.append("margins of positions are of each alone; the account's are not their sum")
    assumed = int(answer.rules["assumed"].astype(bool).sum())
    if assumed:
        notes.append(f"{assumed} of {len(answer.rules)} rule rows are assumed, with a reason: see --rules")
    return notes


def _print_compared(table: pd.DataFrame) -> None:
    """Who can hold the book, as a table; below it, as lines, how it was written there, and why others cannot."""
    holding = table[table["why_not"] == ""]
    where = "in every mode" if table["venue"].nunique() == 1 else "at every venue"
    _print_table(holding.drop(columns=["note", "why_not"]), f"\nThe same book {where}", keys=2, in_usd=IN_USD)
    for column, head in (("note", "Notes on these rows"), ("why_not", "Cannot hold it")):
        told: dict[tuple[str, str], list[str]] = {}
        for row in table[table[column] != ""].to_dict("records"):
            told.setdefault((row["venue"], row[column].removeprefix(f"{row['venue']}: ")), []).append(row["mode"])
        if told:
            print_list(head, [f"{venue} ({', '.join(modes)}): {words}" for (venue, words), modes in told.items()])


def _print_grid(grid: pd.DataFrame) -> None:
    table = grid.rename(index=percent, columns=percent)
    head = f"{table.index.name} down, {table.columns.name} across"
    _print_table(table.reset_index(names=head), "\nMargin ratio after two moves")


def percent(move: float) -> str:
    """A move for people, with the digits it has."""
    return f"{100.0 * move:+.6g}%"


def _assets(assets: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that say nothing here."""
    silent = [name for name in ("borrowed", "option_value") if len(assets) and not assets[name].any()]
    return assets.drop(columns=silent)


def _moves(liquidations: pd.DataFrame) -> pd.DataFrame:
    return liquidations.assign(
        move=[None if value is None or math.isnan(value) else f"{value:+.2%}" for value in liquidations["move"]]
    )


def _worst(scenarios: pd.DataFrame) -> pd.DataFrame:
    return scenarios[scenarios["worst"].astype(bool)] if len(scenarios) else scenarios


def _print_table(table: pd.DataFrame, title: str, keys: int = 1, in_usd: Collection[str] = ()) -> None:
    """A frame as a table, its columns of numbers at the right. `in_usd`: those that are dollars, to the cent."""
    rows = _worded(table, in_usd)
    right = [name for name in map(str, table) if all(NUMBER.fullmatch(str(row[name])) for row in rows)]
    print_rows(rows, title, keys=keys, right=right)


def _worded(table: pd.DataFrame, in_usd: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows for people: numbers to seven digits, ratios to four, dollars to the cent, dashes where there is nothing."""
    return [
        {str(key): _cell(str(key), value, in_usd) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _cell(name: str, value: Any, in_usd: Collection[str]) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        if name in in_usd:
            return f"{value:,.2f}"
        if name in RATIOS and abs(value) < 1000:
            return f"{value:.4g}"
    return word(value)


def word(value: Any) -> Any:
    """A value for people: thousands with two digits, what is smaller with seven, dashes for none."""
    if value is None:
        return "--"
    if isinstance(value, float):
        if math.isnan(value):
            return "--"
        if math.isinf(value):
            return "none"
        return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.7g}"
    return value


def _along(path: dict[str, Any]) -> str:
    """Where the account is liquidated along one coin, in a sentence."""
    if path["price"] is None:
        return f"Along {path['asset']}: cannot be liquidated by this coin."
    where = f"{word(path['price'])} USD ({path['move']:+.2%}), wallet {path['wallet']}"
    return f"Along {path['asset']}: liquidated at {where}."
