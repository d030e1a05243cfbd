"""What a saved run must hold before anything is told of it: a whole journal, columns of their kinds, rows that belong
together.

A folder that was cut off, edited, or written by another version is told apart here, with the file and the place in it,
so that no page and no figure is made of half a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from backtest.config.words import sentence
from backtest.errors import InputError

AGAIN = "the folder is no whole result, run it again"
WORDS = frozenset(
    ("account", "wallet", "worst_wallet", "asset", "kind", "instrument", "symbol", "side", "cause", "point", "state",
     "reason", "fee_asset", "settle", "rung", "note", "name")
)  # fmt: skip
"""Columns of text, in whatever frame; `time` is a time, all others are numbers."""
FINITE = ("equity", "collateral_equity", "initial_margin", "maintenance_margin")
"""Columns of the account that are amounts at every bar; its ratios are infinite where nothing is required."""
A_ROW_A_BAR = ("account", "explain")
WITHIN = ("wallets", "prices")
"""Frames whose bars are some of the account's, or all."""
LONGEST = 200  # letters of a mistake told, which may quote a whole table


class _Told(BaseModel):
    """A table of the journal; another version may have put more into it."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Account(_Told):
    name: str
    mode: str
    levels: list[Annotated[list[float | str], Field(min_length=2, max_length=2)]]


class _File(_Told):
    venue: str
    symbol: str
    series: str
    sha256: str


class _Rule(_Told):
    table: str
    key: str
    value: Any
    valid_from_us: int


class _Traded(_Told):
    symbol: str
    contract_size: float
    tick: float


class _Span(_Told):
    start: str
    end: str
    interval: str


class _Venue(_Told):
    venue: str


class _Strategy(_Told):
    class_: str = Field(alias="class")


class _Config(_Told):
    """The run's settings, as far as a page tells them."""

    data: _Span
    account: Annotated[list[_Venue], Field(min_length=1)]
    strategy: _Strategy


class Journal(_Told):
    """`manifest.json`, as far as it is read again."""

    name: str
    accounts: Annotated[list[_Account], Field(min_length=1)]
    config: _Config
    data: list[_File]
    versions: dict[str, str]
    rules: list[_Rule]
    assumptions: list[str]
    instruments: list[_Traded]
    prices: dict[str, str]
    indexes: dict[str, str]
    funding_marks: dict[str, int]
    ambiguous_bars: dict[str, int]
    notes: list[str]


def _reads_as(kind: Callable[[str], object], words: str) -> AfterValidator:
    """Text that pandas reads as a kind of its own."""

    def check(text: str) -> str:
        try:
            kind(text)
        except ValueError:
            raise InputError(f"{text!r} is no {words}") from None
        return text

    return AfterValidator(check)


Time = Annotated[str, _reads_as(pd.Timestamp, "time")]
Number = float | Literal["inf", "-inf", "nan"] | None


class _Figures(BaseModel):
    """One account's figures: those that a page tells by name, and whatever others there are."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, float | str | None]

    start: Time = Field(alias="Start")
    end: Time = Field(alias="End")
    duration: Annotated[str, _reads_as(pd.Timedelta, "span of time")] = Field(alias="Duration")
    numeraire: str = Field(alias="Numeraire")
    start_equity: Number = Field(alias="Start Equity")
    end_equity: Number = Field(alias="End Equity")
    total_return: Number = Field(alias="Total Return [%]")
    return_on_margin: Number = Field(alias="Return on Margin [%]")
    deepest_at: Time | None = Field(None, alias="Max Drawdown At")
    survived: str = Field(alias="Survived", pattern=r"^(yes|no: \d{4}-.*|undecided inside the bar \(.*)$")
    lowest_at: Time | None = Field(alias="Lowest Margin Ratio At")


class Stats(_Told):
    """`stats.json`, as far as it is read again."""

    figures: dict[str, _Figures]
    explain: dict[str, dict[str, Number]]


def check_journal(said: Mapping[str, Any], path: Path) -> list[str]:
    """The names of a run's accounts. InputError for a journal that lacks something, or holds it in another shape."""
    try:
        journal = Journal.model_validate(said)
    except ValidationError as error:
        raise InputError(f"{path}: {_mistake(error, Journal)}; {AGAIN}") from None
    return [account.name for account in journal.accounts]


def check_figures(said: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    """InputError where figures or parts of the profit are missing, are none, or are those of other accounts."""
    try:
        Stats.model_validate(said)
    except ValidationError as error:
        raise InputError(f"{path}: {_mistake(error, Stats)}; {AGAIN}") from None
    for part in ("figures", "explain"):
        if list(said[part]) != list(names):
            raise InputError(f"{path}: {part} is of {_listed(said[part])}, the run is of {_listed(names)}; {AGAIN}")


def check_frame(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """InputError for a frame that lacks a column, or has one of another kind; `columns`: those it must have."""
    absent = next((name for name in columns if name not in frame.columns), None)
    if absent is not None:
        raise InputError(f"{path}: has no column {absent!r}; {AGAIN}")
    if frame.empty:
        return  # of which no column has a kind
    for name in columns:
        values = frame[name]
        if name == "time" and values.isna().any():
            raise InputError(f"{path}: row {int(values.isna().to_numpy().argmax())} has no time; {AGAIN}")
        if not _is_of_its_kind(name, values):
            kind = "times" if name == "time" else "text" if name in WORDS else "numbers"
            raise InputError(f"{path}: column {name!r} holds {values.dtype}, not {kind}; {AGAIN}")


def _is_of_its_kind(name: str, values: pd.Series) -> bool:
    number, time = pd.api.types.is_numeric_dtype(values), pd.api.types.is_datetime64_any_dtype(values)
    return bool(time if name == "time" else not (number or time) if name in WORDS else number)


def check_rows(frames: Mapping[str, pd.DataFrame], names: Sequence[str], folder: Path) -> None:
    """InputError where frames are not of one run: bars of an account that are cut off, doubled or out of order,
    equity that is no number, rows of an account or of bars that the run had not.
    """
    account, path = frames["account"], folder / "account.parquet"
    for name in names:
        rows = account[account["account"] == name]
        if rows.empty:
            raise InputError(f"{path}: has no row of account {name!r}; {AGAIN}")
        if not rows["time"].is_monotonic_increasing or not rows["time"].is_unique:
            raise InputError(f"{path}: the bars of account {name!r} are not in order, once each; {AGAIN}")
    for column in FINITE:
        bad = ~np.isfinite(account[column].to_numpy(dtype=np.float64))
        if bad.any():
            row = int(bad.argmax())
            raise InputError(f"{path}: {column} = {account[column].iloc[row]} in row {row} is no amount; {AGAIN}")
    unknown = account["worst_ratio"].isna().to_numpy()
    if unknown.any():
        raise InputError(f"{path}: worst_ratio is unknown in row {int(unknown.argmax())}; {AGAIN}")
    for name, frame in frames.items():
        _check_belongs(name, frame, account, names, folder / f"{name}.parquet")


def _check_belongs(name: str, frame: pd.DataFrame, account: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """InputError where a frame's rows are of accounts or bars that the account's are not."""
    if "account" in frame and len(frame):
        strange = sorted({str(each) for each in frame["account"].unique()} - set(names))
        if strange:
            raise InputError(f"{path}: has rows of {strange[0]!r}, the run is of {_listed(names)}; {AGAIN}")
    if name in A_ROW_A_BAR and len(frame) != len(account):
        raise InputError(f"{path}: has {len(frame):,} rows, account.parquet {len(account):,}; {AGAIN}")
    if name in (*A_ROW_A_BAR, *WITHIN) and not frame["time"].isin(account["time"]).all():
        raise InputError(f"{path}: has bars that account.parquet has not; {AGAIN}")


def _mistake(error: ValidationError, root: type[BaseModel]) -> str:
    """The first mistake in words; nobody is asked to mend a file that a run wrote."""
    return shorten(sentence(error.errors()[0], root).removesuffix("; add it"), LONGEST)


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in names) or "nobody"
