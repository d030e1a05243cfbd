"""The command line: the same verbs as in Python, results on the screen and in a folder.

Exit codes: 0 done, 2 something given is wrong (told on the error stream, without a traceback), 3 the run itself failed.
`--json` puts one JSON object on the output and nothing else; `--quiet` tells errors alone. Heavy parts are imported by
the command that needs them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from backtest import __version__
from backtest.cli.data import data
from backtest.cli.margin import Spreading, margin
from backtest.cli.progress import progress_bar, tell_of_compiling
from backtest.cli.results import diff, list_results, report
from backtest.cli.results_screen import leaders_shown, print_comparison, print_run, windows_shown
from backtest.cli.screen import (
    BAD_INPUT,
    RUN_FAILED,
    AsJson,
    Quiet,
    answering,
    columns_of,
    print_folder,
    print_frame,
    print_json,
    print_places,
    print_rows,
    print_words,
    records_of,
)
from backtest.cli.start import init, schema, warm
from backtest.errors import InputError

app = typer.Typer(
    name="backtest", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Backtests of collateralized crypto strategies: what was required, what it cost, whether they lived.",
)  # fmt: skip

Config = Annotated[Path, typer.Argument(help="The run, a .toml or .json file.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="Result folder (default: results/<name>).", show_default=False)]
CompareOut = Annotated[
    Path | None, typer.Option("--out", help="Result folder (default: results/<name>-compare).", show_default=False)
]
SweepOut = Annotated[
    Path | None, typer.Option("--out", help="Result folder (default: results/<name>-sweep).", show_default=False)
]
Page = Annotated[bool, typer.Option("--report", help="Write the report page into the folder as well; takes a while.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Strategies are looked for from the folder the command runs in."""
    if version:
        typer.echo(f"backtest {__version__}")
        raise typer.Exit
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


@app.command()
def run(
    config: Config,
    out: Out = None,
    page: Page = False,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="History held in memory at once, such as 30d; 0s: all (default: by its size)."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a strategy and write its result folder."""
    with answering():
        import backtest
        from backtest.report.folder import RUN, check_target

        loaded = backtest.load_config(config)
        if stream is not None:
            loaded = loaded.streamed(stream)
        folder = out or Path("results") / loaded.name
        check_target(folder, RUN)  # before the run: an hour of it should not end without a place to put it
        tell_of_compiling(quiet)
        with progress_bar(loaded.name, quiet or as_json, "bars") as bar:
            bar.stage("reading", then="living")
            result = backtest.run(loaded, progress=bar.advance)
            bar.stage("writing")
            result.save(folder, page=page)
        if as_json:
            said = {"folder": str(folder), "notes": result.manifest["notes"]}
            print_json({**said, **columns_of(figures=result.figures, explain=result.parts)})
        elif not quiet:
            print_run(result)
            print_words("", result.manifest["notes"])
            print_places(folder)


@app.command()
def compare(
    config: Config, out: CompareOut = None, page: Page = False, quiet: Quiet = False, as_json: AsJson = False
) -> None:
    """Run the same strategy under every margin mode, side by side."""
    with answering():
        import backtest
        from backtest.report.folder import COMPARISON, check_target

        loaded = backtest.load_config(config)
        folder = out or Path("results") / f"{loaded.name}-compare"
        check_target(folder, COMPARISON)
        tell_of_compiling(quiet)
        with progress_bar(loaded.name, quiet or as_json, "bars") as bar:
            bar.stage("reading")
            comparison = backtest.compare(loaded, progress=bar.advance, part=bar.part)
            bar.stage("writing")
            comparison.save(folder, page=page)
        if as_json:
            said = {"folder": str(folder), "verdict": comparison.verdict, "notes": comparison.notes}
            print_json({**said, **columns_of(**comparison.tables())})
        elif not quiet:
            print_comparison(comparison)
            print_words(comparison.verdict, comparison.notes)
            print_places(folder)


@app.command()
def sweep(
    config: Config,
    out: SweepOut = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Points lived side by side.")] = 1,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray for a cluster.")] = "local",
    address: Annotated[str | None, typer.Option("--address", help="Of a ray cluster.", show_default=False)] = None,
    quiet: Quiet = False,
    report: Page = False,
    as_json: AsJson = False,
) -> None:
    """Try every point of a config's table `sweep`; stopped, the same command goes on where it was."""
    with answering():
        import backtest
        from backtest.research.sweep_result import words_of

        loaded = backtest.load_config(config)
        folder = out or Path("results") / f"{loaded.name}-sweep"
        tell_of_compiling(quiet)
        with progress_bar(loaded.name, quiet or as_json, "points") as bar:
            bar.stage("reading", then="living")
            try:
                result = backtest.sweep(
                    loaded, out=folder, workers=workers, engine=engine, address=address, progress=bar.advance
                )
            except KeyboardInterrupt:
                typer.echo(f"Stopped. What was lived is kept in {folder}; the same command goes on.", err=True)
                raise
        page = {"report": str(result.report())} if report else {}
        if as_json:
            tables = {"points": result.points} | ({} if result.windows is None else {"windows": result.windows})
            rows = {name: records_of(table) for name, table in tables.items()}
            print_json({"folder": str(folder), "trials": result.trials, "verdict": words_of(result), **page, **rows})
        elif not quiet:
            print_frame(leaders_shown(result) if result.windows is None else windows_shown(result), loaded.name)
            print_words(words_of(result), [])
            print_folder(folder)
        if not result.lived:
            raise typer.Exit(RUN_FAILED if "failed" in set(result.points["status"]) else BAD_INPUT)


app.command("list")(list_results)
app.command()(diff)
app.command()(report)
app.command(cls=Spreading)(margin)


@app.command()
def venues(
    name: Annotated[str | None, typer.Argument(help="A venue; without it, all of them.", show_default=False)] = None,
    at: Annotated[str | None, typer.Option("--at", help="The rules in force on this date (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """The rules in force, with their dates and sources."""
    with answering():
        from backtest.config.types import moment_us
        from backtest.venues import describe

        if at is not None and name is None:
            raise InputError(f"--at {at}: say of which venue, such as: backtest venues binance --at {at}")
        rows = describe(name, None if at is None else moment_us(at))
        if at is not None and not rows:
            first = min((row["from"] for row in describe(name)), default="never")
            raise InputError(f"--at {at}: nothing is known of {name} on that date; its rules are known from {first} on")
        if as_json:
            print_json({"venue": name, "at": at, "rules": rows})
            return
        print_rows(rows, name or "Venues")


app.command()(init)
app.command()(schema)
app.command()(warm)
app.add_typer(data, name="data")
