"""`backtest data`: make the sample store, bring files into a store, check it, and see what it holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli.screen import BAD_INPUT, AsJson, answering, print_json, print_rows, say
from backtest.errors import InputError, nearest

if TYPE_CHECKING:
    from backtest.market.importers import Imported

data = typer.Typer(no_args_is_help=True, help="The Parquet store: sample, import, check, list.")
DEFAULT_STORE = Path("data/store")
FORMATS = {"vision": ("venue",), "layout": (), "tidy": ("venue", "symbol", "series", "column", "tz")}
"""What can be imported, and the options that each heeds beside --store and --merge."""

StoreFolder = Annotated[Path, typer.Argument(help="The store's folder.")]


@data.command()
def sample(
    store: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("data/sample"), as_json: AsJson = False
) -> None:
    """Make the synthetic sample store."""
    with answering():
        from backtest.market.synthetic import make_sample

        make_sample(store)
        say({"store": str(store)}, as_json, f"Sample store: {store}")


@data.command("import")
def import_files(
    source: Annotated[Path, typer.Argument(help="A file, or a folder of files.", show_default=False)],
    store: Annotated[Path, typer.Option("--store", help="The store's folder.")] = DEFAULT_STORE,
    form: Annotated[
        str, typer.Option("--format", help="vision (exchange archive), layout or tidy (one table).")
    ] = "vision",
    venue: Annotated[
        str | None,
        typer.Option(help="vision, tidy: the venue the files are of (default: binance).", show_default=False),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="tidy: the symbol, such as BTC/USDT:USDT.")] = None,
    series: Annotated[str | None, typer.Option(help="tidy: the series, such as bars-1h or funding.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="THEIRS=OURS", help="tidy: the file's column for ours, such as Open=open."),
    ] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", help="tidy: the zone of written times without one (default: UTC).")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join with what is stored instead of replacing it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring outside files into a store."""
    with answering():
        given = {"venue": venue, "symbol": symbol, "series": series, "column": column or None, "tz": tz}
        found = _imported(
            form, source, store, {name: value for name, value in given.items() if value is not None}, merge
        )
        if as_json:
            print_json({"store": str(store), "imported": [asdict(each) for each in found]})
            return
        noted = any(each.note for each in found)
        print_rows([_import_row(each, noted) for each in found], f"Into {store}")


def _import_row(done: Imported, noted: bool) -> dict[str, Any]:
    """One series that was brought in, in words."""
    from backtest.market.grid import when

    span = f"{when(done.first_us)} to {when(done.last_us)}"
    row = {"symbol": done.symbol, "series": done.series, "rows": done.rows, "span": span, "missing": done.missing}
    return row | ({"note": done.note} if noted else {})


def _imported(form: str, source: Path, store: Path, given: dict[str, Any], merge: bool) -> list[Imported]:
    """Import by format. InputError for an unknown one, and for options that it would not heed, or lacks."""
    if form not in FORMATS:
        raise InputError(f"--format {form}: {nearest(form, FORMATS)}")
    for name in given:
        if name not in FORMATS[form]:
            heeding = " or ".join(each for each, options in FORMATS.items() if name in options)
            raise InputError(f"--{name} says nothing to --format {form}, only to {heeding}; leave it out")
    venue = given.get("venue", "binance")
    if form == "vision":
        from backtest.market.importers.vision import import_vision

        return import_vision(source, store, venue, merge=merge)
    if form == "layout":
        from backtest.market.importers.layout import import_layout

        return import_layout(source, store, merge=merge)
    if not given.get("symbol") or not given.get("series"):
        raise InputError("--format tidy: say what the table is, --symbol BTC/USDT:USDT --series bars-1h")
    from backtest.market.importers.tidy import import_tidy

    columns, tz = _column_map(given.get("column", [])), given.get("tz", "UTC")
    return [import_tidy(source, store, venue, given["symbol"], given["series"], columns, tz, merge)]


def _column_map(pairs: list[str]) -> dict[str, str]:
    """Our name → the file's, of `THEIRS=OURS`."""
    columns: dict[str, str] = {}
    for pair in pairs:
        theirs, _, ours = pair.rpartition("=")
        if not theirs or not ours:
            raise InputError(f"--column {pair}: write the file's column, =, and ours, such as --column Open=open")
        if ours in columns:
            raise InputError(f"--column {pair}: {ours} is mapped already, from {columns[ours]!r}; keep one")
        columns[ours] = theirs
    return columns


@data.command()
def check(
    store: StoreFolder = DEFAULT_STORE,
    venue: Annotated[str | None, typer.Option(help="This venue alone.")] = None,
    symbol: Annotated[str | None, typer.Option(help="This symbol alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look for holes, double rows, impossible prices and missing funding. Exit code 2 when there are errors."""
    with answering():
        from backtest.market.check import ERROR
        from backtest.market.check import check as check_store
        from backtest.market.store import Store

        findings = check_store(Store(store), venue, symbol)
        if as_json:
            print_json({"store": str(store), "findings": [asdict(each) for each in findings]})
        else:
            fields = ("severity", "venue", "symbol", "series", "message")
            print_rows([{key: getattr(each, key) for key in fields} for each in findings], f"Findings in {store}")
        if any(each.severity == ERROR for each in findings):
            raise typer.Exit(BAD_INPUT)


@data.command("list")
def list_series(store: StoreFolder = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """What a store holds: every series with its span, rows and holes."""
    with answering():
        from backtest.market.check import summary
        from backtest.market.store import Store

        rows = summary(Store(store))
        if as_json:
            print_json({"store": str(store), "series": rows})
            return
        print_rows(rows, str(store))
