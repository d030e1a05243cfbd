"""A run, as its author writes it: which history, which account at which venue, which strategy, under which assumptions.

Everything has a concrete default, and everything unknown is refused with the place, the value and the nearest valid
key: a misspelt `max_utilisation` must never be a guard that silently does not exist.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_serializer, field_validator, model_validator

from backtest.config.account import PRESETS, Account, Flow, Preset, Refill, TopUp, Transfer
from backtest.config.events import Happening
from backtest.config.sweep import Sweep
from backtest.config.types import Duration, Moment, Positive, Ratio, Section, duration_us, in_words, microseconds
from backtest.config.words import sentence
from backtest.errors import InputError, nearest
from backtest.market.schema import INTERVALS

__all__ = [
    "PRESETS", "Account", "Compare", "Data", "Execution", "Flow", "Funding", "Guards", "Preset", "Prices", "Refill",
    "Report", "RulesConfig", "RunConfig", "StrategyConfig", "Sweep", "TopUp", "Transfer", "duration_us", "load_config",
]  # fmt: skip


class Data(Section):
    """The history to replay: bars that open in [start, end), times in UTC.

    `venues`: whose history it is, where that is not the accounts' own; of a symbol that several have, the first's.
    `stream`: how much of it is held in memory at once, the rest in files; "0s": all of it; by default as its size asks.
    """

    store: str
    start: Moment
    end: Moment
    interval: str = "1h"
    venues: list[str] = []
    stream: Duration | None = None
    _beside: Path | None = PrivateAttr(default=None)

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, value: str) -> str:
        if value not in INTERVALS:
            raise InputError(f"no interval {value!r}; {nearest(value, INTERVALS)} (valid: {', '.join(INTERVALS)})")
        return value

    @field_validator("venues")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        twice = [name for k, name in enumerate(value) if name in value[:k]]
        if twice:
            raise InputError(f"{twice[0]!r} is named twice; name each venue once")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise InputError(f"end ({in_words(self.end)}) is not after start ({in_words(self.start)}): swap them")
        if self.stream is not None and 0 < duration_us(self.stream) < INTERVALS[self.interval]:
            raise InputError(
                f"stream = {self.stream!r} is less than a bar of {self.interval}; write '30d', or leave it out"
            )
        return self

    @property
    def start_us(self) -> int:
        """First bar's earliest open, microseconds UTC."""
        return microseconds(self.start)

    @property
    def end_us(self) -> int:
        """No bar opens at or after this, microseconds UTC."""
        return microseconds(self.end)

    @property
    def folder(self) -> Path:
        """The store's folder: as written, from here; else from the config file's folder, or one above it."""
        path = Path(self.store)
        beside = self._beside
        if path.is_absolute() or path.exists() or beside is None:
            return path
        return next((folder / path for folder in (beside, *beside.parents) if (folder / path).exists()), path)


class StrategyConfig(Section):
    """Who decides: a class, named `module:Class` (or the class itself, from Python), and its parameters."""

    class_: Any = Field(alias="class", json_schema_extra={"type": "string", "pattern": r"^[\w.]+:\w+$"})
    params: dict[str, Any] = {}

    @field_validator("class_")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, type) or (isinstance(value, str) and re.fullmatch(r"[\w.]+:\w+", value)):
            return value
        raise InputError(f"{value!r} names no class; write 'module:Class', such as 'strategies.basis_trade:BasisTrade'")

    @field_serializer("class_")
    def _as_text(self, value: object) -> str:
        return f"{value.__module__}:{value.__qualname__}" if isinstance(value, type) else str(value)

    @property
    def name(self) -> str:
        """`module:Class`."""
        return self._as_text(self.class_)


class Execution(Section):
    """How orders fill: slippage, the path of a bar, the share of its volume one order may take."""

    slippage_bps: Annotated[float, Field(ge=0, le=1_000)] = 2.0
    path: Literal["close", "low_then_high", "each_worst"] = "low_then_high"
    volume_share: Ratio = 0.1
    limit_touch: bool = False
    refusal: Literal["cut", "refuse"] = "cut"


class Guards(Section):
    """The account's own limits, tighter than the venue's; they never stop an order that lowers the requirement."""

    min_margin_ratio: Positive | None = None
    max_utilization: Ratio | None = None


class Prices(Section):
    """Where data is thin: how each asset is valued in dollars, whether wicks of proxies count, what a gap means."""

    routes: dict[str, str | float] = {}
    wicks: bool = False
    gaps: Literal["error", "hold"] = "error"

    @field_validator("routes")
    @classmethod
    def _worth_something(cls, value: dict[str, str | float]) -> dict[str, str | float]:
        for asset, route in value.items():
            if asset == "USD":
                raise InputError("USD is what everything is counted in; leave it out")
            if not isinstance(route, str) and not 0.0 < route < float("inf"):
                raise InputError(f"{asset} = {route!r} is no price; write dollars a unit, above 0")
        return value


class Funding(Section):
    """Funding stamps inside a bar, and expected ones that the store does not have."""

    inside: Literal["refuse", "approximate"] = "refuse"
    missing: Literal["error", "zero"] = "error"


class RulesConfig(Section):
    """What to do outside the venue tables' dates, and whether modes not offered then may be run (labelled so)."""

    outside: Literal["refuse", "nearest"] = "refuse"
    counterfactual: bool = False


class Report(Section):
    """What results are counted in."""

    numeraire: str = "USD"


class Compare(Section):
    """Margin modes set side by side; by default all presets, and the generic venue's scenario and tail models."""

    modes: list[Literal[Preset, "generic scenarios", "generic tail"]] | None = None

    @field_validator("modes", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            raise InputError(f"{value!r} is one mode; write a list, such as [{value!r}, 'portfolio']")
        return value


class RunConfig(Section):
    """A whole run."""

    name: str
    data: Data
    account: Annotated[list[Account], Field(min_length=1)]
    strategy: StrategyConfig
    execution: Execution = Execution()
    guards: Guards = Guards()
    prices: Prices = Prices()
    funding: Funding = Funding()
    rules: RulesConfig = RulesConfig()
    report: Report = Report()
    compare: Compare = Compare()
    events: list[Happening] = []
    sweep: Sweep | None = None

    @field_validator("name")
    @classmethod
    def _a_folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"[\w][\w. -]*", value):
            raise InputError(f"{value!r} names the result folder; use letters, digits, '-', '_' and '.'")
        return value

    @field_validator("account", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, Mapping):
            raise InputError("it is one table, and a run has a list of them; write [[account]] with two brackets")
        return value

    @field_validator("account")
    @classmethod
    def _distinct(cls, value: list[Account]) -> list[Account]:
        names = [account.name for account in value]
        twice = [name for k, name in enumerate(names) if name in names[:k]]
        if twice:
            raise InputError(f"two accounts are named {twice[0]!r}: give each its own name")
        return value

    @model_validator(mode="after")
    def _flows_inside(self) -> Self:
        for number, account in enumerate(self.account):
            for k, flow in enumerate(account.flows):
                if not self.data.start <= flow.time < self.data.end:
                    raise InputError(
                        f"account[{number}].flows[{k}].time = {in_words(flow.time)} lies outside the run; "
                        f"choose a time from {in_words(self.data.start)} to {in_words(self.data.end)}"
                    )
        return self

    def streamed(self, stream: str) -> Self:
        """The same run, holding so much of its history in memory at once. InputError for what is no such time."""
        try:
            data = Data.model_validate({**self.data.model_dump(), "stream": stream})
        except ValidationError as error:
            raise InputError(sentence(error.errors()[0], Data)) from None
        data._beside = self.data._beside
        return self.model_copy(update={"data": data})

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included, as plain JSON values; loading it again gives the same run.

        What a sweep would try is no setting of one run, and is left out.
        """
        return self.model_dump(mode="json", by_alias=True, exclude={"sweep"})


def load_config(config: str | Path | Mapping[str, Any] | RunConfig) -> RunConfig:
    """A run from a TOML or JSON file, or a dict. InputError: a line a mistake, with file, key, value and cure."""
    if isinstance(config, RunConfig):
        return config
    if not isinstance(config, str | Path | Mapping):
        raise InputError(f"{config!r} is no run; give a .toml or .json file, a dict of settings, or a RunConfig")
    if isinstance(config, Mapping):
        return _validated(dict(config), "config")
    path = Path(config)
    loaded = _validated(parsed(path), str(path))
    loaded.data._beside = path.resolve().parent
    return loaded


def parsed(path: Path, what: str = "a run") -> dict[str, Any]:
    """The file's tables. InputError with the line where its syntax is wrong."""
    if path.suffix not in (".toml", ".json"):
        raise InputError(f"{path}: {what} is a .toml or .json file")
    if not path.is_file():
        beside = [item.name for item in path.parent.glob("*.*") if item.suffix in (".toml", ".json")]
        raise InputError(f"{path}: no such file; {nearest(path.name, beside)}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # an editor's byte order mark says nothing
        parsed = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text, object_pairs_hook=_each_once)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid {path.suffix[1:].upper()}: {error}; mend the text there") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(parsed, dict):
        raise InputError(f"{path}: {what} is a table of settings, found {type(parsed).__name__}")
    return parsed


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON table. InputError for a key that stands there twice: the reader would take the last in silence."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise InputError(f"key {key!r} stands twice in one table ({table[key]!r}, {value!r}); keep one")
        table[key] = value
    return table


def _validated(given: dict[str, Any], source: str) -> RunConfig:
    try:
        return RunConfig.model_validate(given)
    except ValidationError as error:
        lines = list(dict.fromkeys(sentence(item, RunConfig) for item in error.errors()))
        raise InputError("\n".join(f"{source}: {line}" for line in lines)) from None
