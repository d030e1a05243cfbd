"""`backtest margin account.toml`: an account on the screen as its venue sees it, and after what might happen to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from backtest.cli_screen import (
    AsJson,
    answering,
    columns_of,
    print_figures,
    print_json,
    print_list,
    print_rows,
    print_words,
    say,
    tell_of_compiling,
)  # fmt: skip
from backtest.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from backtest.calculator import Answer

SPREADING = ("--move", "--set", "--basis", "--haircut", "--funding", "--beta", "--grid")
POSITION_COLUMNS = (
    "symbol", "side", "contracts", "entry", "mark", "notional", "unrealised_pnl", "initial_margin",
    "maintenance_margin", "settle", "bankruptcy_price", "liquidation_price", "liquidation_price_shown",
)  # fmt: skip
GRID_STEPS = 9


class Spreading(TyperCommand):
    """Options that take one or several words: `--move BTC=-0.30 ETH=-0.35`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say the option again before each further word of its list."""
        return list(super().parse_args(ctx, spread(args)))


def spread(args: Sequence[str]) -> list[str]:
    """`--move A=1 B=2` as `--move A=1 --move B=2`."""
    words: list[str] = []
    option, fresh = "", False
    for word in args:
        if word.startswith("--") or word == "-h":
            option, fresh = (word if word in SPREADING else ""), word in SPREADING
        elif option and not fresh and "=" in word:
            words.append(option)
        else:
            option = option if fresh else ""
            fresh = False
        words.append(word)
    return words


Words = list[str] | None
Account = Annotated[Path, typer.Argument(help="The account, a .toml or .json file.", show_default=False)]


def margin(
    account: Account,
    mode: Annotated[str | None, typer.Option("--mode", help="Another mode than the account's.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="The rules of another date.")] = None,
    move: Annotated[Words, typer.Option("--move", help="Coins move: BTC=-0.30 ETH=-0.35.")] = None,
    basis: Annotated[Words, typer.Option("--basis", help="Added to mark / index - 1 of futures: +0.02.")] = None,
    haircut: Annotated[Words, typer.Option("--haircut", help="Haircuts: BTC=0.1, or +0.05 on all coins.")] = None,
    funding: Annotated[Words, typer.Option("--funding", help="One funding payment at this rate: 0.001.")] = None,
    prices: Annotated[Words, typer.Option("--set", help="Any price: BTC/USDT:USDT=60000, or BTC=60000.")] = None,
    add: Annotated[str | None, typer.Option("--add", help="An order: 'BTC/USDT:USDT -1 @ 70000'.")] = None,
    along: Annotated[str | None, typer.Option("--along", help="Liquidation price along this coin.")] = None,
    beta: Annotated[Words, typer.Option("--beta", help="With --along: other coins follow, ETH=1.2.")] = None,
    grid: Annotated[Words, typer.Option("--grid", help="Two coins: BTC=-0.5:0.5 ETH=-0.5:0.5.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="With --grid: heat map, .png or .html.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="The same book in every mode of the venue.")] = False,
    venues: Annotated[bool, typer.Option("--venues", help="The same book at every venue.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Also the rule rows that were used.")] = False,
    as_json: AsJson = False,
) -> None:
    """One account: equity, margins, ratio, liquidation prices, scenarios, and what if.

    Such as: backtest margin configs/account.toml --move BTC=-0.30 ETH=-0.35 --compare
    """
    with answering():
        tell_of_compiling()
        from backtest.calculator import margin as asked
        from backtest.calculator import read_snapshot

        other = {key: value for key, value in (("mode", mode), ("at", at)) if value is not None}
        now = asked(read_snapshot(account).with_(**other) if other else account)
        changes: dict[str, Any] = {
            "move": by_name("--move", move),
            "basis": one_or_named("--basis", basis),
            "haircut": one_or_named("--haircut", haircut),
            "funding": one_or_named("--funding", funding),
            "prices": by_name("--set", prices),
            "add": add,
        }
        then = now.what_if(**changes) if any(value is not None for value in changes.values()) else None
        answer = then or now
        more: dict[str, pd.DataFrame] = {}
        if compare or venues:
            more["compare"] = _compared(answer, venues)
        if grid:
            more["grid"] = _grid(answer, grid, picture, as_json)
        elif picture:
            raise InputError("--picture is of a grid; say of which, such as --grid BTC=-0.5:0.5 ETH=-0.5:0.5")
        if beta and not along:
            raise InputError("--beta goes with --along; say along which coin, such as --along BTC")
        if as_json:
            _print_json(now, then, more, _path(answer, along, beta))
        else:
            _print(now, then, more, rules)
            if along:
                _tell_path(_path(answer, along, beta), along)


def by_name(option: str, words: Words) -> dict[str, float] | None:
    """`NAME=NUMBER` words as a dict; None where none were given. InputError for others."""
    if not words:
        return None
    found = {}
    for word in words:
        name, mark, number = word.rpartition("=")
        if not mark or not name:
            raise InputError(f"{option} {word}: write NAME=NUMBER, such as BTC=-0.30")
        found[name] = _number(option, word, number)
    return found


def one_or_named(option: str, words: Words) -> float | dict[str, float] | None:
    """One number for all, or numbers by name."""
    if words and len(words) == 1 and "=" not in words[0]:
        return _number(option, words[0], words[0])
    return by_name(option, words)


def _number(option: str, word: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise InputError(f"{option} {word}: {number!r} is no number; write such as 0.02") from None


def _compared(answer: Answer, venues: bool) -> pd.DataFrame:
    from backtest.calculator import compare_modes, compare_venues

    return compare_venues(answer) if venues else compare_modes(answer)


def _grid(answer: Answer, words: Sequence[str], picture: Path | None, quiet: bool) -> pd.DataFrame:
    """Margin ratios under two moves, and their picture where one is wished."""
    from backtest.calculator.picture import heat_map, write_heat_map

    axes = [_axis(word) for word in words]
    if len(axes) != 2:
        raise InputError(f"--grid {' '.join(words)}: write two coins, such as BTC=-0.5:0.5 ETH=-0.5:0.5")
    if axes[0].keys() == axes[1].keys():
        raise InputError(f"--grid {' '.join(words)}: the two coins are one")
    table = answer.grid(axes[0], axes[1])
    if picture:
        if picture.suffix not in (".png", ".html"):
            raise InputError(f"--picture {picture}: the picture is a .png or .html file")
        if picture.suffix == ".html":
            heat_map(table, answer.placed.level).write_html(picture)
        else:
            write_heat_map(table, picture, answer.placed.level, answer.title)
        if not quiet:
            say({}, False, f"Picture: {picture}")
    return table


def _axis(word: str) -> dict[str, list[float]]:
    """`BTC=-0.5:0.5` or `BTC=-0.5:0.5:11`: from, to, and how many."""
    name, _, numbers = word.partition("=")
    parts = [_number("--grid", word, part) for part in numbers.split(":")]
    if len(parts) not in (2, 3):
        raise InputError(f"--grid {word}: write COIN=FROM:TO, such as BTC=-0.5:0.5")
    steps = int(parts[2]) if len(parts) == 3 else GRID_STEPS
    if not 2 <= steps <= 201:
        raise InputError(f"--grid {word}: {steps} moves; write 2 to 201")
    return {name: [round(parts[0] + (parts[1] - parts[0]) * k / (steps - 1), 12) for k in range(steps)]}


def _path(answer: Answer, along: str | None, beta: Words) -> dict[str, Any] | None:
    if along is None:
        return None
    found = answer.liquidation(along, by_name("--beta", beta))
    nothing = {"asset": along, "price": None, "move": None, "wallet": None}
    return nothing if found is None else vars(found)


def _tell_path(path: dict[str, Any] | None, along: str) -> None:
    if path is None or path["price"] is None:
        print_words(f"Along {along}: cannot be liquidated by this coin.", [])
    else:
        where = f"{path['price']:,.2f} USD ({path['move']:+.2%}), wallet {path['wallet']}"
        print_words(f"Along {along}: liquidated at {where}.", [])


def _print_json(now: Answer, then: Answer | None, more: dict[str, pd.DataFrame], path: dict[str, Any] | None) -> None:
    said = now.to_dict()
    if then is not None:
        said["then"] = then.to_dict()
    if "compare" in more:
        from backtest.calculator.answer import plain_row

        said["compare"] = [plain_row(row) for row in more["compare"].to_dict("records")]
    if "grid" in more:
        table = more["grid"].rename(index=str, columns=str)
        said["grid"] = {"rows": str(table.index.name), "columns": str(table.columns.name), **columns_of(ratio=table)}
    if path is not None:
        said["along"] = path
    print_json(said)


def _print(now: Answer, then: Answer | None, more: dict[str, pd.DataFrame], rules: bool) -> None:
    answer = then or now
    figures = now.figures
    if then is not None:
        figures = figures.set_axis(["now"], axis=1).assign(then=then.figures.iloc[:, 0])
    print_figures(figures, answer.title)
    for name, table in (
        ("Positions", answer.positions.reindex(columns=list(POSITION_COLUMNS))),
        ("Wallets", answer.wallets),
        ("Assets", answer.assets),
        ("Account liquidation along a coin, others held", answer.liquidations),
        ("Worst scenario of each coin", _worst(answer.scenarios)),
        ("Units of portfolio margin", answer.units),
    ):
        if len(table):
            print_rows(_worded(table), f"\n{name}")
    if "compare" in more:
        _print_compared(more["compare"])
    if "grid" in more:
        table = more["grid"].rename(index=lambda x: f"{x:+.1%}", columns=lambda x: f"{x:+.1%}")
        rows = _worded(table.reset_index(names=f"{table.index.name} down, {table.columns.name} across"))
        print_rows(rows, "\nMargin ratio after two moves")
    if rules:
        print_rows(_worded(answer.rules), "\nRules used")
    notes = list(answer.notes)
    if len(answer.positions) and (answer.positions["margins_are"] == "standalone").any():
        notes.append("margins of positions are of each alone; the account's are not their sum")
    assumed = int(answer.rules["assumed"].astype(bool).sum())
    if assumed:
        notes.append(f"{assumed} of {len(answer.rules)} rule rows are assumed, with a reason: see --rules")
    print_words("", notes)


def _print_compared(table: pd.DataFrame) -> None:
    """Who can hold the book, as a table; below it, as lines, how it was written there, and why others cannot."""
    holding = table[table["why_not"] == ""]
    print_rows(_worded(holding.drop(columns=["note", "why_not"])), "\nThe same book elsewhere")
    for column, head in (("note", "Notes on these rows"), ("why_not", "Cannot hold it")):
        told: dict[tuple[str, str], list[str]] = {}
        for row in table[table[column] != ""].to_dict("records"):
            told.setdefault((row["venue"], row[column].removeprefix(f"{row['venue']}: ")), []).append(row["mode"])
        if told:
            print_list(head, [f"{venue} ({', '.join(modes)}): {words}" for (venue, words), modes in told.items()])


def _worst(scenarios: pd.DataFrame) -> pd.DataFrame:
    return scenarios[scenarios["worst"].astype(bool)] if len(scenarios) else scenarios


def _worded(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for people: numbers to seven digits, nothing where there is nothing."""
    return [{str(key): _word(value) for key, value in row.items()} for row in table.to_dict("records")]


def _word(value: Any) -> Any:
    import math

    if isinstance(value, float):
        if math.isnan(value):
            return "--"
        if math.isinf(value):
            return "none"
        return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.7g}"
    return value
