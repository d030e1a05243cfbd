"""`backtest margin account.toml`: an account on the screen as its venue sees it, and after what might happen to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from backtest.cli.margin_screen import print_answer
from backtest.cli.progress import tell_of_compiling
from backtest.cli.screen import AsJson, answering, columns_of, print_json, say
from backtest.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from backtest.calculator import Answer

SPREADING = ("--move", "--set", "--basis", "--haircut", "--funding", "--beta", "--grid")
SIZE = re.compile(r"[+-]?\.?\d\S*|@\S*")
GRID_STEPS = 9
MOST_STEPS = 201


class Spreading(TyperCommand):
    """Options that take one or several words: `--move BTC=-0.30 ETH=-0.35`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say the option again before each further word of its list."""
        return list(super().parse_args(ctx, spread(args)))


def spread(args: Sequence[str]) -> list[str]:
    """`--move A=1 B=2` as `--move A=1 --move B=2`, and an order without quotes as if it had them."""
    words: list[str] = []
    option, fresh, order = "", False, False
    for word in args:
        if order and SIZE.fullmatch(word):
            words[-1] += f" {word}"
            continue
        order = bool(words) and words[-1] == "--add"
        if word.startswith("--") or word == "-h":
            option, fresh = (word if word in SPREADING else ""), word in SPREADING
        elif option and not fresh and "=" in word:
            words.append(option)
        else:
            option = option if fresh else ""
            fresh = False
        words.append(word)
    return words


def _print_example(wanted: bool) -> None:
    """An account to start from, on the output, and stop."""
    if wanted:
        typer.echo((files("backtest.calculator") / "account.toml").read_text(encoding="utf-8"), nl=False)
        raise typer.Exit


Words = list[str] | None
Account = Annotated[Path, typer.Argument(help="The account, a .toml or .json file; see --example.", show_default=False)]
IF, ASK, SHOW = "What if, in this order", "What else to ask", "Rules and output"


def margin(
    account: Account,
    haircut: Annotated[
        Words,
        typer.Option("--haircut", help="Haircuts of coins: BTC=0.1, or 0.05 more on all.", rich_help_panel=IF),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            "--add", help="An order: 'BTC/USDT:USDT -1' at the market, '... -1 @ 70000' at a limit.", rich_help_panel=IF
        ),
    ] = None,
    funding: Annotated[
        Words,
        typer.Option(
            "--funding", help="One payment at this rate: 0.001, or BTC/USDT:USDT=0.001. Longs pay.", rich_help_panel=IF
        ),
    ] = None,
    move: Annotated[
        Words,
        typer.Option("--move", help="Coins move and their contracts along: BTC=-0.30 ETH=-35%.", rich_help_panel=IF),
    ] = None,
    basis: Annotated[
        Words,
        typer.Option(
            "--basis", help="Added to mark / index - 1 of futures: 0.02, or by coin BTC=0.02.", rich_help_panel=IF
        ),
    ] = None,
    prices: Annotated[
        Words,
        typer.Option(
            "--set",
            help="One price alone: the mark BTC/USDT:USDT=60000, the coin's index BTC=60000.",
            rich_help_panel=IF,
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="The same book in every mode of the venue.", rich_help_panel=ASK)
    ] = False,
    venues: Annotated[
        bool, typer.Option("--venues", help="The same book at every venue, in its dollar.", rich_help_panel=ASK)
    ] = False,
    along: Annotated[
        str | None,
        typer.Option(
            "--along", help="Where the account is liquidated as this coin moves, others held.", rich_help_panel=ASK
        ),
    ] = None,
    beta: Annotated[
        Words,
        typer.Option("--beta", help="With --along: others move so many times as far, ETH=1.2.", rich_help_panel=ASK),
    ] = None,
    grid: Annotated[
        Words,
        typer.Option(
            "--grid",
            help="Margin ratio under two moves: BTC=-0.5:0.5 ETH=-0.5:0.5, or :21 for so many steps.",
            rich_help_panel=ASK,
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="With --grid: heat map, .png or .html.", rich_help_panel=ASK)
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="Another mode than the account's.", rich_help_panel=SHOW)
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="The rules of another date.", rich_help_panel=SHOW)] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Also the rule rows that were used.", rich_help_panel=SHOW)
    ] = False,
    as_json: AsJson = False,
    _: Annotated[
        bool,
        typer.Option(
            "--example",
            help="Print an account to start from, a word to every key, and stop.",
            is_eager=True,
            callback=_print_example,
            rich_help_panel=SHOW,
        ),
    ] = False,
) -> None:
    """One account as its venue sees it: equity, margins, ratio, liquidation prices, scenarios, and what if.

    The account is a file of yours: backtest margin --example > account.toml writes one to start from. What ccxt answers
    may stand in a .json file as it is: {"venue": "okx", "fetch_positions": [...], "fetch_balance": {...}}.

    Such as: backtest margin account.toml --move BTC=-0.30 ETH=-0.35 --compare
    """
    with answering():
        tell_of_compiling()
        from backtest.calculator import margin as asked
        from backtest.calculator import read_snapshot

        other = {key: value for key, value in (("mode", mode), ("at", at)) if value is not None}
        snapshot = read_snapshot(account)
        now = asked(snapshot.with_(**other) if other else snapshot)
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
        path = _path(answer, along, beta)
        more: dict[str, pd.DataFrame] = {}
        if compare or venues:
            more["compare"] = _compared(answer, venues)
        if grid:
            more["grid"] = _grid(answer, grid, picture, as_json)
        elif picture:
            raise InputError("--picture is of a grid; say of which, such as --grid BTC=-0.5:0.5 ETH=-0.5:0.5")
        if as_json:
            _print_json(now, then, more, path)
        else:
            print_answer(now, then, more, rules, path)


def by_name(option: str, words: Words) -> dict[str, float] | None:
    """`NAME=NUMBER` words as a dict; None where none were given. InputError for others, and for a name said twice."""
    if not words:
        return None
    found: dict[str, float] = {}
    for word in words:
        name, mark, number = word.rpartition("=")
        if "," in word:
            raise InputError(f"{option} {word}: write a blank between two of them, such as BTC=-0.30 ETH=-0.35")
        if not mark or not name:
            raise InputError(f"{option} {word}: write NAME=NUMBER, such as {SUCH_AS.get(option, 'BTC=-0.30')}")
        if name in found:
            raise InputError(f"{option} {word}: {name} is said twice")
        found[name] = _number(option, word, number)
    return found


SUCH_AS = {"--set": "BTC/USDT:USDT=60000", "--beta": "ETH=1.2", "--funding": "BTC/USDT:USDT=0.001"}


def one_or_named(option: str, words: Words) -> float | dict[str, float] | None:
    """One number for all, or numbers by name."""
    if words and len(words) == 1 and "=" not in words[0]:
        return _number(option, words[0], words[0])
    return by_name(option, words)


def _number(option: str, word: str, number: str) -> float:
    """A number; where it is a share also as a percentage. InputError for others."""
    share = number.endswith("%") and option not in ("--set", "--beta")
    try:
        return float(number.removesuffix("%")) / 100.0 if share else float(number)
    except ValueError:
        such_as = SUCH_AS.get(option, "0.02").rpartition("=")[2]
        raise InputError(f"{option} {word}: {number!r} is no number; write such as {such_as}") from None


def _compared(answer: Answer, venues: bool) -> pd.DataFrame:
    from backtest.calculator import compare_modes, compare_venues

    return compare_venues(answer) if venues else compare_modes(answer)


def _grid(answer: Answer, words: Sequence[str], picture: Path | None, quiet: bool) -> pd.DataFrame:
    """Margin ratios under two moves, and their picture where one is wished."""
    axes = [_axis(word) for word in words]
    if len(axes) != 2:
        raise InputError(f"--grid {' '.join(words)}: write two coins, such as BTC=-0.5:0.5 ETH=-0.5:0.5")
    if axes[0].keys() == axes[1].keys():
        raise InputError(f"--grid {' '.join(words)}: the two coins are one")
    if picture and picture.suffix not in (".png", ".html"):
        raise InputError(f"--picture {picture}: the picture is a .png or .html file")
    table = answer.grid(axes[0], axes[1])
    if picture:
        _draw(answer, table, picture)
        if not quiet:
            say({}, False, f"Picture: {picture}")
    return table


def _draw(answer: Answer, table: pd.DataFrame, picture: Path) -> None:
    from backtest.calculator.picture import heat_map, write_heat_map
    from backtest.report.folder import written_file

    with written_file(picture, "picture", "grid.png") as aside:
        if picture.suffix == ".html":
            heat_map(table, answer.placed.level).write_html(aside)
        else:
            write_heat_map(table, aside, answer.placed.level, answer.title)


def _axis(word: str) -> dict[str, list[float]]:
    """`BTC=-0.5:0.5` or `BTC=-0.5:0.5:11`: from, to, and how many."""
    name, _, numbers = word.partition("=")
    parts = numbers.split(":")
    if len(parts) not in (2, 3) or not name:
        raise InputError(f"--grid {word}: write COIN=FROM:TO, such as BTC=-0.5:0.5")
    first, last = (_number("--grid", word, part) for part in parts[:2])
    steps = parts[2] if len(parts) == 3 else str(GRID_STEPS)
    if not steps.isdigit() or not 2 <= int(steps) <= MOST_STEPS:
        raise InputError(f"--grid {word}: {steps} moves; write a whole number from 2 to {MOST_STEPS}")
    if first == last:
        raise InputError(f"--grid {word}: begins where it ends; write such as BTC=-0.5:0.5")
    n = int(steps) - 1
    return {name: [round(first + (last - first) * k / n, 12) for k in range(n + 1)]}


def _path(answer: Answer, along: str | None, beta: Words) -> dict[str, Any] | None:
    """Where the account is liquidated along a coin; nowhere: all None but the coin. None where it was not asked."""
    if along is None:
        if beta:
            raise InputError("--beta goes with --along; say along which coin, such as --along BTC")
        return None
    found = answer.liquidation(along, by_name("--beta", beta))
    nothing = {"asset": along, "price": None, "move": None, "wallet": None}
    return nothing if found is None else vars(found)


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
