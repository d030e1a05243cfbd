"""The accounts of a run: which venue, which margin mode, what is paid in, and how wallets are fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from backtest.config.types import Duration, Moment, Positive, Section, Symbol, duration_us, microseconds
from backtest.errors import InputError, is_number, nearest
from backtest.market.schema import parse_symbol
from backtest.units import HEADROOM, STEP

Preset = Literal["isolated", "cross", "multi_asset", "portfolio", "portfolio_pro"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Leverage = Annotated[float, Field(ge=1)]
WALLET_NAMES = ("spot", "usdm", "coinm", "unified")
_AXES: dict[tuple[str, str, str], Preset] = {
    ("isolated", "settlement", "tiers"): "isolated",
    ("cross", "settlement", "tiers"): "cross",
    ("cross", "multi", "tiers"): "multi_asset",
    ("cross", "multi", "scenarios"): "portfolio",
    ("cross", "multi", "tail"): "portfolio",
}


class TopUp(Section):
    """Isolated positions fed from free balance: at a ratio at or below `trigger`, up to `target`; `cap` in all."""

    trigger: Positive
    target: Positive
    cap: Positive | None = None

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        _check_upwards(self)
        return self


class Refill(Section):
    """A futures wallet fed from the spot wallet where the two are apart; `sell` also sells spot, reducing both legs."""

    trigger: Positive
    target: Positive
    sell: bool = False
    delay: Duration = "0s"
    cost_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        _check_upwards(self)
        return self

    @property
    def delay_us(self) -> int:
        """Microseconds between asking and arriving."""
        return duration_us(self.delay)


def _check_upwards(section: TopUp | Refill) -> None:
    if section.target <= section.trigger:
        raise InputError(f"target ({section.target:g}) is not above trigger ({section.trigger:g}): raise the target")


class Tail(Section):
    """Numbers of the tail model that the account takes instead of the venue's; see `venues.schema.TailRules`."""

    kind: Literal["VaR", "ES"] | None = None
    window_days: Annotated[int, Field(ge=20)] | None = None
    horizon_days: Annotated[int, Field(ge=1)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    floor: Annotated[float, Field(ge=0, lt=1)] | None = None
    stressed_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    filtered: bool | None = None
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    buffer: Annotated[float, Field(ge=0, le=1)] | None = None
    long_run_floor: bool | None = None


class Flow(Section):
    """A scheduled deposit (amount > 0) or withdrawal (amount < 0)."""

    time: Moment
    asset: str
    amount: float
    wallet: str | None = None

    @field_validator("amount")
    @classmethod
    def _moves(cls, value: float) -> float:
        if value == 0:
            raise InputError("moves nothing; write a positive amount to deposit, a negative one to withdraw")
        _check_size(f"{value!r}", abs(value))
        return value

    @field_validator("wallet")
    @classmethod
    def _open(cls, value: str | None) -> str | None:
        if value is not None and value not in WALLET_NAMES:
            try:
                parse_symbol(value)
            except InputError:
                valid = nearest(value, WALLET_NAMES)
                raise InputError(f"no wallet {value!r}; {valid} (or the symbol of an isolated position)") from None
        return value

    @property
    def time_us(self) -> int:
        """When it arrives or leaves, microseconds UTC."""
        return microseconds(self.time)


class Transfer(Section):
    """What moving money between wallets takes: a delay, and a cost in units of the asset."""

    delay: Duration = "0s"
    cost: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @property
    def delay_us(self) -> int:
        """Microseconds between leaving and arriving."""
        return duration_us(self.delay)


def _switch_or_ratio(value: object) -> bool | float:
    """Whether an asset counts, or at which ratio."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if is_number(value) and 0.0 <= float(value) <= 1.0:
        return float(value)
    raise InputError(f"write true, false, or a ratio from 0 to 1; found {value!r}")


Counts = Annotated[bool | Annotated[float, Field(ge=0, le=1)], BeforeValidator(_switch_or_ratio)]


class Account(Section):
    """One account at one venue, under one margin mode, and what is paid in at the start."""

    name: str = "main"
    venue: str = "binance"
    margin: Preset = "cross"
    scope: Literal["cross", "isolated"] | None = None
    collateral_axis: Literal["settlement", "multi"] | None = None
    requirement: Literal["tiers", "scenarios", "tail"] | None = None
    model: Literal["span", "tims"] | None = None
    tail: Tail | None = None
    isolated: list[Symbol] = []
    position_mode: Literal["one_way", "hedge"] = "one_way"
    leverage: dict[str, Leverage] = {"default": 5.0}
    deposit: dict[str, float | dict[str, float]]
    collateral: dict[str, Counts] = {}
    auto_transfer: bool = True
    borrow: bool = False
    top_up: TopUp | None = None
    refill: Refill | None = None
    flows: list[Flow] = []
    transfer: Transfer = Transfer()

    @model_validator(mode="before")
    @classmethod
    def _preset_of_axes(cls, given: object) -> object:
        """The three axes, written out, name their preset."""
        axes = ("scope", "collateral_axis", "requirement")
        if not isinstance(given, Mapping) or not any(given.get(axis) is not None for axis in axes):
            return given
        return _with_preset(dict(given), axes)

    @field_validator("leverage", mode="before", json_schema_input_type=Leverage | dict[str, Leverage])
    @classmethod
    def _one_for_all(cls, value: object) -> object:
        if isinstance(value, str):
            raise InputError(f"{value!r} is text; write a number without quotes, such as 5, or {{ default = 5 }}")
        return {"default": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("leverage")
    @classmethod
    def _of_symbols(cls, value: dict[str, float]) -> dict[str, float]:
        for symbol in value:
            if symbol != "default":
                parse_symbol(symbol)
        return {"default": 5.0, **value}

    @field_validator("deposit", mode="before", json_schema_input_type=dict[str, Positive | dict[str, Positive]])
    @classmethod
    def _amounts(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise InputError(f"{value!r} is not a deposit; write {{ USDT = 10_000 }}")
        if not value:
            raise InputError("nothing is deposited; write { USDT = 10_000 }")
        for key, amount in value.items():
            _check_deposit(str(key), amount)
        return {key: _as_floats(amount) for key, amount in value.items()}

    def leverage_of(self, symbol: str) -> float:
        """The leverage an instrument is held with."""
        return self.leverage.get(symbol, self.leverage["default"])

    def deposits(self) -> list[tuple[str | None, str, float]]:
        """What is paid in: (wallet or None where the mode decides, asset, amount)."""
        rows: list[tuple[str | None, str, float]] = []
        for key, amount in self.deposit.items():
            if isinstance(amount, dict):
                rows += [(key, asset, units) for asset, units in amount.items()]
            else:
                rows.append((None, key, amount))
        return rows


def _with_preset(given: dict[str, object], axes: tuple[str, ...]) -> dict[str, object]:
    """Add the preset of the axes given, the others being those of the preset named, if one is.

    InputError when there is no such preset, or another one is named beside the axes.
    """
    usual = next((row for row, name in _AXES.items() if name == given.get("margin")), ("cross", "settlement", "tiers"))
    scope, collateral, requirement = (str(given.get(a) or usually) for a, usually in zip(axes, usual, strict=True))
    preset = _AXES.get((scope, collateral, requirement))
    if preset is None:
        known = "; ".join(" + ".join(row) + f" = {name}" for row, name in _AXES.items())
        raise InputError(f"{scope} + {collateral} + {requirement} is no margin mode; valid: {known}")
    same_axes = preset == "multi_asset" and given.get("margin") == "portfolio"  # where portfolio margin sums tiers
    if given.get("margin") not in (None, preset) and not same_axes:
        raise InputError(f"margin = {given['margin']!r} contradicts the axes, which mean {preset!r}: write one of them")
    return {**given, "margin": given.get("margin") or preset}


def _check_deposit(key: str, amount: object) -> None:
    """InputError unless it is a positive amount of an asset, or a wallet with such amounts in it."""
    if isinstance(amount, Mapping):
        if key not in WALLET_NAMES:
            raise InputError(f"no wallet {key!r}; {nearest(key, WALLET_NAMES)}")
        if not amount:
            raise InputError(f"{key} = {{}} deposits nothing; write {{ USDT = 10_000 }}, or leave the wallet out")
        for asset, units in amount.items():
            _check_deposit(f"{key}.{asset}", units)
    elif not is_number(amount):
        raise InputError(f"{key} = {amount!r} is not an amount; write a number, such as 10_000")
    elif not 0 < amount < float("inf"):
        raise InputError(f"{key} = {amount!r} must be positive; leave the asset out where nothing is deposited")
    else:
        _check_size(f"{key} = {amount!r}", amount)


def _as_floats(amount: Any) -> float | dict[str, float]:
    """An amount, or a wallet of them, checked."""
    return {key: float(units) for key, units in amount.items()} if isinstance(amount, Mapping) else float(amount)


def _check_size(what: str, amount: float) -> None:
    """InputError for an amount that the ledger, which counts whole steps, cannot hold."""
    if amount < STEP:
        raise InputError(f"{what} is less than one step of the ledger ({STEP:g}); write more")
    if amount > HEADROOM:
        raise InputError(f"{what} does not fit the ledger; at most {HEADROOM:,} units")
