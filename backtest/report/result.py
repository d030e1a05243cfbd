"""A finished run in the hand: figures, frames, explanation, picture and page; saved as a folder, and loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from backtest.config import RunConfig, load_config
from backtest.errors import InputError, in_a_line
from backtest.report.carry import basis_of
from backtest.report.columns import Columns
from backtest.report.explain import PARTS, explain, explain_by_bar, explained
from backtest.report.files import (
    as_json_columns,
    read_frame,
    read_json,
    revived,
    write_frame,
    write_frames,
    write_json,
)
from backtest.report.folder import DERIVED, RUN, cure_of, is_ours, write_page, written
from backtest.report.manifest import manifest
from backtest.report.months import by_period
from backtest.report.record import FORCED, FRAMES, RunRecord
from backtest.report.saved import AGAIN, check_figures, check_journal, check_rows
from backtest.report.standing import PRICE_COLUMNS, Standing, price_parts, prices_of
from backtest.report.statistics import Performance, statistics

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import vectorbt as vbt

    from backtest.calculator.snapshot import Snapshot

_COLUMNS = {**FRAMES, "returns": ("time",), "explain": ("time", "account", *PARTS), "prices": PRICE_COLUMNS}
"""Of every frame that is saved, what it must have."""


class Result:
    """One run. Frames are labelled by bar open, UTC; figures of one account are a Series, of more a frame."""

    def __init__(self, record: RunRecord, saved: dict[str, Any] | None = None) -> None:
        self.record = record
        self._saved = saved or {}

    def __repr__(self) -> str:
        first = self.figures.iloc[:, 0]
        return f"<Result {self.name}: {first['Total Return [%]']:.2f} %, survived: {first['Survived']}>"

    def _repr_html_(self) -> str:
        from backtest.report.cells import result_cell

        return result_cell(self)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.record.config.name

    @cached_property
    def figures(self) -> pd.DataFrame:
        """Figures under human labels, one column an account."""
        if "figures" in self._saved:
            return pd.DataFrame({name: revived(column) for name, column in self._saved["figures"].items()})
        return pd.concat([statistics(self.record, k) for k in range(len(self.record.account_names))], axis=1)

    @cached_property
    def parts(self) -> pd.DataFrame:
        """The parts of the change in equity, USD, one column an account."""
        if "explain" in self._saved:
            return pd.DataFrame({name: pd.Series(column) for name, column in self._saved["explain"].items()})
        return pd.concat([explain(self.record, k) for k in range(len(self.record.account_names))], axis=1)

    @cached_property
    def parts_by_bar(self) -> pd.DataFrame:
        """The same a bar: `time`, `account`, and a column a part."""
        if "parts_by_bar" in self._saved:
            saved: pd.DataFrame = self._saved["parts_by_bar"]
            return saved
        frames = [explain_by_bar(self.record, k).assign(account=name) for k, name in enumerate(self._names)]
        return pd.concat(frames, ignore_index=True)[["time", "account", *PARTS]]

    @cached_property
    def prices(self) -> pd.DataFrame:
        """What was held is priced at: low, high and close by bar and `name`, a symbol's mark or an asset's index."""
        saved: pd.DataFrame | None = self._saved.get("prices")
        return prices_of(self.record) if saved is None else saved

    @property
    def _names(self) -> list[str]:
        return self.record.account_names

    @cached_property
    def _returns(self) -> pd.DataFrame:
        if "returns" in self._saved:
            saved: pd.DataFrame = self._saved["returns"]
            return saved
        columns = {name: Performance(self.record, k).daily for k, name in enumerate(self.record.account_names)}
        return pd.DataFrame(columns)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Config, data hashes, versions, rule rows, assumptions, price sources and notes."""
        saved: dict[str, Any] | None = self._saved.get("manifest")
        return manifest(self.record) if saved is None else saved

    @property
    def stats(self) -> pd.Series | pd.DataFrame:
        """Figures under human labels."""
        return self._one(self.figures)

    @property
    def returns(self) -> pd.Series | pd.DataFrame:
        """Daily returns by day (00:00 to 00:00 UTC, no zone), as vectorbt and quantstats take them."""
        return self._one(self._returns)

    @property
    def equity(self) -> pd.Series | pd.DataFrame:
        """Equity in USD at the close of each bar, by the bar's open."""
        rows = [self.record.of("account", k).set_index("time")["equity"] for k in range(len(self.record.account_names))]
        return self._one(pd.concat(rows, axis=1, keys=self.record.account_names))

    def explain(self, by: str | None = None) -> pd.Series | pd.DataFrame:
        """The parts of the change in equity, USD; they sum to it. `by`: "bar", "day" or "month", a row each."""
        return self._one(self.parts) if by is None else by_period(self.parts_by_bar, by)

    def standing(self, account: int | str = 0) -> Standing:
        """One account, to be looked at as it stood at any bar."""
        terms = self.manifest.get("instruments", [])
        return Standing(self.record, self.record.number_of(account), self.prices, terms)

    def snapshot(self, at: str | pd.Timestamp, account: int | str = 0) -> Snapshot:
        """The account as it stood at the close of the bar that holds a time (UTC), for `backtest.margin`.

        Orders that were waiting are not in it. InputError for a time outside the run.
        """
        standing = self.standing(account)
        return standing.snapshot(standing.bar_of(at))

    def _one(self, frame: pd.DataFrame) -> pd.Series | pd.DataFrame:
        return frame.iloc[:, 0] if frame.shape[1] == 1 else frame

    @property
    def account(self) -> pd.DataFrame:
        """Equity, collateral equity, margins and ratios, bar by bar."""
        return self.record.account

    @property
    def wallets(self) -> pd.DataFrame:
        """The same a wallet."""
        return self.record.wallets

    @property
    def ledger(self) -> pd.DataFrame:
        """Every change of every balance."""
        return self.record.ledger

    @property
    def fills(self) -> pd.DataFrame:
        """Every trade."""
        return self.record.fills

    @property
    def orders(self) -> pd.DataFrame:
        """Every order, and what became of it."""
        return self.record.orders

    @property
    def funding(self) -> pd.DataFrame:
        """Every funding payment."""
        return self.record.funding

    @property
    def incidents(self) -> pd.DataFrame:
        """Everything out of the ordinary: each rung of a liquidation, top-ups, refills, exchanges."""
        return self.record.incidents

    @property
    def liquidations(self) -> pd.DataFrame:
        """The incidents in which the venue took something."""
        rows = self.record.incidents
        forced: pd.DataFrame = rows[rows["rung"].isin(FORCED)]
        return forced

    @property
    def positions(self) -> pd.DataFrame:
        """Contracts and cost after each bar in which they changed."""
        return self.record.positions

    def to_vectorbt(self, account: int | str = 0) -> vbt.Portfolio:
        """A vectorbt Portfolio of one account's fills, with vectorbt's own figures, trades and plots.

        It counts in the currency that the symbols are quoted in (`cash`): its value times that currency's index is our
        equity. Columns: the coins (deposits are bought at the first open), the futures (open profit at the mark), and
        the cash's own, one open trade, which holds what was received and paid without a trade: funding, interest, fees
        in other coins, costs of liquidation.

        What it does not know: margin, leverage and wallets; so no liquidation as such, only the fills it forced. A
        trade's profit is that of its fills, without funding; vectorbt's total of fees has payments in it, received ones
        below zero. Money that came in or went out later counts as gained or lost. vectorbt's returns are those of bars,
        `returns` of a result are daily.
        InputError for contracts that pay in coin, and for symbols quoted in two currencies.
        """
        from backtest.report.in_vectorbt import portfolio_of

        return portfolio_of(self, account)

    @cached_property
    def basis(self) -> pd.DataFrame:
        """Mark above index of every future while it was held, and what that is a year (`report.carry`)."""
        return basis_of(self)

    def plot(self) -> go.Figure:
        """Equity and margin ratio over one time axis; with several accounts, over one another."""
        from backtest.report.plots import overview

        return overview(self)

    def plot_margin(self, account: int | str = 0) -> go.Figure:
        """Margin ratio, required margins, utilization, and marks against liquidation prices, over one time axis."""
        from backtest.report.plots import margin

        return margin(self, account)

    def plot_waterfall(self, account: int | str = 0, by: str | None = None) -> go.Figure:
        """The parts of the profit as steps to their sum; `by="month"`: stacked month by month."""
        from backtest.report.plots import waterfall

        return waterfall(self, account, by)

    def plot_carry(self, account: int | str = 0) -> go.Figure:
        """Funding by contract and basis, each added up on the way. InputError where neither came to anything."""
        from backtest.report.plots import carry

        return carry(self, account)

    def plot_stress(self, account: int | str = 0, at: str | None = None) -> go.Figure:
        """Margin ratio over moves of two coins, at the bar that holds a time (UTC); without one, a slider of bars."""
        from backtest.report.plots import stressed

        return stressed(self, account, at)

    def report(self, path: str | Path) -> Path:
        """Write the report page, and say where it is."""
        return write_page(path, self._page())

    def _page(self) -> str:
        from backtest.report.run_page import run_page

        return run_page(self)

    def save(self, folder: str | Path, page: bool = False) -> Path:
        """Write the run's folder, whole or not at all; `page`: with its report page.

        InputError where another kind of folder is in the way.
        """
        with written(folder, RUN) as aside:
            self._write(aside, page)
        return Path(folder)

    def _parts(self, name: str, parts: Callable[[RunRecord], Iterator[Columns]]) -> Iterator[pd.DataFrame | pa.Table]:
        """A frame by bar as it was saved, or has been asked for; else made some bars after others."""
        if name in self._saved or name in self.__dict__:
            yield getattr(self, name)
        else:
            yield from (
                part.table(_COLUMNS["explain" if name == "parts_by_bar" else name]) for part in parts(self.record)
            )

    def _write(self, folder: Path, page: bool) -> None:
        for name in FRAMES:
            write_frames(self.record.frames(name), folder / f"{name}.parquet")
        write_frame(self._returns.reset_index(), folder / "returns.parquet")
        write_frames(self._parts("parts_by_bar", explained), folder / "explain.parquet")
        write_frames(self._parts("prices", price_parts), folder / "prices.parquet")
        figures = {"figures": as_json_columns(self.figures), "explain": as_json_columns(self.parts)}
        write_json(figures, folder / "stats.json")
        write_json(self.manifest, folder / "manifest.json")
        if page:
            (folder / "report.html").write_text(self._page(), encoding="utf-8")
        from backtest.report.panels import panels
        from backtest.report.picture import write_picture

        write_picture(panels(self.record), folder / "picture.png")


def load(folder: str | Path) -> Result:
    """A saved run. InputError where the folder is none, lacks a file, or has one that cannot be read."""
    path = Path(folder)
    if not (path / "manifest.json").is_file():
        cure = cure_of(path, "name the folder that `run` printed")
        raise InputError(f"{path}: no saved run there (it has no manifest.json); {cure}")
    journal, saved = read_json(path / "manifest.json"), read_json(path / "stats.json")
    if not is_ours(path, RUN):
        raise InputError(f"{path / 'manifest.json'}: is no manifest of a run; name the folder that `run` printed")
    names = check_journal(journal, path / "manifest.json")
    check_figures(saved, names, path / "stats.json")
    frames = {name: read_frame(path / f"{name}.parquet", columns) for name, columns in _COLUMNS.items()}
    check_rows(frames, names, path)
    returns, parts, prices = (frames.pop(name) for name in DERIVED)
    try:
        record = _revived_record(journal, frames)
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path / 'manifest.json'}: cannot be understood ({in_a_line(error)}); {AGAIN}") from error
    derived = {"returns": returns.set_index("time"), "parts_by_bar": parts, "prices": prices, "manifest": journal}
    return Result(record, {**saved, **derived})


def _revived_record(journal: dict[str, Any], frames: dict[str, Any]) -> RunRecord:
    accounts = journal["accounts"]
    return RunRecord(
        config=revived_config(journal["config"]), history=None, rules=(),  # type: ignore[arg-type]
        account_names=[account["name"] for account in accounts], modes=[account["mode"] for account in accounts],
        levels=[[(ratio, action) for ratio, action in account["levels"]] for account in accounts],
        notes=list(journal["notes"]), **frames,
    )  # fmt: skip


def revived_config(told: dict[str, Any]) -> RunConfig:
    """The config as it was; the class may be one that only its own session could name, so it is not looked at."""
    named = told["strategy"]["class"]
    config = load_config({**told, "strategy": {**told["strategy"], "class": "saved:Strategy"}})
    return config.model_copy(update={"strategy": config.strategy.model_copy(update={"class_": named})})
